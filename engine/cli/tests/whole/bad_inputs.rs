//! What is answered to bad files and bad payloads? Each with a reason, none with a panic, and the rig goes on.

use std::time::{Duration, Instant};

use proprio_core::Sensor;
use proprio_core::rig::RigFile;
use proprio_zenoh::{SessionOptions, wire};

use crate::harness::{Engine, finish, path, proprio};

const RIG: &str = "rig: bad\nsensors:\n  chest: { kind: imu, rate: 100 Hz, segment: thorax, magnetometer: false }\n";
const PIPELINE: &str = "pipeline: bad\nrig: rig.yaml\nsteps:\n  - { id: orientation, op: orientation, from: imu/* }\n";
/// Event time of the first good sample.
const T0: i64 = 1_800_000_000_000_000_000;

/// Files: name, content, the command that reads it, and a word of the answer.
#[test]
fn bad_files_are_answered_with_what_is_wrong_and_where() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, content: &[u8]| std::fs::write(folder.path().join(name), content).expect("a temporary file");
    write("rig.yaml", RIG.as_bytes());
    let step = |step: &str| format!("pipeline: p\nrig: rig.yaml\nsteps:\n  - {step}\n").into_bytes();
    let cases: &[(&str, Vec<u8>, &str, &str)] = &[
        ("malformed.yaml", b"pipeline: [p\nrig: rig.yaml\n".to_vec(), "check", "malformed.yaml:"),
        ("empty.yaml", Vec::new(), "check", "empty"),
        ("binary.yaml", vec![0xff, 0xfe, 0, 1], "check", "UTF-8"),
        ("key.yaml", step("{ id: a, op: orientation, form: imu/* }"), "check", "`from`"),
        ("operator.yaml", step("{ id: a, op: orientaton, from: imu/* }"), "check", "`orientation`"),
        ("stream.yaml", step("{ id: a, op: orientation, from: imu/chst }"), "check", "`imu/chest`"),
        ("dimension.yaml", step("{ id: a, op: align, from: imu/*, with: { tolerance: 20 Hz } }"), "check", "a duration is due here"),
        ("cycle.yaml", step("{ id: a, op: align, from: b }\n  - { id: b, op: align, from: a }"), "check", "cycle"),
        ("twice.yaml", step("{ id: a, op: orientation, from: imu/* }\n  - { id: a, op: align, from: imu/* }"), "check", "twice.yaml:5"),
        ("column.yaml", step("{ id: a, op: alert, from: imu/chest, with: { when: \"gyro_x > 1\" } }"), "check", "gyro_x"),
        ("reserved.yaml", step("{ id: losses, op: orientation, from: imu/* }"), "check", "losses"),
        ("no-rig.yaml", b"pipeline: p\nrig: nowhere.yaml\nsteps: []\n".to_vec(), "check", "nowhere.yaml"),
        ("rate.yaml", b"rig: r\nsensors:\n  a: { kind: imu }\n".to_vec(), "check", "rate"),
        ("garbage.c3d", vec![7; 3000], "play", "garbage.c3d"),
        ("short.c3d", b"\x02\x50".to_vec(), "play", "short.c3d"),
        ("cell.csv", b"time_s,gyro_x_rad_per_s\n0,1\n0.01,x\n".to_vec(), "play", "cell.csv"),
        ("no.parquet", b"PAR1 no PAR1".to_vec(), "play", "no.parquet"),
    ];
    for (name, content, command, word) in cases {
        write(name, content);
        let file = folder.path().join(name);
        let rig = folder.path().join("out.yaml");
        let mut args = vec![*command, path(&file)];
        if *command == "play" {
            args.extend(["--write-rig", path(&rig)]);
        }
        let output = finish(proprio().args(&args));
        let answer = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let first = answer.lines().next().unwrap_or_default().replace(path(folder.path()), "");
        println!("| {name} | exit {} | {} |", output.status.code().unwrap_or(-1), first.trim());
        let code = if *command == "check" { 2 } else { 1 };
        assert_eq!(output.status.code(), Some(code), "{name}: {answer}");
        assert!(answer.contains(word) && !answer.contains("panicked"), "{name}: `{word}` is not in: {answer}");
    }
}

