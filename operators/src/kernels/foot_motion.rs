//! When is a sensor on the foot still, and what does it measure from one still time to the next?

use std::collections::VecDeque;

use super::imu;
use proprio_core::TimeNs;
use serde::{Deserialize, Serialize};

/// A vector in the sensor's or the earth's frame.
pub type Vector = [f64; 3];

/// Standard gravity, in m/s².
pub const GRAVITY_M_PER_S2: f64 = 9.806_65;

/// Cosine of 15°: between two rests of a walking foot gravity's direction changes by less.
const FLAT_COSINE: f64 = 0.965_925_826_289_068_3;
/// After so many times a rest's least duration it is one in any direction.
const STAYS: i64 = 3;

/// What counts as still, as moving, and as lost. Fixed when the step is planned.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The angular rate stays below this.
    pub still_rad_per_s: f64,
    /// The norm of the acceleration stays within this of gravity; infinite where it isn't asked.
    pub still_m_per_s2: f64,
    /// For how long, before the foot counts as at rest.
    pub rest_ns: i64,
    /// A motion that is shorter is part of the rest around it.
    pub shortest_motion_ns: i64,
    /// A motion that is longer is none of a foot that walks.
    pub longest_motion_ns: i64,
    /// Samples further apart end what was going on.
    pub gap_ns: i64,
}

/// One sample: specific force and angular rate in the sensor's frame.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When.
    pub time_ns: TimeNs,
    /// Specific force: gravity upwards at rest.
    pub accel_m_per_s2: Vector,
    /// Angular rate.
    pub gyro_rad_per_s: Vector,
}

impl From<imu::Sample> for Sample {
    fn from(sample: imu::Sample) -> Self {
        Self { time_ns: sample.time, accel_m_per_s2: sample.accel, gyro_rad_per_s: sample.gyro }
    }
}

/// What came between two rests.
#[derive(Clone, Debug, PartialEq)]
pub struct Motion {
    /// The end of the rest before, the motion, and the beginning of the rest after.
    pub samples: Vec<Sample>,
    /// Index of the first sample that moves.
    pub first: usize,
    /// Index of the first sample of the rest after; the length where the motion was cut short.
    pub end: usize,
    /// When the rest before began.
    pub rested_since_ns: TimeNs,
}

/// What a sample brings to an end.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// A motion between two rests, or cut short by a gap.
    Motion(Motion),
    /// A motion that has gone on for too long, with the time at which it began.
    TooLong(TimeNs),
}

/// What is remembered of one foot. Bounded by the longest motion and a rest's least duration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Track {
    samples: VecDeque<Sample>,
    phase: Phase,
    /// Index of the first sample of the still stretch that goes on now.
    still_since: Option<usize>,
    rested_since_ns: TimeNs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
enum Phase {
    /// No rest has been seen yet.
    #[default]
    Unknown,
    Rest,
    /// The index of the first sample that moves.
    Moving(usize),
}

impl Track {
    /// Takes the next sample.
    pub fn step(&mut self, rule: &Rule, sample: Sample) -> Option<Ended> {
        // After a gap a single sample ends nothing else.
        let cut = self.expire(rule, sample.time_ns).map(Ended::Motion);
        self.samples.push_back(sample);
        let newest = self.samples.len() - 1;
        let still = is_still(rule, &sample);
        if !still {
            self.still_since = None;
        } else if self.still_since.is_none() {
            self.still_since = Some(newest);
        }
        let rested = self.still_since.filter(|since| sample.time_ns - self.samples[*since].time_ns >= rule.rest_ns);
        match (self.phase, rested) {
            (Phase::Unknown, Some(since)) => self.rest(rule, since, self.samples[since].time_ns),
            (Phase::Unknown, None) if !still => self.samples.clear(),
            (Phase::Unknown, None) => {}
            (Phase::Rest, _) if still => self.rest(rule, self.still_since.unwrap_or(0), self.rested_since_ns),
            (Phase::Rest, _) => self.phase = Phase::Moving(newest),
            (Phase::Moving(first), Some(since)) if self.is_flat_again(rule, first, since) => {
                return self.end_motion(rule, first, since).map(Ended::Motion);
            }
            (Phase::Moving(first), _) => {
                let began_ns = self.samples[first].time_ns;
                if sample.time_ns - began_ns > rule.longest_motion_ns {
                    *self = Self::default();
                    return Some(Ended::TooLong(began_ns));
                }
            }
        }
        cut
    }

