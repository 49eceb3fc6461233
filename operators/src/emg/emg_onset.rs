//! When does each muscle switch on and off, and how sure is that?
//!
//! Reads a raw EMG stream (columns `<muscle>_v` in volts, with a rate) and gives a row per event: muscle, `event` (`onset`, `offset`
//! or `refused`), its standard deviation (`onset_sd_ms`, `offset_sd_ms`), for onsets `onset_ahead_ms`, for onsets and refusals
//! `snr_db`, and for refusals the `reason`. Works on the band-passed signal (20–450 Hz as in `emg_envelope`), never on an envelope:
//! an approximated generalised likelihood ratio (Staude 2001) raises the alarm, and the likeliest change time before it is the
//! onset, in the band-passed signal or in the same whitened by what rest is like, whichever says more.
//!
//! `snr_db` is the power that the muscle adds over the power at rest: at 3 dB the active RMS is 4.8 dB above the resting one, at 0 dB
//! it is 3 dB above.
//!
//! The standard deviation is that of the likelihood over change times, with the degrees of freedom that the burst's own spectrum
//! leaves it, and with the rise left open (at once with a probability of 0.8, else over 20, 50 or 100 ms): it is two to three times
//! too large for a burst that begins at once, and a third too small for one that rises over 50 ms, whose onset is found 2 ms (at
//! 20 dB) to 32 ms (at 3 dB) after it began.
//!
//! The row's time is the likeliest one. In the mean over all times and rises that the samples leave open, the onset lies
//! `onset_ahead_ms` before it: the time less that is what to reckon with where rises differ, as `firing_order` does.
//!
//! The baseline is learned for `baseline` at the start and then from the last 2 s of rest; a rest of half its variance or less
//! replaces it at once, so a stream may begin in the middle of a contraction. An onset is **refused** when its signal-to-noise ratio
//! lies below `min_snr_db` by more than 1.5 standard deviations of its estimate (a decibel as a rule), when it is shorter than
//! `shortest_burst`, and when it doesn't end within `longest_burst` (then the baseline is learned anew).
//!
//! Delay: an event is alarmed at most 300 ms after it happened, decided 100 ms after the alarm, or 200 or 300 ms after it while the
//! ratio is in doubt. Rows are sorted by time, so the watermark lags by 320 ms at rest and by up to 620 ms while an alarm waits.
//! After a loss (a step in time beyond `gap`, or a null) or a swap of devices a channel decides what is waiting and learns anew; an
//! activity that is cut by one, or by the session's end, has no offset.
//!
//! ```yaml
//! op: emg_onset
//! from: emg/muscles
//! with: { muscles: [gluteus_medius_left, gluteus_medius_right], threshold: 12 }
//! input:
//!   emg/muscles:
//!     sensor: { kind: emg, rate: 1000 Hz, channels: { 1: gluteus_medius_left, 2: gluteus_medius_right, 3: soleus_left } }
//!     generate:
//!       duration: 4.5 s
//!       gaps: [[3.1 s, 3.2 s]]
//!       columns:
//!         gluteus_medius_left_v:
//!           - { noise: { amplitude: 5e-6, seed: 1 } }
//!           - { burst: { from: 1 s, to: 1.3 s, amplitude: 5e-5, seed: 2 } }
//!           - { burst: { from: 2 s, to: 2.6 s, amplitude: 4e-6, seed: 3 } }
//!           - { burst: { from: 4 s, to: 4.3 s, amplitude: 5e-5, seed: 4 } }
//!         gluteus_medius_right_v:
//!           - { noise: { amplitude: 5e-6, seed: 5 } }
//!           - { burst: { from: 1.04 s, to: 1.4 s, amplitude: 2e-5, seed: 6 } }
//!           - { burst: { from: 3 s, to: 3.5 s, amplitude: 2e-5, seed: 7 } }
//! ```
//! ```csv
//! time_ns,muscle,event,onset_sd_ms,onset_ahead_ms,offset_sd_ms,snr_db,reason
//! 999500000,gluteus_medius_left,onset,3.14298,1.6259,,18.9579,
//! 1038820371,gluteus_medius_right,onset,13.1425,6.27473,,10.8324,
//! 1306820371,gluteus_medius_left,offset,,,3.39215,,
//! 1400820371,gluteus_medius_right,offset,,,5.38642,,
//! 1949500000,gluteus_medius_left,refused,,,,-2.04141,signal-to-noise ratio below 3 dB
//! 2998820371,gluteus_medius_right,onset,2.03504,0.954353,,12.396,
//! 3998820371,gluteus_medius_left,onset,1.58985,0.456853,,21.1825,
//! 4310820371,gluteus_medius_left,offset,,,4.79821,,
//! # 8 rows, every bit hashed: 13a88bfdf919a6c6
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use proprio_core::quantity::{Duration, Frequency};
use proprio_core::schema::{FieldExt, float, text};
use proprio_core::time::SECOND_NS;
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::device::{device_column, swaps};
use crate::kernels::emg::{self, Channel, keep};
use crate::kernels::emg_onset::{Detector, DetectorOptions, DetectorSettings, Found, Refusal, SEARCH_S, What};
use crate::kernels::filter::{Filter, FilterState};

