//! Does the simulation keep its promises: the same bytes, ordered packets, declared losses, and a truth that its sensors
//! agree with?

use std::collections::BTreeMap;
use std::time::Instant;

use proprio_core::recorded::Packet;
use proprio_core::rig::Side;
use proprio_core::rows::{float_or_nan, floats, strings, times};
use proprio_core::time::SECOND_NS;
use proprio_core::{ClockEvent, ClockFit, Kind, TimeNs};
use proprio_simulate::{
    Calibration, ClockJump, Faults, Impairments, Layout, Options, Payload, PerSide, Placement, Segment, Simulation, Way,
};

fn simulate(options: &Options) -> Simulation {
    Simulation::new(options.clone()).expect("sound options")
}

fn ideal(layout: Layout, duration_s: f64) -> Options {
    let mut options = Options { duration_s, noise: 0.0, ..Options::of(layout) };
    options.faults = Faults { jitter_ms: 0.0, ..Faults::default() };
    options.clocks.drift_ppm = 0.0;
    options
}

/// All rows of one sensor: times, and its columns by name.
fn stream(options: &Options, sensor: &str) -> (Vec<TimeNs>, BTreeMap<String, Vec<f64>>) {
    let simulation = simulate(options);
    let index = simulation.rig().sensor(sensor).expect("a sensor of the rig");
    let (mut at, mut columns) = (Vec::new(), BTreeMap::<String, Vec<f64>>::new());
    for packet in simulation.filter(|packet| packet.sensor == index) {
        at.extend_from_slice(times(&packet.rows));
        for (i, field) in packet.rows.schema().fields().iter().enumerate().skip(1) {
            let values = floats(&packet.rows, i);
            columns.entry(field.name().clone()).or_default().extend((0..values.len()).map(|row| float_or_nan(values, row)));
        }
    }
    (at, columns)
}

fn truth_times(simulation: &Simulation, name: &str) -> Vec<TimeNs> {
    simulation.truth().iter().filter(|event| event.name == name).map(|event| simulation.event_time_ns(event.time_s)).collect()
}

#[test]
fn the_same_options_give_the_same_packets_and_another_seed_gives_others() {
    for layout in [Layout::Walking, Layout::FullLab, Layout::Standing] {
        let options = Options { duration_s: 2.0, ..Options::of(layout) };
        let first: Vec<Packet> = simulate(&options).collect();
        let second: Vec<Packet> = simulate(&options).collect();
        assert!(first.len() > 500 && first == second, "{layout:?}");
        let other: Vec<Packet> = simulate(&Options { seed: 2, ..options }).collect();
        assert_ne!(first, other, "{layout:?}");
    }
}

#[test]
fn packets_fit_the_rig_in_order_and_every_gap_is_a_declared_dropout() {
    let mut options = Options { duration_s: 20.0, ..Options::of(Layout::Walking) };
    options.faults.dropout = 0.05;
    let mut simulation = simulate(&options);
    let rig = simulation.rig().clone();
    assert_eq!(rig, simulation.rig_file().resolve());
    let mut next = vec![0; rig.sensors.len()];
    let mut missing = vec![0; rig.sensors.len()];
    let mut last_time = vec![(TimeNs::MIN, String::new()); rig.sensors.len()];
    let mut last_at = TimeNs::MIN;
    while let Some(delivery) = simulation.next_delivery() {
        assert!(delivery.at_ns >= last_at, "deliveries are in order");
        last_at = delivery.at_ns;
        let Payload::Packet(packet) = delivery.payload else { panic!("no garbage was asked for") };
        let sensor = &rig.sensors[packet.sensor];
        assert_eq!(packet.rows.schema(), sensor.wire_schema().columns, "{}", sensor.name);
        assert!(packet.sequence >= next[packet.sensor], "{}", sensor.name);
        missing[packet.sensor] += packet.sequence - next[packet.sensor];
        next[packet.sensor] = packet.sequence + packet.rows.num_rows() as i64;
        for (row, &time) in times(&packet.rows).iter().enumerate() {
            let key = if sensor.kind == Kind::Truth { strings(&packet.rows, 1).value(row).to_owned() } else { String::new() };
            assert!((time, &key) > (last_time[packet.sensor].0, &last_time[packet.sensor].1), "{} at {time} {key}", sensor.name);
            last_time[packet.sensor] = (time, key);
        }
        assert!(delivery.at_ns >= last_time[packet.sensor].0 - 200_000, "{} is delivered before it is taken", sensor.name);
    }
    for ((sensor, count), (next, mut missing)) in rig.sensors.iter().zip(simulation.counts()).zip(next.into_iter().zip(missing)) {
        missing += count.made - next;
        assert_eq!(missing, count.dropped, "{}", sensor.name);
        let expected = if sensor.kind == Kind::Imu { 20..200 } else { 0..1 };
        assert!(expected.contains(&missing), "{}: {missing} of {} dropped", sensor.name, count.made);
    }
}

