//! Do a person's words over `@control` reach the tables?

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
