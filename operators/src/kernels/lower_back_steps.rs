//! When does the lower back say that a foot reached or left the ground, and which one?
//!
//! A foot that takes the weight pushes the lower back up: the vertical acceleration, smoothed over the length of a loading
//! response, has one top a step. The contact is the steepest rise before the top. The other foot has left once the loading is
//! over, half way from the top to the valley that follows. The pelvis turns the swinging side ahead until that foot's contact, so
//! the rate about the vertical, less its mean over a second, is positive before a right contact and negative before a left one.

use std::collections::VecDeque;

use proprio_core::TimeNs;
use serde::{Deserialize, Serialize};

use super::foot_motion::{GRAVITY_M_PER_S2, Sample, Vector, dot, norm, unit};
use super::gait_event::{Foot, GaitEvent, Kind, Waiting};

/// Standard deviations of the Gaussian windows: for tops and valleys, for the steepest rise, and for the rate about the vertical.
const TOP_S: f64 = 0.08;
const RISE_S: f64 = 0.02;
const YAW_S: f64 = 0.06;
/// Gaussian windows end at so many standard deviations.
const WIDTH: f64 = 3.0;
/// The rise lies at most this long before the top.
const RISE_BEFORE_NS: i64 = 150_000_000;
/// A top or valley this old is not waited for any longer.
const PATIENCE_NS: i64 = 600_000_000;
/// The rate about the vertical is taken this long before the contact, and its mean this far around that.
const YAW_BEFORE_NS: i64 = 50_000_000;
const YAW_MEAN_NS: i64 = 500_000_000;
/// Tops are compared with the median height of so many before them.
const HEIGHTS: usize = 6;
/// Steps further apart have no rhythm.
const RHYTHM_NS: i64 = 1_500_000_000;
/// How fast the direction of gravity is followed.
const GRAVITY_S: f64 = 1.0;
/// Confidence of a step in rhythm whose top is at least this high.
const CONFIDENCE: f64 = 0.7;
const HIGH_M_PER_S2: f64 = 1.0;
/// Final contacts are surer to be off.
const FINAL_SHARE: f64 = 0.6;

/// What counts as a step. Fixed when the step is planned.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Nanoseconds between samples.
    pub period_ns: i64,
    /// Least height of a top over its valleys.
    pub least_m_per_s2: f64,
    /// And its least share of the median height of those before.
    pub least_share: f64,
    /// A top whose contact comes sooner after the one before is part of the same step.
    pub shortest_step_ns: i64,
    /// Below this the rate about the vertical doesn't tell the side.
    pub least_yaw_rad_per_s: f64,
    /// Longest gap that is bridged.
    pub gap_ns: i64,
    top: Vec<f64>,
    rise: Vec<f64>,
    yaw: Vec<f64>,
}

/// One instant on the grid.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Instant {
    time_ns: TimeNs,
    /// Norm of the specific force, less gravity.
    force_m_per_s2: f64,
    /// Rate about the vertical, to the left.
    yaw_rad_per_s: f64,
}

/// What is remembered. Bounded: three seconds of instants, and the steps that await their side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Track {
    instants: VecDeque<Instant>,
    last: Option<Sample>,
    gravity: Vector,
    turn: Turn,
    heights: VecDeque<f64>,
    last_contact_ns: Option<TimeNs>,
    steps: VecDeque<Step>,
}

/// Where the smoothed force stands between its tops and valleys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
enum Turn {
    #[default]
    Unknown,
    /// On its way down; `top_ns` is the top before, while the other foot's leaving is open.
    Falling { least: f64, least_ns: TimeNs, top_ns: Option<TimeNs> },
    /// On its way up from a valley.
    Rising { valley: f64, valley_ns: TimeNs, greatest: f64, greatest_ns: TimeNs },
}

/// A step whose side, or whose other foot's leaving, is still open.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Step {
    contact_ns: TimeNs,
    confidence: f64,
    foot: Option<Foot>,
    leaving: Leaving,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Leaving {
    Open,
    Never,
    At(TimeNs),
}

