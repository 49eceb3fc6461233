//! How active is each muscle, and is its channel worth looking at?
//!
//! Reads a raw EMG stream (columns `<muscle>_v` in volts, with a rate) and gives per muscle `<muscle>_envelope_v` and
//! `<muscle>_quality`. Each channel is band-passed (20–450 Hz Butterworth; the default upper edge drops to 0.45 of the rate where
//! that is lower, a band that is written is never moved), freed of mains hum where `notch` says so, and then either rectified and
//! low-passed (6 Hz, second order) or turned into its RMS over a trailing window. Everything is causal: a row is emitted with its
//! own sample, and the envelope lags behind the muscle, by 37 ms with the 6 Hz low-pass, by half the window with `rms`.
//! Never time an onset on it: that is what `emg_onset` is for.
//!
//! Quality is one of
//! - `good`;
//! - `settling`: the session's first 500 ms;
//! - `gap`: samples are missing (a step in time beyond `gap`, or a null), or another device measures: filters and judgement start
//!   anew, for 500 ms;
//! - `flat`: constant, or below `floor` RMS within the band, over the last 250 ms: dead, or lead off;
//! - `clipped`: more than `clipped_share` of the last `window` lies on plateaus (three equal samples and more) at its extremes;
//! - `noise`: the last `window` is as white (mean-square frequency above `noise_frequency` of white noise's) and as steady (no 50 ms
//!   above `noise_crest` times the median RMS) as an amplifier without a muscle: a dead channel, or an unplugged electrode.
//!
//! It is judged at the end of every 50 ms from what came before. A loss shorter than `gap` is bridged as though its neighbours
//! followed each other. The thresholds for `noise` are engineering choices, checked on 78 channels of six recordings.
//!
//! `rate` thins the rows: every n-th sample's row is emitted; the envelope's own low-pass keeps that free of aliasing. `device` is the
//! input's, where it has one: a reference (`mvc`) holds for one device.
//!
//! ```yaml
//! op: emg_envelope
//! from: emg/muscles
//! with: { band: [20 Hz, 450 Hz], lowpass: 6 Hz, rate: 10 Hz }
//! input:
//!   emg/muscles:
//!     sensor: { kind: emg, rate: 1000 Hz, channels: { 1: gluteus_medius_left, 2: gluteus_medius_right } }
//!     generate:
//!       duration: 2.4 s
//!       gaps: [[1.5 s, 1.53 s]]
//!       columns:
//!         gluteus_medius_left_v:
//!           - { constant: 0.002 }
//!           - { noise: { amplitude: 5e-6, seed: 1 } }
//!           - { burst: { from: 0.4 s, to: 0.7 s, amplitude: 2e-4, seed: 2 } }
//!           - { burst: { from: 1.9 s, to: 2.05 s, amplitude: 2e-4, seed: 3 } }
//!         gluteus_medius_right_v:
//!           - { constant: 0.002 }
//! ```
//! ```csv
//! time_ns,gluteus_medius_left_envelope_v,gluteus_medius_left_quality,gluteus_medius_right_envelope_v,gluteus_medius_right_quality,device
//! 0,0.0,settling,0.0,settling,
//! 100000000,3.87885e-6,settling,0.0,settling,
//! 200000000,3.68029e-6,settling,0.0,settling,
//! 300000000,3.8317e-6,settling,0.0,flat,
//! 400000000,4.28452e-6,settling,0.0,flat,
//! 500000000,0.0001374,good,0.0,flat,
//! 600000000,0.000141626,good,0.0,flat,
//! 700000000,0.000159835,good,0.0,flat,
//! 800000000,0.0,good,0.0,flat,
//! …
//! 2030000000,0.000146983,good,0.0,flat,
//! 2130000000,1.15718e-5,good,0.0,flat,
//! 2230000000,2.28871e-6,good,0.0,flat,
//! 2330000000,3.8056e-6,good,0.0,flat,
//! # 24 rows, every bit hashed: 76a15b09b7cc4c50
//! ```

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use proprio_core::kind::DEVICE;
use proprio_core::quantity::{Duration, Frequency, Voltage};
use proprio_core::schema::{column, float, text};
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, Rate, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::device::{device_column, swaps};
use crate::kernels::emg::{self, Channel, keep};
use crate::kernels::emg_quality::{Monitor, Quality, QualitySettings};
use crate::kernels::filter::{Filter, FilterState};
use crate::kernels::moving_rms::MovingRms;

