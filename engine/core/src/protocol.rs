//! What is an exercise, as its protocol file prescribes it: phases with their tempo, a target to hold, repetitions and sets, and what else
//! may move meanwhile.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::finding::{Findings, PlanFinding, pointer_part};
use crate::quantity::{Amount, Duration, Share};

/// The most repetitions of a set, and the most sets.
const MOST: u32 = 1000;
/// The most compensations that a protocol may name.
const MOST_COMPENSATIONS: usize = 16;
/// A phase of a repetition is at most this long, in seconds: samples of a whole repetition wait in memory.
const LONGEST_PHASE_S: f64 = 60.0;

/// A protocol file: one exercise and how it is to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// Name of the protocol. Lower-case letters, digits and `-`.
    #[schemars(regex(pattern = r"^[a-z0-9-]+$"))]
    pub protocol: String,
    /// What the patient is told to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Which side it trains.
    #[serde(default)]
    pub side: Side,
    /// How far a repetition goes: what the signal that the step names is at rest, and in the hold.
    pub movement: Movement,
    /// How long each part of a repetition lasts.
    pub phases: Phases,
    /// Repetitions of a set, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub repetitions: u32,
    /// How many sets, 1 to 1000.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub sets: u32,
    /// Rest between two sets; a pause of half of it ends a set. Due where there is more than one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_rest: Option<Duration>,
    /// What else may move, by name, and how far it may.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub compensations: BTreeMap<String, Compensation>,
}

/// Which side an exercise trains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Both at once.
    #[default]
    Both,
    /// The left one.
    Left,
    /// The right one.
    Right,
    /// One of the two: the step says which.
    Either,
}

/// How far a repetition goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Movement {
    /// The signal in the starting position, such as `55 deg`.
    pub rest: Amount,
    /// The signal in the hold, such as `10 deg`.
    pub target: Amount,
    /// How much of the way from rest to the target makes a repetition; less is a half one, which doesn't count.
    #[serde(default = "least")]
    pub least: Share,
}

/// How long each part of a repetition lasts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Phases {
    /// From rest to the target.
    pub concentric: Phase,
    /// At the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// From the target back to rest.
    pub eccentric: Phase,
    /// Before the next repetition; told, and not judged, where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<Phase>,
}

/// How long one part of a repetition lasts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// For how long, up to 60 s.
    pub duration: Duration,
    /// How far off that is right still, of the duration.
    #[serde(default = "tolerance")]
    pub tolerance: Share,
}

/// How the target is held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// For how long, up to 60 s.
    pub duration: Duration,
    /// How far off that is right still, of the duration.
    #[serde(default = "tolerance")]
    pub tolerance: Share,
    /// How far the signal may be from the target.
    pub band: Amount,
    /// For how much of the hold it must be within the band.
    #[serde(default = "within")]
    pub within: Share,
}

/// Another movement, and how much of it is permitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Compensation {
    /// How far its signal may go.
    pub most: Amount,
    /// For how much of a repetition it may go beyond; by default for none of it.
    #[serde(default = "none_of_it")]
    pub share: Share,
}

fn one() -> u32 {
    1
}

fn least() -> Share {
    Share::new(80.0)
}

fn tolerance() -> Share {
    Share::new(30.0)
}

fn within() -> Share {
    Share::new(80.0)
}

fn none_of_it() -> Share {
    Share::new(0.0)
}

impl Side {
    /// As in columns.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Left => "left",
            Self::Right => "right",
            Self::Either => "either",
        }
    }
}

impl Phase {
    /// Whether `seconds` is right, and if not, whether it is too long.
    pub fn judge(self, seconds: f64) -> Tempo {
        let off = self.duration.seconds() * self.tolerance.percent() / 100.0;
        if seconds > self.duration.seconds() + off {
            Tempo::Long
        } else if seconds < self.duration.seconds() - off {
            Tempo::Short
        } else {
            Tempo::Right
        }
    }
}

impl Hold {
    /// Its duration and tolerance.
    pub fn phase(&self) -> Phase {
        Phase { duration: self.duration, tolerance: self.tolerance }
    }
}

/// How a duration stands to its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tempo {
    /// Within the tolerance.
    Right,
    /// Less.
    Short,
    /// More.
    Long,
}

impl Protocol {
    /// How many repetitions all sets have together.
    pub fn prescribed(&self) -> u32 {
        self.repetitions.saturating_mul(self.sets)
    }

