//! How does a sensor sit on its segment? Calibrated by standing still and one functional movement, with a verdict and its reasons.
//!
//! Reads the stream of one IMU. The wearer stands upright and still for `still`, swings the segment at least `repetitions` times about its
//! medio-lateral axis (squats for pelvis, thigh and shank; bowing for the thorax; raising the toes for the foot; flexing the knee or the
//! hip for one leg), and stands still again: then a row comes out. Gravity gives the long axis; the principal axis of the angular rate gives
//! the medio-lateral one, whose sign follows from the first swing being flexion; then the axes are made orthogonal, gravity kept
//! (functional calibration as in Favre et al. 2009 and Cutti et al. 2010).
//!
//! `segment_from_sensor_q_…` takes sensor coordinates to the segment's ISB axes: X forward, Y up, Z to the right. `verdict` is `pass` or
//! `fail`, `reasons` says which gates failed, the columns after it hold what they judge. `calibration` is the row's id, which every row
//! that uses it names (`joint_angles`); it depends on the result alone. The first calibration that passes holds for the session, or until
//! another device is put in the sensor's place (column `device`); failed ones are tried again by standing still and moving again. One that is **carried
//! over** from an earlier session (`proprio session start --carry`) comes out with the first sample, under its own id, unless that is of
//! another device; `carry: false` is for sensors that are put on anew for each session.
//!
//! | gate | default |
//! |---|---|
//! | RMS of the angular rate at rest | 2 °/s |
//! | mean specific force at rest against gravity | 0.2 m/s² |
//! | share of the movement's angular power about one axis | 0.9 |
//! | angle between that axis and gravity | 90 ± 10° |
//! | repeated pose: change of the up direction | 5° |
//! | magnetic field between the two poses: norm, dip | 10 %, 10° |
//!
//! The gates are proposals of the field's practice, and configuration. **Delay**: `still` after the movement's end. **Gaps**: a sample
//! without values, or a step in time beyond 100 ms, begins the procedure anew; so does a movement of more than 60 s. At rest nothing may turn
//! faster than 15 °/s or be pushed by more than 1 m/s².
//!
//! ```yaml
//! op: segment_alignment
//! from: imu/thigh
//! with: { still: 2 s }
//! input:
//!   imu/thigh:
//!     sensor: { kind: imu, rate: 50 Hz, segment: thigh, side: left, magnetometer: false }
//!     generate:
//!       duration: 12 s
//!       columns:
//!         gyro_x_rad_per_s: [{ constant: 0.01 }, { noise: { amplitude: 0.002, seed: 1 } }]
//!         gyro_y_rad_per_s: [{ pulses: { from: 2.5 s, period: 1 s, width: 500 ms, amplitude: 0.3, count: 6 } }, { pulses: { from: 3 s, period: 1 s, width: 500 ms, amplitude: -0.3, count: 6 } }]
//!         gyro_z_rad_per_s: [{ pulses: { from: 2.5 s, period: 1 s, width: 500 ms, amplitude: 3, count: 6 } }, { pulses: { from: 3 s, period: 1 s, width: 500 ms, amplitude: -3, count: 6 } }]
//!         accel_x_m_per_s2: [{ constant: 0.85 }, { noise: { amplitude: 0.02, seed: 2 } }]
//!         accel_y_m_per_s2: [{ constant: 9.77 }, { noise: { amplitude: 0.02, seed: 3 } }]
//! ```
//! ```csv
//! time_ns,calibration,segment,side,verdict,reasons,device,segment_from_sensor_q_w,segment_from_sensor_q_x,segment_from_sensor_q_y,segment_from_sensor_q_z,rest_deg_per_s,rest_error_m_per_s2,explained,axes_deg,repetitions,range_deg,pose_error_deg,field_change_percent,dip_change_deg
//! 10500000000,e00a969017ab,thigh,left,pass,,,0.999051,0.000187175,0.00431356,0.0433511,0.573966,0.00438803,0.999999,84.3108,6,54.9139,0.00775522,,
//! # 1 rows, every bit hashed: d7cee8f0396f487f
//! ```

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field};
use proprio_core::finding::{Findings, PlanFinding};
use proprio_core::kind::DEVICE;
use proprio_core::quantity::{Angle, Duration};
use proprio_core::registry::{Configure, Inputs};
use proprio_core::rows::{batch, integers, nan_as_null, times};
use proprio_core::schema::{FieldExt, column, float, meta, text};
use proprio_core::time::SECOND_NS;
use proprio_core::{Carried, Operator, Output, Planned, Port, StreamSchema, TimeNs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::device::is_swapped;
use crate::kernels::functional_axis::{FunctionalAxis, functional_axis};
use crate::kernels::imu::{ImuColumns, Sample, placed_as};
use crate::kernels::quaternion::{Quaternion, conjugate, from_axes};
use crate::kernels::segment::{SEGMENTS, flexion_sign};
use crate::kernels::standing::{Standing, angle_deg, is_quiet};

/// A step in time beyond this begins anew.
const GAP_NS: i64 = 100_000_000;
/// A movement is at most this long.
const MOVEMENT_NS: i64 = 60 * SECOND_NS;
/// Fewer degrees of swing are no movement.
const LEAST_RANGE_DEG: f64 = 10.0;

/// What `with:` holds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long the wearer stands still, before and after; 1 s to 60 s.
    pub still: Duration,
    /// How many swings are due.
    pub repetitions: u32,
    /// Which way the first swing goes.
    pub first: Movement,
    /// Most that the angular rate may be at rest (RMS), in degrees per second.
    pub max_rest_deg_per_s: f64,
    /// Most that the mean specific force may differ from gravity at rest, in m/s².
    pub max_rest_m_per_s2: f64,
    /// Least share of the movement's angular power about one axis, up to 1.
    pub min_explained: f64,
    /// Most that the axis may differ from a right angle with gravity.
    pub max_axes_error: Angle,
    /// Most that the pose may differ after the movement.
    pub max_pose_error: Angle,
    /// Most that the magnetic field's norm may differ after the movement, in percent.
    pub max_field_percent: f64,
    /// Most that the magnetic field's dip may differ after the movement.
    pub max_dip: Angle,
    /// Whether a later session may carry the calibration over; not so where sensors are put on anew for each session.
    pub carry: bool,
}