#[test]
fn faults_are_as_frequent_as_asked_for_and_counted() {
    let mut options = Options { duration_s: 60.0, ..Options::of(Layout::Walking) };
    options.faults = Faults {
        dropout: 0.02,
        dropout_kinds: vec![Kind::Emg],
        duplicate: 0.03,
        out_of_order: 0.01,
        garbage: 0.02,
        jitter_ms: 5.0,
        way: Way::Wired,
    };
    let mut simulation = simulate(&options);
    let muscles = simulation.rig().sensor("muscles").expect("an EMG");
    let (mut seen, mut duplicated, mut overtaken, mut garbage) = (-1, 0, 0, 0);
    let mut sequences = std::collections::BTreeSet::new();
    while let Some(delivery) = simulation.next_delivery() {
        match delivery.payload {
            Payload::Garbage(_) => garbage += i64::from(delivery.sensor == muscles),
            Payload::Packet(packet) if packet.sensor == muscles => {
                let rows = packet.rows.num_rows() as i64;
                if !sequences.insert(packet.sequence) {
                    duplicated += rows;
                } else if packet.sequence < seen {
                    overtaken += rows;
                }
                seen = seen.max(packet.sequence);
            }
            Payload::Packet(_) => {}
        }
    }
    let count = simulation.counts()[muscles];
    assert_eq!((count.duplicated, count.out_of_order, count.garbage), (duplicated, overtaken, garbage));
    let share = |samples: i64| samples as f64 / count.made as f64;
    assert!((0.005..0.05).contains(&share(count.dropped)), "{count:?}");
    assert!((0.015..0.05).contains(&share(count.duplicated)) && (0.004..0.02).contains(&share(count.out_of_order)), "{count:?}");
    assert!((30..100).contains(&count.garbage), "{count:?}");
}

