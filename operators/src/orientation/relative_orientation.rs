//! How are two segments turned to each other across a joint, without a magnetometer?
//!
//! Both sensors feel the joint's centre move; worked out from either, its acceleration is the same vector. That constraint holds the
//! rotation between them against drift in all three directions (after Weygers and Kok 2020, IEEE Sensors Journal 20, as a filter). The
//! vectors from the sensors to the joint's centre are estimated along with it; they may be given. The first heading is searched among
//! eight, of which those that explain the motion worse are dropped. The gyroscopes' biases are VQF's (Laidig and Seel 2023).
//!
//! Reads one stream that holds both IMUs, as `align` makes it of `imu/thigh` and `imu/shank`: columns
//! `thigh_gyro_x_rad_per_s`, `shank_accel_x_m_per_s2` and so on. The first is the proximal one, unless `proximal` and `distal` name them.
//! A sample's angular rate is taken for the mean since the sample before, as sensors deliver that average or filter.
//!
//! `q_w q_x q_y q_z` is the unit quaternion `proximal_from_distal`: it takes coordinates of the distal sensor to those of the proximal
//! one. `sd_deg` is its standard deviation, about all axes together, or how far headings that are still tried lie apart; `settling` is
//! true while that is above 10°. `excitation_m_per_s2` is the RMS of the joint's horizontal acceleration over about the last 2 s: without
//! it, in quiet standing, the heading lives on the gyroscopes alone. `joint_residual_m_per_s2` is the RMS of the constraint's violation
//! over that time: well above 1 m/s², the sensors aren't on both sides of one joint, or move on the skin. `proximal_to_joint_m` and
//! `distal_to_joint_m` are the lengths of the two vectors.
//!
//! **Delay** none: a row comes out with the sample, and the constraint enters one sample later. A row in which a sensor has no values
//! gives null columns and counts as lost. Up to `longest_gap` lost samples are bridged on a straight line; after a longer gap the rotation
//! is begun anew, and the vectors stay.
//!
//! ```yaml
//! op: relative_orientation
//! from: fused
//! input:
//!   fused:
//!     schema:
//!       rate: 50 Hz
//!       columns:
//!         - { name: thigh_gyro_x_rad_per_s, unit: rad/s }
//!         - { name: thigh_gyro_y_rad_per_s, unit: rad/s }
//!         - { name: thigh_gyro_z_rad_per_s, unit: rad/s }
//!         - { name: thigh_accel_x_m_per_s2, unit: m/s^2 }
//!         - { name: thigh_accel_y_m_per_s2, unit: m/s^2 }
//!         - { name: thigh_accel_z_m_per_s2, unit: m/s^2 }
//!         - { name: shank_gyro_x_rad_per_s, unit: rad/s }
//!         - { name: shank_gyro_y_rad_per_s, unit: rad/s }
//!         - { name: shank_gyro_z_rad_per_s, unit: rad/s }
//!         - { name: shank_accel_x_m_per_s2, unit: m/s^2 }
//!         - { name: shank_accel_y_m_per_s2, unit: m/s^2 }
//!         - { name: shank_accel_z_m_per_s2, unit: m/s^2 }
//!     generate:
//!       duration: 8 s
//!       gaps: [[4 s, 4.1 s], [5 s, 6.2 s]]
//!       columns:
//!         # Two sensors that don't turn, the shank's 30° about the vertical, on a cart that is pushed to and fro.
//!         thigh_gyro_x_rad_per_s: [{ constant: 0.004 }, { noise: { amplitude: 0.002, seed: 11 } }]
//!         thigh_gyro_y_rad_per_s: [{ constant: -0.003 }, { noise: { amplitude: 0.002, seed: 12 } }]
//!         thigh_gyro_z_rad_per_s: [{ constant: 0 }, { noise: { amplitude: 0.002, seed: 13 } }]
//!         shank_gyro_x_rad_per_s: [{ constant: 0 }, { noise: { amplitude: 0.002, seed: 14 } }]
//!         shank_gyro_y_rad_per_s: [{ constant: 0.002 }, { noise: { amplitude: 0.002, seed: 15 } }]
//!         shank_gyro_z_rad_per_s: [{ constant: -0.005 }, { noise: { amplitude: 0.002, seed: 16 } }]
//!         thigh_accel_x_m_per_s2: [{ sine: { amplitude: 3, frequency: 1 Hz } }, { noise: { amplitude: 0.1, seed: 1 } }]
//!         thigh_accel_y_m_per_s2: [{ constant: 0 }]
//!         thigh_accel_z_m_per_s2: [{ constant: 9.81 }, { noise: { amplitude: 0.1, seed: 2 } }]
//!         shank_accel_x_m_per_s2: [{ sine: { amplitude: 2.598, frequency: 1 Hz } }, { noise: { amplitude: 0.1, seed: 3 } }]
//!         shank_accel_y_m_per_s2: [{ sine: { amplitude: -1.5, frequency: 1 Hz } }, { noise: { amplitude: 0.1, seed: 4 } }]
//!         shank_accel_z_m_per_s2: [{ constant: 9.81 }, { missing: { from: 3 s, to: 3.2 s } }]
//! ```
//! ```csv
//! time_ns,q_w,q_x,q_y,q_z,settling,sd_deg,excitation_m_per_s2,joint_residual_m_per_s2,proximal_to_joint_m,distal_to_joint_m
//! 0,0.999927,-0.0101232,-0.00666353,-8.90331e-5,true,180.0,0.0,0.0,0.0,0.0
//! 20000000,0.999926,-0.0101668,-0.00666212,-0.000151655,true,180.0,0.0,0.0,0.0,0.0
//! 40000000,0.999917,-0.0122264,0.00404325,0.000193127,true,179.944,0.0265718,0.0236493,0.00163989,0.00205544
//! 60000000,0.999861,-0.0135642,0.00546948,0.00801219,true,177.653,0.047417,0.0264074,0.00251013,0.00313704
//! 80000000,0.999507,-0.0149926,-0.000450068,0.0275753,true,171.16,0.0623505,0.0449285,0.00286981,0.00548788
//! 100000000,0.943414,0.00940835,-0.00465548,0.331452,true,172.822,0.105186,0.0466951,0.00524217,0.00620216
//! 120000000,0.946476,0.00981736,-0.00309739,0.322609,true,168.337,0.136037,0.052226,0.00517497,0.00736415
//! 140000000,0.957652,0.00805916,-0.00183829,0.28781,true,149.027,0.169983,0.0621376,0.00778672,0.00724435
//! 160000000,0.955075,0.00889369,-0.00146221,0.296226,true,151.056,0.20171,0.0624601,0.00745334,0.0066105
//! …
//! 7920000000,0.966687,2.61822e-5,0.00192812,0.255955,false,1.48269,2.16815,0.205425,0.0353205,0.042648
//! 7940000000,0.966631,0.000107138,0.00191349,0.256164,false,1.47988,2.16053,0.205435,0.0359914,0.0441072
//! 7960000000,0.966642,0.000118079,0.00192653,0.256123,false,1.47795,2.15211,0.204944,0.0357137,0.0439018
//! 7980000000,0.966667,0.000134559,0.0021026,0.256028,false,1.47622,2.14217,0.205232,0.034238,0.0439805
//! # 335 rows, every bit hashed: 4c3a2b6ae99a750e
//! ```

