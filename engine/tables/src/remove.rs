//! How do rows leave a Delta table: the files that hold them are written anew without them, in one commit?

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::DataType;
use datafusion::datasource::provider_as_source;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use datafusion::physical_plan::{collect, execute_stream};
use datafusion::prelude::{cast, ident, lit};
use deltalake_core::kernel::transaction::CommitBuilder;
use deltalake_core::kernel::{Action, Add, LogicalFileView};
use deltalake_core::protocol::DeltaOperation;
use futures::TryStreamExt;

use crate::append::log_files;
use crate::cold::Cold;
use crate::error::TablesError;
use crate::schema;

/// Column that says which file a row lies in, while rows are looked for.
const FILE: &str = "file_of_row";

impl Cold {
    /// The newest version without the rows that `gone` is true of, and how many they were. Statistics pass over files without
    /// such rows; a file keeps the order of what it keeps. The old files lie there until they are vacuumed.
    ///
    /// The condition stands in no log entry: it may name whom to forget.
    pub(crate) async fn without(self, gone: &Expr, session: &SessionState) -> Result<(Self, u64), TablesError> {
        let cold = self.newer(session).await?.unwrap_or(self);
        let held = cold.files_with(gone, session).await?;
        if held.is_empty() {
            return Ok((cold, 0));
        }
        let (mut actions, mut rows) = (Vec::new(), 0);
        let views: Vec<LogicalFileView> = cold.table.snapshot().map_err(TablesError::delta(&cold.name))?.log_data().into_iter().collect();
        for view in views {
            let Some((file, found)) = held.iter().find(|(file, _)| file.ends_with(view.path().as_ref())) else { continue };
            rows += found;
            actions.push(Action::Remove(view.remove_action(true)));
            if view.num_records().is_none_or(|records| records as u64 != *found) {
                actions.extend(cold.rewritten(file, gone, session).await?.into_iter().map(Action::Add));
            }
        }
        let written = actions.iter().filter_map(|action| match action {
            Action::Add(add) => Some(PathBuf::from(&add.path)),
            _ => None,
        });
        cold.sync(written.collect()).await?;
        let cold = cold.changed(actions, DeltaOperation::Delete { predicate: None }, session).await?;
        Ok((cold, rows))
    }

    /// The version after one more commit, brought to the disk.
    pub(crate) async fn changed(
        mut self,
        actions: Vec<Action>,
        operation: DeltaOperation,
        session: &SessionState,
    ) -> Result<Self, TablesError> {
        let state = self.table.snapshot().map_err(TablesError::delta(&self.name))?;
        let commit = CommitBuilder::default().with_actions(actions).build(Some(state), self.table.log_store(), operation);
        let version = commit.await.map_err(TablesError::delta(&self.name))?.version();
        self.table.update_state().await.map_err(TablesError::delta(&self.name))?;
        self.sync(log_files(version)).await?;
        Self::pinned(&self.name, &self.path, self.table, session).await
    }

    /// The files that hold rows of which a condition is true, and how many.
    async fn files_with(&self, condition: &Expr, session: &SessionState) -> Result<Vec<(String, u64)>, TablesError> {
        let provider = self.table.table_provider().with_session(Arc::new(session.clone())).with_file_column(FILE).build().await?;
        let plan = LogicalPlanBuilder::scan(self.name.as_str(), provider_as_source(Arc::new(provider)), None)?
            .filter(condition.clone())?
            .aggregate([cast(ident(FILE), DataType::Utf8).alias("file")], [count(lit(1)).alias("rows")])?
            .build()?;
        let plan = session.create_physical_plan(&plan).await?;
        let mut files = Vec::new();
        for batch in collect(plan, session.task_ctx()).await? {
            let (names, rows) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
            files.extend((0..batch.num_rows()).map(|row| (names.value(row).to_owned(), rows.value(row).cast_unsigned())));
        }
        files.sort();
        Ok(files)
    }

    /// New files with what one file keeps, in its order.
    async fn rewritten(&self, file: &str, gone: &Expr, session: &SessionState) -> Result<Vec<Add>, TablesError> {
        // One partition, so that rows keep their order.
        let config = session.config().clone().with_target_partitions(1);
        let session = SessionStateBuilder::new_from_existing(session.clone()).with_config(config).build();
        let provider = self.table.table_provider().with_session(Arc::new(session.clone())).with_file_paths([file]).build().await?;
        let columns: Vec<Expr> = self.schema.fields().iter().map(|field| ident(field.name())).collect();
        let plan = LogicalPlanBuilder::scan(self.name.as_str(), provider_as_source(Arc::new(provider)), None)?
            .filter(gone.clone().is_not_true())?
            .project(columns)?
            .build()?;
        let plan = session.create_physical_plan(&plan).await?;
        let mut rows = execute_stream(plan, session.task_ctx())?;
        let mut writer = self.writer().map_err(TablesError::delta(&self.name))?;
        while let Some(batch) = rows.try_next().await? {
            let batch = schema::widened(&batch, &self.schema);
            self.write(&mut writer, batch).await.map_err(TablesError::delta(&self.name))?;
        }
        writer.close().await.map_err(TablesError::delta(&self.name))
    }
}
