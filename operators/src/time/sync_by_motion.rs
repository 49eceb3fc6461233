//! How far apart do the clocks of two sensors still run? Measured from the movement that both of them feel.
//!
//! Reads the streams of two IMUs on coupled segments. `offset_ms` is how much later the second one's times show the same
//! movement: take it off the second's times. Every `every` there is a row at the end of a window of length `window`.
//!
//! Method `gyro` shifts the angular speed of one against the other's and takes the shift of the largest correlation, finer
//! than a sample by a parabola. It needs movement in which both turn, such as walking or swinging the leg. Method `taps`
//! pairs sharp tops of the acceleration, such as three stomps, or taps on a table on which both sensors lie.
//!
//! `sd_ms` is the standard deviation from the noise of both signals (`taps`: from how the taps differ). It knows nothing of
//! segments that really move one after the other, such as soft tissue or a joint that starts late.
//!
//! Where the window doesn't tell, the offset is null and `reason` says why: `too_few_samples` (less than 80 % of the
//! window), `too_little_motion`, `uncorrelated` (below `min_correlation`), `ambiguous` (another shift correlates almost as
//! well), `out_of_range` (the best shift is at the end of `max_offset`), `too_few_taps` (below three).
//!
//! **Delay** none beyond the window. Memory: the rows of a window. Rows beyond the last whole `every` of a session give none.
//!
//! ```yaml
//! op: sync_by_motion
//! from: [imu/thigh, imu/shank]
//! with: { window: 4 s, every: 2 s, max_offset: 100 ms }
//! input:
//!   imu/thigh:
//!     sensor: { kind: imu, rate: 100 Hz, segment: thigh, magnetometer: false }
//!     generate:
//!       duration: 9 s
//!       columns:
//!         gyro_y_rad_per_s: [{ sine: { amplitude: 2, frequency: 0.9 Hz } }, { sine: { amplitude: 1, frequency: 2.3 Hz } }, { noise: { amplitude: 0.02, seed: 1 } }]
//!         accel_z_m_per_s2: [{ constant: 9.81 }]
//!   imu/shank:
//!     sensor: { kind: imu, rate: 80 Hz, segment: shank, magnetometer: false }
//!     generate:
//!       duration: 9 s
//!       gaps: [[7 s, 9 s]]
//!       columns:
//!         gyro_x_rad_per_s: [{ sine: { amplitude: 3, frequency: 0.9 Hz, phase: -12.96 deg } }, { sine: { amplitude: 1.5, frequency: 2.3 Hz, phase: -33.12 deg } }, { noise: { amplitude: 0.02, seed: 2 } }]
//!         accel_z_m_per_s2: [{ constant: 9.81 }]
//! ```
//! ```csv
//! time_ns,offset_ms,sd_ms,correlation,taps,reason
//! 2000000000,,,,,too_few_samples
//! 4000000000,39.9475,0.101371,0.999581,,
//! 6000000000,39.952,0.0901431,0.999565,,
//! 8000000000,,,,,too_few_samples
//! 10000000000,,,,,too_few_samples
//! 12000000000,,,,,too_few_samples
//! # 6 rows, every bit hashed: 7d4ee9f400a3d3d7
//! ```

use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use proprio_core::finding::{Findings, PlanFinding};
use proprio_core::quantity::Duration;
use proprio_core::registry::{Configure, Inputs};
use proprio_core::rows::{batch, floats, nan_as_null, times};
use proprio_core::schema::{FieldExt, column, float, text};
use proprio_core::time::SECOND_NS;
use proprio_core::{Operator, Output, Planned, Port, StreamSchema, TimeNs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::delay::{delay, nearest_pairs, resample, tops};

/// Movement of a body is slower: streams that are faster are looked at so often.
const FASTEST_HZ: f64 = 200.0;
/// A window of which less is there doesn't count.
const LEAST_SHARE: f64 = 0.8;
/// Another shift that correlates to this share of the best makes it ambiguous.
const RIVAL_SHARE: f64 = 0.95;
/// Taps closer than this are one.
const TAPS_APART_NS: i64 = 200_000_000;
/// What gravity gives alone.
const GRAVITY_M_PER_S2: f64 = 9.806_65;

/// What `with:` holds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What is compared.
    pub method: Method,
    /// How much movement an offset is measured from, 1 s to 60 s.
    pub window: Duration,
    /// How often, 100 ms to 60 s.
    pub every: Duration,
    /// The largest offset that is looked for, 1 ms to a quarter of the window.
    pub max_offset: Duration,
    /// `gyro`: by how many degrees a second the angular speed of both has to vary (standard deviation).
    pub min_motion_deg_per_s: f64,
    /// `gyro`: the least correlation that counts, 0 to 1.
    pub min_correlation: f64,
    /// `taps`: how far in m/s² the acceleration has to rise above gravity.
    pub min_tap_m_per_s2: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            method: Method::Gyro,
            window: Duration::new(10.0),
            every: Duration::new(5.0),
            max_offset: Duration::new(0.2),
            min_motion_deg_per_s: 20.0,
            min_correlation: 0.5,
            min_tap_m_per_s2: 15.0,
        }
    }
}

