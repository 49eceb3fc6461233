//! Is every chunk of an XDF file read, and is a damaged one refused without harm?

use super::*;

/// Writes XDF.
struct Writer(Vec<u8>);

impl Writer {
    fn new() -> Self {
        let mut writer = Self(b"XDF:".to_vec());
        writer.chunk(1, b"<?xml version=\"1.0\"?><info><version>1.0</version></info>");
        writer
    }

    fn chunk(&mut self, tag: u16, content: &[u8]) {
        let length = content.len() + 2;
        if length < 256 {
            self.0.extend([1, length as u8]);
        } else {
            self.0.push(4);
            self.0.extend((length as u32).to_le_bytes());
        }
        self.0.extend(tag.to_le_bytes());
        self.0.extend(content);
    }

    fn header(&mut self, stream: u32, kind: &str, format: &str, hertz: f64, channels: &[(&str, &str)]) {
        let described: String =
            channels.iter().map(|(label, unit)| format!("<channel><label>{label}</label><unit>{unit}</unit></channel>")).collect();
        let xml = format!(
            "<info><name>{kind} {stream}</name><type>{kind}</type><channel_count>{}</channel_count><nominal_srate>{hertz}</nominal_srate>\
             <channel_format>{format}</channel_format><desc><channels>{described}</channels></desc></info>",
            channels.len()
        );
        self.chunk(2, &[&stream.to_le_bytes(), xml.as_bytes()].concat());
    }

    /// Samples: a time or none, and the bytes of the values.
    fn samples(&mut self, stream: u32, samples: &[(Option<f64>, Vec<u8>)]) {
        let mut content = stream.to_le_bytes().to_vec();
        content.push(8);
        content.extend((samples.len() as u64).to_le_bytes());
        for (time_s, values) in samples {
            match time_s {
                Some(time_s) => {
                    content.push(8);
                    content.extend(time_s.to_le_bytes());
                }
                None => content.push(0),
            }
            content.extend(values);
        }
        self.chunk(3, &content);
    }

    fn offset(&mut self, stream: u32, time_s: f64, offset_s: f64) {
        self.chunk(4, &[&stream.to_le_bytes()[..], &time_s.to_le_bytes(), &offset_s.to_le_bytes()].concat());
    }
}

fn text(value: &str) -> Vec<u8> {
    [&[1, value.len() as u8], value.as_bytes()].concat()
}

/// An inertial stream of every second value's time omitted, an EMG stream in millivolts, events.
fn example() -> Vec<u8> {
    let mut file = Writer::new();
    let labels = [("GyroX", "deg/s"), ("GyroY", "deg/s"), ("GyroZ", "deg/s"), ("AccX", "g"), ("AccY", "g"), ("AccZ", "g")];
    file.header(1, "IMU", "float32", 100.0, &labels);
    file.header(2, "EMG", "int16", 1000.0, &[("tibialis anterior", "mV"), ("", "")]);
    file.header(3, "Markers", "string", 0.0, &[("", "")]);
    let floats = |values: [f32; 6]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let imu = |k: i32| ((k % 2 == 0).then_some(50.0 + 0.01 * f64::from(k)), floats([180.0, 0.0, 0.0, 0.0, 0.0, k as f32]));
    file.samples(1, &(0..50).map(imu).collect::<Vec<_>>());
    let emg = |k: i16| (Some(50.1 + 0.001 * f64::from(k)), [k.to_le_bytes(), (-k).to_le_bytes()].concat());
    file.samples(2, &(0..300).map(emg).collect::<Vec<_>>());
    file.samples(
        3,
        &[(Some(50.2), text("Heel Strike")), (Some(50.2), text("Heel Strike")), (Some(50.3), text("")), (Some(50.4), text("Go!"))],
    );
    for k in 0..5 {
        (1..=3).for_each(|stream| file.offset(stream, 49.0 + f64::from(k), 7.5));
    }
    file.chunk(5, &[0x43; 16]);
    file.chunk(6, b"\x01\0\0\0<info></info>");
    file.0
}

fn opened(bytes: &[u8]) -> Result<Recording, String> {
    open(Path::new("test.xdf"), bytes, &OpenOptions::default()).map_err(|error| error.to_string())
}

