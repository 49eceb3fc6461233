//! What is the newest row of each stream? The view `<table>_latest`.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Column, JoinType, NullEquality, Result};
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::functions_aggregate::expr_fn::{max, min};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlanBuilder};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{ident, lit};
use proprio_core::schema::TIME;
use proprio_core::table::system;

use crate::provider::PinnedTable;
use crate::schema::{self, RIG, SESSION};

/// What a table's name carries as a view of its newest rows.
pub(crate) const SUFFIX: &str = "_latest";

const NEWEST: &str = "newest_ns";
const RANK: &str = "rank_in_instant";

/// The newest row per rig and key of a table; of `sessions`, per session, so that it is each session's state.
///
/// A first pass reads three columns for the newest time of each stream. The second reads whole rows, but only from the
/// oldest of those times on, so that files and row groups before it are skipped. Of rows at one instant the one with
/// the smallest texts and integers is given, so that the answer is one.
#[derive(Debug)]
pub(crate) struct Latest {
    name: String,
    table: Arc<PinnedTable>,
    groups: Vec<String>,
}

impl Latest {
    pub(crate) fn of(name: &str, table: Arc<PinnedTable>) -> Self {
        let key = schema::key(&table.schema).map(str::to_owned);
        let session = (name == system::SESSIONS).then(|| SESSION.to_owned());
        let groups = [Some(RIG.to_owned()), key, session].into_iter().flatten().collect();
        Self { name: name.to_owned(), table, groups }
    }

    fn scan(&self) -> Result<LogicalPlanBuilder> {
        LogicalPlanBuilder::scan(self.name.as_str(), provider_as_source(self.table.clone()), None)
    }

    /// The newest time of each stream.
    fn newest(&self) -> Result<LogicalPlanBuilder> {
        let groups: Vec<Expr> = self.groups.iter().map(ident).collect();
        self.scan()?.aggregate(groups, vec![max(ident(TIME)).alias(NEWEST)])
    }

    /// The oldest of the streams' newest times; `None` when there are no rows.
    async fn since(&self, session: &dyn Session) -> Result<Option<i64>> {
        let plan = self.newest()?.aggregate(Vec::<Expr>::new(), vec![min(ident(NEWEST))])?.build()?;
        let plan = session.create_physical_plan(&plan).await?;
        let batches = collect(plan, session.task_ctx()).await?;
        Ok(batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().iter().flatten()).next())
    }
}

#[async_trait]
impl TableProvider for Latest {
    fn schema(&self) -> SchemaRef {
        self.table.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let since = self.since(session).await?.unwrap_or(i64::MAX);
        let rows = || -> Result<LogicalPlanBuilder> { self.scan()?.filter(ident(TIME).gt_eq(lit(since))) };
        let groups: Vec<Expr> = self.groups.iter().map(ident).collect();
        let newest = rows()?.aggregate(groups, vec![max(ident(TIME)).alias(NEWEST)])?.alias("newest")?.build()?;

        let own = |column: &str| Column::new(Some(self.name.as_str()), column);
        let left = self.groups.iter().map(|group| own(group)).chain([own(TIME)]).collect::<Vec<_>>();
        let right = self.groups.iter().map(String::as_str).chain([NEWEST]);
        let right = right.map(|column| Column::new(Some("newest"), column)).collect::<Vec<_>>();
        let joined = rows()?.join_detailed(newest, JoinType::Inner, (left, right), None, NullEquality::NullEqualsNull)?;

        let columns = self.schema();
        let rank = row_number()
            .partition_by(self.groups.iter().map(|group| Expr::Column(own(group))).collect())
            .order_by(tie_breakers(&columns).map(|column| Expr::Column(own(column)).sort(true, true)).collect())
            .build()?
            .alias(RANK);
        let wanted = projection.cloned().unwrap_or_else(|| (0..columns.fields().len()).collect());
        let wanted: Vec<Expr> = wanted.into_iter().map(|index| Expr::Column(own(columns.field(index).name()))).collect();
        let plan = joined.window(vec![rank])?.filter(ident(RANK).eq(lit(1u64)))?.project(wanted)?.build()?;
        session.create_physical_plan(&plan).await
    }
}

/// Columns with an exact order. `state` stands first: `ended` comes before `started`.
fn tie_breakers(columns: &Schema) -> impl Iterator<Item = &str> {
    let exact = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::Int64);
    let mut names: Vec<&str> =
        columns.fields().iter().filter(|field| exact(field.data_type())).map(|field| field.name().as_str()).collect();
    names.sort_by_key(|name| *name != "state");
    names.into_iter()
}
