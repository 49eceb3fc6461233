//! Do real recordings come out as their own labs and as OpenSim read them?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow_array::Array;
use proprio_core::rows::{floats, integers, strings, times};
use proprio_core::{Kind, Rate, RecordBatch};
use proprio_files::{FileSensor, OpenOptions, PACKET_NS, Recording, open};

/// The recordings' folder; `None`, after saying so, where this machine has none.
fn data(test: &str, file: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PROPRIO_DATA").map(PathBuf::from);
    let root = root.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"));
    let path = root.join(file);
    if path.exists() {
        return Some(path);
    }
    #[expect(clippy::print_stdout, reason = "a test that is skipped says so by name")]
    {
        println!("skipped: {test}");
    }
    None
}

fn read(path: &Path) -> Recording {
    open(path, &OpenOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn sensor<'a>(recording: &'a Recording, name: &str) -> &'a FileSensor {
    recording.sensor(name).unwrap_or_else(|| panic!("{} has a sensor {name}", recording.name))
}

/// A column's values, NaN where null.
fn values(rows: &RecordBatch, column: &str) -> Vec<f64> {
    let index = rows.schema_ref().index_of(column).unwrap_or_else(|_| panic!("a column {column}"));
    floats(rows, index).iter().map(|value| value.unwrap_or(f64::NAN)).collect()
}

/// A table of OpenSim's: its column names, and its rows.
fn sto(path: &Path) -> (Vec<String>, Vec<Vec<f64>>) {
    let text = std::fs::read_to_string(path).expect("the file is text");
    let mut lines = text.lines().skip_while(|line| *line != "endheader").skip(1);
    let names = lines.next().expect("a header line").split_whitespace().map(str::to_owned).collect();
    let row = |line: &str| line.split_whitespace().map(|cell| cell.parse().expect("a number")).collect();
    (names, lines.filter(|line| !line.trim().is_empty()).map(row).collect())
}

/// Equal to a printed figure to half of its last digit: `digits` significant ones, at most eight decimals.
fn assert_printed(ours: f64, printed: f64, digits: i32, what: &str) {
    let before_point = printed.abs().log10().floor() as i32 + 1;
    let last = 10f64.powi(before_point.saturating_sub(digits).max(-8));
    // OpenSim rounds some figures twice, through one digit more.
    assert!((ours - printed).abs() <= 0.5501 * last, "{what}: {ours} against {printed}");
}

/// OpenSim's exports keep the file's frame (Z up) and zero no force. They hold every hundredth analog sample and the last, the
/// forces to eight decimals, the centres of pressure and free moments to ten digits. Where they divide by an unloaded
/// plate's offset we have no centre of pressure; that is the only difference.
#[test]
fn forces_and_centres_of_pressure_equal_opensims() {
    let Some(path) = data("forces_and_centres_of_pressure_equal_opensims", "lab/opensim/walking2.c3d") else { return };
    let recording = read(&path);
    let (names, at_centre) = sto(&path.with_file_name("std_walking2_grfs.sto"));
    let (_, at_pressure) = sto(&path.with_file_name("std_cop_walking2_grfs.sto"));
    let column = |name: String| names.iter().position(|other| *other == name).unwrap_or_else(|| panic!("a column {name}"));
    let mut pressures = 0;
    for plate in 1..=2 {
        let rows = &sensor(&recording, &format!("plate_{plate}")).rows;
        let force = ["force_x_n", "force_y_n", "force_z_n"].map(|name| values(rows, name));
        let place = ["cop_x_m", "cop_y_m"].map(|name| values(rows, name));
        let free_moment = values(rows, "free_moment_n_m");
        assert_eq!(at_centre.len(), 101);
        for (a, b) in at_centre.iter().zip(&at_pressure) {
            let sample = (a[0] * 2000.0).round() as usize;
            assert_eq!(times(rows)[sample], (a[0] * 1e9).round() as i64);
            for (axis, force) in force.iter().enumerate() {
                assert_printed(force[sample], a[column(format!("f{plate}_{}", axis + 1))], 99, "force");
            }
            if force[2][sample] < 10.0 {
                assert!(place[0][sample].is_nan() && place[1][sample].is_nan() && free_moment[sample] == 0.0);
                continue;
            }
            pressures += 1;
            for (axis, place) in place.iter().enumerate() {
                let printed = b[column(format!("p{plate}_{}", axis + 1))];
                assert_printed(place[sample] * 1000.0, printed, 10, "centre of pressure");
            }
            assert_printed(free_moment[sample] * 1000.0, b[column(format!("m{plate}_3"))], 10, "free moment");
        }
    }
    assert!(pressures >= 20, "{pressures} samples under load");
}