impl Rule {
    /// A rule with the windows for its period.
    pub fn new(period_ns: i64, least_m_per_s2: f64, least_share: f64, shortest_step_ns: i64, least_yaw_rad_per_s: f64) -> Self {
        let window = |deviation_s: f64| gaussian(deviation_s / (period_ns as f64 * 1e-9));
        let rise = window(RISE_S);
        let middle = (rise.len() / 2) as f64;
        let rise = rise.iter().enumerate().map(|(k, weight)| weight * (k as f64 - middle)).collect();
        let gap_ns = 100_000_000_i64.max(2 * period_ns);
        Self {
            period_ns,
            least_m_per_s2,
            least_share,
            shortest_step_ns,
            least_yaw_rad_per_s,
            gap_ns,
            top: window(TOP_S),
            rise,
            yaw: window(YAW_S),
        }
    }

    fn delay_ns(&self) -> i64 {
        (self.top.len() / 2) as i64 * self.period_ns
    }
}

impl Track {
    /// Takes the next sample, and the samples that are missing before it.
    pub fn step(&mut self, rule: &Rule, sample: Sample, found: &mut Waiting) {
        self.expire(rule, sample.time_ns, found);
        if let Some(last) = self.last {
            let steps = (sample.time_ns - last.time_ns + rule.period_ns / 2) / rule.period_ns;
            for step in 1..steps {
                self.push(rule, between(&last, &sample, step, steps), found);
            }
        }
        self.push(rule, sample, found);
    }

    /// Ends what is going on once samples have been away for too long.
    pub fn expire(&mut self, rule: &Rule, now_ns: TimeNs, found: &mut Waiting) {
        if self.last.is_some_and(|last| now_ns.saturating_sub(last.time_ns) > rule.gap_ns) {
            self.end(found);
        }
    }

    /// Ends the track: what is open stays open.
    pub fn end(&mut self, found: &mut Waiting) {
        for step in std::mem::take(self).steps {
            let (contact_ns, foot) = (step.contact_ns, step.foot.unwrap_or(Foot::Unknown));
            if step.foot.is_none() {
                found.insert(GaitEvent { time_ns: contact_ns, kind: Kind::InitialContact, foot, confidence: step.confidence });
                if let Leaving::At(time_ns) = step.leaving {
                    found.insert(leaving(time_ns, foot, step.confidence));
                }
            }
        }
    }

    /// The newest time at or before which no further event can lie, when every sample up to `watermark` has been taken.
    pub fn decided_until(&self, rule: &Rule, watermark: TimeNs) -> TimeNs {
        let (Some(first), Some(last)) = (self.instants.front(), self.instants.back()) else { return watermark };
        let smoothed_ns = last.time_ns - rule.delay_ns();
        let next_contact_ns = match self.turn {
            Turn::Unknown => first.time_ns,
            Turn::Falling { .. } => smoothed_ns - RISE_BEFORE_NS,
            Turn::Rising { greatest_ns, .. } => greatest_ns - RISE_BEFORE_NS,
        };
        let next_leaving_ns = match self.turn {
            Turn::Falling { top_ns: Some(top_ns), least_ns, .. } => middle(top_ns, least_ns),
            _ => TimeNs::MAX,
        };
        let open = self.steps.iter().filter(|step| step.foot.is_none()).map(|step| step.contact_ns);
        let earliest_ns = open.chain([next_contact_ns, next_leaving_ns]).min().unwrap_or(next_contact_ns);
        (earliest_ns - 1).min(watermark)
    }