#[test]
fn streams_become_sensors_on_the_recorders_clock() {
    let recording = opened(&example()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        recording.sensors.iter().map(|sensor| (sensor.name.as_str(), sensor.file.kind)).collect::<Vec<_>>(),
        [("EMG_2", Kind::Emg), ("IMU_1", Kind::Imu), ("Markers_3", Kind::Events)]
    );
    assert!((recording.parameters[0].value - 57.5).abs() < 1e-6, "{:?}", recording.parameters);
    let [emg, imu, markers] = &recording.sensors[..] else { panic!("three sensors") };
    let near = |rows: &proprio_core::RecordBatch, row: usize, expected_ns: i64| {
        let time_ns = proprio_core::rows::times(rows)[row];
        assert!((time_ns - expected_ns).abs() < 1000, "row {row} at {time_ns}");
    };
    let value = |rows: &proprio_core::RecordBatch, column: usize, row: usize| proprio_core::rows::floats(rows, column).value(row);
    // Times that the file omits follow at the rate.
    near(&imu.rows, 0, 0);
    near(&imu.rows, 49, 490_000_000);
    assert_eq!((imu.rows.num_rows(), imu.file.rate), (50, Some(Rate::hz(100))));
    assert!((value(&imu.rows, 1, 0) - std::f64::consts::PI).abs() < 1e-12);
    assert!((value(&imu.rows, 6, 2) - 2.0 * 9.806_65).abs() < 1e-9);
    near(&emg.rows, 299, 399_000_000);
    assert_eq!(emg.file.channels.values().collect::<Vec<_>>(), ["tibialis_anterior", "channel_2"]);
    assert!((value(&emg.rows, 1, 40) - 0.04).abs() < 1e-12 && (value(&emg.rows, 2, 40) + 40e-6).abs() < 1e-12, "mV, and µV by default");
    near(&markers.rows, 1, 400_000_000);
    let events: Vec<_> = proprio_core::rows::strings(&markers.rows, 1).iter().flatten().collect();
    assert_eq!(events, ["initial_contact", "go"]);
    assert_eq!(recording.warnings, ["EMG 2: 1 channels have no unit of voltage, and are taken as microvolts"]);
}

#[test]
fn a_clock_that_steps_is_mapped_anew() {
    let mut file = Writer::new();
    file.header(1, "Markers", "string", 0.0, &[("", "")]);
    // 100 s, then the sender's clock is set back by 300 ms; the recorder's time runs on.
    let sender_s = |k: i32| f64::from(k) - if k >= 100 { 0.3 } else { 0.0 };
    file.samples(1, &(0..200).map(|k| (Some(sender_s(k)), text("beep"))).collect::<Vec<_>>());
    (0..40).for_each(|k| file.offset(1, sender_s(5 * k), if k >= 20 { 0.3 } else { 0.0 }));
    let recording = opened(&file.0).unwrap_or_else(|error| panic!("{error}"));
    for (k, time_ns) in proprio_core::rows::times(&recording.sensors[0].rows).iter().enumerate() {
        // From 97.5 s on a sample lies nearer to the first offset after the step, which is all that the file says.
        assert!((98..100).contains(&k) || (time_ns - k as i64 * 1_000_000_000).abs() < 1_000_000, "{k}: {time_ns}");
    }
    assert_eq!(recording.warnings, ["Markers_1: its clock jumped by -0.300 s before sample 98, and is mapped anew from there"]);
}

#[test]
fn streams_without_a_kind_are_named() {
    let mut file = Writer::new();
    file.header(1, "Gaze", "double64", 60.0, &[("x", "")]);
    file.samples(1, &[(Some(1.0), 0.5f64.to_le_bytes().to_vec())]);
    file.header(2, "EMG", "float32", 0.0, &[("a", "")]);
    file.samples(2, &[(Some(1.0), vec![0; 4])]);
    let error = opened(&file.0).expect_err("nothing is a sensor's");
    for part in ["`Gaze`", "Gaze 1", "EMG 2: its samples come at no rate"] {
        assert!(error.contains(part), "{error}");
    }
    let options = OpenOptions { kind: Some(Kind::Emg), ..OpenOptions::default() };
    assert!(open(Path::new("test.xdf"), &file.0, &options).is_ok_and(|recording| recording.sensors.len() == 1));
}

#[test]
fn what_is_cut_off_is_said_with_its_place() {
    let whole = example();
    for length in 0..whole.len() {
        match opened(&whole[..length]) {
            Ok(recording) => assert!(recording.sensors.len() <= 3),
            Err(error) => {
                assert!(error.contains("byte") || error.contains("nothing that a sensor sends") || error.contains("XDF:"), "{error}")
            }
        }
    }
    let error = opened(&whole[..whole.len() - 1]).expect_err("the last chunk is cut");
    let begin = whole.len() - 21;
    assert!(error.contains(&format!("the chunk at byte {begin} says that 19 bytes follow, and 18 do")), "{error}");
}

#[test]
fn absurd_lengths_allocate_nothing() {
    for (tag, content) in [
        (2u16, b"\x01\0\0\0<info><name>a</name><type>EMG</type><channel_count>99999999999</channel_count><nominal_srate>1</nominal_srate><channel_format>int8</channel_format></info>".to_vec()),
        (3, b"\x01\0\0\0\x08\xff\xff\xff\xff\xff\xff\xff\xff".to_vec()),
        (3, b"\x09\0\0\0\x01\x01".to_vec()),
        (7, Vec::new()),
    ] {
        let mut file = Writer::new();
        file.header(1, "Markers", "string", 0.0, &[("", "")]);
        file.chunk(tag, &content);
        let error = opened(&file.0).expect_err("it is absurd");
        assert!(error.contains("byte"), "{error}");
    }
    let mut chunk = Writer::new().0;
    chunk.extend([8, 255, 255, 255, 255, 255, 255, 255, 127, 3, 0]);
    assert!(opened(&chunk).expect_err("no file is so long").contains("9223372036854775807 bytes follow"));
}

#[test]
fn flipped_bytes_never_panic() {
    let whole = example();
    for index in 0..whole.len() {
        for flip in [0x01, 0x80] {
            let mut broken = whole.clone();
            broken[index] ^= flip;
            let _ = opened(&broken);
        }
    }
}