/// A direction of the functional movement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Movement {
    /// Bending: the thigh forward, the heel back, the trunk forward, the toes up.
    #[default]
    Flexion,
    /// The other way.
    Extension,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            still: Duration::new(3.0),
            repetitions: 5,
            first: Movement::Flexion,
            max_rest_deg_per_s: 2.0,
            max_rest_m_per_s2: 0.2,
            min_explained: 0.9,
            max_axes_error: Angle::new(10.0),
            max_pose_error: Angle::new(5.0),
            max_field_percent: 10.0,
            max_dip: Angle::new(10.0),
            carry: true,
        }
    }
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let port = &ports[0];
        let mut findings = Findings::new();
        let columns = ImuColumns::of(port, 0, "", true, &mut findings);
        self.check(&mut findings);
        let Some(rate) = port.schema.rate else {
            findings.push(PlanFinding::input(0, format!("`{}` has no rate", port.stream)));
            return Err(findings);
        };
        let field = columns.map(|columns| port.schema.columns.field(columns.gyro[0]));
        let name = field.and_then(|field| field.meta(meta::SEGMENT));
        let Some((segment, _)) = SEGMENTS.into_iter().find(|(segment, _)| name == Some(*segment)) else {
            let known = SEGMENTS.map(|(name, _)| name).join(", ");
            findings.push(
                PlanFinding::input(0, format!("`{}` is of no known segment", port.stream))
                    .help(format!("segment: one of {known}, in the rig file")),
            );
            return Err(findings);
        };
        let (Some(columns), Some(field), true) = (columns, field, findings.is_empty()) else { return Err(findings) };
        let side = field.meta(meta::SIDE).map(str::to_owned);
        let output = output(field);
        let sign = flexion_sign(segment) * if self.first == Movement::Flexion { 1.0 } else { -1.0 };
        let carries = self.carry;
        let operator = SegmentAlignment {
            columns,
            period_s: rate.period_ns() as f64 * 1e-9,
            gap_ns: GAP_NS.max(3 * rate.period_ns()),
            still_ns: self.still.nanoseconds(),
            segment,
            side,
            sign,
            config: self,
            output: output.clone(),
        };
        let planned = Planned::new(operator, output);
        Ok(if carries { planned.carrying("verdict = 'pass'") } else { planned })
    }
}

