//! Can an IMU's samples be trusted, window by window: rest, noise, saturation, lost samples and the magnetic field?
//!
//! A row comes for every window of the grid k · `window` in which the sensor gave samples; its time is the window's end. `verdict` is
//! `reject` when gyroscope or accelerometer lie at a rail for more than `saturated_percent` of the samples, stand still altogether, or
//! more than `lost_percent` of the samples are lost: what is integrated from such a window is wrong. It is `poor` when the magnetic field
//! is disturbed, when at rest the gyroscope's RMS or the accelerometer's distance from gravity is above its calibration gate, or when the
//! magnetometer saturates; otherwise `good`. `reasons` names all that stand against it, most serious first, separated by `; `.
//!
//! `rest` says that all samples lie within VQF's thresholds of the window's mean (Laidig and Seel 2023). Noise (`gyro_noise_deg_per_s`,
//! `accel_noise_m_per_s2`: RMS about the mean), `gyro_rms_deg_per_s` and `gravity_error_m_per_s2` (distance of the mean's length from
//! 9.81) are given at rest and null in motion.
//!
//! A rail is the end of `gyro_range`, `accel_range_g` or `mag_range_ut`. Where the range isn't given it is learnt: five equal values in a
//! row at the highest that the session has seen, above 200 °/s, 15 m/s² or 150 µT.
//!
//! The magnetic field's strength and dip, by VQF's inclination, are compared with `mag_norm_ut` and `mag_dip`, or where these aren't given
//! with the median of the undisturbed windows before (at most 60; in the first one with its own); another field is learnt when it was even
//! and the same over 20 s of motion. `mag_norm_off_percent` and `mag_dip_off_deg` are the window's means against them,
//! `mag_disturbed_percent` the share of samples that are off by more than `mag_norm_share` or `mag_dip_within`, and `mag_disturbed` says
//! that these are more than a tenth. A sensor without a magnetometer has none of these columns.
//!
//! **Delay**: a window's length. **Gaps**: rows without values and samples lost between rows count in `lost_percent` of the
//! window in which the next sample came, at most as a whole window's; a window without any sample gives no row.
//!
//! ```yaml
//! op: imu_quality
//! from: imu/pelvis
//! with: { window: 500 ms }
//! input:
//!   imu/pelvis:
//!     sensor: { kind: imu, rate: 100 Hz, segment: pelvis }
//!     generate:
//!       duration: 5 s
//!       gaps: [[3.6 s, 3.65 s], [4 s, 4.5 s]]
//!       columns:
//!         gyro_x_rad_per_s: [{ constant: 0.01 }, { noise: { amplitude: 0.002, seed: 1 } }]
//!         gyro_y_rad_per_s: [{ noise: { amplitude: 0.002, seed: 2 } }]
//!         # Turned about the vertical, then at the rail from 1.6 s on.
//!         gyro_z_rad_per_s: [{ pulses: { from: 1 s, period: 10 s, width: 500 ms, amplitude: 3 } }, { steps: [[1.6 s, 34.9], [1.7 s, 0]] }]
//!         accel_x_m_per_s2: [{ noise: { amplitude: 0.03, seed: 4 } }]
//!         accel_y_m_per_s2: [{ noise: { amplitude: 0.03, seed: 5 } }]
//!         accel_z_m_per_s2: [{ constant: 9.81 }, { noise: { amplitude: 0.03, seed: 6 } }]
//!         mag_x_ut: [{ noise: { amplitude: 0.5, seed: 7 } }]
//!         mag_y_ut: [{ constant: 18 }, { noise: { amplitude: 0.5, seed: 8 } }]
//!         mag_z_ut: [{ constant: -44 }, { noise: { amplitude: 0.5, seed: 9 } }, { steps: [[3 s, 12], [3.5 s, 0]] }]
//! ```
//! ```csv
//! time_ns,verdict,reasons,rest,lost_percent,gyro_saturated_percent,accel_saturated_percent,gyro_rms_deg_per_s,gyro_noise_deg_per_s,accel_noise_m_per_s2,gravity_error_m_per_s2,mag_disturbed,mag_saturated_percent,mag_norm_ut,mag_norm_off_percent,mag_dip_off_deg,mag_disturbed_percent
//! 500000000,good,,true,0.0,0.0,0.0,0.5756,0.157802,0.0497861,0.00612175,false,0.0,47.5658,0.0,0.0,0.0
//! 1000000000,good,,true,0.0,0.0,0.0,0.592265,0.160276,0.0517435,0.00203156,false,0.0,47.4851,-0.169612,-0.147544,0.0
//! 1500000000,good,,false,0.0,0.0,0.0,,,,,false,0.0,47.6148,0.103014,-0.170552,0.0
//! 2000000000,reject,gyroscope saturated,false,0.0,20.0,0.0,,,,,false,0.0,47.5194,-0.0976193,0.409584,0.0
//! 2500000000,good,,true,0.0,0.0,0.0,0.582089,0.164957,0.0555911,6.95042e-5,false,0.0,47.5426,-0.0487371,0.0595432,0.0
//! 3000000000,good,,true,0.0,0.0,0.0,0.600879,0.143696,0.0442306,0.00299351,false,0.0,47.5388,-0.00797774,-0.099514,0.0
//! 3500000000,poor,magnetic field disturbed,true,0.0,0.0,0.0,0.584838,0.160709,0.0525735,0.0109775,true,0.0,36.6444,-22.923,-7.54267,100.0
//! 4000000000,good,,true,10.0,0.0,0.0,0.595654,0.168761,0.0549213,0.00135209,false,0.0,47.5736,0.0651729,-0.633325,0.0
//! 5000000000,reject,samples lost,true,50.0,0.0,0.0,0.585358,0.152559,0.0474732,0.00594989,false,0.0,47.5512,0.0181313,-0.653333,0.0
//! # 9 rows, every bit hashed: 6ff4a3d1b3c76fa6
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field};
use proprio_core::finding::{Findings, PlanFinding};
use proprio_core::quantity::{Angle, Duration};
use proprio_core::registry::{Configure, Inputs};
use proprio_core::rows::{batch, nan_as_null, times};
use proprio_core::schema::{column, float, text};
use proprio_core::time::SECOND_NS;
use proprio_core::{Operator, Output, Planned, Port, Rate, StreamSchema, TimeNs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vqf_rs::{Params, VQF};

use crate::kernels::imu::{ImuColumns, Sample, placed_as, steady_rate};
use crate::kernels::imu_window::{Range, Reading, at_rails, length, median, push_newest, spread};
use crate::kernels::quaternion::rotate;
use crate::kernels::vqf::Memory;

const GRAVITY_M_PER_S2: f64 = 9.81;
/// The samples of a window are kept in memory.
const LONGEST_WINDOW_NS: i64 = 10 * SECOND_NS;
/// The field is learnt from so many windows.
const FIELDS: usize = 60;
/// So long another field must stay the same to be learnt: VQF's time.
const OTHER_NS: i64 = 20 * SECOND_NS;
/// A window's field is disturbed when more than this share of its samples is.
const DISTURBED_SHARE: f64 = 0.1;
/// Rails are learnt above these, in the instruments' units.
const RAILS_ABOVE: [f64; 3] = [3.5, 15.0, 150.0];
/// Number columns of every sensor, with their units.
const NUMBERS: [(&str, &str); 7] = [
    ("lost_percent", "%"),
    ("gyro_saturated_percent", "%"),
    ("accel_saturated_percent", "%"),
    ("gyro_rms_deg_per_s", "deg/s"),
    ("gyro_noise_deg_per_s", "deg/s"),
    ("accel_noise_m_per_s2", "m/s^2"),
    ("gravity_error_m_per_s2", "m/s^2"),
];
/// Number columns of a magnetometer, with their units.
const MAG_NUMBERS: [(&str, &str); 5] = [
    ("mag_saturated_percent", "%"),
    ("mag_norm_ut", "uT"),
    ("mag_norm_off_percent", "%"),
    ("mag_dip_off_deg", "deg"),
    ("mag_disturbed_percent", "%"),
];

/// What `with:` holds. The gates are those of calibration.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Length of a window, at most 10 s.
    pub window: Duration,
    /// At rest the angular rate, in degrees a second, stays within this of its mean, and its RMS below this.
    pub rest_gyro_deg_per_s: f64,
    /// At rest the acceleration, in m/s², stays within this of its mean.
    pub rest_accel_m_per_s2: f64,
    /// At rest the accelerometer's mean, in m/s², is within this of gravity.
    pub gravity_within_m_per_s2: f64,
    /// End of the gyroscope's range in degrees a second, such as 2000; learnt when it isn't given.
    pub gyro_range_deg_per_s: Option<f64>,
    /// End of the accelerometer's range in g, such as 16; learnt when it isn't given.
    pub accel_range_g: Option<f64>,
    /// End of the magnetometer's range in µT, such as 4900; learnt when it isn't given.
    pub mag_range_ut: Option<f64>,
    /// A window is rejected when more than this share of its samples, in percent, is at a rail.
    pub saturated_percent: f64,
    /// A window is rejected when more than this share of its samples, in percent, is lost.
    pub lost_percent: f64,
    /// Strength of the undisturbed field in µT; learnt when it isn't given.
    pub mag_norm_ut: Option<f64>,
    /// Dip of the undisturbed field; learnt when it isn't given.
    pub mag_dip: Option<Angle>,
    /// The field is undisturbed while its strength is within this share.
    pub mag_norm_share: f64,
    /// The field is undisturbed while its dip is within this angle.
    pub mag_dip_within: Angle,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window: Duration::new(1.5),
            rest_gyro_deg_per_s: 2.0,
            rest_accel_m_per_s2: 0.5,
            gravity_within_m_per_s2: 0.2,
            gyro_range_deg_per_s: None,
            accel_range_g: None,
            mag_range_ut: None,
            saturated_percent: 0.1,
            lost_percent: 10.0,
            mag_norm_ut: None,
            mag_dip: None,
            mag_norm_share: 0.1,
            mag_dip_within: Angle::new(10.0),
        }
    }
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        let port = &ports[0];
        let columns = ImuColumns::of(port, 0, "", true, &mut findings);
        let Some(rate) = steady_rate(port, 0, &mut findings) else { return Err(findings) };
        self.check(rate, &mut findings);
        let (Some(columns), true) = (columns, findings.is_empty()) else { return Err(findings) };
        let output = output(port.schema.columns.field(columns.gyro[0]), columns.mag.is_some());
        let operator = ImuQuality { columns, rate, window_ns: self.window.nanoseconds(), config: self, output: output.clone() };
        Ok(Planned::new(operator, output))
    }
}

