//! How far, how high and how fast does each foot swing? Stride length, clearance and turning from an IMU on each foot.
//!
//! Reads one `imu/…` stream a foot, mounted anywhere and in any direction, as `foot_imu_events` does. A foot stands still while
//! its angular rate is below `still_deg_per_s` and its acceleration within `still_m_per_s2` of gravity for `still_for`
//! (zero-velocity update; Foxlin 2005). From one still time to the next the angular rate is integrated from the tilt that gravity
//! gives, and the acceleration twice; what is left of tilt and velocity at the end is taken back, the velocity in proportion to
//! the squared steps of the acceleration, for most of its error comes from the heel's impact.
//!
//! One row a stride, keyed by `side`, at the instant at which the foot has stood still again for `still_for`: that is the delay.
//! Length is the horizontal way from footprint to footprint in metres, ahead and to the left (`lateral_m`) of the foot's own
//! direction; `velocity_m_per_s` is length over `stride_time_s`, from the initial contact before to this one, null after a stop
//! of 3 s. `turning_deg` is the change of the foot's heading, left positive. Clearances are heights over the floor less the
//! height at rest; `height_change_m` is what the integration itself says of the next footprint's height: stairs, or its error on
//! level ground.
//!
//! A stride whose figures can't be trusted has nulls and a `reason`: `no_zero_velocity` (the foot didn't stand still within
//! `longest_motion`), `zero_velocity_missed` (it rested in between, but not still enough), `residual_velocity` (more than
//! `max_residual_m_per_s` was left over). Movements without a swing of `least_range` give no row. Missing samples are bridged up
//! to 50 ms; a longer gap ends the stride without a row.
//!
//! ```yaml
//! op: foot_trajectory
//! from: imu/foot_left
//! with: { toe_ahead: 15 cm }
//! input:
//!   imu/foot_left:
//!     sensor: { kind: imu, rate: 200 Hz, segment: foot, side: left, magnetometer: false }
//!     generate:
//!       duration: 5 s
//!       columns:
//!         accel_x_m_per_s2:
//!           - { pulses: { from: 0.7 s, period: 1 s, width: 0.2 s, amplitude: 47.124 } }
//!           - { pulses: { from: 0.9 s, period: 1 s, width: 0.2 s, amplitude: -47.124 } }
//!         accel_z_m_per_s2: [{ constant: 9.81 }]
//!         gyro_y_rad_per_s:
//!           - { pulses: { from: 0.5 s, period: 1 s, width: 0.1 s, amplitude: 4 } }
//!           - { pulses: { from: 0.6 s, period: 1 s, width: 0.1 s, amplitude: -4 } }
//!           - { pulses: { from: 1.1 s, period: 1 s, width: 0.05 s, amplitude: -4 } }
//!           - { pulses: { from: 1.15 s, period: 1 s, width: 0.05 s, amplitude: 4 } }
//!           - { pulses: { from: 3.15 s, period: 10 s, width: 0.4 s, amplitude: 0.9 } }
//! ```
//! ```csv
//! time_ns,side,start_ns,final_contact_ns,initial_contact_ns,stride_time_s,stride_length_m,lateral_m,velocity_m_per_s,turning_deg,height_change_m,sensor_clearance_m,toe_clearance_max_m,toe_clearance_min_m,pitch_range_deg,residual_velocity_m_per_s,zero_velocity_s,reason
//! 1280000000,left,505000000,572895539,1150000000,,1.28707,0.0,,0.0,-0.00607186,0.00090511,0.0182038,-0.00192965,21.7953,0.187682,0.505,
//! 2280000000,left,1505000000,1572895539,2150000000,1.0,1.28707,0.0,1.28707,0.0,-0.00607186,0.00090511,0.0182038,-0.00192965,21.7953,0.187682,0.305,
//! 4280000000,left,2505000000,,,,,,,,,,,,,,,zero_velocity_missed
//! # 3 rows, every bit hashed: 23028c35881eea72
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringArray};
use arrow_schema::DataType;
use proprio_core::quantity::{Angle, Duration, Length};
use proprio_core::rig::Side;
use proprio_core::schema::{FieldExt, column, float, text};
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, RecordBatch, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::foot_motion::{Ended, Motion, Rule, Track, cross, is_still, unit};
use crate::kernels::foot_path::Path;
use crate::kernels::foot_pitch::{Mounting, Swing};
use crate::kernels::foot_sensor::{FootSensor, Resting};
use crate::kernels::gait_event::Foot;

