//! Do the promises hold when everything goes wrong at once? The simulated bench; `real_kills` kills the real thing.

use crate::harness::{finish, proprio};

#[test]
fn two_hundred_seeds_of_faults_break_no_promise() {
    let output = finish(proprio().args(["faults", "--seeds", "200", "--json"]));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let outcome: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    println!("{}", outcome["tally"]);
    // A bench that met no fault has shown nothing.
    for met in ["power_cuts", "from_snapshot", "recovered_messages", "reloads", "takeovers", "overflowed", "rounds_cut", "acknowledged"] {
        assert!(outcome["tally"][met].as_u64().is_some_and(|count| count > 20), "{met}: {text}");
    }
}