impl Config {
    fn check(&self, rate: Rate, findings: &mut Findings) {
        let window_ns = self.window.nanoseconds();
        if window_ns < rate.grid_time(4) || window_ns > LONGEST_WINDOW_NS {
            findings.push(PlanFinding::config("/window", "a window takes at least four samples and at most 10 s"));
        }
        let positive = [
            ("/rest_gyro_deg_per_s", Some(self.rest_gyro_deg_per_s)),
            ("/rest_accel_m_per_s2", Some(self.rest_accel_m_per_s2)),
            ("/gravity_within_m_per_s2", Some(self.gravity_within_m_per_s2)),
            ("/gyro_range_deg_per_s", self.gyro_range_deg_per_s),
            ("/accel_range_g", self.accel_range_g),
            ("/mag_range_ut", self.mag_range_ut),
            ("/mag_norm_ut", self.mag_norm_ut),
            ("/mag_norm_share", Some(self.mag_norm_share)),
            ("/mag_dip_within", Some(self.mag_dip_within.degrees())),
        ];
        for (at, value) in positive.iter().filter_map(|(at, value)| Some((at, (*value)?))) {
            if !(value > 0.0 && value.is_finite()) {
                findings.push(PlanFinding::config(*at, format!("{value} is not above zero")));
            }
        }
        for (at, value) in [("/saturated_percent", self.saturated_percent), ("/lost_percent", self.lost_percent)] {
            if !(0.0..=100.0).contains(&value) {
                findings.push(PlanFinding::config(at, format!("{value} is not between 0 and 100")));
            }
        }
    }

