//! Do a person's words over `@control` reach the tables?

use std::time::{Duration, Instant};

use crate::architecture::root;
use crate::harness::Engine;

#[test]
fn session_commands_are_rows() {
    let mut engine = Engine::run(&root().join("pipelines/walking/pipeline.yaml"));
    engine.command(&["session", "start", "--subject", "S-17", "--task", "walking"]);
    engine.command(&["session", "trial", "turn-1"]);
    engine.command(&["session", "mark", "left turn"]);
    engine.command(&["session", "note", "a cable came loose", "--author", "operator"]);
    let status = engine.command(&["session", "status", "--json"]);
    assert!(status.contains("\"rig\":\"lab-1\"") && status.contains("trunk"), "{status}");
    let top: serde_json::Value = serde_json::from_str(&engine.command(&["top", "--once", "--json"])).expect("JSON");
    assert_eq!(top["trouble"], serde_json::Value::Null);
    assert_eq!(top["sensors"][0]["declared_rate_hz"], 100.0, "{top}");
    let screen = engine.done(&["top", "--once"]);
    assert!(screen.contains("orientation/trunk") && screen.contains("gone"), "{screen}");
    engine.command(&["session", "stop"]);
    let rows = |query: &str| engine.sql(query).concat().join(",");
    assert_eq!(
        rows("SELECT state, subject, task FROM sessions WHERE subject IS NOT NULL ORDER BY time_ns"),
        "started,S-17,walking,ended,S-17,walking"
    );
    assert_eq!(rows("SELECT trial FROM trials"), "turn-1");
    assert_eq!(rows("SELECT event, label FROM events"), "mark,left turn");
    assert_eq!(rows("SELECT author, text FROM notes"), "operator,a cable came loose");
    assert_eq!(rows("SELECT count(DISTINCT session) FROM (SELECT session FROM trials UNION ALL SELECT session FROM notes)"), "1");
    assert_eq!(rows("SELECT DISTINCT pipeline FROM lineage"), "walking");
    let described = engine.sql("DESCRIBE angles");
    assert!(described.iter().any(|row| row[0] == "pelvis_obliquity_deg" && row.iter().any(|cell| cell == "deg")), "{described:?}");
    let ended = engine.number("SELECT count(*) FROM sessions");
    engine.stop();
    // The unnamed session that followed ends with the process.
    assert_eq!(engine.number("SELECT count(*) FROM sessions"), ended + 1.0);
}

const NORMALISED: &str = "pipeline: normalised
rig: rig.yaml
steps:
  - { id: envelope, op: emg_envelope, from: emg/muscles, with: { rate: 100 Hz } }
  - { id: contacts, op: force_events, from: force/*, with: { side: { plate_1: left, plate_2: right } } }
  - { id: activity, op: mvc, from: [envelope, contacts], with: { method: dynamic_peak, strides: 3 } }
";

#[test]
fn a_reference_is_carried_over_and_replays() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pipeline = folder.path().join("pipeline.yaml");
    std::fs::copy(root().join("pipelines/walking/rig.yaml"), folder.path().join("rig.yaml")).expect("the rig is there");
    std::fs::write(&pipeline, NORMALISED).expect("it is written");
    let mut engine = Engine::run(&pipeline);
    let simulate = ["simulate", "--layout", "walking", "--speed", "max", "--json", "--subject"];
    let session = |args: &[&str]| {
        let told = engine.command(&[&simulate, args].concat());
        let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
        told["session"].as_str().expect("a name").to_owned()
    };
    let refused = |args: &[&str]| String::from_utf8_lossy(&engine.over_network(args).stderr).into_owned();
    let nobody = refused(&["session", "start", "--subject", "S-1", "--carry"]);
    assert!(nobody.contains("S-1 has no session yet"), "{nobody}");
    let first = session(&["S-1", "--duration", "20 s"]);
    let another = refused(&["session", "start", "--subject", "S-2", "--carry", &first]);
    assert!(another.contains("not this subject's"), "{another}");
    let second = session(&["S-1", "--duration", "2 s", "--start", "2026-03-02T10:00:00Z", "--carry"]);

    let reference = |session: &str, order: &str| {
        let columns = "gluteus_medius_left_reference_v, gluteus_medius_left_reference_quality, reference";
        engine.sql(&format!("SELECT {columns} FROM activity WHERE session = '{session}' ORDER BY time_ns {order} LIMIT 1")).concat()
    };
    let (learned, carried) = (reference(&first, "DESC"), reference(&second, ""));
    assert!(learned[0].parse::<f64>().is_ok_and(|volts| volts > 0.0) && learned[2] == "this session", "{learned:?}");
    assert_eq!(carried, [learned[0].clone(), "given".to_owned(), format!("session {first}")], "from the first sample on");
    let told = engine.sql(&format!("SELECT event, label, source FROM events WHERE session = '{second}' AND event = 'carried'"));
    assert_eq!(told, [["carried", &format!("from session {first}"), "activity"]]);
    engine.stop();
    engine.done(&["replay", &second, "--verify"]);
}

const DROPPING: &str = "pipeline: dropping
rig: rig.yaml
steps:
  - { id: orientation, op: orientation, from: imu/pelvis }
  - { id: angles, op: joint_angles, from: orientation, with: { heading: 90 deg } }
  - { id: pelvic_drop, op: alert, from: angles, with: { when: \"abs(pelvis_obliquity_deg) > 7\", for: 100 ms, clear: \"abs(pelvis_obliquity_deg) < 5\" } }
";

#[test]
fn an_alert_that_was_seen_says_by_whom() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pipeline = folder.path().join("pipeline.yaml");
    std::fs::copy(root().join("pipelines/walking/rig.yaml"), folder.path().join("rig.yaml")).expect("the rig is there");
    std::fs::write(&pipeline, DROPPING).expect("it is written");
    let engine = Engine::run(&pipeline);
    let nothing = engine.over_network(&["session", "acknowledge", "pelvic_drop"]);
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("no alert 'pelvic_drop' has fired"), "{nothing:?}");
    std::thread::scope(|scope| {
        let walk = || engine.command(&["simulate", "--layout", "walking", "--duration", "12 s", "--impair", "pelvic-drop=12deg:left"]);
        scope.spawn(walk);
        let give_up = Instant::now() + Duration::from_secs(11);
        while engine.number("SELECT count(*) FROM alerts WHERE state = 'firing'") == 0.0 {
            assert!(Instant::now() < give_up, "no alert: {}", engine.log());
            std::thread::sleep(Duration::from_millis(200));
        }
        engine.command(&["session", "acknowledge", "pelvic_drop", "a known weakness", "--author", "dr"]);
    });
    let seen = engine.sql(
        "SELECT seen.step, seen.reason, seen.message = fired.message FROM alerts seen JOIN alerts fired USING (session, stream, \"key\", since_ns) \
         WHERE seen.state = 'acknowledged' AND fired.state = 'firing'",
    );
    assert_eq!(seen, [["pelvic_drop", "dr: a known weakness", "true"]]);
}