#[test]
fn force_crosses_20_n_within_2_ms_of_the_true_contacts_and_carries_the_weight() {
    for (layout, duration_s) in [(Layout::Walking, 20.0), (Layout::Standing, 40.0)] {
        let options = Options { noise: 1.0, ..ideal(layout, duration_s) };
        let simulation = simulate(&options);
        let weight_n = 72.0 * 9.80665;
        let mut total_n = vec![0.0; (duration_s * 1000.0) as usize];
        for (plate, side) in [("plate_1", "left"), ("plate_2", "right")] {
            let (at, columns) = stream(&options, plate);
            let vertical = &columns["force_z_n"];
            for (name, rises) in [("initial", true), ("final", false)] {
                let crossings: Vec<TimeNs> = (1..at.len())
                    .filter(|&i| (vertical[i - 1] < 20.0) == rises && (vertical[i] < 20.0) != rises)
                    .map(|i| if rises { at[i] } else { at[i - 1] })
                    .collect();
                let truth = truth_times(&simulation, &format!("{name}_contact_{side}"));
                assert_eq!(crossings.len(), truth.len(), "{layout:?} {name} {side}");
                assert!(truth.len() >= duration_s as usize / 20);
                for (crossing, truth) in crossings.iter().zip(&truth) {
                    assert!((crossing - truth).abs() < 2_000_000, "{layout:?} {name} {side}: {} µs", (crossing - truth) / 1000);
                }
            }
            for (i, &force) in vertical.iter().enumerate() {
                total_n[i] += force;
                assert_eq!(columns["cop_x_m"][i].is_nan(), force < 20.0, "a centre of pressure is there with load only");
            }
            let (on, off) =
                (truth_times(&simulation, &format!("initial_contact_{side}")), truth_times(&simulation, &format!("final_contact_{side}")));
            for (off, on) in off.iter().filter_map(|off| on.iter().find(|on| *on > off).map(|on| (off, on))) {
                let swing = at.iter().zip(vertical).filter(|(time, _)| (off..on).contains(time));
                assert!(
                    swing.clone().count() > 300 && swing.into_iter().all(|(_, force)| force.abs() < 2.0),
                    "{layout:?} {side}: a swing is empty"
                );
            }
        }
        let mean_n = total_n.iter().sum::<f64>() / total_n.len() as f64;
        assert!((mean_n / weight_n - 1.0).abs() < 0.02, "{layout:?}: {mean_n} N of {weight_n} N");
    }
}

#[test]
fn feet_and_knees_move_as_a_leg_allows() {
    for (cadence, speed) in [(110.0, 1.25), (90.0, 0.8), (130.0, 1.7)] {
        let options = Options { cadence_steps_per_min: cadence, walking_speed_m_per_s: speed, ..ideal(Layout::Walking, 20.0) };
        let simulation = simulate(&options);
        let body = simulation.body();
        let (mut least_toe, mut least_heel, mut knees) = (f64::MAX, f64::MAX, (f64::MAX, f64::MIN));
        for k in 0..20_000 {
            let time_s = f64::from(k) / 1000.0;
            let foot = body.pose(Segment::Foot(Side::Left), time_s);
            least_toe = least_toe.min(foot.point_m([0.13, -0.08, 0.0]).z);
            least_heel = least_heel.min(foot.point_m([-0.055, -0.08, 0.0]).z);
            let (thigh, shank) = (body.pose(Segment::Thigh(Side::Left), time_s), body.pose(Segment::Shank(Side::Left), time_s));
            let knee = thigh.lab_from_segment.column(1).dot(&shank.lab_from_segment.column(1)).clamp(-1.0, 1.0);
            let knee_deg = libm::acos(knee).to_degrees();
            knees = (knees.0.min(knee_deg), knees.1.max(knee_deg));
            let ankle = shank.point_m([0.0, -0.43, 0.0]);
            assert!((ankle - foot.origin_m).norm() < 2e-3, "the leg reaches its foot at {time_s} s: {}", (ankle - foot.origin_m).norm());
        }
        eprintln!("{cadence} steps/min, {speed} m/s: knee from {:.1}° to {:.1}°, toe {least_toe:.5} m", knees.0, knees.1);
        assert!(least_toe > -1e-4 && least_heel > -1e-4, "feet stay above ground: {least_toe} {least_heel}");
        assert!(knees.0 > 1.0 && knees.0 < 20.0 && (45.0..80.0).contains(&knees.1), "{knees:?}");
    }
}