/// A stride's time is measured from a contact that is no older.
const LONGEST_STRIDE_NS: i64 = 3_000_000_000;
/// A foot that turns by less than so many times the limit for standing still has rested, if not still enough.
const NEARLY_STILL: f64 = 2.0;
/// And its acceleration was within this of gravity.
const NEARLY_GRAVITY_M_PER_S2: f64 = 2.0;
/// Nearly still this near to a motion's ends is part of the rests.
const BESIDE_REST_NS: i64 = 250_000_000;

/// Trajectories of the feet.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The foot that a sensor is on, by the sensor's name: `{ imu_1: left }`. By default the sensor's `side` in the rig, else the
    /// word `left` or `right` in its name.
    side: BTreeMap<String, Side>,
    /// Angular rate below which the foot stands still, in degrees a second.
    still_deg_per_s: f64,
    /// How far the acceleration may then be from gravity, in m/s².
    still_m_per_s2: f64,
    /// For how long.
    still_for: Duration,
    /// Least pitch range of a swing.
    least_range: Angle,
    /// Longest time from one still time to the next.
    longest_motion: Duration,
    /// Most velocity that may be left over at the end of a stride, in metres a second.
    max_residual_m_per_s: f64,
    /// How far the tip of the shoe lies ahead of the sensor; the toe's clearance is null without.
    toe_ahead: Option<Length>,
    /// Whether the floor is level: heights are then levelled between footprints. Set it to `false` for stairs.
    level_floor: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            side: BTreeMap::new(),
            still_deg_per_s: 30.0,
            still_m_per_s2: 0.4,
            still_for: Duration::new(0.08),
            least_range: Angle::new(20.0),
            longest_motion: Duration::new(3.0),
            max_residual_m_per_s: 3.0,
            toe_ahead: None,
            level_floor: true,
        }
    }
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::Many;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        let sensors = FootSensor::all(ports, &self.side, &mut findings);
        self.check(&mut findings);
        if !findings.is_empty() {
            return Err(findings);
        }
        let resting = Resting {
            still_deg_per_s: self.still_deg_per_s,
            still_m_per_s2: self.still_m_per_s2,
            rest_ns: self.still_for.nanoseconds(),
            longest_motion_ns: self.longest_motion.nanoseconds(),
        };
        let step = FootTrajectory {
            feet: resting.rules(sensors),
            least_rad: self.least_range.degrees().to_radians(),
            max_residual_m_per_s: self.max_residual_m_per_s,
            toe_ahead_m: self.toe_ahead.map(Length::metres),
            level_floor: self.level_floor,
            output: output(),
        };
        Ok(Planned::new(step, output()))
    }
}

impl Config {
    fn check(&self, findings: &mut Findings) {
        let ranges = [
            ("/still_deg_per_s", self.still_deg_per_s, 1.0..=150.0, "degrees a second"),
            ("/still_m_per_s2", self.still_m_per_s2, 0.05..=5.0, "m/s²"),
            ("/still_for", self.still_for.seconds(), 0.02..=0.5, "seconds"),
            ("/least_range", self.least_range.degrees(), 5.0..=90.0, "degrees"),
            ("/longest_motion", self.longest_motion.seconds(), 0.5..=10.0, "seconds"),
            ("/max_residual_m_per_s", self.max_residual_m_per_s, 0.01..=20.0, "metres a second"),
            ("/toe_ahead", self.toe_ahead.map_or(0.0, Length::metres), -0.1..=0.5, "metres"),
        ];
        for (at, value, range, unit) in ranges {
            if !range.contains(&value) {
                let message = format!("{value} {unit} is not between {} and {}", range.start(), range.end());
                findings.push(PlanFinding::config(at, message));
            }
        }
    }
}