    /// Of gyroscope, accelerometer and magnetometer.
    fn ranges(&self) -> [Range; 3] {
        let known =
            [self.gyro_range_deg_per_s.map(f64::to_radians), self.accel_range_g.map(|range| range * GRAVITY_M_PER_S2), self.mag_range_ut];
        [0, 1, 2].map(|k| known[k].map_or(Range::LearntAbove(RAILS_ABOVE[k]), Range::Known))
    }
}

fn output(gyro: &Field, has_mag: bool) -> StreamSchema {
    let place = |field: Field| placed_as(field, gyro);
    let mut fields = vec![text("verdict"), text("reasons"), column("rest", DataType::Boolean)];
    fields.extend(NUMBERS.map(|(name, unit)| float(name, unit)));
    if has_mag {
        fields.push(column("mag_disturbed", DataType::Boolean));
        fields.extend(MAG_NUMBERS.map(|(name, unit)| float(name, unit)));
    }
    StreamSchema::new(fields.into_iter().map(place).collect(), &[], None)
}

struct ImuQuality {
    columns: ImuColumns,
    rate: Rate,
    window_ns: i64,
    config: Config,
    output: StreamSchema,
}

#[derive(Serialize, Deserialize)]
struct State {
    /// Of inclination.
    filter: Memory,
    last: Option<Sample>,
    /// Number of the open window on the grid.
    open: Option<i64>,
    readings: Vec<Reading>,
    lost: i64,
    /// Strength and dip of the undisturbed windows before.
    fields: VecDeque<[f64; 2]>,
    /// And of the disturbed ones in motion since.
    others: VecDeque<[f64; 2]>,
    /// The session's highest absolute value, by instrument and axis.
    highest: [[f64; 3]; 3],
}

