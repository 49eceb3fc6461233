//! Is each EMG channel worth using, and if not, why?
//!
//! Reads a raw EMG stream (columns `<muscle>_v` in volts, with a rate) and gives a row per muscle at the end of every `window` of
//! event time (5 s, windows begin at multiples of it): what the window holds besides muscle, a `verdict` (`good`, `poor`, `reject`,
//! or `unknown` of less than 1.5 s of samples), and the `reasons`. Causal: nothing waits but the window itself.
//! - `snr_db`: 20·log10(active/rest), the 95th over the 5th percentile of the RMS of 100 ms within the band, over the last 30 s, so
//!   that a pause between movements doesn't count against a channel: below 10 dB poor, below 3 dB reject (noise alone has 2 dB);
//! - `powerline_percent`: share of the power in 50 or 60 Hz and harmonics up to 450 Hz;
//! - `clipped_percent`: samples on plateaus (three equal ones and more) at the extremes;
//! - `flat_percent`: time in stretches of 250 ms and more that are constant, or below `floor` RMS within the band: dead, or lead off;
//! - `motion_percent`: share of the power below 20 Hz;
//! - `ecg_percent`, `heart_rate_per_min`: share of the power in spikes of 5–30 Hz that repeat alike, 0.8 to 2 times a second. A
//!   movement artefact that is alike at every step can't be told from a heart by one channel;
//! - `crosstalk`: the largest absolute correlation, within `lag` either way, with another muscle of the stream: `crosstalk_with`;
//! - `missing_percent`: rows lost or null, each loss in the window that it ends in. What is null is held at the value before it.
//!
//! A channel that is as white and as steady as an amplifier without a muscle is rejected, too.
//!
//! The thresholds of SNR and of clipping are the field's, the others are *proposed*. Filters begin anew with every window, whose
//! first 100 ms they settle on.
//!
//! ```yaml
//! op: emg_quality
//! from: emg/muscles
//! with: { window: 3 s }
//! input:
//!   emg/muscles:
//!     sensor: { kind: emg, rate: 1000 Hz, channels: { 1: gluteus_medius_left, 2: gluteus_medius_right, 3: soleus_left } }
//!     generate:
//!       duration: 6.5 s
//!       columns:
//!         gluteus_medius_left_v:
//!           - { noise: { amplitude: 5e-6, seed: 1 } }
//!           - { burst: { from: 1 s, to: 2 s, amplitude: 1e-4, seed: 2 } }
//!           - { burst: { from: 4 s, to: 5 s, amplitude: 1e-4, seed: 3 } }
//!         gluteus_medius_right_v:
//!           - { noise: { amplitude: 5e-6, seed: 4 } }
//!           - { burst: { from: 1 s, to: 2 s, amplitude: 1e-4, seed: 5 } }
//!           - { burst: { from: 4 s, to: 5 s, amplitude: 1e-4, seed: 3 } }
//!           - { sine: { amplitude: 6e-5, frequency: 50 Hz } }
//!         soleus_left_v:
//!           - { constant: 0.002 }
//! ```
//! ```csv
//! time_ns,muscle,snr_db,powerline_percent,clipped_percent,flat_percent,motion_percent,ecg_percent,heart_rate_per_min,crosstalk,crosstalk_with,missing_percent,verdict,reasons
//! 3000000000,gluteus_medius_left,27.204,0.41475,0.0,0.0,6.19373,0.0,,0.0583357,gluteus_medius_right,0.0,good,
//! 3000000000,gluteus_medius_right,7.96129,36.9223,0.0,0.0,3.39096,0.0,,0.0583357,gluteus_medius_left,0.0,poor,signal-to-noise ratio of 8.0 dB; 36.9 % of the power is hum
//! 3000000000,soleus_left,,0.0,0.0,100.0,0.0,0.0,,0.0,gluteus_medius_left,0.0,reject,"flat, dead or lead off for 100 % of the time"
//! 6000000000,gluteus_medius_left,27.6352,0.791627,0.0,0.0,3.54896,0.0,,0.779211,gluteus_medius_right,0.0,reject,correlation of 0.78 with gluteus_medius_right
//! 6000000000,gluteus_medius_right,8.07563,32.7054,0.0,0.0,3.15193,0.0,,0.779211,gluteus_medius_left,0.0,reject,signal-to-noise ratio of 8.1 dB; 32.7 % of the power is hum; correlation of 0.78 with gluteus_medius_left
//! 6000000000,soleus_left,,0.0,0.0,100.0,0.0,0.0,,0.0,gluteus_medius_left,0.0,reject,"flat, dead or lead off for 100 % of the time"
//! 9000000000,gluteus_medius_left,,,,,,,,,,0.0,unknown,less than 1.5 s of samples
//! 9000000000,gluteus_medius_right,,,,,,,,,,0.0,unknown,less than 1.5 s of samples
//! 9000000000,soleus_left,,,,,,,,,,0.0,unknown,less than 1.5 s of samples
//! # 9 rows, every bit hashed: 0092d8281b9f665d
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use proprio_core::quantity::{Duration, Frequency, Share, Voltage};
use proprio_core::schema::{FieldExt, float, text};
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::emg::{self, Channel, keep};
use crate::kernels::emg_faults::{self, LEAST_POWER, MAINS_HZ};
use crate::kernels::emg_quality::{Monitor, Quality, QualitySettings, share_at_rails};
use crate::kernels::filter::Filter;