/// Band-pass, rectify, smooth: the envelope of every EMG channel, and its quality.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Muscles to take, such as `gluteus_medius_left`; all of the stream's when left out.
    muscles: Vec<String>,
    /// Edges of the band-pass (−3 dB). Left out: 20 Hz to 450 Hz, or to 0.45 of the rate where that is lower.
    band: Option<[Frequency; 2]>,
    /// Order of the band-pass at each edge, 1 to 4.
    order: usize,
    /// Mains frequency to notch out, where hum is present.
    notch: Option<Frequency>,
    /// Cutoff of the second-order low-pass after rectification. Left out: 6 Hz, unless `rms` is given.
    lowpass: Option<Frequency>,
    /// Length of the trailing RMS window that replaces rectification and low-pass, 50 to 100 ms as a rule.
    rms: Option<Duration>,
    /// Rows a second of the output; must divide the stream's rate. Left out: the stream's rate.
    rate: Option<Rate>,
    /// Step in time beyond which samples count as missing (at least one and a half periods).
    gap: Duration,
    /// Trailing window that `clipped` and `noise` are judged on, 0.5 s to 20 s; longer than a stride.
    window: Duration,
    /// RMS within the band below which a channel is `flat`.
    floor: Voltage,
    /// Share of samples at the rails above which a channel is `clipped`.
    clipped_share: f64,
    /// Mean-square frequency, relative to that of white noise in the same band, above which a channel may be `noise`.
    noise_frequency: f64,
    /// Highest RMS of 50 ms relative to the median one below which a channel may be `noise`.
    noise_crest: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            muscles: Vec::new(),
            band: None,
            order: 2,
            notch: None,
            lowpass: None,
            rms: None,
            rate: None,
            gap: Duration::new(0.005),
            window: Duration::new(2.0),
            floor: Voltage::new(0.5e-6),
            clipped_share: 0.001,
            noise_frequency: 0.8,
            noise_crest: 2.5,
        }
    }
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        let channels = keep(&mut findings, emg::channels(&ports[0], &self.muscles));
        self.check_thresholds(&mut findings);
        let Some(rate) = keep(&mut findings, emg::rate(&ports[0])) else { return Err(findings) };
        let band = keep(&mut findings, emg::band_filter(self.band, self.order, self.notch, rate));
        let smoother = keep(&mut findings, self.smoother(rate));
        let thinning = keep(&mut findings, self.thinning(rate));
        let longest_step_ns = keep(&mut findings, emg::longest_step_ns(self.gap, rate));
        let (Some(channels), Some(band), Some(smoother), Some(thinning), Some(longest_step_ns)) =
            (channels, band, smoother, thinning, longest_step_ns)
        else {
            return Err(findings);
        };
        if !findings.is_empty() {
            return Err(findings);
        }
        let (window, floor) = (self.window.seconds(), self.floor.volts());
        let quality = QualitySettings::new(&band, rate.hertz(), window, floor, self.clipped_share, self.noise_frequency, self.noise_crest);
        let columns = channels.iter().flat_map(|channel| {
            let envelope = float(format!("{}_envelope_v", channel.muscle), "V");
            [channel.place(envelope), channel.place(text(format!("{}_quality", channel.muscle)))]
        });
        let device = device_column(&ports[0]);
        let columns = columns.chain(device.map(|_| column(DEVICE, DataType::Int64)));
        let output = StreamSchema::new(columns.collect(), &[], Some(self.rate.unwrap_or(rate)));
        let operator = Envelope { channels, band, smoother, quality, thinning, longest_step_ns, device, output: output.clone() };
        Ok(Planned::new(operator, output))
    }
}

