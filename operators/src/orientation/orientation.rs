//! How is a sensor turned in space, also where the magnetic field is disturbed?
//!
//! Inclination and the gyroscope's bias are those of VQF (Laidig and Seel 2023, Information Fusion 91). The heading comes from a Kalman
//! filter over the magnetometer in VQF's upright frame. It holds the earth's field, a local deviation of it, an offset that turns with the
//! sensor (a magnet or steel on it) and the magnetometer's delay behind the gyroscope: motion tells them apart, so a magnet that is stuck
//! to the sensor or taken off costs little, and a field that fits neither turns the heading the less, the more its strength and dip
//! deviate. A second filter that takes nothing for granted begins anew every 20 s (at first after 5 s and 10 s); when it explains the
//! field far better than the first one, it takes its place, and the heading jumps to the better one.
//!
//! `q_w q_x q_y q_z` is the unit quaternion `earth_from_sensor`: it takes sensor coordinates to earth coordinates. With a magnetometer the
//! frame is `earth_enu`, X east (magnetic), Y north, Z up. Without one, or with `magnetometer: false`, it is `earth_up`:
//! Z is up and the heading is that of the first sample, which then drifts with what is left of the gyroscope's bias.
//!
//! `rest` is true while the sensor lies still, when the gyroscope's bias is learnt fastest. `settling` is true for the first `tau_accel`
//! seconds after a start or a restart, and while the heading is not known to 10°: take the values with care. With a magnetometer,
//! `mag_disturbed` says that strength or dip of the field, less the sensor's own offset, were not as learnt within the last half second;
//! `heading_disagreement_deg` how far the magnetometer's heading over 20 ms lay from the estimate; `heading_sd_deg` is the heading's
//! standard deviation about magnetic north, with what no filter can tell there (`mag_place_ut`, some 2°); `mag_offset_ut` how strong a
//! field the sensor carries with it.
//!
//! **Delay** none: a row comes out with the sample. With `lag: 2 s` it comes out 2 s later, its heading (and `heading_sd_deg`) improved by
//! what was measured meanwhile; the other columns stay. **Lost samples** are counted by the sensor's own `sequence`; where it
//! is not there, starts anew or differs from the times by more than 100 ms, by time against rate. Up to `longest_gap` the
//! filters run over them with samples on the straight line between the last and the next one, so their time constants
//! hold; no rows are made for them. After a longer gap they start anew, keeping what they learnt of the sensor, and `settling` is true
//! again; so it is when another `device` takes the sensor's place, of which nothing is known. A row without gyroscope or accelerometer values gives null columns and counts as lost; one without a
//! magnetometer value goes by the other two.
//!
//! Between samples the time is the rate's period, not the difference of their times: a sensor samples evenly, and what is
//! uneven came with the transport.
//!
//! ```yaml
//! op: orientation
//! from: imu/pelvis
//! with: { lag: 100 ms, rest_duration: 500 ms, longest_gap: 200 ms }
//! input:
//!   imu/pelvis:
//!     sensor: { kind: imu, rate: 100 Hz, segment: pelvis }
//!     generate:
//!       duration: 6 s
//!       gaps: [[2.5 s, 2.6 s], [4 s, 4.5 s]]
//!       columns:
//!         gyro_x_rad_per_s: [{ constant: 0.005 }, { noise: { amplitude: 0.002, seed: 1 } }, { pulses: { from: 1.5 s, period: 2 s, width: 300 ms, amplitude: 1.2 } }]
//!         gyro_y_rad_per_s: [{ constant: -0.003 }, { noise: { amplitude: 0.002, seed: 2 } }]
//!         gyro_z_rad_per_s: [{ noise: { amplitude: 0.002, seed: 3 } }]
//!         accel_x_m_per_s2: [{ noise: { amplitude: 0.05, seed: 4 } }]
//!         accel_y_m_per_s2: [{ constant: 1.7 }, { noise: { amplitude: 0.05, seed: 5 } }]
//!         accel_z_m_per_s2: [{ constant: 9.66 }, { noise: { amplitude: 0.05, seed: 6 } }]
//!         mag_x_ut: [{ noise: { amplitude: 0.3, seed: 7 } }]
//!         mag_y_ut: [{ constant: 18 }, { noise: { amplitude: 0.3, seed: 8 } }]
//!         mag_z_ut: [{ constant: -44 }, { noise: { amplitude: 0.3, seed: 9 } }, { steps: [[3 s, 30], [3.5 s, 0]] }]
//! ```
//! ```csv
//! time_ns,q_w,q_x,q_y,q_z,rest,settling,device,mag_disturbed,heading_disagreement_deg,heading_sd_deg,mag_offset_ut
//! 0,0.995864,0.090644,0.00474681,-0.00401434,false,true,,true,,14.4292,0.0
//! 10000000,0.995728,0.092261,0.00300269,-0.00220678,false,true,,true,0.225743,13.5797,0.0
//! 20000000,0.995914,0.0902796,0.00138311,-0.00189624,false,true,,true,0.225743,13.1256,0.0
//! 30000000,0.996026,0.0890476,0.0003309,-0.0015585,false,true,,true,1.38772,12.4646,0.0
//! 40000000,0.996056,0.0887187,0.00060248,-0.00138642,false,true,,true,1.38772,12.1199,0.0
//! 50000000,0.99606,0.0886716,0.000118136,-0.000941472,false,true,,true,0.829745,11.5712,0.0
//! 60000000,0.996063,0.0886394,-0.000731563,-0.00064411,false,true,,true,0.829745,11.4078,0.0
//! 70000000,0.996039,0.0889115,-0.000590301,-0.000949497,false,true,,true,0.420138,10.9467,0.0
//! 80000000,0.996075,0.0885116,-0.000355482,-0.000766033,false,true,,true,0.420138,10.8842,0.0
//! …
//! 5960000000,0.984411,0.175866,0.000256045,0.00242017,false,true,,false,0.108727,30.9145,12.5727
//! 5970000000,0.984514,0.175286,0.000267217,0.00242825,false,true,,false,1.23814,30.9145,12.5745
//! 5980000000,0.984617,0.174708,0.000264356,0.00235128,false,true,,false,1.23814,30.9974,12.5745
//! 5990000000,0.984726,0.174094,0.000306368,0.00235285,false,true,,false,0.77536,30.9974,12.5744
//! # 540 rows, every bit hashed: 40c3dc183491c3e0
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field};
use proprio_core::finding::{Findings, PlanFinding};
use proprio_core::kind::DEVICE;
use proprio_core::quantity::{Angle, Duration};
use proprio_core::registry::{Configure, Inputs};
use proprio_core::rows::{batch, nan_as_null, times};
use proprio_core::schema::{FieldExt, column, float};
use proprio_core::time::SECOND_NS;
use proprio_core::{Operator, Output, Planned, Port, Rate, StreamSchema, TimeNs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vqf_rs::{Params, VQF};

use crate::kernels::device::is_swapped;
use crate::kernels::field_filter::Noise;
use crate::kernels::heading::{Heading, Method, turned};
use crate::kernels::imu::{ImuColumns, Sample, placed_as, steady_rate};
use crate::kernels::quaternion::Quaternion;
use crate::kernels::vqf::Memory;

/// A longer gap is not worth bridging.
const LONGEST_GAP_NS: i64 = 10 * SECOND_NS;
/// The waiting rows and past headings are kept in memory.
const LONGEST_LAG_NS: i64 = 10 * SECOND_NS;
/// Standard deviation of the turn during a gap, as a share of what its two ends' rates differ by.
const MISSED_SHARE: f64 = 0.05;
/// While the heading's standard deviation is above this, it settles.
const SETTLED_DEG: f64 = 10.0;
/// Columns of the magnetometer after `mag_disturbed`, with their units.
const MAG_COLUMNS: [(&str, &str); 3] = [("heading_disagreement_deg", "deg"), ("heading_sd_deg", "deg"), ("mag_offset_ut", "uT")];

/// What `with:` holds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether the magnetometer is used where there is one.
    pub magnetometer: bool,
    /// Time constant of the correction of inclination by the accelerometer: longer trusts the gyroscope more.
    pub tau_accel: Duration,
    /// At rest the angular rate, in degrees a second, stays within this of its mean.
    pub rest_gyro_deg_per_s: f64,
    /// At rest the acceleration, in m/s², stays within this of its mean.
    pub rest_accel_m_per_s2: f64,
    /// How long both must hold.
    pub rest_duration: Duration,
    /// The field is taken for undisturbed while its strength is within this share of the learnt one.
    pub mag_norm_share: f64,
    /// The field is taken for undisturbed while its dip is within this of the learnt one.
    pub mag_dip: Angle,
    /// Standard deviation of the magnetometer's mean over 20 ms, in µT.
    pub mag_noise_ut: f64,
    /// Standard deviation of an undisturbed room's field from place to place, in µT.
    pub mag_place_ut: f64,
    /// After how long a moving sensor has left such a place.
    pub mag_place_time: Duration,
    /// Standard deviation of the heading by the gyroscope alone after a second of turning at 1 rad/s.
    pub heading_walk: Angle,
    /// How much later rows come out, so that what follows improves their heading; at most 10 s.
    pub lag: Duration,
    /// The longest run of lost samples that is bridged, at most 10 s; after a longer one the filter starts anew.
    pub longest_gap: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            magnetometer: true,
            tau_accel: Duration::new(3.0),
            rest_gyro_deg_per_s: 2.0,
            rest_accel_m_per_s2: 0.5,
            rest_duration: Duration::new(1.5),
            mag_norm_share: 0.1,
            mag_dip: Angle::new(10.0),
            mag_noise_ut: 0.7,
            mag_place_ut: 0.5,
            mag_place_time: Duration::new(1.0),
            heading_walk: Angle::new(0.115),
            lag: Duration::new(0.0),
            longest_gap: Duration::new(1.0),
        }
    }
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        let port = &ports[0];
        let columns = ImuColumns::of(port, 0, "", self.magnetometer, &mut findings);
        let has_mag = columns.is_some_and(|columns| columns.mag.is_some());
        let Some(rate) = steady_rate(port, 0, &mut findings) else { return Err(findings) };
        self.check(rate, has_mag, &mut findings);
        let (Some(columns), true) = (columns, findings.is_empty()) else { return Err(findings) };
        let output = output(port.schema.columns.field(columns.gyro[0]), rate, has_mag);
        let period_s = 1.0 / rate.hertz();
        let operator = Orientation {
            columns,
            rate,
            method: self.method(period_s),
            settling_samples: rate.grid_index_at_or_after(self.tau_accel.nanoseconds()) as u64,
            longest_gap_ns: self.longest_gap.nanoseconds(),
            lag_ns: self.lag.nanoseconds(),
            params: self.params(),
            output: output.clone(),
        };
        Ok(Planned::new(operator, output))
    }
}

