//! Is what was put right after a session seen when it runs again: a rig with its sides the right way round, an outcome of the day
//! after?

use serde_json::Value;

use crate::harness::{Engine, Files, path};

const PIPELINE: &str = "pipeline: amended
rig: rig.yaml
steps:
  - { id: orientation, op: orientation, from: imu/* }
";

#[test]
fn a_session_is_put_right_after_its_end() {
    let files = Files::new();
    let mut engine = Engine::run(&files.write("pipeline.yaml", PIPELINE));
    let session = &engine.walk("virtual", "4 s");
    let status: Value = serde_json::from_str(&engine.command(&["session", "status", "--json"])).expect("JSON");
    let open = status["status"]["session"].as_str().expect("another session is open");

    // What an open session lacks is said to the engine.
    let refused = engine.over_data(&["amend", open, "--note", "too early"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is being recorded"), "{refused:?}");
    engine.command(&["session", "outcome", "pain_nrs=6", "--author", "a tester"]);
    assert_eq!(engine.sql("SELECT instrument, value, value_unit, items FROM outcomes"), [["pain_nrs", "6.0", "points", "[6]"]]);

    // The shanks' sensors had been strapped to the wrong legs, and the questionnaire came a day later.
    let swapped = files
        .rig
        .replace("shank_left: { kind: imu, rate", "shank_left: { kind: imu, key: lab-1/imu/shank_right, rate")
        .replace("shank_right: { kind: imu, rate", "shank_right: { kind: imu, key: lab-1/imu/shank_left, rate");
    let swapped = files.write("swapped.yaml", &swapped);
    let wrong =
        engine.over_data(&["amend", session, "--rig", path(&files.write("wrong.yaml", "rig: lab-1\nsensors: { a: { kind: imux } }\n"))]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("wrong.yaml:2:"), "{wrong:?}");
    let other = files.write("other.yaml", &files.rig.replace("rig: lab-1", "rig: lab-2"));
    assert_eq!(engine.over_data(&["amend", session, "--rig", path(&other)]).status.code(), Some(1), "another lab's rig");
    let few = engine.over_data(&["amend", session, "--outcome", "odi=1,2,3"]);
    assert!(String::from_utf8_lossy(&few.stderr).contains("odi has 10 items, not 3"), "{few:?}");
    engine.done(&["amend", session, "--rig", path(&swapped), "--why", "shanks swapped", "--who", "a tester"]);
    let entered = ["--outcome", "odi=3,2,1,-,4,2,0,5,3,1", "--note", "slept badly", "--time", "2026-03-02T09:00:00Z"];
    let listed = engine.done(&[&["amend", session, "--who", "a tester", "--json"][..], &entered].concat());
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!((&listed[0]["why"], &listed[1]["decisions"][1]["instrument"]), (&"shanks swapped".into(), &"odi".into()), "{listed}");

    let live = engine.sql(&format!("SELECT DISTINCT run_id FROM orientation WHERE session = '{session}'")).concat();
    let rebuilt: Value = serde_json::from_str(&engine.done(&["rebuild", "--sessions", session, "--json"])).expect("JSON");
    let run = rebuilt["sessions"][0]["run_id"].as_str().expect("a run");
    assert!(rebuilt["sessions"][0]["failed"].is_null() && rebuilt["sessions"][0]["skipped"].is_null() && live != [run], "{rebuilt}");
    engine.done(&["adopt", "--sessions", session, "--recorded"]);
    engine.stop();

    let difference = |table: &str, columns: &str| {
        let rows = |run: &str, sensor: &str| {
            format!("SELECT {columns} FROM {table}_all WHERE session = '{session}' AND run_id = '{run}' AND sensor = '{sensor}'")
        };
        let swaps = [("shank_left", "shank_right"), ("shank_right", "shank_left"), ("pelvis", "pelvis")];
        for (was, is) in swaps {
            let count = engine.number(&format!("SELECT count(*) FROM ({})", rows(run, is)));
            assert!(count > 300.0, "{table} of {is}: {count} rows");
            assert_eq!(engine.number(&format!("SELECT count(*) FROM ({} EXCEPT ALL {})", rows(&live[0], was), rows(run, is))), 0.0);
        }
    };
    difference("imu", "time_ns, sequence, gyro_x_rad_per_s, accel_z_m_per_s2");
    difference("orientation", "time_ns, q_w, q_x, q_y, q_z");
    for table in ["losses", "late", "rejected"] {
        assert_eq!(engine.number(&format!("SELECT count(*) FROM {table}_all WHERE session = '{session}'")), 0.0, "{table}");
    }
    let outcome =
        engine.sql(&format!("SELECT value, answered, author, run_id, CAST(time AS text) FROM outcomes WHERE session = '{session}'"));
    assert_eq!(outcome, [["46.666666666666664", "9", "a tester", run, "2026-03-02T09:00:00Z"]]);
    assert_eq!(engine.sql(&format!("SELECT text FROM notes WHERE session = '{session}'")), [["slept badly"]]);
    let lineage = format!("SELECT origin, assets LIKE '%amendment.0001%amendment.0002%' FROM lineage WHERE run_id = '{run}'");
    assert_eq!(engine.sql(&lineage), [["amendment", "true"]]);
    let audit = "SELECT who, detail FROM audit WHERE kind = 'amend' ORDER BY time_ns";
    assert_eq!(engine.sql(audit), [["a tester", "amendment 1: rig.yaml"], ["a tester", "amendment 2: note \"slept badly\", odi"]]);

    // Whatever pipeline reads the session, and whatever rig file stands beside it, the shanks are the right way round.
    let again = files.write("again.yaml", &format!("{PIPELINE}# again\n"));
    let rebuilt: Value =
        serde_json::from_str(&engine.done(&["rebuild", "--sessions", session, "--pipeline", path(&again), "--json"])).expect("JSON");
    let other = rebuilt["sessions"][0]["run_id"].as_str().expect("a run");
    let first = |run: &str| {
        engine.sql(&format!(
            "SELECT gyro_x_rad_per_s FROM imu_all WHERE run_id = '{run}' AND sensor = 'shank_left' AND session = '{session}' ORDER BY time_ns"
        ))
    };
    assert!(other != run && first(other) == first(run), "{rebuilt}");

    engine.done(&["replay", session, "--verify"]);
    let subject = engine.sql(&format!("SELECT DISTINCT subject FROM sessions WHERE session = '{session}'")).concat().concat();
    engine.done(&["forget", &subject, "--yes"]);
    let left = std::fs::read_dir(engine.data().join("recording/lab-1")).expect("it is there");
    let names = left.map(|entry| entry.expect("it can be listed").file_name().into_string().expect("text"));
    assert_eq!(names.filter(|name| name.contains("amendment")).collect::<Vec<_>>(), ["amendments.lock"]);
}