/// Filters settle on this much of a window.
const SETTLE_S: f64 = 0.1;
/// Blocks of the signal-to-noise ratio, and how many of them are remembered.
const BLOCK_S: f64 = 0.1;
const BLOCKS: usize = 300;
/// Movement lies below.
const MOTION_HZ: f64 = 20.0;
/// Samples that a window is judged on at least, in seconds.
const LEAST_S: f64 = 1.5;
/// How white and how steady a dead channel is: as in `emg_envelope`.
const NOISE_FREQUENCY: f64 = 0.8;
const NOISE_CREST: f64 = 2.5;

/// What every EMG channel is worth, window by window, and why.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Muscles to judge, such as `gluteus_medius_left`; all of the stream's when left out.
    muscles: Vec<String>,
    /// Length of a window, 2 s to 20 s.
    window: Duration,
    /// Mains frequency. Left out: 50 or 60 Hz, whichever holds more.
    mains: Option<Frequency>,
    /// RMS within the band below which a channel is flat.
    floor: Voltage,
    /// How far apart two muscles may be in time and still count as one another's cross-talk, at most 50 ms.
    lag: Duration,
    /// Active over resting RMS, in decibels, below which a channel is poor, and below which it is rejected.
    snr_db: [f64; 2],
    /// Share of the power in hum above which a channel is poor, and above which it is rejected.
    powerline: [Share; 2],
    /// Share of the samples at the rails, likewise.
    clipped: [Share; 2],
    /// Share of the time that is flat, likewise.
    flat: [Share; 2],
    /// Share of the power below 20 Hz, likewise.
    motion: [Share; 2],
    /// Share of the power in spikes that repeat like a heart beat, likewise.
    ecg: [Share; 2],
    /// Correlation with a neighbour, 0 to 1, likewise.
    crosstalk: [f64; 2],
    /// Share of the rows that are missing, likewise.
    missing: [Share; 2],
}

impl Default for Config {
    fn default() -> Self {
        let shares = |poor: f64, reject: f64| [Share::new(poor), Share::new(reject)];
        Self {
            muscles: Vec::new(),
            window: Duration::new(5.0),
            mains: None,
            floor: Voltage::new(0.5e-6),
            lag: Duration::new(0.01),
            snr_db: [10.0, 3.0],
            powerline: shares(10.0, 50.0),
            clipped: shares(0.1, 1.0),
            flat: shares(0.0, 20.0),
            motion: shares(20.0, 60.0),
            ecg: shares(5.0, 50.0),
            crosstalk: [0.4, 0.7],
            missing: shares(2.0, 20.0),
        }
    }
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        let channels = keep(&mut findings, emg::channels(&ports[0], &self.muscles));
        self.check(&mut findings);
        let Some(rate) = keep(&mut findings, emg::rate(&ports[0])) else { return Err(findings) };
        let band = keep(&mut findings, emg::band_filter(None, 2, None, rate));
        let (Some(mut channels), Some(band), true) = (channels, band, findings.is_empty()) else { return Err(findings) };
        channels.sort_by(|a, b| a.muscle.cmp(&b.muscle));
        let hertz = rate.hertz();
        let percent = |name: &str| float(format!("{name}_percent"), "%");
        let fields = vec![
            text("muscle").required(),
            float("snr_db", "dB"),
            percent("powerline"),
            percent("clipped"),
            percent("flat"),
            percent("motion"),
            percent("ecg"),
            float("heart_rate_per_min", "1/min"),
            float("crosstalk", "1"),
            text("crosstalk_with"),
            percent("missing"),
            text("verdict").required(),
            text("reasons"),
        ];
        let output = StreamSchema::new(fields, &["muscle"], None);
        let operator = Judge {
            channels,
            rate_hz: hertz,
            window_ns: self.window.nanoseconds(),
            noise: QualitySettings::new(&band, hertz, self.window.seconds(), 0.0, 1.0, NOISE_FREQUENCY, NOISE_CREST),
            slow: Filter::low_pass(2, MOTION_HZ, hertz),
            band,
            spikes: emg_faults::spike_filter(hertz),
            mains_hz: self.mains.map_or(MAINS_HZ.to_vec(), |mains| vec![mains.hertz()]),
            config: self,
            output: output.clone(),
        };
        Ok(Planned::new(operator, output))
    }
}

