//! Does each limit stop what goes beyond it, and let go what it held?

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Host;
use super::http::{EVE, ROOT, ask};

/// Some 10¹³ rows.
const RUNAWAY: &str = "SELECT sum(a.angle_deg + b.angle_deg + c.angle_deg + d.angle_deg) FROM angles a, angles b, angles c, angles d";

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_away_is_stopped() {
    let host = Host::with_users().await;
    let at = host.http();
    let begun = Instant::now();
    let late = ask(at, RUNAWAY, &[EVE]);
    assert_eq!((late.status, late.json()["sqlstate"].as_str()), (422, Some("57014")), "{}", late.text());
    assert!(late.text().contains("longer than 1 s") && begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());

    let many = ask(at, "SELECT a.sequence FROM angles a LIMIT 1501", &[EVE]);
    // Rows may have gone out before the limit was met; then the answer breaks off.
    assert!(many.status == 422 || serde_json::from_slice::<serde_json::Value>(&many.body).is_err(), "{}", many.text());
    assert_eq!(ask(at, "SELECT sequence FROM angles LIMIT 1500", &[EVE]).rows().len(), 1500);

    let large =
        "SELECT count(*) AS n FROM (SELECT DISTINCT a.sequence, b.sequence AS other, repeat('x', 200) AS x FROM angles a, angles b)";
    let much = ask(at, large, &[EVE]);
    assert!(much.status == 422, "{} {}", much.status, much.text());

    let outcomes = host.asked().await;
    assert!(outcomes.iter().any(|(who, sql, detail)| {
        who == "eve" && sql == RUNAWAY && detail["door"] == "http" && detail["outcome"].as_str().is_some_and(|text| text.contains("longer"))
    }));
    assert!(outcomes.iter().any(|(_, sql, detail)| sql.ends_with("LIMIT 1500") && detail["rows"] == 1500 && detail["outcome"] == "done"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_or_never_reads_holds_nothing() {
    let host = Host::with_users().await;
    let at = host.http();
    let begin = |sql: &str, who: &str| {
        let mut stream = TcpStream::connect(at).expect("a connection");
        let head =
            format!("POST /v1/sql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/sql\r\n{who}\r\ncontent-length: {}", sql.len());
        write!(stream, "{head}\r\n\r\n{sql}").expect("sent");
        stream
    };
    // Eve may ask one question at a time: the second waits for the first, which is over when its client leaves.
    let first = begin(RUNAWAY, EVE);
    std::thread::sleep(Duration::from_millis(300));
    drop(first);
    assert_eq!(ask(at, "SELECT 1 AS one", &[EVE]).rows(), [json!({ "one": 1 })]);
    // One that never reads is stopped by its time, too.
    let sql = "SELECT a.*, b.* FROM angles a, angles b";
    let mut unread = begin(sql, ROOT);
    let mut byte = [0; 1];
    unread.read_exact(&mut byte).expect("the answer begins");
    let cancelled = |outcomes: &[(String, String, serde_json::Value)]| {
        outcomes.iter().any(|(_, asked, detail)| asked == sql && detail["outcome"] == "the query was cancelled")
    };
    std::thread::sleep(Duration::from_millis(300));
    assert!(!cancelled(&host.asked().await), "it waits for its reader");
    drop(unread);
    let give_up = Instant::now() + Duration::from_secs(20);
    while !cancelled(&host.asked().await) {
        assert!(Instant::now() < give_up, "{:?}", host.asked().await);
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_statement_overflows_no_stack() {
    let host = Host::open(|options, _| options).await;
    let at = host.http();
    let sum = format!("SELECT {} AS n", vec!["1"; 1000].join("+"));
    assert_eq!(ask(at, &sum, &[]).rows(), [json!({ "n": 1000 })]);
    let deep = format!("SELECT {}1{}", "(".repeat(30_000), ")".repeat(30_000));
    assert_eq!(ask(at, &deep, &[]).status, 400);
    let long = format!("SELECT count(*) AS n FROM angles WHERE {}", vec!["sequence=1"; 1000].join(" OR "));
    assert_eq!(ask(at, &long, &[]).rows(), [json!({ "n": 2 })]);
}
