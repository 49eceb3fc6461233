//! `proprio simulate --programme 8w`: a virtual patient trains for weeks under a running pipeline, as long as the computer takes.
//!
//! Every session is recorded by the engine as a real one is: begun with what is carried over, the clinician's words and the patient's answers sent as
//! requests, the sensors published. What the patient does is what step `progression` has in force: the virtual clinician prescribes the first session and
//! approves each proposal, which is read from the tables.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use proprio_core::control::Request;
use proprio_core::note::{Action, Note};
use proprio_core::time::DAY_NS;
use proprio_core::{Instrument, Rig};
use proprio_simulate::{Calibration, Layout, Options, Patient, Placement, Prescription, Simulation};
use proprio_zenoh::{Publisher, PublisherOptions, Session, Speed, sql};

use super::publishing::{PATIENCE, bar, change};
use super::simulate::deliver;
use crate::ask::{Rows, as_text, quoted};

/// The step that proposes.
const STEP: &str = "progression";
const CLINICIAN: &str = "virtual clinician";
/// A session's day in its week.
const DAYS: [i64; 3] = [0, 2, 4];
/// So long is waited after the last repetition.
const AFTER_S: f64 = 3.0;
/// How far the patient's IMUs sit askew, another way each session, in degrees.
const PLACEMENT_SD_DEG: f64 = 5.0;
/// The longest programme.
const MOST_WEEKS: u32 = 104;

/// How many weeks, such as `8w`.
///
/// # Errors
/// In words for people.
pub fn weeks(text: &str) -> Result<u32, String> {
    let weeks = text.trim().strip_suffix('w').and_then(|number| number.trim().parse().ok());
    weeks.filter(|weeks| (1..=MOST_WEEKS).contains(weeks)).ok_or_else(|| format!("`{text}` is not a number of weeks from `1w` to `104w`"))
}

/// A programme of weeks, three sessions each.
#[derive(Clone, Copy, Debug)]
pub struct Programme<'p> {
    /// How many weeks.
    pub weeks: u32,
    /// The week, from 1 on, in which nobody is there to approve.
    pub away: Option<u32>,
    /// Pseudonym of the patient.
    pub subject: &'p str,
}

/// Simulates a programme, and tells how long it took; `first` are the options of its first session.
///
/// # Errors
/// When the layout or the rig doesn't fit, the pipeline has no step `progression`, or the engine refuses.
pub async fn run(session: &Session, rig: &Rig, programme: Programme<'_>, first: &Options) -> anyhow::Result<ExitCode> {
    ensure!(first.layout == Layout::HipThrust, "a programme is of hip thrusts: `--layout hip-thrust`");
    let mut patient = Patient::new(first.seed);
    let begun = Instant::now();
    let count = 3 * i64::from(programme.weeks);
    let bar = bar(count * 1_000_000, "training");
    let (mut before, mut last_day): (Option<String>, i64) = (None, 0);
    for number in 0..count {
        let (week, day) = (number / 3, 7 * (number / 3) + DAYS[(number % 3) as usize]);
        patient.rest((day - last_day) as f64);
        last_day = day;
        let is_away = programme.away.is_some_and(|away| week + 1 == i64::from(away));
        let (prescribed, words) = match &before {
            None => (Prescription::default(), to_begin_with()),
            Some(before) => match proposed(session, rig, before).await? {
                Some(proposed) if !is_away => (proposed, vec![note("as proposed", Action::Approve, STEP, None)]),
                _ => (in_force(session, rig, before).await?, Vec::new()),
            },
        };
        let done = patient.train(&prescribed);
        let start_ns = first.start_ns + day * DAY_NS;
        let subject = programme.subject;
        before = Some(
            visit(session, rig, first, &Visit { subject, start_ns, words, carries: number > 0, done, is_weekly: number % 3 == 0 }).await?,
        );
        bar.set_position((number + 1) as u64);
    }
    bar.finish_and_clear();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{count} sessions of {} on rig {} in {:.0} s", programme.subject, rig.name, begun.elapsed().as_secs_f64())?;
    Ok(ExitCode::SUCCESS)
}

/// One session, before it is recorded.
struct Visit<'v> {
    subject: &'v str,
    start_ns: i64,
    /// What the clinician says as it begins.
    words: Vec<Note>,
    /// Whether there was one before.
    carries: bool,
    /// What the patient does and answers.
    done: proprio_simulate::Session,
    /// Whether it is the week's first, with the long questionnaire.
    is_weekly: bool,
}