use std::f64::consts::TAU;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::{DataType, Field};
use proprio_core::finding::{Findings, PlanFinding};
use proprio_core::quantity::{Angle, Duration};
use proprio_core::registry::{Configure, Inputs};
use proprio_core::rows::{batch, nan_as_null};
use proprio_core::schema::{FieldExt, column, float};
use proprio_core::time::SECOND_NS;
use proprio_core::{Operator, Output, Planned, Port, Rate, StreamSchema, TimeNs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vqf_rs::{Params, VQF};

use crate::kernels::imu::{ImuColumns, Sample, placed_as, steady_rate};
use crate::kernels::joint_filter::{JointFilter, Levers, Motion, Noise, Residual, angle_between_rad, exponential};
use crate::kernels::quaternion::{Quaternion, multiply, rotate};
use crate::kernels::vqf::Memory;

/// A longer gap is not worth bridging.
const LONGEST_GAP_NS: i64 = 10 * SECOND_NS;
/// How many first headings are tried.
const HEADINGS: usize = 8;
/// A heading is dropped when the odds against it are e to this, or when a better one is as near as
const ODDS: f64 = 30.0;
/// this angle.
const SAME_RAD: f64 = 0.05;
/// While the rotation's standard deviation is above this, it settles.
const SETTLED_DEG: f64 = 10.0;
/// Time constant of excitation and residual.
const RECENT_S: f64 = 2.0;
/// Standard deviation of a vector to the joint that wasn't given, in m.
const UNKNOWN_LEVER_M: f64 = 0.2;
/// The columns after the rotation, and `settling`, with their units.
const NUMBERS: [(&str, &str); 5] = [
    ("sd_deg", "deg"),
    ("excitation_m_per_s2", "m/s^2"),
    ("joint_residual_m_per_s2", "m/s^2"),
    ("proximal_to_joint_m", "m"),
    ("distal_to_joint_m", "m"),
];

/// What `with:` holds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What the proximal sensor's columns begin with, such as `thigh`; by default the first IMU of the stream.
    pub proximal: Option<String>,
    /// What the distal sensor's columns begin with, such as `shank`; by default the second IMU of the stream.
    pub distal: Option<String>,
    /// From the proximal sensor to the joint's centre, in that sensor's coordinates, in m; estimated when it isn't given.
    pub proximal_to_joint_m: Option<[f64; 3]>,
    /// From the distal sensor to the joint's centre, in that sensor's coordinates, in m; estimated when it isn't given.
    pub distal_to_joint_m: Option<[f64; 3]>,
    /// Standard deviation of the vectors that are given, in m.
    pub to_joint_sd_m: f64,
    /// Standard deviation of the difference between the joint's two accelerations, over 20 ms, in m/s²: skin motion and play.
    pub joint_noise_m_per_s2: f64,
    /// Standard deviation of the rotation by the gyroscopes alone after a second of turning at 1 rad/s.
    pub walk: Angle,
    /// The longest run of lost samples that is bridged, at most 10 s; after a longer one the rotation is begun anew.
    pub longest_gap: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            proximal: None,
            distal: None,
            proximal_to_joint_m: None,
            distal_to_joint_m: None,
            to_joint_sd_m: 0.02,
            joint_noise_m_per_s2: 0.5,
            walk: Angle::new(0.573),
            longest_gap: Duration::new(1.0),
        }
    }
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        let port = &ports[0];
        let Some(rate) = steady_rate(port, 0, &mut findings) else { return Err(findings) };
        self.check(&mut findings);
        let sensors = self.sensors(port, &mut findings);
        let mut imus = Vec::new();
        for prefix in sensors.iter().flatten().map(|sensor| format!("{sensor}_")) {
            imus.extend(ImuColumns::of(port, 0, &prefix, false, &mut findings));
        }
        let ([proximal, distal], true) = (imus.as_slice(), findings.is_empty()) else { return Err(findings) };
        let output = output(port.schema.columns.field(distal.gyro[0]), rate, &sensors.unwrap_or_default()[0]);
        let operator = RelativeOrientation {
            imus: [*proximal, *distal],
            rate,
            period_s: 1.0 / rate.hertz(),
            longest_gap_ns: self.longest_gap.nanoseconds(),
            levers: self.levers(),
            noise: Noise { joint_m_per_s2: self.joint_noise_m_per_s2, walk_rad: self.walk.degrees().to_radians() },
            output: output.clone(),
        };
        Ok(Planned::new(operator, output))
    }
}

