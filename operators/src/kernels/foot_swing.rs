//! When a foot swings, and where in its swing it left and reached the ground, from its heel and toe markers alone.
//!
//! A swing is a stretch in which the foot's middle moves fast along the floor. Its final contact lies before the swing's
//! fastest instant and its initial contact in the slowing part after it, so that neither the dip of the vertical velocity in
//! mid-swing nor the rise before the heel drops is taken for a contact. No direction of walking is needed to find the swing.

use std::collections::VecDeque;

use proprio_core::TimeNs;
use serde::{Deserialize, Serialize};

/// Fastest part of a swing, as a share of which the foot must have slowed down before its initial contact is looked for.
const SLOWED: f64 = 0.7;
/// The same for the heel's signs, which come later: noise in mid-swing is kept out.
const BRAKED: f64 = 0.6;
/// A swing whose fastest instant is slower than this many times the swing speed is a shuffle or noise.
const FASTEST_AT_LEAST: f64 = 1.6;
/// Shortest and longest swing.
const SWING_NS: std::ops::RangeInclusive<i64> = 100_000_000..=1_500_000_000;
/// How far beyond the fast stretch, at both ends, an event may lie.
const MARGIN_NS: i64 = 50_000_000;
/// Share of its fastest speed in the swing above which the toe has left the ground. A quarter: a rolling foot's toe creeps, and a
/// share follows slow and fast walkers alike.
const TOE_LEAVES: f64 = 0.25;
/// Share of its fastest speed in the swing below which the heel has come to rest, as far as a marker on skin or shoe does at once.
const HEEL_RESTS: f64 = 0.11;
/// How far apart the heel's rest and its impact may be for a contact that is sure.
const SIGNS_AGREE_NS: i64 = 40_000_000;

/// How events are timed within a swing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// Initial contact midway between the instant at which the heel comes to rest and its impact, the highest peak of its
    /// vertical acceleration (Hreljac and Marshall 2000, "Algorithms to determine event timing during normal walking using
    /// kinematic data"): the first comes a little early, the second a little late. Final contact where the toe passes a
    /// quarter of its fastest speed along the floor.
    HeelAndToe,
    /// Greatest and smallest vertical velocity of the foot's middle (O'Connor et al. 2007, "Automatic detection of gait
    /// events using kinematic data").
    FootVelocity,
    /// Rearmost toe and foremost heel relative to the pelvis (Zeni et al. 2008, "Two simple methods for determining gait
    /// events"), along the swing's own displacement.
    PelvisDistance,
}

/// How a track of markers becomes events; the same for both feet of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// How events are timed.
    pub timing: Timing,
    /// Time between two frames.
    pub period_ns: i64,
    /// Longest stretch without the markers that is bridged by straight lines.
    pub bridge_ns: i64,
    /// Horizontal speed of the foot's middle above which it swings.
    pub swing_m_per_s: f64,
}

/// The markers of one foot at one instant, in metres, in the lab frame.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When.
    pub time_ns: TimeNs,
    /// Heel, x, y, z.
    pub heel_m: [f64; 3],
    /// Toe, x, y, z.
    pub toe_m: [f64; 3],
    /// Pelvis, x and y; NaN where not seen.
    pub pelvis_m: [f64; 2],
    /// Whether it stands in for one that was not seen.
    pub bridged: bool,
}

/// An event of the foot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// When.
    pub time_ns: TimeNs,
    /// Initial contact, or final contact.
    pub initial: bool,
    /// Whether the markers were seen throughout and beyond the search window, and the method's own sign was there.
    pub complete: bool,
}

/// What is remembered of one foot. Bounded: a window of samples and one swing's frames.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Track {
    samples: VecDeque<Sample>,
    started_ns: TimeNs,
    /// Smoothed frames: of the last margin while the foot stands, and of the whole swing while it swings.
    frames: VecDeque<Frame>,
    /// Index in `frames` of the swing's first frame.
    swing: Option<usize>,
    /// Index in `frames` of the first frame after the swing.
    swing_end: Option<usize>,
}

/// A smoothed instant.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Frame {
    time_ns: TimeNs,
    speed_m_per_s: f64,
    vertical_m_per_s: f64,
    /// Of the toe, along the floor.
    toe_m_per_s: f64,
    /// Of the heel, in space.
    heel_m_per_s: f64,
    /// Of the heel, upward; NaN as long as it is not known.
    heel_lift_m_per_s2: f64,
    heel_m: [f64; 2],
    /// Toe and heel relative to the pelvis.
    toe_from_pelvis_m: [f64; 2],
    heel_from_pelvis_m: [f64; 2],
    bridged: bool,
}

