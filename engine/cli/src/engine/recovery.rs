//! What was going on when the engine last stopped, and how it goes on from there (contract 8).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use proprio_core::table::system::{self, audit_kind};
use proprio_core::{Recorded, SourceStart, TableChunk, TimeNs};
use proprio_recording::{Disk, Reader, SessionEntry, Snapshot, Snapshots};
use proprio_runtime::Plan;

use super::alerts::Alert;
use super::audit::Audit;
use super::fold::Fold;
use super::live::texts;
use super::reigns::History;
use super::replay::Replay;
use super::sink::Sink;
use crate::lineage::Origin;
use crate::plans::plan_of;

/// How an engine came up.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The session that was open.
    pub session: Option<String>,
    /// Position of the snapshot that it began from; none when it replayed the whole session.
    pub snapshot: Option<i64>,
    /// Messages that were run again.
    pub messages: u64,
    /// Messages of sensors that the rig no longer has.
    pub undeclared: u64,
    /// Set when the session was another build's until now: the tables' last transactions.
    pub takes_over: Option<BTreeMap<String, i64>>,
    /// What each sensor had come to, by name.
    pub sources: BTreeMap<String, SourceStart>,
    /// Sessions that had ended with rows uncommitted.
    pub ended: u64,
    /// The engine's start, where it had to be recorded before the session was run again.
    pub start: Option<Recorded>,
    /// How long it took.
    pub seconds: f64,
}

/// Records that another build takes the open session over, from the tables' last transactions on; says whether that is durable.
pub type TakeOver<'a> = dyn FnMut(&Plan, &BTreeMap<String, i64>) -> (Recorded, bool) + 'a;

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.session, self.snapshot) {
            (None, _) => write!(f, "no session was open")?,
            (Some(session), Some(position)) => write!(f, "session {session} goes on from the snapshot at {position}")?,
            (Some(session), None) => write!(f, "session {session} goes on, run again from its start")?,
        }
        if self.ended > 0 {
            write!(f, "; {} that had ended had rows uncommitted", self.ended)?;
        }
        write!(f, "; {} messages in {:.2} s", self.messages, self.seconds)?;
        if self.takes_over.is_some() {
            write!(f, "; made by another build than before")?;
        }
        Ok(())
    }
}

/// The fold as it was after the recording's last message. Rows that the tables lack are appended: of the open session, and of
/// those that ended after the last whole commit round. They are committed on the way as they are while a rig runs, so that they
/// don't all wait in memory.
///
/// # Errors
/// When the recording can't be read, rows don't fit their tables, or these can't be committed.
pub fn recover(
    plan: Arc<Plan>,
    disk: &Arc<dyn Disk>,
    snapshots: &mut Snapshots,
    sink: &dyn Sink,
    take_over: &mut TakeOver<'_>,
) -> anyhow::Result<(Fold, Recovered)> {
    let begun = Instant::now();
    let sessions = proprio_recording::sessions(&**disk, &plan.rig.name).context("the recording can't be listed")?;
    let whole = snapshots.newest_position().context("the snapshots can't be listed")?.unwrap_or(-1);
    let mut recovered = Recovered::default();
    let is_due = |session: &&SessionEntry| session.gone.is_none() && session.last.is_some_and(|last| last.position > whole);
    for session in sessions.iter().filter(is_due) {
        if let Some(fold) = append_ended(disk, &plan.rig.name, session, sink, &mut recovered)? {
            recovered.sources = fold.worker().source_starts();
        }
    }
    let fold = match sessions.last() {
        Some(open) if open.last.is_none() => {
            let fold = resume(&plan, disk, open, snapshots, sink, take_over, &mut recovered)?;
            recovered.sources = fold.worker().source_starts();
            fold
        }
        Some(ended) => {
            if !is_due(&ended) {
                recovered.sources = sources_after(&plan, disk, ended, snapshots)?;
            }
            Fold::new(plan, Origin::Live)
        }
        None => Fold::new(plan, Origin::Live),
    };
    recovered.seconds = begun.elapsed().as_secs_f64();
    Ok((fold, recovered))
}