impl Config {
    fn check(&self, findings: &mut Findings) {
        let positive =
            [("/to_joint_sd_m", self.to_joint_sd_m), ("/joint_noise_m_per_s2", self.joint_noise_m_per_s2), ("/walk", self.walk.degrees())];
        for (at, value) in positive.iter().filter(|(_, value)| !(*value > 0.0 && value.is_finite())) {
            findings.push(PlanFinding::config(*at, format!("{value} is not above zero")));
        }
        for (at, vector) in [("/proximal_to_joint_m", self.proximal_to_joint_m), ("/distal_to_joint_m", self.distal_to_joint_m)] {
            if vector.is_some_and(|vector| !vector.iter().all(|part| part.abs() <= 2.0)) {
                findings.push(PlanFinding::config(at, "a sensor sits within 2 m of its joint").help("the unit is m"));
            }
        }
        if !(0..=LONGEST_GAP_NS).contains(&self.longest_gap.nanoseconds()) {
            findings.push(PlanFinding::config("/longest_gap", "a gap to bridge is between 0 s and 10 s"));
        }
    }

    /// Proximal and distal prefix.
    fn sensors(&self, port: &Port, findings: &mut Findings) -> Option<[String; 2]> {
        let found: Vec<&str> = port.schema.names().filter_map(|name| name.strip_suffix("_gyro_x_rad_per_s")).collect();
        let named = [&self.proximal, &self.distal];
        if let [Some(proximal), Some(distal)] = named {
            if proximal == distal {
                findings.push(PlanFinding::config("/distal", format!("`{distal}` is the proximal sensor too")));
                return None;
            }
            return Some([proximal.clone(), distal.clone()]);
        }
        if named.iter().any(|name| name.is_some()) {
            findings.push(PlanFinding::config("", "`proximal` and `distal` are named together or not at all"));
            return None;
        }
        if let [proximal, distal] = found[..] {
            return Some([proximal.to_owned(), distal.to_owned()]);
        }
        let finding = PlanFinding::input(0, format!("`{}` holds {} IMUs, where two are due", port.stream, found.len()));
        findings.push(finding.help("fuse two IMUs by `align`, or name them: with: { proximal: thigh_left, distal: shank_left }"));
        None
    }