    /// Forgets everything once samples have been away for too long; gives the motion that this cuts short.
    pub fn expire(&mut self, rule: &Rule, now_ns: TimeNs) -> Option<Motion> {
        let is_over = self.samples.back().is_some_and(|last| now_ns.saturating_sub(last.time_ns) > rule.gap_ns);
        if is_over { self.cut() } else { None }
    }

    /// The motion that goes on, cut short; nothing is remembered afterwards.
    pub fn cut(&mut self) -> Option<Motion> {
        let Self { samples, phase, rested_since_ns, .. } = std::mem::take(self);
        let Phase::Moving(first) = phase else { return None };
        Some(Motion { end: samples.len(), samples: samples.into(), first, rested_since_ns })
    }

    /// The newest time at or before which nothing can lie that a later sample tells of.
    pub fn decided_until(&self, watermark: TimeNs) -> TimeNs {
        match self.phase {
            Phase::Moving(first) => (self.samples[first].time_ns - 1).min(watermark),
            Phase::Unknown | Phase::Rest => watermark,
        }
    }

    /// Whether gravity points the way it did in the rest before. A foot that is held still at the end of a slow swing is toe-up,
    /// but not for long; where it stays, it has found other ground.
    fn is_flat_again(&self, rule: &Rule, first: usize, since: usize) -> bool {
        let stays = self.samples[self.samples.len() - 1].time_ns - self.samples[since].time_ns >= STAYS * rule.rest_ns;
        let directions = [0..first, since..self.samples.len()].map(|range| {
            let accel = self.samples.range(range).map(|sample| sample.accel_m_per_s2);
            unit(mean(accel)).unwrap_or([0.0; 3])
        });
        stays || dot(directions[0], directions[1]) > FLAT_COSINE
    }

    fn end_motion(&mut self, rule: &Rule, first: usize, since: usize) -> Option<Motion> {
        let (began_ns, ended_ns) = (self.samples[first].time_ns, self.samples[since].time_ns);
        if ended_ns - began_ns < rule.shortest_motion_ns {
            self.rest(rule, since, self.rested_since_ns);
            return None;
        }
        let motion = Motion { samples: self.samples.iter().copied().collect(), first, end: since, rested_since_ns: self.rested_since_ns };
        self.rest(rule, since, ended_ns);
        Some(motion)
    }

    /// At rest, still since the sample of this index: keeps as little as tells the direction of gravity.
    fn rest(&mut self, rule: &Rule, since: usize, rested_since_ns: TimeNs) {
        let newest_ns = self.samples[self.samples.len() - 1].time_ns;
        let kept = self.samples.iter().rposition(|sample| newest_ns - sample.time_ns >= rule.rest_ns).unwrap_or(0).max(since);
        self.samples.drain(..kept);
        self.still_since = Some(0);
        self.phase = Phase::Rest;
        self.rested_since_ns = rested_since_ns;
    }
}

impl Motion {
    /// Specific force in the rest before, as a mean over what is kept of it.
    pub fn accel_before(&self) -> Vector {
        mean(self.samples[..self.first].iter().map(|sample| sample.accel_m_per_s2))
    }

    /// Specific force in the rest after; NaN where the motion was cut short.
    pub fn accel_after(&self) -> Vector {
        mean(self.samples[self.end..].iter().map(|sample| sample.accel_m_per_s2))
    }

    /// Whether it ended in a rest.
    pub fn is_complete(&self) -> bool {
        self.end < self.samples.len()
    }
}

/// Whether a sample satisfies the rule for being still.
pub fn is_still(rule: &Rule, sample: &Sample) -> bool {
    norm(sample.gyro_rad_per_s) < rule.still_rad_per_s && (norm(sample.accel_m_per_s2) - GRAVITY_M_PER_S2).abs() < rule.still_m_per_s2
}

/// Length of a vector.
pub fn norm(vector: Vector) -> f64 {
    dot(vector, vector).sqrt()
}