/// What is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The angular speed of both, shifted against each other.
    #[default]
    Gyro,
    /// Sharp tops of the acceleration.
    Taps,
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::Many;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = self.check();
        let [first, second] = ports else {
            findings
                .push(PlanFinding::step(format!("it compares two streams, and has {}", ports.len())).help("from: [imu/thigh, imu/shank]"));
            return Err(findings);
        };
        let inputs = [(0, first), (1, second)].map(|(index, port)| self.input(index, port, &mut findings));
        let [Some(first), Some(second)] = inputs else { return Err(findings) };
        if !findings.is_empty() {
            return Err(findings);
        }
        let output = StreamSchema::new(
            vec![
                float("offset_ms", "ms"),
                float("sd_ms", "ms"),
                float("correlation", "1"),
                column("taps", DataType::Int64).unit("1"),
                text("reason"),
            ],
            &[],
            None,
        );
        let hertz = (1e9 / first.period_ns.min(second.period_ns) as f64).min(FASTEST_HZ);
        let operator = SyncByMotion {
            inputs: [first, second],
            step_ns: (SECOND_NS as f64 / hertz).round() as i64,
            window_ns: self.window.nanoseconds(),
            every_ns: self.every.nanoseconds(),
            max_offset_ns: self.max_offset.nanoseconds(),
            config: self,
            output: output.clone(),
        };
        Ok(Planned::new(operator, output))
    }
}

impl Config {
    fn check(&self) -> Findings {
        let mut findings = Findings::new();
        let quarter_s = self.window.seconds() / 4.0;
        let ranges = [
            ("/window", self.window.seconds(), 1.0, 60.0, "s"),
            ("/every", self.every.seconds(), 0.1, 60.0, "s"),
            ("/max_offset", self.max_offset.seconds(), 0.001, quarter_s, "s"),
            ("/min_motion_deg_per_s", self.min_motion_deg_per_s, 0.1, 1e4, "deg/s"),
            ("/min_correlation", self.min_correlation, 0.0, 1.0, ""),
            ("/min_tap_m_per_s2", self.min_tap_m_per_s2, 1.0, 1e4, "m/s^2"),
        ];
        for (at, value, from, to, unit) in ranges.into_iter().filter(|(_, value, from, to, _)| !(*from..=*to).contains(value)) {
            findings.push(PlanFinding::config(at, format!("{value} is not from {from} to {to} {unit}").trim_end().to_owned()));
        }
        findings
    }

    fn input(&self, index: usize, port: &Port, findings: &mut Findings) -> Option<Input> {
        let names = match self.method {
            Method::Gyro => ["x", "y", "z"].map(|axis| format!("gyro_{axis}_rad_per_s")),
            Method::Taps => ["x", "y", "z"].map(|axis| format!("accel_{axis}_m_per_s2")),
        };
        let is_there = |name: &String| {
            let index = port.schema.index(name)?;
            (*port.schema.columns.field(index).data_type() == DataType::Float64).then_some(index)
        };
        let [Some(x), Some(y), Some(z)] = [0, 1, 2].map(|axis: usize| is_there(&names[axis])) else {
            let finding = PlanFinding::input(index, format!("`{}` has no columns `{}`", port.stream, names.join("`, `")));
            findings.push(finding.help("it reads the streams of two IMUs, such as imu/thigh and imu/shank"));
            return None;
        };
        let Some(rate) = port.schema.rate else {
            findings.push(PlanFinding::input(index, format!("`{}` has no rate", port.stream)));
            return None;
        };
        Some(Input { columns: [x, y, z], period_ns: rate.period_ns() })
    }
}

