//! How does `ASOF JOIN` become a logical plan, and which forms of it are refused?

use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::common::{Column, DFSchema, DFSchemaRef, Result, plan_datafusion_err, plan_err};
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator};
use datafusion::sql::sqlparser::ast::{self, JoinConstraint, JoinOperator, Spanned, TableFactor};

use super::{AsOfJoin, Comparison, Tolerance};

const FORM: &str = "MATCH_CONDITION takes one of >=, >, <=, < between a time of the left rows and one of the right rows, \
    and AND with how far they may be apart: (a.time_ns >= b.time_ns AND a.time_ns - b.time_ns <= 20000000)";

/// Plans the as-of joins that [`parse`](fn@crate::sql::parse) has put into parentheses.
#[derive(Debug)]
pub(in crate::sql) struct AsOfRelationPlanner;

impl RelationPlanner for AsOfRelationPlanner {
    fn plan_relation(&self, relation: TableFactor, context: &mut dyn RelationPlannerContext) -> Result<RelationPlanning> {
        let (table, alias) = match relation {
            TableFactor::NestedJoin { table_with_joins, alias } => (table_with_joins, alias),
            other => return Ok(RelationPlanning::Original(Box::new(other))),
        };
        let as_of = table.joins.iter().any(|join| matches!(join.join_operator, JoinOperator::AsOf { .. }));
        if !as_of {
            return Ok(RelationPlanning::Original(Box::new(TableFactor::NestedJoin { table_with_joins: table, alias })));
        }
        let mut plan = context.plan(table.relation)?;
        for join in table.joins {
            let JoinOperator::AsOf { match_condition, constraint } = join.join_operator else {
                return plan_err!("an as-of join stands in parentheses of its own");
            };
            let right = context.plan(join.relation)?;
            plan = joined(plan, right, match_condition, constraint, context)?;
        }
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

fn joined(
    left: LogicalPlan,
    right: LogicalPlan,
    condition: ast::Expr,
    constraint: JoinConstraint,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let sides = Sides { left: left.schema().clone(), right: right.schema().clone() };
    let both = sides.left.join(&sides.right)?;
    let place = place(&condition);
    let (times, comparison, tolerance) = sides.matched(context.sql_to_expr(condition, &both)?, &place)?;
    let mut dropped = Vec::new();
    let keys = match constraint {
        JoinConstraint::None => Vec::new(),
        JoinConstraint::On(condition) => {
            let place = self::place(&condition);
            sides.equal(context.sql_to_expr(condition, &both)?, &place)?
        }
        JoinConstraint::Using(names) => {
            let name = |name: &ast::ObjectName| match name.0.as_slice() {
                [part] => part.as_ident().map(|ident| context.normalize_ident(ident.clone())),
                _ => None,
            };
            let names: Option<Vec<String>> = names.iter().map(name).collect();
            let names = names.ok_or_else(|| plan_datafusion_err!("USING takes names of columns that both sides have"))?;
            let pair = |name: &String| {
                let of = |schema: &DFSchema| Column::from_name(name).normalize_with_schemas_and_ambiguity_check(&[&[schema]], &[]);
                Ok((Expr::Column(of(&sides.left)?), Expr::Column(of(&sides.right)?)))
            };
            let pairs = names.iter().map(pair).collect::<Result<Vec<_>>>()?;
            dropped = pairs.iter().map(|(_, right)| right.clone()).collect();
            pairs.into_iter().map(|(left, right)| sides.of_one_type(left, right, "")).collect::<Result<_>>()?
        }
        JoinConstraint::Natural => return plan_err!("a NATURAL as-of join is not there; name the columns with USING or ON"),
    };
    let join = AsOfJoin::try_new(Arc::new(left), Arc::new(right), keys, times, comparison, tolerance)?.into_plan();
    if dropped.is_empty() {
        return Ok(join);
    }
    // As of any join with USING, the columns that are equal are there once.
    let columns = join.schema().columns().into_iter().map(Expr::Column).filter(|column| !dropped.contains(column));
    let columns: Vec<Expr> = columns.collect();
    LogicalPlanBuilder::from(join).project(columns)?.build()
}

/// Where it stands, for errors.
fn place(expression: &ast::Expr) -> String {
    let start = expression.span().start;
    if start.line == 0 { String::new() } else { format!(" at Line: {}, Column: {}", start.line, start.column) }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
    Neither,
    Both,
}

struct Sides {
    left: DFSchemaRef,
    right: DFSchemaRef,
}

impl Sides {
    fn of(&self, expression: &Expr) -> Side {
        let columns = expression.column_refs();
        let all = |schema: &DFSchema| columns.iter().all(|column| schema.has_column(column));
        match (columns.is_empty(), all(&self.left), all(&self.right)) {
            (true, ..) => Side::Neither,
            (false, true, _) => Side::Left,
            (false, _, true) => Side::Right,
            _ => Side::Both,
        }
    }

    /// The times of `MATCH_CONDITION`, how they are compared, and how far they may be apart.
    fn matched(&self, condition: Expr, place: &str) -> Result<((Expr, Expr), Comparison, Option<Tolerance>)> {
        let refused = |what: &dyn std::fmt::Display| plan_datafusion_err!("{what}{place}: {FORM}");
        let (mut times, mut rest) = (Vec::new(), Vec::new());
        for conjunct in split_conjunction_owned(condition) {
            let Expr::BinaryExpr(BinaryExpr { left, op, right }) = conjunct else {
                return Err(refused(&format_args!("`{conjunct}` is no comparison")));
            };
            let swapped = op.swap().unwrap_or(op);
            match (self.of(&left), self.of(&right)) {
                (Side::Left, Side::Right) => times.push((*left, op, *right)),
                (Side::Right, Side::Left) => times.push((*right, swapped, *left)),
                (Side::Both, Side::Neither) => rest.push((*left, op, *right)),
                (Side::Neither, Side::Both) => rest.push((*right, swapped, *left)),
                _ => return Err(refused(&format_args!("`{left} {op} {right}` can't be matched"))),
            }
        }
        let [(left, op, right)] = times.as_slice() else {
            return Err(refused(&format_args!("{} comparisons of times", times.len())));
        };
        let comparison = Comparison::of(*op).ok_or_else(|| refused(&format_args!("`{left} {op} {right}` names no nearest row")))?;
        let (earlier, later) = if comparison.is_forward { (left, right) } else { (right, left) };
        let tolerance = match rest.as_slice() {
            [] => None,
            [
                (Expr::BinaryExpr(BinaryExpr { left: from, op: Operator::Minus, right: to }), op @ (Operator::LtEq | Operator::Lt), limit),
            ] if from.as_ref() == later && to.as_ref() == earlier => {
                Some(Tolerance { limit: limit.clone(), is_inclusive: *op == Operator::LtEq })
            }
            _ => return Err(refused(&format_args!("how far they may be apart is `{later} - {earlier} <= …`, once"))),
        };
        let times = self.of_one_type(left.clone(), right.clone(), place)?;
        let times = match times.0.get_type(&self.left)? {
            DataType::Int64 | DataType::Timestamp(..) => times,
            data_type if data_type.is_integer() => {
                (times.0.cast_to(&DataType::Int64, &self.left)?, times.1.cast_to(&DataType::Int64, &self.right)?)
            }
            data_type => return Err(refused(&format_args!("`{left}` is {data_type}, neither a timestamp nor whole nanoseconds"))),
        };
        Ok((times, comparison, tolerance))
    }

    /// The pairs of `ON`.
    fn equal(&self, condition: Expr, place: &str) -> Result<Vec<(Expr, Expr)>> {
        let pair = |conjunct: Expr| {
            if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = &conjunct {
                match (self.of(left), self.of(right)) {
                    (Side::Left, Side::Right) => return self.of_one_type(*left.clone(), *right.clone(), place),
                    (Side::Right, Side::Left) => return self.of_one_type(*right.clone(), *left.clone(), place),
                    _ => {}
                }
            }
            plan_err!(
                "`{conjunct}`{place} is no equality of the two sides, which is all that ON of an as-of join takes; \
                 narrow the right rows in a subquery, ASOF JOIN (SELECT … WHERE …), and the answer in WHERE"
            )
        };
        split_conjunction_owned(condition).into_iter().map(pair).collect()
    }

    fn of_one_type(&self, left: Expr, right: Expr, place: &str) -> Result<(Expr, Expr)> {
        let types = (left.get_type(&self.left)?, right.get_type(&self.right)?);
        let common = comparison_coercion(&types.0, &types.1)
            .ok_or_else(|| plan_datafusion_err!("`{left}`, {}, can't be compared with `{right}`, {}{place}", types.0, types.1))?;
        Ok((left.cast_to(&common, &self.left)?, right.cast_to(&common, &self.right)?))
    }
}