impl Operator for ImuQuality {
    type State = State;

    fn start(&self) -> State {
        let filter = Memory::new(1.0 / self.rate.hertz(), Params::default());
        State {
            filter,
            last: None,
            open: None,
            readings: Vec::new(),
            lost: 0,
            fields: VecDeque::new(),
            others: VecDeque::new(),
            highest: [[0.0; 3]; 3],
        }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let rows = &inputs[0];
        let mut filter = state.filter.resume(1.0 / self.rate.hertz(), Params::default());
        let mut columns = Columns::default();
        for (row, time) in times(rows).iter().enumerate() {
            let window = time.div_euclid(self.window_ns);
            if state.open.is_some_and(|open| open < window) {
                self.close(state, &mut columns);
            }
            state.open = Some(window);
            // A row without values counts as lost when the next sample comes.
            if let Some(sample) = self.columns.sample(rows, row) {
                self.take(state, &mut filter, sample);
            }
        }
        state.filter = Memory::of(&filter);
        if state.open.is_some_and(|open| self.end(open) <= watermark) {
            self.close(state, &mut columns);
        }
        out.push(batch(&self.output, columns.arrays(self.columns.mag.is_some())));
        watermark
    }

    fn flush(&self, state: &mut State, out: &mut Output) {
        let mut columns = Columns::default();
        self.close(state, &mut columns);
        out.push(batch(&self.output, columns.arrays(self.columns.mag.is_some())));
    }
}

impl ImuQuality {
    fn end(&self, window: i64) -> TimeNs {
        window.saturating_add(1).saturating_mul(self.window_ns)
    }

    fn take(&self, state: &mut State, filter: &mut VQF, sample: Sample) {
        let period_ns = self.rate.period_ns().max(1);
        let most = self.window_ns / period_ns;
        let lost = state.last.map_or(0, |last| last.lost_until(&sample, self.rate));
        state.lost += lost.min(most);
        filter.update(sample.gyro, sample.accel, None);
        let q = filter.quat_6d();
        let [x, y, z] = rotate([q.0, q.1, q.2, q.3], sample.mag);
        let dip_rad = -libm::atan2(z, (x * x + y * y).sqrt());
        for (highest, values) in state.highest.iter_mut().zip([sample.gyro, sample.accel, sample.mag]) {
            highest.iter_mut().zip(values).for_each(|(highest, value)| *highest = highest.max(value.abs()));
        }
        state.readings.push(Reading { gyro: sample.gyro, accel: sample.accel, mag: sample.mag, dip_rad });
        state.last = Some(sample);
    }

