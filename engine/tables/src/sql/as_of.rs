//! Which row of another stream was there at this instant? `ASOF JOIN`.
//!
//! ```sql
//! SELECT e.time_ns, i.gyro_y_rad_per_s, e.time_ns - i.time_ns AS age_ns
//! FROM emg e ASOF JOIN imu i
//!   MATCH_CONDITION (e.time_ns >= i.time_ns AND e.time_ns - i.time_ns <= 20000000)
//!   ON e.session = i.session
//! ```
//!
//! Each left row comes out once, with the nearest right row of equal keys that meets the comparison (`>=`, `>`: the newest before it,
//! `<=`, `<`: the oldest after it), and with nulls where there is none or it is further away than the tolerance: the semantics of
//! Snowflake's join. `WHERE i.time_ns IS NOT NULL` leaves the matched rows alone. Nulls never match. Of several right rows at one
//! instant the one with the greatest values, column by column, is taken, so that the answer doesn't hang on how the rows lie.

mod exec;
mod held;
mod merge;
mod plan;
mod pushdown;
mod rows;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::common::{DFSchemaRef, Result};
use datafusion::logical_expr::{Expr, Extension, JoinType, LogicalPlan, Operator, UserDefinedLogicalNodeCore, build_join_schema};

pub(super) use exec::AsOfQueryPlanner;
pub(super) use plan::AsOfRelationPlanner;
pub(super) use pushdown::PushFilterBelowAsOf;

/// An as-of join in a logical plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AsOfJoin {
    left: Arc<LogicalPlan>,
    right: Arc<LogicalPlan>,
    /// Pairs that must be equal, of one type each; the first of either is of the left rows alone, the second of the right ones.
    keys: Vec<(Expr, Expr)>,
    /// What is compared: two `Int64`, or two timestamps of one unit.
    times: (Expr, Expr),
    comparison: Comparison,
    tolerance: Option<Tolerance>,
    schema: DFSchemaRef,
}

/// How the left time stands to the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Hash)]
struct Comparison {
    /// The nearest after the left row, instead of before it.
    is_forward: bool,
    /// Whether the same instant matches.
    is_inclusive: bool,
}

/// How far the two times may be apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Hash)]
struct Tolerance {
    /// Without columns: nanoseconds, an interval or a text such as `'20 ms'`.
    limit: Expr,
    /// Whether the limit itself is near enough.
    is_inclusive: bool,
}

impl Comparison {
    /// Of `left operator right`.
    fn of(operator: Operator) -> Option<Self> {
        let (is_forward, is_inclusive) = match operator {
            Operator::GtEq => (false, true),
            Operator::Gt => (false, false),
            Operator::LtEq => (true, true),
            Operator::Lt => (true, false),
            _ => return None,
        };
        Some(Self { is_forward, is_inclusive })
    }

    fn symbol(self) -> &'static str {
        match (self.is_forward, self.is_inclusive) {
            (false, true) => ">=",
            (false, false) => ">",
            (true, true) => "<=",
            (true, false) => "<",
        }
    }
}

impl AsOfJoin {
    fn try_new(
        left: Arc<LogicalPlan>,
        right: Arc<LogicalPlan>,
        keys: Vec<(Expr, Expr)>,
        times: (Expr, Expr),
        comparison: Comparison,
        tolerance: Option<Tolerance>,
    ) -> Result<Self> {
        let schema = Arc::new(build_join_schema(left.schema(), right.schema(), &JoinType::Left)?);
        Ok(Self { left, right, keys, times, comparison, tolerance, schema })
    }

    /// The left time, when the match is the newest row before it: one after it may still come.
    pub(crate) fn looks_back_from(&self) -> Option<&Expr> {
        (!self.comparison.is_forward).then_some(&self.times.0)
    }

    /// The pairs that must be equal, the left one first.
    pub(crate) fn equal(&self) -> &[(Expr, Expr)] {
        &self.keys
    }

    fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }
}

impl PartialOrd for AsOfJoin {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let Self { left, right, keys, times, comparison, tolerance, schema: _ } = self;
        (left, right, keys, times, comparison, tolerance).partial_cmp(&(
            &other.left,
            &other.right,
            &other.keys,
            &other.times,
            &other.comparison,
            &other.tolerance,
        ))
    }
}

impl UserDefinedLogicalNodeCore for AsOfJoin {
    fn name(&self) -> &str {
        "AsOfJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    /// Each side of each condition by itself, so that no rule that rewrites expressions can turn a condition around.
    fn expressions(&self) -> Vec<Expr> {
        let pairs = self.keys.iter().chain([&self.times]);
        let sides = pairs.flat_map(|(left, right)| [left.clone(), right.clone()]);
        sides.chain(self.tolerance.iter().map(|tolerance| tolerance.limit.clone())).collect()
    }

    /// All: what may go below the join is [`PushFilterBelowAsOf`]'s to say, since this list knows neither sides nor qualifiers.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsOfJoin: {} {} {}", self.times.0, self.comparison.symbol(), self.times.1)?;
        if let Some(tolerance) = &self.tolerance {
            write!(f, ", {} {} apart", if tolerance.is_inclusive { "at most" } else { "less than" }, tolerance.limit)?;
        }
        self.keys.iter().try_for_each(|(left, right)| write!(f, ", {left} = {right}"))
    }

    fn with_exprs_and_inputs(&self, expressions: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let mut expressions = expressions.into_iter();
        let mut next = || expressions.next().expect("as many expressions as there were");
        let mut pair = || (next(), next());
        let keys = self.keys.iter().map(|_| pair()).collect();
        let times = pair();
        let tolerance = self.tolerance.as_ref().map(|tolerance| Tolerance { limit: next(), is_inclusive: tolerance.is_inclusive });
        let mut inputs = inputs.into_iter().map(Arc::new);
        let mut input = || inputs.next().expect("two inputs");
        Self::try_new(input(), input(), keys, times, self.comparison, tolerance)
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let width = self.left.schema().fields().len();
        let (left, right): (Vec<usize>, Vec<usize>) = output_columns.iter().partition(|column| **column < width);
        Some(vec![left, right.into_iter().map(|column| column - width).collect()])
    }
}
