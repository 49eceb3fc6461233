//! What was going on when the engine last stopped, and how it goes on from there (contract 8).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use proprio_operators::REGISTRY;
use proprio_core::{Decision, Event, Recorded, Rig};
use proprio_recording::{Disk, Head, Read, Reader, SessionEntry, Snapshots, Texts};
use proprio_runtime::Plan;

use super::fold::{Fold, rendered};
use super::live::texts;
use super::replay::Replay;
use super::sink::Sink;
use crate::lineage::Origin;

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
    /// Set when the session was another run's until now: the tables' last transactions.
    pub takes_over: Option<BTreeMap<String, i64>>,
    /// How long it took.
    pub seconds: f64,
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(session) = &self.session else { return f.write_str("no session was open") };
        write!(f, "session {session} goes on: ")?;
        match self.snapshot {
            Some(position) => write!(f, "snapshot at {position}, then ")?,
            None => write!(f, "from its start, ")?,
        }
        write!(f, "{} messages in {:.2} s", self.messages, self.seconds)?;
        if self.takes_over.is_some() {
            write!(f, "; under another run than before")?;
        }
        Ok(())
    }
}

/// The fold as it was after the recording's last message. Rows that the tables lack are appended.
///
/// # Errors
/// When the recording can't be read, or rows don't fit their tables.
pub fn recover(plan: Arc<Plan>, disk: &Arc<dyn Disk>, snapshots: &mut Snapshots, sink: &dyn Sink) -> anyhow::Result<(Fold, Recovered)> {
    let begun = Instant::now();
    let sessions = proprio_recording::sessions(&**disk, &plan.rig.name).context("the recording can't be listed")?;
    let Some(open) = sessions.last().filter(|session| session.last.is_none()) else {
        return Ok((Fold::new(plan, Origin::Live), Recovered::default()));
    };
    let mut recovered = Recovered { session: Some(open.id.clone()), ..Recovered::default() };
    let (mut fold, from) = match newest_snapshot(&plan, open, snapshots) {
        Some((fold, position)) => {
            recovered.snapshot = Some(position);
            (fold, position + 1)
        }
        None => {
            let bases = bases(disk, &plan.rig.name, open)?;
            recovered.takes_over = (bases.last_texts != texts(&plan)).then(|| sink.transactions());
            let fold = if recovered.takes_over.is_some() {
                Fold::new(plan.clone(), Origin::Live).obeying_after(i64::MAX)
            } else {
                Fold::new(plan_of(&bases.texts)?, Origin::Live).obeying_after(bases.since)
            };
            (fold, open.first_position)
        }
    };
    let reader = Reader::open(disk, &plan.rig.name, from)?;
    let mut replay = Replay::new(reader, &mut fold, &sink.transactions(), None);
    while let Some(step) = replay.step().context("the open session can't be recovered")? {
        recovered.messages += step.messages as u64;
        sink.append(&step.chunks, step.position).context("recovered rows can't be taken into the tables")?;
    }
    recovered.undeclared = replay.undeclared;
    recovered.seconds = begun.elapsed().as_secs_f64();
    Ok((fold.obeying_after(-1), recovered))
}

/// The newest state of this run in the open session that can be read, and its position.
fn newest_snapshot(plan: &Arc<Plan>, open: &SessionEntry, snapshots: &mut Snapshots) -> Option<(Fold, i64)> {
    let run_id = crate::lineage::of(plan).run_id();
    let snapshot = snapshots.newest(&run_id).inspect_err(|error| tracing::warn!(%error, "no snapshot can be read")).ok()??;
    if snapshot.session != open.id {
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

/// With which files a session's rows are made.
pub struct Bases {
    /// Those it began with, or those of the last restart that took it over.
    pub texts: Texts,
    /// Position of that restart; −1 when there was none. Reloads before it no longer count.
    pub since: i64,
    /// The tables' last transactions at that restart: rows up to there are other runs'.
    pub known: BTreeMap<String, i64>,
    /// How often a restart took it over.
    pub takeovers: usize,
    /// Those in force at its end.
    pub last_texts: Texts,
}

/// With which files a session's rows are made, from the heads of its segments.
///
/// # Errors
/// When the recording can't be read.
pub fn bases(disk: &Arc<dyn Disk>, rig: &str, session: &SessionEntry) -> anyhow::Result<Bases> {
    let mut bases = Bases { texts: session.texts.clone(), since: -1, known: BTreeMap::new(), takeovers: 0, last_texts: session.texts.clone() };
    let heads = proprio_recording::heads(&**disk, rig)?;
    let mine = |head: &&Head| head.session.as_ref().is_some_and(|head| head.start_position == session.first_position);
    for head in heads.iter().filter(mine) {
        if head.texts != bases.last_texts
            && let Some(known) = taken_over(disk, rig, head.first_position)?
        {
            (bases.texts, bases.since, bases.known) = (head.texts.clone(), head.first_position, known);
            bases.takeovers += 1;
        }
        bases.last_texts.clone_from(&head.texts);
    }
    Ok(bases)
}

/// The tables' last transactions when an engine start at this position took the session over from another run.
fn taken_over(disk: &Arc<dyn Disk>, rig: &str, position: i64) -> anyhow::Result<Option<BTreeMap<String, i64>>> {
    // An engine start is about no sensor, so any rig reads it.
    let none = Rig { name: rig.to_owned(), sensors: Vec::new() };
    let first = Reader::open(disk, rig, position)?.next(&none)?;
    let Some(Read::Message(Recorded { event: Event::Decision(Decision::EngineStart { takes_over, .. }), .. })) = first else {
        return Ok(None);
    };
    Ok(takes_over)
}

/// The plan that a segment's texts make.
///
/// # Errors
/// When this build finds mistakes in them.
pub fn plan_of(texts: &Texts) -> anyhow::Result<Arc<Plan>> {
    let loaded = proprio_runtime::load_texts(texts, REGISTRY).map_err(|findings| anyhow::anyhow!("{}", rendered(&findings)));
    Ok(Arc::new(loaded.context("the recorded files make no plan in this build")?.plan))
}