#[test]
fn a_calibration_stands_still_moves_about_one_axis_and_sets_off_smoothly() {
    for layout in [Layout::Walking, Layout::Standing] {
        let calibration = Calibration { sway_deg_per_s: 0.0, ..Calibration::default() };
        let options = Options { calibration: Some(calibration.clone()), ..ideal(layout, 50.0) };
        let simulation = simulate(&options);
        let sides = [Side::Left, Side::Right];
        let limbs = [Segment::Thigh, Segment::Shank, Segment::Foot].into_iter().flat_map(|limb| sides.map(limb));
        let lean_deg = |segment: Segment, time_s: f64| {
            let axes = simulation.body().pose(segment, time_s).lab_from_segment;
            [axes[(2, 0)].atan2(axes[(2, 1)]).to_degrees(), axes[(2, 2)].asin().to_degrees()]
        };
        let ((squats_s, squats_end_s), (toes_s, _)) = (calibration.squats_s(), calibration.toe_raises_s());
        for segment in [Segment::Pelvis, Segment::Thorax].into_iter().chain(limbs) {
            for still_s in [1.0, squats_end_s + 1.0, calibration.duration_s() - 1e-6] {
                assert!(lean_deg(segment, still_s).iter().all(|lean| lean.abs() < 1e-6), "{segment:?} at {still_s} s");
            }
            let is_foot = matches!(segment, Segment::Foot(_));
            let deepest_s = if is_foot { toes_s + 0.4 } else { squats_s + 0.6 };
            let [ahead, aside] = lean_deg(segment, deepest_s);
            assert!(ahead.abs() > 20.0 && aside.abs() < 1e-9, "{segment:?}: {ahead} {aside}");
        }
        let (at, columns) = stream(&options, "shank_left");
        for (row, time) in at.iter().enumerate() {
            let [x, y, z] = ["x", "y", "z"].map(|axis| columns[&format!("accel_{axis}_m_per_s2")][row]);
            let time_s = (time - options.start_ns) as f64 / 1e9;
            let push = ((x * x + y * y + z * z).sqrt() - 9.80665).abs();
            assert!(time_s > calibration.task_s() || push < 6.0, "{layout:?} {push} m/s² at {time_s} s");
        }
        let contacts: Vec<f64> =
            simulation.truth().iter().filter(|event| event.name.contains("_contact_")).map(|event| event.time_s).collect();
        assert!(contacts.len() > 3 && contacts.iter().all(|time_s| *time_s > calibration.task_s()), "{layout:?} {contacts:?}");
        for plate in ["plate_1", "plate_2"] {
            let (at, columns) = stream(&options, plate);
            let loaded = at.iter().zip(&columns["force_z_n"]).take_while(|(_, force)| **force > 20.0).count();
            let lifted_s = (at[loaded] - options.start_ns) as f64 / 1e9;
            assert!(contacts.iter().any(|time_s| (time_s - lifted_s).abs() < 0.003), "{layout:?} {plate} leaves at {lifted_s} s");
        }
        let (at, columns) = stream(&options, "muscles");
        let resting = at.iter().take_while(|time| **time < simulation.event_time_ns(calibration.duration_s())).count();
        assert!(columns.values().all(|volts| volts[..resting].iter().all(|volt| volt.abs() < 30e-6)), "muscles rest");
    }
}

#[test]
fn a_misplaced_imu_measures_the_same_along_other_axes() {
    let aligned = ideal(Layout::Walking, 2.0);
    let (_, expected) = stream(&aligned, "thigh_left");
    for placement in [Placement::Error { sd_deg: 10.0 }, Placement::Anyhow] {
        let options = Options { placement, ..aligned.clone() };
        let simulation = simulate(&options);
        let turn = simulation.segment_from_sensor("thigh_left");
        let (_, found) = stream(&options, "thigh_left");
        for (instrument, unit) in [("gyro", "rad_per_s"), ("accel", "m_per_s2"), ("mag", "ut")] {
            for row in 0..200 {
                let along =
                    |columns: &BTreeMap<String, Vec<f64>>| ["x", "y", "z"].map(|axis| columns[&format!("{instrument}_{axis}_{unit}")][row]);
                let [measured, due] = [&found, &expected].map(along);
                let turned = turn * nalgebra::Vector3::from(measured);
                assert!((turned - nalgebra::Vector3::from(due)).norm() < 1e-9, "{instrument} {turned} {due:?}");
            }
        }
        let angle_deg = ((turn.trace() - 1.0) / 2.0).acos().to_degrees();
        let told: f64 = ["x", "y", "z"]
            .iter()
            .map(|axis| {
                let name = format!("placement_thigh_left_{axis}_deg");
                simulation.truth().iter().find(|event| event.name == name).expect("the truth tells").value.powi(2)
            })
            .sum();
        assert!(angle_deg > 1.0 && (told.sqrt() - angle_deg).abs() < 1e-6, "{angle_deg} {told}");
    }
}