impl Config {
    fn check(&self, rate: Rate, has_mag: bool, findings: &mut Findings) {
        let shortest_s = 2.0 / rate.hertz();
        if !(shortest_s..=3600.0).contains(&self.tau_accel.seconds()) {
            let message = format!("a time constant of {} is not between two samples and an hour", self.tau_accel);
            findings.push(PlanFinding::config("/tau_accel", message).help("VQF's own is 3 s"));
        }
        let thresholds = [
            ("/rest_gyro_deg_per_s", self.rest_gyro_deg_per_s),
            ("/rest_accel_m_per_s2", self.rest_accel_m_per_s2),
            ("/rest_duration", self.rest_duration.seconds()),
            ("/mag_norm_share", self.mag_norm_share),
            ("/mag_dip", self.mag_dip.degrees()),
            ("/mag_noise_ut", self.mag_noise_ut),
            ("/mag_place_ut", self.mag_place_ut),
            ("/mag_place_time", self.mag_place_time.seconds()),
            ("/heading_walk", self.heading_walk.degrees()),
        ];
        for (at, value) in thresholds.iter().filter(|(_, value)| !(*value > 0.0 && value.is_finite())) {
            findings.push(PlanFinding::config(*at, format!("{value} is not above zero")));
        }
        if !(0..=LONGEST_GAP_NS).contains(&self.longest_gap.nanoseconds()) {
            findings.push(PlanFinding::config("/longest_gap", "a gap to bridge is between 0 s and 10 s"));
        }
        if !(0..=LONGEST_LAG_NS).contains(&self.lag.nanoseconds()) {
            findings.push(PlanFinding::config("/lag", "a lag is between 0 s and 10 s"));
        } else if self.lag.nanoseconds() > 0 && !has_mag {
            let finding = PlanFinding::config("/lag", "without a magnetometer nothing that follows improves a heading");
            findings.push(finding.help("leave `lag` out"));
        }
    }