impl Track {
    /// Takes the next instant at which heel and toe were both seen.
    pub fn step(&mut self, rule: &Rule, smoothing: &Smoothing, sample: Sample, found: &mut Vec<Found>) {
        self.expire(rule, sample.time_ns, found);
        match self.samples.back().copied() {
            None => self.started_ns = sample.time_ns,
            Some(last) => {
                let steps = (sample.time_ns - last.time_ns + rule.period_ns / 2) / rule.period_ns;
                for step in 1..steps {
                    self.push(rule, smoothing, between(last, sample, step, steps), found);
                }
            }
        }
        self.push(rule, smoothing, sample, found);
    }

    /// Ends the track once the markers have been away for longer than is bridged; a contact whose window the end cuts
    /// short is still found when its velocity has turned already.
    pub fn expire(&mut self, rule: &Rule, now_ns: TimeNs, found: &mut Vec<Found>) {
        if self.samples.back().is_some_and(|last| now_ns.saturating_sub(last.time_ns) > rule.bridge_ns + rule.period_ns) {
            self.end(rule, found);
        }
    }

    /// Ends the track: no further sample comes.
    pub fn end(&mut self, rule: &Rule, found: &mut Vec<Found>) {
        if self.swing.is_some() {
            self.finish_swing(rule, false, found);
        }
        *self = Self::default();
    }

    /// The newest time at or before which no further event can lie, when every sample up to `watermark` has been taken.
    pub fn decided_until(&self, rule: &Rule, watermark: TimeNs) -> TimeNs {
        if self.samples.is_empty() {
            return watermark;
        }
        let earliest_window = match (self.swing, self.frames.back()) {
            (Some(first), _) => self.frames[first].time_ns,
            (None, Some(last)) => last.time_ns,
            (None, None) => self.started_ns,
        };
        (earliest_window - MARGIN_NS - rule.period_ns).max(self.started_ns - 1).min(watermark)
    }

    fn push(&mut self, rule: &Rule, smoothing: &Smoothing, sample: Sample, found: &mut Vec<Found>) {
        self.samples.push_back(sample);
        let samples = self.samples.make_contiguous();
        let Some(from) = samples.len().checked_sub(smoothing.slope_per_s.len()) else { return };
        let frame = smoothing.frame(&samples[from..]);
        // The wider window of the acceleration is full some frames later.
        let lift = (samples.len() == smoothing.curvature_per_s2.len()).then(|| smoothing.heel_lift_m_per_s2(samples));
        if let Some(lift) = lift {
            let back = (smoothing.curvature_per_s2.len() - smoothing.slope_per_s.len()) / 2;
            if let Some(earlier) = self.frames.len().checked_sub(back).and_then(|index| self.frames.get_mut(index)) {
                earlier.heel_lift_m_per_s2 = lift;
            }
            self.samples.pop_front();
        }
        self.take(rule, frame, found);
    }

    /// Follows the swing through one more frame.
    fn take(&mut self, rule: &Rule, frame: Frame, found: &mut Vec<Found>) {
        self.frames.push_back(frame);
        let newest = self.frames.len() - 1;
        let fast = frame.speed_m_per_s > rule.swing_m_per_s;
        match (self.swing, self.swing_end) {
            (None, _) if fast => self.swing = Some(newest),
            (Some(_), None) if !fast => self.swing_end = Some(newest),
            // Fast again within the margin: the same swing goes on.
            (Some(_), Some(_)) if fast => self.swing_end = None,
            _ => {}
        }
        if self.swing_end.is_some_and(|end| frame.time_ns - self.frames[end].time_ns >= MARGIN_NS) {
            self.finish_swing(rule, true, found);
        } else if self.swing.is_some_and(|first| frame.time_ns - self.frames[first].time_ns > 2 * *SWING_NS.end()) {
            // Too long for a swing: a foot carried away, or a marker on something else.
            self.swing = None;
            self.swing_end = None;
        }
        if self.swing.is_none() {
            let oldest = frame.time_ns - MARGIN_NS;
            self.frames.drain(..self.frames.partition_point(|frame| frame.time_ns < oldest));
        }
    }

