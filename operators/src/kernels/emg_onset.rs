//! When did a muscle switch on, how sure is that, and when did it switch off?
//!
//! The approximated generalised likelihood ratio of Staude (2001) on the variance of band-passed EMG: Gaussian samples of known
//! variance at rest, of unknown larger variance when active. An alarm on trailing windows of 25 to 200 ms is followed by a search
//! for the likeliest burst around it, and that by the likeliest change time ([`change_time`](super::change_time)), in the
//! band-passed samples or in the whitened ones, whichever say more. Sample counts are scaled by the degrees of freedom that the
//! noise at rest, or the burst itself, has a sample.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::kernels::change_time::{Activity, Change, ORDER, Rest, likeliest_change};
use crate::kernels::emg::{delay_s, noise_correlation};
use crate::kernels::emg_burst::{Burst, decibels, likeliest_burst};
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
    rate_hz: f64,
    /// How much later than the muscle the band-passed signal is, in samples; whitening takes that away.
    delay: f64,
}

/// What a pipeline may set.
#[derive(Clone, Copy, Debug)]
pub struct DetectorOptions {
    /// Log-likelihood ratio, in nats, at which a change is believed.
    pub threshold: f64,
    /// Power that activity adds over the power at rest below which an onset is refused, in decibels.
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

impl Default for DetectorOptions {
    fn default() -> Self {
        Self { threshold: 14.0, min_snr_db: 3.0, baseline_s: 0.5, shortest_burst_s: 0.025, shortest_rest_s: 0.05, longest_burst_s: 10.0 }
    }
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
            rate_hz,
            delay: delay_s(filter, rate_hz) * rate_hz,
        }
    }

    /// Samples that a detector keeps; no event is older than that when it is found.
    pub fn reach(&self) -> usize {
        (self.search + CONFIRMATIONS * self.confirm) as usize + ORDER + 1
    }
}