    /// VQF's parameters; those of its magnetometer aren't used.
    fn params(&self) -> Params {
        Params {
            tau_acc: self.tau_accel.seconds(),
            rest_th_gyr: self.rest_gyro_deg_per_s,
            rest_th_acc: self.rest_accel_m_per_s2,
            rest_min_t: self.rest_duration.seconds(),
            ..Params::default()
        }
    }

    fn method(&self, period_s: f64) -> Method {
        let noise = Noise {
            mag_ut: self.mag_noise_ut,
            place_ut: self.mag_place_ut,
            place_time_s: self.mag_place_time.seconds(),
            heading_walk_rad: self.heading_walk.degrees().to_radians(),
            norm_share: self.mag_norm_share,
            dip_rad: self.mag_dip.degrees().to_radians(),
        };
        Method { period_s, tau_accel_s: self.tau_accel.seconds(), lag_s: self.lag.seconds(), noise }
    }
}

/// What comes out: the rotation with the place that the gyroscope's columns name, and the filter's own judgement.
fn output(gyro: &Field, rate: Rate, has_mag: bool) -> StreamSchema {
    let frame = if has_mag { "earth_enu" } else { "earth_up" };
    let place = |field: Field| placed_as(field, gyro);
    let mut fields = ["q_w", "q_x", "q_y", "q_z"].map(|name| place(float(name, "1").frame(frame))).to_vec();
    fields.extend(["rest", "settling"].map(|name| place(column(name, DataType::Boolean))));
    fields.push(place(column(DEVICE, DataType::Int64)));
    if has_mag {
        fields.push(place(column("mag_disturbed", DataType::Boolean)));
        fields.extend(MAG_COLUMNS.map(|(name, unit)| place(float(name, unit))));
    }
    StreamSchema::new(fields, &[], Some(rate))
}