/// What the watermark lags by beyond the search, for the filter's delay and uneven sample times.
const SLACK_S: f64 = 0.02;

/// Onsets and offsets of muscle activity, each onset with its standard deviation.
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
    /// Log-likelihood ratio, in nats, at which a change is believed: more means fewer false alarms and later ones.
    threshold: f64,
    /// Power that the muscle adds over the power at rest, in decibels, below which an onset is refused.
    min_snr_db: f64,
    /// Rest that is learned before anything is detected.
    baseline: Duration,
    /// Shortest activity that counts.
    shortest_burst: Duration,
    /// Shortest rest that ends an activity.
    shortest_rest: Duration,
    /// Longest activity that is believed.
    longest_burst: Duration,
    /// Step in time beyond which samples count as missing (at least one and a half periods).
    gap: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let options = DetectorOptions::default();
        Self {
            muscles: Vec::new(),
            band: None,
            order: 2,
            notch: None,
            threshold: options.threshold,
            min_snr_db: options.min_snr_db,
            baseline: Duration::new(options.baseline_s),
            shortest_burst: Duration::new(options.shortest_burst_s),
            shortest_rest: Duration::new(options.shortest_rest_s),
            longest_burst: Duration::new(options.longest_burst_s),
            gap: Duration::new(0.005),
        }
    }
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        let channels = keep(&mut findings, emg::channels(&ports[0], &self.muscles));
        self.check_limits(&mut findings);
        let Some(rate) = keep(&mut findings, emg::rate(&ports[0])) else { return Err(findings) };
        let band = keep(&mut findings, emg::band_filter(self.band, self.order, self.notch, rate));
        let longest_step_ns = keep(&mut findings, emg::longest_step_ns(self.gap, rate));
        let (Some(mut channels), Some(band), Some(longest_step_ns), true) = (channels, band, longest_step_ns, findings.is_empty()) else {
            return Err(findings);
        };
        channels.sort_by(|a, b| a.muscle.cmp(&b.muscle));
        let options = DetectorOptions {
            threshold: self.threshold,
            min_snr_db: self.min_snr_db,
            baseline_s: self.baseline.seconds(),
            shortest_burst_s: self.shortest_burst.seconds(),
            shortest_rest_s: self.shortest_rest.seconds(),
            longest_burst_s: self.longest_burst.seconds(),
        };
        let fields = vec![
            text("muscle").required(),
            text("event").required(),
            float("onset_sd_ms", "ms"),
            float("onset_ahead_ms", "ms"),
            float("offset_sd_ms", "ms"),
            float("snr_db", "dB"),
            text("reason"),
        ];
        let output = StreamSchema::new(fields, &["muscle", "event"], None);
        let hertz = rate.hertz();
        let operator = Onsets {
            channels,
            settings: DetectorSettings::new(options, &band, hertz),
            band,
            sample_s: 1.0 / hertz,
            lag_ns: nanoseconds(SEARCH_S + SLACK_S),
            longest_step_ns,
            device: device_column(&ports[0]),
            min_snr_db: self.min_snr_db,
            output: output.clone(),
        };
        Ok(Planned::new(operator, output))
    }
}