impl Config {
    fn check_thresholds(&self, findings: &mut Findings) {
        if !(0.5..=20.0).contains(&self.window.seconds()) {
            findings.push(PlanFinding::config("/window", format!("a window of {} is not within 0.5 s to 20 s", self.window)));
        }
        if self.floor.volts() < 0.0 {
            findings.push(PlanFinding::config("/floor", "a floor can't be negative"));
        }
        for (pointer, value, limit) in [
            ("/clipped_share", self.clipped_share, 1.0),
            ("/noise_frequency", self.noise_frequency, 1.5),
            ("/noise_crest", self.noise_crest, 100.0),
        ] {
            if !(0.0..=limit).contains(&value) {
                findings.push(PlanFinding::config(pointer, format!("{value} is not within 0 to {limit}")));
            }
        }
    }

    fn smoother(&self, rate: Rate) -> Result<Smoother, Findings> {
        match (self.lowpass, self.rms) {
            (Some(_), Some(_)) => {
                let message = "`lowpass` and `rms` are two ways to the same envelope";
                Err(vec![PlanFinding::config("/rms", message).help("keep one of them")])
            }
            (_, Some(rms)) => {
                let samples = (rms.seconds() * rate.hertz()).round();
                if !(rms.seconds() <= 2.0 && samples >= 2.0) {
                    return Err(vec![PlanFinding::config("/rms", format!("an RMS window of {rms} is not within two samples to 2 s"))]);
                }
                Ok(Smoother::Rms(samples as usize))
            }
            (lowpass, None) => {
                let cutoff = lowpass.map_or(6.0, Frequency::hertz);
                if !(cutoff > 0.0 && cutoff < rate.hertz() / 2.0) {
                    let message = format!("{cutoff} Hz is not between 0 and {} Hz, half the rate", rate.hertz() / 2.0);
                    return Err(vec![PlanFinding::config("/lowpass", message)]);
                }
                Ok(Smoother::LowPass(Filter::low_pass(2, cutoff, rate.hertz())))
            }
        }
    }

    /// How many samples make one row.
    fn thinning(&self, rate: Rate) -> Result<u64, Findings> {
        let Some(wanted) = self.rate else { return Ok(1) };
        let ((n, d), (wanted_n, wanted_d)) = (rate.ratio(), wanted.ratio());
        let (samples, rows) = (u128::from(n) * u128::from(wanted_d), u128::from(d) * u128::from(wanted_n));
        if samples % rows == 0 {
            return Ok((samples / rows) as u64);
        }
        let nearest = Rate::new(n, d.saturating_mul((samples / rows).max(1) as u64)).unwrap_or(rate);
        let message = format!("{wanted} doesn't divide the stream's {rate}");
        Err(vec![PlanFinding::config("/rate", message).help(format!("write `{nearest}`, or align the envelope to a grid with `align`"))])
    }
}

struct Envelope {
    channels: Vec<Channel>,
    band: Filter,
    smoother: Smoother,
    quality: QualitySettings,
    thinning: u64,
    longest_step_ns: i64,
    /// Index of the input's device.
    device: Option<usize>,
    output: StreamSchema,
}

enum Smoother {
    LowPass(Filter),
    /// Trailing window, in samples.
    Rms(usize),
}

/// What the envelope remembers.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    last: Option<TimeNs>,
    device: Option<i64>,
    samples: u64,
    channels: Vec<ChannelState>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ChannelState {
    /// The first raw sample, taken off all that follow: a filter that starts on an offset would ring.
    offset: Option<f64>,
    band: FilterState,
    low_pass: FilterState,
    squares: MovingRms,
    monitor: Monitor,
}

impl Operator for Envelope {
    type State = State;

