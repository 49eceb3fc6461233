//! When did a muscle switch on, how sure is that, and when did it switch off?
//!
//! The approximated generalised likelihood ratio of Staude (2001) on the variance of band-passed EMG: Gaussian samples of known
//! variance at rest, of unknown larger variance when active. An alarm on trailing windows of 25 to 200 ms is followed by a search
//! for the maximum-likelihood change time among the samples before it. Instead of whitening, sample counts are scaled by the
//! degrees of freedom that band-limited noise has a sample, which is the same information. The spread of the likelihood over change
//! times is the onset's standard deviation.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::kernels::emg::noise_correlation;
use crate::kernels::filter::Filter;

/// How far before its alarm an onset is searched, in seconds: the longest alarm window and what a slow rise needs.
pub const SEARCH_S: f64 = 0.3;
/// How long after its alarm an onset is decided at the earliest, and how often it is looked at again while in doubt.
const CONFIRM_S: f64 = 0.1;
/// How often that is, at most.
const CONFIRMATIONS: u64 = 3;
/// The latest that an onset is decided after its alarm, in seconds.
pub const DECISION_S: f64 = CONFIRM_S * CONFIRMATIONS as f64;
/// Lengths of the alarm windows, in seconds.
const WINDOWS_S: [f64; 4] = [0.025, 0.05, 0.1, 0.2];
/// Which of them also watches for a rest that is quieter than the baseline, and by which ratio of variances it must be.
const QUIET_WINDOW: usize = 3;
const QUIET_RATIO: f64 = 0.5;
/// Alarms are looked for once a block of this many seconds.
const BLOCK_S: f64 = 0.002;
/// Filters settle for this long before the baseline is learned.
const SETTLE_S: f64 = 0.1;
/// How much rest the baseline's average reaches back over, in seconds.
const MEMORY_S: f64 = 2.0;
/// Variance ratios that the search for an offset works with, whatever the burst's is.
const OFFSET_RATIOS: (f64, f64) = (2.0, 30.0);
/// Least variance at rest, (1 nV)²: below any amplifier's noise.
const LEAST_VARIANCE: f64 = 1e-18;
/// How many standard deviations below the least ratio an estimate must lie to be refused, above it to be beyond doubt.
const REFUSAL_SD: f64 = 1.5;
const CERTAIN_SD: f64 = 3.0;

/// What a detector is told; everything in samples once planned.
#[derive(Clone, Debug)]
pub struct DetectorSettings {
    /// Degrees of freedom a sample.
    freedom: f64,
    threshold: f64,
    min_snr_db: f64,
    block: usize,
    /// Blocks of each window and the variance ratio at which it alarms.
    windows: [(usize, f64); WINDOWS_S.len()],
    search: u64,
    confirm: u64,
    settle: u64,
    baseline: u64,
    memory: u64,
    shortest_burst: u64,
    shortest_rest: u64,
    longest_burst: u64,
}

/// What a pipeline may set.
#[derive(Clone, Copy, Debug)]
pub struct DetectorOptions {
    /// Log-likelihood ratio, in nats, at which a change is believed.
    pub threshold: f64,
    /// Ratio of active to resting RMS below which an onset is refused, in decibels.
    pub min_snr_db: f64,
    /// Rest that is learned before anything is detected, in seconds.
    pub baseline_s: f64,
    /// Shortest activity that is reported, in seconds.
    pub shortest_burst_s: f64,
    /// Shortest rest that ends an activity, in seconds.
    pub shortest_rest_s: f64,
    /// Longest activity that is believed before the baseline is learned anew, in seconds.
    pub longest_burst_s: f64,
}

