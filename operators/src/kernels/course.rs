//! What has a person been prescribed, session by session, and how did it go? The memory of step `progression`.

use std::collections::BTreeMap;

use proprio_core::TimeNs;
use proprio_core::note::Action;
use proprio_core::time::DAY_NS;
use serde::{Deserialize, Serialize};

use super::response::{Before, Response, Seen};
use super::safe_range::{Choice, Limited, SafeRange, choose};
use super::said::{Held, Said};

/// Of more sessions, the newest are kept.
const MOST_SESSIONS: usize = 24;
/// The form of a course's text.
const VERSION: u32 = 1;
/// The share of good trials that is expected of the easiest and of the hardest parameters before any were tried, *proposed*.
const GOOD_BEFORE: Before = Before { easiest: 0.95, hardest: 0.35, sd: 0.25 };
/// People differ from day to day by so much of their trials, beside chance.
const GOOD_DAY_SD: f64 = 0.05;
/// As [`GOOD_BEFORE`], of an answer that is tolerated up to 1.
const TOLERATED_BEFORE: Before = Before { easiest: 0.5, hardest: 1.5, sd: 0.5 };
/// An answer to a questionnaire is off by so much of what is tolerated.
const ANSWER_SD: f64 = 0.15;

/// One session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Visit {
    /// What was prescribed, by parameter.
    pub values: Vec<f64>,
    /// Trials.
    pub trials: u32,
    /// Those of them that were good.
    pub good: u32,
    /// The last value of each instrument.
    pub outcomes: BTreeMap<String, f64>,
}

/// All that a later session needs to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Course {
    version: u32,
    /// Names of the parameters: a course of others says nothing of these.
    pub parameters: Vec<String>,
    /// What holds in this session.
    pub in_force: Vec<f64>,
    /// What was approved for the next one.
    #[serde(default)]
    pub next: Option<Vec<f64>>,
    /// What was proposed last, and is not approved.
    #[serde(default)]
    pub proposed: Option<Vec<f64>>,
    /// Whether a clinician holds all proposals.
    #[serde(default)]
    pub held: Held,
    /// Sessions with enough trials, by their beginning.
    pub sessions: BTreeMap<TimeNs, Visit>,
}

/// What must be kept to.
#[derive(Clone, Debug)]
pub struct Limits {
    /// By parameter.
    pub ranges: Vec<SafeRange>,
    /// The least share of good trials, 0 to 1.
    pub good: f64,
    /// The greatest value of each instrument.
    pub tolerated: BTreeMap<String, f64>,
    /// How many standard deviations an expectation must keep from a limit.
    pub caution: f64,
}

impl Course {
    /// Nothing has been tried.
    pub fn new(parameters: Vec<String>, in_force: Vec<f64>) -> Self {
        Self { version: VERSION, parameters, in_force, next: None, proposed: None, held: Held::default(), sessions: BTreeMap::new() }
    }

    /// Its text, in JSON.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("names and finite numbers have a text")
    }

    /// From its text, for the next session: what was approved is in force, as far as the safe ranges of today allow. Nothing where it is
    /// of other parameters or of another version.
    pub fn resumed(text: &str, parameters: &[String], ranges: &[SafeRange]) -> Option<Self> {
        let mut course: Self = serde_json::from_str(text).ok()?;
        if course.version != VERSION || course.parameters != parameters {
            return None;
        }
        course.in_force = within(ranges, course.next.take().unwrap_or(course.in_force));
        course.proposed = course.proposed.map(|values| within(ranges, values)).filter(|values| *values != course.in_force);
        Some(course)
    }

    /// Keeps a session.
    pub fn keep(&mut self, start: TimeNs, visit: Visit) {
        self.sessions.insert(start, visit);
        while self.sessions.len() > MOST_SESSIONS {
            self.sessions.pop_first();
        }
    }

    /// Obeys a word about one of the parameters, or about all that is proposed; gives the scope under which it is told. Nothing changes while
    /// the patient trains: what comes after the first trial holds from the next session on.
    ///
    /// # Errors
    /// Why it can't be obeyed.
    pub fn obey(&mut self, said: &Said, parameter: Option<usize>, ranges: &[SafeRange], is_training: bool) -> Result<&'static str, String> {
        let (scope, values) = match (said.action, parameter) {
            (Action::Approve, None) => ("approved", self.proposed.take().ok_or("nothing is proposed")?),
            (Action::Override, Some(index)) => {
                let SafeRange { from, to, .. } = ranges[index];
                if !ranges[index].holds(said.value) {
                    return Err(format!("{} is outside the safe range of {from} to {to}", said.value));
                }
                let mut values = self.next.clone().unwrap_or_else(|| self.in_force.clone());
                values[index] = said.value;
                ("override", values)
            }
            (Action::Hold | Action::Release, None) => {
                self.held.obey(said);
                return Ok(if said.action == Action::Hold { "held" } else { "released" });
            }
            _ => return Err("a parameter is overridden; proposals are approved, held and released".to_owned()),
        };
        if is_training {
            self.next = Some(values);
        } else {
            self.in_force = values;
        }
        Ok(scope)
    }

    /// What should come next, seen from an instant: the share of good trials comes first among what is expected, then each instrument.
    pub fn choose(&self, limits: &Limits, time: TimeNs) -> Choice {
        // Days count from the first session: in whole nanoseconds since the epoch, minutes would be lost.
        let origin = self.sessions.keys().next().copied().unwrap_or(time);
        let day = |time: TimeNs| time.saturating_sub(origin) as f64 / DAY_NS as f64;
        let at = |visit: &Visit| limits.ranges.iter().zip(&visit.values).map(|(range, value)| range.hardness(*value)).collect::<Vec<_>>();
        let good = self.sessions.iter().map(|(start, visit)| {
            let (trials, good) = (f64::from(visit.trials), f64::from(visit.good));
            // One good and one bad trial more, so that a few alike are not taken for certain.
            let share = (good + 1.0) / (trials + 2.0);
            let variance = share * (1.0 - share) / (trials + 2.0) + GOOD_DAY_SD * GOOD_DAY_SD;
            Seen { at: at(visit), day: day(*start), value: good / trials, variance }
        });
        let mut answers = vec![Limited { response: Response::new(good.collect(), GOOD_BEFORE), limit: limits.good, is_least: true }];
        for (instrument, most) in &limits.tolerated {
            let seen = self.sessions.iter().filter_map(|(start, visit)| {
                let value = visit.outcomes.get(instrument)? / most;
                Some(Seen { at: at(visit), day: day(*start), value, variance: ANSWER_SD * ANSWER_SD })
            });
            let seen: Vec<Seen> = seen.collect();
            // What was never asked holds nobody back.
            let limit = if seen.is_empty() { f64::INFINITY } else { 1.0 };
            answers.push(Limited { response: Response::new(seen, TOLERATED_BEFORE), limit, is_least: false });
        }
        let mut choice = choose(&limits.ranges, &self.in_force, &answers, limits.caution, day(time));
        for (expected, most) in choice.expected[1..].iter_mut().zip(limits.tolerated.values()) {
            (expected.mean, expected.sd) = (expected.mean * most, expected.sd * most);
        }
        choice
    }
}

fn within(ranges: &[SafeRange], values: Vec<f64>) -> Vec<f64> {
    ranges.iter().zip(values).map(|(range, value)| value.clamp(range.from, range.to)).collect()
}