    fn start(&self) -> State {
        State { last: None, device: None, samples: 0, channels: vec![self.channel(Quality::Settling); self.channels.len()] }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let input = &inputs[0];
        let times = rows::times(input);
        let swaps = swaps(input, self.device, &mut state.device);
        let breaks = emg::breaks(times, state.last, self.longest_step_ns, &swaps);
        let kept: Vec<usize> = (0..times.len()).filter(|row| (state.samples + *row as u64).is_multiple_of(self.thinning)).collect();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(kept.iter().map(|row| times[*row]).collect::<Int64Array>())];
        for (channel, memory) in self.channels.iter().zip(&mut state.channels) {
            let raw = rows::floats(input, channel.index);
            let mut envelope = Vec::with_capacity(times.len());
            let mut quality = Vec::with_capacity(times.len());
            for (row, is_break) in breaks.iter().enumerate() {
                let sample = rows::float_or_nan(raw, row);
                if *is_break || !sample.is_finite() {
                    *memory = self.channel(Quality::Gap);
                }
                let (value, judged) = if sample.is_finite() { self.step(memory, sample) } else { (f64::NAN, Quality::Gap) };
                envelope.push(value);
                quality.push(judged.name());
            }
            columns.push(rows::nan_as_null(kept.iter().map(|row| envelope[*row]).collect()));
            columns.push(Arc::new(kept.iter().map(|row| Some(quality[*row])).collect::<StringArray>()));
        }
        if let Some(devices) = self.device.map(|device| rows::integers(input, device)) {
            columns.push(Arc::new(kept.iter().map(|row| rows::integer_or_none(devices, *row)).collect::<Int64Array>()));
        }
        state.last = times.last().copied().or(state.last);
        state.samples += times.len() as u64;
        out.push(rows::batch(&self.output, columns));
        watermark
    }

    fn flush(&self, _: &mut State, _: &mut Output) {}
}

impl Envelope {
    fn channel(&self, quality: Quality) -> ChannelState {
        let low_pass = match &self.smoother {
            Smoother::LowPass(filter) => filter.start(),
            Smoother::Rms(_) => FilterState::default(),
        };
        ChannelState { offset: None, band: self.band.start(), low_pass, squares: MovingRms::default(), monitor: Monitor::new(quality) }
    }

    fn step(&self, memory: &mut ChannelState, sample: f64) -> (f64, Quality) {
        let offset = *memory.offset.get_or_insert(sample);
        let filtered = self.band.step(&mut memory.band, sample - offset);
        let envelope = match &self.smoother {
            // A Butterworth low-pass undershoots after a burst; an amplitude doesn't.
            Smoother::LowPass(filter) => filter.step(&mut memory.low_pass, filtered.abs()).max(0.0),
            Smoother::Rms(samples) => memory.squares.push(filtered * filtered, *samples),
        };
        (envelope, memory.monitor.push(&self.quality, sample, filtered))
    }
}

#[cfg(test)]
mod tests {
    use proprio_core::At;
    use serde_json::{Value, json};

    use crate::kernels::testing::{Noise, assert_chunking_is_invisible, emg_batch, emg_schema, numbers, plan, run, texts};

    use super::*;

    const RATE: Rate = Rate::hz(2000);

    /// One channel through the operator: its envelope and its quality.
    fn envelope(config: Value, samples: Vec<f64>) -> (Vec<Option<f64>>, Vec<String>) {
        let schema = emg_schema(&["soleus"], RATE);
        let found = run(&plan("emg_envelope", config, &schema).expect("a plan"), &emg_batch(&schema, &[samples]));
        (numbers(&found, "soleus_envelope_v").iter().collect(), texts(&found, "soleus_quality"))
    }

    /// Two bursts a second of 40 µV at 30 to 150 Hz on 4 µV of white noise, as a walking muscle gives.
    fn walking(seconds: usize, seed: u64) -> Vec<f64> {
        let mut noise = Noise::new(seed);
        let filter = Filter::band_pass(2, 30.0, 150.0, 2000.0);
        let mut state = filter.start();
        let level = |k: usize| if k % 1000 < 400 { 120e-6 } else { 0.0 };
        (0..seconds * 2000).map(|k| filter.step(&mut state, noise.gaussian()) * level(k) + 4e-6 * noise.gaussian()).collect()
    }

