//! Does a running engine take changed files up without losing a sample, and stay as it was when they are wrong?

use std::path::Path;
use std::time::Duration;

use proprio_zenoh::{SessionOptions, open_client};

use crate::accounting::accounted;
use crate::architecture::root;
use crate::harness::{Engine, finish, path, proprio};

const BEFORE: &str = "pipeline: watched
rig: rig.yaml
steps:
  - { id: orientation, op: orientation, from: imu/* }
  - { id: envelope, op: emg_envelope, from: emg/muscles, with: { rate: 100 Hz } }
";

#[test]
fn changed_files_are_taken_up_without_losing_a_sample() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (pipeline, rig) = (folder.path().join("pipeline.yaml"), folder.path().join("rig.yaml"));
    let sensors = std::fs::read_to_string(root().join("pipelines/walking/rig.yaml")).expect("the rig is there");
    let write = |path: &Path, text: &str| std::fs::write(path, text).expect("it is written");
    write(&rig, &sensors);
    write(&pipeline, BEFORE);
    let mut engine = Engine::run_with(&pipeline, &["--watch"]);

    let endpoint = engine.endpoint().to_owned();
    let published = std::thread::spawn(move || {
        let args = ["simulate", "--layout", "walking", "--duration", "12 s", "--json", "--connect", &endpoint];
        finish(proprio().args(args))
    });
    engine.wait_for_log("is there", 13);

    // A step that is new and one that has changed begin anew; what they read goes on.
    let after =
        BEFORE.replace("rate: 100 Hz", "rate: 50 Hz") + "  - { id: fused, op: align, from: orientation/*, with: { rate: 50 Hz } }\n";
    write(&pipeline, &after);
    engine.wait_for_log("reloaded at position", 1);
    assert!(engine.log().contains("fresh=\"envelope, fused\""), "{}", engine.log());
    let answer: serde_json::Value = serde_json::from_str(&engine.done(&["reload", "--json"])).expect("JSON");
    let kept = answer["reloaded"]["kept"].as_array().expect("a list");
    assert!(
        kept.contains(&"imu/pelvis".into()) && kept.contains(&"orientation/pelvis".into()) && kept.contains(&"fused".into()),
        "{answer}"
    );
    assert!(answer["reloaded"]["fresh"].as_array().is_some_and(Vec::is_empty), "what didn't change is kept: {answer}");

    // A mistake changes nothing, and is told where it is.
    write(&pipeline, &after.replace("op: emg_envelope", "op: emg_envelop"));
    engine.wait_for_log("not reloaded", 1);
    let refused = engine.over_data(&["reload"]);
    assert_eq!(refused.status.code(), Some(2));
    let findings = String::from_utf8(refused.stderr).expect("text");
    assert!(findings.contains("pipeline.yaml:5:25") && findings.contains("emg_envelope"), "{findings}");
    write(&pipeline, &after);
    engine.wait_for_log("reloaded at position", 3);
    engine.signal("HUP");
    engine.wait_for_log("reloaded at position", 4);

    // A sensor that comes with a new rig file is heard.
    write(&rig, &format!("{sensors}  buttons: {{ kind: events }}\n"));
    engine.wait_for_log("reloaded at position", 5);
    press(engine.endpoint(), 3);

    let published = published.join().expect("it was published");
    assert!(published.status.success(), "{}\n{}", String::from_utf8_lossy(&published.stderr), engine.log());
    let published: serde_json::Value = serde_json::from_slice(&published.stdout).expect("JSON");
    engine.stop();
    let lost = engine.number("SELECT coalesce(sum(count), 0) FROM losses");
    assert_eq!(lost, published["dropped_samples"].as_f64().expect("a count"), "only what the simulated radio lost is lost");
    assert_eq!(accounted(&engine), published["made_samples"].as_f64().expect("a count"));
    assert_eq!(engine.number("SELECT count(*) FROM events WHERE sensor = 'buttons' AND event = 'pressed'"), 3.0);
    assert_eq!(engine.number("SELECT count(*) FROM audit WHERE kind = 'reload'"), 5.0);
    let session = published["session"].as_str().expect("a name");
    engine.done(&["replay", session, "--verify"]);
    unchanged_steps_never_noticed(&engine, folder.path(), &sensors, session);
}

/// The session, run again from its recording through the first files, without a reload.
fn unchanged_steps_never_noticed(engine: &Engine, folder: &Path, sensors: &str, session: &str) {
    let (pipeline, rig) = (folder.join("pipeline.yaml"), folder.join("rig.yaml"));
    std::fs::write(&rig, sensors).and_then(|()| std::fs::write(&pipeline, BEFORE)).expect("they are written");
    let rebuilt: serde_json::Value =
        serde_json::from_str(&engine.done(&["rebuild", "--sessions", session, "--pipeline", path(&pipeline), "--json"])).expect("JSON");
    let run = rebuilt["sessions"][0]["run_id"].as_str().expect("a run");
    // The run was live until the first reload, so a rebuild under its name would give rows twice.
    assert!(rebuilt["sessions"][0]["skipped"].as_str().is_some_and(|reason| reason.contains("live")), "{rebuilt}");

    std::fs::write(&pipeline, format!("{BEFORE}# again\n")).expect("it is written");
    let rebuilt: serde_json::Value =
        serde_json::from_str(&engine.done(&["rebuild", "--sessions", session, "--pipeline", path(&pipeline), "--json"])).expect("JSON");
    let again = rebuilt["sessions"][0]["run_id"].as_str().expect("a run");
    assert_ne!(again, run);
    let rows = |run: &str| {
        let columns = "time_ns, sensor, q_w, q_x, q_y, q_z";
        format!("SELECT {columns} FROM orientation_all WHERE session = '{session}' AND run_id {run}")
    };
    let (live, rebuilt) = (rows(&format!("<> '{again}'")), rows(&format!("= '{again}'")));
    assert!(engine.number(&format!("SELECT count(*) FROM ({live})")) > 8.0 * 800.0);
    for difference in [format!("{live} EXCEPT ALL {rebuilt}"), format!("{rebuilt} EXCEPT ALL {live}")] {
        assert_eq!(engine.number(&format!("SELECT count(*) FROM ({difference})")), 0.0, "live and rebuilt orientations differ");
    }
}

/// Publishes presses of a button, as a shell would.
fn press(endpoint: &str, times: i64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let options = SessionOptions { connect: vec![endpoint.to_owned()], ..SessionOptions::default() };
        let session = open_client(&options, Duration::from_secs(20)).await.expect("the engine is there");
        for sequence in 0..times {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later than 1970");
            let press = serde_json::json!({
                "boot": 1, "sequence": sequence, "time_ns": now.as_nanos() as i64, "event": "pressed", "side": "none", "label": null,
            });
            session.put("lab-1/events/buttons", press.to_string()).encoding("application/json").await.expect("it is sent");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        session.close().await.expect("it closes");
    });
}