/// What the sensors had come to when the last session ended with all its rows committed: its last round kept it, or else the
/// session tells again.
fn sources_after(
    plan: &Arc<Plan>,
    disk: &Arc<dyn Disk>,
    ended: &SessionEntry,
    snapshots: &mut Snapshots,
) -> anyhow::Result<BTreeMap<String, SourceStart>> {
    let is_after = |snapshot: &Snapshot| ended.last.is_none_or(|last| snapshot.position >= last.position);
    if let Some((fold, _)) = newest_state(plan, snapshots, is_after) {
        return Ok(fold.worker().source_starts());
    }
    if ended.gone.is_some() {
        return Ok(BTreeMap::new());
    }
    let mut fold = Fold::new(plan.clone(), Origin::Live).obeying_after(i64::MAX);
    let reader = Reader::open(disk, &plan.rig.name, ended.first_position)?;
    let mut replay = Replay::new(reader, &mut fold, Vec::new(), ended.last.map(|last| last.position));
    while replay.step().context("the last session can't be read again")?.is_some() {}
    Ok(fold.worker().source_starts())
}

/// Appends what the tables lack of a session that had ended, and gives its fold at the end; none when this build can't run its
/// files, which must not keep the rig from coming up: a rebuild with files that it takes makes up for it.
fn append_ended(
    disk: &Arc<dyn Disk>,
    rig: &str,
    session: &SessionEntry,
    sink: &dyn Sink,
    recovered: &mut Recovered,
) -> anyhow::Result<Option<Fold>> {
    let history = History::of(disk, rig, session)?;
    let reign = history.last_reign();
    let plan = match plan_of(&reign.texts) {
        Ok(plan) => plan,
        Err(error) => {
            tracing::error!(session = session.id, "rows of an ended session may be missing from the tables: {error:#}");
            return Ok(None);
        }
    };
    let mut fold = Fold::new(plan, Origin::Live).obeying_after(reign.obeys_after);
    let last = session.last.expect("it has ended");
    // Another build may make the missing rows; its name must stand beside them, in the same round at the latest.
    let named = |fold: &Fold, position: i64| {
        let is_known = history.runs.contains(fold.run_id()) || sink.names(&session.id, fold.run_id());
        (!is_known).then(|| fold.lineage_chunk(&session.id, position, last.log_time_ns))
    };
    let stretch = Stretch { from: session.first_position, last: Some(last.position), is_committed: true, named: &named };
    run(disk, rig, &stretch, &mut fold, sink, recovered)?;
    append(sink, named(&fold, last.position).as_slice(), last.position)?;
    recovered.ended += 1;
    Ok(Some(fold))
}

/// The open session's fold, under the files that it was recorded under: others take over by a reload, once it has come up.
fn resume(
    plan: &Arc<Plan>,
    disk: &Arc<dyn Disk>,
    open: &SessionEntry,
    snapshots: &mut Snapshots,
    sink: &dyn Sink,
    take_over: &mut TakeOver<'_>,
    recovered: &mut Recovered,
) -> anyhow::Result<Fold> {
    recovered.session = Some(open.id.clone());
    let history = History::of(disk, &plan.rig.name, open)?;
    let reign = history.last_reign();
    let (recorded, runs_here) = match plan_of(&history.last_texts) {
        Ok(recorded) => (recorded, true),
        Err(error) => {
            tracing::warn!("this build can't run the files that the session ran under; it is run again under today's: {error:#}");
            (plan.clone(), false)
        }
    };
    let mut stretch = Stretch { from: open.first_position, last: None, is_committed: true, named: &|_, _| None };
    let is_in_reign = |snapshot: &Snapshot| snapshot.session == open.id && snapshot.position >= reign.since;
    let mut fold = if history.last_texts != texts(&recorded) {
        // Its reign is recorded before the first of its rows is committed: until it is, they all wait.
        let known = sink.transactions();
        let (start, is_durable) = take_over(&recorded, &known);
        (stretch.last, stretch.is_committed) = (Some(start.position - 1), is_durable);
        (recovered.takes_over, recovered.start) = (Some(known), Some(start));
        // From the first files on, reload by reload: rows leave at the positions at which they left then.
        match plan_of(&history.reigns[0].texts) {
            Ok(first) if runs_here => Fold::new(first, Origin::Live),
            _ => Fold::new(recorded, Origin::Live).obeying_after(i64::MAX),
        }
    } else if let Some((fold, position)) = newest_state(&recorded, snapshots, is_in_reign) {
        recovered.snapshot = Some(position);
        stretch.from = position + 1;
        fold
    } else {
        Fold::new(plan_of(&reign.texts)?, Origin::Live).obeying_after(reign.obeys_after)
    };
    run(disk, &plan.rig.name, &stretch, &mut fold, sink, recovered)?;
    Ok(fold.obeying_after(-1))
}

