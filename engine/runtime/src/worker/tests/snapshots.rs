//! Does a worker from a snapshot go on as the one it was taken of?

use std::collections::BTreeSet;

use proprio_core::Recorded;

use super::fixture::*;
use super::scenario::scenario;
use crate::worker::{SnapshotError, Worker};

#[test]
fn a_restored_worker_goes_on_to_the_same_rows_watermarks_and_counts() {
    let plan = full_plan();
    let mut seen = BTreeSet::new();
    for seed in 0..30 {
        let recording = scenario(&plan, seed);
        let (straight, whole) = run(worker(&plan), &recording, usize::MAX, None);
        seen.extend(straight.iter().filter_map(|line| Some(line.split_once(' ')?.0.to_owned())));
        let mut chance = Chance::new(seed + 1000);
        for chunk in [1, 7, 50] {
            let (rows, end) = run(worker(&plan), &recording, chunk, Some(&mut chance));
            assert!(rows == straight, "seed {seed}, chunks of {chunk}: {}", first_difference(&rows, &straight));
            assert!(end.sources().eq(whole.sources()), "seed {seed}: counts and watermarks");
            assert_eq!((end.watermarks, end.session, end.position), (whole.watermarks.clone(), None, whole.position), "seed {seed}");
        }
    }
    let tables: BTreeSet<_> = seen.iter().filter_map(|stream| stream.split('/').next()).collect();
    let due =
        ["all", "both", "clocks", "events", "imu", "last", "late", "losses", "mapped", "notes", "of_a", "rejected", "sessions", "told"];
    assert_eq!(tables, BTreeSet::from(due), "the scenarios have something of everything");
}

#[test]
fn a_snapshot_of_a_snapshot_is_the_same_bytes() {
    let plan = full_plan();
    let recording = scenario(&plan, 3);
    let mut live = worker(&plan);
    for message in &recording {
        live.advance(std::slice::from_ref(message));
        let bytes = live.snapshot();
        assert_eq!(restore(&live, &bytes).expect("its own snapshot").snapshot(), bytes);
    }
}

#[test]
fn a_damaged_snapshot_is_an_error() {
    let plan = full_plan();
    let mut live = worker(&plan);
    live.advance(&scenario(&plan, 5)[..100]);
    let bytes = live.snapshot();
    for length in 0..bytes.len() {
        assert!(restore(&live, &bytes[..length]).is_err(), "cut to {length}");
    }
    let mut chance = Chance::new(1);
    for _ in 0..2000 {
        let mut flipped = bytes.clone();
        let at = chance.next(bytes.len() as u64) as usize;
        flipped[at] ^= 1 << chance.next(8);
        assert!(restore(&live, &flipped).is_err(), "a bit of byte {at}");
    }
    assert!(restore(&live, &[]).is_err());
}

#[test]
fn a_snapshot_of_another_plan_is_refused() {
    let bytes = worker(&plan(rig(), &STEPS)).snapshot();
    let mut other_rig = rig();
    other_rig["sensors"]["b"]["out_of_order"] = "600 ms".into();
    let mut other_scale = STEPS;
    other_scale[1].1 = 0.25;
    let mut other_input = STEPS;
    other_input[0].3 = &["imu/b"];
    for other in [plan(other_rig, &STEPS), plan(rig(), &other_scale), plan(rig(), &other_input), plan(rig(), &STEPS[..3])] {
        let refused = Worker::restore(other, decode, "run".into(), &bytes);
        assert!(matches!(refused, Err(SnapshotError::OtherPlan)));
    }
}

/// The recording in chunks; with `chance`, the worker is replaced by a restored one between some of them.
fn run(mut worker: Worker, recording: &[Recorded], chunk: usize, mut chance: Option<&mut Chance>) -> (Vec<String>, Worker) {
    let mut chunks = Vec::new();
    for messages in recording.chunks(chunk.min(recording.len())) {
        chunks.extend(worker.advance(messages));
        if chance.as_mut().is_some_and(|chance| chance.next(5) == 0) {
            let bytes = worker.snapshot();
            worker = restore(&worker, &bytes).expect("its own snapshot");
        }
    }
    (lines(&chunks), worker)
}

fn restore(worker: &Worker, bytes: &[u8]) -> Result<Worker, SnapshotError> {
    Worker::restore(worker.plan.clone(), decode, worker.run_id.clone(), bytes)
}

fn first_difference(rows: &[String], due: &[String]) -> String {
    let at = rows.iter().zip(due).position(|(row, due)| row != due).unwrap_or(rows.len().min(due.len()));
    format!("{} rows of {}; {at}: {:?} instead of {:?}", rows.len(), due.len(), rows.get(at), due.get(at))
}
