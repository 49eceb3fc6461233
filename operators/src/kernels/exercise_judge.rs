//! Was a repetition done as its protocol prescribes, and how much of the protocol is done?

use proprio_core::TimeNs;
use proprio_core::protocol::{Compensation, Phase, Protocol, Tempo};
use proprio_core::time::SECOND_NS;
use serde::{Deserialize, Serialize};

use super::even_grid::GRID_HZ;
use super::exercise_repetitions::{Found, Outcome};

/// A hold of fewer samples has no steadiness.
const LEAST_HOLD: usize = GRID_HZ as usize / 5;

/// The protocol, and those of its compensations that have a signal, in the signals' order.
#[derive(Clone, Debug)]
pub struct Judge {
    /// What is prescribed.
    pub protocol: Protocol,
    /// Name and limits.
    pub permitted: Vec<(String, Compensation)>,
    /// What must be true all through a repetition: channels that come after those, 1 where it is.
    pub required: Vec<String>,
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Sets before this one.
    sets: i64,
    in_set: i64,
    done: i64,
    valid: i64,
}

/// How the hold was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HoldQuality {
    /// SD about a straight line, in the signal's unit.
    pub sd: f64,
    /// Slope of the line, a second.
    pub drift_per_s: f64,
    /// Share of the hold within the band.
    pub within_percent: f64,
}

/// How far another signal went.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The greatest value; NaN where there is none.
    pub peak: f64,
    /// Share of the repetition beyond what is permitted.
    pub share_percent: f64,
}

/// One repetition judged, or the session as a whole. NaN where something isn't known.
#[derive(Clone, Debug)]
pub struct Judged {
    is_session: bool,
    /// From 1 on.
    pub set: Option<i64>,
    /// Its number in the set; none for one that doesn't count.
    pub repetition: Option<i64>,
    /// Start, hold's start, hold's end, end.
    pub instants_ns: [Option<TimeNs>; 4],
    /// Concentric, hold, eccentric, and rest before.
    pub durations_s: [f64; 4],
    /// The same against the protocol.
    pub errors_percent: [f64; 4],
    /// The signal in the hold.
    pub top: f64,
    /// How much of the way was gone.
    pub range_percent: f64,
    /// How the hold was.
    pub hold: HoldQuality,
    /// In the order of the signals.
    pub compensations: Vec<Seen>,
    /// Whether what is required was true all through, in its order.
    pub met: Vec<bool>,
    too_long: Vec<String>,
    against: Vec<String>,
    /// Whether it counts.
    pub is_counted: Option<bool>,
    /// Repetitions done.
    pub done: i64,
    /// Those of them that were right in everything.
    pub valid: i64,
}

const UNKNOWN: HoldQuality = HoldQuality { sd: f64::NAN, drift_per_s: f64::NAN, within_percent: f64::NAN };

impl Judged {
    /// The row at the session's end.
    pub fn session(tally: &Tally) -> Self {
        Self {
            is_session: true,
            set: None,
            repetition: None,
            instants_ns: [None; 4],
            durations_s: [f64::NAN; 4],
            errors_percent: [f64::NAN; 4],
            top: f64::NAN,
            range_percent: f64::NAN,
            hold: UNKNOWN,
            compensations: Vec::new(),
            met: Vec::new(),
            too_long: Vec::new(),
            against: Vec::new(),
            is_counted: None,
            done: tally.done,
            valid: tally.valid,
        }
    }

    /// `repetition` or `session`.
    pub fn kind(&self) -> &'static str {
        if self.is_session { "session" } else { "repetition" }
    }

    /// The compensations that went on for too long; none where nothing was.
    pub fn seen(&self) -> Option<String> {
        (!self.too_long.is_empty()).then(|| self.too_long.join(", "))
    }

    /// Whether a repetition counts and nothing speaks against it.
    pub fn is_valid(&self) -> Option<bool> {
        self.is_counted.map(|is_counted| is_counted && self.against.is_empty())
    }

    /// What speaks against it.
    pub fn reasons(&self) -> Option<String> {
        (!self.against.is_empty()).then(|| self.against.join(", "))
    }
}

