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
    assert_eq!(recording.angles("LKneeAngles").map(<[_]>::len), Some(694));
    assert_eq!((recording.angles("LKneeForce"), recording.subject("LLEGLENGTH")), (None, None));
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

fn options(edit: impl FnOnce(&mut OpenOptions)) -> OpenOptions {
    let mut options = OpenOptions::default();
    edit(&mut options);
    options
}

fn named<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

#[test]
fn broad_is_an_imu_at_2000_sevenths_hertz() {
    let Some(path) = data("broad_is_an_imu_at_2000_sevenths_hertz", "imu/broad/16_undisturbed_fast_translation_B.parquet") else { return };
    let recording = read(&path);
    let imu = sensor(&recording, "imu");
    assert_eq!((imu.file.kind, imu.file.rate, imu.file.magnetometer), (Kind::Imu, Rate::new(2000, 7), true));
    assert_eq!((imu.rows.num_rows(), times(&imu.rows)[3]), (53_392, 10_500_000));
    assert_eq!(values(&imu.rows, "gyro_x_rad_per_s")[0], 0.005_326_744_877_086_694_5);
    assert_eq!(values(&imu.rows, "mag_z_ut")[1], -41.356_805_909_312_33);
    assert_eq!(recording.warnings, ["columns left out: ref_w, ref_x, ref_y, ref_z, movement"]);
}

#[test]
fn units_in_names_and_options_become_si() {
    let test = "units_in_names_and_options_become_si";
    let Some(path) = data(test, "imu/lowerback/test5_trial2.parquet") else { return };
    let recording = read(&path);
    let imu = sensor(&recording, "imu");
    assert_eq!((imu.file.rate, imu.rows.num_rows()), (Some(Rate::hz(100)), 1075));
    assert!((values(&imu.rows, "accel_x_m_per_s2")[0] - 0.967_677_06 * 9.806_65).abs() < 1e-12);
    assert!((values(&imu.rows, "gyro_x_rad_per_s")[0] - 0.744_845_133_670_070_2f64.to_radians()).abs() < 1e-15);

    let Some(path) = data(test, "imu/gaitmap/imu_sample.csv") else { return };
    let degrees = options(|options| {
        options.rate = Rate::new(1024, 5);
        options.units = named([("gyro", "deg/s")]);
    });
    let feet = open(&path, &degrees).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(feet.sensors.iter().map(|sensor| sensor.name.as_str()).collect::<Vec<_>>(), ["left_sensor", "right_sensor"]);
    let left = sensor(&feet, "left_sensor");
    assert!(!left.file.magnetometer && left.file.rate == Rate::new(1024, 5));
    assert!((values(&left.rows, "gyro_x_rad_per_s")[0] + 0.112_401_705_972_524_27f64.to_radians()).abs() < 1e-15);
    assert_eq!(values(&sensor(&feet, "right_sensor").rows, "accel_x_m_per_s2")[0], 0.311_552_590_393_216_8);
    let error = read_error(&path, &OpenOptions::default());
    assert!(error.contains("no time column"), "{error}");

    let Some(path) = data(test, "imu/joint/data_1D_02.csv") else { return };
    let joint = open(&path, &options(|options| options.rate = Some(Rate::hz(50)))).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(joint.sensors.iter().map(|sensor| sensor.name.as_str()).collect::<Vec<_>>(), ["imu_1", "imu_2"]);
}

#[test]
fn an_emg_table_is_read_in_the_unit_that_is_given() {
    let Some(path) = data("an_emg_table_is_read_in_the_unit_that_is_given", "emg/ID0012_TW_01_emg.csv") else { return };
    let error = read_error(&path, &OpenOptions::default());
    assert!(error.contains("fit no kind of sensor"), "{error}");
    let microvolts = options(|options| {
        options.kind = Some(Kind::Emg);
        options.units = named([("emg", "uV")]);
    });
    let recording = open(&path, &microvolts).unwrap_or_else(|error| panic!("{error}"));
    let emg = sensor(&recording, "emg");
    assert_eq!((emg.file.rate, emg.file.channels.len(), times(&emg.rows)[1]), (Some(Rate::hz(1000)), 13, 1_000_000));
    assert_eq!(values(&emg.rows, "ma_v")[0], -6.44531 * 1e-6);
    let volts = open(&path, &options(|options| options.kind = Some(Kind::Emg))).unwrap_or_else(|error| panic!("{error}"));
    assert!(volts.warnings.iter().any(|warning| warning.contains("taken as volts")), "{:?}", volts.warnings);
}