/// What of a recording is run again.
struct Stretch<'a> {
    from: i64,
    /// Where to stop; at the recording's end when absent.
    last: Option<i64>,
    /// Whether its rows may be committed on the way.
    is_committed: bool,
    /// The row of `lineage` that must be there before rows are committed, at a position.
    named: &'a dyn Fn(&Fold, i64) -> Option<TableChunk>,
}

/// Runs recorded messages through a fold, and appends what the tables lack of their rows.
fn run(
    disk: &Arc<dyn Disk>,
    rig: &str,
    stretch: &Stretch<'_>,
    fold: &mut Fold,
    sink: &dyn Sink,
    recovered: &mut Recovered,
) -> anyhow::Result<()> {
    let transactions = sink.transactions();
    let in_table = transactions.get(system::ALERTS).copied();
    let mut replay = Replay::new(Reader::open(disk, rig, stretch.from)?, fold, transactions.into_values().collect(), stretch.last);
    while let Some(step) = replay.step().context("a session can't be recovered")? {
        recovered.messages += step.messages as u64;
        append(sink, &step.chunks, step.position)?;
        for chunk in step.chunks.iter().filter(|chunk| chunk.table == system::ALERTS && Some(&chunk.position) > in_table.as_ref()) {
            withhold(chunk, rig, step.log_time_ns, sink)?;
        }
        if stretch.is_committed && sink.should_commit() {
            append(sink, (stretch.named)(replay.fold, step.position).as_slice(), step.position)?;
            sink.commit_and_wait(step.position).context("recovered rows can't be committed to the tables")?;
        }
    }
    recovered.undeclared += replay.undeclared;
    Ok(())
}

fn append(sink: &dyn Sink, chunks: &[TableChunk], position: i64) -> anyhow::Result<()> {
    sink.append(chunks, position).context("recovered rows can't be taken into the tables")
}

/// Alerts that come late go to the tables only (contract 9): they may have gone out before, and help nobody now.
fn withhold(chunk: &TableChunk, rig: &str, now_ns: TimeNs, sink: &dyn Sink) -> anyhow::Result<()> {
    for alert in Alert::of_chunk(chunk, rig, false) {
        let audit = Audit { kind: audit_kind::ALERT_WITHHELD, what: Some(&alert.id), ..Audit::default() };
        let row = audit.chunk(now_ns, &chunk.session, &chunk.run_id, chunk.position);
        sink.append_operational(&row).context("the audit can't be written")?;
    }
    Ok(())
}

/// The newest state of this run that can be read, with its position; none when it does not fit.
fn newest_state(plan: &Arc<Plan>, snapshots: &mut Snapshots, fits: impl FnOnce(&Snapshot) -> bool) -> Option<(Fold, i64)> {
    let run_id = crate::lineage::run_id(plan);
    let snapshot = snapshots.newest(&run_id).inspect_err(|error| tracing::warn!(%error, "no snapshot can be read")).ok()??;
    if !fits(&snapshot) {
        return None;
    }
    match Fold::restore(plan.clone(), &snapshot.state) {
        Ok(fold) => Some((fold, snapshot.position)),
        Err(error) => {
            tracing::warn!(position = snapshot.position, %error, "a snapshot does not fit; the session is run again from its start");
            None
        }
    }
}
