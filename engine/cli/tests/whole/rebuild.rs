//! Do sessions run again through another pipeline beside the rows that they have, also when that is stopped half-way?

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Engine, Files, path, proprio};

const BEFORE: &str = "pipeline: again
rig: rig.yaml
steps:
  - { id: orientation, op: orientation, from: imu/* }
  - { id: envelope, op: emg_envelope, from: emg/muscles, with: { rate: 100 Hz } }
";

/// By then a running engine has looked at what other processes have committed.
const FOLLOWED: Duration = Duration::from_millis(1200);

#[test]
fn a_session_is_rebuilt_beside_its_rows_and_adopted() {
    let files = Files::new();
    let mut engine = Engine::run(&files.write("pipeline.yaml", BEFORE));
    let session = &engine.walk("virtual", "6 s");
    let count = |engine: &Engine, table: &str| engine.number(&format!("SELECT count(*) FROM {table} WHERE session = '{session}'"));
    let live = count(&engine, "envelope");

    // Another rate, and a rig file that lacks a sensor.
    files.write("less.yaml", &files.rig.replace("  plate_2: { kind: force, rate: 1000 Hz, side: right }\n", ""));
    let new = files.write("new.yaml", &BEFORE.replace("rig.yaml", "less.yaml").replace("100 Hz", "50 Hz"));
    let outcome = rebuild(&engine, "all", &new);
    let of = |outcome: &Value, id: &str| outcome["sessions"].as_array().expect("a list").iter().find(|of| of["session"] == id).cloned();
    let rebuilt = of(&outcome, session).expect("the session is among all");
    let run = rebuilt["run_id"].as_str().expect("a run").to_owned();
    assert!(rebuilt["skipped"].is_null() && rebuilt["failed"].is_null() && rebuilt["rows"].as_u64() > Some(20_000), "{outcome}");
    assert!(rebuilt["undeclared_messages"].as_u64() > Some(50), "the plate's messages were passed over: {outcome}");
    assert!((rebuilt["duration_s"].as_f64().expect("a number") - 6.0).abs() < 0.2, "{outcome}");
    let skipped = outcome["sessions"].as_array().expect("a list").iter().filter(|of| of["skipped"] == "it is open").count();
    assert_eq!(skipped, 1, "the session that the engine has open is left alone: {outcome}");
    assert_eq!(count(&engine, "envelope"), live, "until it is adopted nobody sees it");
    assert!((count(&engine, "envelope_all") - 1.5 * live).abs() < 20.0);
    assert_eq!(of(&rebuild(&engine, session, &new), session).expect("it was named")["skipped"], "already there");

    // The same steps under another name, stopped after the first of many commits.
    let text = std::fs::read_to_string(&new).expect("it is there");
    let slow = files.write("stopped.yaml", &format!("{text}# stopped\n"));
    kill_half_way(&engine, session, &slow);
    std::thread::sleep(FOLLOWED);
    let stopped = engine.sql(&format!("SELECT DISTINCT run_id FROM lineage WHERE session = '{session}' AND origin = 'rebuild'"));
    let stopped = stopped.concat().into_iter().find(|of| *of != run).expect("its lineage was committed first");
    assert_eq!(engine.number(&format!("SELECT count(*) FROM sessions_all WHERE run_id = '{stopped}'")), 0.0, "it is not complete");
    assert_eq!(engine.over_data(&["adopt", "--sessions", session, "--run", &stopped]).status.code(), Some(1), "half a run is refused");
    assert_eq!(count(&engine, "envelope"), live);
    assert!(of(&rebuild(&engine, session, &slow), session).expect("it was named")["skipped"].is_null(), "it goes on");
    for (table, columns) in [
        ("orientation", "time_ns, sensor, q_w, q_x, q_y, q_z"),
        ("envelope", "time_ns, gluteus_medius_left_envelope_v"),
        ("emg", "time_ns, sensor, gluteus_medius_left_v"),
        ("losses", "time_ns, stream, sequence, count"),
        ("sessions", "time_ns, state, subject"),
    ] {
        let rows = |run: &str| format!("SELECT {columns} FROM {table}_all WHERE session = '{session}' AND run_id = '{run}'");
        for (one, other) in [(&run, &stopped), (&stopped, &run)] {
            let difference = format!("SELECT count(*) FROM ({} EXCEPT ALL {})", rows(one), rows(other));
            // The running engine follows other processes' commits when it next looks, which a busy machine puts off.
            let give_up = Instant::now() + Duration::from_secs(20);
            while engine.number(&difference) != 0.0 {
                assert!(Instant::now() < give_up, "{table}: a rebuild that was stopped differs from one that was not");
                std::thread::sleep(FOLLOWED);
            }
        }
    }

    engine.done(&["adopt", "--sessions", "subject virtual", "--pipeline", path(&new), "--who", "a tester"]);
    std::thread::sleep(FOLLOWED);
    assert!((count(&engine, "envelope") - 0.5 * live).abs() < 20.0, "the running engine shows what was adopted");
    assert_eq!(engine.number(&format!("SELECT count(DISTINCT run_id) FROM imu WHERE session = '{session}'")), 1.0);
    engine.done(&["adopt", "--sessions", session, "--live"]);
    engine.stop();
    assert_eq!(count(&engine, "envelope"), live, "what was live is shown again");
    let audit = engine.sql("SELECT who, what FROM audit WHERE kind = 'adopt' ORDER BY time_ns LIMIT 1");
    assert_eq!(audit, [["a tester", session]]);
}

fn rebuild(engine: &Engine, sessions: &str, pipeline: &Path) -> Value {
    let output = engine.done(&["rebuild", "--sessions", sessions, "--pipeline", path(pipeline), "--json"]);
    std::thread::sleep(FOLLOWED);
    serde_json::from_str(&output).expect("JSON")
}

/// Kills a rebuild as soon as its row of lineage is committed, which comes before everything else.
fn kill_half_way(engine: &Engine, session: &str, pipeline: &Path) {
    let log = engine.data().join("tables/lineage/_delta_log");
    let rebuilds = || {
        let entries = std::fs::read_dir(&log).expect("the table is there").map(|entry| entry.expect("it can be listed").path());
        let by_rebuild = |path: std::path::PathBuf| std::fs::read_to_string(path).is_ok_and(|text| text.contains(&format!("/{session}\"")));
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "json")).filter(|path| by_rebuild(path.clone())).count()
    };
    let before = rebuilds();
    let mut command = proprio();
    command.args(["rebuild", "--sessions", session, "--pipeline", path(pipeline), "--data", path(&engine.data())]);
    let mut process = Killed(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts"));
    let give_up = Instant::now() + Duration::from_secs(60);
    while rebuilds() == before {
        assert!(process.0.try_wait().expect("the process is ours").is_none() && Instant::now() < give_up, "it commits while it runs");
    }
}

/// A process that is killed when it is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