    /// Judges the open window.
    fn close(&self, state: &mut State, columns: &mut Columns) {
        let Some(open) = state.open.take() else { return };
        let readings = std::mem::take(&mut state.readings);
        let lost = std::mem::take(&mut state.lost);
        if readings.is_empty() {
            return;
        }
        let mut row = self.judge_motion(&readings, lost, &state.highest);
        if self.columns.mag.is_some() {
            self.judge_field(&readings, state, &mut row);
        }
        columns.push(self.end(open), row);
    }

    fn judge_motion(&self, readings: &[Reading], lost: i64, highest: &[[f64; 3]; 3]) -> Row {
        let config = &self.config;
        let count = readings.len() as f64;
        let gyro: Vec<[f64; 3]> = readings.iter().map(|reading| reading.gyro).collect();
        let accel: Vec<[f64; 3]> = readings.iter().map(|reading| reading.accel).collect();
        let ranges = config.ranges();
        let saturated = [(&gyro, 0), (&accel, 1)].map(|(samples, k)| 100.0 * at_rails(samples, ranges[k], highest[k]) as f64 / count);
        let (gyro_spread, accel_spread) = (spread(gyro.iter().copied()), spread(accel.iter().copied()));
        let is_resting =
            gyro_spread.furthest.to_degrees() < config.rest_gyro_deg_per_s && accel_spread.furthest < config.rest_accel_m_per_s2;
        let rms_deg = length([length(gyro_spread.mean), gyro_spread.deviation, 0.0]).to_degrees();
        let gravity_error = (length(accel_spread.mean) - GRAVITY_M_PER_S2).abs();
        let lost_percent = 100.0 * lost as f64 / (lost as f64 + count);
        let mut row = Row { is_resting, ..Row::default() };
        row.reject(saturated[0] > config.saturated_percent, "gyroscope saturated");
        row.reject(saturated[1] > config.saturated_percent, "accelerometer saturated");
        row.reject(readings.len() > 1 && gyro_spread.furthest == 0.0, "gyroscope stands still");
        row.reject(readings.len() > 1 && accel_spread.furthest == 0.0, "accelerometer stands still");
        row.reject(lost_percent > config.lost_percent, "samples lost");
        row.doubt(is_resting && rms_deg >= config.rest_gyro_deg_per_s, "gyroscope biased or noisy at rest");
        row.doubt(is_resting && gravity_error >= config.gravity_within_m_per_s2, "accelerometer off gravity at rest");
        let at_rest = [rms_deg, gyro_spread.deviation.to_degrees(), accel_spread.deviation, gravity_error];
        let at_rest = at_rest.map(|value| if is_resting { value } else { f64::NAN });
        row.numbers = [lost_percent, saturated[0], saturated[1], at_rest[0], at_rest[1], at_rest[2], at_rest[3]];
        row
    }

    fn judge_field(&self, readings: &[Reading], state: &mut State, row: &mut Row) {
        let config = &self.config;
        let measured: Vec<&Reading> = readings.iter().filter(|reading| reading.mag.iter().all(|part| part.is_finite())).collect();
        row.mag_numbers = [f64::NAN; 5];
        if measured.is_empty() {
            row.doubt(true, "no magnetometer");
            return;
        }
        let count = measured.len() as f64;
        let mag: Vec<[f64; 3]> = measured.iter().map(|reading| reading.mag).collect();
        let saturated = 100.0 * at_rails(&mag, config.ranges()[2], state.highest[2]) as f64 / count;
        let norm_ut = mag.iter().map(|field| length(*field)).sum::<f64>() / count;
        let dip_rad = measured.iter().map(|reading| reading.dip_rad).sum::<f64>() / count;
        let learnt = |k: usize, own: f64| if state.fields.is_empty() { own } else { median(state.fields.iter().map(|field| field[k])) };
        let expected_ut = config.mag_norm_ut.unwrap_or_else(|| learnt(0, norm_ut)).max(1e-9);
        let expected_rad = config.mag_dip.map_or_else(|| learnt(1, dip_rad), |dip| dip.degrees().to_radians());
        let off_share = |field: [f64; 2]| {
            let is_off = |reading: &&&Reading| self.is_off([length(reading.mag), reading.dip_rad], field);
            measured.iter().filter(is_off).count() as f64 / count
        };
        let disturbed_share = off_share([expected_ut, expected_rad]);
        let is_disturbed = disturbed_share > DISTURBED_SHARE;
        row.is_disturbed = Some(is_disturbed);
        row.doubt(saturated > config.saturated_percent, "magnetometer saturated");
        row.doubt(is_disturbed, "magnetic field disturbed");
        let off = [100.0 * (norm_ut / expected_ut - 1.0), (dip_rad - expected_rad).to_degrees()];
        row.mag_numbers = [saturated, norm_ut, off[0], off[1], 100.0 * disturbed_share];
        let is_even = off_share([norm_ut, dip_rad]) <= DISTURBED_SHARE;
        self.learn([norm_ut, dip_rad], is_even, row, state);
    }

