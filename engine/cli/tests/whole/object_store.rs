//! Do a rig's tables work in an object store: written, asked, merged, verified, forgotten, and while it is out of reach?
//!
//! The store is `moto_server`, from PyPI (`moto[server]`): `$PROPRIO_MOTO_SERVER`, which `.ci/run` sets, or the one in the path.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Engine, Files, finish, path, proprio};

const PLACE: &str = "s3://lab/rigs/one";
const PIPELINE: &str = "pipeline: remote
rig: rig.yaml
steps:
  - { id: orientation, op: orientation, from: imu/* }
";

/// A server that speaks S3, and a line to it that can be cut.
struct Server {
    process: Child,
    is_cut: Arc<AtomicBool>,
    address: String,
}

impl Server {
    /// `None`, with a word, where it isn't on this machine.
    fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
        let program = std::env::var_os("PROPRIO_MOTO_SERVER").unwrap_or_else(|| "moto_server".into());
        let spawned = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut process) = spawned else {
            println!("skipped: tables in an object store: no moto_server in the path");
            return None;
        };
        let behind = format!("127.0.0.1:{port}");
        let give_up = Instant::now() + Duration::from_secs(60);
        while put_bucket(&behind).is_none() {
            assert!(process.try_wait().expect("it is ours").is_none() && Instant::now() < give_up, "moto_server does not come up");
            std::thread::sleep(Duration::from_millis(100));
        }
        let is_cut = Arc::new(AtomicBool::new(false));
        let address = forward(behind, is_cut.clone());
        Some(Self { process, is_cut, address })
    }

    fn environment(&self) -> Vec<(String, String)> {
        let said = [
            ("AWS_ENDPOINT_URL", format!("http://{}", self.address)),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", "a-key".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "a-secret".to_owned()),
            ("AWS_REGION", "eu-central-1".to_owned()),
        ];
        said.map(|(name, value)| (name.to_owned(), value)).into()
    }

    fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::Relaxed);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn put_bucket(address: &str) -> Option<()> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "PUT /lab HTTP/1.1\r\nhost: {address}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.starts_with("HTTP/1.1 200").then_some(())
}

/// Passes connections on until the test ends; those that come while the line is cut are closed, and so are those that use it.
fn forward(behind: String, is_cut: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(&behind) else { continue };
            for (from, to) in [(near.try_clone(), far.try_clone()), (far.try_clone(), near.try_clone())] {
                let (Ok(from), Ok(to), is_cut) = (from, to, is_cut.clone()) else { continue };
                std::thread::spawn(move || pass_on(from, to, &is_cut));
            }
        }
    });
    address
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, is_cut: &AtomicBool) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if is_cut.load(Ordering::Relaxed) || to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

#[test]
fn a_rig_keeps_its_tables_in_an_object_store() {
    let Some(server) = Server::start() else { return };
    let files = Files::new();
    let pipeline = files.write("pipeline.yaml", PIPELINE);
    let slower = files.write("slower.yaml", &PIPELINE.replace("imu/*", "imu/*, with: { rest_duration: 500 ms }"));
    let options = ["--tables", PLACE, "--commit-interval", "1 s", "--no-serve"];
    let mut engine = Engine::run_in(&pipeline, &options, server.environment());
    let counted = "SELECT count(*), count(DISTINCT sensor), sum(sequence) FROM imu";
    let first = engine.walk("A-1", "2 s");
    let one = engine.sql(counted);
    assert!(one[0][0].parse::<u64>().expect("a number") > 1500, "{one:?}");

    // While the store is out of reach nothing is lost and everything is answered but what is only there.
    server.cut(true);
    let second = engine.walk("A-2", "2 s");
    engine.wait_for_log("a commit round failed", 1);
    server.cut(false);
    let both = engine.sql(&format!("{counted} WHERE session IN ('{first}', '{second}')"));
    assert_eq!(both[0][0].parse::<u64>().expect("a number"), 2 * one[0][0].parse::<u64>().expect("a number"), "{both:?}");

    // A power cut, and the rest of the session after it; the data directory knows where its tables are.
    engine.run_again(&pipeline, &options[2..]);
    assert_eq!(engine.sql(counted), both, "after a power cut");
    engine.done(&["rebuild", "--sessions", &first, "--pipeline", path(&slower), "--json"]);
    engine.stop();

    assert!(!engine.data().join("tables").exists(), "nothing of the tables lies here");
    assert_eq!(engine.sql(counted), both, "at rest");
    engine.done(&["replay", "all", "--verify"]);
    let sizes = || -> serde_json::Value {
        let shown = engine.done(&["tables", "--json"]);
        let rows: Vec<serde_json::Value> = serde_json::from_str(&shown).expect("JSON");
        rows.into_iter().find(|row| row["table"] == "imu").expect("it is there")
    };
    let before = sizes();
    engine.done(&["tables", "--merge", "--vacuum"]);
    let merged = sizes();
    assert!(merged["files"].as_u64() < before["files"].as_u64(), "{before} {merged}");
    assert_eq!((&merged["rows"], engine.sql(counted)), (&before["rows"], both.clone()));

    // From a machine that has no data directory.
    let elsewhere = ["sql", counted, "--tables", PLACE, "--data", path(files.path()), "--format", "csv"];
    let elsewhere = finish(proprio().args(elsewhere).envs(server.environment()));
    assert!(String::from_utf8_lossy(&elsewhere.stdout).contains(&both[0].join(",")), "{}", String::from_utf8_lossy(&elsewhere.stderr));
    engine.done(&["adopt", "--sessions", &first, "--pipeline", path(&slower)]);
    assert!(engine.number(&format!("SELECT count(*) FROM orientation WHERE session = '{first}'")) > 0.0);
    engine.done(&["forget", "A-1", "--yes"]);
    assert_eq!(engine.number(&format!("SELECT count(*) FROM imu_all WHERE session = '{first}'")), 0.0);
    assert_eq!(engine.sql(counted)[0][0], one[0][0], "the other's rows are there");

    // A clear word at the start, and no second home.
    let refused = engine.over_data(&["run", path(&pipeline), "--tables", "s3://lab/rigs/two", "--listen", engine.endpoint()]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("lie at s3://lab/rigs/one"), "{}", String::from_utf8_lossy(&refused.stderr));
    server.cut(true);
    let refused = engine.over_data(&["run", path(&pipeline), "--listen", engine.endpoint()]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("the tables at s3://lab/rigs/one can't be reached"), "{said}");
}
