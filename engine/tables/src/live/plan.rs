//! Which queries can be followed, and what of each of their tables does the next evaluation read?
//!
//! A plan is followed along its leftmost tables: the rows that come to these cause rows of the answer, and what is joined to
//! them is looked up. So every row of the answer is final when it is given: filters, projections, UNION ALL and joins that keep or
//! drop a followed row give their rows at once, and a grouping waits until its window is complete.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, Result as PlanResult};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, Operator, TableScan, Volatility};
use datafusion::prelude::ident;
use proprio_core::schema::TIME;

use super::source::{Lookup, Source};
use crate::catalog::{SCHEMA, base_name};
use crate::error::TablesError;
use crate::latest;
use crate::schema::{SESSION, TIME_UTC};
use crate::sql::AsOfJoin;

/// Functions that never fall while their one argument that is a column rises.
const WINDOWS: [&str; 3] = ["time_bucket", "date_bin", "date_trunc"];

/// One table that a query follows.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    /// The scan in the query's plan.
    pub(crate) scan: TableScan,
    /// When its rows may be read; at once when absent.
    pub(crate) hold: Option<HoldKey>,
}

/// Rows wait until nothing can come any more that changes what they give.
#[derive(Clone, Debug)]
pub(crate) struct HoldKey {
    /// Never falls while time rises; over the columns `time` and `time_ns`, once it is a table's.
    pub(crate) key: Expr,
    /// Whether rows with one key make a group, which waits for the last of them.
    pub(crate) is_window: bool,
    /// Tables in which the newest row before theirs is looked for.
    pub(crate) as_of: Vec<String>,
}

/// The tables that a query follows, in the order of the plan.
///
/// # Errors
/// [`TablesError::NotLive`] with the reason, and a rewrite where there is one.
pub(crate) fn followed(plan: &LogicalPlan) -> Result<Vec<Followed>, TablesError> {
    steady(plan)?;
    let mut followed = Vec::new();
    replace(plan, None, &mut |scan, key| {
        let table = scan.table_name.table();
        if scan.table_name.schema().is_some_and(|schema| schema == "information_schema") {
            return Err(not_live(format!("`{table}` tells of tables and has no rows that come"), "follow a table"));
        }
        let (base, suffix) = base_name(table);
        if suffix == latest::SUFFIX {
            return Err(not_live(format!("rows of `{table}` are replaced"), format!("follow `{base}`, whose newest rows they are")));
        }
        followed.push(Followed { scan: scan.clone(), hold: key.cloned() });
        Ok(LogicalPlan::TableScan(scan.clone()))
    })?;
    Ok(followed)
}

/// The plan with something else in the place of each table that it follows; of what it groups, the groups in order.
pub(crate) fn with_leaves(
    plan: &LogicalPlan,
    mut leaf: impl FnMut(usize, &TableScan) -> Result<LogicalPlan, TablesError>,
) -> Result<LogicalPlan, TablesError> {
    let (mut index, mut windowed) = (0, false);
    let plan = replace(plan, None, &mut |scan, key| {
        windowed |= key.is_some_and(|key| key.is_window);
        index += 1;
        leaf(index - 1, scan)
    })?;
    if !windowed {
        return Ok(plan);
    }
    let order: Vec<_> = plan.schema().columns().into_iter().map(|column| Expr::Column(column).sort(true, false)).collect();
    Ok(LogicalPlanBuilder::from(plan).sort(order)?.build()?)
}

/// The plan that reads what has come from `sources`, and looks up everything else as it stands at each evaluation.
pub(crate) fn live(plan: &LogicalPlan, sources: &[Arc<Source>]) -> Result<(LogicalPlan, Vec<Arc<Lookup>>), TablesError> {
    let plan = with_leaves(plan, |index, scan| {
        let source = provider_as_source(sources[index].clone());
        Ok(LogicalPlanBuilder::scan(scan.table_name.clone(), source, None)?.build()?)
    })?;
    let mut lookups = Vec::new();
    let mut look_up = |scan: &TableScan, within_session: bool| -> PlanResult<Option<LogicalPlan>> {
        let provider = source_as_provider(&scan.source)?;
        let known = scan.table_name.schema().is_none_or(|schema| schema == SCHEMA);
        if !known || provider.downcast_ref::<Source>().is_some() || provider.downcast_ref::<Lookup>().is_some() {
            return Ok(None);
        }
        let lookup = Arc::new(Lookup::new(scan.table_name.table(), provider, within_session));
        lookups.push(lookup.clone());
        LogicalPlanBuilder::scan(scan.table_name.clone(), provider_as_source(lookup), None)?.build().map(Some)
    };
    let plan = plan.transform_down_with_subqueries(|node| match &node {
        LogicalPlan::TableScan(scan) => Ok(look_up(scan, false)?.map_or_else(|| Transformed::no(node.clone()), Transformed::yes)),
        LogicalPlan::Extension(extension) => {
            let Some(join) = extension.node.as_any().downcast_ref::<AsOfJoin>() else { return Ok(Transformed::no(node)) };
            let [left, right] = node.inputs()[..] else { return Ok(Transformed::no(node)) };
            let of_session = |(ours, theirs): &(Expr, Expr)| is_session(left, ours) && is_session(right, theirs);
            if !join.equal().iter().any(of_session) {
                return Ok(Transformed::no(node));
            }
            let right = right.clone().transform_down(|inner| match &inner {
                LogicalPlan::TableScan(scan) => Ok(look_up(scan, true)?.map_or_else(|| Transformed::no(inner.clone()), Transformed::yes)),
                _ => Ok(Transformed::no(inner)),
            })?;
            Ok(Transformed::yes(node.with_new_exprs(node.expressions(), vec![left.clone(), right.data])?))
        }
        _ => Ok(Transformed::no(node)),
    });
    let plan = plan?.data;
    Ok((plan, lookups))
}