impl Config {
    fn check(&self, findings: &mut Findings) {
        if !(2.0..=20.0).contains(&self.window.seconds()) {
            findings.push(PlanFinding::config("/window", format!("a window of {} is not within 2 s to 20 s", self.window)));
        }
        if !(0.0..=0.05).contains(&self.lag.seconds()) {
            findings.push(PlanFinding::config("/lag", format!("a lag of {} is not within 0 to 50 ms", self.lag)));
        }
        if self.floor.volts() < 0.0 {
            findings.push(PlanFinding::config("/floor", "a floor can't be negative"));
        }
        if self.mains.is_some_and(|mains| !(10.0..=100.0).contains(&mains.hertz())) {
            findings.push(PlanFinding::config("/mains", "a mains frequency lies within 10 to 100 Hz").help("write `50 Hz` or `60 Hz`"));
        }
        if !(self.snr_db[0] >= self.snr_db[1] && self.snr_db.iter().all(|db| (0.0..=60.0).contains(db))) {
            let message = "two ratios within 0 to 60 dB are due, the one for `poor` first and not below the one for `reject`";
            findings.push(PlanFinding::config("/snr_db", message));
        }
        let percents = |pair: [Share; 2]| pair.map(Share::percent);
        for (pointer, [poor, reject], most) in [
            ("/powerline", percents(self.powerline), 100.0),
            ("/clipped", percents(self.clipped), 100.0),
            ("/flat", percents(self.flat), 100.0),
            ("/motion", percents(self.motion), 100.0),
            ("/ecg", percents(self.ecg), 100.0),
            ("/missing", percents(self.missing), 100.0),
            ("/crosstalk", self.crosstalk, 1.0),
        ] {
            if !(0.0 <= poor && poor <= reject && reject <= most) {
                let message = format!("{poor} and {reject} are not two limits within 0 to {most}, the one for `poor` first");
                findings.push(PlanFinding::config(pointer, message));
            }
        }
    }
}

struct Judge {
    /// By name, which is the order of rows at one instant.
    channels: Vec<Channel>,
    rate_hz: f64,
    window_ns: i64,
    band: Filter,
    noise: QualitySettings,
    slow: Filter,
    spikes: Filter,
    mains_hz: Vec<f64>,
    config: Config,
    output: StreamSchema,
}

/// What the judge remembers: the open window, and the blocks before it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// End of the open window.
    end: Option<TimeNs>,
    /// Time of the newest row, and of the last one before the open window.
    last: Option<TimeNs>,
    before: Option<TimeNs>,
    /// Samples of the open window a channel; NaN is missing.
    raw: Vec<Vec<f64>>,
    /// RMS of the newest blocks a channel.
    blocks: Vec<VecDeque<f64>>,
}

impl Operator for Judge {
    type State = State;