/// Payloads: what is sent, and the table and reason that it is found under.
#[test]
fn bad_payloads_are_counted_kept_and_harmless() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("rig.yaml"), RIG).expect("a temporary file");
    let pipeline = folder.path().join("pipeline.yaml");
    std::fs::write(&pipeline, PIPELINE).expect("a temporary file");
    let mut engine = Engine::run(&pipeline);
    let sensor = sensor();
    let cases = payloads(&sensor);
    send(&engine, &sensor, &cases);

    wait_for(&engine, &cases);
    for case in &cases {
        let found = found(&engine, case);
        println!("| {} | {} | {} | {found} |", case.name, case.table, case.reason);
        let due: u32 = cases.iter().filter(|other| (other.table, other.reason) == (case.table, case.reason)).map(|case| case.rows).sum();
        assert_eq!(found, f64::from(due), "{}: rows of {} with reason `{}`", case.name, case.table, case.reason);
    }
    assert_eq!(engine.number("SELECT count(*) FROM imu"), 6.0, "the good samples are stored");
    assert_eq!(engine.number("SELECT count(*) FROM orientation"), 6.0);
    let log = engine.log();
    assert!(!log.contains("panicked"), "{log}");
    assert!(log.contains("bad/imu/stranger"), "an undeclared key is named in the log: {log}");
    engine.stop();
    assert_eq!(engine.number("SELECT count(*) FROM imu"), 6.0);
}

struct Case {
    name: &'static str,
    encoding: &'static str,
    payload: Vec<u8>,
    table: &'static str,
    reason: &'static str,
    /// Rows of that table and reason that it gives.
    rows: u32,
}