impl Config {
    fn check_limits(&self, findings: &mut Findings) {
        let mut check = |pointer: &str, value: f64, low: f64, high: f64, unit: &str| {
            if !(low..=high).contains(&value) {
                findings.push(PlanFinding::config(pointer, format!("{value}{unit} is not within {low}{unit} to {high}{unit}")));
            }
        };
        check("/threshold", self.threshold, 2.0, 1000.0, "");
        check("/min_snr_db", self.min_snr_db, -10.0, 40.0, " dB");
        check("/baseline", self.baseline.seconds(), 0.1, 10.0, " s");
        check("/shortest_burst", self.shortest_burst.seconds(), 0.0, 1.0, " s");
        check("/shortest_rest", self.shortest_rest.seconds(), 0.0, 0.25, " s");
        check("/longest_burst", self.longest_burst.seconds(), 1.0, 600.0, " s");
    }
}

fn nanoseconds(seconds: f64) -> i64 {
    (seconds * SECOND_NS as f64).round() as i64
}

struct Onsets {
    /// By name, which is the order of rows at one instant.
    channels: Vec<Channel>,
    settings: DetectorSettings,
    band: Filter,
    sample_s: f64,
    /// No event is older than this when its alarm is raised.
    lag_ns: i64,
    longest_step_ns: i64,
    /// Index of the input's device.
    device: Option<usize>,
    min_snr_db: f64,
    output: StreamSchema,
}

/// What the detectors remember.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    /// Times of the newest samples; the last one has index `samples` − 1.
    times: VecDeque<TimeNs>,
    samples: u64,
    device: Option<i64>,
    channels: Vec<ChannelState>,
    /// Events that wait until none can come before them.
    pending: Vec<Event>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ChannelState {
    /// The first raw sample, taken off all that follow: a filter that starts on an offset would ring.
    offset: Option<f64>,
    band: FilterState,
    detector: Detector,
}

/// A row; ordered by time, muscle, event.
#[derive(Clone, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
struct Event {
    time: TimeNs,
    muscle: usize,
    event: String,
    onset_sd_ms: Option<f64>,
    onset_ahead_ms: Option<f64>,
    offset_sd_ms: Option<f64>,
    snr_db: Option<f64>,
    reason: Option<String>,
}

impl Operator for Onsets {
    type State = State;

    fn start(&self) -> State {
        let channels = self.channels.iter().map(|_| self.channel(0)).collect();
        State { times: VecDeque::new(), samples: 0, device: None, channels, pending: Vec::new() }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let input = &inputs[0];
        let times = rows::times(input);
        let swaps = swaps(input, self.device, &mut state.device);
        let breaks = emg::breaks(times, state.times.back().copied(), self.longest_step_ns, &swaps);
        let first = state.samples;
        state.times.extend(times);
        state.samples += times.len() as u64;
        let mut found = Vec::new();
        for (muscle, channel) in self.channels.iter().enumerate() {
            let raw = rows::floats(input, channel.index);
            for (row, is_break) in breaks.iter().enumerate() {
                let sample = rows::float_or_nan(raw, row);
                let index = first + row as u64;
                if *is_break || !sample.is_finite() {
                    self.cut(state, muscle, index + u64::from(!sample.is_finite()), &mut found);
                }
                if sample.is_finite() {
                    let memory = &mut state.channels[muscle];
                    let offset = *memory.offset.get_or_insert(sample);
                    memory.detector.push(&self.settings, self.band.step(&mut memory.band, sample - offset), &mut found);
                    self.note(state, muscle, &mut found);
                }
            }
        }
        // Once the watermark is further than a gap ahead, the next row can only come after one.
        if state.times.back().is_some_and(|last| watermark.saturating_sub(*last) > self.longest_step_ns) {
            self.cut_all(state);
        }
        let promised = self.promise(state, watermark);
        self.emit(state, promised, out);
        let surplus = state.times.len().saturating_sub(self.settings.reach());
        state.times.drain(..surplus);
        promised
    }

    fn flush(&self, state: &mut State, out: &mut Output) {
        self.cut_all(state);
        self.emit(state, TimeNs::MAX, out);
    }
}

impl Onsets {
    fn channel(&self, index: u64) -> ChannelState {
        ChannelState { offset: None, band: self.band.start(), detector: Detector::new(&self.settings, index) }
    }