    fn push(&mut self, rule: &Rule, sample: Sample, found: &mut Waiting) {
        self.follow_gravity(rule, &sample);
        self.last = Some(sample);
        let up = unit(self.gravity).unwrap_or([0.0; 3]);
        let force_m_per_s2 = norm(sample.accel_m_per_s2) - GRAVITY_M_PER_S2;
        self.instants.push_back(Instant { time_ns: sample.time_ns, force_m_per_s2, yaw_rad_per_s: dot(sample.gyro_rad_per_s, up) });
        let oldest_ns = sample.time_ns - 2 * PATIENCE_NS - 2 * YAW_MEAN_NS - rule.delay_ns();
        while self.instants.front().is_some_and(|instant| instant.time_ns < oldest_ns) {
            self.instants.pop_front();
        }
        if let Some(at) = self.instants.len().checked_sub(rule.top.len()) {
            let smoothed = self.weighted(&rule.top, at, |instant| instant.force_m_per_s2);
            self.turn(rule, self.instants[at + rule.top.len() / 2].time_ns, smoothed);
        }
        self.settle(rule, sample.time_ns, found);
    }

    fn follow_gravity(&mut self, rule: &Rule, sample: &Sample) {
        let share = if self.last.is_none() { 1.0 } else { (rule.period_ns as f64 * 1e-9 / GRAVITY_S).min(1.0) };
        self.gravity = std::array::from_fn(|axis| self.gravity[axis] + share * (sample.accel_m_per_s2[axis] - self.gravity[axis]));
    }

    /// Follows the smoothed force through its tops and valleys.
    fn turn(&mut self, rule: &Rule, time_ns: TimeNs, value: f64) {
        let least_height = rule.least_m_per_s2.max(rule.least_share * self.usual_height());
        match &mut self.turn {
            Turn::Unknown => self.turn = Turn::Falling { least: value, least_ns: time_ns, top_ns: None },
            Turn::Falling { least, least_ns, top_ns } => {
                if value < *least {
                    (*least, *least_ns) = (value, time_ns);
                }
                let (valley, valley_ns, open) = (*least, *least_ns, *top_ns);
                let rises = value > valley + least_height;
                if let Some(top) = open.filter(|top| rises || time_ns - top > PATIENCE_NS) {
                    *top_ns = None;
                    self.left(top, valley_ns);
                }
                if rises {
                    self.turn = Turn::Rising { valley, valley_ns, greatest: value, greatest_ns: time_ns };
                }
            }
            Turn::Rising { valley, valley_ns, greatest, greatest_ns } => {
                if value > *greatest {
                    (*greatest, *greatest_ns) = (value, time_ns);
                }
                let (height, from_ns, top_ns) = (*greatest - *valley, *valley_ns, *greatest_ns);
                let falls = value < *greatest - least_height;
                if falls || time_ns - top_ns > PATIENCE_NS {
                    let is_step = falls && self.contact(rule, from_ns, top_ns, height);
                    self.turn = Turn::Falling { least: value, least_ns: time_ns, top_ns: is_step.then_some(top_ns) };
                }
            }
        }
    }

    /// Times the contact before a top; whether it is a new step's.
    fn contact(&mut self, rule: &Rule, valley_ns: TimeNs, top_ns: TimeNs, height: f64) -> bool {
        if self.heights.len() == HEIGHTS {
            self.heights.pop_front();
        }
        self.heights.push_back(height);
        let from_ns = valley_ns.max(top_ns - RISE_BEFORE_NS);
        let Some(contact_ns) = self.steepest_rise(rule, from_ns, top_ns) else { return false };
        let since_ns = self.last_contact_ns.map(|last| contact_ns - last);
        if since_ns.is_some_and(|since| since < rule.shortest_step_ns) {
            return false;
        }
        self.last_contact_ns = Some(contact_ns);
        let rhythm = if since_ns.is_some_and(|since| since <= RHYTHM_NS) { 1.0 } else { 0.5 };
        let confidence = CONFIDENCE * rhythm * (height / HIGH_M_PER_S2).min(1.0);
        self.steps.push_back(Step { contact_ns, confidence, foot: None, leaving: Leaving::Open });
        true
    }

