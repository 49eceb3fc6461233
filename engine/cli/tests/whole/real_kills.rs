//! Does a real engine that is killed lose or invent anything? A few rounds of the bench that people run by the hundred.

use crate::harness::{finish, proprio};

#[test]
fn a_killed_engine_loses_nothing_and_its_tables_are_what_the_recording_gives() {
    let output = finish(proprio().args(["--log", "warn,zenoh=off", "faults", "--real", "5", "--json"]));
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{complained}");
    let outcome: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert!(outcome["kills"].as_u64() >= Some(5), "{outcome}");
    let figure =
        |stream: &str, what: &str| outcome["samples"][stream][what].as_i64().unwrap_or_else(|| panic!("{stream} {what}: {outcome}"));
    for stream in ["emg/muscles", "events/clicks", "imu/cached", "imu/plain"] {
        assert!(figure(stream, "published") > 20, "{outcome}");
        assert_eq!(figure(stream, "lost"), 0, "{outcome}");
    }
    // What was missed comes in order: it belongs to the stream. Clicks have no rate, so that the next one says they are over.
    for stream in ["emg/muscles", "imu/cached", "imu/plain"] {
        let late = figure(stream, "late");
        assert!(late * 20 < figure(stream, "published"), "most of {stream} is late: {outcome}");
    }
    assert_eq!(figure("imu/cached", "duplicates"), 0, "the engine asks a cache for nothing that it has: {outcome}");
}
