//! How is a sensor turned in space? The full VQF filter (Laidig and Seel 2023, Information Fusion 91) over gyroscope,
//! accelerometer and, where there is one, magnetometer.
//!
//! `q_w q_x q_y q_z` is the unit quaternion `earth_from_sensor`: it takes sensor coordinates to earth coordinates. With a magnetometer the
//! frame is `earth_enu`, X east (magnetic), Y north, Z up. Without one, or with `magnetometer: false`, it is `earth_up`:
//! Z is up and the heading is that of the first sample, which then drifts with what is left of the gyroscope's bias.
//!
//! `rest` is true while the sensor lies still, when the gyroscope's bias is learnt fastest. `settling` is true for the
//! first tau_accel (with a magnetometer tau_mag) seconds after a start or a restart: take the values with care. With a magnetometer,
//! `mag_disturbed` says that the field differs from the learnt one and is not trusted, and `heading_disagreement_deg` how
//! far the magnetometer's heading lies from the estimate: small in a clean field, and in a disturbed one a bound on what
//! trusting it would change.
//!
//! **Delay** none: a row comes out with the sample. **Lost samples** are counted by the sensor's own `sequence`; where it
//! is not there, starts anew or differs from the times by more than 100 ms, by time against rate. Up to `longest_gap` the
//! filter runs over them with samples on the straight line between the last and the next one, so its time constants
//! hold; no rows are made for them. After a longer gap it starts anew, keeping the bias it learnt, and `settling` is true
//! again. A row without gyroscope or accelerometer values gives null columns and counts as lost; one without a
//! magnetometer value goes by the other two.
//!
//! Between samples the time is the rate's period, not the difference of their times: a sensor samples evenly, and what is
//! uneven came with the transport.
//!
//! ```yaml
//! op: orientation
//! from: imu/pelvis
//! with: { tau_mag: 1 s, rest_duration: 500 ms, longest_gap: 200 ms }
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
//! time_ns,q_w,q_x,q_y,q_z,rest,settling,mag_disturbed,heading_disagreement_deg
//! 0,0.995781,0.0906848,0.0038894,-0.0134318,false,true,true,1.54625
//! 10000000,0.995666,0.0922845,0.00216012,-0.0112988,false,true,true,0.44803
//! 20000000,0.995883,0.0902865,0.000821468,-0.00809168,false,true,true,1.05874
//! 30000000,0.996013,0.0890482,-7.57668e-6,-0.00534443,false,true,true,1.21254
//! 40000000,0.996037,0.0887206,0.000170506,-0.00623615,false,true,true,0.502522
//! 50000000,0.996055,0.0886716,-9.83831e-5,-0.00337366,false,true,true,1.94897
//! 60000000,0.996056,0.0886365,-0.00102492,-0.00394071,false,true,true,0.519962
//! 70000000,0.996036,0.0889104,-0.000744046,-0.00267185,false,true,true,1.18683
//! 80000000,0.996072,0.0885108,-0.000519082,-0.00260713,false,true,true,0.0856087
//! …
//! 5960000000,0.984414,0.175866,-0.000166196,5.66662e-5,false,false,true,0.570614
//! 5970000000,0.984517,0.175286,-0.000147239,0.000100405,false,false,true,0.840116
//! 5980000000,0.98462,0.174708,-0.000139213,7.68499e-5,false,false,true,0.679032
//! 5990000000,0.984729,0.174095,-9.72935e-5,6.96302e-5,false,false,true,0.199796
//! # 540 rows, every bit hashed: 50af8ca024cf7cfa
//! ```

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::{DataType, Field};
use proprio_core::finding::{Findings, PlanFinding};
use proprio_core::kind::SEQUENCE;
use proprio_core::quantity::{Angle, Duration};
use proprio_core::registry::{Configure, Inputs};
use proprio_core::rows::{batch, float_or_nan, floats, integers, nan_as_null, times};
use proprio_core::schema::{FieldExt, column, float, meta};
use proprio_core::time::SECOND_NS;
use proprio_core::{Operator, Output, Planned, Port, Rate, StreamSchema, TimeNs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vqf_rs::{Params, VQF};

use crate::kernels::vqf::Memory;

/// Up to this much a sequence number is believed against the times.
const SEQUENCE_SLACK_NS: i64 = 100_000_000;
/// A gap above this is not worth bridging.
const LONGEST_GAP_NS: i64 = 10 * SECOND_NS;

/// What `with:` holds. The defaults are those of VQF.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether the magnetometer is used where there is one.
    pub magnetometer: bool,
    /// Time constant of the correction of inclination by the accelerometer: longer trusts the gyroscope more.
    pub tau_accel: Duration,
    /// Time constant of the correction of heading by the magnetometer.
    pub tau_mag: Duration,
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
    /// The longest run of lost samples that is bridged, at most 10 s; after a longer one the filter starts anew.
    pub longest_gap: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            magnetometer: true,
            tau_accel: Duration::new(3.0),
            tau_mag: Duration::new(9.0),
            rest_gyro_deg_per_s: 2.0,
            rest_accel_m_per_s2: 0.5,
            rest_duration: Duration::new(1.5),
            mag_norm_share: 0.1,
            mag_dip: Angle::new(10.0),
            longest_gap: Duration::new(1.0),
        }
    }
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        let port = &ports[0];
        let gyro = triple(port, "gyro", "rad_per_s", "rad/s", &mut findings);
        let accel = triple(port, "accel", "m_per_s2", "m/s^2", &mut findings);
        let has_mag = self.magnetometer && port.schema.index("mag_x_ut").is_some();
        let mag = if has_mag { triple(port, "mag", "ut", "uT", &mut findings) } else { None };
        if !port.schema.keys.is_empty() {
            findings.push(PlanFinding::input(0, format!("`{}` has several rows an instant", port.stream)));
        }
        let Some(rate) = port.schema.rate else {
            findings.push(PlanFinding::input(0, format!("`{}` has no rate, so its samples can't be integrated", port.stream)));
            return Err(findings);
        };
        self.check(rate, &mut findings);
        let (Some(gyro), Some(accel), true) = (gyro, accel, findings.is_empty()) else { return Err(findings) };
        let output = output(port.schema.columns.field(gyro[0]), rate, has_mag);
        let sequence = port.schema.index(SEQUENCE).filter(|index| *port.schema.columns.field(*index).data_type() == DataType::Int64);
        let settling_ns = if has_mag { self.tau_mag } else { self.tau_accel }.nanoseconds();
        let settling_samples = rate.grid_index_at_or_after(settling_ns) as u64;
        let period_s = 1.0 / rate.hertz();
        let operator = Orientation {
            gyro,
            accel,
            mag,
            sequence,
            rate,
            period_s,
            settling_samples,
            longest_gap_ns: self.longest_gap.nanoseconds(),
            params: self.params(),
            output: output.clone(),
        };
        Ok(Planned::new(operator, output))
    }
}