impl DetectorSettings {
    /// For samples at `rate_hz` behind `filter`.
    pub fn new(options: DetectorOptions, filter: &Filter, rate_hz: f64) -> Self {
        let samples = |seconds: f64| (seconds * rate_hz).round().max(1.0) as u64;
        let correlation = noise_correlation(filter, rate_hz, samples(0.1) as usize);
        let freedom = 1.0 / (2.0 * correlation.iter().map(|r| r * r).sum::<f64>() - 1.0);
        let block = samples(BLOCK_S) as usize;
        let windows = WINDOWS_S.map(|seconds| {
            let blocks = ((seconds * rate_hz / block as f64).round() as usize).max(1);
            (blocks, ratio_at(options.threshold, freedom * (blocks * block) as f64))
        });
        Self {
            freedom,
            threshold: options.threshold,
            min_snr_db: options.min_snr_db,
            block,
            windows,
            search: samples(SEARCH_S),
            confirm: samples(CONFIRM_S),
            settle: samples(SETTLE_S),
            baseline: samples(options.baseline_s),
            memory: samples(MEMORY_S),
            shortest_burst: samples(options.shortest_burst_s),
            shortest_rest: samples(options.shortest_rest_s),
            longest_burst: samples(options.longest_burst_s),
        }
    }

    /// Samples that a detector keeps; no event is older than that when it is found.
    pub fn reach(&self) -> usize {
        (self.search + CONFIRMATIONS * self.confirm + 1) as usize
    }
}

/// What a detector found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Index of the sample at which it happened.
    pub index: u64,
    /// Index of the sample that raised the alarm: the event lies at most [`SEARCH_S`] before it.
    pub alarm: u64,
    /// What happened.
    pub what: What,
}

/// What happened in a channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    /// Activity began.
    Onset {
        /// Standard deviation of the onset, in samples.
        sd: f64,
        /// Active over resting RMS, in decibels.
        snr_db: f64,
    },
    /// The activity before ended.
    Offset,
    /// Something began that isn't reported as an onset.
    Refused {
        /// Active over resting RMS, in decibels.
        snr_db: f64,
        /// Why.
        reason: Refusal,
    },
}

/// Why an onset is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its signal-to-noise ratio is too low for a time that means anything.
    Snr,
    /// It is too short for a muscle.
    Short,
    /// It doesn't end: the baseline has moved.
    Endless,
}

