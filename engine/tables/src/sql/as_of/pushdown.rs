//! Which conditions on an as-of join's answer may narrow its inputs?
//!
//! One on the left rows alone narrows these. What it says of keys holds for the right rows too, and so does an end of time: the right
//! row before a left one that is at most `t` is at most `t` itself, so that files and row groups beyond are skipped.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, LogicalPlan, Operator};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::AsOfJoin;

/// Moves the conditions of a filter above an as-of join below it, where they mean the same.
#[derive(Debug)]
pub(in crate::sql) struct PushFilterBelowAsOf;

impl OptimizerRule for PushFilterBelowAsOf {
    fn name(&self) -> &str {
        "push_filter_below_as_of"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = &plan else { return Ok(Transformed::no(plan)) };
        let LogicalPlan::Extension(extension) = filter.input.as_ref() else { return Ok(Transformed::no(plan)) };
        let Some(join) = extension.node.as_any().downcast_ref::<AsOfJoin>() else { return Ok(Transformed::no(plan)) };
        let conditions = split_conjunction_owned(filter.predicate.clone());
        let (left, kept): (Vec<Expr>, Vec<Expr>) = conditions.into_iter().partition(|condition| is_of_left(join, condition));
        if left.is_empty() {
            return Ok(Transformed::no(plan));
        }
        let right: Vec<Expr> = left.iter().filter_map(|condition| of_right(join, condition)).collect();
        let narrowed = AsOfJoin { left: filtered(&join.left, left)?, right: filtered(&join.right, right)?, ..join.clone() };
        let plan = Arc::new(narrowed.into_plan());
        Ok(Transformed::yes(Arc::unwrap_or_clone(filtered(&plan, kept)?)))
    }
}

fn filtered(plan: &Arc<LogicalPlan>, conditions: Vec<Expr>) -> Result<Arc<LogicalPlan>> {
    Ok(match conjunction(conditions) {
        Some(condition) => Arc::new(LogicalPlan::Filter(Filter::try_new(condition, plan.clone())?)),
        None => plan.clone(),
    })
}

fn is_of_left(join: &AsOfJoin, condition: &Expr) -> bool {
    let columns = condition.column_refs();
    let is_query = |expression: &Expr| Ok(matches!(expression, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_)));
    !columns.is_empty()
        && columns.iter().all(|column| join.left.schema().has_column(column) && !join.right.schema().has_column(column))
        && !condition.is_volatile()
        && !condition.exists(is_query).unwrap_or(true)
}

/// What a condition on the left rows says of the right rows that match them.
fn of_right(join: &AsOfJoin, condition: &Expr) -> Option<Expr> {
    of_keys(join, condition).or_else(|| of_times(join, condition))
}

/// The condition with the right keys in place of the left ones, when it is of keys alone.
fn of_keys(join: &AsOfJoin, condition: &Expr) -> Option<Expr> {
    let key = |(left, right): &(Expr, Expr)| match (left, right) {
        (Expr::Column(left), Expr::Column(right)) => Some((left.clone(), right.clone())),
        _ => None,
    };
    let keys: HashMap<Column, Column> = join.keys.iter().filter_map(key).collect();
    if !condition.column_refs().into_iter().all(|column| keys.contains_key(column)) {
        return None;
    }
    let replaced = condition.clone().transform(|expression| {
        Ok(match &expression {
            Expr::Column(column) => Transformed::yes(Expr::Column(keys[column].clone())),
            _ => Transformed::no(expression),
        })
    });
    replaced.ok().map(|replaced| replaced.data)
}

/// Nothing after the newest left row is looked at, and nothing further before the oldest than the tolerance; going forward the
/// other way round.
fn of_times(join: &AsOfJoin, condition: &Expr) -> Option<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return None };
    let (operator, limit) = match (left.as_ref() == &join.times.0, right.as_ref() == &join.times.0) {
        (true, false) => (*op, right.as_ref()),
        (false, true) => (op.swap()?, left.as_ref()),
        _ => return None,
    };
    if !limit.column_refs().is_empty() {
        return None;
    }
    let is_newest = matches!(operator, Operator::Lt | Operator::LtEq | Operator::Eq);
    let is_oldest = matches!(operator, Operator::Gt | Operator::GtEq | Operator::Eq);
    let (near, far) = if join.comparison.is_forward { (is_oldest, is_newest) } else { (is_newest, is_oldest) };
    let (later, earlier) = (Operator::GtEq, Operator::LtEq);
    let (near_bound, far_bound) = if join.comparison.is_forward { (later, earlier) } else { (earlier, later) };
    let of_right = |bound, limit| Expr::BinaryExpr(BinaryExpr::new(Box::new(join.times.1.clone()), bound, Box::new(limit)));
    let near = near.then(|| of_right(near_bound, limit.clone()));
    let far = join.tolerance.as_ref().filter(|_| far).and_then(|tolerance| {
        let tolerance = tolerance.limit.clone();
        let is_text = matches!(&tolerance, Expr::Literal(value, _) if value.data_type().is_string());
        let reach = if join.comparison.is_forward { limit.clone() + tolerance } else { limit.clone() - tolerance };
        (!is_text).then(|| of_right(far_bound, reach))
    });
    conjunction([near, far].into_iter().flatten())
}