impl Config {
    fn check(&self, rate: Rate, findings: &mut Findings) {
        let shortest_s = 2.0 / rate.hertz();
        let taus = [("/tau_accel", self.tau_accel), ("/tau_mag", self.tau_mag)];
        for (at, tau) in taus.iter().filter(|(_, tau)| !(shortest_s..=3600.0).contains(&tau.seconds())) {
            let message = format!("a time constant of {tau} is not between two samples and an hour");
            findings.push(PlanFinding::config(*at, message).help("VQF's own are 3 s and 9 s"));
        }
        let thresholds = [
            ("/rest_gyro_deg_per_s", self.rest_gyro_deg_per_s),
            ("/rest_accel_m_per_s2", self.rest_accel_m_per_s2),
            ("/rest_duration", self.rest_duration.seconds()),
            ("/mag_norm_share", self.mag_norm_share),
            ("/mag_dip", self.mag_dip.degrees()),
        ];
        for (at, value) in thresholds.iter().filter(|(_, value)| !(*value > 0.0 && value.is_finite())) {
            findings.push(PlanFinding::config(*at, format!("{value} is not above zero")));
        }
        if !(0..=LONGEST_GAP_NS).contains(&self.longest_gap.nanoseconds()) {
            findings.push(PlanFinding::config("/longest_gap", "a gap to bridge is between 0 s and 10 s"));
        }
    }

    fn params(&self) -> Params {
        Params {
            tau_acc: self.tau_accel.seconds(),
            tau_mag: self.tau_mag.seconds(),
            rest_th_gyr: self.rest_gyro_deg_per_s,
            rest_th_acc: self.rest_accel_m_per_s2,
            rest_min_t: self.rest_duration.seconds(),
            mag_norm_th: self.mag_norm_share,
            mag_dip_th: self.mag_dip.degrees(),
            ..Params::default()
        }
    }
}

