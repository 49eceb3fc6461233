//! Which stretches of a signal are repetitions of an exercise, and what was measured in each?

use proprio_core::TimeNs;
use proprio_core::time::SECOND_NS;
use serde::{Deserialize, Serialize};

use super::even_grid::{EvenGrid, GRID_HZ, Told, grid};
use super::exercise_phases::boundaries;

/// Samples to either side over which the signal is smoothed.
const HALF: usize = 10;
/// Samples of rest that are kept, in which a repetition may have begun.
const BEFORE: usize = 10 * GRID_HZ as usize;
/// Speed is told over this many samples.
const SPEED_OVER: usize = 10;
/// Slower than this share of the fastest lowering is still …
const STILL: f64 = 0.1;
/// … if it lasts for so many samples.
const STILL_FOR: i64 = 20;
/// A repetition is told so many samples after it came back to rest at the latest.
const TOLD_WITHIN: i64 = 3 * GRID_HZ as i64;

/// What is a repetition.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The signal at rest.
    pub rest: f64,
    /// The signal at the target.
    pub target: f64,
    /// Share of the way that begins one.
    pub begin: f64,
    /// Share of the way below which it is over.
    pub end: f64,
    /// Shorter is none.
    pub shortest_ns: i64,
    /// Longer is none.
    pub longest_ns: i64,
    /// Steps in time up to this are bridged.
    pub gap_ns: i64,
}

/// How a repetition ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Back at rest.
    Complete,
    /// Not within the longest time.
    TooLong,
    /// Nobody knows.
    Lost,
    /// The session ended first.
    CutOff,
}

/// A repetition that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// How it ended.
    pub outcome: Outcome,
    /// Where the concentric phase begins, the hold begins and ends, and the eccentric phase ends; of one that isn't complete only where it
    /// passed the begin.
    pub instants_ns: [Option<TimeNs>; 4],
    /// Since the one before ended, in seconds.
    pub rest_s: Option<f64>,
    /// How far it went: 1 is the target.
    pub peak: f64,
    /// Whether samples within it are missing.
    pub has_gap: bool,
    /// The signal in the hold.
    pub hold: Vec<f64>,
    /// Every other channel over the repetition; NaN where it is missing.
    pub others: Vec<Vec<f64>>,
}

/// What is known so far: the samples since the last repetition's end, ten seconds of rest at most.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Repetitions {
    even: EvenGrid,
    /// Instant of the first sample that is kept.
    first: i64,
    /// The signal and the others.
    channels: Vec<Vec<f64>>,
    /// The way gone, smoothed: it lags by [`HALF`] samples.
    way: Vec<f64>,
    phase: Phase,
    previous_end: Option<TimeNs>,
}

/// What is under way; instants count on the grid.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
enum Phase {
    /// It began in the middle: rest is waited for.
    #[default]
    Unknown,
    Resting,
    Moving {
        from: i64,
        fastest: f64,
    },
    Lowering {
        from: i64,
        fastest: f64,
        since: i64,
        still: i64,
    },
}

impl Repetitions {
    /// Takes a row's values, the signal's first, which is no NaN; gives the repetitions that it completes.
    pub fn push(&mut self, time: TimeNs, values: &[f64], limits: &Limits) -> Vec<Found> {
        let mut found = Vec::new();
        for told in self.even.push(time, values, limits.gap_ns) {
            match told {
                Told::Even(k, values) => found.extend(self.advance(k, &values, limits)),
                Told::Lost => {
                    found.extend(self.incomplete(Outcome::Lost));
                    *self = Self { even: std::mem::take(&mut self.even), ..Self::default() };
                }
            }
        }
        found
    }

    /// The repetition that the session's end cuts off.
    pub fn cut_off(&mut self, limits: &Limits) -> Option<Found> {
        match self.phase {
            Phase::Lowering { .. } => self.complete(limits),
            _ => self.incomplete(Outcome::CutOff),
        }
    }

