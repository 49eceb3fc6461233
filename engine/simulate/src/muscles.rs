//! Which muscles are active when? Bursts at known times around the contacts of their own side.

use proprio_core::rig::Side;

use crate::body::Body;
use crate::options::{Layout, Options};
use crate::random::Random;
use crate::training::Repetition;

/// Standard deviation of an onset from burst to burst, at a noise factor of 1 or above.
const ONSET_SPREAD_MS: f64 = 5.0;

/// One muscle of one side, and when it is active.
#[derive(Clone, Debug)]
pub struct Muscle {
    /// `<muscle>_<side>`, as in the rig's channels.
    pub name: String,
    side: Side,
    windows: &'static [Window],
    delay_ms: f64,
    /// Share of its activity that is gone at a burst's end.
    release: f64,
    spread_ms: f64,
    seed: u64,
}

/// A burst of every stride: from some milliseconds after a reference phase until another phase.
#[derive(Clone, Copy, Debug)]
struct Window {
    reference: f64,
    onset_ms: f64,
    until: f64,
}

/// One activity of a muscle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// When it begins to rise, in seconds since the start.
    pub onset_s: f64,
    /// When it begins to fall.
    pub end_s: f64,
    /// Onset after the reference event, in milliseconds.
    pub after_reference_ms: f64,
    /// Share of the activity that is left at the end.
    pub end_level: f64,
}