/// One channel's detector. Indices count the samples of the stream and only ever grow; a loss starts a new detector.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Detector {
    phase: Phase,
    /// Squares of the newest samples; the last one has index `end` − 1.
    squares: VecDeque<f64>,
    end: u64,
    /// Index of the next sample to judge: behind `end` while a decision is played out over what came after it.
    next: u64,
    /// Sums over the newest blocks, and the open one.
    blocks: VecDeque<f64>,
    open: (f64, usize),
    /// Variance at rest, the samples it stands on, and the first index that may still enter it.
    baseline: f64,
    learned: u64,
    learn_from: u64,
    /// Nothing before this index may be found again.
    search_from: u64,
    /// The newest alarm that was decided: what is played out again alarms after it alone, so that nothing is found behind what was
    /// promised while it waited.
    last_alarm: u64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Phase {
    Settling {
        until: u64,
    },
    Learning,
    Rest,
    /// An alarm at this index waits for more samples, up to `deadline`.
    Confirming {
        alarm: u64,
        deadline: u64,
    },
    Active(Activity),
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Activity {
    onset: u64,
    is_refused: bool,
    /// Variance ratio that a rest is told from.
    ratio: f64,
    /// Cumulated evidence of rest, and the index it begins at.
    evidence: f64,
    rest_from: u64,
}

impl Detector {
    /// A detector whose first sample will have this index.
    pub fn new(settings: &DetectorSettings, index: u64) -> Self {
        Self {
            phase: Phase::Settling { until: index + settings.settle },
            squares: VecDeque::new(),
            end: index,
            next: index,
            blocks: VecDeque::new(),
            open: (0.0, 0),
            baseline: 0.0,
            learned: 0,
            learn_from: index,
            search_from: index,
            last_alarm: 0,
        }
    }

    /// Index of the alarm that waits for its decision: until that is taken, an event up to [`SEARCH_S`] before it may be found.
    pub fn waiting_since(&self) -> Option<u64> {
        match self.phase {
            Phase::Confirming { alarm, .. } => Some(alarm),
            _ => None,
        }
    }

    /// Takes the next band-passed sample.
    pub fn push(&mut self, settings: &DetectorSettings, sample: f64, found: &mut Vec<Found>) {
        self.squares.push_back(sample * sample);
        self.end += 1;
        if self.squares.len() > settings.reach() {
            self.forget_oldest(settings);
        }
        self.judge_all(settings, found);
    }

    /// No sample follows: decides what is waiting. An activity that hasn't ended has no offset.
    pub fn finish(&mut self, settings: &DetectorSettings, found: &mut Vec<Found>) {
        while let Phase::Confirming { alarm, .. } = self.phase {
            self.decide(settings, alarm, self.end - 1, found);
            self.judge_all(settings, found);
        }
    }

    fn judge_all(&mut self, settings: &DetectorSettings, found: &mut Vec<Found>) {
        while self.next < self.end {
            let index = self.next;
            self.next += 1;
            let square = self.squares[(index + self.squares.len() as u64 - self.end) as usize];
            self.judge(settings, index, square, found);
        }
    }

    /// Variance at rest; a dead channel counts as having some.
    fn resting(&self) -> f64 {
        self.baseline.max(LEAST_VARIANCE)
    }

    /// The oldest sample leaves; at rest it enters the baseline.
    fn forget_oldest(&mut self, settings: &DetectorSettings) {
        let square = self.squares.pop_front().expect("there is more than one sample");
        let index = self.end - 1 - self.squares.len() as u64;
        if matches!(self.phase, Phase::Rest) && index >= self.learn_from {
            self.learn(square, settings.memory);
        }
    }

    fn learn(&mut self, square: f64, memory: u64) {
        self.learned = (self.learned + 1).min(memory);
        self.baseline += (square - self.baseline) / self.learned as f64;
    }

    fn judge(&mut self, settings: &DetectorSettings, index: u64, square: f64, found: &mut Vec<Found>) {
        match self.phase {
            Phase::Settling { until } => {
                if index + 1 >= until {
                    self.phase = Phase::Learning;
                    self.search_from = index + 1;
                }
            }
            Phase::Learning => {
                self.learn(square, settings.memory);
                if self.learned >= settings.baseline {
                    self.rest_from(index + 1, index + 1);
                }
            }
            Phase::Rest => self.watch(settings, index, square),
            Phase::Confirming { alarm, deadline } => {
                let waited = index - alarm;
                let is_last = index >= deadline;
                if is_last || waited.is_multiple_of(settings.confirm) && self.is_beyond_doubt(settings, alarm, index) {
                    self.decide(settings, alarm, index, found);
                }
            }
            Phase::Active(activity) => self.follow(settings, activity, index, square, found),
        }
    }

    /// At rest from `index` on; what is learned begins at `learn_from`.
    fn rest_from(&mut self, index: u64, learn_from: u64) {
        self.phase = Phase::Rest;
        self.search_from = index;
        self.learn_from = learn_from;
        self.blocks.clear();
        self.open = (0.0, 0);
    }

    /// Rest: looks for an alarm once a block, and for a rest that is quieter than the one that was learned.
    fn watch(&mut self, settings: &DetectorSettings, index: u64, square: f64) {
        self.open = (self.open.0 + square, self.open.1 + 1);
        if self.open.1 < settings.block {
            return;
        }
        if self.blocks.len() == settings.windows[WINDOWS_S.len() - 1].0 {
            self.blocks.pop_front();
        }
        self.blocks.push_back(self.open.0);
        self.open = (0.0, 0);
        if index <= self.last_alarm {
            return;
        }
        let (mut sum, mut summed) = (0.0, 0);
        for (window, (blocks, ratio)) in settings.windows.iter().enumerate() {
            if self.blocks.len() < *blocks {
                return;
            }
            sum += self.blocks.iter().rev().skip(summed).take(blocks - summed).sum::<f64>();
            summed = *blocks;
            let variance = sum / (blocks * settings.block) as f64;
            if variance > ratio * self.resting() {
                self.phase = Phase::Confirming { alarm: index, deadline: index + CONFIRMATIONS * settings.confirm };
                return;
            }
            if window == QUIET_WINDOW && variance < QUIET_RATIO * self.baseline && variance > 0.0 {
                self.baseline = variance;
                self.learned = (blocks * settings.block) as u64;
                self.learn_from = index + 1;
            }
        }
    }

    /// Squares from index `from` up to and with `last`.
    fn range(&self, from: u64, last: u64) -> Vec<f64> {
        let oldest = self.end - self.squares.len() as u64;
        self.squares.range((from - oldest) as usize..=(last - oldest) as usize).copied().collect()
    }

    /// The likeliest burst around an alarm, given the samples up to `last`; its onset's index.
    fn burst(&self, settings: &DetectorSettings, alarm: u64, last: u64) -> (u64, Burst) {
        let oldest = self.end - self.squares.len() as u64;
        let from = self.search_from.max(alarm.saturating_sub(settings.search)).max(oldest);
        let burst = likeliest_burst(&self.range(from, last), (alarm - from) as usize, self.resting(), settings.freedom);
        (from + burst.onset as u64, burst)
    }

    /// Standard deviation of a burst's ratio in decibels, from the samples on both sides of it.
    fn snr_sd_db(&self, settings: &DetectorSettings, burst: &Burst) -> f64 {
        let relative = 2.0 / (settings.freedom * burst.length as f64) + 2.0 / (settings.freedom * self.learned as f64);
        10.0 / std::f64::consts::LN_10 * relative.sqrt()
    }

    fn is_beyond_doubt(&self, settings: &DetectorSettings, alarm: u64, last: u64) -> bool {
        let (_, burst) = self.burst(settings, alarm, last);
        (burst.snr_db() - settings.min_snr_db).abs() > CERTAIN_SD * self.snr_sd_db(settings, &burst)
    }

    /// Reports or refuses the burst around an alarm, and plays the samples after its onset again as activity.
    fn decide(&mut self, settings: &DetectorSettings, alarm: u64, last: u64, found: &mut Vec<Found>) {
        let (index, burst) = self.burst(settings, alarm, last);
        let snr_db = burst.snr_db();
        let reason = if snr_db + REFUSAL_SD * self.snr_sd_db(settings, &burst) < settings.min_snr_db {
            Some(Refusal::Snr)
        } else if (burst.length as u64) < settings.shortest_burst {
            Some(Refusal::Short)
        } else {
            None
        };
        let what = match reason {
            Some(reason) => What::Refused { snr_db, reason },
            None => What::Onset { sd: burst.onset_sd, snr_db },
        };
        found.push(Found { index, alarm, what });
        self.last_alarm = alarm;
        let ratio = burst.ratio.clamp(OFFSET_RATIOS.0, OFFSET_RATIOS.1);
        self.phase = Phase::Active(Activity { onset: index, is_refused: reason.is_some(), ratio, evidence: 0.0, rest_from: index });
        self.next = index;
    }

    /// Activity: cumulates evidence of rest, whose maximum-likelihood beginning is where the sum last left zero.
    fn follow(&mut self, settings: &DetectorSettings, mut activity: Activity, index: u64, square: f64, found: &mut Vec<Found>) {
        let ratio = activity.ratio;
        activity.evidence += settings.freedom / 2.0 * (libm::log(ratio) - square / self.resting() * (1.0 - 1.0 / ratio));
        if activity.evidence <= 0.0 {
            activity.evidence = 0.0;
            activity.rest_from = index + 1;
        }
        self.phase = Phase::Active(activity);
        let rest = index + 1 - activity.rest_from;
        if activity.evidence > settings.threshold && rest >= settings.shortest_rest {
            if !activity.is_refused {
                found.push(Found { index: activity.rest_from, alarm: index.max(self.last_alarm), what: What::Offset });
            }
            self.rest_from(activity.rest_from.max(activity.onset + 1), activity.rest_from + settings.shortest_rest);
        } else if index - activity.onset > settings.longest_burst {
            let snr_db = 10.0 * libm::log10(ratio);
            found.push(Found { index, alarm: index.max(self.last_alarm), what: What::Refused { snr_db, reason: Refusal::Endless } });
            *self = Self { squares: VecDeque::new(), last_alarm: self.last_alarm, ..Self::new(settings, self.end) };
        }
    }
}

/// A stretch of larger variance.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Burst {
    onset: usize,
    length: usize,
    /// Variance over the baseline's.
    ratio: f64,
    onset_sd: f64,
}

