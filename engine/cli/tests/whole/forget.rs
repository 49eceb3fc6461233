//! Is a person gone for good, and what is too old, while everybody else's rows stay?

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::architecture::root;
use crate::harness::{Engine, path};

const SUBJECT: &str = "MARKER-SUBJECT-7741";
const NOTE: &str = "MARKER-NOTE-9903";
const OTHER: &str = "MARKER-OTHER-2205";

#[test]
fn nothing_of_a_person_is_left_and_what_is_too_old_goes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pipeline = folder.path().join("pipeline.yaml");
    let text = "pipeline: forget\nrig: rig.yaml\nsteps:\n  - { id: orientation, op: orientation, from: imu/* }\n";
    std::fs::copy(root().join("pipelines/walking/rig.yaml"), folder.path().join("rig.yaml")).expect("it is copied");
    std::fs::write(&pipeline, text).expect("it is written");
    let mut engine = Engine::run_with(&pipeline, &["--watch"]);
    let simulate = |subject: &str, duration: &str| {
        let args = ["simulate", "--layout", "walking", "--duration", duration, "--speed", "max", "--json", "--subject", subject];
        let outcome: serde_json::Value = serde_json::from_str(&engine.command(&args)).expect("JSON");
        outcome["session"].as_str().expect("a name").to_owned()
    };
    let other = simulate(OTHER, "1 s");
    engine.command(&["session", "start", "--subject", SUBJECT]);
    engine.command(&["session", "note", NOTE, "--author", SUBJECT]);
    let theirs = simulate(SUBJECT, "2 s");
    assert!(!files_with(&engine.data(), &[SUBJECT, NOTE]).is_empty(), "the markers are there");
    let stays = |engine: &Engine| engine.number(&format!("SELECT count(*) FROM imu WHERE session = '{other}'"));
    let before = stays(&engine);
    assert!(before > 700.0);

    let shown = engine.over_data(&["forget", SUBJECT]);
    assert_eq!(shown.status.code(), Some(1));
    assert!(engine.number(&format!("SELECT count(*) FROM imu WHERE session = '{theirs}'")) > 1500.0, "without --yes all is as it was");
    engine.command(&["session", "start", "--subject", SUBJECT]);
    let refused = engine.over_data(&["forget", SUBJECT, "--yes"]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("stop it first"), "an open session is refused");
    engine.command(&["session", "stop"]);

    let forgotten: serde_json::Value =
        serde_json::from_str(&engine.done(&["forget", SUBJECT, "--yes", "--who", "a tester", "--json"])).expect("JSON");
    assert_eq!(forgotten["sessions"].as_array().map(Vec::len), Some(3), "{forgotten}");
    assert!(forgotten["rows"]["imu"].as_u64() > Some(1500) && forgotten["segments"].as_u64() >= Some(3), "{forgotten}");
    assert_eq!(files_with(&engine.data(), &[SUBJECT, NOTE]), Vec::<PathBuf>::new(), "while the engine goes on");
    let after = simulate(OTHER, "1 s");
    assert_eq!((stays(&engine), engine.number(&format!("SELECT count(*) FROM imu WHERE session = '{after}'"))), (before, before));
    let again = ["rebuild", "--sessions", "all", "--pipeline", path(&pipeline), "--json"];
    assert!(engine.done(&again).contains("could not be told"), "a rebuild passes over what is live, and over what is gone");

    too_old(&engine, &pipeline, text);
    engine.stop();
    assert_eq!(files_with(&engine.data(), &[SUBJECT, NOTE]), Vec::<PathBuf>::new(), "after it has ended");
    let audit = engine.sql("SELECT who, subject, detail FROM audit WHERE kind = 'forget'");
    assert!(audit.len() == 1 && audit[0][0] == "a tester" && audit[0][1].len() == 32, "{audit:?}");
    assert!(audit[0][2].starts_with("3 sessions"), "{audit:?}");

    // The same without an engine.
    engine.done(&["forget", OTHER, "--yes"]);
    assert_eq!(files_with(&engine.data(), &[OTHER]), Vec::<PathBuf>::new());
    assert_eq!(stays(&engine), 0.0);
    assert_eq!(engine.number("SELECT count(*) FROM audit WHERE kind = 'forget'"), 2.0);
}

/// Limits that come with a reload are obeyed at once: the simulated samples are from years ago, the recording is from now.
fn too_old(engine: &Engine, pipeline: &Path, text: &str) {
    let stubs = || files_with(&engine.data().join("recording"), &["retention"]).len();
    let rows = || engine.number("SELECT count(*) FROM orientation");
    assert!(rows() > 0.0 && stubs() == 0);
    std::fs::write(pipeline, format!("{text}tables: {{ orientation: 30 d }}\nrecording: {{ keep: 1 ms }}\n")).expect("it is written");
    engine.wait_for_log("removed what was older than is kept", 1);
    // What waits for its commit is removed after it.
    let give_up = Instant::now() + Duration::from_secs(60);
    while rows() > 0.0 {
        assert!(Instant::now() < give_up, "rows from years ago stay: {}", engine.log());
        std::thread::sleep(Duration::from_secs(1));
        engine.signal("HUP");
    }
    assert!(engine.number("SELECT count(*) FROM imu") > 0.0, "only the table that is named has a limit");
    assert!(stubs() > 0, "segments of sessions that are over went");
    assert!(engine.log().contains("reloaded at position"), "{}", engine.log());
    let skipped = engine.done(&["rebuild", "--sessions", &format!("subject {OTHER}"), "--pipeline", path(pipeline), "--json"]);
    assert!(skipped.contains("older than is kept") && !skipped.contains("\"failed\": \""), "{skipped}");
}

/// Files below a folder in which one of these texts stands.
fn files_with(folder: &Path, texts: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            found.extend(files_with(&path, texts));
            continue;
        }
        // A file that goes while they are listed holds nothing.
        let bytes = std::fs::read(&path).unwrap_or_default();
        if texts.iter().any(|text| bytes.windows(text.len()).any(|window| window == text.as_bytes())) {
            found.push(path);
        }
    }
    found
}