/// Has the engine record a session; gives its id.
async fn visit(session: &Session, rig: &Rig, first: &Options, visit: &Visit<'_>) -> anyhow::Result<String> {
    let Visit { subject, start_ns, words, carries, done, is_weekly } = visit;
    let start = Request::SessionStart {
        subject: Some((*subject).to_owned()),
        task: Some("programme".to_owned()),
        from_ns: Some(start_ns - 1),
        carry: carries.then(|| "last".to_owned()),
    };
    let id = change(session, &rig.name, start).await?;
    // One after the other: of two words of one author at one instant the second would be a duplicate.
    for (note, time_ns) in words.iter().zip(*start_ns..) {
        change(session, &rig.name, Request::Note { note: note.clone(), time_ns: Some(time_ns) }).await?;
    }
    let calibration = Calibration::default();
    let trained_s = done.training.schedule(done.seed).last().map_or(0.0, |last| last.end_s);
    let options = Options {
        seed: done.seed,
        start_ns: *start_ns,
        duration_s: calibration.task_s() + trained_s + AFTER_S,
        training: done.training,
        impairments: done.impairments,
        calibration: Some(calibration),
        placement: Placement::Error { sd_deg: PLACEMENT_SD_DEG },
        ..first.clone()
    };
    let end_ns = start_ns + (options.duration_s * 1e9) as i64;
    publish(session, rig, options).await?;
    let mut answers = vec![(Instrument::PainNrs, vec![Some(done.pain_nrs)])];
    if *is_weekly {
        answers.push((Instrument::Odi, done.odi_items.map(Some).to_vec()));
    }
    for (instrument, items) in answers {
        let outcome = Request::Outcome { author: (*subject).to_owned(), instrument, items, time_ns: Some(end_ns) };
        change(session, &rig.name, outcome).await?;
    }
    change(session, &rig.name, Request::SessionStop {}).await?;
    Ok(id)
}

/// The first session's prescription, in the clinician's words.
fn to_begin_with() -> Vec<Note> {
    let Prescription { load_kg, hold_s, repetitions, eccentric_s, feedback_percent } = Prescription::default();
    [
        ("eccentric_s", eccentric_s),
        ("feedback_percent", feedback_percent),
        ("hold_s", hold_s),
        ("load_kg", load_kg),
        ("repetitions", f64::from(repetitions)),
    ]
    .map(|(name, value)| note("to begin with", Action::Override, name, Some(value)))
    .to_vec()
}

fn note(text: &str, action: Action, about: &str, value: Option<f64>) -> Note {
    Note { author: CLINICIAN.to_owned(), text: text.to_owned(), action, about: Some(about.to_owned()), value }
}

/// What was proposed at the end of a session; none where nothing else was.
async fn proposed(session: &Session, rig: &Rig, of: &str) -> anyhow::Result<Option<Prescription>> {
    let changed =
        format!("SELECT verdict FROM {STEP} WHERE session = {} AND scope = 'proposed' AND parameter = '' ORDER BY time_ns", quoted(of));
    let verdicts = ask(session, rig, &changed).await?;
    let last = verdicts.last().and_then(|row| row[0].clone());
    if last.is_none_or(|verdict| verdict == "unchanged") {
        return Ok(None);
    }
    read(session, rig, of, "proposed", "proposed").await.map(Some)
}

async fn in_force(session: &Session, rig: &Rig, of: &str) -> anyhow::Result<Prescription> {
    read(session, rig, of, "in force", "value").await
}

/// The last value of each parameter in rows of a scope.
async fn read(session: &Session, rig: &Rig, of: &str, scope: &str, column: &str) -> anyhow::Result<Prescription> {
    let query = format!(
        "SELECT parameter, {column} FROM {STEP} WHERE session = {} AND scope = '{scope}' AND parameter <> '' ORDER BY time_ns",
        quoted(of)
    );
    let rows = ask(session, rig, &query).await?;
    let value = |name: &str| -> anyhow::Result<f64> {
        let last = rows.iter().rev().find(|row| row[0].as_deref() == Some(name)).and_then(|row| row[1].as_deref());
        last.with_context(|| format!("step {STEP} has nothing {scope} for {name} in session {of}"))?.parse().context("it is no number")
    };
    let repetitions = value("repetitions")?;
    ensure!((1.0..=100.0).contains(&repetitions), "{repetitions} repetitions can't be simulated");
    Ok(Prescription {
        load_kg: value("load_kg")?,
        hold_s: value("hold_s")?,
        repetitions: repetitions as u32,
        eccentric_s: value("eccentric_s")?,
        feedback_percent: value("feedback_percent")?,
    })
}

async fn ask(session: &Session, rig: &Rig, query: &str) -> anyhow::Result<Rows> {
    as_text(&sql::query(session, &rig.name, query, PATIENCE).await.with_context(|| format!("the pipeline must have a step `{STEP}`"))?)
}

/// Publishes one session's sensors and waits until they are durable.
async fn publish(session: &Session, rig: &Rig, options: Options) -> anyhow::Result<()> {
    let hidden = indicatif::ProgressBar::hidden();
    let mut simulation = Simulation::new(options)?;
    let publisher = Publisher::open(session, rig, PublisherOptions { paced: false, ..PublisherOptions::default() }).await?;
    deliver(&mut simulation, &publisher, rig, Speed::Max, false, &hidden).await?;
    publisher.end().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_are_read() {
        assert_eq!((weeks("8w"), weeks("1 w")), (Ok(8), Ok(1)));
        assert!(["8", "0w", "105w", "w", "-1w"].iter().all(|text| weeks(text).is_err()));
    }
}