fn read_error(path: &Path, options: &OpenOptions) -> String {
    open(path, options).expect_err("it can't be read").to_string()
}

/// A file of the test's own; its folder goes with the second value.
fn file(name: &str, content: &[u8]) -> (PathBuf, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::write(&path, content).expect("a file");
    (path, folder)
}

const LONG: &str = "sensor,kind,time_ns,gyro_x_rad_per_s,gyro_y_rad_per_s,gyro_z_rad_per_s,accel_x_m_per_s2,accel_y_m_per_s2,accel_z_m_per_s2,vastus_v,event,side
pelvis,imu,1000000000,0,0,0.1,0,0,9.81,,,
muscles,emg,1000000000,,,,,,,0.001,,
muscles,emg,1005000000,,,,,,,0.002,,
pelvis,imu,1010000000,0,0,0.2,0,0,9.82,,,
marks,events,1012000000,,,,,,,,initial_contact,left
pelvis,imu,1020000000,0,0,0.3,0,0,9.83,,,
";

#[test]
fn one_table_holds_sensors_of_several_kinds() {
    let (path, _folder) = file("standing.csv", LONG.as_bytes());
    let recording = read(&path);
    let kinds: Vec<_> = recording.sensors.iter().map(|sensor| (sensor.name.as_str(), sensor.file.kind, sensor.rows.num_rows())).collect();
    assert_eq!(kinds, [("marks", Kind::Events, 1), ("muscles", Kind::Emg, 2), ("pelvis", Kind::Imu, 3)]);
    assert_eq!(times(&sensor(&recording, "marks").rows), [12_000_000]);
    assert_eq!(sensor(&recording, "muscles").file.rate, Some(Rate::hz(200)));
    assert_eq!(values(&sensor(&recording, "pelvis").rows, "accel_z_m_per_s2"), [9.81, 9.82, 9.83]);
    assert!(!sensor(&recording, "pelvis").file.magnetometer && recording.warnings.is_empty(), "{:?}", recording.warnings);
    let rig = recording.rig("standing").resolve();
    let order: Vec<usize> = recording.packets(&rig, 0, PACKET_NS).expect("it fits").map(|packet| packet.expect("it fits").sensor).collect();
    assert_eq!(order, [2, 1, 2, 0, 2]);
}

