//! Which columns of a stream are a foot's IMU, on which foot is it, and when does that rest?

use std::collections::BTreeMap;

use proprio_core::rig::Side;
use proprio_core::schema::{FieldExt, meta};
use proprio_core::{Findings, PlanFinding, Port, RecordBatch};

use super::foot_motion::{Rule, Sample};
use super::gait_event::Foot;
use super::imu::ImuColumns;

/// The least rate that times a contact and follows an impact.
const LEAST_HZ: f64 = 50.0;
/// The highest, so that a motion's samples are bounded.
const MOST_HZ: f64 = 4000.0;

/// Samples this far apart are bridged.
const GAP_NS: i64 = 50_000_000;
/// A motion shorter than this is a twitch.
const SHORTEST_MOTION_NS: i64 = 100_000_000;

/// When a foot is at rest.
#[derive(Clone, Copy, Debug)]
pub struct Resting {
    /// It turns by less than this, in degrees a second.
    pub still_deg_per_s: f64,
    /// Its acceleration is within this of gravity.
    pub still_m_per_s2: f64,
    /// Both for so long.
    pub rest_ns: i64,
    /// And it rests again after so long at most.
    pub longest_motion_ns: i64,
}

impl Resting {
    /// Each sensor with what that is in its samples.
    pub fn rules(self, sensors: Vec<FootSensor>) -> Vec<(Rule, FootSensor)> {
        let rule = |sensor: &FootSensor| Rule {
            still_rad_per_s: self.still_deg_per_s.to_radians(),
            still_m_per_s2: self.still_m_per_s2,
            rest_ns: self.rest_ns,
            shortest_motion_ns: SHORTEST_MOTION_NS,
            longest_motion_ns: self.longest_motion_ns,
            gap_ns: GAP_NS.max(2 * sensor.period_ns),
        };
        sensors.into_iter().map(|sensor| (rule(&sensor), sensor)).collect()
    }
}

/// One input.
#[derive(Clone, Copy, Debug)]
pub struct FootSensor {
    /// Its port.
    pub port: usize,
    /// On which foot it is.
    pub foot: Foot,
    /// Nanoseconds between samples.
    pub period_ns: i64,
    columns: ImuColumns,
}

impl FootSensor {
    /// All inputs as sensors of feet, no two of them on one foot. `sides` tells feet by sensor; else the rig does, else the name.
    /// Sensors that the rig puts on another segment are left out, so that `imu/*` serves.
    pub fn all(ports: &[Port], sides: &BTreeMap<String, Side>, findings: &mut Findings) -> Vec<Self> {
        let mut sensors: Vec<Self> = Vec::new();
        for (index, port) in ports.iter().enumerate() {
            if is_elsewhere(port) && !sides.contains_key(port.prefix()) {
                continue;
            }
            let Some(sensor) = Self::of(index, port, sides, findings) else { continue };
            if let Some(other) = sensors.iter().find(|other| other.foot == sensor.foot) {
                let message = format!("`{}` and `{}` are both on the {} foot", ports[other.port].stream, port.stream, sensor.foot.name());
                let help = "give one sensor a foot: its `side` in the rig, or `side: { <sensor>: left }` here";
                findings.push(PlanFinding::input(index, message).help(help));
            }
            sensors.push(sensor);
        }
        for name in sides.keys().filter(|name| !ports.iter().any(|port| port.prefix() == name.as_str())) {
            let known = ports.iter().map(Port::prefix).collect::<Vec<_>>().join(", ");
            let finding = PlanFinding::config(format!("/side/{name}"), format!("there is no sensor `{name}`"));
            findings.push(finding.help(format!("the sensors are {known}")));
        }
        if ports.iter().all(|port| is_elsewhere(port) && !sides.contains_key(port.prefix())) {
            findings.push(
                PlanFinding::step("no foot's IMU among the inputs").help("name one under `side`, or give it `segment: foot` in the rig"),
            );
        }
        sensors
    }

    fn of(index: usize, port: &Port, sides: &BTreeMap<String, Side>, findings: &mut Findings) -> Option<Self> {
        let columns = ImuColumns::of(port, index, "", false, findings);
        if !port.schema.keys.is_empty() {
            findings.push(PlanFinding::input(index, format!("`{}` has several rows an instant", port.stream)));
        }
        let period_ns = match port.schema.rate {
            Some(rate) if (LEAST_HZ..=MOST_HZ).contains(&rate.hertz()) => rate.period_ns(),
            Some(rate) => {
                let message = format!("`{}` runs at {rate}, which is not between {LEAST_HZ} Hz and {MOST_HZ} Hz", port.stream);
                findings.push(PlanFinding::input(index, message).help("100 Hz and more are usual for feet"));
                return None;
            }
            None => {
                let finding = PlanFinding::input(index, format!("`{}` has no rate", port.stream));
                findings.push(finding.help("read an IMU's own stream, such as imu/foot_left"));
                return None;
            }
        };
        let columns = columns?;
        let configured = sides.get(port.prefix()).map(|side| Foot::parse(side.name()));
        let declared =
            || port.schema.columns.field(columns.gyro[0]).meta(meta::SIDE).map(Foot::parse).filter(|foot| *foot != Foot::Unknown);
        let foot = configured.or_else(declared).unwrap_or_else(|| named(port.prefix()));
        Some(Self { port: index, foot, period_ns, columns })
    }

    /// The sample of a row; `None` where a value is missing.
    pub fn sample(&self, batch: &RecordBatch, row: usize) -> Option<Sample> {
        self.columns.sample(batch, row).map(Sample::from)
    }
}

/// Whether the rig puts the sensor on another segment than the foot.
fn is_elsewhere(port: &Port) -> bool {
    let segments = port.schema.columns.fields().iter().filter_map(|field| field.meta(meta::SEGMENT));
    segments.into_iter().any(|segment| segment != "foot")
}

/// The foot that a sensor's name holds as a word.
fn named(name: &str) -> Foot {
    name.split('_').map(Foot::parse).find(|foot| *foot != Foot::Unknown).unwrap_or(Foot::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_foot() {
        assert_eq!(["foot_left", "right", "pelvis", "upright"].map(named), [Foot::Left, Foot::Right, Foot::Unknown, Foot::Unknown]);
    }
}