    /// The valley after a top has come, so that the other foot has left.
    fn left(&mut self, top_ns: TimeNs, valley_ns: TimeNs) {
        if let Some(step) = self.steps.back_mut() {
            step.leaving = if valley_ns - top_ns <= PATIENCE_NS { Leaving::At(middle(top_ns, valley_ns)) } else { Leaving::Never };
        }
    }

    /// Tells sides where enough is known around the contact, and hands over what is complete.
    fn settle(&mut self, rule: &Rule, now_ns: TimeNs, found: &mut Waiting) {
        for index in 0..self.steps.len() {
            let Step { contact_ns, confidence, foot, .. } = self.steps[index];
            if foot.is_none() && now_ns >= contact_ns - YAW_BEFORE_NS + YAW_MEAN_NS {
                let foot = self.side(rule, contact_ns - YAW_BEFORE_NS);
                found.insert(GaitEvent { time_ns: contact_ns, kind: Kind::InitialContact, foot, confidence });
                self.steps[index].foot = Some(foot);
            }
            let Step { foot, leaving: left, .. } = self.steps[index];
            if let (Some(foot), Leaving::At(time_ns)) = (foot, left) {
                found.insert(leaving(time_ns, foot, confidence));
                self.steps[index].leaving = Leaving::Never;
            }
        }
        self.steps.retain(|step| step.foot.is_none() || step.leaving == Leaving::Open);
    }

    fn side(&self, rule: &Rule, time_ns: TimeNs) -> Foot {
        let row = |time_ns: TimeNs| self.instants.partition_point(|instant| instant.time_ns < time_ns);
        let (from, at, to) = (row(time_ns - YAW_MEAN_NS), row(time_ns), row(time_ns + YAW_MEAN_NS));
        let Some(first) = at.checked_sub(rule.yaw.len() / 2).filter(|first| first + rule.yaw.len() <= self.instants.len()) else {
            return Foot::Unknown;
        };
        let mean = self.instants.range(from..to).map(|instant| instant.yaw_rad_per_s).sum::<f64>() / (to - from) as f64;
        let rate = self.weighted(&rule.yaw, first, |instant| instant.yaw_rad_per_s) - mean;
        match rate {
            rate if rate > rule.least_yaw_rad_per_s => Foot::Right,
            rate if rate < -rule.least_yaw_rad_per_s => Foot::Left,
            _ => Foot::Unknown,
        }
    }

    fn steepest_rise(&self, rule: &Rule, from_ns: TimeNs, to_ns: TimeNs) -> Option<TimeNs> {
        let half = rule.rise.len() / 2;
        let row = |time_ns: TimeNs| self.instants.partition_point(|instant| instant.time_ns < time_ns);
        let (from, to) = (row(from_ns).max(half), row(to_ns).min((self.instants.len() - 1).checked_sub(half)?));
        let slopes: Vec<f64> = (from..=to).map(|at| self.weighted(&rule.rise, at - half, |instant| instant.force_m_per_s2)).collect();
        let (best, _) = slopes.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)))?;
        let time_ns = self.instants[from + best].time_ns;
        let share = match slopes.get(best.wrapping_sub(1)).zip(slopes.get(best + 1)) {
            Some((before, after)) if 2.0 * slopes[best] > before + after => 0.5 * (after - before) / (2.0 * slopes[best] - before - after),
            _ => 0.0,
        };
        // Within the window, so that no promise is broken.
        Some((time_ns + (share * rule.period_ns as f64).round() as i64).clamp(from_ns, to_ns))
    }

    fn usual_height(&self) -> f64 {
        let mut sorted: Vec<f64> = self.heights.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        // The first steps of a walk are no measure.
        if sorted.len() < 3 { 0.0 } else { 0.5 * (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) }
    }

    fn weighted(&self, weights: &[f64], from: usize, value: impl Fn(&Instant) -> f64) -> f64 {
        self.instants.range(from..from + weights.len()).zip(weights).map(|(instant, weight)| weight * value(instant)).sum()
    }
}

