//! How does a query read one table: hot batches and a Delta version, as one?

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result};
use datafusion::datasource::TableType;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;

use crate::curtain::{self, Curtain};
use crate::hot::HotBatch;
use crate::scan::ColdScan;
use crate::schema::{RUN, SESSION};

/// One table as a query sees it: the rows that were there when it was pinned, whatever happens since.
#[derive(Clone, Debug)]
pub(crate) struct PinnedTable {
    pub(crate) schema: SchemaRef,
    pub(crate) hot: Vec<Arc<HotBatch>>,
    pub(crate) cold: Option<Arc<ColdScan>>,
    /// What a row meets that is shown; `None` shows all.
    pub(crate) shown: Option<Arc<Expr>>,
    /// What a row meets that whoever asks may see; `None` lets all be seen.
    pub(crate) seen: Option<Arc<Expr>>,
}

impl PinnedTable {
    /// The table with every run of every session.
    pub(crate) fn whole(&self) -> Self {
        Self { shown: None, ..self.clone() }
    }

    /// The columns of hot and cold rows, not yet narrowed to those that are shown.
    async fn rows(
        &self,
        session: &dyn Session,
        columns: &[usize],
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = Arc::new(self.schema.project(columns)?);
        let mut inputs: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        if let Some(cold) = &self.cold {
            let stored = cold.schema();
            let wanted = schema.fields().iter().map(|field| stored.index_of(field.name())).collect::<Result<Vec<_>, _>>()?;
            let plan = cold.scan(session, Some(&wanted), filters, limit).await?;
            inputs.push(in_schema(plan, &schema)?);
        }
        if !self.hot.is_empty() {
            let batches: Vec<RecordBatch> = self.hot.iter().map(|batch| batch.rows.clone()).collect();
            let source = MemorySourceConfig::try_new(&[batches], self.schema.clone(), Some(columns.to_vec()))?.with_limit(limit);
            inputs.push(datafusion::datasource::source::DataSourceExec::from_data_source(source));
        }
        Ok(match inputs.len() {
            0 => Arc::new(EmptyExec::new(schema)),
            1 => inputs.remove(0),
            _ => UnionExec::try_new(inputs)?,
        })
    }
}

#[async_trait]
impl TableProvider for PinnedTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Filters skip cold files and row groups; the rows that remain are filtered once more, for hot and cold alike.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let conditions = [&self.shown, &self.seen].into_iter().flatten();
        let Some(condition) = conditions.map(|condition| condition.as_ref().clone()).reduce(Expr::and) else {
            return self.rows(session, &columns, filters, limit).await;
        };
        let mut wide = columns.clone();
        for column in [SESSION, RUN] {
            let column = self.schema.index_of(column)?;
            if !wide.contains(&column) {
                wide.push(column);
            }
        }
        let harmless: Vec<Expr> = filters.iter().filter(|filter| self.seen.is_none() || curtain::cannot_fail(filter)).cloned().collect();
        // Rows that aren't shown don't count towards a limit.
        let rows = self.rows(session, &wide, &harmless, None).await?;
        let condition = session.create_physical_expr(condition, &DFSchema::try_from(rows.schema())?)?;
        let kept: Arc<dyn ExecutionPlan> = Arc::new(FilterExec::try_new(condition, rows)?);
        let kept = if wide.len() == columns.len() { kept } else { in_schema(kept, &Arc::new(self.schema.project(&columns)?))? };
        Ok(if self.seen.is_some() { Curtain::before(kept) } else { kept })
    }
}

/// The plan's columns by name, in the order and types of `schema`.
fn in_schema(plan: Arc<dyn ExecutionPlan>, schema: &SchemaRef) -> Result<Arc<dyn ExecutionPlan>> {
    let held = plan.schema();
    let same = held.fields().len() == schema.fields().len()
        && held.fields().iter().zip(schema.fields()).all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type());
    if same {
        return Ok(plan);
    }
    let column = |field: &Arc<arrow_schema::Field>| -> Result<(Arc<dyn PhysicalExpr>, String)> {
        let index = held.index_of(field.name())?;
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), index));
        let fits = held.field(index).data_type() == field.data_type();
        let column = if fits { column } else { Arc::new(CastExpr::new(column, field.data_type().clone(), None)) };
        Ok((column, field.name().clone()))
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(ProjectionExec::try_new(columns, plan)?))
}
