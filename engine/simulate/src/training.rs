//! When does a subject who trains lift, hold and lower? A schedule of repetitions, with what tempo errors make of it.

use crate::random::Random;

/// What is prescribed, and how far off the subject is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Training {
    /// Sets.
    pub sets: u32,
    /// Whole repetitions of a set.
    pub repetitions: u32,
    /// How long the lifting lasts, in seconds.
    pub concentric_s: f64,
    /// How long the top is held.
    pub hold_s: f64,
    /// How long the lowering lasts.
    pub eccentric_s: f64,
    /// Rest between two repetitions.
    pub rest_s: f64,
    /// Rest between two sets.
    pub set_rest_s: f64,
    /// Standard deviation of each of these times, as a share; no time is further off than twice that.
    pub tempo_error: f64,
    /// Probability that an attempt goes half of the way, before a whole one.
    pub half: f64,
    /// Probability that a lifting pauses halfway, for a second.
    pub pause: f64,
    /// Share of the way by which the hold sinks.
    pub sag: f64,
}

impl Default for Training {
    /// Two sets of four: 2 s up, 4 s held, 2 s down, 2 s of rest.
    fn default() -> Self {
        Self {
            sets: 2,
            repetitions: 4,
            concentric_s: 2.0,
            hold_s: 4.0,
            eccentric_s: 2.0,
            rest_s: 2.0,
            set_rest_s: 12.0,
            tempo_error: 0.0,
            half: 0.0,
            pause: 0.0,
            sag: 0.0,
        }
    }
}

/// One repetition as it is done; times are seconds since the training's start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Repetition {
    /// Its set, from 1 on.
    pub set: u32,
    /// Its number in the set, from 1 on; none of half a one.
    pub number: Option<u32>,
    /// The lifting begins.
    pub start_s: f64,
    /// The hold begins.
    pub top_s: f64,
    /// The lowering begins.
    pub lower_s: f64,
    /// Back at rest.
    pub end_s: f64,
    /// How much of the way it goes.
    pub reach: f64,
    /// By how much of the way the hold sinks.
    sag: f64,
    /// How long the lifting pauses halfway.
    pause_s: f64,
}

/// Rest before the first repetition.
const FIRST_S: f64 = 4.0;
/// How far half a repetition goes.
const HALF: f64 = 0.55;
/// How long a pause lasts.
const PAUSE_S: f64 = 1.0;

