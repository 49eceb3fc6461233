//! Can every dialect of C3D be read, and does no damaged file make it panic?

use std::path::Path;

use proprio_core::Rate;
use proprio_core::rows::{floats, strings, times};

use super::numbers::Processor;
use crate::recording::Recording;

/// Writes C3D files of every dialect: two markers of which one is unseen in frame 1, a plate, an EMG channel, two events.
struct Writer {
    processor: Processor,
    float: bool,
    parameters: Vec<u8>,
    groups: u8,
}

const FRAMES: usize = 4;
const SAMPLES: usize = 5;
const FIRST_FRAME: i16 = 11;

impl Writer {
    fn integer(&self, value: i16) -> [u8; 2] {
        if self.processor == Processor::Mips { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn number(&self, value: f32) -> [u8; 4] {
        match self.processor {
            Processor::Intel => value.to_le_bytes(),
            Processor::Mips => value.to_be_bytes(),
            Processor::Dec => {
                let [b0, b1, b2, b3] = if value == 0.0 { [0; 4] } else { (value * 4.0).to_le_bytes() };
                [b2, b3, b0, b1]
            }
        }
    }

    fn group(&mut self, name: &str) {
        self.groups += 1;
        let id = -self.groups.cast_signed();
        self.entry(name, id, &[0]);
    }

    fn entry(&mut self, name: &str, id: i8, body: &[u8]) {
        let offset = self.integer((2 + body.len()) as i16);
        self.parameters.extend([name.len() as u8, id.cast_unsigned()]);
        self.parameters.extend(name.as_bytes());
        self.parameters.extend(offset);
        self.parameters.extend(body);
    }

    fn parameter(&mut self, name: &str, element: i8, dimensions: &[u8], data: &[u8]) {
        let mut body = vec![element.cast_unsigned(), dimensions.len() as u8];
        body.extend(dimensions);
        body.extend(data);
        body.push(0);
        self.entry(name, self.groups.cast_signed(), &body);
    }

    fn texts(&mut self, name: &str, texts: &[&str]) {
        let data: Vec<u8> = texts.iter().flat_map(|text| format!("{text:<12}").into_bytes()).collect();
        self.parameter(name, -1, &[12, texts.len() as u8], &data);
    }

    fn integers(&mut self, name: &str, dimensions: &[u8], values: &[i16]) {
        let data: Vec<u8> = values.iter().flat_map(|value| self.integer(*value)).collect();
        self.parameter(name, 2, dimensions, &data);
    }

    fn numbers(&mut self, name: &str, dimensions: &[u8], values: &[f32]) {
        let data: Vec<u8> = values.iter().flat_map(|value| self.number(*value)).collect();
        self.parameter(name, 4, dimensions, &data);
    }

    fn stored(&self, value: f32) -> Vec<u8> {
        if self.float { self.number(value).to_vec() } else { self.integer(value as i16).to_vec() }
    }

    /// The whole file. Point scale is 0.5 mm; the analog scales are 0.25 with an offset of 8, general scale 2.
    fn write(processor: Processor, float: bool, y_up: bool) -> Vec<u8> {
        let mut writer = Self { processor, float, parameters: Vec::new(), groups: 0 };
        writer.describe(y_up);
        let mut parameters =
            vec![1, 0x50, 4, if processor == Processor::Dec { 85 } else { 84 + 2 * u8::from(processor == Processor::Mips) }];
        parameters.append(&mut writer.parameters);
        parameters.resize(4 * 512, 0);

        let mut header = vec![2, 0x50];
        let words = [3, 7 * SAMPLES as i16, FIRST_FRAME, FIRST_FRAME + FRAMES as i16 - 1, 0];
        header.extend(words.iter().flat_map(|word| writer.integer(*word)));
        header.extend(writer.number(if float { -0.5 } else { 0.5 }));
        header.extend(writer.integer(6));
        header.extend(writer.integer(SAMPLES as i16));
        header.extend(writer.number(50.0));
        header.resize(512, 0);
        header.extend(parameters);
        for frame in 0..FRAMES {
            header.extend(writer.frame(frame));
        }
        header
    }

    fn describe(&mut self, y_up: bool) {
        self.group("POINT");
        self.numbers("SCALE", &[], &[if self.float { -0.5 } else { 0.5 }]);
        self.numbers("RATE", &[], &[50.0]);
        self.texts("LABELS", &["Ann:LHEE", "Ann:R TOE", "Angle"]);
        self.texts("ANGLES", &["Angle"]);
        self.texts("UNITS", &["mm"]);
        self.texts("Y_SCREEN", &[if y_up { "+Y" } else { "+Z" }]);
        self.group("ANALOG");
        self.numbers("GEN_SCALE", &[], &[2.0]);
        self.numbers("SCALE", &[7], &[0.25; 7]);
        self.integers("OFFSET", &[7], &[8; 7]);
        self.texts("LABELS", &["Fx", "Fy", "Fz", "Mx", "My", "Mz", "EMG.L Glut"]);
        self.texts("UNITS", &["N", "N", "N", "Nmm", "Nmm", "Nmm", "mV"]);
        self.group("FORCE_PLATFORM");
        self.integers("USED", &[], &[1]);
        self.integers("TYPE", &[1], &[2]);
        self.integers("CHANNEL", &[6, 1], &[1, 2, 3, 4, 5, 6]);
        // z down: x of the plate is the lab's y, and y its x.
        let corner = |x: f32, y: f32| if y_up { [x, 0.0, -y] } else { [x, y, 0.0] };
        let corners = [corner(600.0, 400.0), corner(600.0, 0.0), corner(0.0, 0.0), corner(0.0, 400.0)];
        self.numbers("CORNERS", &[3, 4, 1], corners.as_flattened());
        self.numbers("ORIGIN", &[3, 1], &[0.0, 0.0, -40.0]);
        self.group("EVENT");
        self.integers("USED", &[], &[3]);
        self.texts("LABELS", &["Foot Off", "Foot Strike", "Clap"]);
        self.texts("CONTEXTS", &["Right", "Left", "General"]);
        self.numbers("TIMES", &[2, 3], &[0.0, 0.26, 0.0, 0.22, 0.0, 9.0]);
    }

    fn frame(&self, frame: usize) -> Vec<u8> {
        // Integers are stored in units of the scale, floats in millimetres.
        let unit = if self.float { 0.5 } else { 1.0 };
        let marker = |x: f32, y: f32, z: f32, residual: f32| [x * unit, y * unit, z * unit, residual];
        let heel = marker(100.0 + frame as f32, 200.0, -300.0, if frame == 1 { -1.0 } else { 1.0 });
        let points = [heel, marker(2.0, 4.0, 6.0, 0.0), marker(7.0, 7.0, 7.0, 0.0)];
        let mut bytes: Vec<u8> = points.as_flattened().iter().flat_map(|value| self.stored(*value)).collect();
        for sample in 0..SAMPLES {
            // (stored − 8) · 0.25 · 2: 10 N, −20 N, −400 N, 2000 N·mm, −4000 N·mm, 60 N·mm, and a ramp of millivolts.
            let ramp = (frame * SAMPLES + sample) as f32;
            let analog = [28.0, -32.0, -792.0, 4008.0, -7992.0, 128.0, 8.0 + ramp];
            bytes.extend(analog.iter().flat_map(|value| self.stored(*value)));
        }
        bytes
    }
}

fn read(bytes: Vec<u8>) -> Recording {
    super::open(Path::new("small.c3d"), bytes).unwrap_or_else(|error| panic!("{error}"))
}

fn column(recording: &Recording, sensor: &str, column: &str) -> Vec<Option<f64>> {
    let rows = &recording.sensor(sensor).unwrap_or_else(|| panic!("a sensor {sensor}")).rows;
    floats(rows, rows.schema().index_of(column).unwrap_or_else(|_| panic!("a column {column}"))).iter().collect()
}

#[test]
fn every_byte_order_and_number_format_reads_the_same() {
    let reference = read(Writer::write(Processor::Intel, true, false));
    for processor in [Processor::Intel, Processor::Dec, Processor::Mips] {
        for float in [true, false] {
            assert_eq!(read(Writer::write(processor, float, false)), reference, "{processor:?} {float}");
        }
    }
    let subject = reference.sensor("subject").expect("markers");
    assert_eq!((subject.file.labels.join(" "), subject.file.rate), ("LHEE R_TOE".to_owned(), Some(Rate::hz(50))));
    assert_eq!(times(&subject.rows), [0, 20_000_000, 40_000_000, 60_000_000]);
    assert_eq!(column(&reference, "subject", "LHEE_x_m"), [Some(50.0 * 1e-3), None, Some(51.0 * 1e-3), Some(51.5 * 1e-3)]);
    assert_eq!(column(&reference, "subject", "R_TOE_z_m"), [Some(0.003); 4]);
    let muscles = reference.sensor("muscles").expect("EMG");
    assert_eq!((&muscles.file.channels[&1], muscles.file.rate), (&"l_glut".to_owned(), Some(Rate::hz(250))));
    assert_eq!(column(&reference, "muscles", "l_glut_v")[3], Some(0.0015));
    let events = &reference.sensor("annotated").expect("events").rows;
    assert_eq!(times(events).iter().map(|time| (time + 500) / 1000).collect::<Vec<_>>(), [20_000, 60_000]);
    assert_eq!(strings(events, 1).iter().flatten().collect::<Vec<_>>(), ["initial_contact", "final_contact"]);
    assert_eq!(strings(events, 2).iter().flatten().collect::<Vec<_>>(), ["left", "right"]);
    assert_eq!((reference.rig("lab").sensors.len(), reference.duration_ns), (4, 80_000_000));
    assert!(reference.warnings.iter().any(|warning| warning.starts_with("1 events lie outside")), "{:?}", reference.warnings);
}

/// The plate's z points down: −400 N are 400 N upwards. With the surface 40 mm above the transducers the moments there are
/// 2000 − 800 = 1.2 N·m and −4000 − 400 = −4.4 N·m (in the plate's frame), so that the pressure lies 11 and 3 mm off the middle.
#[test]
fn a_plate_is_reduced_to_its_surface_in_the_lab_frame() {
    for y_up in [false, true] {
        let recording = read(Writer::write(Processor::Intel, true, y_up));
        let first = |name: &str| column(&recording, "plate_1", name)[0].unwrap_or_else(|| panic!("{name}"));
        let force = ["force_x_n", "force_y_n", "force_z_n"].map(first);
        assert_eq!(force, [-20.0, 10.0, 400.0], "Y up: {y_up}");
        let (m_x, m_y) = (2.0 + (-20.0 * -0.04), -4.0 - (10.0 * -0.04));
        let (x, y) = (-m_y / -400.0, m_x / -400.0);
        assert!((first("cop_x_m") - (0.3 + y)).abs() < 1e-12 && (first("cop_y_m") - (0.2 + x)).abs() < 1e-12);
        let free_moment = 0.06 - (x * -20.0 - y * 10.0);
        assert!((first("free_moment_n_m") + free_moment).abs() < 1e-12);
        assert_eq!(recording.warnings.iter().any(|warning| warning.contains("Y_SCREEN")), y_up);
        let heel = ["LHEE_x_m", "LHEE_y_m", "LHEE_z_m"].map(|name| column(&recording, "subject", name)[0].unwrap_or(f64::NAN));
        assert_eq!(heel, if y_up { [0.05, 0.15, 0.1] } else { [0.05, 0.1, -0.15] });
    }
}

#[test]
fn damage_is_an_error_that_names_the_file_or_another_recording_and_never_a_panic() {
    let whole = Writer::write(Processor::Intel, false, false);
    let open = |bytes: Vec<u8>| super::open(Path::new("small.c3d"), bytes);
    for length in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
        let error = open(whole[..length].to_vec()).err().unwrap_or_else(|| panic!("{length} bytes can't be enough"));
        assert!(error.to_string().starts_with("small.c3d: "), "{error}");
    }
    let mut refused = 0;
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff, 0x55] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            if let Err(error) = open(bytes) {
                refused += 1;
                assert!(error.to_string().starts_with("small.c3d: "), "{error}");
            }
        }
    }
    assert!(refused > 100, "{refused}");
    for (bytes, words) in [
        (vec![0; 1024], "byte 2 is 0x00"),
        (vec![2; 100], "100 bytes are too few"),
        (whole[..whole.len() - 100].to_vec(), "2 of its 4 frames are there"),
    ] {
        let error = open(bytes).err().unwrap_or_else(|| panic!("{words}")).to_string();
        assert!(error.contains(words), "{error}");
    }
}
