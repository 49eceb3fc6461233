//! What do recorded messages give? The worker's rows, and the rows that name the run behind them. Live, recovery, replay and
//! rebuild all come through here, so that they can't differ.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use proprio_core::table::system;
use proprio_core::{Decision, Event, Recorded, TableChunk, TimeNs};
use proprio_runtime::lineage::Lineage;
use proprio_runtime::worker::Reloaded;
use proprio_runtime::{Plan, Worker};
use proprio_zenoh::wire;

use crate::again::Again;
use crate::lineage::{self, Origin};
use crate::plans::plan_of;

/// A worker, and the lineage of what it makes.
pub struct Fold {
    worker: Worker,
    plan: Arc<Plan>,
    run_id: String,
    lineage: Lineage,
    origin: Origin,
    reloaded: Option<Reloaded>,
    /// Reloads recorded after this position are obeyed; one that runs another plan over an old recording keeps its own.
    obeys_after: i64,
}

impl Fold {
    /// A fold before its first session.
    pub fn new(plan: Arc<Plan>, origin: Origin) -> Self {
        let lineage = lineage::of(&plan);
        Self::named(plan, lineage, origin)
    }

    /// A fold that runs a session again. Reloads in it are not obeyed.
    pub fn again(again: &Again) -> Self {
        Self::named(again.plan.clone(), again.lineage.clone(), again.origin).obeying_after(i64::MAX)
    }

    fn named(plan: Arc<Plan>, lineage: Lineage, origin: Origin) -> Self {
        let run_id = lineage.run_id();
        let worker = Worker::new(plan.clone(), wire::decode, run_id.clone());
        Self { worker, plan, run_id, lineage, origin, reloaded: None, obeys_after: -1 }
    }

    /// A live fold as a snapshot left it.
    ///
    /// # Errors
    /// When the bytes are no snapshot of this plan.
    pub fn restore(plan: Arc<Plan>, state: &[u8]) -> anyhow::Result<Self> {
        let lineage = lineage::of(&plan);
        let run_id = lineage.run_id();
        let worker = Worker::restore(plan.clone(), wire::decode, run_id.clone(), state)?;
        Ok(Self { worker, plan, run_id, lineage, origin: Origin::Live, reloaded: None, obeys_after: -1 })
    }

    /// The same, but for reloads that were recorded up to a position: they had been replaced by this plan.
    #[must_use]
    pub fn obeying_after(self, position: i64) -> Self {
        Self { obeys_after: position, ..self }
    }

    /// The same, which measures what its time is spent on.
    #[must_use]
    pub fn timed(mut self) -> Self {
        self.worker.lend_stopwatch(Instant::now);
        self
    }

    /// The worker.
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// The plan in force.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The run in force.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// What the last reload kept, and what began anew.
    pub fn reloaded(&self) -> Option<&Reloaded> {
        self.reloaded.as_ref()
    }

    /// The open session's id; empty when none is open.
    pub fn session(&self) -> &str {
        self.worker.session().map_or("", |session| &session.id)
    }

    /// Takes messages in recording order, and gives their rows.
    ///
    /// # Errors
    /// When a recorded reload's files make no plan, which this build refuses and another took.
    pub fn advance(&mut self, messages: &[Recorded]) -> anyhow::Result<Vec<TableChunk>> {
        let mut chunks = Vec::new();
        let mut rest = messages;
        while !rest.is_empty() {
            let end = rest.iter().position(|message| is_barrier(&message.event)).map_or(rest.len(), |index| index + 1);
            let (now, later) = rest.split_at(end);
            chunks.extend(self.worker.advance(now));
            self.after(&now[end - 1], &mut chunks)?;
            rest = later;
        }
        Ok(chunks)
    }

    /// What a barrier brings beside the worker's rows.
    fn after(&mut self, message: &Recorded, chunks: &mut Vec<TableChunk>) -> anyhow::Result<()> {
        match &message.event {
            Event::Decision(Decision::SessionStart { .. }) => self.name_run(message, chunks),
            Event::Decision(Decision::Reload { texts, .. }) if message.position > self.obeys_after => {
                let plan = plan_of(texts).with_context(|| format!("the reload at position {} makes no plan", message.position))?;
                self.lineage = lineage::of(&plan);
                self.run_id = self.lineage.run_id();
                let mut reloaded = self.worker.reload(plan.clone(), self.run_id.clone());
                chunks.append(&mut reloaded.chunks);
                self.reloaded = Some(reloaded);
                self.plan = plan;
                self.name_run(message, chunks);
            }
            // Another build or other files took over at a restart: the open session goes on under their name.
            Event::Decision(Decision::EngineStart { run_id, takes_over: Some(_), .. }) if *run_id == self.run_id => {
                self.name_run(message, chunks);
            }
            _ => {}
        }
        Ok(())
    }

    /// The row of `lineage` for this run in a session.
    pub fn lineage_chunk(&self, session: &str, position: i64, time_ns: TimeNs) -> TableChunk {
        TableChunk {
            table: system::LINEAGE.to_owned(),
            key: None,
            session: session.to_owned(),
            run_id: self.run_id.clone(),
            rows: lineage::row(&self.lineage, self.origin, time_ns),
            position,
        }
    }

    /// Names this run in the open session, from a message on.
    fn name_run(&self, message: &Recorded, chunks: &mut Vec<TableChunk>) {
        chunks.push(self.lineage_chunk(self.session(), message.position, message.log_time_ns));
    }
}

/// Whether a message ends its chunk because the fold acts on it.
fn is_barrier(event: &Event) -> bool {
    matches!(
        event,
        Event::Decision(Decision::SessionStart { .. } | Decision::SessionStop | Decision::Reload { .. } | Decision::EngineStart { .. })
    )
}