    fn share(quality: &[String], wanted: &str, from: usize) -> f64 {
        quality[from..].iter().filter(|quality| *quality == wanted).count() as f64 / (quality.len() - from) as f64
    }

    #[test]
    fn a_sine_has_the_envelope_that_its_amplitude_says() {
        let sine: Vec<f64> =
            (0..4000).map(|k| 0.3 + 1e-3 * libm::sin(2.0 * std::f64::consts::PI * 100.0 * f64::from(k) / 2000.0)).collect();
        let mean = 1e-3 * 2.0 / std::f64::consts::PI;
        let (values, _) = envelope(json!({}), sine.clone());
        assert!(values[3000..].iter().all(|value| (value.expect("a value") / mean - 1.0).abs() < 0.02));
        let (values, _) = envelope(json!({ "rms": "50 ms" }), sine);
        assert!(values[3000..].iter().all(|value| (value.expect("a value") / (1e-3 * 0.5f64.sqrt()) - 1.0).abs() < 0.01));
    }

    #[test]
    fn the_low_pass_lags_by_the_delay_that_the_manual_states() {
        let step: Vec<f64> =
            Noise::new(5).band_limited(400_000, 2000.0).iter().enumerate().map(|(k, x)| if k % 4000 < 2000 { 0.0 } else { *x }).collect();
        let (values, _) = envelope(json!({}), step);
        let mean = |phase: usize| (1..100).map(|n| values[n * 4000 + phase].expect("a value")).sum::<f64>();
        let half = mean(3900) / 2.0;
        let crossing = (2000..4000).find(|phase| mean(*phase) > half).expect("a rise") - 2000;
        assert!((60..100).contains(&crossing), "half of the rise comes {} ms late", crossing as f64 / 2.0);
    }

    #[test]
    fn a_walking_muscle_is_good_and_a_dead_channel_is_not() {
        let (_, quality) = envelope(json!({}), walking(10, 1));
        assert_eq!(share(&quality[..999], "settling", 0), 1.0);
        assert_eq!(share(&quality, "good", 1000), 1.0);
        let mut noise = Noise::new(2);
        let (_, quality) = envelope(json!({}), (0..20_000).map(|_| 4e-6 * noise.gaussian()).collect());
        assert_eq!(share(&quality, "noise", 1000), 1.0);
        let (_, quality) = envelope(json!({}), vec![0.01; 4000]);
        assert_eq!(share(&quality, "flat", 500), 1.0);
        let (_, quality) = envelope(json!({}), (0..4000).map(|_| 1e-7 * noise.gaussian()).collect());
        assert_eq!(share(&quality, "flat", 500), 1.0);
    }

    #[test]
    fn a_lead_that_falls_off_is_flat_within_half_a_second_and_good_again_after() {
        let mut samples = walking(12, 3);
        samples[6000..12_000].fill(0.002);
        let (_, quality) = envelope(json!({}), samples);
        assert_eq!(share(&quality[..6000], "good", 1000), 1.0);
        assert_eq!(share(&quality[..12_000], "flat", 7000), 1.0);
        assert_eq!(share(&quality, "good", 17_000), 1.0);
    }

    #[test]
    fn clipping_is_told_from_a_coarse_converter() {
        let (_, quality) = envelope(json!({}), walking(6, 4).into_iter().map(|x| x.clamp(-60e-6, 60e-6)).collect());
        assert_eq!(share(&quality, "clipped", 1500), 1.0);
        let coarse: Vec<f64> = walking(6, 4).into_iter().map(|x| (x / 10e-6).round() * 10e-6).collect();
        assert_eq!(share(&envelope(json!({}), coarse).1, "clipped", 0), 0.0);
    }