#[test]
fn what_is_wrong_with_a_table_is_said_at_its_line_and_column() {
    let imu = "time_s,gx,gy,gz,ax,ay,az\n0,1,2,3,4,5,6\n0.01,1,2,3,4,5,6\n";
    let missing = imu.replace(",az", ",b");
    let twice = imu.replace("ay,az", "ay,ay");
    let cases: [(&str, &str, &str); 13] = [
        ("a.csv", &imu.replace("0.01,1,2", "0.01,1,two"), "a.csv:3:8: `two` in column `gy` is not a number"),
        ("a.csv", &imu.replace("0.01,1,2,3", "0.01,1,2"), "a.csv:3:1: the line has 6 cells, the header 7"),
        ("a.csv", &imu.replace("0.01,", "\"0.01,"), "a.csv:3:1: the quoted cell has no end"),
        ("a.csv", &imu.replace("0.01", "-1"), "time does not rise from row 1 to row 2"),
        ("a.csv", &imu.replace("0.01", ""), "a.csv:3:1: `time_s` has no time here"),
        ("a.csv", &missing, "no column for `accel_z_m_per_s2`"),
        ("a.csv", &twice, "two columns are named `ay`"),
        ("a.csv", "", "it has no header line"),
        ("a.csv", "time_s,gx\n", "it has no rows"),
        ("a.csv", "sensor,kind,time_s,gx\nleft,inertial,0,1\n", "a.csv:2:6: `inertial` is no kind"),
        ("a.parquet", "PAR1, or so it says", "it is no readable Parquet file"),
        ("a.c3d", "too short", "a.c3d: 9 bytes are too few for a C3D file"),
        ("a.mot", imu, "`.mot` is no known format"),
    ];
    for (name, content, expected) in cases {
        let (path, _folder) = file(name, content.as_bytes());
        let error = read_error(&path, &OpenOptions::default());
        assert!(error.contains(expected) && error.contains(name), "{error}\nexpected {expected}");
    }
    let (path, _folder) = file("a.csv", imu.as_bytes());
    let bad_map = options(|options| options.columns = named([("gyro_x_rad_per_s", "wx")]));
    assert!(read_error(&path, &bad_map).contains("there is no column `wx`"));
    let bad_unit = options(|options| options.units = named([("gyro", "m")]));
    assert!(read_error(&path, &bad_unit).contains("`m` is no unit of `gyro`"));
    let absent = path.with_file_name("absent.csv");
    assert!(read_error(&absent, &OpenOptions::default()).contains("absent.csv: "));
    let (path, _folder) = file("a.csv", &[b't', 0xff, b'\n']);
    assert!(read_error(&path, &OpenOptions::default()).contains("byte 1 is not UTF-8"));
}

/// Columns under names of nobody's, mapped; quotes, semicolons and a byte order mark.
#[test]
fn columns_are_mapped_by_name() {
    let text = "\u{feff}clock;a;b;c;\"d\";e;f\r\n5;1;2;3;1;0;0\r\n15;1;2;3;\"1\";0;0\r\n";
    let (path, _folder) = file("a.csv", text.as_bytes());
    let mapped = options(|options| {
        options.sensor = Some("pelvis".to_owned());
        options.columns = named([
            ("time", "clock"),
            ("gyro_x_rad_per_s", "a"),
            ("gyro_y_rad_per_s", "b"),
            ("gyro_z_rad_per_s", "c"),
            ("accel_x_m_per_s2", "d"),
            ("accel_y_m_per_s2", "e"),
            ("accel_z_m_per_s2", "f"),
        ]);
        options.units = named([("time", "ms"), ("accel_x_m_per_s2", "g")]);
    });
    let recording = open(&path, &mapped).unwrap_or_else(|error| panic!("{error}"));
    let pelvis = sensor(&recording, "pelvis");
    assert_eq!((pelvis.file.rate, times(&pelvis.rows)), (Some(Rate::hz(100)), &[0, 10_000_000][..]));
    assert_eq!(values(&pelvis.rows, "accel_x_m_per_s2"), [9.806_65; 2]);
}

#[test]
fn damaged_parquet_is_an_error_and_never_a_panic() {
    let Some(path) = data("damaged_parquet_is_an_error_and_never_a_panic", "imu/lowerback/test5_trial2.parquet") else { return };
    let whole = std::fs::read(path).expect("the file");
    let mut refused = 0;
    for step in 0..400 {
        let at = whole.len() - 1 - step * whole.len() / 400 * usize::from(step % 2 == 0) - (step % 2) * step;
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        let (flipped, _folder) = file("flipped.parquet", &bytes);
        refused += usize::from(open(&flipped, &OpenOptions::default()).is_err());
        let (cut, _folder) = file("cut.parquet", &whole[..at]);
        assert!(read_error(&cut, &OpenOptions::default()).contains("cut.parquet"));
    }
    assert!(refused > 50, "{refused}");
}

