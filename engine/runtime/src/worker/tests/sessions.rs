//! Does a session's recording give its rows without what came before it?

use proprio_core::{Carried, Decision, Event, RecordBatch, Recorded, StreamSchema};

use super::fixture::*;
use super::scenario::scenario;

#[test]
fn a_session_replays_alone() {
    let plan = full_plan();
    for seed in 0..60 {
        let recording = scenario(&plan, seed);
        let whole = worker(&plan).advance(&recording);
        let begin = second_session(&recording);
        let alone = worker(&plan).advance(&recording[begin..]);
        let of_session = |chunks: Vec<_>| lines(&chunks).into_iter().filter(|line| line.contains("/second/")).collect::<Vec<_>>();
        let (whole, alone) = (of_session(whole), of_session(alone));
        assert!(whole.len() > 100 && whole.iter().any(|line| line.starts_with("last/")), "seed {seed}: the session gives rows");
        assert_eq!(whole, alone, "seed {seed}");
    }
}

#[test]
fn a_sensor_goes_on_counting_from_one_session_to_the_next() {
    let mut lab = Lab::new(&plan(rig(), &STEPS));
    lab.start("first", START);
    lab.tell(open(0, 1, true, Some("A")));
    lab.tell(samples(0, 0, START + TICK, &[1.0, 1.0]));
    lab.tell(stop());
    lab.start("second", START + 10 * TICK);
    lab.tell(samples(0, 5, START + 11 * TICK, &[1.0]));
    assert_eq!(integers(&lab.chunks, "losses", "sequence"), [Some(2)], "three samples were lost between the sessions");
    lab.tell(samples(0, 3, START + 9 * TICK, &[1.0]));
    lab.tell(stop());
    assert_eq!(texts(&lab.chunks, "late", "stream"), ["imu/a"], "it was lost in this session, and comes before its start");
}

#[test]
fn what_a_sensor_brings_along_is_what_it_was() {
    let mut lab = Lab::new(&plan(rig(), &STEPS));
    lab.tell(open(0, 7, false, Some("A")));
    lab.start("first", START);
    lab.tell(samples_of(7, 0, 0, START + TICK, &[1.0, 1.0]));
    lab.tell(idle(1));
    lab.tell(end(2, 1, -1));
    lab.tell(stop());
    let starts = lab.worker.source_starts();
    assert_eq!(starts["r/imu/a"].sequence.map(|sequence| (sequence.boot, sequence.last)), Some((7, 1)));
    assert_eq!(
        ["imu/a", "imu/b", "events/c"].map(|sensor| starts[&format!("r/{sensor}")].idle),
        [false, true, true],
        "a session's end makes none idle, its own end does"
    );
    assert!(!starts["r/imu/a"].paced && starts["r/imu/b"].paced);
}

#[test]
fn a_lone_source_that_goes_quiet_gives_what_it_has_and_does_not_jump_back() {
    let mut lab = Lab::new(&plan(rig(), &[("of_b", 1.0, 0, &["imu/b"])]));
    lab.start("s", START);
    lab.tell(idle(0));
    lab.tell(idle(2));
    lab.tell(samples(1, 0, START + TICK, &[1.0; 10]));
    assert_eq!(table(&lab.chunks, "of_b").iter().map(|rows| rows.num_rows()).sum::<usize>(), 5, "5 ticks are kept for stragglers");
    lab.tell(idle(1));
    assert_eq!(table(&lab.chunks, "of_b").iter().map(|rows| rows.num_rows()).sum::<usize>(), 10, "none can come before those it has");
    lab.tell(decide(Decision::Back { sensor: 1 }));
    lab.tell(samples(1, 11, START + 12 * TICK, &[1.0; 3]));
    lab.tell(samples(1, 10, START + 11 * TICK, &[1.0]));
    lab.tell(samples(1, 14, START + 9 * TICK + 1, &[1.0]));
    lab.tell(stop());
    assert_eq!(texts(&lab.chunks, "late", "stream"), ["imu/b"], "stragglers are taken again, but none from before the silence");
    let times: Vec<_> = integers(&lab.chunks, "of_b", "time_ns");
    assert!(times.is_sorted_by(|a, b| a < b) && times.len() == 14, "{times:?}");
}

#[test]
fn an_idle_source_that_comes_back_rejoins_where_the_others_are() {
    let mut lab = Lab::new(&plan(rig(), &[("both", 1.0, 0, &["imu/a", "imu/b"])]));
    lab.start("s", START);
    lab.tell(idle(2));
    lab.tell(samples(0, 0, START + TICK, &[1.0; 10]));
    lab.tell(samples(1, 0, START + TICK, &[1.0; 10]));
    lab.tell(idle(0));
    lab.tell(samples(1, 10, START + 11 * TICK, &[1.0; 20]));
    lab.tell(samples(0, 10, START + 11 * TICK, &[1.0; 25]));
    lab.tell(samples(1, 30, START + 31 * TICK, &[1.0; 20]));
    lab.tell(stop());
    assert_eq!(texts(&lab.chunks, "late", "stream"), vec!["imu/a"; 15], "the others had come to 25 ticks");
    let times: Vec<_> = integers(&lab.chunks, "both", "time_ns");
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
}

fn second_session(recording: &[Recorded]) -> usize {
    let starts =
        |message: &Recorded| matches!(&message.event, Event::Decision(Decision::SessionStart { session, .. }) if session == "second");
    recording.iter().position(starts).expect("a second session")
}

#[test]
fn a_step_goes_on_with_what_an_earlier_session_gave() {
    let mut lab = Lab::new(&plan(rig(), &STEPS));
    lab.start("first", START);
    lab.tell(samples(0, 0, START + TICK, &[1.0, 2.0]));
    lab.tell(stop());
    let sums = lab.chunks.iter().rfind(|chunk| chunk.table == "of_a").expect("sums").rows.clone();
    let newest = sums.slice(sums.num_rows() - 1, 1);
    let carried = |stream: &str, rows: &RecordBatch| {
        let schema = StreamSchema::new(vec![proprio_core::schema::float("sum", "1")], &[], None);
        Carried::of(stream, "first", &schema, rows).expect("each has a text")
    };
    let mut broken = carried("both", &newest);
    broken.rows[0].insert("sum".to_owned(), "many".to_owned());
    let carried = vec![carried("of_a", &newest), broken, carried("gone", &newest)];
    let (mut sources, from_ns) = (lab.worker.source_starts(), lab.now_ns());
    sources.clear();
    let start = Decision::SessionStart { session: "second".to_owned(), subject: None, task: None, from_ns, sources, carried };
    let mark = lab.chunks.len();
    lab.tell(decide(start));
    lab.tell(samples(0, 2, from_ns + TICK, &[10.0]));
    lab.tell(stop());
    let second = &lab.chunks[mark..];
    let of_a = second.iter().find(|chunk| chunk.table == "of_a").expect("sums");
    assert_eq!(proprio_core::rows::floats(&of_a.rows, 1).value(0), 13.0, "1 + 2 carried over, and 10");
    assert_eq!(texts(second, "events", "event"), ["carried", "not_carried", "not_carried"]);
    assert_eq!(texts(second, "events", "source"), ["of_a", "both", "gone"]);
    let labels = texts(second, "events", "label");
    assert!(labels[0] == "from session first" && labels[1].contains("many") && labels[2].contains("no such step"), "{labels:?}");
}
