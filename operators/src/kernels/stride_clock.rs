//! How far is a foot in its cycle, when only what has happened so far is known?

use std::collections::VecDeque;

use proprio_core::TimeNs;
use serde::{Deserialize, Serialize};

use super::gait_event::Kind;

/// What the share of an event in its cycle leaves to the next cycle, as a weight.
const MEMORY: f64 = 0.5;
/// What the squared error of a prediction leaves to the next one.
const ERROR_MEMORY: f64 = 0.7;
/// Standard deviation of a cycle's prediction before any was seen to come true, as a share of the cycle.
const FIRST_ERROR: f64 = 0.05;
/// What contacts are uncertain by, in percent of the cycle.
const CONTACT_PERCENT: f64 = 1.0;
/// An event within the cycle changes its predicted duration by this share at most.
const LARGEST_CHANGE: f64 = 0.2;

/// When a cycle counts as a cycle. Fixed when the step is planned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Over how many strides the predicted duration is a mean.
    pub strides: usize,
    /// A contact sooner after the one before is the same.
    pub shortest_ns: i64,
    /// A contact later after the one before is another walk's.
    pub longest_ns: i64,
    /// How much longer than predicted a cycle may last before the foot counts as standing, as a share.
    pub patience: f64,
}

/// One foot's cycle. Bounded: the durations of a few strides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Clock {
    contact_ns: Option<TimeNs>,
    durations_ns: VecDeque<i64>,
    /// Where in the cycle the foot left, and the other one reached and left the ground.
    shares: [Option<f64>; 3],
    seen_ns: [Option<TimeNs>; 3],
    /// From here on the phase rises evenly to the predicted end.
    from: Option<(TimeNs, f64)>,
    end_ns: TimeNs,
    squared_error: Option<f64>,
}

/// The phase at an instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phase {
    /// From 0 at the contact to 100 at the next.
    pub percent: f64,
    /// Standard deviation.
    pub uncertainty_percent: f64,
}

impl Clock {
    /// An event of this foot, or of the other one.
    pub fn event(&mut self, rule: &Rule, time_ns: TimeNs, kind: Kind, is_own: bool) {
        match (kind, is_own) {
            (Kind::InitialContact, true) => self.contact(rule, time_ns),
            (Kind::FinalContact, true) => self.within(time_ns, 0),
            (Kind::InitialContact, false) => self.within(time_ns, 1),
            (Kind::FinalContact, false) => self.within(time_ns, 2),
            (Kind::FlatFoot | Kind::HeelOff, _) => {}
        }
    }

    /// The phase, once a whole stride has been seen and while the next contact isn't overdue.
    pub fn phase(&self, rule: &Rule, time_ns: TimeNs) -> Option<Phase> {
        let (from_ns, percent) = self.from.filter(|from| from.0 <= time_ns)?;
        if time_ns > self.walks_until(rule)? {
            return None;
        }
        let left_ns = (self.end_ns - from_ns).max(1) as f64;
        let percent = percent + (100.0 - percent) * (time_ns - from_ns) as f64 / left_ns;
        let grown = self.squared_error.map_or(FIRST_ERROR, f64::sqrt) * percent;
        // Once the contact is overdue the prediction was surely wrong by as much.
        let overdue = (percent - 100.0).max(0.0);
        let uncertainty_percent = (CONTACT_PERCENT * CONTACT_PERCENT + grown * grown + overdue * overdue).sqrt();
        Some(Phase { percent: percent.min(100.0), uncertainty_percent })
    }

    /// Until when the foot counts as walking if no contact comes.
    pub fn walks_until(&self, rule: &Rule) -> Option<TimeNs> {
        let contact_ns = self.contact_ns?;
        self.from?;
        Some(contact_ns + ((self.end_ns - contact_ns) as f64 * (1.0 + rule.patience)).round() as i64)
    }

    fn contact(&mut self, rule: &Rule, time_ns: TimeNs) {
        let Some(before_ns) = self.contact_ns else {
            self.contact_ns = Some(time_ns);
            return;
        };
        let duration_ns = time_ns.saturating_sub(before_ns);
        if duration_ns < rule.shortest_ns {
            return;
        }
        if duration_ns > rule.longest_ns || self.walks_until(rule).is_some_and(|until| time_ns > until) {
            // A stop lies between: nothing of the walk before tells how fast this one is.
            *self = Self { contact_ns: Some(time_ns), shares: self.shares, squared_error: self.squared_error, ..Self::default() };
            return;
        }
        self.learn(before_ns, duration_ns);
        if self.durations_ns.len() == rule.strides {
            self.durations_ns.pop_front();
        }
        self.durations_ns.push_back(duration_ns);
        self.contact_ns = Some(time_ns);
        self.seen_ns = [None; 3];
        self.from = Some((time_ns, 0.0));
        self.end_ns = time_ns + self.durations_ns.iter().sum::<i64>() / self.durations_ns.len() as i64;
    }

