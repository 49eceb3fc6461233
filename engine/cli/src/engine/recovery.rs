//! What was going on when the engine last stopped, and how it goes on from there (contract 8).

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use proprio_operators::REGISTRY;
use proprio_recording::{Disk, Reader, SessionEntry, Snapshots};
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
    /// Whether the session was another run's until now.
    pub takes_over: bool,
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
        if self.takes_over {
            write!(f, "; under another run than before")?;
        }
        Ok(())
    }
}

/// The fold as it was after the recording's last message. Rows that the tables lack are appended.
///
/// # Errors
/// When the recording can't be read, or rows don't fit their tables.
pub fn recover(plan: Arc<Plan>, disk: &Arc<dyn Disk>, snapshots: &Snapshots, sink: &dyn Sink) -> anyhow::Result<(Fold, Recovered)> {
    let begun = Instant::now();
    let sessions = proprio_recording::sessions(&**disk, &plan.rig.name).context("the recording can't be listed")?;
    let Some(open) = sessions.last().filter(|session| session.end.is_none()) else {
        return Ok((Fold::new(plan, Origin::Live), Recovered::default()));
    };
    let mut recovered = Recovered { session: Some(open.session.clone()), ..Recovered::default() };
    recovered.takes_over = open.last_texts != texts(&plan);
    let (mut fold, from) = begin(&plan, open, snapshots, &mut recovered)?;
    let reader = Reader::open(disk.clone(), &plan.rig.name, from)?;
    let mut replay = Replay::new(reader, &mut fold, sink.transactions(), None);
    while let Some(step) = replay.step().context("the open session can't be recovered")? {
        recovered.messages += step.messages as u64;
        sink.append(&step.chunks, step.position).context("recovered rows can't be taken into the tables")?;
    }
    recovered.undeclared = replay.undeclared;
    fold.obeys_reloads = true;
    recovered.seconds = begun.elapsed().as_secs_f64();
    Ok((fold, recovered))
}

/// The fold to begin with, and the first position it needs: from the newest snapshot of this run, or at the session's start.
fn begin(plan: &Arc<Plan>, open: &SessionEntry, snapshots: &Snapshots, recovered: &mut Recovered) -> anyhow::Result<(Fold, i64)> {
    let run_id = crate::lineage::of(plan).run_id();
    let mut newest = snapshots.newest(&run_id, &open.session);
    while let Some(snapshot) = newest {
        match Fold::restore(plan.clone(), &snapshot.state) {
            Ok(fold) => {
                recovered.snapshot = Some(snapshot.position);
                return Ok((fold, snapshot.position + 1));
            }
            Err(error) => tracing::warn!(position = snapshot.position, %error, "a snapshot does not fit; an older one or none is taken"),
        }
        newest = snapshots.before(snapshot.position, &run_id, &open.session);
    }
    if recovered.takes_over {
        let mut fold = Fold::new(plan.clone(), Origin::Live);
        fold.obeys_reloads = false;
        return Ok((fold, open.first_position));
    }
    let loaded = proprio_runtime::load_texts(&open.texts, REGISTRY).map_err(|findings| anyhow::anyhow!("{}", rendered(&findings)));
    let first = loaded.context("the files that the session began with make no plan")?.plan;
    Ok((Fold::new(Arc::new(first), Origin::Live), open.first_position))
}
