//! Do rows go out as they come, to whom may see them, while others are asked?

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::http::{ANNA, send};
use super::{Host, chunk};

/// An open answer in server-sent events.
struct Events(BufReader<TcpStream>);

impl Events {
    fn open(host: &Host, sql: &str) -> Self {
        let mut stream = TcpStream::connect(host.http()).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        let sql = sql.replace(' ', "%20").replace('>', "%3E");
        write!(stream, "GET /v1/subscribe?sql={sql} HTTP/1.0\r\n{ANNA}\r\n\r\n").expect("sent");
        let mut lines = BufReader::new(stream);
        let mut status = String::new();
        lines.read_line(&mut status).expect("a status");
        assert!(status.contains(" 200 "), "{status}");
        Self(lines)
    }

    /// The next event: its name and its data.
    fn next(&mut self) -> (String, String) {
        let (mut name, mut data) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).expect("within its time") > 0, "the answer ended");
            let line = line.trim_end();
            match line.split_once(": ") {
                Some(("event", value)) => name = value.to_owned(),
                Some(("data", value)) => data = value.to_owned(),
                _ if line.is_empty() && !data.is_empty() => return (name, data),
                _ => {}
            }
        }
    }

    fn rows(&mut self) -> Vec<Value> {
        let (name, data) = self.next();
        assert_eq!(name, "rows", "{data}");
        serde_json::from_str(&data).expect("JSON")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_followed_by_whom_may_see_them() {
    let host = Host::with_users().await;
    let mut all = Events::open(&host, "SUBSCRIBE WITH SNAPSHOT SELECT sequence, session FROM angles WHERE sequence >= 998");
    let mut new = Events::open(&host, "SELECT sequence, session FROM angles");
    let mut known = Vec::new();
    while known.len() < 2 {
        known.extend(all.rows());
    }
    assert!(known.iter().all(|row| row["session"] == "s1"), "{known:?}");
    for session in ["s2", "s1"] {
        let position = if session == "s2" { 2 } else { 3 };
        host.store.append(&[chunk("angles", session, 1000..1003, position)], position).expect("appended");
    }
    for events in [&mut all, &mut new] {
        let mut came = Vec::new();
        while came.len() < 3 {
            came.extend(events.rows());
        }
        let sequences: Vec<i64> = came.iter().filter_map(|row| row["sequence"].as_i64()).collect();
        assert_eq!(sequences, [1000, 1001, 1002]);
        assert!(came.iter().all(|row| row["session"] == "s1"), "the other session is not for her: {came:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_followed_says_why() {
    let host = Host::with_users().await;
    let get = |route: &str| send(host.http(), &format!("GET {route}"), &[ANNA], b"");
    let sorted = get("/v1/subscribe?sql=SELECT%20sequence%20FROM%20angles%20ORDER%20BY%20sequence");
    assert_eq!(sorted.status, 400);
    assert!(sorted.text().contains("SUBSCRIBE can't follow it"), "{}", sorted.text());
    let hidden = get("/v1/subscribe?sql=SELECT%20sequence%20FROM%20secrets");
    assert_eq!(hidden.status, 400, "{}", hidden.text());
    assert!(hidden.text().contains("no table `secrets`"), "{}", hidden.text());
    assert_eq!(get("/v1/subscribe").status, 400, "nothing is asked");
    assert_eq!(get("/v1/stream?sql=SELECT%201").status, 426, "no WebSocket");
    assert_eq!(send(host.http(), "GET /v1/subscribe?sql=SELECT%201", &[], b"").status, 401);
}