fn output() -> StreamSchema {
    let fields = vec![
        text("side").required(),
        column("start_ns", DataType::Int64).unit("ns").required(),
        column("final_contact_ns", DataType::Int64).unit("ns"),
        column("initial_contact_ns", DataType::Int64).unit("ns"),
        float("stride_time_s", "s"),
        float("stride_length_m", "m"),
        float("lateral_m", "m"),
        float("velocity_m_per_s", "m/s"),
        float("turning_deg", "deg"),
        float("height_change_m", "m"),
        float("sensor_clearance_m", "m"),
        float("toe_clearance_max_m", "m"),
        float("toe_clearance_min_m", "m"),
        float("pitch_range_deg", "deg"),
        float("residual_velocity_m_per_s", "m/s"),
        float("zero_velocity_s", "s"),
        text("reason"),
    ];
    StreamSchema::new(fields, &["side"], None)
}

#[derive(Debug)]
struct FootTrajectory {
    feet: Vec<(Rule, FootSensor)>,
    least_rad: f64,
    max_residual_m_per_s: f64,
    toe_ahead_m: Option<f64>,
    level_floor: bool,
    output: StreamSchema,
}

/// What is remembered of one foot.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Memory {
    track: Track,
    mounting: Mounting,
    /// The last initial contact.
    contact_ns: Option<TimeNs>,
}

/// One row; NaN for null.
#[derive(Clone, Debug)]
struct Stride {
    time_ns: TimeNs,
    foot: Foot,
    start_ns: TimeNs,
    contacts_ns: [Option<TimeNs>; 2],
    values: [f64; 12],
    reason: Option<&'static str>,
}

impl Operator for FootTrajectory {
    type State = Vec<Memory>;

    fn start(&self) -> Vec<Memory> {
        vec![Memory::default(); self.feet.len()]
    }

    fn process(&self, state: &mut Vec<Memory>, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let mut strides = Vec::new();
        for ((rule, sensor), memory) in self.feet.iter().zip(state) {
            let batch = &inputs[sensor.port];
            for sample in (0..batch.num_rows()).filter_map(|row| sensor.sample(batch, row)) {
                let stride = match memory.track.step(rule, sample) {
                    Some(Ended::Motion(motion)) => self.stride(rule, memory, &motion),
                    Some(Ended::TooLong(start_ns)) => {
                        memory.contact_ns = None;
                        Some(Stride::refused(start_ns, "no_zero_velocity"))
                    }
                    None => None,
                };
                strides.extend(stride.map(|stride| Stride { time_ns: sample.time_ns, foot: sensor.foot, ..stride }));
            }
            if memory.track.expire(rule, watermark).is_some() {
                memory.contact_ns = None;
            }
        }
        strides.sort_by_key(|stride| (stride.time_ns, stride.foot));
        out.push(self.batch(&strides));
        watermark
    }

    /// A stride that the end cuts short has no second footprint.
    fn flush(&self, _: &mut Vec<Memory>, _: &mut Output) {}
}

impl FootTrajectory {
    /// The row of a motion; `None` when the foot didn't swing.
    fn stride(&self, rule: &Rule, memory: &mut Memory, motion: &Motion) -> Option<Stride> {
        if !motion.is_complete() {
            memory.contact_ns = None;
            return None;
        }
        let swing = memory.mounting.swing(motion, self.least_rad)?;
        if rests_within(rule, motion) {
            // More than one stride: neither its contacts nor its time are one stride's.
            memory.contact_ns = None;
            return Some(Stride::refused(motion.samples[motion.first].time_ns, "zero_velocity_missed"));
        }
        let before_ns = std::mem::replace(&mut memory.contact_ns, swing.initial_contact_ns);
        let stride_ns = swing.initial_contact_ns.zip(before_ns).map(|(now, before)| now - before);
        let stride_time_s = stride_ns.filter(|ns| *ns <= LONGEST_STRIDE_NS).map_or(f64::NAN, |ns| ns as f64 * 1e-9);
        let zero_velocity_s = (motion.samples[motion.first].time_ns - motion.rested_since_ns) as f64 * 1e-9;
        let known = Stride {
            contacts_ns: [Some(swing.final_contact_ns), swing.initial_contact_ns],
            values: values(stride_time_s, [f64::NAN; 7], swing.range_rad, f64::NAN, zero_velocity_s),
            ..Stride::refused(motion.samples[motion.first].time_ns, "residual_velocity")
        };
        let path = Path::integrate(motion, swing.axis)?;
        if path.residual_m_per_s > self.max_residual_m_per_s {
            let values = values(stride_time_s, [f64::NAN; 7], swing.range_rad, path.residual_m_per_s, zero_velocity_s);
            return Some(Stride { values, ..known });
        }
        let [ahead, aside, up] = path.displacement_m();
        let sensor = path.heights_m([0.0; 3], self.level_floor).into_iter().fold(0.0, f64::max);
        let [toe_max, toe_min] = self.toe_clearance(motion, &swing, &path);
        let figures = [(ahead * ahead + aside * aside).sqrt(), aside, path.turned_rad.to_degrees(), up, sensor, toe_max, toe_min];
        let values = values(stride_time_s, figures, swing.range_rad, path.residual_m_per_s, zero_velocity_s);
        Some(Stride { values, reason: None, ..known })
    }