impl Burst {
    fn snr_db(&self) -> f64 {
        10.0 * libm::log10(self.ratio)
    }
}

/// The stretch of `squares` that holds `alarm` and has the largest likelihood ratio against rest: its two ends are searched in turn.
fn likeliest_burst(squares: &[f64], alarm: usize, baseline: f64, freedom: f64) -> Burst {
    let scale = 1.0 / baseline;
    let mut cumulated = Vec::with_capacity(squares.len() + 1);
    cumulated.push(0.0);
    for square in squares {
        cumulated.push(cumulated[cumulated.len() - 1] + square * scale);
    }
    let likelihood = |from: usize, to: usize| {
        let length = (to - from) as f64;
        let ratio = (cumulated[to] - cumulated[from]) / length;
        if ratio > 1.0 { freedom * length / 2.0 * (ratio - 1.0 - libm::log(ratio)) } else { 0.0 }
    };
    let (mut from, mut to) = (0, squares.len());
    for _ in 0..3 {
        let before = (from, to);
        from = likeliest(0..alarm.max(1), |from| likelihood(from, to));
        to = likeliest(alarm + 1..squares.len() + 1, |to| likelihood(from, to));
        if (from, to) == before {
            break;
        }
    }
    let ratio = ((cumulated[to] - cumulated[from]) / (to - from) as f64).max(1.0);
    let (onset, onset_sd) = weighted(0..alarm.max(1), |from| likelihood(from, to));
    Burst { onset, length: to - from, ratio, onset_sd }
}

