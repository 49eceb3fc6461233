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
//! - `gap`: samples are missing (a step in time beyond `gap`, or a null): filters and judgement start anew, for 500 ms;
//! - `flat`: constant, or below `floor` RMS within the band, over the last 250 ms: dead, or lead off;
//! - `clipped`: more than `clipped_share` of the last `window` lies on plateaus (three equal samples and more) at its extremes;
//! - `noise`: the last `window` is as white (mean-square frequency above `noise_frequency` of white noise's) and as steady (no 50 ms
//!   above `noise_crest` times the median RMS) as an amplifier without a muscle: a dead channel, or an unplugged electrode.
//!
//! It is judged at the end of every 50 ms from what came before. A loss shorter than `gap` is bridged as though its neighbours
//! followed each other. The thresholds for `noise` are engineering choices, checked on 66 channels of six recordings from five labs.
//!
//! `rate` thins the rows: every n-th sample's row is emitted; the envelope's own low-pass keeps that free of aliasing.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use proprio_core::quantity::{Duration, Frequency, Voltage};
use proprio_core::schema::{float, text};
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, Rate, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::emg::{self, Channel, keep};
use crate::kernels::emg_quality::{Monitor, Quality, QualitySettings};
use crate::kernels::filter::{Filter, FilterState};

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
        let quality =
            QualitySettings::new(&band, rate.hertz(), window, floor, self.clipped_share, self.noise_frequency, self.noise_crest);
        let columns = channels.iter().flat_map(|channel| {
            let envelope = float(format!("{}_envelope_v", channel.muscle), "V");
            [channel.place(envelope), channel.place(text(format!("{}_quality", channel.muscle)))]
        });
        let output = StreamSchema::new(columns.collect(), &[], Some(self.rate.unwrap_or(rate)));
        let operator = Envelope { channels, band, smoother, quality, thinning, longest_step_ns, output: output.clone() };
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
    samples: u64,
    channels: Vec<ChannelState>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ChannelState {
    /// The first raw sample, taken off all that follow: a filter that starts on an offset would ring.
    offset: Option<f64>,
    band: FilterState,
    low_pass: FilterState,
    squares: Squares,
    monitor: Monitor,
}

/// A trailing sum of squares, summed anew once a window so that rounding never piles up.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Squares {
    window: VecDeque<f64>,
    sum: f64,
    since_exact: usize,
}

impl Operator for Envelope {
    type State = State;

    fn start(&self) -> State {
        State { last: None, samples: 0, channels: vec![self.channel(Quality::Settling); self.channels.len()] }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let input = &inputs[0];
        let times = rows::times(input);
        let breaks = emg::breaks(times, state.last, self.longest_step_ns);
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
        ChannelState { offset: None, band: self.band.start(), low_pass, squares: Squares::default(), monitor: Monitor::new(quality) }
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

impl Squares {
    /// The root mean square of the newest `samples` values, of those there are at the start.
    fn push(&mut self, square: f64, samples: usize) -> f64 {
        self.sum += square;
        self.window.push_back(square);
        if self.window.len() > samples {
            self.sum -= self.window.pop_front().expect("the window is longer than one sample");
        }
        self.since_exact += 1;
        if self.since_exact >= samples {
            self.sum = self.window.iter().sum();
            self.since_exact = 0;
        }
        (self.sum.max(0.0) / self.window.len() as f64).sqrt()
    }
}