impl Judge {
    /// Judges the repetition that was found next.
    pub fn judge(&self, found: &Found, tally: &mut Tally) -> Judged {
        let begins_set = self.begins_set(found, tally);
        let mut against: Vec<String> = Vec::new();
        let is_whole = found.peak >= self.protocol.movement.least.percent() / 100.0;
        match found.outcome {
            Outcome::Complete if !is_whole => against.push("half".to_owned()),
            Outcome::Complete => {}
            Outcome::TooLong => against.push("too long".to_owned()),
            Outcome::Lost => against.push("samples lost".to_owned()),
            Outcome::CutOff => against.push("unfinished".to_owned()),
        }
        if found.has_gap {
            against.push("gap".to_owned());
        }
        let durations_s = durations_s(found);
        let mut errors_percent = [f64::NAN; 4];
        let hold = self.protocol.phases.hold.as_ref();
        let rest = self.protocol.phases.rest.filter(|_| !begins_set);
        let phases = [Some(self.protocol.phases.concentric), hold.map(|hold| hold.phase()), Some(self.protocol.phases.eccentric), rest];
        for (at, (name, phase)) in ["concentric", "hold", "eccentric", "rest"].into_iter().zip(phases).enumerate() {
            let Some(phase) = phase.filter(|_| !durations_s[at].is_nan()) else { continue };
            errors_percent[at] = error_percent(phase, durations_s[at]);
            match phase.judge(durations_s[at]) {
                Tempo::Right => {}
                Tempo::Short => against.push(format!("{name} short")),
                Tempo::Long => against.push(format!("{name} long")),
            }
        }
        let quality = self.hold_quality(&found.hold);
        if hold.is_some_and(|hold| quality.within_percent < hold.within.percent()) {
            against.push("hold outside band".to_owned());
        }
        let compensations: Vec<Seen> =
            found.others.iter().zip(&self.permitted).map(|(values, (_, permitted))| seen(values, permitted.most.value)).collect();
        let too_long: Vec<String> = compensations
            .iter()
            .zip(&self.permitted)
            .filter(|(seen, (_, permitted))| seen.share_percent > permitted.share.percent())
            .map(|(_, (name, _))| name.clone())
            .collect();
        against.extend(too_long.iter().cloned());
        let met: Vec<bool> = found.others[self.permitted.len()..].iter().map(|values| values.iter().all(|value| *value == 1.0)).collect();
        against.extend(self.required.iter().zip(&met).filter(|(_, met)| !**met).map(|(name, _)| format!("not {name}")));
        let is_counted = found.outcome == Outcome::Complete && is_whole && met.iter().all(|met| *met);
        if begins_set {
            (tally.sets, tally.in_set) = (tally.sets + 1, 0);
        }
        if is_counted {
            (tally.in_set, tally.done) = (tally.in_set + 1, tally.done + 1);
            tally.valid += i64::from(against.is_empty());
        }
        let way = self.protocol.movement.target.value - self.protocol.movement.rest.value;
        let at_peak = self.protocol.movement.rest.value + found.peak * way;
        Judged {
            set: Some(tally.sets + 1),
            repetition: is_counted.then_some(tally.in_set),
            instants_ns: found.instants_ns,
            durations_s,
            errors_percent,
            top: if found.hold.len() < LEAST_HOLD { at_peak } else { mean(&found.hold) },
            range_percent: 100.0 * found.peak,
            hold: quality,
            compensations,
            met,
            too_long,
            against,
            is_counted: Some(is_counted),
            ..Judged::session(tally)
        }
        .of_repetition()
    }

    /// Whether so long a pause came before that this is the next set's first; a set that has none yet can't be over.
    fn begins_set(&self, found: &Found, tally: &Tally) -> bool {
        let pause_s = self.protocol.set_rest.map(|rest| rest.seconds() / 2.0);
        tally.in_set > 0 && found.rest_s.zip(pause_s).is_some_and(|(rest, pause)| rest >= pause)
    }

    fn hold_quality(&self, values: &[f64]) -> HoldQuality {
        if values.len() < LEAST_HOLD {
            return UNKNOWN;
        }
        let count = values.len() as f64;
        let middle = (count - 1.0) / 2.0;
        let mean = mean(values);
        let covariance: f64 = values.iter().enumerate().map(|(k, value)| (k as f64 - middle) * (value - mean)).sum();
        let slope = covariance / (count * (count * count - 1.0) / 12.0);
        let off = |(k, value): (usize, &f64)| value - mean - slope * (k as f64 - middle);
        let squares: f64 = values.iter().enumerate().map(off).map(|off| off * off).sum();
        let within_percent = self.protocol.phases.hold.as_ref().map_or(f64::NAN, |hold| {
            let target = self.protocol.movement.target.value;
            let within = values.iter().filter(|value| (*value - target).abs() <= hold.band.value).count();
            100.0 * within as f64 / count
        });
        HoldQuality { sd: (squares / (count - 2.0)).sqrt(), drift_per_s: slope * GRID_HZ as f64, within_percent }
    }
}

impl Judged {
    fn of_repetition(self) -> Self {
        Self { is_session: false, ..self }
    }
}

/// Concentric, hold, eccentric, and rest before; NaN where it isn't known.
fn durations_s(found: &Found) -> [f64; 4] {
    let between = |at: usize| match (found.instants_ns[at], found.instants_ns[at + 1]) {
        (Some(from), Some(to)) => (to - from) as f64 / SECOND_NS as f64,
        _ => f64::NAN,
    };
    [between(0), between(1), between(2), found.rest_s.unwrap_or(f64::NAN)]
}

fn error_percent(phase: Phase, seconds: f64) -> f64 {
    100.0 * (seconds / phase.duration.seconds() - 1.0)
}

fn seen(values: &[f64], most: f64) -> Seen {
    let known: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    let peak = known.iter().copied().reduce(f64::max).unwrap_or(f64::NAN);
    let beyond = known.iter().filter(|value| **value > most).count();
    Seen { peak, share_percent: 100.0 * beyond as f64 / known.len() as f64 }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
