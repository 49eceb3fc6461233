//! `proprio adopt`: which runs of a session its tables show from now on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use arrow_array::{ArrayRef, Int64Array, StringArray};
use proprio_core::table::system::{self, audit_kind, origin};
use proprio_core::{TableChunk, TimeNs, rows};
use proprio_recording::Folder;
use proprio_tables::{Reader, Store};
use proprio_zenoh::ArrivalClock;
use serde::Serialize;

use crate::again::{Again, Files};
use crate::ask;
use crate::engine::audit::Audit;
use crate::place;
use crate::recorded::{Extent, all};
use crate::running::Running;
use crate::selection::{Selection, SessionsArg};

/// Who commits adoptions: Delta's name for it in a rig's tables.
const APPLICATION: &str = "adopt";

/// Lets the tables show other runs of sessions than they do: those of a rebuild, or again those that were live.
///
/// A run is shown where its rows are complete. Sessions that were named by id are adopted all or none; of a wider choice those
/// without complete rows stay as they are, and are told. Nothing is removed: `<table>_all` holds every run. It works beside a
/// running engine, which follows within a second.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    sessions: SessionsArg,
    #[command(flatten)]
    runs: Runs,
    /// Who decides so, for the audit.
    #[arg(long, env = "USER", value_name = "NAME")]
    who: Option<String>,
    /// Data directory.
    #[arg(long, default_value = "data", value_name = "DIR")]
    data: PathBuf,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

/// Which runs are shown.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Runs {
    /// The run, as `proprio rebuild` and the column `run_id` name it; several show together.
    #[arg(long, value_name = "RUN_ID", value_delimiter = ',')]
    run: Vec<String>,
    /// The run that this build makes of this pipeline file, and of what was put right in a session.
    #[arg(long, value_name = "FILE")]
    pipeline: Option<PathBuf>,
    /// The runs that this build makes of the files that each session was recorded with, and of what was put right in it.
    #[arg(long)]
    recorded: bool,
    /// The runs that were live.
    #[arg(long)]
    live: bool,
}

/// What the tables hold of a session.
#[derive(Debug, Default)]
struct Held {
    rig: String,
    subject: Option<String>,
    start_ns: TimeNs,
    /// Runs that began in it, and whether they were live.
    runs: BTreeMap<String, bool>,
    /// Runs whose rows reach to its end.
    complete: BTreeSet<String>,
}

/// What came of the command.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    /// Runs that are shown now, by session.
    adopted: BTreeMap<String, BTreeSet<String>>,
    /// Sessions that stay as they are, since they have no complete rows of the run.
    incomplete: Vec<String>,
}

/// Adopts, and prints what is shown now.
///
/// # Errors
/// When sessions that were named have no complete rows, or the tables can't be written.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let wanted = match Wanted::of(&args)? {
        Ok(wanted) => wanted,
        Err(code) => return Ok(code),
    };
    let selection = args.sessions.selection()?;
    let mut held = held(&args.data).await?;
    held.retain(|id, session| selection.takes(id, session.subject.as_deref(), session.start_ns));
    selection.must_be_among(&held.keys().map(String::as_str).collect())?;
    let mut outcome = Outcome::default();
    for (id, session) in &held {
        match wanted.in_session(id, session)?.filter(|runs| session.can_show(runs)) {
            Some(runs) => drop(outcome.adopted.insert(id.clone(), runs)),
            None => outcome.incomplete.push(id.clone()),
        }
    }
    if !outcome.incomplete.is_empty() && (matches!(selection, Selection::Ids(_)) || outcome.adopted.is_empty()) {
        bail!("no complete rows of that run in {}; `proprio rebuild` makes them", outcome.incomplete.join(", "));
    }
    let rigs: BTreeSet<&str> = outcome.adopted.keys().map(|id| held[id].rig.as_str()).collect();
    for rig in rigs {
        let of_rig = outcome.adopted.iter().filter(|(id, _)| held[*id].rig == rig);
        write(&args, rig, of_rig).await.with_context(|| format!("rig {rig}'s adoptions can't be written"))?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        print(&outcome);
    }
    Ok(ExitCode::SUCCESS)
}

/// Which runs are wanted.
enum Wanted {
    /// Those that were live.
    Live,
    /// These.
    Runs(BTreeSet<String>),
    /// Those that files make of the recorded sessions, by id.
    Made { by: Files, of: BTreeMap<String, Extent>, disk: Folder },
}

impl Wanted {
    /// What was asked for; else the exit code after a pipeline's findings were printed.
    fn of(args: &Args) -> anyhow::Result<Result<Self, ExitCode>> {
        let by = match &args.runs.pipeline {
            Some(pipeline) => match super::run::load(pipeline) {
                Ok(loaded) => Files::Given(Arc::new(loaded.plan)),
                Err(code) => return Ok(Err(code)),
            },
            None if args.runs.live => return Ok(Ok(Self::Live)),
            None if !args.runs.run.is_empty() => return Ok(Ok(Self::Runs(args.runs.run.iter().cloned().collect()))),
            None => Files::Recorded,
        };
        let disk = Folder::new(&args.data);
        let of = all(&disk)?.into_iter().map(|session| (session.id.clone(), session)).collect();
        Ok(Ok(Self::Made { by, of, disk }))
    }

