//! What a sensor's declaration makes of its samples: gaps covered, rates watched, clocks mapped, devices told apart.

use std::sync::Arc;

use proprio_core::clock::ClockFit;
use proprio_core::rows;
use serde_json::json;

use super::fixture::*;
use crate::plan::Plan;

#[test]
fn a_short_gap_is_filled_for_steps_and_not_in_the_table() {
    let mut lab = Lab::new(&covered("fill", "500 ms", "0 s"));
    lab.start("s", START);
    lab.tell(samples(0, 0, START + TICK, &[1.0, 2.0]));
    lab.tell(samples(0, 6, START + 7 * TICK, &[7.0, 8.0]));
    lab.tell(samples(0, 14, START + 15 * TICK, &[8.0]));
    lab.tell(stop());
    assert_eq!(integers(&lab.chunks, "imu", "sequence"), [0, 1, 6, 7, 14].map(Some));
    assert_eq!(texts(&lab.chunks, "losses", "policy"), ["fill", "missing"], "six samples are longer than 500 ms");
    let times: Vec<_> = [1, 2, 3, 4, 5, 6, 7, 8, 15].map(|tick| Some(START + tick * TICK)).into();
    assert_eq!(integers(&lab.chunks, "of_a", "time_ns"), times);
    assert_eq!(floats(&lab.chunks, "of_a", "sum"), [1.0, 3.0, 6.0, 10.0, 15.0, 21.0, 28.0, 36.0, 44.0].map(Some));
}

#[test]
fn the_last_sample_is_held_over_a_gap_once_no_straggler_can_come() {
    let mut lab = Lab::new(&covered("hold", "500 ms", "300 ms"));
    lab.start("s", START);
    lab.tell(samples(0, 0, START + TICK, &[1.0]));
    lab.tell(samples(0, 5, START + 6 * TICK, &[9.0]));
    assert_eq!(floats(&lab.chunks, "of_a", "sum"), [1.0, 2.0, 3.0].map(Some), "up to 300 ms behind the newest");
    lab.tell(samples(0, 3, START + 4 * TICK, &[5.0]));
    lab.tell(samples(0, 2, START + 3 * TICK, &[5.0]));
    lab.tell(samples(0, 6, START + 7 * TICK, &[9.0]));
    lab.tell(samples(0, 7, START + 8 * TICK, &[9.0]));
    assert_eq!(texts(&lab.chunks, "late", "stream"), ["imu/a"], "what was made up is not taken back");
    lab.tell(stop());
    let due = [1.0, 2.0, 3.0, 8.0, 13.0, 22.0, 31.0, 40.0].map(Some);
    assert_eq!(floats(&lab.chunks, "of_a", "sum"), due, "1 1 1 5 5 9 9 9: the straggler itself, then it is held");
    assert_eq!(integers(&lab.chunks, "losses", "count"), [4, -1, -1].map(Some));
    assert_eq!(texts(&lab.chunks, "losses", "policy"), ["hold"; 3], "taken back from what it was counted as");
}

#[test]
fn a_sample_is_made_up_once_though_a_straggler_moves_its_neighbour() {
    let mut lab = Lab::new(&covered("hold", "500 ms", "300 ms"));
    lab.start("s", START);
    lab.tell(samples(0, 0, START + TICK, &[1.0]));
    lab.tell(samples(0, 5, START + 6 * TICK, &[1.0]));
    let made = integers(&lab.chunks, "of_a", "time_ns");
    assert_eq!(made, [1, 2, 3].map(|tick| Some(START + tick * TICK)), "samples 1 and 2 are made up");
    lab.tell(samples(0, 3, START + 49 * TICK / 10, &[1.0]));
    lab.tell(stop());
    let times = integers(&lab.chunks, "of_a", "time_ns");
    assert_eq!(times.len(), 6, "between 1 and 4.9 sample 2 would lie at 3.6: {times:?}");
}

#[test]
fn a_missing_value_stays_missing_in_what_is_made_up() {
    let rig = json!({ "rig": "r", "sensors": {
        "a": { "kind": "markers", "labels": ["toe"], "rate": "10 Hz", "loss": "fill", "fill_up_to": "500 ms" },
    }});
    let mut lab = Lab::new(&plan(rig, &[("of_a", 1.0, 0, &["markers/a"])]));
    lab.start("s", START);
    lab.tell(samples(0, 0, START + TICK, &[1.0, f64::NAN]));
    lab.tell(samples(0, 3, START + 4 * TICK, &[4.0]));
    lab.tell(stop());
    let sums = floats(&lab.chunks, "of_a", "sum");
    assert_eq!(sums.len(), 4);
    assert!(sums[1].is_some_and(f64::is_nan), "between a null and a number there is no line: {sums:?}");
}