/// Whether an expression is the session of the rows of the one table that a plan reads.
fn is_session(plan: &LogicalPlan, expr: &Expr) -> bool {
    match plan {
        LogicalPlan::TableScan(_) => matches!(expr, Expr::Column(column) if column.name == SESSION),
        LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) => {
            let key = HoldKey { key: expr.clone(), is_window: false, as_of: Vec::new() };
            let input = plan.inputs()[0];
            below(&key, plan, input).is_ok_and(|key| is_session(input, &key.key))
        }
        _ => false,
    }
}

type Leaf<'a> = dyn FnMut(&TableScan, Option<&HoldKey>) -> Result<LogicalPlan, TablesError> + 'a;

/// Walks to the tables that are followed and replaces them. `key` is what their rows wait by, in terms of the columns of `plan`.
fn replace(plan: &LogicalPlan, key: Option<&HoldKey>, leaf: &mut Leaf<'_>) -> Result<LogicalPlan, TablesError> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let bare = key.map(|key| Ok::<_, TablesError>(HoldKey { key: over_time(&key.key)?, ..key.clone() })).transpose()?;
            leaf(scan, bare.as_ref())
        }
        LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Unnest(_) => {
            let input = plan.inputs()[0];
            let below = key.map(|key| below(key, plan, input)).transpose()?;
            let input = replace(input, below.as_ref(), leaf)?;
            Ok(plan.with_new_exprs(plan.expressions(), vec![input])?)
        }
        LogicalPlan::Union(union) => {
            let inputs = union.inputs.iter().map(|input| {
                let below = key.map(|key| below(key, plan, input)).transpose()?;
                replace(input, below.as_ref(), leaf)
            });
            let inputs = inputs.collect::<Result<Vec<_>, TablesError>>()?;
            Ok(plan.with_new_exprs(Vec::new(), inputs)?)
        }
        LogicalPlan::Join(join) => {
            if !matches!(join.join_type, JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark) {
                let reason = format!("a {} JOIN gives rows again when more come", join.join_type.to_string().to_uppercase());
                return Err(not_live(reason, "write the table to follow first, and what is looked up in a JOIN or LEFT JOIN after it"));
            }
            let left = replace(&join.left, key, leaf)?;
            Ok(plan.with_new_exprs(plan.expressions(), vec![left, join.right.as_ref().clone()])?)
        }
        LogicalPlan::Aggregate(aggregate) => {
            if key.is_some_and(|key| key.is_window) {
                return Err(not_live("a grouping of groups waits for windows of windows", "group once, by the wider window"));
            }
            let as_of = key.map(|key| key.as_of.clone()).unwrap_or_default();
            let window = window_of(aggregate, as_of)?;
            let input = replace(&aggregate.input, Some(&window), leaf)?;
            Ok(plan.with_new_exprs(plan.expressions(), vec![input])?)
        }
        LogicalPlan::Extension(extension) => {
            let Some(join) = extension.node.as_any().downcast_ref::<AsOfJoin>() else { return Err(refused(plan)) };
            let [left, right] = plan.inputs()[..] else { return Err(refused(plan)) };
            let time = join.looks_back_from().ok_or_else(|| {
                not_live("an ASOF JOIN that looks ahead waits for rows that may never come", "match with >=, the newest row before")
            })?;
            let own = HoldKey { key: time.clone(), is_window: false, as_of: Vec::new() };
            let mut key = key.cloned().unwrap_or(own);
            right.apply_with_subqueries(|node| {
                if let LogicalPlan::TableScan(scan) = node {
                    key.as_of.push(base_name(scan.table_name.table()).0.to_owned());
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
            let left = replace(left, Some(&key), leaf)?;
            Ok(plan.with_new_exprs(plan.expressions(), vec![left, right.clone()])?)
        }
        other => Err(refused(other)),
    }
}

/// The window that a grouping groups by.
fn window_of(aggregate: &Aggregate, as_of: Vec<String>) -> Result<HoldKey, TablesError> {
    let mut refused = not_live(
        "a grouping without a window of time never ends",
        "group by one too, such as GROUP BY date_bin(INTERVAL '1 second', time)",
    );
    for expr in aggregate.group_expr.iter().filter(|expr| is_window(expr)) {
        let key = HoldKey { key: expr.clone().unalias(), is_window: true, as_of: as_of.clone() };
        match replace(&aggregate.input, Some(&key), &mut |scan, _| Ok(LogicalPlan::TableScan(scan.clone()))) {
            Ok(_) => return Ok(key),
            // A column that is no time says nothing: another may be one.
            Err(_) if matches!(key.key, Expr::Column(_)) => {}
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// A key over a node's columns in terms of one of its inputs' columns.
fn below(key: &HoldKey, plan: &LogicalPlan, input: &LogicalPlan) -> Result<HoldKey, TablesError> {
    let at = |column: &Column| plan.schema().maybe_index_of_column(column);
    let column = |column: Column| -> PlanResult<Expr> {
        let Some(index) = at(&column) else { return Ok(Expr::Column(column)) };
        Ok(match plan {
            LogicalPlan::Projection(projection) => projection.expr[index].clone().unalias(),
            LogicalPlan::SubqueryAlias(_) | LogicalPlan::Union(_) => Expr::Column(Column::from(input.schema().qualified_field(index))),
            _ => Expr::Column(column),
        })
    };
    let expr = key.key.clone().transform_up(|expr| match expr {
        Expr::Column(found) => Ok(Transformed::yes(column(found)?)),
        other => Ok(Transformed::no(other)),
    });
    Ok(HoldKey { key: expr?.data, ..key.clone() })
}

/// A window over a table's own time, without the table's name.
fn over_time(key: &Expr) -> Result<Expr, TablesError> {
    let mut others = None;
    let expr = key.clone().transform_up(|expr| match expr {
        Expr::Column(column) => {
            if ![TIME, TIME_UTC].contains(&column.name.as_str()) {
                others = Some(column.name.clone());
            }
            Ok(Transformed::yes(ident(column.name)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    if !is_window(&expr.data) {
        return Err(not_live(
            "a window is computed from more than a time",
            "bin `time` itself, such as date_bin(INTERVAL '1 second', time)",
        ));
    }
    match others {
        None => Ok(expr.data),
        Some(name) => Err(not_live(format!("windows are of the rows' own time, not of `{name}`"), "bin `time`")),
    }
}

/// Whether an expression is a column, or never falls while its one column rises.
fn is_window(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) => true,
        Expr::Alias(alias) => is_window(&alias.expr),
        Expr::ScalarFunction(call) if WINDOWS.contains(&call.func.name()) => {
            let (constant, columns): (Vec<_>, Vec<_>) = call.args.iter().partition(|arg| !arg.any_column_refs());
            !constant.is_empty() && columns.len() == 1 && is_window(columns[0])
        }
        Expr::BinaryExpr(binary) => match binary.op {
            Operator::Plus | Operator::Minus => is_window(&binary.left) && matches!(*binary.right, Expr::Literal(..)),
            Operator::Divide => is_window(&binary.left) && is_positive(&binary.right),
            _ => false,
        },
        _ => false,
    }
}

fn is_positive(expr: &Expr) -> bool {
    let Expr::Literal(value, _) = expr else { return false };
    value.to_string().parse::<f64>().is_ok_and(|value| value > 0.0)
}

/// Refuses functions whose value is another at each evaluation: in a plan they stand still.
fn steady(plan: &LogicalPlan) -> Result<(), TablesError> {
    let mut moving = None;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarFunction(call) = expr
                    && call.func.signature().volatility != Volatility::Immutable
                {
                    moving = Some(call.func.name().to_owned());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    match moving {
        None => Ok(()),
        Some(name) => Err(not_live(format!("`{name}()` is another at each moment"), "leave it out: a row comes as soon as it is there")),
    }
}

fn refused(plan: &LogicalPlan) -> TablesError {
    match plan {
        LogicalPlan::Sort(_) => {
            not_live("ORDER BY waits for the last row, which never comes", "leave it out: rows come in the order they were appended in")
        }
        LogicalPlan::Limit(_) => {
            not_live("LIMIT and OFFSET end an answer that has no end", "leave them out and stop reading after so many rows")
        }
        LogicalPlan::Distinct(_) => {
            not_live("DISTINCT and UNION remember every row for ever", "use UNION ALL, or group by the columns and a window of time")
        }
        LogicalPlan::Window(_) => not_live("a window function looks at rows that haven't come", "group by a window of time"),
        LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => not_live("it reads no table", "ask it once, without SUBSCRIBE"),
        other => not_live(format!("{} has no rows that are final when they come", other.display()), "ask it once, without SUBSCRIBE"),
    }
}

fn not_live(reason: impl Into<String>, rewrite: impl Into<String>) -> TablesError {
    TablesError::NotLive { reason: reason.into(), rewrite: rewrite.into() }
}
