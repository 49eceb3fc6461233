//! What a rig is: the sensors of one lab station, as its file declares them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kind::Kind;
use crate::quantity::{Duration, Share};
use crate::time::{Rate, SECOND_NS};

/// What a message of a kind without a rate may take from its instant to its arrival before it counts as late.
const UNSAMPLED_OUT_OF_ORDER_NS: i64 = 200_000_000;
/// Silence after which a sensor no longer holds the others, unless its file says otherwise.
const IDLE_AFTER_NS: i64 = SECOND_NS;
/// How far a measured rate may be from the declared one, unless a sensor's file says otherwise.
const RATE_TOLERANCE: Share = Share::new(2.0);

/// The sensors of one lab station.
#[derive(Clone, Debug, PartialEq)]
pub struct Rig {
    /// First chunk of every key.
    pub name: String,
    /// In the order of their names; a sensor is known by its index here.
    pub sensors: Vec<Sensor>,
}

/// One device.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensor {
    /// Name in the rig file.
    pub name: String,
    /// What it measures.
    pub kind: Kind,
    /// zenoh key that it publishes on.
    pub key: String,
    /// Samples a second; none for events, notes and truth.
    pub rate: Option<Rate>,
    /// Body segment it sits on.
    pub segment: Option<String>,
    /// `left` or `right`.
    pub side: Option<String>,
    /// EMG: channel number to muscle.
    pub channels: BTreeMap<u32, String>,
    /// Markers: labels, in the order they are sent.
    pub labels: Vec<String>,
    /// IMU: whether it has a magnetometer.
    pub magnetometer: bool,
    /// How far behind the newest sample a sample may still come.
    pub out_of_order_ns: i64,
    /// Whose clock its times are on.
    pub clock: Clock,
    /// What steps get in place of lost samples.
    pub loss: Loss,
    /// The longest gap that is filled or held over.
    pub fill_up_to_ns: i64,
    /// How far the measured rate may be from the declared one before it is reported.
    pub rate_tolerance: Share,
    /// Silence after which it no longer holds the others.
    pub idle_after_ns: i64,
}

/// A rig file: the sensors of one lab station.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RigFile {
    /// Name of the rig, first chunk of every zenoh key. Letters, digits, `-` and `_`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-]+$"))]
    pub rig: String,
    /// The sensors, by name.
    pub sensors: BTreeMap<String, SensorFile>,
}

/// One sensor of a rig file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SensorFile {
    /// What it measures.
    pub kind: Kind,
    /// zenoh key that it publishes on; by default `<rig>/<kind>/<sensor>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Samples a second, exact: `100 Hz`, `2000/7 Hz`. Due for imu, emg, force and markers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Body segment it sits on: `pelvis`, `thorax`, `thigh`, `shank`, `foot`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// Side of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// EMG: channel number to muscle, such as `1: gluteus_medius_left`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub channels: BTreeMap<u32, String>,
    /// Markers: labels, in the order they are sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// IMU: whether it has a magnetometer.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub magnetometer: bool,
    /// How far behind the newest sample a sample may still come; later ones are `late`. By default 0 s for sampled kinds,
    /// and 200 ms behind the arrival clock for kinds without a rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_order: Option<Duration>,
    /// Whose clock the times in its messages are on: `rig`, or `device` for a sensor with a clock of its own, whose times are
    /// then mapped by a fit against their arrival.
    #[serde(default, skip_serializing_if = "is_default")]
    pub clock: Clock,
    /// What steps get in place of lost samples: nothing (`missing`), a straight line between the neighbours (`fill`), or the
    /// last sample again (`hold`). The sensor's own table holds what came and nothing else. For kinds with a rate.
    #[serde(default, skip_serializing_if = "is_default")]
    pub loss: Loss,
    /// The longest gap that `fill` or `hold` covers, such as `50 ms`; longer ones stay missing. Due with these two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fill_up_to: Option<Duration>,
    /// How far the rate, measured over 10 s, may be from the declared one before an event says so; by default `2 %`. For kinds
    /// with a rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_tolerance: Option<Share>,
    /// Silence after which the other sensors no longer wait for this one; by default `1 s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_after: Option<Duration>,
}

/// Whose clock a sensor's times are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// The rig's: the publisher has mapped them.
    #[default]
    Rig,
    /// The device's own: the worker maps them.
    Device,
}