fn likeliest(candidates: std::ops::Range<usize>, likelihood: impl Fn(usize) -> f64) -> usize {
    let start = candidates.start;
    let scored = candidates.map(|candidate| (likelihood(candidate), candidate));
    scored.fold((f64::NEG_INFINITY, start), |best, next| if next.0 > best.0 { next } else { best }).1
}

/// Median and standard deviation over candidates that are weighted by their likelihood; the deviation is never less than that of one
/// sample's width.
fn weighted(candidates: std::ops::Range<usize>, likelihood: impl Fn(usize) -> f64) -> (usize, f64) {
    let mut weights: Vec<(f64, f64)> = candidates.clone().map(|candidate| (candidate as f64, likelihood(candidate))).collect();
    let highest = weights.iter().fold(f64::NEG_INFINITY, |highest, next| highest.max(next.1));
    for (_, weight) in &mut weights {
        *weight = libm::exp(*weight - highest);
    }
    let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
    let mean = weights.iter().map(|(candidate, weight)| candidate * weight).sum::<f64>() / total;
    let variance = weights.iter().map(|(candidate, weight)| (candidate - mean) * (candidate - mean) * weight).sum::<f64>() / total;
    let mut below = 0.0;
    let before_median = weights.iter().take_while(|(_, weight)| {
        below += weight;
        below < total / 2.0
    });
    (candidates.start + before_median.count(), (variance + 1.0 / 12.0).sqrt())
}

/// The variance ratio at which `freedom` degrees give a log-likelihood ratio of `threshold`, by bisection.
fn ratio_at(threshold: f64, freedom: f64) -> f64 {
    let (mut low, mut high) = (1.0, 1e9);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if freedom / 2.0 * (middle - 1.0 - libm::log(middle)) < threshold { low = middle } else { high = middle }
    }
    high
}