    fn start(&self) -> State {
        let count = self.channels.len();
        State { end: None, last: None, before: None, raw: vec![Vec::new(); count], blocks: vec![VecDeque::new(); count] }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let input = &inputs[0];
        let columns: Vec<&Float64Array> = self.channels.iter().map(|channel| rows::floats(input, channel.index)).collect();
        for (row, time) in rows::times(input).iter().enumerate() {
            if state.end.is_some_and(|end| *time >= end) {
                self.close(state, out);
            }
            if state.end.is_none() {
                state.before = state.last.or(Some(time.saturating_sub((1e9 / self.rate_hz) as i64)));
            }
            state.last = Some(*time);
            let window = time.div_euclid(self.window_ns);
            state.end.get_or_insert(window.saturating_add(1).saturating_mul(self.window_ns));
            for (raw, column) in state.raw.iter_mut().zip(&columns) {
                let sample = rows::float_or_nan(column, row);
                raw.push(if sample.is_finite() { sample } else { f64::NAN });
            }
        }
        if state.end.is_some_and(|end| watermark >= end) {
            self.close(state, out);
        }
        watermark
    }

    fn flush(&self, state: &mut State, out: &mut Output) {
        self.close(state, out);
    }
}

/// What was measured of one channel in one window.
#[derive(Clone, Debug, Default)]
struct Measures {
    snr_db: Option<f64>,
    powerline: f64,
    clipped: f64,
    flat: f64,
    motion: f64,
    ecg: f64,
    heart_rate: Option<f64>,
    crosstalk: Option<(f64, usize)>,
    is_noise: bool,
    missing: f64,
    /// Too little is there to judge.
    is_unknown: bool,
}

impl Judge {
    /// Judges the open window, where there is one.
    fn close(&self, state: &mut State, out: &mut Output) {
        let Some(end) = state.end.take() else { return };
        let span_s = state.last.zip(state.before).map_or(0.0, |(last, before)| last.saturating_sub(before) as f64 / 1e9);
        let due = (span_s * self.rate_hz).max(1.0);
        let present: Vec<f64> = state.raw.iter().map(|raw| raw.iter().filter(|sample| sample.is_finite()).count() as f64).collect();
        let raw: Vec<Vec<f64>> = state.raw.iter_mut().map(|raw| emg_faults::held(std::mem::take(raw))).collect();
        let banded: Vec<Vec<f64>> = raw.iter().map(|raw| emg_faults::filtered(raw, &self.band)).collect();
        let mut measures = Vec::new();
        for (n, present) in present.iter().enumerate() {
            // Sample times that are a little uneven are no loss.
            let missing = (100.0 * (1.0 - (present + 0.5) / due)).max(0.0);
            measures.push(if *present < LEAST_S * self.rate_hz {
                Measures { missing, is_unknown: true, ..Measures::default() }
            } else {
                self.measure(&raw[n], &banded[n], &mut state.blocks[n], missing)
            });
        }
        self.correlate(&banded, &mut measures);
        out.push(self.rows(end, &measures));
    }

    fn measure(&self, raw: &[f64], banded: &[f64], blocks: &mut VecDeque<f64>, missing: f64) -> Measures {
        let settle = ((SETTLE_S * self.rate_hz) as usize).min(raw.len());
        let root_mean_square = |block: &[f64]| emg_faults::power(block, 0).sqrt();
        let block = (BLOCK_S * self.rate_hz) as usize;
        blocks.extend(banded[settle..].chunks_exact(block).map(root_mean_square));
        blocks.drain(..blocks.len().saturating_sub(BLOCKS));
        let flat = emg_faults::flat_share(raw, banded, self.config.floor.volts(), self.rate_hz);
        let in_band = emg_faults::power(banded, settle);
        let mean = raw.iter().sum::<f64>() / raw.len() as f64;
        let centred: Vec<f64> = raw.iter().map(|sample| sample - mean).collect();
        let slow = emg_faults::power(&emg_faults::filtered_from(&centred, 0.0, &self.slow), settle);
        let all = emg_faults::power(&centred, settle);
        let heart = emg_faults::heart_beat(&emg_faults::filtered(raw, &self.spikes), self.rate_hz);
        let percent = |part: f64, whole: f64| if whole > LEAST_POWER { (100.0 * part / whole).min(100.0) } else { 0.0 };
        Measures {
            snr_db: emg_faults::snr_db(blocks),
            powerline: 100.0 * emg_faults::powerline_share(raw, &self.mains_hz, self.rate_hz),
            clipped: 100.0 * share_at_rails(raw),
            flat: 100.0 * flat,
            motion: percent(slow, slow + in_band),
            ecg: heart.map_or(0.0, |(power, _)| percent(power, all)),
            heart_rate: heart.map(|(_, rate_hz)| 60.0 * rate_hz),
            crosstalk: None,
            is_noise: self.is_noise(raw, banded),
            missing,
            is_unknown: false,
        }
    }