type Pattern = (&'static str, &'static [Window], &'static [Window]);

const fn window(reference: f64, onset_ms: f64, until: f64) -> Window {
    Window { reference, onset_ms, until }
}

/// Muscle, bursts while walking (reference 0 is the own initial contact), and while standing on alternate legs
/// (reference 0.125 is the other foot's leaving the ground).
const PATTERNS: [Pattern; 8] = [
    ("gluteus_medius", &[window(0.0, -25.0, 0.38)], &[window(0.125, -60.0, 0.5)]),
    ("tra_io", &[window(0.0, -55.0, 0.22)], &[window(0.125, -90.0, 0.45)]),
    ("erector_spinae", &[window(0.0, -15.0, 0.12), window(0.5, -15.0, 0.63)], &[window(0.125, -40.0, 0.30)]),
    ("gastrocnemius_medialis", &[window(0.12, 0.0, 0.48)], &[window(0.125, 30.0, 0.5)]),
    ("multifidus", &[window(0.0, -30.0, 0.11), window(0.5, -30.0, 0.61)], &[window(0.125, -70.0, 0.35)]),
    ("rectus_femoris", &[window(0.0, -40.0, 0.14), window(0.57, 0.0, 0.68)], &[window(0.125, 10.0, 0.5)]),
    ("biceps_femoris", &[window(0.84, 0.0, 1.08)], &[window(0.60, 0.0, 0.70)]),
    ("tibialis_anterior", &[window(0.60, 0.0, 0.76), window(0.90, 0.0, 1.09)], &[window(0.125, 20.0, 0.5)]),
];

/// Muscles of hip thrusts: bursts from their onset, after the lift's start, to the end of the lowering.
const THRUST: [Pattern; 4] = [
    ("gluteus_maximus", &[window(0.0, -60.0, 1.0)], &[]),
    ("biceps_femoris", &[window(0.0, -30.0, 1.0)], &[]),
    ("gluteus_medius", &[window(0.0, -40.0, 1.0)], &[]),
    ("erector_spinae", &[window(0.0, -50.0, 1.0)], &[]),
];

/// How many muscles a side the lean layouts have; the full lab has all eight.
const LEAN: usize = 4;

/// The muscles of a layout in the order of their channels: left before right.
pub fn muscles(options: &Options) -> Vec<Muscle> {
    let count = if options.layout == Layout::FullLab { PATTERNS.len() } else { LEAN };
    let sides = [Side::Left, Side::Right];
    let patterns = if options.layout == Layout::HipThrust { &THRUST[..] } else { &PATTERNS[..count] };
    patterns.iter().flat_map(|pattern| sides.map(|side| Muscle::new(pattern, side, options))).collect()
}

impl Muscle {
    fn new((name, walking, standing): &Pattern, side: Side, options: &Options) -> Self {
        let impairments = &options.impairments;
        let (holds, delay_ms) = match (options.layout, *name) {
            (Layout::HipThrust, "gluteus_maximus") => (true, impairments.gluteus_maximus_delay_ms.of(side)),
            (Layout::HipThrust, _) => (false, 0.0),
            (_, "gluteus_medius") => (true, impairments.gluteus_medius_delay_ms.of(side)),
            _ => (false, 0.0),
        };
        Self {
            name: format!("{name}_{}", side.name()),
            side,
            windows: if options.layout == Layout::Standing { standing } else { walking },
            delay_ms,
            release: if holds { impairments.weak_hold.of(side) } else { 0.0 },
            spread_ms: ONSET_SPREAD_MS * options.noise.min(1.0),
            seed: options.seed,
        }
    }

    /// Burst `index`; bursts are counted through all strides and lie in order without overlap. One of a stride before the subject set off
    /// is empty.
    pub fn burst(&self, body: &Body, index: i64) -> Burst {
        if let Some(training) = &body.motion.training {
            return self.of_repetition(body, training.schedule.get(usize::try_from(index).unwrap_or(usize::MAX)), index);
        }
        let per_stride = self.windows.len() as i64;
        let (stride, window) = (index.div_euclid(per_stride), self.windows[index.rem_euclid(per_stride) as usize]);
        let at = |side_phase: f64| body.motion.rhythm.time_at(crate::motion::Motion::phase_of(self.side, stride as f64 + side_phase));
        let after_reference_ms = self.after_reference_ms(window, index);
        let onset_s = at(window.reference) + after_reference_ms / 1000.0;
        let never_was = body.motion.rhythm.sets_off() && onset_s < 0.0;
        Burst { onset_s, end_s: if never_was { onset_s } else { at(window.until) }, after_reference_ms, end_level: 1.0 - self.release }
    }

    /// The burst of a repetition; after the last one never.
    fn of_repetition(&self, body: &Body, repetition: Option<&Repetition>, index: i64) -> Burst {
        let window = self.windows[0];
        let after_reference_ms = self.after_reference_ms(window, index);
        let at = |time_s: f64| body.motion.rhythm.time_at(time_s);
        let (from_s, end_s) = repetition.map_or((f64::INFINITY, f64::INFINITY), |done| (at(done.start_s), at(done.end_s)));
        Burst { onset_s: from_s + after_reference_ms / 1000.0, end_s, after_reference_ms, end_level: 1.0 - self.release }
    }

    fn after_reference_ms(&self, window: Window, index: i64) -> f64 {
        let mut chance = Random::new(self.seed ^ (index as u64).wrapping_mul(0xd6e8_feb8_6659_fd93), &self.name);
        window.onset_ms + self.delay_ms + self.spread_ms * chance.normal()
    }

    /// The index of a burst that ends before the start of the simulation.
    pub fn first_burst(&self, body: &Body) -> i64 {
        if body.motion.training.is_some() {
            return 0;
        }
        let stride = crate::motion::Motion::side_phase(self.side, body.motion.rhythm.phase(0.0)).floor() as i64;
        (stride - 2) * self.windows.len() as i64
    }
}

/// How a muscle's activity rises and falls, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Ramps {
    /// From onset to full activity.
    pub rise_s: f64,
    /// From the end to rest.
    pub fall_s: f64,
}

impl Burst {
    /// Activity from 0 to 1 at an instant.
    pub fn level(&self, time_s: f64, ramps: Ramps) -> f64 {
        if time_s < self.onset_s || time_s >= self.end_s + ramps.fall_s {
            return 0.0;
        }
        let held = (time_s.min(self.end_s) - self.onset_s) / (self.end_s - self.onset_s);
        let level = 1.0 + (self.end_level - 1.0) * held;
        let rise = if time_s < self.onset_s + ramps.rise_s { (time_s - self.onset_s) / ramps.rise_s } else { 1.0 };
        let fall = if time_s > self.end_s { 1.0 - (time_s - self.end_s) / ramps.fall_s } else { 1.0 };
        level * rise * fall
    }
}