fn payloads(sensor: &Sensor) -> Vec<Case> {
    let json = |sequence: i64, time: i64, accel: &str| {
        let axes = ["gyro_x_rad_per_s", "gyro_y_rad_per_s", "gyro_z_rad_per_s", "accel_x_m_per_s2", "accel_z_m_per_s2"];
        let zeros: String = axes.iter().map(|axis| format!(", \"{axis}\": 0")).collect();
        format!("{{\"boot\": 1, \"sequence\": {sequence}, \"time_ns\": {time}{zeros}, \"accel_y_m_per_s2\": {accel}}}").into_bytes()
    };
    let good = |sequence: i64| json(sequence, T0 + sequence * 10_000_000, "9.81");
    let rejected = |name, encoding, payload: Vec<u8>, reason| Case { name, encoding, payload, table: "rejected", reason, rows: 1 };
    let rows = wire_rows(sensor);
    let arrow = wire::arrow::encode(1, 50, &rows).expect("rows are Arrow");
    let packed = wire::packed::encode(sensor, 1, 50, &rows).expect("an IMU has numbers alone");
    let replaced = |from: &str, to: &str| {
        let at = arrow.windows(from.len()).position(|window| window == from.as_bytes()).expect("the text is in the message");
        let mut changed = arrow.clone();
        changed[at..at + from.len()].copy_from_slice(to.as_bytes());
        changed
    };
    let mut many = packed.clone();
    many[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
    vec![
        Case { name: "first good sample", encoding: wire::JSON, payload: good(0), table: "losses", reason: "gap", rows: 0 },
        rejected("empty payload", wire::JSON, vec![], "garbage"),
        rejected("text that is no JSON", wire::JSON, b"hello".to_vec(), "garbage"),
        rejected("JSON of another shape", wire::JSON, b"{\"boot\": 1}".to_vec(), "schema"),
        rejected("JSON with a text for a number", wire::JSON, json(1, T0 + 10_000_000, "\"up\""), "schema"),
        rejected("no encoding", "zenoh/bytes", good(1), "encoding"),
        rejected("an image", "image/png", vec![137, 80, 78, 71], "encoding"),
        rejected("random bytes as Arrow", wire::ARROW, (0..200).map(|k| (k * 37 % 251) as u8).collect(), "garbage"),
        rejected("half an Arrow stream", wire::ARROW, arrow[..arrow.len() / 2].to_vec(), "garbage"),
        rejected("Arrow with a column of another name", wire::ARROW, replaced("accel_y_m_per_s2", "accel_q_m_per_s2"), "schema"),
        rejected("Arrow in another unit", wire::ARROW, replaced("m/s^2", "ft/s2"), "unit"),
        rejected("packed with another magic", wire::PACKED, packed.iter().map(|byte| byte ^ 1).collect(), "garbage"),
        rejected("packed that claims 4 billion samples", wire::PACKED, many, "garbage"),
        rejected("packed cut short", wire::PACKED, packed[..packed.len() - 3].to_vec(), "garbage"),
        rejected("5 MB", wire::JSON, vec![b' '; 5 << 20], "too_large"),
        rejected("a source message of no kind", wire::SOURCE, b"{\"message\":\"begin\"}".to_vec(), "schema"),
        Case { name: "second good sample", encoding: wire::JSON, payload: good(1), table: "losses", reason: "gap", rows: 0 },
        rejected("a sample that came before", wire::JSON, good(1), "duplicate"),
        rejected("a missing value", wire::JSON, json(2, T0 + 20_000_000, "null"), "not_finite"),
        rejected("a time in 1960", wire::JSON, json(3, -315_619_200_000_000_000, "9.81"), "bad_time"),
        Case { name: "a lost sample before this one", encoding: wire::JSON, payload: good(5), table: "losses", reason: "gap", rows: 1 },
        rejected("the same time again", wire::JSON, json(6, T0 + 50_000_000, "9.81"), "equal_time"),
        Case { name: "behind the watermark", encoding: wire::JSON, payload: json(7, T0 + 1, "9.81"), table: "late", reason: "", rows: 2 },
        Case {
            name: "lost, and came after all",
            encoding: wire::JSON,
            payload: good(4),
            table: "losses",
            reason: "came_after_all",
            rows: 1,
        },
        Case { name: "good", encoding: wire::JSON, payload: good(8), table: "losses", reason: "gap", rows: 0 },
        Case { name: "good", encoding: wire::JSON, payload: good(9), table: "losses", reason: "gap", rows: 0 },
        Case { name: "last good sample", encoding: wire::JSON, payload: good(10), table: "losses", reason: "gap", rows: 0 },
    ]
}

fn send(engine: &Engine, sensor: &Sensor, cases: &[Case]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let options = SessionOptions { connect: vec![engine.endpoint().to_owned()], ..SessionOptions::default() };
        let session = proprio_zenoh::open_client(&options, Duration::from_secs(20)).await.expect("the engine listens");
        // The session's start is behind the samples.
        let from = format!("{{\"request\":\"session_start\",\"from_ns\":{}}}", T0 - 1);
        let request = serde_json::from_str(&from).expect("a request");
        proprio_zenoh::control::request(&session, "bad", &request, Duration::from_secs(20)).await.expect("an answer");
        session.put("bad/imu/stranger", "x").await.expect("zenoh sends");
        for case in cases {
            session.put(sensor.key.as_str(), case.payload.clone()).encoding(case.encoding).await.expect("zenoh sends");
        }
        session.close().await.expect("zenoh closes");
    });
}

fn wait_for(engine: &Engine, cases: &[Case]) {
    let give_up = Instant::now() + Duration::from_secs(30);
    while engine.number("SELECT count(*) FROM imu") < 6.0 || cases.iter().any(|case| found(engine, case) < f64::from(case.rows)) {
        if Instant::now() > give_up {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn found(engine: &Engine, case: &Case) -> f64 {
    let reason = if case.reason.is_empty() { String::new() } else { format!(" WHERE reason = '{}'", case.reason) };
    engine.number(&format!("SELECT count(*) FROM {}{reason}", case.table))
}

fn sensor() -> Sensor {
    let file = serde_json::json!({ "rig": "bad", "sensors": {
        "chest": { "kind": "imu", "rate": "100 Hz", "segment": "thorax", "magnetometer": false },
    }});
    let rig = serde_json::from_value::<RigFile>(file).expect("a rig").resolve();
    rig.sensors.into_iter().next().expect("one sensor")
}

fn wire_rows(sensor: &Sensor) -> proprio_core::RecordBatch {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float64Array, Int64Array};
    let schema = sensor.wire_schema();
    let times: ArrayRef = Arc::new(Int64Array::from(vec![T0, T0 + 10_000_000]));
    let values: ArrayRef = Arc::new(Float64Array::from(vec![0.0, 1.0]));
    let columns = std::iter::once(times).chain((1..schema.columns.fields().len()).map(|_| values.clone()));
    proprio_core::rows::batch(&schema, columns.collect())
}