/// `std_walking2_markers.trc` holds every tenth frame, to five digits.
#[test]
fn markers_equal_opensims() {
    let Some(path) = data("markers_equal_opensims", "lab/opensim/walking2.c3d") else { return };
    let recording = read(&path);
    let text = std::fs::read_to_string(path.with_file_name("std_walking2_markers.trc")).expect("the file is text");
    let labels: Vec<&str> = text.lines().nth(3).expect("a line of labels").split('\t').skip(2).filter(|label| !label.is_empty()).collect();
    let subject = sensor(&recording, "subject");
    assert_eq!(subject.file.labels, labels);
    let (mut seen, mut missing) = (0, 0);
    for line in text.lines().skip(6).filter(|line| !line.trim().is_empty()) {
        let cells: Vec<f64> = line.split('\t').filter(|cell| !cell.is_empty()).map(|cell| cell.trim().parse().expect("a number")).collect();
        let frame = (cells[1] * 250.0).round() as usize;
        for (index, printed) in cells[2..].iter().enumerate() {
            let ours = floats(&subject.rows, index + 1);
            assert_eq!(ours.is_null(frame), printed.is_nan(), "{} at {}", labels[index / 3], cells[1]);
            if !printed.is_nan() {
                assert_printed(ours.value(frame) * 1000.0, *printed, 5, labels[index / 3]);
                seen += 1;
            } else {
                missing += 1;
            }
        }
    }
    assert!(seen > 5000 && missing > 5000, "{seen} seen, {missing} missing");
}

/// Times at which a plate's vertical force crosses 20 N and stays there for 40 ms.
fn crossings(recording: &Recording) -> Vec<(i64, bool)> {
    let mut found = Vec::new();
    for sensor in recording.sensors.iter().filter(|sensor| sensor.file.kind == Kind::Force) {
        let force = values(&sensor.rows, "force_z_n");
        let hold = (sensor.file.rate.expect("a rate").hertz() * 0.04) as usize;
        let mut on = false;
        for at in 0..force.len().saturating_sub(hold) {
            if force[at..at + hold].iter().all(|force| (*force > 20.0) != on) {
                on = !on;
                found.push((times(&sensor.rows)[at], on));
            }
        }
    }
    found.sort_unstable();
    found
}

/// Frame 2 is the first of this file, and its events are counted from frame 1: only with the right zero does the strike that
/// was marked by force meet the plate, to the sample.
#[test]
fn events_are_on_the_plates_clock_whatever_the_first_frame() {
    for (file, strike_ns, first) in [("lab/smk_overground.c3d", 1_000, 1_184_583_333), ("lab/Vicon_analysis.c3d", 2_000_000, 2_668_333_333)]
    {
        let Some(path) = data("events_are_on_the_plates_clock_whatever_the_first_frame", file) else { return };
        let recording = read(&path);
        let events = &sensor(&recording, "annotated").rows;
        let strikes: Vec<i64> =
            times(events).iter().zip(strings(events, 1)).filter(|(_, event)| *event == Some("initial_contact")).map(|(t, _)| *t).collect();
        let (plate, _) = crossings(&recording).into_iter().find(|(_, on)| *on).expect("a foot on a plate");
        assert_eq!(plate, first);
        let nearest = strikes.iter().map(|strike| (strike - plate).abs()).min().expect("a strike");
        assert!(nearest <= strike_ns, "{file}: {nearest} ns");
    }
}

#[test]
fn vicon_analysis_has_its_sensors_events_and_parameters() {
    let Some(path) = data("vicon_analysis_has_its_sensors_events_and_parameters", "lab/Vicon_analysis.c3d") else { return };
    let recording = read(&path);
    let rates: BTreeMap<&str, (Kind, Option<Rate>, usize)> = recording
        .sensors
        .iter()
        .map(|sensor| (sensor.name.as_str(), (sensor.file.kind, sensor.file.rate, sensor.rows.num_rows())))
        .collect();
    let plate = (Kind::Force, Some(Rate::hz(1800)), 10_410);
    let expected = [
        ("annotated", (Kind::Events, None, 17)),
        ("muscles", (Kind::Emg, Some(Rate::hz(1800)), 10_410)),
        ("plate_1", plate),
        ("plate_2", plate),
        ("plate_3", plate),
        ("subject", (Kind::Markers, Some(Rate::hz(120)), 694)),
    ];
    assert_eq!(rates, BTreeMap::from(expected));
    assert_eq!(sensor(&recording, "muscles").file.channels.len(), 16);
    assert_eq!(sensor(&recording, "subject").file.labels.len(), 19);
    let cadence = recording.parameters.first().expect("parameters");
    assert_eq!((cadence.name.as_str(), cadence.unit.as_str()), ("Cadence", "steps/min"));
    assert!((cadence.value - 117.455).abs() < 1e-3 && recording.parameters.len() == 22);
    // ANALOG:UNITS says Nm and the values are N·mm: the pressure must lie on each plate all the same.
    for (name, x_m, y_m) in [("plate_1", -0.396, 0.255), ("plate_2", 0.232, 0.254), ("plate_3", 0.716, 0.253)] {
        let rows = &sensor(&recording, name).rows;
        for (column, middle) in [("cop_x_m", x_m), ("cop_y_m", y_m)] {
            let places = values(rows, column);
            let on = places.iter().filter(|place| !place.is_nan());
            assert!(on.clone().count() > 1000 && on.clone().all(|place| (place - middle).abs() < 0.35), "{name} {column}");
        }
    }
}