    /// Ends a channel's stretch of samples; the next sample has this index.
    fn cut(&self, state: &mut State, muscle: usize, next: u64, found: &mut Vec<Found>) {
        state.channels[muscle].detector.finish(&self.settings, found);
        self.note(state, muscle, found);
        state.channels[muscle] = self.channel(next);
    }

    fn cut_all(&self, state: &mut State) {
        let mut found = Vec::new();
        for muscle in 0..self.channels.len() {
            self.cut(state, muscle, state.samples, &mut found);
        }
    }

    /// The time up to which nothing more will be found: a detector that waits for a decision may find something before its alarm.
    fn promise(&self, state: &State, watermark: TimeNs) -> TimeNs {
        let waiting = state.channels.iter().filter_map(|channel| channel.detector.waiting_since());
        let alarms = waiting.map(|alarm| time_at(state, alarm));
        alarms.fold(watermark, TimeNs::min).saturating_sub(self.lag_ns)
    }

    fn note(&self, state: &mut State, muscle: usize, found: &mut Vec<Found>) {
        for Found { index, lead, alarm, what } in found.drain(..) {
            let earliest = time_at(state, alarm).saturating_sub(self.lag_ns) + 1;
            let time = time_at(state, index).saturating_sub(nanoseconds(lead * self.sample_s)).max(earliest);
            let milliseconds = |sd: f64| Some(1000.0 * self.sample_s * sd);
            let of = |event: &str| Event { time, muscle, event: event.to_owned(), ..Event::default() };
            let event = match what {
                What::Onset { sd, ahead, snr_db } => {
                    let (onset_sd_ms, onset_ahead_ms) = (milliseconds(sd), milliseconds(ahead));
                    Event { onset_sd_ms, onset_ahead_ms, snr_db: Some(snr_db), ..of("onset") }
                }
                What::Offset { sd } => Event { offset_sd_ms: milliseconds(sd), ..of("offset") },
                What::Refused { snr_db, reason } => Event { snr_db: Some(snr_db), reason: Some(self.said(reason)), ..of("refused") },
            };
            let at = state.pending.partition_point(|other| (other.time, other.muscle, &other.event) < (time, muscle, &event.event));
            if state.pending.get(at).is_none_or(|other| (other.time, other.muscle, &other.event) != (time, muscle, &event.event)) {
                state.pending.insert(at, event);
            }
        }
    }

    fn said(&self, reason: Refusal) -> String {
        match reason {
            Refusal::Snr => format!("signal-to-noise ratio below {} dB", self.min_snr_db),
            Refusal::Short => "shorter than the shortest burst".to_owned(),
            Refusal::Endless => "longer than the longest burst: the baseline is learned anew".to_owned(),
        }
    }

    /// Emits the pending events up to `until`.
    fn emit(&self, state: &mut State, until: TimeNs, out: &mut Output) {
        let ready = state.pending.partition_point(|event| event.time <= until);
        let events: Vec<Event> = state.pending.drain(..ready).collect();
        let muscle = |event: &Event| Some(self.channels[event.muscle].muscle.as_str());
        let columns: Vec<ArrayRef> = vec![
            Arc::new(events.iter().map(|event| event.time).collect::<Int64Array>()),
            Arc::new(events.iter().map(muscle).collect::<StringArray>()),
            Arc::new(events.iter().map(|event| Some(event.event.as_str())).collect::<StringArray>()),
            Arc::new(events.iter().map(|event| event.onset_sd_ms).collect::<Float64Array>()),
            Arc::new(events.iter().map(|event| event.onset_ahead_ms).collect::<Float64Array>()),
            Arc::new(events.iter().map(|event| event.offset_sd_ms).collect::<Float64Array>()),
            Arc::new(events.iter().map(|event| event.snr_db).collect::<Float64Array>()),
            Arc::new(events.iter().map(|event| event.reason.as_deref()).collect::<StringArray>()),
        ];
        out.push(rows::batch(&self.output, columns));
    }
}

/// Time of the sample with this index; the beginning of time when it is out of reach.
fn time_at(state: &State, index: u64) -> TimeNs {
    let back = state.samples.saturating_sub(index) as usize;
    let position = state.times.len().checked_sub(back);
    position.and_then(|position| state.times.get(position)).copied().unwrap_or(TimeNs::MIN)
}