    /// Times the events of a swing that is over, or that the track's end cuts short.
    fn finish_swing(&mut self, rule: &Rule, complete: bool, found: &mut Vec<Found>) {
        let (first, end) = (self.swing.take(), self.swing_end.take());
        let frames = self.frames.make_contiguous();
        let Some(swing) = first.and_then(|first| Swing::new(rule, frames, first, end)) else { return };
        let mut add = |initial: bool, window: &[Frame], time_ns: Option<TimeNs>, is_sure: bool| {
            let complete = complete && is_sure && window.iter().all(|frame| !frame.bridged);
            found.extend(time_ns.map(|time_ns| Found { time_ns, initial, complete }));
        };
        let [x, y] = swing.direction;
        let ahead = |point: [f64; 2]| point[0] * x + point[1] * y;
        let (leaving, reaching) = (&frames[swing.leaving], &frames[swing.reaching]);
        let sinking = || greatest(reaching, &|frame| -frame.vertical_m_per_s);
        match rule.timing {
            Timing::HeelAndToe => {
                add(false, leaving, last_rise(leaving, TOE_LEAVES * swing.toe_m_per_s, &|frame| frame.toe_m_per_s), true);
                let impact = highest_peak(reaching, &|frame| frame.heel_lift_m_per_s2);
                let rest = first_fall(reaching, HEEL_RESTS * swing.heel_m_per_s, &|frame| frame.heel_m_per_s);
                let is_sure = impact.zip(rest).is_some_and(|(impact, rest)| (impact - rest).abs() <= SIGNS_AGREE_NS);
                let contact = impact.zip(rest).map(|(impact, rest)| rest + (impact - rest) / 2);
                // A foot that is set down softly: one sign, or its fastest sinking, stands for both.
                add(true, reaching, contact.or(rest).or(impact).or_else(sinking), is_sure);
            }
            Timing::FootVelocity => {
                add(false, leaving, greatest(leaving, &|frame| frame.vertical_m_per_s), true);
                add(true, reaching, sinking(), true);
            }
            Timing::PelvisDistance => {
                add(false, leaving, greatest(leaving, &|frame| -ahead(frame.toe_from_pelvis_m)), true);
                add(true, reaching, greatest(reaching, &|frame| ahead(frame.heel_from_pelvis_m)), true);
            }
        }
    }
}

/// The parts of a swing in which its events lie.
struct Swing {
    /// Frames around the final contact; empty when the track began within the swing.
    leaving: std::ops::Range<usize>,
    /// Frames around the initial contact.
    reaching: std::ops::Range<usize>,
    /// Unit vector of the heel's displacement.
    direction: [f64; 2],
    /// The toe's fastest speed along the floor, and the heel's in space.
    toe_m_per_s: f64,
    heel_m_per_s: f64,
}

impl Swing {
    fn new(rule: &Rule, frames: &[Frame], first: usize, end: Option<usize>) -> Option<Self> {
        let last = end.unwrap_or(frames.len()) - 1;
        let fast = &frames[first..=last];
        let (peak, fastest) = fast.iter().enumerate().max_by(|a, b| a.1.speed_m_per_s.total_cmp(&b.1.speed_m_per_s))?;
        let long_enough = SWING_NS.contains(&(frames[last].time_ns - frames[first].time_ns));
        if !long_enough || fastest.speed_m_per_s < FASTEST_AT_LEAST * rule.swing_m_per_s {
            return None;
        }
        let share = if rule.timing == Timing::HeelAndToe { BRAKED } else { SLOWED };
        let slowed = fast.iter().skip(peak).position(|frame| frame.speed_m_per_s < share * fastest.speed_m_per_s);
        let reaching = slowed.map_or(frames.len(), |slowed| first + peak + slowed)..frames.len();
        // A swing whose start the track missed has an unknown final contact.
        let leaving = if first == 0 { 0..0 } else { 0..first + peak + 1 };
        let along = [0, 1].map(|axis| frames[last].heel_m[axis] - frames[first].heel_m[axis]);
        let length_m = (along[0] * along[0] + along[1] * along[1]).sqrt();
        let fastest = |speed: fn(&Frame) -> f64| fast.iter().map(speed).fold(0.0, f64::max);
        let (toe_m_per_s, heel_m_per_s) = (fastest(|frame| frame.toe_m_per_s), fastest(|frame| frame.heel_m_per_s));
        (length_m > 0.0).then(|| Self { leaving, reaching, direction: along.map(|part| part / length_m), toe_m_per_s, heel_m_per_s })
    }
}