/// The other foot of a step leaves the ground.
fn leaving(time_ns: TimeNs, foot: Foot, confidence: f64) -> GaitEvent {
    GaitEvent { time_ns, kind: Kind::FinalContact, foot: foot.other(), confidence: FINAL_SHARE * confidence }
}

fn middle(a: TimeNs, b: TimeNs) -> TimeNs {
    a + (b - a) / 2
}

/// A normalised Gaussian window, whose deviation is in samples.
fn gaussian(deviation: f64) -> Vec<f64> {
    let half = (WIDTH * deviation).ceil().max(1.0) as i64;
    let weights: Vec<f64> = (-half..=half).map(|k| libm::exp(-0.5 * (k as f64 / deviation) * (k as f64 / deviation))).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

fn between(from: &Sample, to: &Sample, step: i64, steps: i64) -> Sample {
    let share = step as f64 / steps as f64;
    let mix = |a: Vector, b: Vector| std::array::from_fn(|axis| a[axis] + share * (b[axis] - a[axis]));
    Sample {
        time_ns: from.time_ns + (to.time_ns - from.time_ns) * step / steps,
        accel_m_per_s2: mix(from.accel_m_per_s2, to.accel_m_per_s2),
        gyro_rad_per_s: mix(from.gyro_rad_per_s, to.gyro_rad_per_s),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps every 0.5 s from 1 s to 6 s: the force is a sine whose steepest rise is at the step, the pelvis turns with the stride.
    fn run(seconds: impl Iterator<Item = i64>) -> Vec<GaitEvent> {
        let rule = Rule::new(10_000_000, 0.25, 0.2, 300_000_000, 0.03);
        let (mut track, mut waiting) = (Track::default(), Waiting::default());
        for k in seconds {
            let t = k as f64 * 0.01;
            let turn = 2.0 * std::f64::consts::PI;
            let walks = (0.75..6.25).contains(&t);
            let force = if walks { 3.0 * libm::sin(turn * 2.0 * t) } else { 0.0 };
            let yaw = if walks { 0.5 * libm::cos(turn * (t + 0.05)) } else { 0.0 };
            // The sensor's x points up.
            let sample =
                Sample { time_ns: k * 10_000_000, accel_m_per_s2: [GRAVITY_M_PER_S2 + force, 0.0, 0.0], gyro_rad_per_s: [yaw, 0.0, 0.0] };
            track.step(&rule, sample, &mut waiting);
        }
        track.end(&mut waiting);
        waiting.take_until(TimeNs::MAX)
    }

    #[test]
    fn steps_alternate_at_the_steepest_rise() {
        let events = run(0..800);
        let contacts: Vec<_> = events.iter().filter(|event| event.kind == Kind::InitialContact && event.time_ns > 1_200_000_000).collect();
        assert!((9..=11).contains(&contacts.len()), "{contacts:?}");
        for (number, event) in contacts.iter().enumerate().take(9) {
            let due_ns = 1_500_000_000 + number as i64 * 500_000_000;
            assert!((event.time_ns - due_ns).abs() < 5_000_000, "{event:?} is due at {due_ns}");
            assert_eq!(event.foot, if number % 2 == 0 { Foot::Left } else { Foot::Right }, "{event:?}");
        }
        let left = events.iter().filter(|event| event.kind == Kind::FinalContact).count();
        assert!(left >= 9, "{left} feet left the ground");
    }

    #[test]
    fn nobody_walks_while_nothing_moves() {
        assert!(run(700..1500).is_empty());
    }

    #[test]
    fn a_short_gap_is_bridged_and_a_long_one_ends_the_track() {
        let count = |events: Vec<GaitEvent>| events.iter().filter(|event| event.kind == Kind::InitialContact).count();
        let whole = count(run(0..800));
        assert_eq!(count(run((0..800).filter(|k| !(300..308).contains(k)))), whole);
        assert!(count(run((0..800).filter(|k| !(300..350).contains(k)))) < whole);
    }
}
