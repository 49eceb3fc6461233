//! Is every sample accounted for, whatever happens to it on the way?

use crate::architecture::root;
use crate::harness::{Engine, path};

#[test]
fn published_is_stored_and_late_and_rejected_and_lost() {
    let mut engine = Engine::run(&root().join("pipelines/full-lab/pipeline.yaml"));
    let faults = ["dropout=2%", "duplicate=1%", "out-of-order=1%", "garbage=1%", "jitter=5ms"];
    let mut args = vec![
        "simulate",
        "--layout",
        "full-lab",
        "--duration",
        "10 s",
        "--speed",
        "max",
        "--json",
        "--dropout-kinds",
        "imu,emg,force,markers",
    ];
    args.extend(faults.iter().flat_map(|fault| ["--fault", fault]));
    let outcome: serde_json::Value = serde_json::from_str(&engine.command(&args)).expect("JSON");
    let made = outcome["made_samples"].as_f64().expect("a count");
    let dropped = outcome["dropped_samples"].as_f64().expect("a count");
    assert!(dropped > 0.0, "the faults were there: {outcome}");

    assert_eq!(accounted(&engine), made);
    assert!(engine.number("SELECT count(*) FROM rejected WHERE reason = 'duplicate'") > 0.0);
    assert!(engine.number("SELECT count(*) FROM rejected WHERE sequence IS NULL") > 0.0, "garbage was kept");
    assert!(engine.number("SELECT count(*) FROM gait") > 4.0);
    engine.stop();
    assert_eq!(accounted(&engine), made, "Delta holds every row");
    engine.local(&["replay", "all", "--verify", "--data", path(&engine.data())]);
}

/// Samples that are stored, late, rejected or lost.
pub fn accounted(engine: &Engine) -> f64 {
    let kinds = ["imu", "emg", "force", "markers", "truth"];
    let stored: f64 = kinds.iter().map(|kind| engine.number(&format!("SELECT count(*) FROM {kind}"))).sum();
    let late = engine.number("SELECT count(*) FROM late");
    let rejected = engine.number("SELECT count(*) FROM rejected WHERE sequence IS NOT NULL AND reason <> 'duplicate'");
    let lost = engine.number("SELECT coalesce(sum(count), 0) FROM losses");
    println!("{stored} stored + {late} late + {rejected} rejected + {lost} lost");
    stored + late + rejected + lost
}