/// Figures of pyxdf 1.17.5: spans on the recorder's clock, and its clock segments (0, 12875), (12876, 27814) and (0, 90),
/// (91, 174). Its times differ by what its regression over all offsets differs from a fit that moves along.
#[test]
fn clock_resets_of_a_recording_are_found_at_their_samples() {
    let Some(path) = data("clock_resets_of_a_recording_are_found_at_their_samples", "clock/clock_resets.xdf") else { return };
    let recording = read(&path);
    let zero_s = recording.parameters[0].value;
    for (name, rows, first_s, last_s, before, after) in [
        ("BioSemi", 27_815, 810.029_79, 1_383.184_27, (12_875, 948.5), (12_876, 1221.5)),
        ("MyMarkerStream", 175, 812.927_90, 1_380.819_45, (90, 948.5), (91, 1221.5)),
    ] {
        let times = times(&sensor(&recording, name).rows);
        let at_s = |row: usize| zero_s + times[row] as f64 / 1e9;
        assert_eq!(times.len(), rows);
        assert!((at_s(0) - first_s).abs() < 1e-3, "{name} begins at {}", at_s(0));
        assert!((at_s(rows - 1) - last_s).abs() < 1e-3, "{name} ends at {}", at_s(rows - 1));
        // Nothing was recorded between.
        assert!(at_s(before.0) < before.1 && at_s(after.0) > after.1, "{name}: {} {}", at_s(before.0), at_s(after.0));
        let said = recording.warnings.iter().filter(|warning| warning.starts_with(name) && warning.contains("its clock jumped")).count();
        let place = format!("before sample {},", after.0);
        assert!(said == 1 && recording.warnings.iter().any(|warning| warning.contains(&place)), "{:?}", recording.warnings);
    }
    assert_eq!(sensor(&recording, "BioSemi").file.rate, Some(Rate::hz(100)));
    let packets = recording.packets(&recording.rig("lab").resolve(), 0, PACKET_NS).expect("its own rig fits");
    let rows = packets.map(|packet| packet.expect("a packet").rows.num_rows());
    assert_eq!(rows.sum::<usize>(), 27_815 + 175);
    let first = values(&sensor(&recording, "BioSemi").rows, "channel_1_v")[0];
    assert!((first - 0.141_807_87e-6).abs() < 1e-13, "{first}");
}

#[test]
fn the_smallest_xdf_files_are_read() {
    let test = "the_smallest_xdf_files_are_read";
    let (Some(minimal), Some(empty)) = (data(test, "clock/minimal.xdf"), data(test, "clock/empty_streams.xdf")) else { return };
    let minimal = read(&minimal);
    assert_eq!(
        minimal.sensors.iter().map(|sensor| (sensor.name.as_str(), sensor.file.kind)).collect::<Vec<_>>(),
        [("SendDataC", Kind::Emg), ("SendDataString", Kind::Events)]
    );
    let zero_s = minimal.parameters[0].value;
    let spans = minimal.sensors.iter().map(|sensor| {
        let times = times(&sensor.rows);
        (zero_s + times[0] as f64 / 1e9, zero_s + times[times.len() - 1] as f64 / 1e9, times.len())
    });
    for ((first_s, last_s, rows), expected) in spans.zip([(5.0, 5.8, 9), (5.1, 5.9, 9)]) {
        assert!((first_s - expected.0).abs() < 1e-6 && (last_s - expected.1).abs() < 1e-6, "{first_s} {last_s}");
        assert_eq!(rows, expected.2);
    }
    let samples = ["channel_1_v", "channel_2_v", "channel_3_v"].map(|column| values(&minimal.sensors[0].rows, column)[1] * 1e6);
    assert_eq!(samples.map(f64::round), [12.0, 22.0, 32.0]);
    let empty = read(&empty);
    assert_eq!(empty.sensors.iter().map(|sensor| (sensor.name.as_str(), sensor.rows.num_rows())).collect::<Vec<_>>(), [("ctrl", 1)]);
    assert!((empty.parameters[0].value - 91_725.013_993).abs() < 1e-4, "{:?}", empty.parameters);
    assert_eq!(empty.warnings.iter().filter(|warning| warning.contains("no samples")).count(), 2, "{:?}", empty.warnings);
}
