//! What is the newest row of each stream? The view `<table>_latest`.

use std::sync::Arc;

use arrow_schema::{DataType, Schema};
use datafusion::catalog::TableProvider;
use datafusion::common::{JoinType, NullEquality, Result};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{ExprFunctionExt, LogicalPlanBuilder};
use datafusion::prelude::{Expr, ident, lit};
use proprio_core::schema::TIME;
use proprio_core::table::system;

use crate::schema::{self, RIG, SESSION};

/// What a table's name carries as a view of its newest rows.
pub(crate) const SUFFIX: &str = "_latest";

const NEWEST: &str = "newest_ns";
const RANK: &str = "rank_in_instant";

/// The newest row per rig and key of a table; of `sessions`, per session, so that it is each session's state.
///
/// The first pass reads three columns of every file, for the newest times; the second joins the whole rows at those
/// times. Of rows at one instant the one with the smallest texts and integers wins, so that the answer is one.
pub(crate) fn view(name: &str, table: Arc<dyn TableProvider>) -> Result<ViewTable> {
    let columns = table.schema();
    let mut groups = vec![RIG];
    groups.extend(schema::key(&columns));
    if name == system::SESSIONS {
        groups.push(SESSION);
    }
    let idents = |names: &[&str]| names.iter().map(|name| ident(*name)).collect::<Vec<Expr>>();
    let scan = || LogicalPlanBuilder::scan(name, provider_as_source(table.clone()), None);
    let newest = scan()?.aggregate(idents(&groups), vec![max(ident(TIME)).alias(NEWEST)])?.alias("newest")?.build()?;

    let qualified = |relation: &str, column: &str| datafusion::common::Column::new(Some(relation), column);
    let left = groups.iter().chain([&TIME]).map(|column| qualified(name, column)).collect::<Vec<_>>();
    let right = groups.iter().chain([&NEWEST]).map(|column| qualified("newest", column)).collect::<Vec<_>>();
    let joined = scan()?.join_detailed(newest, JoinType::Inner, (left, right), None, NullEquality::NullEqualsNull)?;

    let own = |field: &str| Expr::Column(qualified(name, field));
    let rank = row_number()
        .partition_by(groups.iter().map(|group| own(group)).collect())
        .order_by(tie_breakers(&columns).map(|field| own(field).sort(true, true)).collect())
        .build()?
        .alias(RANK);
    let all = columns.fields().iter().map(|field| own(field.name())).collect::<Vec<_>>();
    let plan = joined.window(vec![rank])?.filter(ident(RANK).eq(lit(1u64)))?.project(all)?.build()?;
    Ok(ViewTable::new(plan, None))
}

/// Columns with an exact order. `state` stands first: `ended` comes before `started`.
fn tie_breakers(columns: &Schema) -> impl Iterator<Item = &str> {
    let exact = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::Int64);
    let mut names: Vec<&str> =
        columns.fields().iter().filter(|field| exact(field.data_type())).map(|field| field.name().as_str()).collect();
    names.sort_by_key(|name| *name != "state");
    names.into_iter()
}