    fn advance(&mut self, k: i64, values: &[f64], limits: &Limits) -> Option<Found> {
        if self.channels.is_empty() {
            self.channels = vec![Vec::new(); values.len()];
            self.first = k;
        }
        self.channels.iter_mut().zip(values).for_each(|(channel, value)| channel.push(*value));
        let at = self.channels[0].len().checked_sub(HALF + 1)?;
        self.way.push((smoothed(&self.channels[0], at) - limits.rest) / (limits.target - limits.rest));
        let found = self.step(self.first + at as i64, limits);
        self.forget();
        found
    }

    fn step(&mut self, k: i64, limits: &Limits) -> Option<Found> {
        let last = self.way.len() - 1;
        let way = self.way[last];
        if way.is_nan() {
            return None;
        }
        let before = self.way[last.saturating_sub(SPEED_OVER)];
        let down = if before.is_nan() { 0.0 } else { before - way };
        let lasted_ns = |from: i64| (k - from) * grid().period_ns();
        match &mut self.phase {
            Phase::Unknown if way <= limits.end => self.rest(),
            Phase::Resting if way >= limits.begin => self.phase = Phase::Moving { from: k, fastest: 0.0 },
            Phase::Moving { from, .. } | Phase::Lowering { from, .. } if lasted_ns(*from) > limits.longest_ns => {
                let found = self.incomplete(Outcome::TooLong);
                self.phase = Phase::Unknown;
                return found;
            }
            Phase::Moving { from, fastest } => {
                *fastest = fastest.max(down);
                if way <= limits.end {
                    if lasted_ns(*from) >= limits.shortest_ns {
                        self.phase = Phase::Lowering { from: *from, fastest: *fastest, since: k, still: 0 };
                    } else {
                        self.rest();
                    }
                }
            }
            Phase::Lowering { fastest, since, still, .. } => {
                *fastest = fastest.max(down);
                *still = if down < STILL * *fastest { *still + 1 } else { 0 };
                if way >= limits.begin {
                    let found = self.complete(limits);
                    self.phase = Phase::Moving { from: k, fastest: 0.0 };
                    return found;
                }
                if *still >= STILL_FOR || k - *since >= TOLD_WITHIN {
                    let found = self.complete(limits);
                    self.phase = Phase::Resting;
                    return found;
                }
            }
            Phase::Unknown | Phase::Resting => {}
        }
        None
    }

    /// What was before is no part of a repetition.
    fn rest(&mut self) {
        self.phase = Phase::Resting;
        self.drop_first(self.way.len());
    }

    /// The repetition that is under way, whole.
    fn complete(&mut self, limits: &Limits) -> Option<Found> {
        let has_gap_within = |from: usize, to: usize| self.channels[0][from..=to].iter().any(|value| value.is_nan());
        let found = boundaries(&bridged(&self.way))?;
        let last = self.way.len() - 1;
        let index = |at: f64| (at.max(0.0).round() as usize).min(last);
        let (start, end) = (index(found.start), index(found.end));
        let (top, lower) = (index(found.top), index(found.lower));
        let origin_ns = grid().grid_time(self.first);
        let instant = |at: f64| origin_ns + (at * grid().period_ns() as f64).round() as i64;
        let instants = [found.start, found.top, found.lower, found.end].map(instant);
        let known = |values: &[f64]| values.iter().copied().filter(|value| !value.is_nan()).collect::<Vec<f64>>();
        let told = Found {
            outcome: Outcome::Complete,
            instants_ns: instants.map(Some),
            rest_s: self.previous_end.map(|end| (instants[0] - end).max(0) as f64 / SECOND_NS as f64),
            peak: self.way[start..=end].iter().copied().fold(f64::NEG_INFINITY, f64::max),
            has_gap: has_gap_within(start, end),
            hold: known(&self.channels[0][top..=lower]),
            others: self.channels[1..].iter().map(|channel| channel[start..=end].to_vec()).collect(),
        };
        debug_assert!(limits.target != limits.rest, "planning refuses a way of no length");
        self.previous_end = Some(instants[3]);
        self.drop_first(end);
        Some(told)
    }

