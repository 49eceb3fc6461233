//! Where do the doors open, and where not?

use std::net::{IpAddr, Ipv4Addr};

use proprio_serve::{Doors, Options, Tables};
use proprio_tables::Place;

use super::Host;
use super::http::{ask, send};

#[tokio::test(flavor = "multi_thread")]
async fn beyond_this_machine_takes_tls_and_users() {
    let host = Host::with_users().await;
    let open = |options: Options| Doors::open(&options, Tables::Running(host.store.clone())).map(|_| ()).map_err(|error| error.to_string());
    let beyond = Options { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), http_port: Some(0), postgres_port: Some(0), ..Options::default() };
    let users = Some(host.path().join("users.yaml"));
    assert!(open(beyond.clone()).expect_err("no TLS, no users").contains("TLS (`--tls-cert`, `--tls-key`) and users"));
    assert!(open(Options { users: users.clone(), ..beyond.clone() }).expect_err("no TLS").contains("TLS"));
    let tls = |options: Options| options.with_tls(host.path().join("cert.pem"), host.path().join("key.pem"));
    assert!(open(tls(beyond.clone())).expect_err("no users").contains("users (`--users`)"));
    // A certificate that can't be read closes the door, and does not open it without TLS.
    std::fs::write(host.path().join("cert.pem"), "no certificate").expect("written");
    assert!(open(tls(Options { users: users.clone(), ..beyond })).expect_err("no certificate").contains("cert.pem"));
    assert!(open(tls(Options { users, ..Options::default() })).expect_err("no certificate").contains("cert.pem"));
    let taken = Options { http_port: Some(host.http().port()), ..Options::default() };
    assert!(open(taken).expect_err("it is taken").contains("another port"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_on_disk_are_served_without_an_engine() {
    let host = Host::open(|options, _| options).await;
    host.store.commit(1).await.expect("committed");
    let tables = Tables::resting(Place::of_data(&host.path().join("data")).expect("a path")).await.expect("tables");
    let doors = Doors::open(&Options { http_port: Some(0), postgres_port: Some(0), ..Options::default() }, tables).expect("open");
    let at = doors.addresses().http.rsplit('/').next().and_then(|at| at.parse().ok()).expect("an address");
    assert_eq!(ask(at, "SELECT count(*) AS n FROM angles", &[]).rows(), [serde_json::json!({ "n": 2000 })]);
    assert_eq!(send(at, "GET /readyz", &[], b"").status, 200);
    drop(doors);
    let give_up = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while std::net::TcpStream::connect(at).is_ok() {
        assert!(std::time::Instant::now() < give_up, "the door is open still");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Stays open for programs by hand: `cargo test -p proprio-serve --test it -- --ignored --nocapture open_for_a_while`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "waits for somebody to ask"]
async fn open_for_a_while() {
    use std::io::Write as _;
    let host = Host::with_users().await;
    let written = serde_json::to_string(&serde_json::json!({ "doors": host.addresses(), "token": host.token })).expect("JSON");
    writeln!(std::io::stderr(), "{written}").expect("written");
    if let Some(path) = std::env::var_os("PROPRIO_TEST_DOORS") {
        std::fs::write(path, written).expect("written");
    }
    tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
}
