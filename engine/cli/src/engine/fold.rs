//! What do recorded messages give? The worker's rows, and the rows that name the run behind them. Live, recovery, replay and
//! rebuild all come through here, so that they can't differ.

use std::sync::Arc;

use anyhow::Context as _;
use proprio_core::table::system;
use proprio_core::{Decision, Event, Recorded, TableChunk};
use proprio_operators::REGISTRY;
use proprio_runtime::lineage::Lineage;
use proprio_runtime::worker::Reloaded;
use proprio_runtime::{Plan, Worker};
use proprio_zenoh::wire;

use crate::lineage::{self, Origin};

/// A worker, and the lineage of what it makes.
pub struct Fold {
    worker: Worker,
    plan: Arc<Plan>,
    run_id: String,
    lineage: Lineage,
    origin: Origin,
    reloaded: Reloaded,
    /// Whether recorded reloads are obeyed; one that runs another plan over an old recording keeps its own.
    pub obeys_reloads: bool,
}

impl Fold {
    /// A fold before its first session.
    pub fn new(plan: Arc<Plan>, origin: Origin) -> Self {
        let lineage = lineage::of(&plan);
        let run_id = lineage.run_id();
        let worker = Worker::new(plan.clone(), wire::decode, run_id.clone());
        Self { worker, plan, run_id, lineage, origin, reloaded: Reloaded::default(), obeys_reloads: true }
    }

    /// A live fold as a snapshot left it.
    ///
    /// # Errors
    /// When the bytes are no snapshot of this plan.
    pub fn restore(plan: Arc<Plan>, state: &[u8]) -> anyhow::Result<Self> {
        let lineage = lineage::of(&plan);
        let run_id = lineage.run_id();
        let worker = Worker::restore(plan.clone(), wire::decode, run_id.clone(), state)?;
        Ok(Self { worker, plan, run_id, lineage, origin: Origin::Live, reloaded: Reloaded::default(), obeys_reloads: true })
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
    pub fn reloaded(&self) -> &Reloaded {
        &self.reloaded
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
            Event::Decision(Decision::Reload { texts, .. }) if self.obeys_reloads => {
                let loaded = proprio_runtime::load_texts(texts, REGISTRY);
                let loaded = loaded.map_err(|findings| anyhow::anyhow!("{}", rendered(&findings)));
                let plan = Arc::new(loaded.with_context(|| format!("the reload at position {} makes no plan", message.position))?.plan);
                self.lineage = lineage::of(&plan);
                self.run_id = self.lineage.run_id();
                self.reloaded = self.worker.reload(plan.clone(), self.run_id.clone());
                self.plan = plan;
                self.name_run(message, chunks);
            }
            // Another build or other files took over at a restart: the open session goes on under their name.
            Event::Decision(Decision::EngineStart { run_id, takes_over: true, .. }) if *run_id == self.run_id => {
                self.name_run(message, chunks);
            }
            _ => {}
        }
        Ok(())
    }

    /// The row of `lineage` for this run in the open session.
    fn name_run(&self, message: &Recorded, chunks: &mut Vec<TableChunk>) {
        chunks.push(TableChunk {
            table: system::LINEAGE.to_owned(),
            key: None,
            session: self.session().to_owned(),
            run_id: self.run_id.clone(),
            rows: lineage::row(&self.lineage, self.origin, message.log_time_ns),
            position: message.position,
        });
    }
}

/// Whether a message ends its chunk because the fold acts on it.
fn is_barrier(event: &Event) -> bool {
    matches!(
        event,
        Event::Decision(Decision::SessionStart { .. } | Decision::SessionStop | Decision::Reload { .. } | Decision::EngineStart { .. })
    )
}

/// Findings as one text.
pub fn rendered(findings: &[proprio_runtime::Diagnostic]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