impl Training {
    /// Every figure with its name and the range in which the model is sound.
    pub(crate) fn figures(&self) -> [(&'static str, f64, f64, f64); 11] {
        [
            ("the sets", f64::from(self.sets), 0.0, 100.0),
            ("the repetitions of a set", f64::from(self.repetitions), 0.0, 100.0),
            ("the concentric time in s", self.concentric_s, 0.5, 60.0),
            ("the hold in s", self.hold_s, 0.1, 60.0),
            ("the eccentric time in s", self.eccentric_s, 0.5, 60.0),
            ("the rest in s", self.rest_s, 0.0, 600.0),
            ("the rest between sets in s", self.set_rest_s, self.rest_s, 3600.0),
            ("the tempo error", self.tempo_error, 0.0, 0.4),
            ("the share of half repetitions", self.half, 0.0, 1.0),
            ("the share of pauses", self.pause, 0.0, 1.0),
            ("the sag of the hold", self.sag, 0.0, 0.5),
        ]
    }

    /// The repetitions in order, the same for the same seed.
    pub fn schedule(&self, seed: u64) -> Vec<Repetition> {
        let mut chance = Random::new(seed, "training");
        let mut all = Vec::new();
        let mut at_s = FIRST_S;
        for set in 1..=self.sets {
            for number in 1..=self.repetitions {
                if chance.chance(self.half) {
                    let half = self.repetition(set, None, at_s, &mut chance);
                    at_s = half.end_s + self.time(self.rest_s, &mut chance);
                    all.push(half);
                }
                let whole = self.repetition(set, Some(number), at_s, &mut chance);
                at_s = whole.end_s + self.time(self.rest_s, &mut chance);
                all.push(whole);
            }
            at_s += self.set_rest_s - self.rest_s;
        }
        all
    }

    fn repetition(&self, set: u32, number: Option<u32>, start_s: f64, chance: &mut Random) -> Repetition {
        let pause_s = if chance.chance(self.pause) { PAUSE_S } else { 0.0 };
        let [up_s, hold_s, down_s] = [self.concentric_s, self.hold_s, self.eccentric_s].map(|time_s| self.time(time_s, chance));
        let top_s = start_s + up_s + pause_s;
        let (hold_s, reach) = if number.is_some() { (hold_s, 1.0) } else { (0.2, HALF) };
        let (lower_s, end_s) = (top_s + hold_s, top_s + hold_s + down_s);
        Repetition { set, number, start_s, top_s, lower_s, end_s, reach, sag: self.sag * reach, pause_s }
    }

    fn time(&self, prescribed_s: f64, chance: &mut Random) -> f64 {
        prescribed_s * (1.0 + self.tempo_error * chance.normal().clamp(-2.0, 2.0)).max(0.1)
    }
}

impl Repetition {
    /// How much of the way is gone at an instant.
    pub fn way(&self, time_s: f64) -> f64 {
        if time_s < self.top_s {
            let up_s = self.top_s - self.start_s - self.pause_s;
            let gone_s = time_s - self.start_s;
            if self.pause_s == 0.0 {
                return self.reach * minimum_jerk(gone_s / up_s);
            }
            let (first, second) = (gone_s / (up_s / 2.0), (gone_s - up_s / 2.0 - self.pause_s) / (up_s / 2.0));
            return self.reach * 0.5 * (minimum_jerk(first) + minimum_jerk(second));
        }
        if time_s < self.lower_s {
            return self.reach - self.sag * minimum_jerk((time_s - self.top_s) / (self.lower_s - self.top_s));
        }
        (self.reach - self.sag) * (1.0 - minimum_jerk((time_s - self.lower_s) / (self.end_s - self.lower_s)))
    }
}

/// How much of the way is gone at an instant of a schedule.
pub fn way(schedule: &[Repetition], time_s: f64) -> f64 {
    let next = schedule.partition_point(|repetition| repetition.start_s <= time_s);
    next.checked_sub(1).map_or(0.0, |last| schedule[last].way(time_s))
}

/// The smoothest way from 0 to 1 (Flash and Hogan 1985): without speed and acceleration at either end.
fn minimum_jerk(x: f64) -> f64 {
    let x = x.clamp(0.0, 1.0);
    x * x * x * (10.0 - 15.0 * x + 6.0 * x * x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_what_is_asked_for() {
        let exact = Training::default().schedule(3);
        assert_eq!(exact.len(), 8);
        assert_eq!((exact[4].set, exact[4].number), (2, Some(1)));
        assert!((exact[4].start_s - exact[3].end_s - 12.0).abs() < 1e-9 && (exact[0].lower_s - exact[0].top_s - 4.0).abs() < 1e-9);
        assert_eq!([0.0, 4.0, 5.0, 6.0, 9.0, 11.0, 12.5].map(|s| way(&exact, s)), [0.0, 0.0, 0.5, 1.0, 1.0, 0.5, 0.0]);
        let off = Training { tempo_error: 0.3, half: 0.5, pause: 0.5, sag: 0.1, ..Training::default() };
        assert_eq!(off.schedule(3), off.schedule(3));
        let found = off.schedule(3);
        assert!(found.windows(2).all(|pair| pair[0].end_s < pair[1].start_s), "{found:?}");
        assert!(found.iter().any(|repetition| repetition.number.is_none()));
        assert_eq!(found.iter().filter(|repetition| repetition.number.is_some()).count(), 8);
        for repetition in &found {
            for at_s in [repetition.start_s, repetition.top_s, repetition.lower_s, repetition.end_s] {
                let (before, after) = (repetition.way(at_s - 1e-6), repetition.way(at_s + 1e-6));
                assert!((before - after).abs() < 1e-9, "the way has no steps");
            }
        }
    }
}