#[test]
fn an_impairment_changes_what_it_names_and_nothing_else() {
    let sound = ideal(Layout::Walking, 10.0);
    let delayed = Options {
        impairments: Impairments { gluteus_medius_delay_ms: PerSide { left: 60.0, right: 0.0 }, ..Impairments::default() },
        ..sound.clone()
    };
    let (sound_simulation, delayed_simulation) = (simulate(&sound), simulate(&delayed));
    let onsets = |simulation: &Simulation, name: &str| truth_times(simulation, &format!("onset_{name}"));
    let (before, after) = (onsets(&sound_simulation, "gluteus_medius_left"), onsets(&delayed_simulation, "gluteus_medius_left"));
    assert!(before.len() > 7 && before.len() == after.len());
    assert!(before.iter().zip(&after).all(|(before, after)| (after - before - 60_000_000).abs() <= 1));
    let (_, mut sound_emg) = stream(&sound, "muscles");
    let (_, mut delayed_emg) = stream(&delayed, "muscles");
    assert_ne!(sound_emg.remove("gluteus_medius_left_v"), delayed_emg.remove("gluteus_medius_left_v"));
    assert_eq!(sound_emg, delayed_emg);
    assert_eq!(stream(&sound, "pelvis"), stream(&delayed, "pelvis"));

    let dropping = Options {
        impairments: Impairments { pelvic_drop_deg: PerSide { left: 8.0, right: 0.0 }, ..Impairments::default() },
        ..sound.clone()
    };
    let dropping_simulation = simulate(&dropping);
    let peaks = |simulation: &Simulation, side: &str| -> Vec<f64> {
        let name = format!("peak_pelvic_drop_{side}_deg");
        simulation.truth().iter().filter(|event| event.name == name).map(|event| event.value).collect()
    };
    for (before, after) in peaks(&sound_simulation, "left").iter().zip(peaks(&dropping_simulation, "left")) {
        assert!((2.0..5.0).contains(before) && (after - before - 8.0).abs() < 0.3, "{before} {after}");
    }
    assert_eq!(peaks(&sound_simulation, "right"), peaks(&dropping_simulation, "right"));
    assert_eq!(stream(&sound, "muscles"), stream(&dropping, "muscles"));
    assert_ne!(stream(&sound, "pelvis"), stream(&dropping, "pelvis"));
    assert_eq!(onsets(&sound_simulation, "tra_io_left"), onsets(&dropping_simulation, "tra_io_left"));
}

#[test]
fn a_weak_hold_lets_the_pelvis_sink_and_the_muscle_fade() {
    let sound = ideal(Layout::Standing, 40.0);
    let weak =
        Options { impairments: Impairments { weak_hold: PerSide { left: 0.8, right: 0.0 }, ..Impairments::default() }, ..sound.clone() };
    let peak = |options: &Options, side: &str| {
        let name = format!("peak_pelvic_drop_{side}_deg");
        simulate(options).truth().iter().filter(|event| event.name == name).map(|event| event.value).fold(f64::MIN, f64::max)
    };
    assert!((peak(&weak, "left") - peak(&sound, "left") - 8.0).abs() < 1.0, "{} {}", peak(&weak, "left"), peak(&sound, "left"));
    assert_eq!(peak(&weak, "right"), peak(&sound, "right"));
    let power = |options: &Options, column: &str| stream(options, "muscles").1[column].iter().map(|v| v * v).sum::<f64>();
    assert!(power(&weak, "gluteus_medius_left_v") < 0.6 * power(&sound, "gluteus_medius_left_v"));
    assert_eq!(power(&weak, "gluteus_medius_right_v"), power(&sound, "gluteus_medius_right_v"));
}

