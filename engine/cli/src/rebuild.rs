//! How does a recorded session become rows of another run, beside those that it has?

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use proprio_core::table::system;
use proprio_core::{Decision, Event, Recorded, TableChunk, TimeNs, rows};
use proprio_recording::{Disk, Reader};
use proprio_tables::{COMMIT_BYTES, Place, Store, TablesError};
use tokio::runtime::Handle;

use crate::again::Again;
use crate::engine::fold::Fold;
use crate::engine::replay::Replay;
use crate::engine::sink::Sink;
use crate::recorded::Extent;

/// How often a commit is tried: other sessions and the running engine commit to the same tables.
const ATTEMPTS: u32 = 20;
/// Pause before the first try after one that failed; it grows by itself each time.
const PAUSE: Duration = Duration::from_millis(20);

/// What a session gave.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rebuilt {
    /// Rows of the run.
    pub rows: u64,
    /// Messages of sensors that the new rig does not have.
    pub undeclared: u64,
    /// How much time it covers, in s: of its samples, or of its recording where that is longer.
    pub duration_s: f64,
    /// How long it took, in s.
    pub took_s: f64,
}

/// A session on its way through another plan.
pub struct Rebuild<'a> {
    /// Where the messages lie.
    pub disk: &'a Arc<dyn Disk>,
    /// Where the tables lie.
    pub place: &'a Place,
    /// The session, which is over and whole.
    pub session: &'a Extent,
    /// What it runs under.
    pub again: &'a Again,
    /// Where the tables are written from.
    pub runtime: &'a Handle,
}

impl Rebuild<'_> {
    /// Runs the session's messages through the plan, and commits its rows under `<run_id>/<session>`; none when that has been done
    /// before. One that was stopped half-way goes on: rows up to a table's last transaction are there already.
    ///
    /// The rows of `sessions` are committed last, after all others: whose are there, is complete.
    ///
    /// # Errors
    /// When the recording is damaged, or the tables can't be written.
    pub fn run(&self, heard: impl Fn(TimeNs)) -> anyhow::Result<Option<Rebuilt>> {
        let begun = Instant::now();
        let session = self.session;
        let (last, over_ns) = session.last.context("the session is open")?;
        let plan = &self.again.plan;
        let mut fold = Fold::again(self.again);
        let app_id = format!("{}/{}", fold.run_id(), session.id);
        let store = self.runtime.block_on(Store::open_as(self.place, &plan.rig.name, &app_id, &plan.tables))?;
        if store.committed_position(system::SESSIONS).is_some() {
            return Ok(None);
        }
        let reader = Reader::open(self.disk, &plan.rig.name, session.first_position)?;
        let mut rows = Rows::new(self, &store);
        let mut told_ns = session.first_log_time_ns;
        let ends = Sink::transactions(&store).into_values().collect();
        let mut replay = Replay::new(reader, &mut fold, ends, Some(last)).amended(self.again.decisions.clone());
        while let Some(step) = replay.step()? {
            rows.take(step.chunks, step.position)?;
            heard(step.log_time_ns - told_ns);
            told_ns = step.log_time_ns;
        }
        let undeclared = replay.undeclared;
        let mut end = last;
        if replay.fold.session() == session.id {
            // It ended with the start of the next, which is not its own message.
            end += 1;
            let stop = Recorded { position: end, log_time_ns: over_ns, event: Event::Decision(Decision::SessionStop) };
            let messages = replay.stop(stop);
            rows.take(replay.fold.advance(&messages)?, end)?;
        }
        let sessions = proprio_recording::sessions(&**self.disk, &plan.rig.name)?;
        let is_whole = sessions.iter().any(|found| found.first_position == session.first_position && found.gone.is_none());
        anyhow::ensure!(is_whole, "messages of the session were removed meanwhile; its rows are not complete and stay unseen");
        let (count, newest_ns) = rows.finish(end)?;
        let duration_ns = (newest_ns - session.from_ns).max(told_ns - session.first_log_time_ns);
        Ok(Some(Rebuilt { rows: count, undeclared, duration_s: duration_ns as f64 * 1e-9, took_s: begun.elapsed().as_secs_f64() }))
    }
}

/// Rows on their way into the tables, in rounds.
struct Rows<'a> {
    store: &'a Store,
    runtime: &'a Handle,
    /// Rows of `sessions`, held back to the end.
    sessions: Vec<TableChunk>,
    count: u64,
    /// Tables whose rows come at a sensor's rate, and the newest of these.
    high_rate: BTreeSet<&'a str>,
    newest_ns: TimeNs,
}

impl<'a> Rows<'a> {
    fn new(of: &Rebuild<'a>, store: &'a Store) -> Self {
        let high_rate = of.again.plan.tables.iter().filter(|table| table.high_rate).map(|table| table.name.as_str()).collect();
        Self { store, runtime: of.runtime, sessions: Vec::new(), count: 0, high_rate, newest_ns: of.session.from_ns }
    }

    fn take(&mut self, mut chunks: Vec<TableChunk>, position: i64) -> anyhow::Result<()> {
        self.count += chunks.iter().map(|chunk| chunk.rows.num_rows() as u64).sum::<u64>();
        let sampled = chunks.iter().filter(|chunk| self.high_rate.contains(chunk.table.as_str()));
        self.newest_ns = sampled.filter_map(|chunk| rows::times(&chunk.rows).last().copied()).fold(self.newest_ns, TimeNs::max);
        self.sessions.extend(chunks.extract_if(.., |chunk| chunk.table == system::SESSIONS));
        if self.store.append(&chunks, position)? >= COMMIT_BYTES {
            self.commit(position)?;
        }
        Ok(())
    }

    /// Commits the last rows; returns how many there were, and the newest time of those at a rate.
    fn finish(self, position: i64) -> anyhow::Result<(u64, TimeNs)> {
        self.commit(position)?;
        self.store.append(&self.sessions, position)?;
        self.commit(position)?;
        Ok((self.count, self.newest_ns))
    }

    fn commit(&self, position: i64) -> anyhow::Result<()> {
        for attempt in 1.. {
            match self.runtime.block_on(self.store.commit(position)) {
                Ok(()) => break,
                Err(error @ TablesError::StaleCommit { .. }) => return Err(error).context("another process rebuilds this session"),
                Err(error) if attempt == ATTEMPTS => return Err(error).context("the tables can't be written"),
                Err(error) => {
                    tracing::debug!(%error, attempt, "a commit is tried again");
                    std::thread::sleep(PAUSE * attempt);
                }
            }
        }
        Ok(())
    }
}