    fn levers(&self) -> Levers {
        let given = [self.proximal_to_joint_m, self.distal_to_joint_m];
        let sd_m = given.map(|vector| if vector.is_some() { self.to_joint_sd_m } else { UNKNOWN_LEVER_M });
        Levers::known(given.map(|vector| vector.unwrap_or([0.0; 3])), sd_m)
    }
}

/// What comes out: a rotation of the distal segment, in the frame of the proximal sensor.
fn output(distal: &Field, rate: Rate, proximal: &str) -> StreamSchema {
    let place = |field: Field| placed_as(field, distal);
    let mut fields = ["q_w", "q_x", "q_y", "q_z"].map(|name| place(float(name, "1").frame(proximal))).to_vec();
    fields.push(place(column("settling", DataType::Boolean)));
    fields.extend(NUMBERS.map(|(name, unit)| place(float(name, unit))));
    StreamSchema::new(fields, &[], Some(rate))
}

struct RelativeOrientation {
    imus: [ImuColumns; 2],
    rate: Rate,
    period_s: f64,
    longest_gap_ns: i64,
    levers: Levers,
    noise: Noise,
    output: StreamSchema,
}

#[derive(Serialize, Deserialize)]
struct State {
    /// Of bias and, for the proximal one, inclination.
    sensors: [Memory; 2],
    levers: Levers,
    /// Headings that are still tried, the likeliest first; empty before the first sample.
    tried: Vec<JointFilter>,
    last: Option<Instant>,
    before_last: Option<Instant>,
    excitation: f64,
    residual: f64,
}