#[test]
fn the_truth_source_sends_the_truth() {
    let options = Options { duration_s: 10.0, ..Options::of(Layout::Walking) };
    let simulation = simulate(&options);
    let expected: Vec<(TimeNs, String, f64)> =
        simulation.truth().into_iter().map(|event| (simulation.event_time_ns(event.time_s), event.name, event.value)).collect();
    let subject = simulation.rig().sensor("subject").expect("a truth source");
    let mut sent = Vec::new();
    for packet in simulation.filter(|packet| packet.sensor == subject) {
        let (names, values) = (strings(&packet.rows, 1), floats(&packet.rows, 2));
        sent.extend(times(&packet.rows).iter().enumerate().map(|(row, &time)| (time, names.value(row).to_owned(), values.value(row))));
    }
    assert_eq!(sent, expected);
    let strides: Vec<f64> = expected.iter().filter(|(_, name, _)| name == "stride_length_left_m").map(|(.., value)| *value).collect();
    assert!(strides.len() > 7 && strides.iter().all(|length| (length - options.stride_length_m()).abs() < 0.1), "{strides:?}");
}

#[test]
fn clocks_drift_without_offset() {
    let options = Options { duration_s: 30.0, ..Options::of(Layout::Walking) };
    let drifts: Vec<f64> =
        simulate(&options).truth().iter().filter(|event| event.name.starts_with("clock_drift_")).map(|e| e.value).collect();
    assert_eq!(drifts.len(), 12);
    assert!(drifts.iter().all(|ppm| ppm.abs() <= 5.0) && drifts.iter().any(|ppm| ppm.abs() > 1.0), "{drifts:?}");
    let (at, _) = stream(&options, "optical");
    assert_eq!(at[0], options.start_ns);
    assert!(at.windows(2).all(|pair| pair[1] - pair[0] == SECOND_NS / 100), "stamps lie on the sensor's own grid");
}

#[test]
fn a_full_lab_is_made_much_faster_than_real_time_in_bounded_memory() {
    let mut options = Options { duration_s: 60.0, ..Options::of(Layout::FullLab) };
    options.packet_ms = 100.0;
    let begun = Instant::now();
    let (mut values, mut largest) = (0, 0);
    for packet in simulate(&options) {
        values += packet.rows.num_rows() * (packet.rows.num_columns() - 1);
        largest = largest.max(packet.rows.get_array_memory_size());
    }
    let seconds = begun.elapsed().as_secs_f64();
    eprintln!("full lab: {:.0} × real time, {:.1} M values/s", options.duration_s / seconds, values as f64 / seconds / 1e6);
    assert!((values as f64 / 60.0 - 63_400.0).abs() < 500.0, "{values}");
    assert!(largest < 64 * 1024, "a packet stays small: {largest} B");
    assert!(options.duration_s / seconds > 5.0, "{seconds} s for {} s", options.duration_s);
}

#[test]
fn options_out_of_range_are_refused() {
    let error = Simulation::new(Options { walking_speed_m_per_s: 5.0, ..Options::default() }).expect_err("no walking speed");
    assert!(error.to_string().contains("step length"), "{error}");
    let error = Simulation::new(Options { duration_s: f64::NAN, ..Options::default() }).expect_err("no duration");
    assert_eq!(error.to_string(), "the duration in s is NaN, but must be from 0 to 1000000");
    assert_eq!(simulate(&Options { duration_s: 0.0, ..Options::default() }).count(), 0);
}