/// The instant of the greatest value, refined by a parabola through it and its neighbours; `None` when it lies at an end of
/// the window, or a value is not known.
fn greatest(frames: &[Frame], value: &dyn Fn(&Frame) -> f64) -> Option<TimeNs> {
    let values: Vec<f64> = frames.iter().map(value).collect();
    if values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let (at, _) = values.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
    (at > 0 && at + 1 < values.len()).then(|| refined(frames, &values, at))
}

/// The instant of the highest value that is above its neighbours, refined likewise; a slope that runs into an end is no peak.
fn highest_peak(frames: &[Frame], value: &dyn Fn(&Frame) -> f64) -> Option<TimeNs> {
    let values: Vec<f64> = frames.iter().map(value).collect();
    let is_peak = |at: &usize| values[*at] >= values[at - 1] && values[*at] > values[at + 1];
    let at = (1..values.len().saturating_sub(1)).filter(is_peak).max_by(|a, b| values[*a].total_cmp(&values[*b]))?;
    Some(refined(frames, &values, at))
}

/// The instant, between two frames, at which the value last rises through `level`.
fn last_rise(frames: &[Frame], level: f64, value: &dyn Fn(&Frame) -> f64) -> Option<TimeNs> {
    let values: Vec<f64> = frames.iter().map(value).collect();
    let at = (1..values.len()).rev().find(|at| values[at - 1] <= level && values[*at] > level)?;
    Some(crossing(frames, &values, at, level))
}

/// The instant at which the value first falls through `level`.
fn first_fall(frames: &[Frame], level: f64, value: &dyn Fn(&Frame) -> f64) -> Option<TimeNs> {
    let values: Vec<f64> = frames.iter().map(value).collect();
    let at = (1..values.len()).find(|at| values[at - 1] > level && values[*at] <= level)?;
    Some(crossing(frames, &values, at, level))
}

/// Where the straight line to frame `at` from the one before it meets `level`.
fn crossing(frames: &[Frame], values: &[f64], at: usize, level: f64) -> TimeNs {
    let share = (level - values[at - 1]) / (values[at] - values[at - 1]);
    let span_ns = frames[at].time_ns - frames[at - 1].time_ns;
    frames[at - 1].time_ns + (share * span_ns as f64).round() as i64
}

/// The turning point of the parabola through a value and its neighbours.
fn refined(frames: &[Frame], values: &[f64], at: usize) -> TimeNs {
    let [before, middle, after] = [values[at - 1], values[at], values[at + 1]];
    let curvature = before - 2.0 * middle + after;
    let share = if curvature < 0.0 { (0.5 * (before - after) / curvature).clamp(-0.5, 0.5) } else { 0.0 };
    let span_ns = (frames[at + 1].time_ns - frames[at - 1].time_ns) / 2;
    frames[at].time_ns + (share * span_ns as f64).round() as i64
}

/// The instant that is `step` of `steps` of the way from one sample to the next.
fn between(from: Sample, to: Sample, step: i64, steps: i64) -> Sample {
    let share = step as f64 / steps as f64;
    let mix = |a: f64, b: f64| a + share * (b - a);
    Sample {
        time_ns: from.time_ns + (i128::from(to.time_ns - from.time_ns) * i128::from(step) / i128::from(steps)) as i64,
        heel_m: std::array::from_fn(|axis| mix(from.heel_m[axis], to.heel_m[axis])),
        toe_m: std::array::from_fn(|axis| mix(from.toe_m[axis], to.toe_m[axis])),
        pelvis_m: std::array::from_fn(|axis| mix(from.pelvis_m[axis], to.pelvis_m[axis])),
        bridged: true,
    }
}

/// Least-squares polynomials over symmetric windows (Savitzky and Golay 1964), in the middle: value and slope of a cubic, and over a
/// window half as wide again the curvature of a quartic, which noise disturbs most.
#[derive(Clone, Debug, PartialEq)]
pub struct Smoothing {
    value: Vec<f64>,
    slope_per_s: Vec<f64>,
    curvature_per_s2: Vec<f64>,
}

