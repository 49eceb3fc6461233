//! Does a real recording of a motion-capture lab, played over zenoh, give figures that agree with the lab's own marks?

use std::path::Path;

use crate::architecture::root;
use crate::harness::{Engine, path, recording};

/// Tables of `pipelines/gait-lab`, and what puts their rows in one order.
const TABLES: [(&str, &str); 9] = [
    ("markers", "sensor, time_ns"),
    ("force", "sensor, time_ns"),
    ("emg", "sensor, time_ns"),
    ("events", "sensor, time_ns, event, side"),
    ("plate_contacts", "time_ns, event, side"),
    ("marker_contacts", "time_ns, event, side"),
    ("cycles", "time_ns, side"),
    ("annotated_cycles", "time_ns, side"),
    ("envelope", "time_ns"),
];

#[test]
fn a_vicon_trial_agrees_with_its_annotations_at_any_speed() {
    let Some(file) = recording("Vicon trial in gait-lab", "lab/Vicon_analysis.c3d") else { return };
    let mut fast = played(&file, "max");
    contacts_agree(&fast);
    cycles_agree(&fast);
    dead_channels_are_flagged(&fast);
    let while_running = tables(&fast);
    fast.stop();
    assert_eq!(tables(&fast), while_running, "Delta gives what the running engine gave");
    fast.local(&["replay", "all", "--verify", "--data", path(&fast.data())]);
    let in_real_time = tables(&played(&file, "1"));
    for (((table, _), fast), real) in TABLES.iter().zip(&while_running).zip(&in_real_time) {
        assert!(fast == real, "{table} differs between speed max and speed 1");
    }
}

fn played(file: &Path, speed: &str) -> Engine {
    let engine = Engine::run(&root().join("pipelines/gait-lab/pipeline.yaml"));
    let said = engine.command(&["play", path(file), "--speed", speed]);
    println!("{said}");
    assert!(said.contains("samples") && said.to_lowercase().contains("cadence"), "it prints Vicon's own figures: {said}");
    assert_eq!(engine.number("SELECT count(*) FROM losses"), 0.0);
    assert_eq!(engine.number("SELECT (SELECT count(*) FROM late) + (SELECT count(*) FROM rejected)"), 0.0);
    engine
}

/// Plate strikes within 2 ms and plate offs within 5 ms of the annotated events.
fn contacts_agree(engine: &Engine) {
    let rows = engine.sql(
        "SELECT p.event, p.side, (p.time_ns - a.time_ns) / 1e6 FROM plate_contacts p JOIN events a
         ON a.event = p.event AND a.side = p.side AND abs(p.time_ns - a.time_ns) < 100000000 ORDER BY p.time_ns",
    );
    let found = engine.number("SELECT count(*) FROM plate_contacts");
    assert!(rows.len() >= 4 && rows.len() as f64 >= found - 1.0, "{found} plate contacts, {} of them annotated", rows.len());
    for row in rows {
        let error_ms: f64 = row[2].parse().expect("a difference");
        println!("{} {}: {error_ms:+.2} ms", row[0], row[1]);
        let bound_ms = if row[0] == "initial_contact" { 2.0 } else { 5.0 };
        assert!(error_ms.abs() <= bound_ms, "{row:?}");
    }
}

/// Every duration between two contacts within 5 ms where plates saw both, and 25 ms where markers saw one.
fn cycles_agree(engine: &Engine) {
    let measures = [
        ("stride_time_s", ["start_method", "end_method"]),
        ("step_time_s", ["opposite_contact_method", "end_method"]),
        ("single_support_s", ["opposite_off_method", "opposite_contact_method"]),
        ("initial_double_support_s", ["start_method", "opposite_off_method"]),
        ("terminal_double_support_s", ["opposite_contact_method", "off_method"]),
    ];
    for (measure, [first, second]) in measures {
        let rows = engine.sql(&format!(
            "SELECT c.side, c.{first} = 'force' AND c.{second} = 'force', (c.{measure} - a.{measure}) * 1000
             FROM cycles c JOIN annotated_cycles a ON a.side = c.side AND abs(a.time_ns - c.time_ns) < 100000000
             WHERE c.{measure} IS NOT NULL AND a.{measure} IS NOT NULL ORDER BY c.time_ns"
        ));
        assert_eq!(rows.len(), 6, "cycles with {measure}");
        for row in rows {
            let (by_plates, error_ms) = (row[1] == "true", row[2].parse::<f64>().expect("a difference"));
            println!("{measure} {}: {error_ms:+.2} ms{}", row[0], if by_plates { ", by plates" } else { "" });
            assert!(error_ms.abs() <= if by_plates { 5.0 } else { 25.0 }, "{measure}: {row:?}");
        }
    }
}

/// 13 of the 16 channels have a muscle.
fn dead_channels_are_flagged(engine: &Engine) {
    let mut dead = Vec::new();
    for channel in 1..=16 {
        let good = engine.number(&format!("SELECT avg(CASE WHEN emg{channel}_quality = 'good' THEN 1.0 ELSE 0.0 END) FROM envelope"));
        let envelope = engine.number(&format!("SELECT count(emg{channel}_envelope_v) FROM envelope"));
        assert!(envelope > 500.0, "channel {channel} has an envelope");
        if good < 0.5 {
            dead.push(channel);
        }
    }
    assert_eq!(dead, [14, 15, 16]);
}

/// All rows of each table as Arrow bytes, in one order, without what differs between two sessions.
fn tables(engine: &Engine) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ask = |(table, order): &(&str, &str)| {
        let file = folder.path().join(table);
        let query = format!("SELECT * EXCEPT (session) FROM {table} ORDER BY {order}");
        engine.local(&["sql", &query, "--format", "arrow", "--output", path(&file), "--data", path(&engine.data())]);
        std::fs::read(file).expect("the answer was written")
    };
    TABLES.iter().map(ask).collect()
}