/// Per packet of one sensor: the stamp of its last sample, its arrival, and when that sample was really taken.
fn arrivals(options: &Options, sensor: &str) -> Vec<(TimeNs, TimeNs, TimeNs)> {
    let mut simulation = simulate(options);
    let index = simulation.rig().sensor(sensor).expect("a sensor of the rig");
    let true_stamps = {
        let mut exact = options.clone();
        exact.clocks.jumps.clear();
        let simulation = simulate(&exact);
        simulation.filter(|packet| packet.sensor == index).flat_map(|packet| times(&packet.rows).to_vec()).collect::<Vec<_>>()
    };
    let mut arrivals = Vec::new();
    while let Some(delivery) = simulation.next_delivery() {
        if let Payload::Packet(packet) = delivery.payload
            && packet.sensor == index
        {
            let stamps = times(&packet.rows);
            assert!(stamps.windows(2).all(|pair| pair[1] > pair[0]), "a packet's stamps are of one setting of the clock");
            let last = packet.sequence as usize + stamps.len() - 1;
            arrivals.push((stamps[stamps.len() - 1], delivery.at_ns, true_stamps[last]));
        }
    }
    arrivals
}

#[test]
fn a_clock_that_is_set_jumps_once_and_its_fit_says_so() {
    for (by_ms, is_reset) in [(-30_000.0, true), (20.0, false)] {
        let mut options = Options { duration_s: 60.0, ..ideal(Layout::Walking, 60.0) };
        options.faults.jitter_ms = 5.0;
        options.faults.dropout = 0.0;
        options.clocks.jumps = vec![ClockJump { sensor: Some("pelvis".to_owned()), at_s: 40.005, by_ms }];
        let mut fit = ClockFit::default();
        let mut found = Vec::new();
        for (stamp_ns, arrival_ns, true_ns) in arrivals(&options, "pelvis") {
            let jumped_ns = if true_ns - options.start_ns >= 40_005_000_000 { (by_ms * 1e6) as i64 } else { 0 };
            assert_eq!(stamp_ns - true_ns, jumped_ns);
            found.extend(fit.observe(stamp_ns, arrival_ns).map(|event| (true_ns - options.start_ns, event)));
            let error_ns = (fit.map(stamp_ns) - true_ns).abs();
            let seconds = (true_ns - options.start_ns) as f64 / 1e9;
            assert!(!(10.0..40.0).contains(&seconds) || error_ns < 1_000_000, "{error_ns} ns off at {seconds} s");
        }
        let [(at_ns, event)] = found[..] else { panic!("{by_ms}: {found:?}") };
        assert!((40_005_000_000..41_000_000_000).contains(&at_ns), "{at_ns}");
        assert_eq!(matches!(event, ClockEvent::Reset { .. }), is_reset, "{event:?}");
    }
    let mut others = ideal(Layout::Walking, 5.0);
    others.clocks.jumps = vec![ClockJump { sensor: Some("pelvis".to_owned()), at_s: 1.0, by_ms: 500.0 }];
    assert_eq!(stream(&others, "trunk"), stream(&ideal(Layout::Walking, 5.0), "trunk"), "the clock of another sensor");
}

#[test]
fn bluetooth_packets_are_never_quicker_than_its_floor_and_now_and_then_much_slower() {
    let mut options = ideal(Layout::Walking, 120.0);
    options.faults.way = Way::Bluetooth;
    options.faults.dropout = 0.0;
    let mut fit = ClockFit::default();
    let (mut delays_ms, mut errors_ms) = (Vec::new(), Vec::new());
    for (stamp_ns, arrival_ns, true_ns) in arrivals(&options, "pelvis") {
        delays_ms.push((arrival_ns - true_ns) as f64 / 1e6);
        assert_eq!(fit.observe(stamp_ns, arrival_ns), None);
        // 12 ms are the floor, which one-way data can't know.
        errors_ms.push((fit.map(stamp_ns) - true_ns) as f64 / 1e6 - 12.0);
    }
    delays_ms.sort_by(f64::total_cmp);
    let at = |percent: usize| delays_ms[delays_ms.len() * percent / 100];
    assert!(at(0) >= 12.0 && at(0) < 13.0 && (16.0..25.0).contains(&at(50)) && at(99) > 40.0, "{} {} {}", at(0), at(50), at(99));
    let settled = &errors_ms[errors_ms.len() / 6..];
    assert!(settled.iter().all(|error| error.abs() < 3.0), "{:?}", settled.iter().copied().fold(0.0, f64::max));
}