impl Config {
    fn check(&self, findings: &mut Findings) {
        if !(SECOND_NS..=60 * SECOND_NS).contains(&self.still.nanoseconds()) {
            findings.push(PlanFinding::config("/still", "standing still takes from 1 s to 60 s"));
        }
        if self.repetitions == 0 {
            findings.push(PlanFinding::config("/repetitions", "an axis needs a movement"));
        }
        if !(0.0..=1.0).contains(&self.min_explained) {
            findings.push(PlanFinding::config("/min_explained", "a share is from 0 to 1"));
        }
    }
}

/// One row a calibration: the result with the place that the gyroscope's columns name, and what the gates judged.
fn output(gyro: &Field) -> StreamSchema {
    let mut fields =
        vec![text("calibration").required(), text("segment").required(), text("side"), text("verdict").required(), text("reasons")];
    fields.push(placed_as(column(DEVICE, DataType::Int64), gyro));
    fields.extend(["w", "x", "y", "z"].map(|part| placed_as(float(format!("segment_from_sensor_q_{part}"), "1").frame("segment"), gyro)));
    fields.extend([
        float("rest_deg_per_s", "deg/s"),
        float("rest_error_m_per_s2", "m/s^2"),
        float("explained", "1"),
        float("axes_deg", "deg"),
        column("repetitions", DataType::Int64),
        float("range_deg", "deg"),
        float("pose_error_deg", "deg"),
        float("field_change_percent", "%"),
        float("dip_change_deg", "deg"),
    ]);
    StreamSchema::new(fields, &[], None)
}

struct SegmentAlignment {
    columns: ImuColumns,
    period_s: f64,
    gap_ns: i64,
    still_ns: i64,
    segment: &'static str,
    side: Option<String>,
    /// Turns the axis of the first swing into the segment's Z.
    sign: f64,
    config: Config,
    output: StreamSchema,
}

/// How far the procedure is.
#[derive(Default, Serialize, Deserialize)]
pub struct State {
    /// The quiet stretch that is going on: since when, and its sums.
    quiet: Option<(TimeNs, Standing)>,
    /// The pose before the movement, once it was held for long enough.
    pose: Option<Standing>,
    /// When the movement began, and its angular rates.
    began: TimeNs,
    rates: Vec<[f64; 3]>,
    /// How many of these were before the quiet stretch.
    moving: usize,
    last: Option<TimeNs>,
    device: Option<i64>,
    passed: bool,
    /// One that an earlier session gave, until the first sample tells whether it is of the same device.
    carried: Option<Carried>,
}

/// What one movement between two poses gave.
struct Calibration {
    segment_from_sensor: Quaternion,
    rest_deg_per_s: f64,
    rest_error_m_per_s2: f64,
    movement: FunctionalAxis,
    axes_deg: f64,
    pose_error_deg: f64,
    field_change: Option<(f64, f64)>,
}

impl Operator for SegmentAlignment {
    type State = State;