#[test]
fn a_silence_is_no_gap_to_cover() {
    let mut lab = Lab::new(&covered("hold", "500 ms", "0 s"));
    lab.start("s", START);
    lab.tell(samples(0, 0, START + TICK, &[1.0]));
    lab.tell(samples(1, 0, START + TICK, &[1.0; 9]));
    lab.tell(idle(2));
    lab.tell(idle(0));
    lab.tell(samples(0, 5, START + 6 * TICK, &[1.0]));
    lab.tell(stop());
    let times = [1, 6].map(|tick| Some(START + tick * TICK));
    assert_eq!(integers(&lab.chunks, "of_a", "time_ns"), times, "the others had been told that nothing comes");
    assert_eq!(texts(&lab.chunks, "losses", "policy"), ["missing"]);
}

#[test]
fn a_publisher_that_begins_anew_leaves_no_gap_to_cover() {
    let mut lab = Lab::new(&covered("fill", "500 ms", "0 s"));
    lab.start("s", START);
    lab.tell(samples(0, 0, START + TICK, &[1.0]));
    lab.tell(samples_of(2, 0, 3, START + 2 * TICK, &[1.0]));
    lab.tell(stop());
    assert_eq!(integers(&lab.chunks, "of_a", "time_ns").len(), 2);
}

#[test]
fn a_rate_that_is_off_is_told_once_and_again_when_it_is_back() {
    let mut rig = rig();
    rig["sensors"]["a"]["rate_tolerance"] = "1.5 %".into();
    let mut lab = Lab::new(&plan(rig, &[]));
    lab.start("s", START);
    let mut time = START;
    for sequence in 0..800 {
        time += if (200..500).contains(&sequence) { 101_833_000 } else { TICK };
        lab.tell(samples(0, sequence, time, &[1.0]));
        // The same of a sensor that may be off by 2 %.
        lab.tell(samples(1, sequence, time, &[1.0]));
    }
    assert_eq!(lab.worker.source_statuses().next().and_then(|status| status.rate_hz), Some(10.0));
    // A pause is no slow rate.
    lab.tell(idle(0));
    (800..1200).for_each(|sequence| lab.tell(samples(0, sequence, time + 60 * TICK + (sequence - 799) * TICK, &[1.0])));
    lab.tell(stop());
    assert_eq!(texts(&lab.chunks, "events", "event"), ["rate_off", "rate_ok"]);
    assert_eq!(texts(&lab.chunks, "events", "source"), ["imu/a"; 2]);
    let labels = texts(&lab.chunks, "events", "label");
    assert_eq!(labels[0], "9.82 Hz instead of 10 Hz", "{labels:?}");
}

#[test]
fn a_device_that_is_swapped_is_told() {
    let mut lab = Lab::new(&plan(rig(), &[]));
    lab.start("s", START);
    lab.tell(open(0, 1, true, Some("A17")));
    lab.tell(open(0, 2, true, Some("A17")));
    lab.tell(open(0, 3, true, None));
    assert!(texts(&lab.chunks, "events", "event").is_empty(), "the same one again, and one that doesn't say");
    lab.tell(samples(0, 0, START + 10 * TICK, &[1.0]));
    lab.tell(open(0, 4, true, Some("B02")));
    lab.tell(samples(0, 0, START + 11 * TICK, &[1.0]));
    lab.tell(stop());
    lab.start("next", lab.now_ns());
    lab.tell(open(0, 5, true, Some("A17")));
    assert_eq!(texts(&lab.chunks, "events", "event"), ["device_swapped"; 2], "between sessions too");
    lab.tell(samples(0, 0, START + 20 * TICK, &[1.0]));
    let devices = integers(&lab.chunks, "imu", "device");
    let [Some(first), Some(second), Some(third)] = devices[..] else { panic!("each row says which device measured it: {devices:?}") };
    assert!(first == third && first != second && first >= 0);
    let labels = [format!("{first} → {second}"), format!("{second} → {first}")];
    assert_eq!(texts(&lab.chunks, "events", "label"), labels, "without the serial numbers themselves");
    assert_eq!(texts(&lab.chunks, "events", "source"), ["imu/a"; 2]);
}