struct SyncByMotion {
    inputs: [Input; 2],
    /// Of the grid on which the two are compared.
    step_ns: i64,
    window_ns: i64,
    every_ns: i64,
    max_offset_ns: i64,
    config: Config,
    output: StreamSchema,
}

struct Input {
    columns: [usize; 3],
    period_ns: i64,
}

/// The rows of one sensor that a later window needs.
#[derive(Default, Serialize, Deserialize)]
struct Track {
    times: Vec<TimeNs>,
    /// Magnitude of the three axes.
    values: Vec<f64>,
}

#[derive(Serialize, Deserialize)]
struct State {
    /// The end of the next window.
    next_ns: TimeNs,
    tracks: [Track; 2],
}

/// What a window says.
#[derive(Default)]
struct Row {
    offset_ms: Option<f64>,
    sd_ms: Option<f64>,
    correlation: Option<f64>,
    taps: Option<i64>,
    reason: Option<&'static str>,
}

impl Operator for SyncByMotion {
    type State = State;

    fn start(&self) -> State {
        State { next_ns: TimeNs::MIN, tracks: [Track::default(), Track::default()] }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        for ((track, input), rows) in state.tracks.iter_mut().zip(&self.inputs).zip(inputs) {
            track.extend(input, rows);
        }
        let (mut ends, mut rows) = (Vec::new(), Vec::new());
        while let Some(end) = self.next_end(state).filter(|end| *end <= watermark) {
            let windows = [0, 1].map(|index: usize| state.tracks[index].within(end.saturating_sub(self.window_ns), end));
            rows.push(match self.config.method {
                Method::Gyro => self.by_gyro(windows, end),
                Method::Taps => self.by_taps(windows),
            });
            ends.push(end);
            state.next_ns = end.saturating_add(self.every_ns);
            for track in &mut state.tracks {
                track.drop_before(state.next_ns.saturating_sub(self.window_ns));
            }
        }
        if !rows.is_empty() {
            out.push(self.rows(ends, &rows));
        }
        watermark
    }

    /// A window that is not over says nothing.
    fn flush(&self, _: &mut State, _: &mut Output) {}
}

impl SyncByMotion {
    /// The end of the next window with a row in it; none without rows.
    fn next_end(&self, state: &State) -> Option<TimeNs> {
        let first = state.tracks.iter().filter_map(|track| track.times.first().copied()).min()?;
        // Windows end at multiples of `every`, and hold what lies before.
        let after = first.div_euclid(self.every_ns).checked_add(1)?.checked_mul(self.every_ns)?;
        Some(after.max(state.next_ns)).filter(|end| *end < TimeNs::MAX)
    }

    fn by_gyro(&self, windows: [(&[TimeNs], &[f64]); 2], end: TimeNs) -> Row {
        let count = (self.window_ns / self.step_ns) as usize;
        let from = end.saturating_sub(self.window_ns);
        let [a, b] = [0, 1].map(|index: usize| {
            let (times, values) = windows[index];
            resample(times, values, from, self.step_ns, count, 3 * self.inputs[index].period_ns)
        });
        let least = (LEAST_SHARE * count as f64) as usize;
        if [&a, &b].iter().any(|signal| signal.iter().filter(|value| !value.is_nan()).count() < least) {
            return Row::refused("too_few_samples");
        }
        let motion = self.config.min_motion_deg_per_s.to_radians();
        if [&a, &b].iter().any(|signal| deviation(signal) < motion) {
            return Row::refused("too_little_motion");
        }
        let longest = (self.max_offset_ns as f64 / self.step_ns as f64).ceil() as usize;
        let Some(found) = delay(&a, &b, longest) else { return Row::refused("uncorrelated") };
        let offset_ns = found.samples * self.step_ns as f64;
        let reason = if found.correlation < self.config.min_correlation {
            Some("uncorrelated")
        } else if found.is_at_end || offset_ns.abs() > self.max_offset_ns as f64 {
            Some("out_of_range")
        } else if found.rival.is_some_and(|rival| rival > RIVAL_SHARE * found.correlation) {
            Some("ambiguous")
        } else {
            None
        };
        let correlation = Some(found.correlation);
        match reason {
            Some(reason) => Row { correlation, ..Row::refused(reason) },
            None => {
                let sd_ms = found.sd_samples * self.step_ns as f64 / 1e6;
                Row { offset_ms: Some(offset_ns / 1e6), sd_ms: Some(sd_ms), correlation, ..Row::default() }
            }
        }
    }