    /// The runs in a session; none where they can't be known, since its recording is gone.
    fn in_session(&self, id: &str, held: &Held) -> anyhow::Result<Option<BTreeSet<String>>> {
        Ok(match self {
            Self::Live => Some(held.runs.iter().filter(|(_, live)| **live).map(|(run_id, _)| run_id.clone()).collect()),
            Self::Runs(runs) => Some(runs.clone()),
            Self::Made { by, of, disk } => match (by, of.get(id).filter(|session| session.gone.is_none())) {
                (_, Some(session)) => Some([Again::of(disk, session, by).with_context(|| format!("session {id}"))?.run_id()].into()),
                (Files::Given(plan), None) => Some([crate::lineage::run_id(plan)].into()),
                (Files::Recorded, None) => None,
            },
        })
    }
}

/// What the tables hold of each session.
async fn held(data: &Path) -> anyhow::Result<BTreeMap<String, Held>> {
    let mut held: BTreeMap<String, Held> = BTreeMap::new();
    for row in everywhere(data, "SELECT session, rig, subject, state, time_ns, run_id FROM sessions_all").await? {
        let [Some(session), Some(rig), subject, Some(state), Some(time_ns), Some(run_id)] = <[_; 6]>::try_from(row).unwrap_or_default()
        else {
            bail!("a row of `sessions` can't be read");
        };
        let session = held.entry(session).or_default();
        (session.rig, session.subject) = (rig, subject);
        if state == "ended" {
            session.complete.insert(run_id);
        } else {
            session.start_ns = time_ns.parse().context("a session's start can't be read")?;
        }
    }
    for row in everywhere(data, "SELECT session, run_id, origin FROM lineage").await? {
        let [Some(session), Some(run_id), Some(from)] = <[_; 3]>::try_from(row).unwrap_or_default() else {
            bail!("a row of `lineage` can't be read");
        };
        if let Some(session) = held.get_mut(&session) {
            *session.runs.entry(run_id).or_default() |= from == origin::LIVE;
        }
    }
    Ok(held)
}

/// What the disk holds, which a running engine may not have looked at yet; and what it holds that is not committed yet.
async fn everywhere(data: &Path, sql: &str) -> anyhow::Result<ask::Rows> {
    let mut rows = ask::rows(Reader::open(&place::of(data)?).await?.catalog(), sql).await?;
    if let Some(running) = Running::find(data) {
        rows.extend(ask::rows_of_engine(&running, sql).await?);
    }
    Ok(rows)
}

impl Held {
    /// Whether these runs are there and their rows reach to the session's end. Of runs that followed each other, the last one's do.
    fn can_show(&self, runs: &BTreeSet<String>) -> bool {
        runs.iter().all(|run_id| self.runs.contains_key(run_id)) && runs.iter().any(|run_id| self.complete.contains(run_id))
    }
}

/// Writes a rig's adoptions in one commit, and who made them into the audit.
async fn write(args: &Args, rig: &str, adopted: impl Iterator<Item = (&String, &BTreeSet<String>)>) -> anyhow::Result<()> {
    let store = Store::open_as(&place::of(&args.data)?, rig, APPLICATION, &[]).await?;
    let before = store.committed_position(system::ADOPTIONS).unwrap_or(-1);
    // The newest adoption holds, also when the clock was set back.
    let now_ns = ArrivalClock::start().now_ns().max(before + 1);
    let mut chunks = Vec::new();
    for (session, runs) in adopted {
        let runs_text = system::runs_to_text(runs.iter().map(String::as_str));
        let columns: [ArrayRef; 3] = [
            Arc::new(Int64Array::from(vec![now_ns])),
            Arc::new(StringArray::from(vec![runs_text.as_str()])),
            Arc::new(StringArray::from(vec![args.who.as_deref()])),
        ];
        let audit =
            Audit { kind: audit_kind::ADOPT, who: args.who.as_deref(), what: Some(session), detail: Some(runs_text), ..Audit::default() };
        let run_id = runs.last().cloned().unwrap_or_default();
        store.append_operational(&audit.chunk(now_ns, session, &run_id, now_ns))?;
        chunks.push(TableChunk {
            table: system::ADOPTIONS.to_owned(),
            key: None,
            session: session.clone(),
            run_id,
            rows: rows::batch(&system::adoptions(), columns.to_vec()),
            position: now_ns,
        });
    }
    store.append(&chunks, now_ns)?;
    Ok(store.commit(now_ns).await?)
}

fn print(outcome: &Outcome) {
    println!("{:<28} runs that its tables show now", "session");
    for (session, runs) in &outcome.adopted {
        println!("{session:<28} {}", runs.iter().map(String::as_str).collect::<Vec<_>>().join(", "));
    }
    for session in &outcome.incomplete {
        println!("{session:<28} as before: no complete rows of that run");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_runs_that_reach_to_the_end_are_shown() {
        let text = |runs: &[&str]| runs.iter().map(|run| (*run).to_owned()).collect::<BTreeSet<_>>();
        // Reloaded once while it was live, rebuilt once in full and once half-way.
        let runs = [("before", true), ("after", true), ("whole", false), ("half", false)].map(|(run, live)| (run.to_owned(), live));
        let held = Held { runs: runs.into(), complete: text(&["after", "whole"]), ..Held::default() };
        assert!(held.can_show(&text(&["whole"])));
        for wrong in [&["half"][..], &["unknown"], &["whole", "unknown"]] {
            assert!(!held.can_show(&text(wrong)), "{wrong:?}");
        }
        let live = Wanted::Live.in_session("s", &held).expect("they are known").expect("there are some");
        assert_eq!(live, text(&["before", "after"]));
        assert!(held.can_show(&live));
    }
}