#[cfg(test)]
mod tests {
    use proprio_core::{At, Rate};
    use serde_json::json;

    use crate::kernels::testing::{Noise, assert_chunking_is_invisible, emg_batch, emg_schema, numbers, plan, run, run_in_chunks, texts};

    use super::*;

    const RATE: Rate = Rate::hz(2000);

    /// Noise of 5 µV RMS in the band, `gain` times as much within each of these stretches of seconds.
    fn bursts(seconds: f64, active: &[(f64, f64)], gain: f64, seed: u64) -> Vec<f64> {
        let samples = Noise::new(seed).band_limited((seconds * 2000.0) as usize, 2000.0).into_iter().enumerate();
        let is_active = |t: f64| active.iter().any(|(from, to)| (*from..*to).contains(&t));
        samples.map(|(k, x)| 5e-6 * x * if is_active(k as f64 / 2000.0) { gain } else { 1.0 }).collect()
    }

    fn events(found: &RecordBatch) -> Vec<(f64, String, String)> {
        let times = rows::times(found).iter().map(|time| *time as f64 / 1e9);
        times.zip(texts(found, "muscle")).zip(texts(found, "event")).map(|((time, muscle), event)| (time, muscle, event)).collect()
    }

    #[test]
    fn every_burst_has_its_onset_and_its_offset() {
        let schema = emg_schema(&["vastus_left", "soleus_left"], RATE);
        let walking: Vec<(f64, f64)> = (1..10).map(|n| (f64::from(n), f64::from(n) + 0.4)).collect();
        let batch = emg_batch(&schema, &[bursts(11.0, &walking, 5.0, 1), bursts(11.0, &[(2.0, 2.1)], 10.0, 2)]);
        let found = run(&plan("emg_onset", json!({}), &schema).expect("a plan"), &batch);
        let events = events(&found);
        let of = |muscle: &str, event: &str| {
            events.iter().filter(|(_, m, e)| m == muscle && e == event).map(|(time, ..)| *time).collect::<Vec<_>>()
        };
        for (found, expected) in [("onset", 0.0), ("offset", 0.4)] {
            let times = of("vastus_left", found);
            assert_eq!(times.len(), 9, "{events:?}");
            assert!(times.iter().enumerate().all(|(n, time)| (time - (n as f64 + 1.0 + expected)).abs() < 0.02), "{times:?}");
        }
        assert_eq!((of("soleus_left", "onset").len(), of("soleus_left", "offset").len()), (1, 1));
        assert!((of("soleus_left", "onset")[0] - 2.0).abs() < 0.005);
        let deviations = numbers(&found, "onset_sd_ms");
        let is_onset = events.iter().map(|(.., event)| event == "onset");
        assert!(is_onset.zip(&deviations).all(|(is_onset, sd)| is_onset == sd.is_some_and(|sd| sd > 0.1 && sd < 20.0)));
    }

    #[test]
    fn a_stream_may_begin_in_a_contraction() {
        let schema = emg_schema(&["soleus_left"], RATE);
        let batch = emg_batch(&schema, &[bursts(6.0, &[(0.0, 1.5), (3.0, 3.4), (4.0, 4.4)], 6.0, 3)]);
        let found = events(&run(&plan("emg_onset", json!({}), &schema).expect("a plan"), &batch));
        let onsets: Vec<f64> = found.iter().filter(|(.., event)| event == "onset").map(|(time, ..)| *time).collect();
        assert_eq!(onsets.len(), 2, "{found:?}");
        assert!((onsets[0] - 3.0).abs() < 0.02 && (onsets[1] - 4.0).abs() < 0.02, "{found:?}");
    }