impl Smoothing {
    /// For cubics over `2 half_width + 1` frames, `period_ns` apart; `half_width` is at least 2.
    pub fn new(half_width: usize, period_ns: i64) -> Self {
        let seconds = period_ns as f64 * 1e-9;
        let wide = half_width + half_width.div_ceil(2);
        let offsets = |half: usize| (0..=2 * half).map(move |index| index as f64 - half as f64);
        let [count, s2, s4, s6, _] = even_moments(half_width);
        let value = |offset: f64| (s4 - s2 * offset * offset) / (count * s4 - s2 * s2);
        let slope = |offset: f64| (s6 * offset - s4 * offset * offset * offset) / (s2 * s6 - s4 * s4) / seconds;
        let (values, slopes) = (offsets(half_width).map(value).collect(), offsets(half_width).map(slope).collect());
        let [count, s2, s4, s6, s8] = even_moments(wide);
        // The quadratic term of the even part: a row of the inverse of its normal equations.
        let cofactors = [s4 * s6 - s2 * s8, count * s8 - s4 * s4, s2 * s4 - count * s6];
        let determinant = s2 * cofactors[0] + s4 * cofactors[1] + s6 * cofactors[2];
        let curvature = |offset: f64| {
            let square = offset * offset;
            2.0 * (cofactors[0] + cofactors[1] * square + cofactors[2] * square * square) / determinant / (seconds * seconds)
        };
        Self { value: values, slope_per_s: slopes, curvature_per_s2: offsets(wide).map(curvature).collect() }
    }

    /// The acceleration in the middle of a wide window.
    fn heel_lift_m_per_s2(&self, samples: &[Sample]) -> f64 {
        samples.iter().zip(&self.curvature_per_s2).map(|(sample, weight)| weight * sample.heel_m[2]).sum()
    }

    /// The middle of a window, but for the acceleration.
    fn frame(&self, samples: &[Sample]) -> Frame {
        let dot = |weights: &[f64], of: &dyn Fn(&Sample) -> f64| {
            samples.iter().zip(weights).map(|(sample, weight)| weight * of(sample)).sum::<f64>()
        };
        let velocity = |axis: usize| dot(&self.slope_per_s, &|sample| 0.5 * (sample.heel_m[axis] + sample.toe_m[axis]));
        let toe_velocity = |axis: usize| dot(&self.slope_per_s, &|sample| sample.toe_m[axis]);
        let heel_velocity = |axis: usize| dot(&self.slope_per_s, &|sample| sample.heel_m[axis]);
        let value = |of: &dyn Fn(&Sample) -> f64| dot(&self.value, of);
        let length = |x: f64, y: f64| (x * x + y * y).sqrt();
        Frame {
            time_ns: samples[samples.len() / 2].time_ns,
            speed_m_per_s: length(velocity(0), velocity(1)),
            vertical_m_per_s: velocity(2),
            toe_m_per_s: length(toe_velocity(0), toe_velocity(1)),
            heel_m_per_s: length(length(heel_velocity(0), heel_velocity(1)), heel_velocity(2)),
            heel_lift_m_per_s2: f64::NAN,
            heel_m: [0, 1].map(|axis| value(&|sample| sample.heel_m[axis])),
            toe_from_pelvis_m: [0, 1].map(|axis| value(&|sample| sample.toe_m[axis] - sample.pelvis_m[axis])),
            heel_from_pelvis_m: [0, 1].map(|axis| value(&|sample| sample.heel_m[axis] - sample.pelvis_m[axis])),
            bridged: samples.iter().any(|sample| sample.bridged),
        }
    }
}