struct Orientation {
    columns: ImuColumns,
    rate: Rate,
    method: Method,
    settling_samples: u64,
    longest_gap_ns: i64,
    lag_ns: i64,
    params: Params,
    output: StreamSchema,
}

/// The filters, the last sample that they took, how many since they started, and the rows that wait for the lag.
#[derive(Serialize, Deserialize)]
struct State {
    filter: Memory,
    heading: Heading,
    last: Option<Sample>,
    samples: u64,
    waiting: VecDeque<Row>,
}

/// A row but for its heading.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Row {
    time: TimeNs,
    /// `None` where gyroscope or accelerometer have no values.
    estimate: Option<Estimate>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Estimate {
    upright: Quaternion,
    device: Option<i64>,
    is_resting: bool,
    is_settling: bool,
    is_disturbed: bool,
    disagreement_deg: f64,
    offset_ut: f64,
    /// The heading's.
    block: u64,
}

impl Operator for Orientation {
    type State = State;

    fn start(&self) -> State {
        let filter = Memory::new(self.method.period_s, self.params);
        State { filter, heading: Heading::default(), last: None, samples: 0, waiting: VecDeque::new() }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let rows = &inputs[0];
        let mut filter = state.filter.resume(self.method.period_s, self.params);
        let mut columns = Columns::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            let time = times(rows)[row];
            // Whatever the watermark, a row comes out with what was known when its lag had passed.
            self.emit(state, |waiting| waiting.saturating_add(self.lag_ns) < time, &mut columns);
            let estimate = self.columns.sample(rows, row).map(|sample| {
                self.bridge(&mut filter, state, &sample, &mut columns);
                let block = self.update(&mut filter, &mut state.heading, &sample);
                state.last = Some(sample);
                state.samples += 1;
                self.estimate(&filter, state, sample.device, block)
            });
            state.waiting.push_back(Row { time, estimate });
        }
        state.filter = Memory::of(&filter);
        self.emit(state, |waiting| waiting.saturating_add(self.lag_ns) <= watermark, &mut columns);
        out.push(batch(&self.output, columns.arrays(self.columns.mag.is_some())));
        watermark.saturating_sub(self.lag_ns)
    }

    fn flush(&self, state: &mut State, out: &mut Output) {
        let mut columns = Columns::with_capacity(state.waiting.len());
        self.emit(state, |_| true, &mut columns);
        out.push(batch(&self.output, columns.arrays(self.columns.mag.is_some())));
    }
}

impl Orientation {
    fn estimate(&self, filter: &VQF, state: &State, device: Option<i64>, block: u64) -> Estimate {
        let q = filter.quat_6d();
        let has_heading = self.columns.mag.is_none()
            || state.heading.at(block, &self.method.noise).is_some_and(|(_, sd_rad)| sd_rad.to_degrees() < SETTLED_DEG);
        Estimate {
            upright: [q.0, q.1, q.2, q.3],
            device,
            is_resting: filter.rest_detected(),
            is_settling: state.samples <= self.settling_samples || !has_heading,
            is_disturbed: state.heading.is_disturbed(),
            disagreement_deg: state.heading.disagreement_rad().map_or(f64::NAN, f64::to_degrees),
            offset_ut: state.heading.offset_ut().unwrap_or(f64::NAN),
            block,
        }
    }

    /// Takes the filters over a sample; the block of headings that it belongs to.
    fn update(&self, filter: &mut VQF, heading: &mut Heading, sample: &Sample) -> u64 {
        filter.update(sample.gyro, sample.accel, None);
        if self.columns.mag.is_none() {
            return 0;
        }
        let q = filter.quat_6d();
        let bias = filter.state().bias;
        let rate = std::array::from_fn(|axis| sample.gyro[axis] - bias[axis]);
        let mag = sample.mag.iter().all(|value| value.is_finite()).then_some(sample.mag);
        heading.update([q.0, q.1, q.2, q.3], rate, mag, &self.method)
    }

