//! `proprio rebuild`: recorded sessions run again, through another pipeline or with what was put right, beside the rows they have.

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use proprio_core::TimeNs;
use proprio_core::table::system::origin;
use proprio_recording::{Disk, Folder, Gone};
use proprio_tables::{Place, Reader, TablesError};
use serde::Serialize;
use tokio::runtime::Handle;

use super::publishing::bar;
use crate::again::{Again, Files};
use crate::ask;
use crate::place;
use crate::rebuild::{Rebuild, Rebuilt};
use crate::recorded::{Extent, all, rigs};
use crate::running::Running;
use crate::selection::SessionsArg;

/// Runs recorded sessions again, several at once and as fast as the machine can, beside the rows they have.
///
/// What comes of it stands in `<table>_all` under its `run_id`; `<table>` shows it once `proprio adopt` says so. The pipeline's rig
/// file may differ from the recorded one (another side, another rate); sensors are matched by their keys. What `proprio amend` put right
/// in a session is seen, and an amended rig file comes before the pipeline's. A rebuild that was
/// stopped goes on when it is asked for again, and passes over sessions that are complete. It works beside a running engine.
/// Exit code 1 when a session failed.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    sessions: SessionsArg,
    /// The pipeline file; by default the files that each session was recorded with.
    #[arg(long, value_name = "FILE")]
    pipeline: Option<PathBuf>,
    /// Data directory.
    #[arg(long, default_value = "data", value_name = "DIR")]
    data: PathBuf,
    /// Sessions at once; by default one for each processor.
    #[arg(long, value_name = "N")]
    jobs: Option<NonZero<usize>>,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

/// What came of the command.
#[derive(Serialize)]
struct Outcome {
    sessions: Vec<SessionOutcome>,
}

/// What came of one session.
#[derive(Default, Serialize)]
struct SessionOutcome {
    session: String,
    run_id: Option<String>,
    rows: u64,
    undeclared_messages: u64,
    duration_s: f64,
    took_s: f64,
    skipped: Option<&'static str>,
    failed: Option<String>,
}

/// What all sessions have in common.
struct Work<'a> {
    args: &'a Args,
    disk: Arc<dyn Disk>,
    files: Files,
    /// (session, run) of the rows that are there from when they were live.
    live: BTreeSet<(String, String)>,
    is_engine_there: bool,
    place: Place,
    runtime: &'a Handle,
}

/// Rebuilds, and prints what came of each session.
///
/// # Errors
/// When the sessions can't be found.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let files = match &args.pipeline {
        None => Files::Recorded,
        Some(pipeline) => match super::run::load(pipeline) {
            Ok(loaded) => Files::Given(Arc::new(loaded.plan)),
            Err(code) => return Ok(code),
        },
    };
    let disk: Arc<dyn Disk> = Arc::new(Folder::new(&args.data));
    let found = chosen(&args, &*disk, &files)?;
    let runtime = super::runtime()?;
    let live = runtime.block_on(live_runs(&args))?;
    let is_engine_there = Running::find(&args.data).is_some();
    let work = Work { args: &args, disk, files, live, is_engine_there, place: place::of(&args.data)?, runtime: runtime.handle() };
    let outcome = Outcome { sessions: work.all(found) };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        print(&outcome);
    }
    let failed = outcome.sessions.iter().any(|session| session.failed.is_some());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The sessions that were asked for, of the pipeline's rig where one is given.
fn chosen(args: &Args, disk: &dyn Disk, files: &Files) -> anyhow::Result<Vec<Extent>> {
    let selection = args.sessions.selection()?;
    let mut found = all(disk)?;
    if let Files::Given(plan) = files {
        let rig = &plan.rig.name;
        found.retain(|extent| extent.rig == *rig);
        if found.is_empty() {
            let rigs = rigs(disk)?;
            let held = if rigs.is_empty() { "none".to_owned() } else { rigs.join(", ") };
            anyhow::bail!("{} holds no recording of rig {rig}; it holds {held}", args.data.display());
        }
    }
    found.retain(|extent| selection.takes(&extent.id, extent.subject.as_deref(), extent.first_log_time_ns));
    selection.must_be_among(&found.iter().map(|extent| extent.id.as_str()).collect())?;
    Ok(found)
}

/// The runs that have rows from when they were live, with their sessions.
async fn live_runs(args: &Args) -> anyhow::Result<BTreeSet<(String, String)>> {
    let reader = match Reader::open(&place::of(&args.data)?).await {
        Err(TablesError::NoTables { .. }) => return Ok(BTreeSet::new()),
        reader => reader?,
    };
    let sql = format!("SELECT session, run_id FROM lineage WHERE origin = {}", ask::quoted(origin::LIVE));
    let rows = ask::rows(reader.catalog(), &sql).await?.into_iter();
    rows.map(|row| {
        <[_; 2]>::try_from(row).ok().and_then(|[session, run_id]| session.zip(run_id)).context("a row of `lineage` can't be read")
    })
    .collect()
}

