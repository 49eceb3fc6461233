//! `proprio replay`: a recorded session through its own pipeline once more, and whether that gives what the tables hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use proprio_core::{TableChunk, TimeNs, rows};
use proprio_recording::{Disk, Folder, SessionEntry};
use proprio_runtime::Plan;
use proprio_tables::Reader;
use serde::Serialize;

use super::publishing::bar;
use super::test::ANSWERS_OFF;
use crate::engine::reigns::{self, History};
use crate::plans::plan_of;
use crate::recorded::rigs;
use crate::verify::{Difference, Verify};

/// Runs a recorded session through the pipeline that it was recorded under, as fast as it goes.
///
/// `--verify` compares every row, bit by bit, with what the tables hold, and exits with 3 at a difference.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Session to replay, or `last`, or `all`.
    #[arg(value_name = "SESSION")]
    session: String,
    /// Compare with the tables, and print the first difference.
    #[arg(long)]
    verify: bool,
    /// Data directory.
    #[arg(long, default_value = "data", value_name = "DIR")]
    data: PathBuf,
    /// Rig, where the data directory holds several.
    #[arg(long, value_name = "NAME")]
    rig: Option<String>,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

/// What a replay came to.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    session: String,
    messages: u64,
    /// Seconds of event time that the sensors cover.
    recorded_s: f64,
    took_s: f64,
    /// Shares of the time: reading the recording, running the plan, comparing.
    reading_s: f64,
    running_s: f64,
    comparing_s: f64,
    /// Of the running: by operator, and by what is done before them.
    spent_s: BTreeMap<&'static str, f64>,
    /// Rows by table.
    rows: BTreeMap<String, u64>,
    /// Whether another build made the tables' rows, so that run ids and alert ids are left out of the comparison.
    other_build: bool,
    /// Whether the tables hold the same; absent without `--verify`.
    identical: Option<bool>,
    difference: Option<Difference>,
}

/// Replays.
///
/// # Errors
/// When there is no such session, or it can't be read.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let disk: Arc<dyn Disk> = Arc::new(Folder::new(&args.data));
    let rig = rig(&args.data, args.rig.as_deref())?;
    let sessions = chosen(&disk, &rig, &args.session)?;
    let mut all_identical = true;
    let mut outcomes = Vec::new();
    for session in &sessions {
        let outcome = replay(&args, &disk, &rig, session).await?;
        all_identical &= outcome.identical != Some(false);
        if !args.json {
            outcome.print();
        }
        outcomes.push(outcome);
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&outcomes)?);
    }
    Ok(if all_identical { ExitCode::SUCCESS } else { ExitCode::from(ANSWERS_OFF) })
}

/// The rig whose recording is meant.
///
/// # Errors
/// When there is none, or it is not plain which.
pub fn rig(data: &std::path::Path, named: Option<&str>) -> anyhow::Result<String> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let rigs = rigs(&Folder::new(data))?;
    match rigs.as_slice() {
        [rig] => Ok(rig.clone()),
        [] => bail!("{} holds no recording", data.display()),
        several => bail!("{} holds several rigs: say --rig with one of {}", data.display(), several.join(", ")),
    }
}

fn chosen(disk: &Arc<dyn Disk>, rig: &str, wanted: &str) -> anyhow::Result<Vec<SessionEntry>> {
    let mut sessions = proprio_recording::sessions(&**disk, rig)?;
    sessions.retain(|session| session.gone.is_none());
    match wanted {
        "all" => {}
        "last" => drop(sessions.drain(..sessions.len().saturating_sub(1))),
        id => sessions.retain(|session| session.id == id),
    }
    if sessions.is_empty() {
        let known = proprio_recording::sessions(&**disk, rig)?;
        let newest: Vec<&str> = known.iter().rev().take(5).map(|session| session.id.as_str()).collect();
        bail!("rig {rig} has no recorded session `{wanted}`; its newest are {}", newest.join(", "));
    }
    Ok(sessions)
}