    /// Moves the rows whose time is due out of the queue.
    fn emit(&self, state: &mut State, is_due: impl Fn(TimeNs) -> bool, columns: &mut Columns) {
        while let Some(row) = state.waiting.pop_front_if(|row| is_due(row.time)) {
            let heading = row.estimate.and_then(|estimate| state.heading.at(estimate.block, &self.method.noise));
            columns.push(&row, heading);
        }
    }

    /// Takes the filters over the samples that were lost before this one, or starts them anew.
    fn bridge(&self, filter: &mut VQF, state: &mut State, sample: &Sample, columns: &mut Columns) {
        let Some(last) = state.last else { return };
        let lost = last.lost_until(sample, self.rate);
        let is_other = is_swapped(last.device, sample.device);
        if is_other || self.rate.grid_time(lost) > self.longest_gap_ns {
            // Nothing that follows tells about headings in the old frame.
            self.emit(state, |_| true, columns);
            let (bias, bias_p) = (filter.state().bias, filter.state().bias_p);
            filter.reset_state();
            if !is_other {
                (filter.state_mut().bias, filter.state_mut().bias_p) = (bias, bias_p);
            }
            state.heading.restart();
            state.samples = 0;
            return;
        }
        if lost == 0 {
            return;
        }
        // What turned meanwhile lies between two rates; a straight line misses it by a part of their difference.
        let apart = (0..3).map(|axis| (sample.gyro[axis] - last.gyro[axis]).powi(2)).sum::<f64>().sqrt();
        state.heading.doubt(MISSED_SHARE * apart * lost as f64 * self.method.period_s);
        for k in 1..=lost {
            let between = last.towards(sample, k as f64 / (lost + 1) as f64);
            self.update(filter, &mut state.heading, &Sample { mag: [f64::NAN; 3], ..between });
        }
        state.samples += lost as u64;
    }
}

/// The columns that come out, row by row; NaN for null.
struct Columns {
    times: Vec<TimeNs>,
    q: [Vec<f64>; 4],
    rest: Vec<Option<bool>>,
    settling: Vec<Option<bool>>,
    device: Vec<Option<i64>>,
    mag_disturbed: Vec<Option<bool>>,
    mag: [Vec<f64>; 3],
}

impl Columns {
    fn with_capacity(rows: usize) -> Self {
        let flags = || Vec::with_capacity(rows);
        let numbers = || Vec::with_capacity(rows);
        Self {
            times: Vec::with_capacity(rows),
            q: [(); 4].map(|()| numbers()),
            rest: flags(),
            settling: flags(),
            device: Vec::with_capacity(rows),
            mag_disturbed: flags(),
            mag: [(); 3].map(|()| numbers()),
        }
    }

    fn push(&mut self, row: &Row, heading: Option<(f64, f64)>) {
        let estimate = row.estimate;
        let upright = estimate.map_or([f64::NAN; 4], |estimate| estimate.upright);
        let q = heading.map_or(upright, |(heading_rad, _)| turned(upright, heading_rad));
        self.times.push(row.time);
        self.q.iter_mut().zip(q).for_each(|(column, value)| column.push(value));
        self.rest.push(estimate.map(|estimate| estimate.is_resting));
        self.settling.push(estimate.map(|estimate| estimate.is_settling));
        self.device.push(estimate.and_then(|estimate| estimate.device));
        self.mag_disturbed.push(estimate.map(|estimate| estimate.is_disturbed));
        let number = |of: fn(&Estimate) -> f64| estimate.as_ref().map_or(f64::NAN, of);
        let sd_deg = heading.map_or(f64::NAN, |(_, sd_rad)| sd_rad.to_degrees());
        let mag = [number(|estimate| estimate.disagreement_deg), sd_deg, number(|estimate| estimate.offset_ut)];
        self.mag.iter_mut().zip(mag).for_each(|(column, value)| column.push(value));
    }

    fn arrays(self, has_mag: bool) -> Vec<ArrayRef> {
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(self.times))];
        arrays.extend(self.q.map(nan_as_null));
        arrays.push(Arc::new(BooleanArray::from(self.rest)));
        arrays.push(Arc::new(BooleanArray::from(self.settling)));
        arrays.push(Arc::new(Int64Array::from(self.device)));
        if has_mag {
            arrays.push(Arc::new(BooleanArray::from(self.mag_disturbed)));
            arrays.extend(self.mag.map(nan_as_null));
        }
        arrays
    }
}