    /// What is wrong with it beyond its form, by JSON pointers into it.
    pub fn findings(&self) -> Findings {
        let mut findings = Findings::new();
        let mut say = |pointer: &str, message: String, help: &str| findings.push(PlanFinding::config(pointer, message).help(help));
        let Movement { rest, target, least } = &self.movement;
        if !rest.fits(target.unit.as_deref()) {
            say("/movement/target", format!("`{target}` is in another unit than `{rest}`"), "give rest and target in the signal's unit");
        } else if rest.value == target.value {
            say("/movement/target", "the target is where rest is".to_owned(), "say what the signal is in the hold");
        }
        if !(10.0..=100.0).contains(&least.percent()) {
            say("/movement/least", format!("{least} of the way is outside 10 % to 100 %"), "the default is 80 %");
        }
        let phases = [("concentric", Some(self.phases.concentric)), ("eccentric", Some(self.phases.eccentric)), ("rest", self.phases.rest)];
        let hold = ("hold", self.phases.hold.as_ref().map(Hold::phase));
        for (name, phase) in phases.into_iter().chain([hold]).filter_map(|(name, phase)| Some((name, phase?))) {
            let seconds = phase.duration.seconds();
            if seconds <= 0.0 || seconds > LONGEST_PHASE_S {
                let message = format!("{} is not longer than nothing and up to {LONGEST_PHASE_S} s", phase.duration);
                say(&format!("/phases/{name}/duration"), message, "give a time such as `2 s`");
            }
            check_share(&format!("/phases/{name}/tolerance"), phase.tolerance, &mut say);
        }
        if let Some(Hold { band, within, .. }) = &self.phases.hold {
            let half = (target.value - rest.value).abs() / 2.0;
            if !band.fits(target.unit.as_deref().or(rest.unit.as_deref())) {
                say("/phases/hold/band", format!("`{band}` is in another unit than `{target}`"), "give the band in the signal's unit");
            } else if !(band.value > 0.0 && band.value <= half) && half > 0.0 {
                let message = format!("a band of `{band}` is nothing, or more than half of the way from rest to the target");
                say("/phases/hold/band", message, "say how far the signal may be from the target, such as a tenth of the way");
            }
            check_share("/phases/hold/within", *within, &mut say);
        }
        for (pointer, number) in [("/repetitions", self.repetitions), ("/sets", self.sets)] {
            if !(1..=MOST).contains(&number) {
                say(pointer, format!("{number} is outside 1 to {MOST}"), "give a number of these");
            }
        }
        match self.set_rest {
            None if self.sets > 1 => say("/sets", "what tells one set from the next is missing".to_owned(), "add `set_rest: 60 s`"),
            Some(rest) if rest.seconds() <= 0.0 => say("/set_rest", format!("{rest} is no rest"), "give a time such as `60 s`"),
            _ => {}
        }
        self.check_compensations(&mut say);
        findings
    }

    fn check_compensations(&self, say: &mut impl FnMut(&str, String, &str)) {
        if self.compensations.len() > MOST_COMPENSATIONS {
            say("/compensations", format!("there are more than {MOST_COMPENSATIONS}"), "keep those that matter");
        }
        for (name, compensation) in &self.compensations {
            let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            if !is_name {
                let message = format!("`{name}` becomes part of column names: lower-case letters, digits and `_` only");
                say(&format!("/compensations/{}", pointer_part(name)), message, "write it such as `pelvic_drop`");
            }
            check_share(&format!("/compensations/{}/share", pointer_part(name)), compensation.share, say);
        }
    }
}

fn check_share(pointer: &str, share: Share, say: &mut impl FnMut(&str, String, &str)) {
    if !(0.0..=100.0).contains(&share.percent()) {
        say(pointer, format!("{share} is outside 0 % to 100 %"), "give a share such as `30 %`");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn protocol(edit: impl FnOnce(&mut Value)) -> Protocol {
        let mut value = json!({
            "protocol": "hip-thrust",
            "movement": { "rest": "55 deg", "target": "10 deg" },
            "phases": {
                "concentric": { "duration": "2 s" },
                "hold": { "duration": "5 s", "band": "5 deg" },
                "eccentric": { "duration": "3 s" },
            },
            "repetitions": 10, "sets": 3, "set_rest": "60 s",
            "compensations": { "lumbar_extension": { "most": "10 deg" } },
        });
        edit(&mut value);
        serde_json::from_value(value).expect("the form is right")
    }

    #[test]
    fn a_good_protocol_has_no_findings() {
        let protocol = protocol(|_| {});
        assert_eq!(protocol.findings(), Findings::new());
        assert_eq!((protocol.prescribed(), protocol.side), (30, Side::Both));
        let phase = protocol.phases.concentric;
        assert_eq!([1.3, 1.5, 2.5, 2.7].map(|s| phase.judge(s)), [Tempo::Short, Tempo::Right, Tempo::Right, Tempo::Long]);
    }

    #[test]
    fn each_mistake_is_found_where_it_stands() {
        type Case = (&'static str, fn(&mut Value));
        let cases: [Case; 9] = [
            ("/phases/hold/band", |p| p["phases"]["hold"]["band"] = json!("5 cm")),
            ("/movement/target", |p| p["movement"]["target"] = json!("55 deg")),
            ("/movement/least", |p| p["movement"]["least"] = json!("5 %")),
            ("/phases/hold/duration", |p| p["phases"]["hold"]["duration"] = json!("0 s")),
            ("/phases/hold/band", |p| p["phases"]["hold"]["band"] = json!("30 deg")),
            ("/phases/eccentric/tolerance", |p| p["phases"]["eccentric"]["tolerance"] = json!("130 %")),
            ("/repetitions", |p| p["repetitions"] = json!(0)),
            ("/sets", |p| drop(p.as_object_mut().map(|p| p.remove("set_rest")))),
            ("/compensations/a~1b", |p| p["compensations"] = json!({ "a/b": { "most": "1 deg" } })),
        ];
        for (pointer, edit) in cases {
            let found = protocol(edit).findings();
            assert_eq!(found.len(), 1, "{pointer}: {found:?}");
            assert_eq!(found[0].at, crate::finding::At::Config(pointer.to_owned()));
        }
    }
}