async fn replay(args: &Args, disk: &Arc<dyn Disk>, rig: &str, session: &SessionEntry) -> anyhow::Result<Outcome> {
    let history = History::of(disk, rig, session)?;
    let first_texts = &history.reigns[0].texts;
    let runs_here = plan_of(first_texts).map(|plan| crate::lineage::run_id(&plan))?;
    let other_build = first_texts.get("run_id").is_some_and(|run_id| *run_id != runs_here);
    let mut verify = args.verify.then(|| Verify::new(&session.id, other_build));
    let begun = Instant::now();
    let mut outcome = Outcome { session: session.id.clone(), other_build, ..Outcome::default() };
    let length_ns = session.last.map_or(0, |last| last.log_time_ns - session.first_log_time_ns);
    let progress = bar(length_ns.max(1), "replaying");
    let mut span = Span::default();
    let replayed = reigns::replay(disk, rig, session, &history, |chunks, plan, log_time_ns| {
        for chunk in chunks {
            *outcome.rows.entry(chunk.table.clone()).or_default() += chunk.rows.num_rows() as u64;
            span.see(chunk, plan);
        }
        if let Some(verify) = &mut verify {
            let comparing = Instant::now();
            verify.replayed(chunks, plan)?;
            outcome.comparing_s += comparing.elapsed().as_secs_f64();
        }
        progress.set_position((log_time_ns - session.first_log_time_ns).max(0) as u64);
        Ok(())
    })?;
    outcome.messages = replayed.messages;
    outcome.recorded_s = span.seconds();
    (outcome.reading_s, outcome.running_s, outcome.spent_s) = (replayed.reading_s, replayed.running_s, replayed.spent_s);
    progress.finish_and_clear();
    if let Some(verify) = verify {
        let comparing = Instant::now();
        let reader = Reader::open(&crate::place::of(&args.data)?).await.context("the tables can't be read")?;
        outcome.difference = verify.compare(&reader, &history.runs).await?;
        outcome.identical = Some(outcome.difference.is_none());
        if let Some(difference) = &mut outcome.difference {
            let mut rows = BTreeSet::new();
            reigns::replay(disk, rig, session, &history, |chunks, plan, _| {
                for chunk in chunks {
                    rows.extend(verify.rows_of(difference, chunk, plan)?);
                }
                Ok(())
            })?;
            verify.show(difference, &reader, &history.runs, rows).await?;
        }
        outcome.comparing_s += comparing.elapsed().as_secs_f64();
    }
    outcome.took_s = begun.elapsed().as_secs_f64();
    Ok(outcome)
}

/// The event time that the sensors' rows cover.
#[derive(Default)]
struct Span(Option<(TimeNs, TimeNs)>);

impl Span {
    fn see(&mut self, chunk: &TableChunk, plan: &Plan) {
        let times = rows::times(&chunk.rows);
        let is_sampled = plan.rig.sensors.iter().any(|sensor| sensor.kind.is_sampled() && sensor.kind.name() == chunk.table);
        if let (true, Some(first), Some(last)) = (is_sampled, times.first(), times.last()) {
            let (from, to) = self.0.unwrap_or((*first, *last));
            self.0 = Some((from.min(*first), to.max(*last)));
        }
    }

    fn seconds(&self) -> f64 {
        self.0.map_or(0.0, |(from, to)| (to - from) as f64 / 1e9)
    }
}

impl Outcome {
    fn print(&self) {
        let Self { session, messages, recorded_s, took_s, .. } = self;
        let rows: u64 = self.rows.values().sum();
        println!("session {session}: {messages} messages, {recorded_s:.1} s of recording, {rows} rows in {} tables", self.rows.len());
        let replaying_s = (self.reading_s + self.running_s).max(1e-9);
        println!(
            "  {took_s:.1} s: reading {:.1} s, running {:.1} s, comparing {:.1} s; {:.0} × recorded time without the comparison",
            self.reading_s,
            self.running_s,
            self.comparing_s,
            recorded_s / replaying_s
        );
        let mut spent: Vec<_> = self.spent_s.iter().collect();
        spent.sort_by(|a, b| b.1.total_cmp(a.1));
        let rest = ("batches and system tables", self.running_s - self.spent_s.values().sum::<f64>());
        for (on, spent_s) in spent.into_iter().map(|(on, spent_s)| (*on, *spent_s)).chain([rest]) {
            println!("    {on:<28} {spent_s:>8.2} s {:>5.1} %", 100.0 * spent_s / self.running_s.max(1e-9));
        }
        if self.other_build {
            println!("  another build made the tables' rows: run ids and alert ids are not compared");
        }
        match (&self.identical, &self.difference) {
            (Some(true), _) => println!("  identical: every row of every table, bit for bit"),
            (_, Some(difference)) => println!("  DIFFERENT: {difference}"),
            _ => {}
        }
    }
}
