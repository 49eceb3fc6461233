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
/// A swing whose fastest instant is slower than this many times the swing speed is a shuffle or noise.
const FASTEST_AT_LEAST: f64 = 1.6;
/// Shortest and longest swing.
const SWING_NS: std::ops::RangeInclusive<i64> = 100_000_000..=1_500_000_000;
/// How far beyond the fast stretch, at both ends, an event may lie.
const MARGIN_NS: i64 = 50_000_000;

/// How events are timed within a swing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
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
    /// Frames on each side of a frame that its smoothing takes in, at least 2.
    pub half_width: usize,
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
    /// Whether the markers were seen throughout and beyond the search window.
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
        if self.samples.len() == 2 * rule.half_width + 1 {
            let frame = smoothing.frame(self.samples.make_contiguous(), rule);
            self.samples.pop_front();
            self.take(rule, frame, found);
        }
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
        let mut add = |initial: bool, window: std::ops::Range<usize>, value: &dyn Fn(&Frame) -> f64| {
            let frames = &frames[window];
            let Some(time_ns) = greatest(frames, value) else { return };
            found.push(Found { time_ns, initial, complete: complete && frames.iter().all(|frame| !frame.bridged) });
        };
        let [x, y] = swing.direction;
        let ahead = |point: [f64; 2]| point[0] * x + point[1] * y;
        match rule.timing {
            Timing::FootVelocity => {
                add(false, swing.leaving, &|frame| frame.vertical_m_per_s);
                add(true, swing.reaching, &|frame| -frame.vertical_m_per_s);
            }
            Timing::PelvisDistance => {
                add(false, swing.leaving, &|frame| -ahead(frame.toe_from_pelvis_m));
                add(true, swing.reaching, &|frame| ahead(frame.heel_from_pelvis_m));
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
        let slowed = fast.iter().skip(peak).position(|frame| frame.speed_m_per_s < SLOWED * fastest.speed_m_per_s);
        let reaching = slowed.map_or(frames.len(), |slowed| first + peak + slowed)..frames.len();
        // A swing whose start the track missed has an unknown final contact.
        let leaving = if first == 0 { 0..0 } else { 0..first + peak + 1 };
        let along = [0, 1].map(|axis| frames[last].heel_m[axis] - frames[first].heel_m[axis]);
        let length_m = (along[0] * along[0] + along[1] * along[1]).sqrt();
        (length_m > 0.0).then(|| Self { leaving, reaching, direction: along.map(|part| part / length_m) })
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
    if at == 0 || at + 1 == values.len() {
        return None;
    }
    let [before, middle, after] = [values[at - 1], values[at], values[at + 1]];
    let curvature = before - 2.0 * middle + after;
    let share = if curvature < 0.0 { (0.5 * (before - after) / curvature).clamp(-0.5, 0.5) } else { 0.0 };
    let span_ns = (frames[at + 1].time_ns - frames[at - 1].time_ns) / 2;
    Some(frames[at].time_ns + (share * span_ns as f64).round() as i64)
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

/// Least-squares cubic over a symmetric window (Savitzky and Golay 1964): its value and slope in the middle.
#[derive(Clone, Debug, PartialEq)]
pub struct Smoothing {
    value: Vec<f64>,
    slope_per_s: Vec<f64>,
}

impl Smoothing {
    /// For windows of `2 half_width + 1` frames, `period_ns` apart.
    pub fn new(half_width: usize, period_ns: i64) -> Self {
        let offsets: Vec<f64> = (0..=2 * half_width).map(|index| index as f64 - half_width as f64).collect();
        let squares = || offsets.iter().map(|offset| offset * offset);
        let (count, s2) = (offsets.len() as f64, squares().sum::<f64>());
        let (s4, s6) =
            (squares().map(|square| square * square).sum::<f64>(), squares().map(|square| square * square * square).sum::<f64>());
        let seconds = period_ns as f64 * 1e-9;
        Self {
            value: offsets.iter().map(|offset| (s4 - s2 * offset * offset) / (count * s4 - s2 * s2)).collect(),
            slope_per_s: offsets
                .iter()
                .map(|offset| (s6 * offset - s4 * offset * offset * offset) / (s2 * s6 - s4 * s4) / seconds)
                .collect(),
        }
    }

    fn frame(&self, samples: &[Sample], rule: &Rule) -> Frame {
        let dot = |weights: &[f64], of: &dyn Fn(&Sample) -> f64| {
            samples.iter().zip(weights).map(|(sample, weight)| weight * of(sample)).sum::<f64>()
        };
        let velocity = |axis: usize| dot(&self.slope_per_s, &|sample| 0.5 * (sample.heel_m[axis] + sample.toe_m[axis]));
        let value = |of: &dyn Fn(&Sample) -> f64| dot(&self.value, of);
        let (x, y) = (velocity(0), velocity(1));
        Frame {
            time_ns: samples[rule.half_width].time_ns,
            speed_m_per_s: (x * x + y * y).sqrt(),
            vertical_m_per_s: velocity(2),
            heel_m: [0, 1].map(|axis| value(&|sample| sample.heel_m[axis])),
            toe_from_pelvis_m: [0, 1].map(|axis| value(&|sample| sample.toe_m[axis] - sample.pelvis_m[axis])),
            heel_from_pelvis_m: [0, 1].map(|axis| value(&|sample| sample.heel_m[axis] - sample.pelvis_m[axis])),
            bridged: samples.iter().any(|sample| sample.bridged),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule =
        Rule { timing: Timing::FootVelocity, period_ns: 10_000_000, half_width: 4, bridge_ns: 100_000_000, swing_m_per_s: 0.5 };

    #[test]
    fn smoothing_is_exact_for_a_cubic() {
        let smoothing = Smoothing::new(4, 10_000_000);
        let sample = |frame: i64| {
            let t = frame as f64 * 0.01;
            let cubic = 1.0 + 2.0 * t - 3.0 * t * t + 4.0 * t * t * t;
            Sample { time_ns: frame * 10_000_000, heel_m: [cubic; 3], toe_m: [cubic; 3], pelvis_m: [0.0; 2], bridged: false }
        };
        let samples: Vec<_> = (6..15).map(sample).collect();
        let frame = smoothing.frame(&samples, &RULE);
        let t = 0.1;
        assert_eq!(frame.time_ns, 100_000_000);
        assert!((frame.vertical_m_per_s - (2.0 - 6.0 * t + 12.0 * t * t)).abs() < 1e-9);
        assert!((frame.heel_m[0] - (1.0 + 2.0 * t - 3.0 * t * t + 4.0 * t * t * t)).abs() < 1e-9);
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
        let smoothing = Smoothing::new(RULE.half_width, RULE.period_ns);
        let (mut track, mut found) = (Track::default(), Vec::new());
        for frame in frames {
            track.step(&RULE, &smoothing, swinging(frame, 0.5037), &mut found);
        }
        track.end(&RULE, &mut found);
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