/// Every row once, in time order, with counting sequences and messages that span at most 10 ms.
#[test]
fn packets_carry_every_row_once_in_time_order() {
    let Some(path) = data("packets_carry_every_row_once_in_time_order", "lab/Vicon_analysis.c3d") else { return };
    let recording = read(&path);
    let rig = recording.rig("lab").resolve();
    let start_ns = 946_684_800_000_000_000;
    let mut sent = vec![0i64; rig.sensors.len()];
    let mut newest = i64::MIN;
    for packet in recording.packets(&rig, start_ns, PACKET_NS).expect("the rig is the file's own") {
        let packet = packet.expect("the rows are the schema's");
        assert_eq!(packet.sequence, sent[packet.sensor]);
        assert_eq!(packet.rows.schema(), rig.sensors[packet.sensor].wire_schema().columns);
        let times = integers(&packet.rows, 0).values();
        let last = *times.last().expect("no message is empty");
        assert!(last >= newest && last - times[0] < PACKET_NS && packet.rows.num_columns() * packet.rows.num_rows() * 8 < 60_000);
        newest = last;
        sent[packet.sensor] += packet.rows.num_rows() as i64;
    }
    let rows: Vec<i64> = recording.sensors.iter().map(|sensor| sensor.rows.num_rows() as i64).collect();
    assert_eq!(sent, rows);
    assert_eq!(newest, start_ns + Rate::hz(1800).grid_time(10_409));
}

#[test]
fn a_rig_names_muscles_and_leaves_markers_out_but_may_not_ask_for_more() {
    let Some(path) = data("a_rig_names_muscles_and_leaves_markers_out_but_may_not_ask_for_more", "lab/Vicon_analysis.c3d") else { return };
    let recording = read(&path);
    let mut file = recording.rig("lab");
    file.sensors.retain(|name, _| name == "muscles" || name == "subject");
    file.sensors
        .entry("muscles".to_owned())
        .and_modify(|muscles| muscles.channels = BTreeMap::from([(2, "gastrocnemius_right".to_owned())]));
    file.sensors.entry("subject".to_owned()).and_modify(|subject| subject.labels = vec!["RTOE".to_owned()]);
    let rig = file.clone().resolve();
    let packets = recording.packets(&rig, 0, PACKET_NS).expect("it fits").collect::<Result<Vec<_>, _>>().expect("it fits");
    let emg = packets.iter().find(|packet| packet.sensor == 0).expect("EMG is sent");
    assert_eq!(emg.rows.schema_ref().field(1).name(), "gastrocnemius_right_v");
    let whole = values(&sensor(&recording, "muscles").rows, "emg2_v");
    assert_eq!(values(&emg.rows, "gastrocnemius_right_v"), whole[..emg.rows.num_rows()]);

    let refuse = |change: &dyn Fn(&mut proprio_core::rig::RigFile), words: &[&str]| {
        let mut file = file.clone();
        change(&mut file);
        let error = recording.packets(&file.resolve(), 0, PACKET_NS).expect_err("it doesn't fit").to_string();
        assert!(words.iter().chain(&["Vicon_analysis.c3d"]).all(|word| error.contains(word)), "{error}");
    };
    let change = |name: &'static str, edit: fn(&mut proprio_core::rig::SensorFile)| {
        move |file: &mut proprio_core::rig::RigFile| {
            file.sensors.entry(name.to_owned()).and_modify(edit);
        }
    };
    refuse(&change("muscles", |muscles| muscles.rate = Some(Rate::hz(2000))), &["muscles", "the rate is 2000 Hz", "1800 Hz"]);
    refuse(&change("muscles", |muscles| muscles.channels = BTreeMap::from([(17, "soleus".to_owned())])), &["`soleus_v`", "emg16_v"]);
    refuse(&change("subject", |subject| subject.labels.push("LHEE".to_owned())), &["`LHEE_x_m`", "LTOE_x_m"]);
    refuse(&change("subject", |subject| subject.kind = Kind::Imu), &["the kind is imu", "markers"]);
    let add = |file: &mut proprio_core::rig::RigFile| {
        let pelvis = file.sensors["subject"].clone();
        file.sensors.insert("pelvis".to_owned(), pelvis);
    };
    refuse(&add, &["`pelvis`", "`subject`"]);
}