    /// The greatest height of the toe, and the least between its two tops in the swing.
    fn toe_clearance(&self, motion: &Motion, swing: &Swing, path: &Path) -> [f64; 2] {
        let forward = unit(motion.accel_before()).and_then(|up| unit(cross(swing.axis, up)));
        let Some((ahead_m, forward)) = self.toe_ahead_m.zip(forward) else { return [f64::NAN; 2] };
        let heights = path.heights_m(forward.map(|part| ahead_m * part), self.level_floor);
        let most = heights.iter().copied().fold(0.0, f64::max);
        let swinging = &heights[swing.toe_down - path.from..=swing.toe_up - path.from];
        let valleys = swinging.windows(3).filter(|three| three[1] < three[0] && three[1] <= three[2]).map(|three| three[1]);
        [most, valleys.fold(f64::NAN, f64::min)]
    }

    fn batch(&self, strides: &[Stride]) -> RecordBatch {
        let times = |time: &dyn Fn(&Stride) -> Option<TimeNs>| Arc::new(strides.iter().map(time).collect::<Int64Array>()) as ArrayRef;
        let mut columns: Vec<ArrayRef> = vec![
            times(&|stride| Some(stride.time_ns)),
            Arc::new(StringArray::from_iter_values(strides.iter().map(|stride| stride.foot.name()))),
            times(&|stride| Some(stride.start_ns)),
            times(&|stride| stride.contacts_ns[0]),
            times(&|stride| stride.contacts_ns[1]),
        ];
        columns.extend((0..12).map(|index| rows::nan_as_null(strides.iter().map(|stride| stride.values[index]).collect())));
        columns.push(Arc::new(strides.iter().map(|stride| stride.reason).collect::<StringArray>()));
        rows::batch(&self.output, columns)
    }
}

impl Stride {
    /// A stride of which nothing is known; time and foot are filled in by whoever knows them.
    fn refused(start_ns: TimeNs, reason: &'static str) -> Self {
        Self { time_ns: start_ns, foot: Foot::Unknown, start_ns, contacts_ns: [None; 2], values: [f64::NAN; 12], reason: Some(reason) }
    }
}

/// The float columns in their order; `figures` are length, lateral, turning, height change and the three clearances.
fn values(stride_time_s: f64, figures: [f64; 7], range_rad: f64, residual_m_per_s: f64, zero_velocity_s: f64) -> [f64; 12] {
    let [length, lateral, turning, height, sensor, toe_max, toe_min] = figures;
    let velocity = length / stride_time_s;
    let range_deg = range_rad.to_degrees();
    [stride_time_s, length, lateral, velocity, turning, height, sensor, toe_max, toe_min, range_deg, residual_m_per_s, zero_velocity_s]
}

/// Whether the foot rested within a motion, though not still enough for a zero velocity: then it is more than one stride.
fn rests_within(rule: &Rule, motion: &Motion) -> bool {
    let nearly = Rule { still_rad_per_s: NEARLY_STILL * rule.still_rad_per_s, still_m_per_s2: NEARLY_GRAVITY_M_PER_S2, ..rule.clone() };
    let (start_ns, end_ns) = (motion.samples[motion.first].time_ns, motion.samples[motion.end].time_ns);
    let mut since_ns = None;
    for sample in &motion.samples[motion.first..motion.end] {
        if !is_still(&nearly, sample) {
            since_ns = None;
            continue;
        }
        let since = *since_ns.get_or_insert(sample.time_ns);
        let is_inside = since - start_ns >= BESIDE_REST_NS && end_ns - sample.time_ns >= BESIDE_REST_NS;
        if is_inside && sample.time_ns - since >= rule.rest_ns {
            return true;
        }
    }
    false
}