/// The three columns of one of the sensor's instruments, by their names.
fn triple(port: &Port, name: &str, suffix: &str, unit: &str, findings: &mut Findings) -> Option<[usize; 3]> {
    let mut indices = [0; 3];
    for (index, axis) in indices.iter_mut().zip(["x", "y", "z"]) {
        let wanted = format!("{name}_{axis}_{suffix}");
        let Some(found) = port.schema.index(&wanted) else {
            let finding = PlanFinding::input(0, format!("`{}` has no column `{wanted}`", port.stream));
            findings.push(finding.help("orientation reads the stream of an IMU, such as imu/pelvis"));
            return None;
        };
        let field = port.schema.columns.field(found);
        if *field.data_type() != DataType::Float64 || field.meta(meta::UNIT) != Some(unit) {
            let is = format!("{} in {}", field.data_type(), field.meta(meta::UNIT).unwrap_or("no unit"));
            findings.push(PlanFinding::input(0, format!("`{wanted}` of `{}` is {is}, where Float64 in {unit} is due", port.stream)));
            return None;
        }
        *index = found;
    }
    Some(indices)
}

/// What comes out: the rotation with the place that the gyroscope's columns name, and the filter's own judgement.
fn output(gyro: &Field, rate: Rate, has_mag: bool) -> StreamSchema {
    let frame = if has_mag { "earth_enu" } else { "earth_up" };
    let place = |field: Field| {
        let keys = [meta::SENSOR, meta::SEGMENT, meta::SIDE];
        keys.iter().filter_map(|key| Some((key, gyro.meta(key)?))).fold(field, |field, (key, value)| field.with(key, value))
    };
    let mut fields = ["q_w", "q_x", "q_y", "q_z"].map(|name| place(float(name, "1").frame(frame))).to_vec();
    fields.extend(["rest", "settling"].map(|name| place(column(name, DataType::Boolean))));
    if has_mag {
        fields.push(place(column("mag_disturbed", DataType::Boolean)));
        fields.push(place(float("heading_disagreement_deg", "deg")));
    }
    StreamSchema::new(fields, &[], Some(rate))
}

struct Orientation {
    gyro: [usize; 3],
    accel: [usize; 3],
    mag: Option<[usize; 3]>,
    sequence: Option<usize>,
    rate: Rate,
    period_s: f64,
    settling_samples: u64,
    longest_gap_ns: i64,
    params: Params,
    output: StreamSchema,
}

/// One sample of all instruments; NaN where the magnetometer has none.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Sample {
    time: TimeNs,
    sequence: Option<i64>,
    gyro: [f64; 3],
    accel: [f64; 3],
    mag: [f64; 3],
}

/// The filter, the last sample that it took, and how many since it started.
#[derive(Serialize, Deserialize)]
struct State {
    filter: Memory,
    last: Option<Sample>,
    samples: u64,
}

impl Operator for Orientation {
    type State = State;

    fn start(&self) -> State {
        State { filter: Memory::new(self.period_s, self.params), last: None, samples: 0 }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let rows = &inputs[0];
        let mut filter = state.filter.resume(self.period_s, self.params);
        let mut estimates = Estimates::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            match self.sample(rows, row) {
                Some(sample) => {
                    self.bridge(&mut filter, state, &sample);
                    update(&mut filter, &sample);
                    state.last = Some(sample);
                    state.samples += 1;
                    estimates.push(&filter, self.mag.is_some(), state.samples <= self.settling_samples);
                }
                None => estimates.push_null(),
            }
        }
        state.filter = Memory::of(&filter);
        if rows.num_rows() > 0 {
            out.push(batch(&self.output, estimates.columns(rows.column(0).clone(), self.mag.is_some())));
        }
        watermark
    }

    fn flush(&self, _: &mut State, _: &mut Output) {}
}

impl Orientation {
    /// The sample of a row; `None` when gyroscope or accelerometer have none.
    fn sample(&self, rows: &RecordBatch, row: usize) -> Option<Sample> {
        let values = |columns: [usize; 3]| columns.map(|column| float_or_nan(floats(rows, column), row));
        let sample = Sample {
            time: times(rows)[row],
            sequence: self
                .sequence
                .map(|column| integers(rows, column))
                .filter(|column| column.is_valid(row))
                .map(|column| column.value(row)),
            gyro: values(self.gyro),
            accel: values(self.accel),
            mag: self.mag.map_or([f64::NAN; 3], values),
        };
        sample.gyro.iter().chain(&sample.accel).all(|value| value.is_finite()).then_some(sample)
    }

