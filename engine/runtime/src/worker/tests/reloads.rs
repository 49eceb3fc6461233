//! What a reload keeps is what it would have been without; what is new sees the rows after it.

use std::collections::BTreeSet;
use std::sync::Arc;

use proprio_core::{Decision, Event, Recorded, TableChunk};

use super::fixture::*;
use super::scenario::{scenario, steady};
use crate::plan::Plan;
use crate::worker::Worker;

#[test]
fn a_reload_of_the_same_plan_changes_no_row() {
    let plan = full_plan();
    for seed in 0..20 {
        let recording = scenario(&plan, seed);
        let straight = lines(&worker(&plan).advance(&recording));
        let mut chance = Chance::new(seed);
        let mut live = worker(&plan);
        let mut chunks = Vec::new();
        for messages in recording.chunks(9) {
            chunks.extend(live.advance(messages));
            if chance.next(3) == 0 {
                let reloaded = live.reload(full_plan(), "run".into());
                assert_eq!((reloaded.kept.len(), reloaded.fresh.len(), reloaded.chunks.len()), (10, 0, 0));
            }
        }
        assert_eq!(lines(&chunks), straight, "seed {seed}");
    }
}

#[test]
fn a_changed_step_begins_anew_and_its_siblings_go_on() {
    let before = plan(rig(), &STEPS);
    let mut steps = STEPS;
    steps[2].1 = 3.0;
    let after = plan(rig(), &steps);
    for seed in 0..20 {
        let recording = scenario(&before, seed);
        let straight = lines(&worker(&before).advance(&recording));
        let (chunks, reloaded, reached) = reload_at(&before, &after, &recording, 60);
        assert_eq!(reloaded.fresh, ["all", "last"], "and what reads it");
        assert_eq!(reloaded.kept, ["imu/a", "imu/b", "events/c", "of_a", "both", "told"]);
        let siblings =
            |lines: Vec<String>| lines.into_iter().filter(|line| !line.starts_with("all/") && !line.starts_with("last/")).collect();
        let (rows, due): (Vec<String>, Vec<String>) = (siblings(lines(&chunks)), siblings(straight));
        assert_eq!(rows, due, "seed {seed}");
        let first: Vec<_> = chunks.iter().filter(|chunk| chunk.session == "first").cloned().collect();
        for step in ["all", "last"] {
            let times = integers(&first, step, "time_ns");
            assert!(times.is_sorted_by(|a, b| a < b), "seed {seed}: {step} goes on after what it had promised");
        }
        let after_it: Vec<_> = chunks.iter().filter(|chunk| chunk.position >= 60 && chunk.session == "first").cloned().collect();
        assert!(integers(&after_it, "all", "time_ns").iter().all(|time| *time > Some(reached)), "seed {seed}: rows after the reload only");
    }
}

#[test]
fn a_fresh_step_sees_whole_inputs_only() {
    let mut lab = Lab::new(&plan(rig(), &[]));
    lab.start("s", START);
    lab.tell(idle(2));
    lab.tell(samples(0, 0, START + TICK, &[1.0; 20]));
    lab.tell(samples(1, 0, START + TICK, &[1.0; 10]));
    lab.worker.reload(plan(rig(), &[("both", 1.0, 0, &["imu/a", "imu/b"])]), "run".into());
    lab.tell(samples(0, 20, START + 21 * TICK, &[1.0; 20]));
    lab.tell(samples(1, 10, START + 11 * TICK, &[1.0; 30]));
    lab.tell(stop());
    let times = integers(&lab.chunks, "both", "time_ns");
    assert_eq!(times, (21..=40).map(|tick| Some(START + tick * TICK)).collect::<Vec<_>>(), "sensor a's rows up to 20 ticks had passed");
    assert_eq!(floats(&lab.chunks, "both", "sum").last(), Some(&Some(40.0)));
}

#[test]
fn a_sensor_is_added_beside_the_others() {
    let before = plan(rig(), &STEPS);
    let mut wider = rig();
    wider["sensors"]["d"] = serde_json::json!({ "kind": "imu", "rate": "1000 Hz", "magnetometer": false });
    let mut steps = STEPS.to_vec();
    steps.push(("of_d", 1.0, 0, &["imu/d"]));
    let after = plan(wider, &steps);
    for seed in 0..20 {
        // Idle sensors follow the lowest active one, of which a new sensor may be one.
        let (mut recording, _) = steady(&before, seed);
        recording.retain(|message| !matches!(message.event, Event::Decision(Decision::Idle { .. })));
        let begin = 60;
        let straight = lines(&worker(&before).advance(&recording));
        let mut with_d = recording[..begin].to_vec();
        // The new sensor speaks in bursts between the others' messages, at their time.
        for (index, message) in recording[begin..].iter().enumerate() {
            with_d.push(message.clone());
            let event = samples(3, index as i64, message.log_time_ns, &[1.0]);
            with_d.push(Recorded { event, ..message.clone() });
        }
        let (chunks, reloaded, _) = reload_at(&before, &after, &with_d, begin);
        assert_eq!(reloaded.fresh, ["imu/d", "of_d"]);
        assert!(!table(&chunks, "of_d").is_empty());
        let others = lines(&chunks).into_iter().filter(|line| !line.starts_with("of_d/") && !line.starts_with("imu/d"));
        let others: Vec<_> = others.filter(|line| !line.contains("imu/d")).collect();
        assert_eq!(others.len(), straight.len(), "seed {seed}");
        assert_eq!(others, straight, "seed {seed}");
    }
}

