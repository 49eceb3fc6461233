//! Which sensors does the simulated rig have, and where do they sit? Its rig file, and the places of markers and IMUs.

use std::collections::BTreeMap;

use proprio_core::Kind;
use proprio_core::rig::{RigFile, SensorFile, Side};
use proprio_core::time::Rate;

use crate::body::Segment;
use crate::muscles::muscles;
use crate::options::{Layout, Options};

/// Name of the sensor that carries the truth.
pub const TRUTH: &str = "subject";

/// A marker: its label, the segment it sits on and where, in the segment's axes, in metres.
pub type Marker = (&'static str, Segment, [f64; 3]);

const LEFT: Side = Side::Left;
const RIGHT: Side = Side::Right;

/// Markers of the layouts with 22: pelvis, trunk and legs, named as in the Plug-in Gait set.
pub const MARKERS_LEAN: &[Marker] = &[
    ("LASI", Segment::Pelvis, [0.10, 0.08, -0.12]),
    ("RASI", Segment::Pelvis, [0.10, 0.08, 0.12]),
    ("LPSI", Segment::Pelvis, [-0.11, 0.09, -0.05]),
    ("RPSI", Segment::Pelvis, [-0.11, 0.09, 0.05]),
    ("SACR", Segment::Pelvis, [-0.12, 0.085, 0.0]),
    ("C7", Segment::Thorax, [-0.07, 0.45, 0.0]),
    ("T10", Segment::Thorax, [-0.10, 0.22, 0.0]),
    ("CLAV", Segment::Thorax, [0.08, 0.41, 0.0]),
    ("STRN", Segment::Thorax, [0.11, 0.26, 0.0]),
    ("LTHI", Segment::Thigh(LEFT), [0.02, -0.22, -0.09]),
    ("RTHI", Segment::Thigh(RIGHT), [0.02, -0.24, 0.09]),
    ("LKNE", Segment::Thigh(LEFT), [0.0, -0.43, -0.055]),
    ("RKNE", Segment::Thigh(RIGHT), [0.0, -0.43, 0.055]),
    ("LTIB", Segment::Shank(LEFT), [0.01, -0.20, -0.06]),
    ("RTIB", Segment::Shank(RIGHT), [0.01, -0.22, 0.06]),
    ("LANK", Segment::Shank(LEFT), [0.0, -0.43, -0.04]),
    ("RANK", Segment::Shank(RIGHT), [0.0, -0.43, 0.04]),
    ("LHEE", Segment::Foot(LEFT), [-0.06, -0.045, 0.0]),
    ("RHEE", Segment::Foot(RIGHT), [-0.06, -0.045, 0.0]),
    ("LTOE", Segment::Foot(LEFT), [0.14, -0.035, 0.0]),
    ("RTOE", Segment::Foot(RIGHT), [0.14, -0.035, 0.0]),
    ("RBAK", Segment::Thorax, [-0.09, 0.32, 0.07]),
];

/// The 18 more markers of the full lab: head, arms and the inner sides of the joints.
pub const MARKERS_FULL: &[Marker] = &[
    ("LFHD", Segment::Thorax, [0.10, 0.62, -0.07]),
    ("RFHD", Segment::Thorax, [0.10, 0.62, 0.07]),
    ("LBHD", Segment::Thorax, [-0.08, 0.62, -0.07]),
    ("RBHD", Segment::Thorax, [-0.08, 0.62, 0.07]),
    ("LSHO", Segment::Thorax, [0.0, 0.45, -0.17]),
    ("RSHO", Segment::Thorax, [0.0, 0.45, 0.17]),
    ("LELB", Segment::UpperArm(LEFT), [0.0, -0.30, -0.045]),
    ("RELB", Segment::UpperArm(RIGHT), [0.0, -0.30, 0.045]),
    ("LWRA", Segment::Forearm(LEFT), [0.03, -0.25, 0.0]),
    ("RWRA", Segment::Forearm(RIGHT), [0.03, -0.25, 0.0]),
    ("LWRB", Segment::Forearm(LEFT), [-0.03, -0.25, 0.0]),
    ("RWRB", Segment::Forearm(RIGHT), [-0.03, -0.25, 0.0]),
    ("LKNM", Segment::Thigh(LEFT), [0.0, -0.43, 0.05]),
    ("RKNM", Segment::Thigh(RIGHT), [0.0, -0.43, -0.05]),
    ("LMED", Segment::Shank(LEFT), [0.0, -0.43, 0.04]),
    ("RMED", Segment::Shank(RIGHT), [0.0, -0.43, -0.04]),
    ("LFIN", Segment::Forearm(LEFT), [0.0, -0.33, 0.0]),
    ("RFIN", Segment::Forearm(RIGHT), [0.0, -0.33, 0.0]),
];

/// An IMU: sensor name, segment name, segment and where it sits, in the segment's axes, in metres.
pub type Imu = (&'static str, &'static str, Segment, [f64; 3]);

/// The IMUs of every layout.
pub const IMUS: [Imu; 8] = [
    ("pelvis", "pelvis", Segment::Pelvis, [-0.12, 0.06, 0.0]),
    ("trunk", "thorax", Segment::Thorax, [0.11, 0.30, 0.0]),
    ("thigh_left", "thigh", Segment::Thigh(LEFT), [0.03, -0.20, -0.08]),
    ("thigh_right", "thigh", Segment::Thigh(RIGHT), [0.03, -0.20, 0.08]),
    ("shank_left", "shank", Segment::Shank(LEFT), [0.05, -0.15, -0.02]),
    ("shank_right", "shank", Segment::Shank(RIGHT), [0.05, -0.15, 0.02]),
    ("foot_left", "foot", Segment::Foot(LEFT), [0.08, -0.02, 0.0]),
    ("foot_right", "foot", Segment::Foot(RIGHT), [0.08, -0.02, 0.0]),
];

/// The markers of a layout, in the order they are sent.
pub fn markers(layout: Layout) -> Vec<Marker> {
    let more: &[Marker] = if layout == Layout::FullLab { MARKERS_FULL } else { &[] };
    MARKERS_LEAN.iter().chain(more).copied().collect()
}

/// The rig file of the simulated sensors: what `proprio simulate --write-rig` writes.
pub fn rig_file(options: &Options) -> RigFile {
    let mut sensors = BTreeMap::new();
    for (name, segment, place, _) in IMUS {
        let side = match place {
            Segment::Pelvis | Segment::Thorax => None,
            Segment::Thigh(side) | Segment::Shank(side) | Segment::Foot(side) | Segment::UpperArm(side) | Segment::Forearm(side) => {
                Some(side)
            }
        };
        sensors.insert(name.to_owned(), SensorFile { segment: Some(segment.to_owned()), side, ..sensor(Kind::Imu, Some(Rate::hz(100))) });
    }
    let channels = (1..).zip(muscles(options)).map(|(channel, muscle)| (channel, muscle.name)).collect();
    sensors.insert("muscles".to_owned(), SensorFile { channels, ..sensor(Kind::Emg, Some(Rate::hz(2000))) });
    sensors.insert(TRUTH.to_owned(), sensor(Kind::Truth, None));
    if options.layout == Layout::HipThrust {
        return RigFile { rig: options.rig.clone(), sensors };
    }
    for (name, side) in [("plate_1", LEFT), ("plate_2", RIGHT)] {
        sensors.insert(name.to_owned(), SensorFile { side: Some(side), ..sensor(Kind::Force, Some(Rate::hz(1000))) });
    }
    let labels = markers(options.layout).into_iter().map(|(label, ..)| label.to_owned()).collect();
    sensors.insert("optical".to_owned(), SensorFile { labels, ..sensor(Kind::Markers, Some(Rate::hz(100))) });
    RigFile { rig: options.rig.clone(), sensors }
}

fn sensor(kind: Kind, rate: Option<Rate>) -> SensorFile {
    SensorFile { rate, ..SensorFile::new(kind) }
}