    fn start(&self) -> State {
        State::default()
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let rows = &inputs[0];
        for (row, time) in times(rows).iter().enumerate() {
            let sample = self.columns.sample(rows, row);
            let device = sample.and_then(|sample| sample.device);
            if is_swapped(state.device, device) {
                *state = State::default();
            }
            state.device = device.or(state.device);
            if let Some(carried) = state.carried.take_if(|_| sample.is_some()) {
                out.push(self.again(state, *time, &carried));
            }
            if state.passed {
                continue;
            }
            if sample.is_none() || state.last.is_some_and(|last| time.saturating_sub(last) > self.gap_ns) {
                *state = State { device: state.device, ..State::default() };
            }
            if let Some(sample) = sample
                && let Some(calibration) = self.take(state, &sample)
            {
                out.push(self.row(state, *time, &calibration));
            }
        }
        watermark
    }

    fn carry(&self, state: &mut State, carried: &Carried) {
        state.carried = Some(carried.clone());
    }

    fn flush(&self, _: &mut State, _: &mut Output) {}
}

impl SegmentAlignment {
    /// An earlier session's calibration, from now on; no row when it is of another device.
    fn again(&self, state: &mut State, time: TimeNs, carried: &Carried) -> RecordBatch {
        let rows = carried.batch(&self.output).expect("the worker gives what fits");
        let newest = rows.slice(0, rows.num_rows().min(1));
        let devices = integers(&newest, self.output.index(DEVICE).expect("its own column"));
        if is_swapped(devices.iter().next().flatten(), state.device) {
            return newest.slice(0, 0);
        }
        state.passed = newest.num_rows() > 0;
        let mut columns = newest.columns().to_vec();
        columns[0] = Arc::new(Int64Array::from(vec![time; newest.num_rows()]));
        batch(&self.output, columns)
    }

    /// Takes a sample; gives the calibration that it completes.
    fn take(&self, state: &mut State, sample: &Sample) -> Option<Calibration> {
        state.last = Some(sample.time);
        if is_quiet(sample) {
            let (since, sums) = state.quiet.get_or_insert((sample.time, Standing::default()));
            sums.add(sample);
            let is_held = sample.time - *since >= self.still_ns;
            match (state.pose, is_held) {
                (None, true) => state.pose = Some(*sums),
                // It is held before the movement still.
                (Some(_), _) if state.rates.is_empty() => state.pose = Some(*sums),
                (Some(before), true) => {
                    let after = *sums;
                    state.rates.truncate(state.moving);
                    let calibration = self.calibrate(&before, &std::mem::take(&mut state.rates), &after);
                    state.pose = Some(after);
                    return calibration;
                }
                // It may be a pause between two swings.
                (Some(_), false) => state.rates.push(sample.gyro),
                (None, false) => {}
            }
            return None;
        }
        state.quiet = None;
        if state.pose.is_some() {
            if state.rates.is_empty() {
                state.began = sample.time;
            }
            state.rates.push(sample.gyro);
            state.moving = state.rates.len();
            if sample.time - state.began > MOVEMENT_NS {
                *state = State { last: state.last, device: state.device, ..State::default() };
            }
        }
        None
    }

