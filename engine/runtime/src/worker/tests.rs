//! Whether the worker keeps its laws: chunking is invisible, every sample is accounted for, barriers deliver all.

pub(super) mod fixture;
mod reloads;
mod scenario;
mod sensors;
mod sessions;
mod snapshots;

use super::watermarks::WAITING_BYTES_MAX;
use super::*;
use fixture::*;
use scenario::steady;

#[test]
fn every_sample_is_accounted_for() {
    let plan = full_plan();
    for seed in 0..40 {
        let (recording, published) = steady(&plan, seed);
        let mut worker = worker(&plan);
        worker.advance(&recording);
        for ((counts, _), published) in worker.sources().zip(published) {
            let accounted = counts.rows as i64 + counts.late as i64 + counts.rejected as i64 + counts.lost;
            assert_eq!(accounted, published, "seed {seed}: {counts:?}");
        }
    }
}

#[test]
fn a_sample_that_comes_after_all_is_taken_back_from_the_losses() {
    let events = vec![
        start(),
        samples(0, 0, START + TICK, &[1.0]),
        samples(0, 2, START + 3 * TICK, &[1.0]),
        samples(0, 1, START + 2 * TICK, &[1.0]),
        stop(),
    ];
    let mut worker = worker(&plan(rig(), &STEPS));
    let chunks = worker.advance(&record(events));
    let counts = worker.sources().next().expect("a sensor").0;
    assert_eq!((counts.rows, counts.lost, counts.late), (2, 0, 1));
    assert_eq!(integers(&chunks, "losses", "count"), [Some(1), Some(-1)]);
}

#[test]
fn bad_samples_are_rejected_with_their_reason() {
    let events = vec![
        start(),
        samples(0, 0, START + 1, &[1.0, f64::NAN, 3.0]),
        samples(0, 0, START + 1, &[1.0]),
        samples(0, 3, START + 1 + 2 * TICK, &[1.0]),
        samples(0, 4, -5, &[1.0]),
        garbage(0),
        stop(),
    ];
    let chunks = worker(&plan(rig(), &STEPS)).advance(&record(events));
    assert_eq!(texts(&chunks, "rejected", "reason"), ["not_finite", "duplicate", "equal_time", "bad_time", "encoding"]);
}

#[test]
fn a_silent_source_holds_others_until_it_is_idle() {
    let mut lab = Lab::new(&plan(rig(), &[("both", 1.0, 0, &["imu/a", "imu/b"])]));
    lab.start("s", START);
    lab.tell(samples(0, 0, START + TICK, &[1.0, 2.0]));
    let both = |lab: &Lab| table(&lab.chunks, "both").len();
    assert_eq!(both(&lab), 0);
    let status = lab.worker.steps().next().expect("a step");
    assert_eq!((status.waits_for, status.waiting_rows), (vec!["imu/b".to_owned()], 2));
    lab.tell(idle(1));
    lab.tell(idle(2));
    assert_eq!(both(&lab), 1);
    let status = lab.worker.steps().next().expect("a step");
    assert_eq!((status.waiting_rows, status.since_ns), (0, Some(START + 3 * TICK)), "the idle source let it pass");
}

#[test]
fn a_step_waits_for_the_source_that_holds_back_what_it_reads() {
    let mut lab = Lab::new(&plan(rig(), &STEPS));
    lab.start("s", START);
    lab.tell(samples(0, 0, START + TICK, &[1.0; 50]));
    lab.tell(samples(1, 0, START + TICK, &[1.0; 40]));
    lab.tell(progress(2, START + 30 * TICK));
    let waits: Vec<_> = lab.worker.steps().map(|step| (step.stream, step.waits_for.join(" "))).collect();
    let due = [("of_a", "imu/a"), ("both", "imu/b"), ("all", "events/c"), ("last", "events/c"), ("told", "imu/a")];
    assert_eq!(waits, due.map(|(step, source)| (step.to_owned(), source.to_owned())));
}

#[test]
fn what_waits_beyond_the_bound_makes_the_lowest_source_idle() {
    let rows_of_bound = WAITING_BYTES_MAX / 8 / 9 + 1;
    let ones = vec![1.0; 1000];
    let mut events = vec![start()];
    let messages = rows_of_bound / 1000 + 1;
    events.extend((0..messages as i64).map(|k| samples(0, k * 1000, START + 1 + k * 1000 * TICK, &ones)));
    let chunks = worker(&plan(rig(), &STEPS)).advance(&record(events));
    assert!(!table(&chunks, "both").is_empty(), "sensor 1 never spoke, and no longer holds the others");
}

#[test]
fn no_row_comes_behind_what_its_table_has_reached() {
    let plan = full_plan();
    let (mut compared, mut ended) = (0, 0);
    for seed in 0..20 {
        let recording = scenario::scenario(&plan, seed);
        let mut worker = worker(&plan);
        let mut reached = worker.reached();
        for messages in recording.chunks(7) {
            for chunk in worker.advance(messages) {
                let Some(watermark) = reached.watermarks.get(&chunk.table).filter(|_| chunk.session == reached.session) else { continue };
                compared += chunk.rows.num_rows();
                let early = rows::times(&chunk.rows).iter().find(|time| *time <= watermark);
                assert_eq!(early, None, "seed {seed}: a row of `{}` behind {watermark}", chunk.table);
            }
            reached = worker.reached();
            assert_eq!(reached.position, messages.last().expect("not empty").position);
            assert!(!reached.watermarks.contains_key("events"), "marks come at any time");
            ended += usize::from(reached.session.is_empty());
        }
    }
    assert!(compared > 1000 && ended > 0, "{compared} rows, {ended} times without a session");
}