#[test]
fn a_sensor_that_goes_leaves_every_row_it_has_given() {
    let before = plan(rig(), &STEPS);
    let mut narrower = rig();
    narrower["sensors"].as_object_mut().expect("sensors").remove("b");
    let after = plan(narrower, &[STEPS[0], ("of_c", 1.0, 0, &["events/c"])]);
    for seed in 0..20 {
        let (recording, _) = steady(&before, seed);
        let mut live = worker(&before);
        let mut chunks = live.advance(&recording[..60]);
        let counts: Vec<_> = live.sources().map(|(counts, _)| counts).collect();
        let reloaded = live.reload(after.clone(), "later".into());
        assert_eq!(reloaded.removed, ["imu/b", "both", "all", "last", "told"]);
        assert_eq!((&reloaded.kept[..], &reloaded.fresh[..]), (&["imu/a", "events/c", "of_a"].map(String::from)[..], &["of_c".into()][..]));
        assert!(reloaded.chunks.iter().all(|chunk| chunk.run_id == "run" && chunk.position == 59));
        chunks.extend(reloaded.chunks);
        let of_b = |chunk: &&TableChunk| chunk.key.as_deref() == Some("b");
        let rows: usize = chunks.iter().filter(of_b).map(|chunk| chunk.rows.num_rows()).sum();
        assert_eq!(rows as u64, counts[1].rows, "seed {seed}: stragglers' buffer included");
        // Sensor c is number 1 from here on.
        let later = recording[60..].iter().filter_map(|message| match &message.event {
            Event::Payload { sensor: 1, .. } => None,
            Event::Payload { sensor: 2, encoding, payload } => {
                let event = Event::Payload { sensor: 1, encoding: encoding.clone(), payload: payload.clone() };
                Some(Recorded { event, ..message.clone() })
            }
            Event::Payload { .. } => Some(message.clone()),
            Event::Decision(_) => None,
        });
        chunks.extend(live.advance(&later.collect::<Vec<_>>()));
        let runs: BTreeSet<_> = chunks.iter().filter(|chunk| chunk.position >= 60).map(|chunk| chunk.run_id.as_str()).collect();
        assert_eq!(runs, BTreeSet::from(["later"]));
    }
}

#[test]
fn a_sensor_declared_otherwise_goes_on_counting() {
    let mut lab = Lab::new(&plan(rig(), &STEPS));
    lab.start("s", START);
    lab.tell(samples(1, 0, START + TICK, &[1.0; 10]));
    let mut later = rig();
    later["sensors"]["b"]["out_of_order"] = "2 s".into();
    let reloaded = lab.worker.reload(plan(later, &STEPS), "run".into());
    assert_eq!(reloaded.fresh, ["imu/b", "both", "all", "last"]);
    lab.chunks.extend(reloaded.chunks);
    lab.tell(samples(1, 8, START + 9 * TICK, &[1.0; 5]));
    lab.tell(samples(1, 14, START + 15 * TICK, &[1.0]));
    lab.tell(stop());
    assert_eq!(texts(&lab.chunks, "rejected", "reason"), ["duplicate", "duplicate"]);
    assert_eq!(integers(&lab.chunks, "losses", "sequence"), [Some(13)]);
    let times: Vec<_> = integers(&lab.chunks, "imu", "sequence");
    assert_eq!(times, (0..13).chain([14]).map(Some).collect::<Vec<_>>());
}

#[test]
fn what_follows_a_reload_survives_a_snapshot() {
    let before = plan(rig(), &STEPS);
    let mut steps = STEPS;
    steps[1].2 = 5;
    let after = plan(rig(), &steps);
    for seed in 0..10 {
        let recording = scenario(&before, seed);
        let mut live = worker(&before);
        live.advance(&recording[..60]);
        live.reload(after.clone(), "later".into());
        let mut restored = Worker::restore(after.clone(), decode, "later".into(), &live.snapshot()).expect("its own snapshot");
        assert_eq!(lines(&live.advance(&recording[60..])), lines(&restored.advance(&recording[60..])), "seed {seed}");
    }
}

/// The recording with another plan from its message `at` on; and the highest watermark of the sensors b and c then.
fn reload_at(before: &Arc<Plan>, after: &Arc<Plan>, recording: &[Recorded], at: usize) -> (Vec<TableChunk>, super::Reloaded, i64) {
    let mut live = worker(before);
    let mut chunks = live.advance(&recording[..at]);
    let reached = live.sources().skip(1).map(|(_, watermark)| watermark).max().expect("sensors");
    let reloaded = live.reload(after.clone(), "run".into());
    chunks.extend(reloaded.chunks.clone());
    for messages in recording[at..].chunks(5) {
        chunks.extend(live.advance(messages));
    }
    (chunks, reloaded, reached)
}