/// Sums over a window of the offsets' powers 0, 2, 4, 6 and 8.
fn even_moments(half_width: usize) -> [f64; 5] {
    let mut sums = [0.0; 5];
    for index in 0..=2 * half_width {
        let offset = index as f64 - half_width as f64;
        let mut power = 1.0;
        for sum in &mut sums {
            *sum += power;
            power *= offset * offset;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule { timing: Timing::FootVelocity, period_ns: 10_000_000, bridge_ns: 100_000_000, swing_m_per_s: 0.5 };

    #[test]
    fn smoothing_is_exact_for_a_cubic_and_curvature_for_a_quartic() {
        let smoothing = Smoothing::new(4, 10_000_000);
        let sample = |frame: i64| {
            let t = frame as f64 * 0.01;
            let cubic = 1.0 + 2.0 * t - 3.0 * t * t + 4.0 * t * t * t;
            Sample { time_ns: frame * 10_000_000, heel_m: [cubic; 3], toe_m: [cubic; 3], pelvis_m: [0.0; 2], bridged: false }
        };
        let samples: Vec<_> = (4..17).map(sample).collect();
        let frame = smoothing.frame(&samples[2..11]);
        let t = 0.1;
        assert_eq!(frame.time_ns, 100_000_000);
        assert!((frame.vertical_m_per_s - (2.0 - 6.0 * t + 12.0 * t * t)).abs() < 1e-9);
        assert!((frame.heel_m[0] - (1.0 + 2.0 * t - 3.0 * t * t + 4.0 * t * t * t)).abs() < 1e-9);
        assert!((frame.toe_m_per_s - 2f64.sqrt() * (2.0 - 6.0 * t + 12.0 * t * t)).abs() < 1e-9);
        assert!((smoothing.heel_lift_m_per_s2(&samples) - (24.0 * t - 6.0)).abs() < 1e-6);
        let quartic = |t: f64| [1.0, 1.0, 5.0 * t * t * t * t];
        let samples: Vec<_> = samples.iter().map(|sample| Sample { heel_m: quartic(sample.time_ns as f64 * 1e-9), ..*sample }).collect();
        assert!((smoothing.heel_lift_m_per_s2(&samples) - 60.0 * t * t).abs() < 1e-6);
    }

    /// A foot that rests, swings 1.2 m in 0.4 s from `start_s` on with its middle rising and falling, and rests again.
    /// Vertical velocity is 0.5 sin(2πu) for the share u of the swing: greatest at u = 0.25, smallest at u = 0.75.
    fn swinging(frame: i64, start_s: f64) -> Sample {
        let u = ((frame as f64 * 0.01 - start_s) / 0.4).clamp(0.0, 1.0);
        let turn = 2.0 * std::f64::consts::PI;
        let forward = 1.2 * (u - libm::sin(turn * u) / turn);
        let height = 0.5 * 0.4 / turn * (1.0 - libm::cos(turn * u));
        let at = |ahead: f64| [ahead + forward, 0.1, 0.05 + height];
        Sample { time_ns: frame * 10_000_000, heel_m: at(0.0), toe_m: at(0.2), pelvis_m: [0.0; 2], bridged: false }
    }

    fn run(frames: impl Iterator<Item = i64>) -> Vec<Found> {
        run_by(RULE, frames)
    }

    fn run_by(rule: Rule, frames: impl Iterator<Item = i64>) -> Vec<Found> {
        let smoothing = Smoothing::new(4, RULE.period_ns);
        let (mut track, mut found) = (Track::default(), Vec::new());
        for frame in frames {
            track.step(&rule, &smoothing, swinging(frame, 0.5037), &mut found);
        }
        track.end(&rule, &mut found);
        found
    }

    #[test]
    fn contacts_lie_at_the_turns_of_the_vertical_velocity() {
        let found = run(0..150);
        assert_eq!(found.iter().map(|found| (found.initial, found.complete)).collect::<Vec<_>>(), [(false, true), (true, true)]);
        for (found, expected_ns) in found.iter().zip([603_700_000, 803_700_000]) {
            assert!((found.time_ns - expected_ns).abs() < 1_000_000, "{found:?}");
        }
    }

    #[test]
    fn the_heel_strikes_and_the_toe_leaves() {
        let found = run_by(Rule { timing: Timing::HeelAndToe, ..RULE }, 0..150);
        assert_eq!(found.iter().map(|found| (found.initial, found.complete)).collect::<Vec<_>>(), [(false, true), (true, true)]);
        // Forward speed is (1 − cos 2πu) / 2 of its greatest: a quarter at u = 1/6. The heel comes to rest shortly before u = 1, where the
        // vertical acceleration jumps from its greatest value to none.
        assert!((found[0].time_ns - 570_367_000).abs() < 2_000_000, "{:?}", found[0]);
        assert!((865_000_000..903_700_000).contains(&found[1].time_ns), "{:?}", found[1]);
    }

    #[test]
    fn a_short_gap_is_bridged_and_said() {
        let found = run((0..150).filter(|frame| !(70..75).contains(frame)));
        assert_eq!(found.iter().map(|found| (found.initial, found.complete)).collect::<Vec<_>>(), [(false, false), (true, false)]);
    }

    #[test]
    fn a_long_gap_and_a_missed_start_give_no_event() {
        assert_eq!(run((0..150).filter(|frame| !(62..78).contains(frame))).len(), 0);
        let late = run(56..150);
        assert_eq!(late.iter().map(|found| found.initial).collect::<Vec<_>>(), [true]);
    }
}
