//! What does an evaluation of a live query read: the rows that have come, and the tables beside them as they stand?

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::prelude::{ident, lit};

use crate::schema::SESSION;

/// Rows that a followed table has for the next evaluation. One plan reads them again and again.
#[derive(Debug)]
pub(crate) struct Source {
    schema: SchemaRef,
    rows: Arc<Rows>,
}

#[derive(Debug)]
struct Rows {
    schema: SchemaRef,
    batches: Mutex<Vec<RecordBatch>>,
}

impl Source {
    /// A table without rows yet.
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Self { rows: Arc::new(Rows { schema: schema.clone(), batches: Mutex::default() }), schema }
    }

    /// The rows that the next evaluation reads.
    pub(crate) fn set(&self, batches: Vec<RecordBatch>) {
        *held(&self.rows.batches) = batches;
    }

    /// Adds the sessions of these rows.
    pub(crate) fn sessions(&self, sessions: &mut BTreeSet<String>) {
        for batch in held(&self.rows.batches).iter() {
            let of = batch.column_by_name(SESSION).expect("every table has its session").as_string::<i32>();
            for row in 0..batch.num_rows() {
                if !sessions.contains(of.value(row)) {
                    sessions.insert(of.value(row).to_owned());
                }
            }
        }
    }
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches = held(&self.batches).clone().into_iter().map(Ok);
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), futures::stream::iter(batches)))
    }
}

#[async_trait]
impl TableProvider for Source {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        columns: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(StreamingTableExec::try_new(self.schema.clone(), vec![self.rows.clone()], columns, [], false, limit)?))
    }
}

/// A table that is looked up: pinned anew before each evaluation, with the columns that it had at the first.
#[derive(Debug)]
pub(crate) struct Lookup {
    name: String,
    schema: SchemaRef,
    pinned: Mutex<Arc<dyn TableProvider>>,
    /// Whether rows of other sessions than those that are evaluated match nothing, so that they need not be read.
    within_session: bool,
    sessions: Mutex<BTreeSet<String>>,
}

impl Lookup {
    /// A table or view by its name in SQL, pinned.
    pub(crate) fn new(name: &str, pinned: Arc<dyn TableProvider>, within_session: bool) -> Self {
        Self { name: name.to_owned(), schema: pinned.schema(), pinned: Mutex::new(pinned), within_session, sessions: Mutex::default() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What the next evaluation reads, which is of some sessions' rows.
    pub(crate) fn set(&self, pinned: Arc<dyn TableProvider>, sessions: &BTreeSet<String>) {
        *held(&self.pinned) = pinned;
        held(&self.sessions).clone_from(sessions);
    }
}

#[async_trait]
impl TableProvider for Lookup {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        held(&self.pinned).supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        session: &dyn Session,
        columns: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let pinned = held(&self.pinned).clone();
        // The table may have gained columns since.
        let stored = pinned.schema();
        let all = (0..self.schema.fields().len()).collect();
        let wanted = columns.unwrap_or(&all).iter().map(|index| stored.index_of(self.schema.field(*index).name()));
        let wanted = wanted.collect::<std::result::Result<Vec<_>, _>>()?;
        let mut filters = filters.to_vec();
        if self.within_session {
            let sessions = held(&self.sessions).iter().map(|session| lit(session.as_str())).collect();
            filters.push(ident(SESSION).in_list(sessions, false));
        }
        pinned.scan(session, Some(&wanted), &filters, limit).await
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