/// What steps get in place of lost samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Nothing.
    #[default]
    Missing,
    /// A straight line between the neighbours.
    Fill,
    /// The last sample again.
    Hold,
}

impl Loss {
    /// As written in files and columns.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Fill => "fill",
            Self::Hold => "hold",
        }
    }
}

/// Side of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The subject's left.
    Left,
    /// The subject's right.
    Right,
}

impl Side {
    /// As written in files and columns.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
        }
    }
}

impl SensorFile {
    /// A sensor of a kind, with nothing else said.
    pub const fn new(kind: Kind) -> Self {
        Self {
            kind,
            key: None,
            rate: None,
            segment: None,
            side: None,
            channels: BTreeMap::new(),
            labels: Vec::new(),
            magnetometer: true,
            out_of_order: None,
            clock: Clock::Rig,
            loss: Loss::Missing,
            fill_up_to: None,
            rate_tolerance: None,
            idle_after: None,
        }
    }
}

impl RigFile {
    /// The rig with every default filled in.
    pub fn resolve(self) -> Rig {
        let rig = &self.rig;
        let sensor = |(name, file): (String, SensorFile)| Sensor {
            key: file.key.unwrap_or_else(|| format!("{rig}/{}/{name}", file.kind)),
            name,
            kind: file.kind,
            rate: file.rate,
            segment: file.segment,
            side: file.side.map(|side| side.name().to_owned()),
            channels: file.channels,
            labels: file.labels,
            magnetometer: file.magnetometer,
            out_of_order_ns: file
                .out_of_order
                .map_or(if file.kind.is_sampled() { 0 } else { UNSAMPLED_OUT_OF_ORDER_NS }, Duration::nanoseconds),
            clock: file.clock,
            loss: file.loss,
            fill_up_to_ns: file.fill_up_to.map_or(0, Duration::nanoseconds),
            rate_tolerance: file.rate_tolerance.unwrap_or(RATE_TOLERANCE),
            idle_after_ns: file.idle_after.map_or(IDLE_AFTER_NS, Duration::nanoseconds),
        };
        Rig { sensors: self.sensors.into_iter().map(sensor).collect(), name: self.rig }
    }
}

impl Rig {
    /// The file that declares this rig, with every default written out.
    pub fn to_file(&self) -> RigFile {
        let side = |side: &String| if side == Side::Left.name() { Side::Left } else { Side::Right };
        let file = |sensor: &Sensor| SensorFile {
            kind: sensor.kind,
            key: Some(sensor.key.clone()),
            rate: sensor.rate,
            segment: sensor.segment.clone(),
            side: sensor.side.as_ref().map(side),
            channels: sensor.channels.clone(),
            labels: sensor.labels.clone(),
            magnetometer: sensor.magnetometer,
            out_of_order: Some(seconds(sensor.out_of_order_ns)),
            clock: sensor.clock,
            loss: sensor.loss,
            fill_up_to: (sensor.loss != Loss::Missing).then(|| seconds(sensor.fill_up_to_ns)),
            rate_tolerance: sensor.rate.map(|_| sensor.rate_tolerance),
            idle_after: Some(seconds(sensor.idle_after_ns)),
        };
        RigFile { rig: self.name.clone(), sensors: self.sensors.iter().map(|sensor| (sensor.name.clone(), file(sensor))).collect() }
    }

    /// A sensor's index by name.
    pub fn sensor(&self, name: &str) -> Option<usize> {
        self.sensors.binary_search_by(|sensor| sensor.name.as_str().cmp(name)).ok()
    }
}

fn seconds(nanoseconds: i64) -> Duration {
    Duration::new(nanoseconds as f64 * 1e-9)
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_true(value: &bool) -> bool {
    *value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rig_with_its_defaults_written_out_is_the_same_rig() {
        let file = serde_json::json!({ "rig": "r", "sensors": {
            "a": { "kind": "imu", "rate": "100 Hz", "clock": "device", "loss": "hold", "fill_up_to": "35 ms", "idle_after": "300 ms" },
            "b": { "kind": "notes", "out_of_order": "1.5 ms" },
        }});
        let rig = serde_json::from_value::<RigFile>(file).expect("a rig").resolve();
        assert_eq!((rig.sensors[0].rate_tolerance, rig.sensors[1].idle_after_ns), (Share::new(2.0), SECOND_NS));
        assert_eq!(rig.to_file().resolve(), rig);
    }
}