fn reason_to_skip(extent: &Extent) -> Option<&'static str> {
    match extent.gone {
        Some(Gone::Forgotten) => Some("its recording was forgotten"),
        Some(Gone::Retention) => Some("its recording was older than is kept"),
        None if extent.last.is_none() => Some("it is open"),
        None => None,
    }
}

impl Work<'_> {
    /// Works through the sessions, several at once.
    fn all(&self, sessions: Vec<Extent>) -> Vec<SessionOutcome> {
        let left = sessions.len();
        let jobs = self.args.jobs.or(std::thread::available_parallelism().ok()).map_or(1, NonZero::get).min(left);
        let recorded_ns = |extent: &Extent| extent.last.map_or(0, |(_, over_ns)| over_ns - extent.first_log_time_ns);
        let due = sessions.iter().filter(|session| reason_to_skip(session).is_none());
        let bar = bar(due.map(recorded_ns).sum(), "rebuilding");
        bar.set_prefix(format!("{left} sessions left"));
        let queue = Mutex::new(sessions.into_iter().enumerate().collect::<VecDeque<_>>());
        let done = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    while let Some((index, session)) = { queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front() } {
                        let outcome = self.one(&session, |passed_ns| bar.inc((passed_ns / 1_000_000).max(0).cast_unsigned()));
                        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                        done.push((index, outcome));
                        bar.set_prefix(format!("{} sessions left", left - done.len()));
                    }
                });
            }
        });
        bar.finish_and_clear();
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(index, _)| *index);
        done.into_iter().map(|(_, outcome)| outcome).collect()
    }

    fn one(&self, session: &Extent, heard: impl Fn(TimeNs)) -> SessionOutcome {
        let mut outcome = SessionOutcome { session: session.id.clone(), ..SessionOutcome::default() };
        outcome.skipped = reason_to_skip(session);
        if outcome.skipped.is_some() {
            return outcome;
        }
        if let Err(error) = self.run_again(session, heard, &mut outcome) {
            outcome.failed = Some(format!("{error:#}"));
        }
        outcome
    }

    fn run_again(&self, session: &Extent, heard: impl Fn(TimeNs), outcome: &mut SessionOutcome) -> anyhow::Result<()> {
        let again = Again::of(&*self.disk, session, &self.files)?;
        let run_id = outcome.run_id.insert(again.run_id());
        let has_live_rows = self.is_engine_there || self.live.contains(&(session.id.clone(), run_id.clone()));
        if session.runs.contains(run_id) && has_live_rows {
            outcome.skipped = Some("this very run was live in it: its rows are there, and could not be told from these");
            return Ok(());
        }
        let rebuild = Rebuild { disk: &self.disk, place: &self.place, session, again: &again, runtime: self.runtime };
        match rebuild.run(heard)? {
            None => outcome.skipped = Some("already there"),
            Some(Rebuilt { rows, undeclared, duration_s, took_s }) => {
                (outcome.rows, outcome.undeclared_messages) = (rows, undeclared);
                (outcome.duration_s, outcome.took_s) = (duration_s, took_s);
            }
        }
        Ok(())
    }
}

fn print(outcome: &Outcome) {
    println!("{:<36} {:>10} {:>8} {:>12}  {:<32}  remark", "session", "duration", "× real", "rows", "run");
    for session in &outcome.sessions {
        let SessionOutcome { session: id, run_id, rows, undeclared_messages, duration_s, took_s, skipped, failed } = session;
        let run_id = run_id.as_deref().unwrap_or_default();
        match (skipped, failed) {
            (Some(reason), _) => println!("{id:<36} {:>10} {:>8} {:>12}  {run_id:<32}  skipped: {reason}", "", "", ""),
            (_, Some(reason)) => println!("{id:<36} {:>10} {:>8} {:>12}  {run_id:<32}  failed: {reason}", "", "", ""),
            _ => {
                let speed = duration_s / took_s.max(1e-9);
                let remark = match undeclared_messages {
                    0 => String::new(),
                    count => format!("{count} messages of sensors that the rig file lacks"),
                };
                println!("{id:<36} {duration_s:>8.1} s {speed:>8.1} {rows:>12}  {run_id}  {remark}");
            }
        }
    }
    println!("The rows are in `<table>_all`; `proprio adopt` lets `<table>` show them.");
}