    fn by_taps(&self, windows: [(&[TimeNs], &[f64]); 2]) -> Row {
        let threshold = GRAVITY_M_PER_S2 + self.config.min_tap_m_per_s2;
        let from = windows.iter().filter_map(|(times, _)| times.first().copied()).min().unwrap_or(0);
        let [a, b] = [0, 1].map(|index: usize| {
            let (times, values) = windows[index];
            // From the window's begin on, so that a double holds them to the nanosecond.
            let times: Vec<i64> = times.iter().map(|time| time - from).collect();
            tops(&times, values, threshold, TAPS_APART_NS, 3 * self.inputs[index].period_ns)
        });
        let mut offsets_ms: Vec<f64> = nearest_pairs(&a, &b, self.max_offset_ns as f64).iter().map(|offset| offset / 1e6).collect();
        offsets_ms.sort_unstable_by(f64::total_cmp);
        let taps = Some(offsets_ms.len() as i64);
        if offsets_ms.len() < 3 {
            return Row { taps, ..Row::refused("too_few_taps") };
        }
        let middle_ms = median(&offsets_ms);
        let mut apart_ms: Vec<f64> = offsets_ms.iter().map(|offset| (offset - middle_ms).abs()).collect();
        apart_ms.sort_unstable_by(f64::total_cmp);
        // 1.4826 median deviations are a normal's standard deviation; a median's is 1.2533 of a mean's.
        let sd_ms = 1.4826 * 1.2533 * median(&apart_ms) / (offsets_ms.len() as f64).sqrt();
        Row { offset_ms: Some(middle_ms), sd_ms: Some(sd_ms), taps, ..Row::default() }
    }

    fn rows(&self, ends: Vec<TimeNs>, rows: &[Row]) -> RecordBatch {
        let values = |value: fn(&Row) -> Option<f64>| nan_as_null(rows.iter().map(|row| value(row).unwrap_or(f64::NAN)).collect());
        let columns = vec![
            Arc::new(Int64Array::from(ends)) as _,
            values(|row| row.offset_ms),
            values(|row| row.sd_ms),
            values(|row| row.correlation),
            Arc::new(rows.iter().map(|row| row.taps).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| row.reason).collect::<StringArray>()),
        ];
        batch(&self.output, columns)
    }
}

impl Row {
    fn refused(reason: &'static str) -> Self {
        Self { reason: Some(reason), ..Self::default() }
    }
}

impl Track {
    /// Rows without a value in all three axes are left out.
    fn extend(&mut self, input: &Input, rows: &RecordBatch) {
        let axes = input.columns.map(|column| floats(rows, column));
        for (row, time) in times(rows).iter().enumerate() {
            let [x, y, z] = axes.map(|axis| proprio_core::rows::float_or_nan(axis, row));
            let magnitude = (x * x + y * y + z * z).sqrt();
            if magnitude.is_finite() {
                self.times.push(*time);
                self.values.push(magnitude);
            }
        }
    }

    /// Times and values in [from, to).
    fn within(&self, from: TimeNs, to: TimeNs) -> (&[TimeNs], &[f64]) {
        let [begin, end] = [from, to].map(|bound| self.times.partition_point(|time| *time < bound));
        (&self.times[begin..end], &self.values[begin..end])
    }

    fn drop_before(&mut self, from: TimeNs) {
        let gone = self.times.partition_point(|time| *time < from);
        self.times.drain(..gone);
        self.values.drain(..gone);
    }
}

/// Standard deviation of what is not NaN.
fn deviation(values: &[f64]) -> f64 {
    let there = || values.iter().filter(|value| !value.is_nan());
    let count = there().count().max(1) as f64;
    let mean = there().sum::<f64>() / count;
    (there().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count).sqrt()
}

/// The middle of sorted values, or the mean of the middle two.
fn median(sorted: &[f64]) -> f64 {
    (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0
}
