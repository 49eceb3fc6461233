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
        assert!(figure("alerts") > 50.0, "{text}");
        assert!(0.0 < figure("p50_ms") && figure("p50_ms") <= figure("p95_ms") && figure("p95_ms") <= figure("p99_ms"), "{text}");
    }
    assert!(outcome["p50_ratio"].as_f64() > Some(0.0) && outcome["p99_ratio"].as_f64() > Some(0.0), "{text}");
    let left = std::fs::read_dir(data.path()).expect("the folder stays").count();
    assert_eq!(left, 0, "the bench removes what it recorded");
}