    /// The repetition that is under way and will not be whole.
    fn incomplete(&mut self, outcome: Outcome) -> Option<Found> {
        let (Phase::Moving { from, .. } | Phase::Lowering { from, .. }) = self.phase else { return None };
        let start = usize::try_from(from - self.first).unwrap_or(0).min(self.way.len());
        let begun_ns = grid().grid_time(from);
        let rest_s = self.previous_end.take().map(|end| (begun_ns - end).max(0) as f64 / SECOND_NS as f64);
        Some(Found {
            outcome,
            instants_ns: [Some(begun_ns), None, None, None],
            rest_s,
            peak: self.way[start..].iter().copied().filter(|way| !way.is_nan()).fold(f64::NEG_INFINITY, f64::max),
            has_gap: false,
            hold: Vec::new(),
            others: self.channels[1..].iter().map(|channel| channel[start..].to_vec()).collect(),
        })
    }

    /// Drops what no repetition can need any more, half of it at a time.
    fn forget(&mut self) {
        if matches!(self.phase, Phase::Unknown | Phase::Resting) && self.way.len() > 2 * BEFORE {
            self.drop_first(self.way.len() - BEFORE);
        }
    }

    /// Drops samples, but those that smoothing needs still.
    fn drop_first(&mut self, count: usize) {
        let count = count.min(self.way.len().saturating_sub(2 * HALF));
        self.way.drain(..count);
        self.channels.iter_mut().for_each(|channel| drop(channel.drain(..count)));
        self.first += count as i64;
    }
}

/// The mean around a sample, those near it weighing more (Hann); NaN where the sample is missing.
fn smoothed(values: &[f64], at: usize) -> f64 {
    if values[at].is_nan() {
        return f64::NAN;
    }
    let (mut sum, mut weights) = (0.0, 0.0);
    for (offset, weight) in WEIGHTS.iter().enumerate() {
        let around = [at.checked_sub(offset).filter(|_| offset > 0), Some(at + offset)];
        for value in around.into_iter().flatten().filter_map(|at| values.get(at)).filter(|value| !value.is_nan()) {
            sum += weight * value;
            weights += weight;
        }
    }
    sum / weights
}

/// (1 + cos(π·offset/11)) / 2 by offset.
const WEIGHTS: [f64; HALF + 1] = [
    1.0,
    0.979_746_486_807_248_7,
    0.920_626_766_415_590_6,
    0.827_430_366_972_642_6,
    0.707_707_506_500_943_3,
    0.571_157_419_136_642_5,
    0.428_842_580_863_357_47,
    0.292_292_493_499_056_84,
    0.172_569_633_027_357_5,
    0.079_373_233_584_409_45,
    0.020_253_513_192_751_316,
];

/// Straight lines in place of what is missing; the nearest value at the ends.
fn bridged(values: &[f64]) -> Vec<f64> {
    let mut filled = values.to_vec();
    let mut known: Option<usize> = None;
    for at in 0..values.len() {
        if values[at].is_nan() {
            continue;
        }
        let (from, before) = known.map_or((0, None), |known| (known + 1, Some((known, values[known]))));
        for (missing, filled) in filled.iter_mut().enumerate().take(at).skip(from) {
            *filled = match before {
                Some((known, value)) => value + (values[at] - value) * (missing - known) as f64 / (at - known) as f64,
                None => values[at],
            };
        }
        known = Some(at);
    }
    let last = known.map_or(0.0, |known| values[known]);
    filled.iter_mut().skip(known.map_or(0, |known| known + 1)).for_each(|value| *value = last);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_a_window_and_gaps_are_bridged() {
        for (offset, weight) in WEIGHTS.iter().enumerate() {
            let hann = 0.5 + 0.5 * libm::cos(std::f64::consts::PI * offset as f64 / 11.0);
            assert!((weight - hann).abs() < 1e-15, "{offset}: {weight} {hann}");
        }
        let nan = f64::NAN;
        assert_eq!(bridged(&[nan, 1.0, nan, nan, 4.0, nan]), [1.0, 1.0, 2.0, 3.0, 4.0, 4.0]);
        assert_eq!(bridged(&[nan, nan]), [0.0, 0.0]);
        assert!((smoothed(&[3.0; 30], 15) - 3.0).abs() < 1e-14);
        assert!(smoothed(&[1.0, nan, 1.0], 1).is_nan());
    }
}