    /// Takes the filter over the samples that were lost before this one, or starts it anew.
    fn bridge(&self, filter: &mut VQF, state: &mut State, sample: &Sample) {
        let Some(last) = &state.last else { return };
        let lost = self.lost_between(last, sample);
        if lost == 0 {
            return;
        }
        if self.rate.grid_time(lost) > self.longest_gap_ns {
            let bias = filter.state().bias;
            let bias_p = filter.state().bias_p;
            filter.reset_state();
            filter.state_mut().bias = bias;
            filter.state_mut().bias_p = bias_p;
            state.samples = 0;
            return;
        }
        for k in 1..=lost {
            update(filter, &last.towards(sample, k as f64 / (lost + 1) as f64));
        }
        state.samples += lost as u64;
    }

    fn lost_between(&self, last: &Sample, sample: &Sample) -> i64 {
        let between = sample.time.saturating_sub(last.time);
        let half_ns = self.rate.period_ns() / 2;
        let by_time = (self.rate.grid_index_at_or_after(between.saturating_sub(half_ns)) - 1).max(0);
        let by_sequence = last.sequence.zip(sample.sequence).map(|(last, next)| next.saturating_sub(last).saturating_sub(1));
        let agrees = |lost: &i64| *lost >= 0 && self.rate.grid_time(lost.saturating_sub(by_time)).saturating_abs() <= SEQUENCE_SLACK_NS;
        by_sequence.filter(agrees).unwrap_or(by_time)
    }
}

impl Sample {
    fn towards(&self, next: &Self, weight: f64) -> Self {
        let between = |a: [f64; 3], b: [f64; 3]| std::array::from_fn(|i| a[i] + (b[i] - a[i]) * weight);
        let (gyro, accel, mag) = (between(self.gyro, next.gyro), between(self.accel, next.accel), between(self.mag, next.mag));
        Self { gyro, accel, mag, ..*self }
    }
}

fn update(filter: &mut VQF, sample: &Sample) {
    let mag = sample.mag.iter().all(|value| value.is_finite()).then_some(sample.mag);
    filter.update(sample.gyro, sample.accel, mag);
}

/// The columns that come out, row by row; NaN for null.
struct Estimates {
    q: [Vec<f64>; 4],
    rest: Vec<Option<bool>>,
    settling: Vec<Option<bool>>,
    mag_disturbed: Vec<Option<bool>>,
    disagreement_deg: Vec<f64>,
}

impl Estimates {
    fn with_capacity(rows: usize) -> Self {
        let flags = || Vec::with_capacity(rows);
        let q = [(); 4].map(|()| Vec::with_capacity(rows));
        Self { q, rest: flags(), settling: flags(), mag_disturbed: flags(), disagreement_deg: Vec::with_capacity(rows) }
    }

    fn push(&mut self, filter: &VQF, has_mag: bool, settling: bool) {
        let q = if has_mag { filter.quat_9d() } else { filter.quat_6d() };
        self.q.iter_mut().zip([q.0, q.1, q.2, q.3]).for_each(|(column, value)| column.push(value));
        self.rest.push(Some(filter.rest_detected()));
        self.settling.push(Some(settling));
        self.mag_disturbed.push(Some(filter.mag_dist_detected()));
        self.disagreement_deg.push(filter.state().last_mag_dis_angle.abs().to_degrees());
    }

    fn push_null(&mut self) {
        self.q.iter_mut().for_each(|column| column.push(f64::NAN));
        [&mut self.rest, &mut self.settling, &mut self.mag_disturbed].into_iter().for_each(|column| column.push(None));
        self.disagreement_deg.push(f64::NAN);
    }

    fn columns(self, times: ArrayRef, has_mag: bool) -> Vec<ArrayRef> {
        let mut columns = vec![times];
        columns.extend(self.q.map(nan_as_null));
        columns.push(Arc::new(BooleanArray::from(self.rest)));
        columns.push(Arc::new(BooleanArray::from(self.settling)));
        if has_mag {
            columns.push(Arc::new(BooleanArray::from(self.mag_disturbed)));
            columns.push(nan_as_null(self.disagreement_deg));
        }
        columns
    }
}
