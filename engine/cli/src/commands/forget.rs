//! `proprio forget`: a person leaves the data directory.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use proprio_core::control::{Forgotten, Reply, Request};
use proprio_recording::Folder;
use proprio_tables::{Reader, TablesError, forget_sessions};
use proprio_zenoh::ArrivalClock;

use super::connect::EngineArgs;
use crate::forget::{Theirs, audit, find, from_recordings, summary};
use crate::place;
use crate::recorded::rigs;

/// How long a running engine may take: tables that held the person are written anew.
const PATIENCE: Duration = Duration::from_secs(3600);
/// Who commits the audit's row when no engine runs: Delta's name for it.
const APPLICATION: &str = "forget";

/// Removes a person: every session of this subject, from recordings, snapshots and tables, and what the disk holds of them beside.
///
/// What stays is a row of `audit` that says when, by whom and how much was removed, with a hash in place of the pseudonym. Copies
/// elsewhere, such as backups, are not reached. A running engine does it by itself and goes on meanwhile; a session of this subject
/// that is open must be stopped first. One that was interrupted is ended by asking again. Without `--yes` nothing is removed, what
/// would be is shown, and the exit code is 1.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Pseudonym of the person.
    subject: String,
    /// Do it: what is removed can't be brought back.
    #[arg(long)]
    yes: bool,
    /// Who decides so, for the audit.
    #[arg(long, env = "USER", value_name = "NAME")]
    who: Option<String>,
    /// Print what was removed as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Removes, and prints what was.
///
/// # Errors
/// When the person has no sessions, has one open, or something can't be removed.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    if !args.yes {
        return show(&args).await;
    }
    let forgotten = if args.engine.is_running() { by_engine(&args).await? } else { by_ourselves(&args).await? };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&forgotten)?);
    } else {
        print(&forgotten);
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what would be removed.
async fn show(args: &Args) -> anyhow::Result<ExitCode> {
    let theirs = theirs(args).await?;
    for session in &theirs.sessions {
        println!("{session}{}", if theirs.open.contains(session) { "  (open: stop it first)" } else { "" });
    }
    eprintln!("nothing was removed: repeat it with --yes to remove these {} sessions for good", theirs.sessions.len());
    Ok(ExitCode::FAILURE)
}

/// What the data directory holds of the person.
async fn theirs(args: &Args) -> anyhow::Result<Theirs> {
    let reader = match Reader::open(&place::of(&args.engine.data)?).await {
        Err(TablesError::NoTables { .. }) => None,
        reader => Some(reader?),
    };
    let theirs = find(&Folder::new(&args.engine.data), reader.as_ref().map(Reader::catalog), &args.subject).await?;
    anyhow::ensure!(!theirs.sessions.is_empty(), "{} holds no session of this subject", args.engine.data.display());
    Ok(theirs)
}

async fn by_engine(args: &Args) -> anyhow::Result<Forgotten> {
    let request = Request::Forget { subject: args.subject.clone(), who: args.who.clone() };
    match args.engine.find().await?.ask_once(&request, PATIENCE).await? {
        Reply::Forgotten(forgotten) => Ok(forgotten),
        Reply::Refused { reason } => bail!("the rig refused: {reason}"),
        other => bail!("the engine answered {other:?} to a request to forget"),
    }
}

/// No engine runs: tables first, since the recordings name the sessions when it is interrupted.
async fn by_ourselves(args: &Args) -> anyhow::Result<Forgotten> {
    let theirs = theirs(args).await?;
    let (data, disk) = (&args.engine.data, Folder::new(&args.engine.data));
    let ids: Vec<String> = theirs.sessions.iter().cloned().collect();
    let rows = forget_sessions(&place::of(data)?, &ids).await.context("the tables still hold some of it: ask again")?;
    let recordings = from_recordings(&disk, &theirs.sessions).context("the recordings still hold some of it: ask again")?;
    let forgotten = summary(&theirs.sessions, recordings, rows);
    let now_ns = ArrivalClock::start().now_ns();
    let rig = rigs(&disk)?.into_iter().next().unwrap_or_default();
    let row = audit(&forgotten, &args.subject, args.who.as_deref(), now_ns);
    crate::engine::audit::write(data, &rig, APPLICATION, &row).await.context("it was removed, but the audit can't be written")?;
    Ok(forgotten)
}

fn print(forgotten: &Forgotten) {
    let Forgotten { sessions, segments, bytes, rows } = forgotten;
    println!(
        "removed {} sessions: {segments} segments of the recording ({:.1} MB), and of the tables",
        sessions.len(),
        *bytes as f64 / 1e6
    );
    println!("{:<20} {:>10}", "table", "rows");
    rows.iter().for_each(|(table, rows)| println!("{table:<20} {rows:>10}"));
}