    /// Whether the window ends as a dead channel's.
    fn is_noise(&self, raw: &[f64], banded: &[f64]) -> bool {
        let mut monitor = Monitor::new(Quality::Settling);
        let judged = raw.iter().zip(banded).map(|(raw, banded)| monitor.push(&self.noise, *raw, *banded)).last();
        judged == Some(Quality::Noise)
    }

    /// Fills in each channel's nearest neighbour.
    fn correlate(&self, banded: &[Vec<f64>], measures: &mut [Measures]) {
        let lags = (self.config.lag.seconds() * self.rate_hz).round() as usize;
        let is_judged: Vec<bool> = measures.iter().map(|measures| !measures.is_unknown).collect();
        for a in 0..banded.len() {
            for b in (a + 1..banded.len()).filter(|b| is_judged[a] && is_judged[*b]) {
                let found = emg_faults::correlation(&banded[a], &banded[b], lags);
                for (one, other) in [(a, b), (b, a)] {
                    if measures[one].crosstalk.is_none_or(|(most, _)| found > most) {
                        measures[one].crosstalk = Some((found, other));
                    }
                }
            }
        }
    }

    fn rows(&self, end: TimeNs, measures: &[Measures]) -> RecordBatch {
        let judged: Vec<(&str, String)> = measures.iter().map(|measures| self.judge(measures)).collect();
        let known = |of: fn(&Measures) -> f64| -> ArrayRef {
            Arc::new(measures.iter().map(|m| (!m.is_unknown).then(|| of(m))).collect::<Float64Array>())
        };
        let names = self.channels.iter().map(|channel| Some(channel.muscle.as_str()));
        let neighbour = |m: &Measures| m.crosstalk.map(|(_, other)| self.channels[other].muscle.as_str());
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![end; measures.len()])),
            Arc::new(names.collect::<StringArray>()),
            Arc::new(measures.iter().map(|m| m.snr_db).collect::<Float64Array>()),
            known(|m| m.powerline),
            known(|m| m.clipped),
            known(|m| m.flat),
            known(|m| m.motion),
            known(|m| m.ecg),
            Arc::new(measures.iter().map(|m| m.heart_rate).collect::<Float64Array>()),
            Arc::new(measures.iter().map(|m| m.crosstalk.map(|(most, _)| most)).collect::<Float64Array>()),
            Arc::new(measures.iter().map(neighbour).collect::<StringArray>()),
            Arc::new(measures.iter().map(|m| Some(m.missing)).collect::<Float64Array>()),
            Arc::new(judged.iter().map(|(verdict, _)| Some(*verdict)).collect::<StringArray>()),
            Arc::new(judged.iter().map(|(_, reasons)| (!reasons.is_empty()).then_some(reasons)).collect::<StringArray>()),
        ];
        rows::batch(&self.output, columns)
    }

    /// The verdict, and the reasons for anything but `good`.
    fn judge(&self, measures: &Measures) -> (&'static str, String) {
        if measures.is_unknown {
            return ("unknown", format!("less than {LEAST_S} s of samples"));
        }
        let config = &self.config;
        let percents = |pair: [Share; 2]| pair.map(Share::percent);
        let (mut verdict, mut reasons) = (0, Vec::new());
        let mut note = |is_poor: bool, is_rejected: bool, reason: String| {
            if is_poor || is_rejected {
                verdict = verdict.max(if is_rejected { 2 } else { 1 });
                reasons.push(reason);
            }
        };
        // What is flat has neither signal nor noise: its other figures say nothing.
        let [poor, reject] = percents(config.flat);
        note(measures.flat > poor, measures.flat > reject, format!("flat, dead or lead off for {:.0} % of the time", measures.flat));
        if measures.flat <= reject {
            note(false, measures.is_noise, "as white and steady as an amplifier without a muscle".to_owned());
            if let Some(snr_db) = measures.snr_db {
                let [poor, reject] = config.snr_db;
                note(snr_db < poor, snr_db < reject, format!("signal-to-noise ratio of {snr_db:.1} dB"));
            }
            for (value, limits, what) in [
                (measures.powerline, config.powerline, "of the power is hum"),
                (measures.clipped, config.clipped, "of the samples are clipped"),
                (measures.motion, config.motion, "of the power is movement below 20 Hz"),
                (measures.ecg, config.ecg, "of the power repeats like a heart beat"),
            ] {
                let [poor, reject] = percents(limits);
                note(value > poor, value > reject, format!("{value:.1} % {what}"));
            }
            if let Some((most, other)) = measures.crosstalk {
                let [poor, reject] = config.crosstalk;
                note(most > poor, most > reject, format!("correlation of {most:.2} with {}", self.channels[other].muscle));
            }
        }
        let [poor, reject] = percents(config.missing);
        note(measures.missing > poor, measures.missing > reject, format!("{:.0} % of the rows are missing", measures.missing));
        (["good", "poor", "reject"][verdict], reasons.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use proprio_core::{At, Rate};
    use serde_json::json;

    use crate::kernels::testing::{Noise, emg_batch, emg_schema, plan, run, texts};

    const RATE: Rate = Rate::hz(1000);

    /// Ten seconds of a muscle that is active for 0.4 s of every second.
    fn muscle(seed: u64) -> Vec<f64> {
        let samples = Noise::new(seed).band_limited(10_000, 1000.0).into_iter().enumerate();
        samples.map(|(k, x)| if k % 1000 < 400 { 50e-6 * x } else { 5e-6 * x }).collect()
    }

    fn verdict(samples: Vec<f64>) -> (String, String) {
        let schema = emg_schema(&["muscle", "other"], RATE);
        let found = run(&plan("emg_quality", json!({}), &schema).expect("a plan"), &emg_batch(&schema, &[samples, muscle(99)]));
        assert_eq!(texts(&found, "verdict")[1], "good", "{}", texts(&found, "reasons")[1]);
        (texts(&found, "verdict")[0].clone(), texts(&found, "reasons")[0].clone())
    }

    #[test]
    fn every_fault_has_its_reason() {
        assert_eq!(verdict(muscle(1)), ("good".to_owned(), String::new()));
        let with = |fault: &dyn Fn(usize, f64) -> f64| muscle(1).into_iter().enumerate().map(|(k, x)| fault(k, x)).collect::<Vec<_>>();
        let sine = |k: usize, hertz: f64| libm::sin(std::f64::consts::TAU * hertz * k as f64 / 1000.0);
        let wrong: [(&str, Vec<f64>); 7] = [
            ("signal-to-noise ratio of", Noise::new(2).band_limited(10_000, 1000.0).iter().map(|x| 5e-6 * x).collect()),
            ("is hum", with(&|k, x| x + 40e-6 * sine(k, 50.0))),
            ("are clipped", with(&|_, x| x.clamp(-60e-6, 60e-6))),
            ("flat, dead or lead off", with(&|k, x| if k < 2000 { 0.0 } else { x })),
            ("movement below 20 Hz", with(&|k, x| x + 100e-6 * sine(k, 3.0))),
            ("repeats like a heart beat", with(&|k, x| x + if k % 830 < 30 { 200e-6 * sine(k % 830, 17.0) } else { 0.0 })),
            ("rows are missing", with(&|k, x| if k % 10 == 3 { f64::NAN } else { x })),
        ];
        for (reason, samples) in wrong {
            let (verdict, reasons) = verdict(samples);
            assert!(verdict != "good" && reasons.contains(reason), "{reason}: {verdict}, {reasons}");
        }
    }

    #[test]
    fn a_wrong_configuration_is_refused_with_its_pointer() {
        let schema = emg_schema(&["muscle"], RATE);
        for (config, pointer) in [
            (json!({ "window": "1 s" }), "/window"),
            (json!({ "lag": "1 s" }), "/lag"),
            (json!({ "mains": "400 Hz" }), "/mains"),
            (json!({ "snr_db": [3.0, 10.0] }), "/snr_db"),
            (json!({ "powerline": ["50 %", "10 %"] }), "/powerline"),
            (json!({ "crosstalk": [0.5, 7.0] }), "/crosstalk"),
            (json!({ "muscles": ["muscl"] }), "/muscles/0"),
        ] {
            let findings = plan("emg_quality", config.clone(), &schema).expect_err(&config.to_string());
            assert_eq!(findings[0].at, At::Config(pointer.into()), "{config}: {findings:?}");
        }
    }
}