/// What a detector found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Index of the sample at which it shows.
    pub index: u64,
    /// How many samples before that it happened.
    pub lead: f64,
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
        /// How many samples earlier it lies in the mean over all that it may be.
        ahead: f64,
        /// Power that activity adds over the power at rest, in decibels.
        snr_db: f64,
    },
    /// The activity before ended.
    Offset {
        /// Standard deviation of the offset, in samples.
        sd: f64,
    },
    /// Something began that isn't reported as an onset.
    Refused {
        /// Power that activity adds over the power at rest, in decibels.
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
    /// The newest samples; the last one has index `end` − 1.
    samples: VecDeque<f64>,
    end: u64,
    /// Index of the next sample to judge: behind `end` while a decision is played out over what came after it.
    next: u64,
    /// Sums over the newest blocks, and the open one.
    blocks: VecDeque<f64>,
    open: (f64, usize),
    /// What rest is like, and the first index that may still enter it.
    baseline: Rest,
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
    Active(Contraction),
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Contraction {
    onset: u64,
    is_refused: bool,
    /// Variance ratio that a rest is told from, and degrees of freedom a sample.
    ratio: f64,
    freedom: f64,
    /// Cumulated evidence of rest, and the index it begins at.
    evidence: f64,
    rest_from: u64,
}

impl Detector {
    /// A detector whose first sample will have this index.
    pub fn new(settings: &DetectorSettings, index: u64) -> Self {
        Self {
            phase: Phase::Settling { until: index + settings.settle },
            samples: VecDeque::new(),
            end: index,
            next: index,
            blocks: VecDeque::new(),
            open: (0.0, 0),
            baseline: Rest::default(),
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
        self.samples.push_back(sample);
        self.end += 1;
        if self.samples.len() > settings.reach() {
            self.samples.pop_front();
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
            let sample = self.samples[self.position(index)];
            self.judge(settings, index, sample * sample, found);
        }
    }

    /// Variance at rest; a dead channel counts as having some.
    fn resting(&self) -> f64 {
        self.baseline.variance().max(LEAST_VARIANCE)
    }

    /// Where among the samples an index stands.
    fn position(&self, index: u64) -> usize {
        (index + self.samples.len() as u64 - self.end) as usize
    }

    /// Rest at `index`: the sample that no alarm's search will reach any more enters the baseline. Bursts may be less than a second
    /// apart, so that waiting for longer would leave little to learn from.
    fn learn(&mut self, settings: &DetectorSettings, index: u64) {
        if let Some(index) = index.checked_sub(settings.search + 1).filter(|index| *index >= self.learn_from) {
            let at = self.position(index);
            self.baseline.learn(&self.samples, at, settings.memory);
        }
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
                let at = self.position(index);
                self.baseline.learn(&self.samples, at, settings.memory);
                if self.baseline.learned() >= settings.baseline {
                    self.rest_from(index + 1, index + 1);
                }
            }
            Phase::Rest => {
                self.learn(settings, index);
                self.watch(settings, index, square);
            }
            Phase::Confirming { alarm, deadline } => {
                let waited = index - alarm;
                let is_last = index >= deadline;
                if is_last || waited.is_multiple_of(settings.confirm) && self.is_beyond_doubt(settings, alarm, index) {
                    self.decide(settings, alarm, index, found);
                }
            }
            Phase::Active(active) => self.follow(settings, active, index, square, found),
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
            if window == QUIET_WINDOW && variance < QUIET_RATIO * self.baseline.variance() && variance > 0.0 {
                let end = self.position(index) + 1;
                self.baseline = Rest::of(&self.samples, end.saturating_sub(blocks * settings.block)..end);
                self.learn_from = index + 1;
            }
        }
    }

    /// The likeliest burst around an alarm, given the samples up to `last`.
    fn burst(&self, settings: &DetectorSettings, alarm: u64, last: u64) -> Burst {
        let oldest = self.end - self.samples.len() as u64 + ORDER as u64;
        let from = self.search_from.max(alarm.saturating_sub(settings.search)).max(oldest);
        let range = self.position(from)..self.position(last) + 1;
        let deviation = self.resting().sqrt();
        let samples: Vec<f64> = self.samples.range(range.clone()).map(|sample| sample / deviation).collect();
        let alarm = (alarm - from) as usize;
        let (begin, end) = likeliest_burst(&samples, alarm, settings.freedom);
        Burst { from, range, alarm, begin, end, activity: Activity::of(&samples[begin..end], settings.rate_hz), samples }
    }

    /// Standard deviation of a burst's ratio in decibels, from the samples on both sides of it.
    fn snr_sd_db(&self, settings: &DetectorSettings, burst: &Burst) -> f64 {
        let ratio = burst.ratio();
        let length = (burst.end - burst.begin) as f64;
        let relative = 2.0 / (burst.activity.freedom() * length) + 2.0 / (settings.freedom * self.baseline.learned() as f64);
        10.0 / std::f64::consts::LN_10 * ratio / (ratio - 1.0) * relative.sqrt()
    }

    fn is_beyond_doubt(&self, settings: &DetectorSettings, alarm: u64, last: u64) -> bool {
        let burst = self.burst(settings, alarm, last);
        (burst.snr_db() - settings.min_snr_db).abs() > CERTAIN_SD * self.snr_sd_db(settings, &burst)
    }

    /// The change from rest to a burst among the burst's samples, and by how many samples it precedes its index.
    fn change(&self, settings: &DetectorSettings, burst: &Burst) -> (Change, f64) {
        let candidates = 0..burst.alarm.max(1);
        let whitened = self.baseline.whitened(&self.samples, burst.range.clone()).map(|samples| {
            let activity = Activity::of(&samples[burst.begin..burst.end], settings.rate_hz);
            (samples, activity)
        });
        match whitened {
            Some((samples, activity)) if activity.evidence() >= burst.activity.evidence() => {
                (likeliest_change(&samples[..burst.end], candidates, activity, settings.rate_hz), 0.5)
            }
            _ => (likeliest_change(&burst.samples[..burst.end], candidates, burst.activity, settings.rate_hz), settings.delay),
        }
    }

    /// Reports or refuses the burst around an alarm, and plays the samples after its onset again as activity.
    fn decide(&mut self, settings: &DetectorSettings, alarm: u64, last: u64, found: &mut Vec<Found>) {
        let burst = self.burst(settings, alarm, last);
        let (Change { at, sd, ahead }, lead) = self.change(settings, &burst);
        let index = burst.from + at as u64;
        let snr_db = burst.snr_db();
        let reason = if snr_db + REFUSAL_SD * self.snr_sd_db(settings, &burst) < settings.min_snr_db {
            Some(Refusal::Snr)
        } else if ((burst.end - burst.begin) as u64) < settings.shortest_burst {
            Some(Refusal::Short)
        } else {
            None
        };
        let what = match reason {
            Some(reason) => What::Refused { snr_db, reason },
            None => What::Onset { sd, ahead, snr_db },
        };
        found.push(Found { index, lead, alarm, what });
        self.last_alarm = alarm;
        let ratio = burst.ratio().clamp(OFFSET_RATIOS.0, OFFSET_RATIOS.1);
        let freedom = burst.activity.freedom();
        let onset = index;
        self.phase = Phase::Active(Contraction { onset, is_refused: reason.is_some(), ratio, freedom, evidence: 0.0, rest_from: index });
        // An activity that rises slowly is told from rest once it stands out.
        self.next = index.max(burst.from + burst.begin as u64);
    }

    /// Activity: cumulates evidence of rest, whose maximum-likelihood beginning is where the sum last left zero.
    fn follow(&mut self, settings: &DetectorSettings, mut active: Contraction, index: u64, square: f64, found: &mut Vec<Found>) {
        let ratio = active.ratio;
        active.evidence += active.freedom / 2.0 * (libm::log(ratio) - square / self.resting() * (1.0 - 1.0 / ratio));
        if active.evidence <= 0.0 {
            active.evidence = 0.0;
            active.rest_from = index + 1;
        }
        self.phase = Phase::Active(active);
        let rest = index + 1 - active.rest_from;
        if active.evidence > settings.threshold && rest >= settings.shortest_rest {
            if !active.is_refused {
                let sd = self.offset_sd(settings, active, index);
                let alarm = index.max(self.last_alarm);
                found.push(Found { index: active.rest_from, lead: settings.delay, alarm, what: What::Offset { sd } });
            }
            self.rest_from(active.rest_from.max(active.onset + 1), active.rest_from + settings.shortest_rest);
        } else if index - active.onset > settings.longest_burst {
            let snr_db = decibels(ratio);
            let (lead, alarm) = (settings.delay, index.max(self.last_alarm));
            found.push(Found { index, lead, alarm, what: What::Refused { snr_db, reason: Refusal::Endless } });
            *self = Self { samples: VecDeque::new(), last_alarm: self.last_alarm, ..Self::new(settings, self.end) };
        }
    }

    /// Standard deviation of the time at which rest began: seen from its end, rest is where activity begins.
    fn offset_sd(&self, settings: &DetectorSettings, active: Contraction, index: u64) -> f64 {
        let oldest = self.end - self.samples.len() as u64;
        let from = active.onset.max(oldest).max(active.rest_from.saturating_sub(settings.search));
        let (deviation, first, last) = (self.resting().sqrt(), self.position(from), self.position(index));
        let backwards: Vec<f64> = self.samples.range(first..=last).rev().map(|sample| sample / deviation).collect();
        let rest = (index + 1 - active.rest_from) as usize;
        let activity = Activity::of(&backwards[rest.min(backwards.len() - 1)..], settings.rate_hz);
        let change = likeliest_change(&backwards, 0..backwards.len(), activity, settings.rate_hz);
        let error = change.at as f64 - rest as f64;
        (change.sd * change.sd + error * error).sqrt()
    }
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