    #[test]
    fn a_loss_starts_the_filters_anew_and_says_so() {
        let schema = emg_schema(&["soleus"], RATE);
        let whole = emg_batch(&schema, &[walking(8, 6)]);
        let kept =
            arrow_select::concat::concat_batches(&schema.columns, [&whole.slice(0, 8000), &whole.slice(8040, 7960)]).expect("one schema");
        let planned = plan("emg_envelope", json!({}), &schema).expect("a plan");
        let quality = texts(&run(&planned, &kept), "soleus_quality");
        assert_eq!(share(&quality[8000..8999], "gap", 0), 1.0);
        assert_eq!((quality[7999].as_str(), quality[8999].as_str()), ("good", "good"));
        let mut samples = walking(2, 7);
        samples[2000] = f64::NAN;
        let (values, quality) = envelope(json!({}), samples);
        assert_eq!((values[2000], quality[2000].as_str(), quality[2001].as_str()), (None, "gap", "gap"));
        assert!(values[2001].is_some_and(f64::is_finite));
    }

    #[test]
    fn thinning_keeps_every_nth_row() {
        let schema = emg_schema(&["a", "b"], RATE);
        let batch = emg_batch(&schema, &[walking(2, 8), walking(2, 9)]);
        let planned = plan("emg_envelope", json!({ "rate": "200 Hz" }), &schema).expect("a plan");
        assert_eq!(planned.output.rate, Some(Rate::hz(200)));
        let (thin, full) = (run(&planned, &batch), run(&plan("emg_envelope", json!({}), &schema).expect("a plan"), &batch));
        assert_eq!(thin.num_rows(), 400);
        assert_eq!(numbers(&thin, "b_envelope_v").value(17), numbers(&full, "b_envelope_v").value(170));
        assert_chunking_is_invisible(&planned, &batch, 10);
        assert_chunking_is_invisible(
            &plan("emg_envelope", json!({ "rms": "50 ms", "notch": "50 Hz" }), &schema).expect("a plan"),
            &batch,
            11,
        );
    }

    #[test]
    fn a_wrong_configuration_is_refused_with_its_pointer() {
        let schema = emg_schema(&["soleus_left"], RATE);
        for (config, pointer) in [
            (json!({ "band": ["450 Hz", "20 Hz"] }), "/band"),
            (json!({ "band": ["20 Hz", "1200 Hz"] }), "/band/1"),
            (json!({ "band": ["0 Hz", "450 Hz"] }), "/band/0"),
            (json!({ "order": 9 }), "/order"),
            (json!({ "notch": "1 kHz" }), "/notch"),
            (json!({ "lowpass": "6 Hz", "rms": "50 ms" }), "/rms"),
            (json!({ "rms": "1 h" }), "/rms"),
            (json!({ "lowpass": "1 kHz" }), "/lowpass"),
            (json!({ "rate": "300 Hz" }), "/rate"),
            (json!({ "muscles": ["soleus_lft"] }), "/muscles/0"),
            (json!({ "gap": "1 s" }), "/gap"),
            (json!({ "window": "0 s" }), "/window"),
            (json!({ "floor": "-1 uV" }), "/floor"),
            (json!({ "clipped_share": 2.0 }), "/clipped_share"),
        ] {
            let findings = plan("emg_envelope", config.clone(), &schema).expect_err(&config.to_string());
            assert_eq!(findings[0].at, At::Config(pointer.into()), "{config}: {findings:?}");
        }
        for wrong in [json!({ "bands": 1 }), json!({ "band": ["20 ms", "450 Hz"] }), json!({ "rms": "50 Hz" })] {
            assert!(plan("emg_envelope", wrong.clone(), &schema).is_err(), "{wrong}");
        }
        let low = plan("emg_envelope", json!({}), &emg_schema(&["soleus"], Rate::hz(500)));
        assert!(low.is_ok(), "the default band fits a low rate");
        let no_channel = StreamSchema::new(vec![float("gyro_x_rad_per_s", "rad/s")], &[], Some(RATE));
        assert_eq!(plan("emg_envelope", json!({}), &no_channel).expect_err("no channel")[0].at, At::Input(0));
        let no_rate = StreamSchema::new(vec![float("soleus_v", "V")], &[], None);
        assert_eq!(plan("emg_envelope", json!({}), &no_rate).expect_err("no rate")[0].at, At::Input(0));
    }
}