/// Both sensors' samples at one time.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Instant {
    samples: [Sample; 2],
    /// Angular rates without bias.
    rates: [[f64; 3]; 2],
    /// Takes the proximal sensor's coordinates to a frame whose Z is up.
    upright: Quaternion,
    /// False when it was put in for a lost one.
    is_measured: bool,
}

impl Operator for RelativeOrientation {
    type State = State;

    fn start(&self) -> State {
        let sensors = [(); 2].map(|()| Memory::new(self.period_s, Params::default()));
        State { sensors, levers: self.levers, tried: Vec::new(), last: None, before_last: None, excitation: 0.0, residual: 0.0 }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let rows = &inputs[0];
        if rows.num_rows() == 0 {
            return watermark;
        }
        let mut sensors = state.sensors.each_ref().map(|memory| memory.resume(self.period_s, Params::default()));
        let mut columns = Columns::default();
        for row in 0..rows.num_rows() {
            let [Some(proximal), Some(distal)] = self.imus.map(|imu| imu.sample(rows, row)) else {
                columns.push(None);
                continue;
            };
            self.bridge(&mut sensors, state, &[proximal, distal]);
            self.advance(&mut sensors, state, [proximal, distal], true);
            columns.push(self.estimate(state));
        }
        state.sensors = sensors.each_ref().map(Memory::of);
        out.push(batch(&self.output, columns.arrays(rows.column(0).clone())));
        watermark
    }

    fn flush(&self, _: &mut State, _: &mut Output) {}
}

impl RelativeOrientation {
    /// Takes the filters over the samples that were lost before these, or begins the rotation anew.
    fn bridge(&self, sensors: &mut [VQF; 2], state: &mut State, samples: &[Sample; 2]) {
        let Some(last) = state.last else { return };
        let lost = last.samples[0].lost_until(&samples[0], self.rate);
        if self.rate.grid_time(lost) > self.longest_gap_ns {
            for sensor in sensors {
                let (bias, bias_p) = (sensor.state().bias, sensor.state().bias_p);
                sensor.reset_state();
                sensor.state_mut().bias = bias;
                sensor.state_mut().bias_p = bias_p;
            }
            state.levers = state.tried.first().map_or(state.levers, JointFilter::levers);
            state.tried.clear();
            (state.last, state.before_last) = (None, None);
            return;
        }
        for k in 1..=lost {
            let weight = k as f64 / (lost + 1) as f64;
            let between = [0, 1].map(|sensor| last.samples[sensor].towards(&samples[sensor], weight));
            self.advance(sensors, state, between, false);
        }
    }

    fn advance(&self, sensors: &mut [VQF; 2], state: &mut State, samples: [Sample; 2], is_measured: bool) {
        let rates = [0, 1].map(|k| {
            sensors[k].update(samples[k].gyro, samples[k].accel, None);
            let bias = sensors[k].state().bias;
            std::array::from_fn(|axis| samples[k].gyro[axis] - bias[axis])
        });
        let q = sensors[0].quat_6d();
        let now = Instant { samples, rates, upright: [q.0, q.1, q.2, q.3], is_measured };
        if state.tried.is_empty() {
            let heading = |k: usize| TAU * k as f64 / HEADINGS as f64;
            let filter = |k: usize| JointFilter::new(samples[0].accel, samples[1].accel, heading(k), &state.levers);
            state.tried = (0..HEADINGS).map(filter).collect();
        }
        if let Some(last) = state.last {
            if let Some(before) = state.before_last.filter(|before| before.is_measured && last.is_measured && is_measured) {
                self.measure(state, &before, &last, &now);
            }
            // The filter stands halfway through the sample's period, where its mean rate does.
            let mean = [0, 1].map(|k| std::array::from_fn(|axis| 0.5 * (last.rates[k][axis] + now.rates[k][axis])));
            state.tried.iter_mut().for_each(|filter| filter.turn(mean, self.period_s, &self.noise));
        }
        (state.before_last, state.last) = (state.last, Some(now));
    }

