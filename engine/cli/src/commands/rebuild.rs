//! `proprio rebuild`: recorded sessions through another pipeline, beside the rows that they have.

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use proprio_core::table::system::origin;
use proprio_recording::{Disk, Folder, Gone};
use proprio_runtime::Plan;
use proprio_tables::{Reader, TablesError};
use serde::Serialize;

use super::publishing::bar;
use crate::ask;
use crate::rebuild::{Rebuild, Rebuilt};
use crate::recorded::{Extent, extents, rigs};
use crate::running::Running;
use crate::selection::SessionsArg;

/// Runs recorded sessions through another pipeline, several at once and as fast as the machine can, beside the rows they have.
///
/// What comes of it stands in `<table>_all` under its `run_id`; `<table>` shows it once `proprio adopt` says so. The pipeline's rig
/// file may differ from the recorded one (another side, another rate); sensors are matched by their keys. A rebuild that was
/// stopped goes on when it is asked for again, and passes over sessions that are complete. It works beside a running engine.
/// Exit code 1 when a session failed.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    sessions: SessionsArg,
    /// The pipeline file.
    #[arg(long, value_name = "FILE")]
    pipeline: PathBuf,
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
    run_id: String,
    sessions: Vec<SessionOutcome>,
}

/// What came of one session.
#[derive(Default, Serialize)]
struct SessionOutcome {
    session: String,
    rows: u64,
    undeclared_messages: u64,
    duration_s: f64,
    took_s: f64,
    skipped: Option<String>,
    failed: Option<String>,
}

/// Rebuilds, and prints what came of each session.
///
/// # Errors
/// When the sessions can't be found.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let plan = match super::run::load(&args.pipeline) {
        Ok(loaded) => Arc::new(loaded.plan),
        Err(code) => return Ok(code),
    };
    let run_id = crate::lineage::run_id(&plan);
    let disk: Arc<dyn Disk> = Arc::new(Folder::new(&args.data));
    let found = chosen(&args, &*disk, &plan)?;
    let runtime = super::runtime()?;
    let live = runtime.block_on(live_sessions(&args, &run_id))?;
    let is_engine_there = Running::find(&args.data).is_some();
    let mut outcome = Outcome { run_id, sessions: Vec::new() };
    let mut due = Vec::new();
    for extent in found {
        let was_live = extent.runs.contains(&outcome.run_id) && (is_engine_there || live.contains(&extent.id));
        match reason_to_skip(&extent, was_live) {
            Some(reason) => {
                let session = extent.id;
                outcome.sessions.push(SessionOutcome { session, skipped: Some(reason.to_owned()), ..SessionOutcome::default() });
            }
            None => due.push(extent),
        }
    }
    outcome.sessions.extend(rebuilt(&args, &disk, &plan, due, runtime.handle()));
    if args.json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        print(&outcome);
    }
    let failed = outcome.sessions.iter().any(|session| session.failed.is_some());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The sessions of the pipeline's rig that were asked for.
fn chosen(args: &Args, disk: &dyn Disk, plan: &Plan) -> anyhow::Result<Vec<Extent>> {
    let rig = &plan.rig.name;
    let selection = args.sessions.selection()?;
    let mut found = extents(disk, rig)?;
    if found.is_empty() {
        let rigs = rigs(disk)?;
        anyhow::bail!(
            "{} holds no recording of rig {rig}; it holds {}",
            args.data.display(),
            if rigs.is_empty() { "none".to_owned() } else { rigs.join(", ") }
        );
    }
    found.retain(|extent| selection.takes(&extent.id, extent.subject.as_deref(), extent.first_log_time_ns));
    selection.must_be_among(&found.iter().map(|extent| extent.id.as_str()).collect())?;
    Ok(found)
}

/// The sessions that have rows of this run from when they were live.
async fn live_sessions(args: &Args, run_id: &str) -> anyhow::Result<BTreeSet<String>> {
    let reader = match Reader::open(&args.data).await {
        Err(TablesError::NoTables { .. }) => return Ok(BTreeSet::new()),
        reader => reader?,
    };
    let sql = format!("SELECT session FROM lineage WHERE run_id = {} AND origin = {}", ask::quoted(run_id), ask::quoted(origin::LIVE));
    ask::texts(reader.catalog(), &sql).await
}

fn reason_to_skip(extent: &Extent, was_live: bool) -> Option<&'static str> {
    match extent.gone {
        Some(Gone::Forgotten) => return Some("its recording was forgotten"),
        Some(Gone::Retention) => return Some("its recording was older than is kept"),
        None => {}
    }
    if extent.last.is_none() {
        return Some("it is open");
    }
    was_live.then_some("this very run was live in it: its rows are there, and could not be told from these")
}

/// Works through the sessions, several at once.
fn rebuilt(args: &Args, disk: &Arc<dyn Disk>, plan: &Arc<Plan>, due: Vec<Extent>, runtime: &tokio::runtime::Handle) -> Vec<SessionOutcome> {
    let jobs = args.jobs.or(std::thread::available_parallelism().ok()).map_or(1, NonZero::get).min(due.len());
    let recorded_ns = |extent: &Extent| extent.last.map_or(0, |(_, over_ns)| over_ns - extent.first_log_time_ns);
    let bar = bar(due.iter().map(recorded_ns).sum(), "rebuilding");
    let left = due.len();
    bar.set_prefix(format!("{left} sessions left"));
    let queue = Mutex::new(due.into_iter().collect::<VecDeque<_>>());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(session) = { queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front() } {
                    let rebuild = Rebuild { disk, data: &args.data, plan, session: &session, runtime };
                    let outcome = rebuild.run(|passed_ns| bar.inc((passed_ns / 1_000_000).max(0).cast_unsigned()));
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.push((session.first_position, outcome_of(&session.id, outcome)));
                    bar.set_prefix(format!("{} sessions left", left - done.len()));
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(position, _)| *position);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

fn outcome_of(session: &str, outcome: anyhow::Result<Option<Rebuilt>>) -> SessionOutcome {
    let session = session.to_owned();
    match outcome {
        Ok(Some(Rebuilt { rows, undeclared: undeclared_messages, duration_s, took_s })) => {
            SessionOutcome { session, rows, undeclared_messages, duration_s, took_s, ..SessionOutcome::default() }
        }
        Ok(None) => SessionOutcome { session, skipped: Some("already there".to_owned()), ..SessionOutcome::default() },
        Err(error) => SessionOutcome { session, failed: Some(format!("{error:#}")), ..SessionOutcome::default() },
    }
}

fn print(outcome: &Outcome) {
    println!("run {}", outcome.run_id);
    println!("{:<28} {:>10} {:>8} {:>12}  remark", "session", "duration", "× real", "rows");
    for session in &outcome.sessions {
        let SessionOutcome { session: id, rows, undeclared_messages, duration_s, took_s, skipped, failed } = session;
        match (skipped, failed) {
            (Some(reason), _) => println!("{id:<28} {:>10} {:>8} {:>12}  skipped: {reason}", "", "", ""),
            (_, Some(reason)) => println!("{id:<28} {:>10} {:>8} {:>12}  failed: {reason}", "", "", ""),
            _ => {
                let speed = duration_s / took_s.max(1e-9);
                let remark = match undeclared_messages {
                    0 => String::new(),
                    count => format!("{count} messages of sensors that the rig file lacks"),
                };
                println!("{id:<28} {duration_s:>8.1} s {speed:>8.1} {rows:>12}  {remark}");
            }
        }
    }
    println!("The rows are in `<table>_all`; `proprio adopt --run {} --sessions …` lets `<table>` show them.", outcome.run_id);
}