    /// What a whole cycle says of the shares, and of the prediction that was made for it.
    fn learn(&mut self, contact_ns: TimeNs, duration_ns: i64) {
        for (share, seen_ns) in self.shares.iter_mut().zip(self.seen_ns) {
            let Some(seen_ns) = seen_ns else { continue };
            let new = (seen_ns - contact_ns) as f64 / duration_ns as f64;
            *share = Some(share.map_or(new, |old| MEMORY * old + (1.0 - MEMORY) * new));
        }
        if self.from.is_some() {
            let error = (contact_ns + duration_ns - self.end_ns) as f64 / duration_ns as f64;
            let before = self.squared_error.unwrap_or(FIRST_ERROR * FIRST_ERROR);
            self.squared_error = Some(ERROR_MEMORY * before + (1.0 - ERROR_MEMORY) * error * error);
        }
    }

    /// An event within the cycle tells how fast it goes: the more so, the later it comes.
    fn within(&mut self, time_ns: TimeNs, slot: usize) {
        let Some(contact_ns) = self.contact_ns.filter(|contact| *contact < time_ns) else { return };
        if self.seen_ns[slot].replace(time_ns).is_some() {
            // Twice within a cycle: it tells nothing.
            return;
        }
        let (Some(share), Some((from_ns, percent))) = (self.shares[slot], self.from) else { return };
        if !(0.05..=0.95).contains(&share) || time_ns >= self.end_ns || time_ns < from_ns {
            return;
        }
        let predicted = (self.end_ns - contact_ns) as f64;
        let seen = (time_ns - contact_ns) as f64 / share;
        let change = (share * (seen - predicted)).clamp(-LARGEST_CHANGE * predicted, LARGEST_CHANGE * predicted);
        let percent = percent + (100.0 - percent) * (time_ns - from_ns) as f64 / (self.end_ns - from_ns).max(1) as f64;
        self.from = Some((time_ns, percent));
        self.end_ns = time_ns + ((1.0 - share) * (predicted + change)).round() as i64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule { strides: 3, shortest_ns: 400_000_000, longest_ns: 3_000_000_000, patience: 0.5 };
    const S: i64 = 1_000_000_000;

    #[test]
    fn the_phase_follows_the_last_strides() {
        let mut clock = Clock::default();
        clock.event(&RULE, S, Kind::InitialContact, true);
        assert_eq!(clock.phase(&RULE, S + S / 2), None, "no stride has been seen");
        clock.event(&RULE, 2 * S, Kind::InitialContact, true);
        let at = |time_ns: i64| clock.phase(&RULE, time_ns).map(|phase| phase.percent);
        assert_eq!(
            [2 * S, 2 * S + S / 4, 3 * S, 3 * S + S / 2, 3 * S + S / 2 + 1].map(at),
            [Some(0.0), Some(25.0), Some(100.0), Some(100.0), None]
        );
    }

    #[test]
    fn the_other_foot_corrects_it_and_it_never_falls() {
        let mut clock = Clock::default();
        for stride in 0..4 {
            clock.event(&RULE, stride * S, Kind::InitialContact, true);
            clock.event(&RULE, stride * S + S / 2, Kind::InitialContact, false);
        }
        clock.event(&RULE, 4 * S, Kind::InitialContact, true);
        // This stride lasts 1.2 s.
        let before = clock.clone();
        clock.event(&RULE, 4 * S + 600_000_000, Kind::InitialContact, false);
        let percent = |clock: &Clock, time_ns: i64| clock.phase(&RULE, time_ns).expect("it walks").percent;
        assert!((percent(&clock, 4 * S + 600_000_000) - 60.0).abs() < 1e-9, "no jump");
        let (with, without) = (percent(&clock, 4 * S + S), percent(&before, 4 * S + S));
        assert!(with < 95.0 && without == 100.0, "{with} is nearer to 83 than {without}");
        let phases: Vec<f64> = (0..110).map(|k| percent(&clock, 4 * S + 600_000_000 + k * 5_000_000)).collect();
        assert!(phases.windows(2).all(|pair| pair[0] <= pair[1]));
    }

    #[test]
    fn a_stop_is_forgotten() {
        let mut clock = Clock::default();
        [0, S, 2 * S, 5 * S].into_iter().for_each(|time_ns| clock.event(&RULE, time_ns, Kind::InitialContact, true));
        assert_eq!(clock.phase(&RULE, 5 * S), None);
        clock.event(&RULE, 6 * S, Kind::InitialContact, true);
        assert!(clock.phase(&RULE, 6 * S).is_some());
    }
}