    /// The constraint at the last sample, whose angular acceleration is known now.
    fn measure(&self, state: &mut State, before: &Instant, last: &Instant, now: &Instant) {
        let motions = [0, 1].map(|k| Motion {
            rate: last.rates[k],
            rate_change: std::array::from_fn(|axis| (now.samples[k].gyro[axis] - before.samples[k].gyro[axis]) / (2.0 * self.period_s)),
            force: last.samples[k].accel,
        });
        let mut told: Option<(f64, Residual)> = None;
        for filter in &mut state.tried {
            let residual = filter.measure([&motions[0], &motions[1]], self.period_s, &self.noise);
            if told.is_none_or(|(likelihood, _)| filter.log_likelihood > likelihood) {
                told = Some((filter.log_likelihood, residual));
            }
        }
        drop_unlikely(&mut state.tried);
        if let Some((_, residual)) = told {
            let [x, y, _] = rotate(last.upright, residual.force);
            let share = (self.period_s / RECENT_S).min(1.0);
            state.excitation += share * (x * x + y * y - state.excitation);
            state.residual += share * (residual.apart * residual.apart - state.residual);
        }
    }

    fn estimate(&self, state: &State) -> Option<Estimate> {
        let (filter, last) = (state.tried.first()?, state.last?);
        let half = |k: usize, sign: f64| exponential(last.rates[k].map(|rate| sign * 0.5 * rate * self.period_s));
        let q = multiply(multiply(half(0, -1.0), filter.rotation), half(1, 1.0));
        let apart = state.tried[1..].iter().map(|other| angle_between_rad(filter.rotation, other.rotation));
        let sd_deg = apart.fold(filter.sd_rad(), f64::max).to_degrees();
        let lengths = filter.levers().to_joint_m.map(|[x, y, z]| (x * x + y * y + z * z).sqrt());
        Some(Estimate { q, numbers: [sd_deg, state.excitation.sqrt(), state.residual.sqrt(), lengths[0], lengths[1]] })
    }
}

/// The likeliest comes first; what is far less likely than it, or tells the same as a likelier one, goes.
fn drop_unlikely(tried: &mut Vec<JointFilter>) {
    if tried.len() < 2 {
        return;
    }
    tried.sort_by(|a, b| b.log_likelihood.total_cmp(&a.log_likelihood));
    let best = tried[0].log_likelihood;
    let mut kept: Vec<JointFilter> = Vec::with_capacity(tried.len());
    for filter in tried.drain(..) {
        let is_new = kept.iter().all(|other| angle_between_rad(other.rotation, filter.rotation) >= SAME_RAD);
        if kept.is_empty() || (is_new && filter.log_likelihood >= best - ODDS) {
            kept.push(filter);
        }
    }
    *tried = kept;
}

struct Estimate {
    q: Quaternion,
    numbers: [f64; 5],
}

/// The columns that come out, row by row; NaN for null.
#[derive(Default)]
struct Columns {
    q: [Vec<f64>; 4],
    settling: Vec<Option<bool>>,
    numbers: [Vec<f64>; 5],
}

impl Columns {
    fn push(&mut self, estimate: Option<Estimate>) {
        let settling = estimate.as_ref().map(|estimate| estimate.numbers[0].is_nan() || estimate.numbers[0] > SETTLED_DEG);
        let Estimate { q, numbers } = estimate.unwrap_or(Estimate { q: [f64::NAN; 4], numbers: [f64::NAN; 5] });
        self.q.iter_mut().zip(q).for_each(|(column, value)| column.push(value));
        self.settling.push(settling);
        self.numbers.iter_mut().zip(numbers).for_each(|(column, value)| column.push(value));
    }

    fn arrays(self, times: ArrayRef) -> Vec<ArrayRef> {
        let mut arrays = vec![times];
        arrays.extend(self.q.map(nan_as_null));
        arrays.push(Arc::new(BooleanArray::from(self.settling)));
        arrays.extend(self.numbers.map(nan_as_null));
        arrays
    }
}