    /// Learns the field from undisturbed windows; another one, once it has been even and the same for a while in motion: that of a magnet on the
    /// sensor isn't.
    fn learn(&self, field: [f64; 2], is_even: bool, row: &Row, state: &mut State) {
        if row.is_disturbed == Some(false) {
            push_newest(&mut state.fields, field, FIELDS);
            state.others.clear();
        } else if !is_even {
            state.others.clear();
        } else if !row.is_resting {
            let due = (OTHER_NS / self.window_ns).clamp(2, FIELDS as i64) as usize;
            push_newest(&mut state.others, field, due);
            let middle = [0, 1].map(|k| median(state.others.iter().map(|field| field[k])));
            if state.others.len() == due && state.others.iter().all(|field| !self.is_off(*field, middle)) {
                state.fields = std::mem::take(&mut state.others);
            }
        }
    }

    /// Whether strength and dip are off others by more than is allowed.
    fn is_off(&self, [norm_ut, dip_rad]: [f64; 2], [expected_ut, expected_rad]: [f64; 2]) -> bool {
        let is_weak_or_strong = (norm_ut / expected_ut - 1.0).abs() > self.config.mag_norm_share;
        is_weak_or_strong || (dip_rad - expected_rad).abs().to_degrees() > self.config.mag_dip_within.degrees()
    }
}

/// What a window comes to.
#[derive(Default)]
struct Row {
    is_rejected: bool,
    reasons: Vec<&'static str>,
    is_resting: bool,
    numbers: [f64; 7],
    is_disturbed: Option<bool>,
    mag_numbers: [f64; 5],
}

impl Row {
    fn reject(&mut self, is_so: bool, reason: &'static str) {
        self.is_rejected |= is_so;
        self.doubt(is_so, reason);
    }

    fn doubt(&mut self, is_so: bool, reason: &'static str) {
        if is_so {
            self.reasons.push(reason);
        }
    }

    fn verdict(&self) -> &'static str {
        match (self.is_rejected, self.reasons.is_empty()) {
            (true, _) => "reject",
            (false, false) => "poor",
            (false, true) => "good",
        }
    }
}

/// The columns that come out, row by row; NaN for null.
#[derive(Default)]
struct Columns {
    times: Vec<TimeNs>,
    verdicts: Vec<&'static str>,
    reasons: Vec<String>,
    rest: Vec<bool>,
    numbers: [Vec<f64>; 7],
    disturbed: Vec<Option<bool>>,
    mag_numbers: [Vec<f64>; 5],
}

impl Columns {
    fn push(&mut self, time: TimeNs, row: Row) {
        self.times.push(time);
        self.verdicts.push(row.verdict());
        self.reasons.push(row.reasons.join("; "));
        self.rest.push(row.is_resting);
        self.numbers.iter_mut().zip(row.numbers).for_each(|(column, value)| column.push(value));
        self.disturbed.push(row.is_disturbed);
        self.mag_numbers.iter_mut().zip(row.mag_numbers).for_each(|(column, value)| column.push(value));
    }

    fn arrays(self, has_mag: bool) -> Vec<ArrayRef> {
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(self.times)),
            Arc::new(StringArray::from(self.verdicts)),
            Arc::new(StringArray::from(self.reasons)),
            Arc::new(BooleanArray::from(self.rest)),
        ];
        arrays.extend(self.numbers.map(nan_as_null));
        if has_mag {
            arrays.push(Arc::new(BooleanArray::from(self.disturbed)));
            arrays.extend(self.mag_numbers.map(nan_as_null));
        }
        arrays
    }
}