/// Scalar product.
pub fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Vector product.
pub fn cross(a: Vector, b: Vector) -> Vector {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

/// The vector of length one of this direction; `None` without a direction.
pub fn unit(vector: Vector) -> Option<Vector> {
    let length = norm(vector);
    (length > 0.0 && length.is_finite()).then(|| vector.map(|part| part / length))
}

fn mean(vectors: impl Iterator<Item = Vector>) -> Vector {
    let (mut sum, mut count) = ([0.0; 3], 0.0);
    for vector in vectors {
        sum = std::array::from_fn(|axis| sum[axis] + vector[axis]);
        count += 1.0;
    }
    sum.map(|part| part / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule =
        Rule { still_rad_per_s: 1.0, still_m_per_s2: 0.4, rest_ns: 80, shortest_motion_ns: 100, longest_motion_ns: 1000, gap_ns: 50 };

    /// Steps from rest to rest, with a sample every 10 ns, moving where `moving` says.
    fn run(times: impl Iterator<Item = i64>, moving: impl Fn(i64) -> bool) -> (Vec<Ended>, Track) {
        let mut track = Track::default();
        let sample = |time_ns: i64| Sample {
            time_ns,
            accel_m_per_s2: [0.0, 0.0, GRAVITY_M_PER_S2],
            gyro_rad_per_s: [if moving(time_ns) { 2.0 } else { 0.0 }, 0.0, 0.0],
        };
        let ended = times.filter_map(|time_ns| track.step(&RULE, sample(time_ns))).collect();
        (ended, track)
    }

    #[test]
    fn a_motion_lies_between_two_rests() {
        let (ended, track) = run((0..100).map(|k| k * 10), |time| (300..600).contains(&time));
        let [Ended::Motion(motion)] = &ended[..] else { panic!("{ended:?}") };
        assert_eq!(motion.samples[motion.first].time_ns, 300);
        assert_eq!(motion.samples[motion.end].time_ns, 600);
        assert_eq!((motion.samples[0].time_ns, motion.rested_since_ns), (210, 0), "a rest's least duration is kept");
        assert_eq!(motion.accel_after(), [0.0, 0.0, GRAVITY_M_PER_S2]);
        assert!(track.samples.len() < 12, "{}", track.samples.len());
    }

    #[test]
    fn a_twitch_is_part_of_the_rest() {
        assert!(run((0..100).map(|k| k * 10), |time| (300..350).contains(&time)).0.is_empty());
    }

    #[test]
    fn a_foot_that_is_held_toe_up_does_not_rest() {
        let mut track = Track::default();
        let sample = |time_ns: i64| {
            let held = (600..800).contains(&time_ns);
            let moves = (300..600).contains(&time_ns) || (800..900).contains(&time_ns);
            let accel_m_per_s2 = if held { [4.9, 0.0, 8.5] } else { [0.0, 0.0, GRAVITY_M_PER_S2] };
            Sample { time_ns, accel_m_per_s2, gyro_rad_per_s: [if moves { 2.0 } else { 0.0 }, 0.0, 0.0] }
        };
        let ended: Vec<Ended> = (0..120).filter_map(|k| track.step(&RULE, sample(k * 10))).collect();
        let [Ended::Motion(motion)] = &ended[..] else { panic!("{ended:?}") };
        assert_eq!((motion.samples[motion.first].time_ns, motion.samples[motion.end].time_ns), (300, 900));
    }

    #[test]
    fn a_motion_without_end_is_given_up_and_a_gap_forgets() {
        let (ended, track) = run((0..200).map(|k| k * 10), |time| time >= 300);
        assert_eq!(ended, [Ended::TooLong(300)]);
        assert_eq!(track.phase, Phase::Unknown);
        let with_gap = (0..100).map(|k| k * 10).filter(|time| !(400..470).contains(time));
        let (ended, _) = run(with_gap, |time| (300..600).contains(&time));
        let [Ended::Motion(motion)] = &ended[..] else { panic!("{ended:?}") };
        assert_eq!((motion.is_complete(), motion.samples.last().map(|sample| sample.time_ns)), (false, Some(390)));
    }

    #[test]
    fn what_is_cut_short_is_said_to_be() {
        let (_, mut track) = run((0..50).map(|k| k * 10), |time| time >= 300);
        assert_eq!(track.decided_until(490), 299);
        let motion = track.cut().expect("it moves");
        assert!(!motion.is_complete());
        assert_eq!(track, Track::default());
    }
}
