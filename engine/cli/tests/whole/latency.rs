//! Does the bench of the recording's latency measure anything? How fast it is depends on the machine, and is never asserted.

use crate::harness::{finish, path, proprio};

#[test]
fn alerts_are_measured_with_the_recording_on_and_off() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let bench = ["bench", "recording", "--rounds", "1", "--seconds", "1", "--json", "--data", path(data.path())];
    let output = finish(proprio().args(bench));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let outcome: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for side in ["on", "off"] {
        let figure = |name: &str| outcome[side][name].as_f64().unwrap_or_else(|| panic!("{side} {name}: {text}"));
        // 125 samples, each of which toggles the alert; those that warm it up are left out.
        assert!(figure("count") > 50.0, "{text}");
        assert!(0.0 < figure("p50_ms") && figure("p50_ms") <= figure("p95_ms") && figure("p95_ms") <= figure("p99_ms"), "{text}");
    }
    assert!(outcome["p50_ratio"].as_f64() > Some(0.0) && outcome["p99_ratio"].as_f64() > Some(0.0), "{text}");
    let left = std::fs::read_dir(data.path()).expect("the folder stays").count();
    assert_eq!(left, 0, "the bench removes what it recorded");
}

#[test]
fn live_rows_are_timed_beside_alerts() {
    let bench = ["bench", "live", "--reading", "3", "--silent", "2", "--seconds", "1", "--json"];
    let output = finish(proprio().args(bench));
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let rounds: Vec<serde_json::Value> = serde_json::from_str(&text).expect("JSON");
    let followers: Vec<_> =
        rounds.iter().map(|round| [&round["reading"], &round["silent"], &round["through"]].map(ToString::to_string)).collect();
    let engine = ["1", "0", "\"engine\""];
    let flight = ["1", "0", "\"flight\""];
    let websocket = ["1", "0", "\"websocket\""];
    assert_eq!(followers, [["0", "0", "null"], engine, flight, websocket, ["3", "2", "\"flight\""]]);
    assert!(rounds[0]["rows"].is_null());
    for round in &rounds[1..] {
        let count = |what: &str| round[what]["count"].as_u64();
        assert!(count("rows") > Some(50) && count("rows") == count("alerts"), "every sample has its alert and its row: {text}");
        assert!(round["rows"]["p99_ms"].as_f64() >= round["rows"]["p50_ms"].as_f64(), "{text}");
    }
}