    /// The axes from two poses and the movement between them; none when that was no movement.
    fn calibrate(&self, before: &Standing, rates: &[[f64; 3]], after: &Standing) -> Option<Calibration> {
        let bias = before.bias();
        let free: Vec<[f64; 3]> = rates.iter().map(|rate| std::array::from_fn(|i| rate[i] - bias[i])).collect();
        let movement = functional_axis(&free, self.period_s).filter(|movement| movement.range_deg >= LEAST_RANGE_DEG)?;
        let up = before.up();
        let swing = movement.axis.map(|part| part * self.sign);
        let along: f64 = swing.iter().zip(up).map(|(a, b)| a * b).sum();
        let level: [f64; 3] = std::array::from_fn(|i| swing[i] - along * up[i]);
        let length = level.iter().map(|part| part * part).sum::<f64>().sqrt();
        let right = level.map(|part| part / length);
        let forward = [up[1] * right[2] - up[2] * right[1], up[2] * right[0] - up[0] * right[2], up[0] * right[1] - up[1] * right[0]];
        let field_change =
            before.field().zip(after.field()).map(|(before, after)| (100.0 * (after.0 / before.0 - 1.0).abs(), (after.1 - before.1).abs()));
        Some(Calibration {
            segment_from_sensor: conjugate(from_axes(forward, up, right)),
            rest_deg_per_s: before.gyro_rms_deg_per_s().max(after.gyro_rms_deg_per_s()),
            rest_error_m_per_s2: before.accel_error_m_per_s2().max(after.accel_error_m_per_s2()),
            axes_deg: angle_deg(swing, up),
            pose_error_deg: angle_deg(up, after.up()),
            movement,
            field_change,
        })
    }

    /// The gates that a calibration fails.
    fn reasons(&self, found: &Calibration) -> Vec<&'static str> {
        let gates = &self.config;
        let field = found.field_change;
        let kept = [
            (found.rest_deg_per_s <= gates.max_rest_deg_per_s, "turning at rest"),
            (found.rest_error_m_per_s2 <= gates.max_rest_m_per_s2, "accelerometer off at rest"),
            (found.movement.repetitions >= gates.repetitions, "too few repetitions"),
            (found.movement.explained >= gates.min_explained, "movement about several axes"),
            ((found.axes_deg - 90.0).abs() <= gates.max_axes_error.degrees(), "axis not level"),
            (found.pose_error_deg <= gates.max_pose_error.degrees(), "pose not repeated"),
            (field.is_none_or(|(percent, _)| percent <= gates.max_field_percent), "magnetic field changed"),
            (field.is_none_or(|(_, dip)| dip <= gates.max_dip.degrees()), "magnetic dip changed"),
        ];
        kept.into_iter().filter_map(|(is_kept, reason)| (!is_kept).then_some(reason)).collect()
    }

    fn row(&self, state: &mut State, time: TimeNs, found: &Calibration) -> RecordBatch {
        let reasons = self.reasons(found);
        state.passed = reasons.is_empty();
        let verdict = if state.passed { "pass" } else { "fail" };
        let reasons = (!state.passed).then(|| reasons.join("; "));
        let one = |value: f64| nan_as_null(vec![value]);
        let text = |value: Option<&str>| Arc::new(StringArray::from(vec![value])) as ArrayRef;
        let id = identity(self.segment, self.side.as_deref(), time, found.segment_from_sensor);
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![time]))];
        columns.extend([
            text(Some(&id)),
            text(Some(self.segment)),
            text(self.side.as_deref()),
            text(Some(verdict)),
            text(reasons.as_deref()),
            Arc::new(Int64Array::from(vec![state.device])),
        ]);
        columns.extend(found.segment_from_sensor.map(one));
        columns.extend([found.rest_deg_per_s, found.rest_error_m_per_s2, found.movement.explained, found.axes_deg].map(one));
        columns.push(Arc::new(Int64Array::from(vec![i64::from(found.movement.repetitions)])));
        let (percent, dip) = found.field_change.unwrap_or((f64::NAN, f64::NAN));
        columns.extend([found.movement.range_deg, found.pose_error_deg, percent, dip].map(one));
        batch(&self.output, columns)
    }
}

/// Twelve hexadecimal digits of FNV-1a over what was calibrated, when, and the result.
fn identity(segment: &str, side: Option<&str>, time: TimeNs, result: Quaternion) -> String {
    let bytes = segment.bytes().chain(side.unwrap_or("").bytes()).chain(time.to_le_bytes());
    let bytes = bytes.chain(result.into_iter().flat_map(f64::to_le_bytes));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{:012x}", hash >> 16)
}
