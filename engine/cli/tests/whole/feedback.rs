//! Do cues reach whoever listens for the patient, and does none go out that isn't to be trusted?

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use proprio_core::control::key;
use proprio_zenoh::{SessionOptions, open_client};
use serde_json::Value;

use crate::architecture::root;
use crate::harness::Engine;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn cues_reach_a_subscriber_and_a_bad_calibration_gives_refusals_only() {
    let mut engine = Engine::run(&root().join("pipelines/hip-thrust/pipeline.yaml"));
    let runtime = tokio::runtime::Runtime::new().expect("threads for zenoh");
    let options = SessionOptions { connect: vec![engine.endpoint().to_owned()], ..SessionOptions::default() };
    let session = runtime.block_on(open_client(&options, PATIENCE)).expect("the engine listens");
    let (tell, heard) = channel();
    let cues = session.declare_subscriber(key::cue("lab-1", "hold_feedback"));
    let cues = cues.callback(move |sample| {
        // Nobody hears any more once the test has ended.
        let _ = tell.send(serde_json::from_slice::<Value>(&sample.payload().to_bytes()).expect("JSON"));
    });
    let _cues = runtime.block_on(async { cues.await }).expect("zenoh subscribes");

    let trained = |calibration: &str, seconds: &str| {
        let args = ["simulate", "--layout", "hip-thrust", "--speed", "max", "--json", "--placement", "10deg", "--calibration"];
        let told = engine.command(&[&args[..], &[calibration, "--duration", seconds]].concat());
        let told: Value = serde_json::from_str(&told).expect("JSON");
        told["session"].as_str().expect("a name").to_owned()
    };
    let told = |session: &str| {
        engine.sql(&format!("SELECT time_ns, message FROM hold_feedback WHERE session = '{session}' AND action = 'cue' ORDER BY time_ns"))
    };

    let good = trained("good", "100 s");
    let rows = told(&good);
    assert!(rows.len() >= 3, "{rows:?}");
    let cues = hear(&heard, rows.len());
    let said: Vec<Vec<String>> = cues.iter().map(|cue| vec![cue["time_ns"].to_string(), text(cue, "message")]).collect();
    assert_eq!(said, rows, "each cue of the table went out, in order");
    assert!(cues.iter().all(|cue| text(cue, "session") == good && text(cue, "step") == "hold_feedback" && cue["unrecorded"] == false));
    let ids: Vec<String> = cues.iter().map(|cue| text(cue, "id")).collect();
    let audited = engine.sql("SELECT what FROM audit WHERE kind = 'alert_sent' ORDER BY time_ns").concat();
    assert!(ids.iter().all(|id| audited.contains(id)), "what was sent is audited: {ids:?} {audited:?}");

    let bad = trained("few-repetitions", "60 s");
    let refused = "SELECT action, reason, count(*) > 2 FROM hold_feedback WHERE session = ";
    let refused = engine.sql(&format!("{refused}'{bad}' GROUP BY action, reason"));
    assert_eq!(refused, [["refused", "the sensors aren't calibrated", "true"]]);
    // Cues go out in order, so one of a later session would come after any of this one's.
    let again = trained("good", "60 s");
    let next = hear(&heard, 1);
    assert_eq!(text(&next[0], "session"), again, "nobody was told what bad sensors measured");
    engine.stop();
}

/// The next cues.
fn hear(heard: &Receiver<Value>, count: usize) -> Vec<Value> {
    (0..count).map(|_| heard.recv_timeout(PATIENCE).expect("another cue")).collect()
}

fn text(cue: &Value, name: &str) -> String {
    cue[name].as_str().unwrap_or_else(|| panic!("a cue has {name}: {cue}")).to_owned()
}