    #[test]
    fn a_refusal_says_why() {
        let schema = emg_schema(&["soleus_left"], RATE);
        let weak = emg_batch(&schema, &[bursts(6.0, &[(2.0, 4.0)], 1.4, 4)]);
        let found = run(&plan("emg_onset", json!({}), &schema).expect("a plan"), &weak);
        assert!(found.num_rows() > 0 && texts(&found, "event").iter().all(|event| event == "refused"));
        assert_eq!(texts(&found, "reason")[0], "signal-to-noise ratio below 3 dB");
        assert!((-2.0..1.5).contains(&numbers(&found, "snr_db").value(0)));
        let endless = emg_batch(&schema, &[bursts(8.0, &[(2.0, 8.0)], 5.0, 5)]);
        let found = run(&plan("emg_onset", json!({ "longest_burst": "2 s" }), &schema).expect("a plan"), &endless);
        assert_eq!(texts(&found, "event"), ["onset", "refused"]);
        assert_eq!(texts(&found, "reason")[1], "longer than the longest burst: the baseline is learned anew");
        let artefact = emg_batch(&schema, &[bursts(4.0, &[(2.0, 2.005)], 100.0, 6)]);
        let found = run(&plan("emg_onset", json!({}), &schema).expect("a plan"), &artefact);
        assert_eq!(texts(&found, "reason"), ["shorter than the shortest burst"]);
    }

    #[test]
    fn a_dead_channel_has_no_events() {
        let schema = emg_schema(&["soleus_left"], RATE);
        for samples in [vec![0.0; 8000], vec![0.25; 8000]] {
            assert_eq!(run(&plan("emg_onset", json!({}), &schema).expect("a plan"), &emg_batch(&schema, &[samples])).num_rows(), 0);
        }
    }

    #[test]
    fn a_loss_cuts_what_was_waiting() {
        let schema = emg_schema(&["soleus_left"], RATE);
        let mut samples = bursts(6.0, &[(2.0, 2.4), (4.0, 4.4)], 5.0, 7);
        samples[4100] = f64::NAN;
        let planned = plan("emg_onset", json!({}), &schema).expect("a plan");
        let found = events(&run(&planned, &emg_batch(&schema, &[samples])));
        let said: Vec<(i64, &str)> = found.iter().map(|(time, _, event)| ((time * 10.0).round() as i64, event.as_str())).collect();
        assert_eq!(said, [(20, "onset"), (40, "onset"), (44, "offset")]);
    }

    #[test]
    fn chunking_is_invisible_and_promises_lag_by_no_more_than_stated() {
        let schema = emg_schema(&["vastus_left", "soleus_left"], RATE);
        let active: Vec<(f64, f64)> = (1..6).map(|n| (f64::from(n), f64::from(n) + 0.3)).collect();
        let mut gappy = bursts(6.5, &active, 1.6, 9);
        gappy[7000] = f64::NAN;
        let batch = emg_batch(&schema, &[bursts(6.5, &active, 4.0, 8), gappy]);
        let kept =
            arrow_select::concat::concat_batches(&schema.columns, [&batch.slice(0, 4200), &batch.slice(4300, 8700)]).expect("one schema");
        let planned = plan("emg_onset", json!({ "threshold": 7 }), &schema).expect("a plan");
        assert_chunking_is_invisible(&planned, &kept, 10);
        let watermark = rows::times(&batch)[9000];
        let (_, promised) = run_in_chunks(&planned, &batch, &[watermark]);
        assert!((320_000_000..=620_000_000).contains(&(watermark - promised)), "{}", watermark - promised);
    }

    #[test]
    fn a_wrong_configuration_is_refused_with_its_pointer() {
        let schema = emg_schema(&["soleus_left"], RATE);
        for (config, pointer) in [
            (json!({ "band": ["450 Hz", "20 Hz"] }), "/band"),
            (json!({ "order": 0 }), "/order"),
            (json!({ "muscles": ["soleus_left", "x"] }), "/muscles/1"),
            (json!({ "threshold": 0.0 }), "/threshold"),
            (json!({ "min_snr_db": -20.0 }), "/min_snr_db"),
            (json!({ "baseline": "0 s" }), "/baseline"),
            (json!({ "shortest_rest": "1 s" }), "/shortest_rest"),
            (json!({ "longest_burst": "1 h" }), "/longest_burst"),
            (json!({ "gap": "0 s" }), "/gap"),
        ] {
            let findings = plan("emg_onset", config.clone(), &schema).expect_err(&config.to_string());
            assert_eq!(findings[0].at, At::Config(pointer.into()), "{config}: {findings:?}");
        }
        assert!(plan("emg_onset", json!({ "snr": 3 }), &schema).is_err());
    }
}
