//! How are files of a Delta table replaced by others: rows streamed from the ones to the others, and one commit that swaps them?

use std::path::PathBuf;
use std::time::Instant;

use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use datafusion::physical_plan::{SendableRecordBatchStream, execute_stream};
use datafusion::prelude::ident;
use deltalake_core::datafile::writer::DeltaWriter;
use deltalake_core::kernel::transaction::CommitBuilder;
use deltalake_core::kernel::{Action, Add, LogicalFileView, Remove};
use deltalake_core::protocol::DeltaOperation;
use futures::TryStreamExt;

use crate::append::log_files;
use crate::cold::Cold;
use crate::error::TablesError;
use crate::schema;

/// How hard rows are worked on.
#[derive(Clone, Copy)]
pub(crate) enum Pace<'a> {
    /// As fast as it goes.
    Swift,
    /// Resting as long as it works, since a rig runs beside it, and as long as this says so.
    Gentle(&'a (dyn Fn() -> bool + Send + Sync)),
}

impl Cold {
    /// New files, on the disk and not yet named by any commit, with the rows of a plan over this table, in its order, and how
    /// many these are. Rows stream: what is held is a row group of each file that is open.
    pub(crate) async fn rewritten(
        &self,
        rows: LogicalPlanBuilder,
        pace: Pace<'_>,
        session: &SessionState,
    ) -> Result<(Vec<Add>, u64), TablesError> {
        // One partition, so that rows keep their order.
        let config = session.config().clone().with_target_partitions(1);
        let session = SessionStateBuilder::new_from_existing(session.clone()).with_config(config).build();
        let columns: Vec<Expr> = self.schema.fields().iter().map(|field| ident(field.name())).collect();
        let plan = session.create_physical_plan(&rows.project(columns)?.build()?).await?;
        let rows = execute_stream(plan, session.task_ctx())?;
        let mut writer = self.writer().map_err(TablesError::delta(&self.name))?;
        let written = match self.stream(rows, &mut writer, pace).await {
            Ok(written) => written,
            Err(error) => {
                // What was begun is taken back as far as the disk lets us; the rest is vacuumed.
                let _ = writer.abort().await;
                return Err(error);
            }
        };
        let adds = writer.close().await.map_err(TablesError::delta(&self.name))?;
        self.sync(adds.iter().map(|add| PathBuf::from(&add.path)).collect()).await?;
        Ok((adds, written))
    }

    async fn stream(&self, mut rows: SendableRecordBatchStream, writer: &mut DeltaWriter, pace: Pace<'_>) -> Result<u64, TablesError> {
        let mut written = 0;
        let mut began = Instant::now();
        while let Some(batch) = rows.try_next().await? {
            written += batch.num_rows() as u64;
            let batch = schema::widened(&batch, &self.schema);
            self.write(writer, batch).await.map_err(TablesError::delta(&self.name))?;
            if let Pace::Gentle(go_on) = pace {
                if !go_on() {
                    return Err(TablesError::Stopped { reason: "the engine ends".to_owned() });
                }
                tokio::time::sleep(began.elapsed()).await;
                began = Instant::now();
            }
        }
        Ok(written)
    }

    /// What takes files, by their places in the list, out of the table.
    pub(crate) fn removals(&self, files: &[usize], rows_are_gone: bool) -> Result<Vec<Remove>, TablesError> {
        let log = self.table.snapshot().map_err(TablesError::delta(&self.name))?.log_data();
        let views: Vec<LogicalFileView> = log.into_iter().collect();
        Ok(files.iter().map(|file| views[*file].remove_action(rows_are_gone)).collect())
    }

    /// The version in which some files have taken the place of others.
    pub(crate) async fn replaced(self, removed: Vec<Remove>, adds: Vec<Add>, operation: DeltaOperation) -> Result<Self, TablesError> {
        let removed = removed.into_iter().map(Action::Remove);
        let actions = removed.chain(adds.into_iter().map(Action::Add)).collect();
        self.changed(actions, operation).await
    }

    /// The version after one more commit, brought to the disk.
    pub(crate) async fn changed(mut self, actions: Vec<Action>, operation: DeltaOperation) -> Result<Self, TablesError> {
        let state = self.table.snapshot().map_err(TablesError::delta(&self.name))?;
        let commit = CommitBuilder::default().with_actions(actions).build(Some(state), self.table.log_store(), operation);
        let commit = commit.await.map_err(TablesError::delta(&self.name))?;
        self.table.state = Some(commit.snapshot);
        self.sync(log_files(commit.version)).await?;
        Self::pinned(&self.name, &self.place, self.table)
    }
}