#[test]
fn a_devices_time_is_mapped_by_the_fit_of_what_came_before() {
    let mut lab = Lab::new(&full_plan());
    lab.start("s", START);
    let (mut fit, mut due) = (ClockFit::default(), Vec::new());
    let mut chance = Chance::new(4);
    let mut newest = i64::MIN;
    for k in 0..200 {
        let device_ns = 7 * TICK + 2 * k * TICK + k * 10_000;
        while lab.now_ns() < START + (2 * k + 3) * TICK + chance.next(2) as i64 * TICK {
            lab.tell(decide(proprio_core::Decision::Heartbeat { sensor: 2 }));
        }
        let arrival_ns = lab.now_ns();
        lab.tell(samples(3, 2 * k, device_ns, &[1.0, 1.0]));
        fit.observe(device_ns + TICK, arrival_ns);
        for time in [device_ns, device_ns + TICK] {
            let mapped = fit.map(time);
            newest = newest.max(mapped);
            due.push((Some(mapped), Some(time), fit.uncertainty_ns()));
        }
    }
    // One that comes again tells nothing of the clock.
    lab.tell(samples(3, 0, 7 * TICK, &[1.0]));
    assert_eq!(lab.worker.source_starts()["r/imu/d"].clock.as_ref().map(ClockFit::offset_ns), Some(fit.offset_ns()));
    assert_eq!(lab.worker.source_statuses().nth(3).and_then(|status| status.clock).map(|clock| clock.offset_ns), Some(fit.offset_ns()));
    lab.tell(stop());
    let column = |name| integers(&lab.chunks, "imu", name);
    let rows: Vec<_> = column("time_ns").into_iter().zip(column("device_time_ns")).collect();
    let rows: Vec<_> = rows.into_iter().zip(column("time_uncertainty_ns")).map(|((time, device), off)| (time, device, off)).collect();
    assert_eq!(rows, due);
    let times = integers(&lab.chunks, "clocks", "time_ns");
    let stretch = |time: &Option<i64>| time.map(|time| time.div_euclid(10_000_000_000));
    let last = times.len() - 1;
    assert!(times[..last].iter().map(stretch).is_sorted_by(|a, b| a < b), "one row in 10 s: {times:?}");
    assert_eq!((times[last], times.len() >= 4), (Some(newest), true), "and one at the end: {times:?}");
}

#[test]
fn a_clock_that_goes_back_is_told_and_rows_go_on() {
    let mut lab = Lab::new(&full_plan());
    lab.start("s", START);
    for k in 0..60 {
        let device_ns = if k < 40 { 500 * TICK + k * TICK } else { k * TICK };
        lab.tell(samples(3, k, device_ns, &[1.0]));
    }
    lab.tell(stop());
    assert_eq!(texts(&lab.chunks, "clocks", "event"), ["reset"]);
    let times = integers(&lab.chunks, "imu", "time_ns");
    assert!(times.len() == 60 && times.is_sorted_by(|a, b| a < b), "{times:?}");
}

#[test]
fn a_device_without_a_rate_says_on_its_own_clock_how_far_it_has_come() {
    let mut rig = rig();
    rig["sensors"]["c"]["clock"] = "device".into();
    let mut lab = Lab::new(&plan(rig, &[]));
    lab.tell(open(2, 1, false, None));
    lab.start("s", START);
    lab.tell(progress(2, 3 * START));
    assert_eq!(lab.worker.sources().nth(2).map(|(_, watermark)| watermark), Some(START), "nothing is known of its clock");
    lab.tell(samples(2, 0, 7 * TICK, &[1.0]));
    let arrival_ns = lab.now_ns() - TICK;
    lab.tell(progress(2, 7 * TICK));
    assert_eq!(lab.worker.sources().nth(2).map(|(_, watermark)| watermark), Some(arrival_ns));
}

#[test]
fn a_rejected_sample_of_a_device_clock_keeps_the_devices_time() {
    let mut lab = Lab::new(&full_plan());
    lab.start("s", START);
    lab.tell(samples(3, 0, 77, &[f64::NAN]));
    let table = table(&lab.chunks, "rejected")[0];
    let sample = table.column_by_name("payload").expect("a payload");
    let sample = arrow_array::cast::AsArray::as_binary::<i32>(sample).value(0);
    let sample: serde_json::Value = serde_json::from_slice(sample).expect("JSON");
    assert_eq!((&sample["device_time_ns"], rows::times(table)[0]), (&json!(77), sample["time_ns"].as_i64().expect("a time")));
}

/// Sensor a with its gaps covered, and a step that reads it.
fn covered(loss: &str, up_to: &str, out_of_order: &str) -> Arc<Plan> {
    let mut rig = rig();
    let sensor = &mut rig["sensors"]["a"];
    (sensor["loss"], sensor["fill_up_to"], sensor["out_of_order"]) = (loss.into(), up_to.into(), out_of_order.into());
    plan(rig, &[("of_a", 1.0, 0, &["imu/a"])])
}
