//! What do our own rules of the optimizer know of how rows lie? Session by session, and in each by time: so sessions are grouped
//! one at a time (`aggregate`, `groups`), and what stood before a row is remembered, not sorted for (`lag`).

mod aggregate;
mod groups;
mod lag;

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_ord::partition::partition;
use arrow_schema::{DataType, Schema};
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

use crate::schema::SESSION;
use aggregate::SessionAggregate;
use lag::SessionLag;

/// What puts a plan in the place of another; `None` leaves it.
type InsteadOf = fn(&Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>>;

/// A rule that looks at each plan by itself, its inputs first.
#[derive(Debug)]
pub(crate) struct BySession {
    name: &'static str,
    instead_of: InsteadOf,
}

impl BySession {
    /// Groups a session at a time; between DataFusion's first step of a grouping and the rule that unites it with the second.
    pub(crate) const AGGREGATE: Self = Self { name: "SessionAggregate", instead_of: SessionAggregate::instead_of };
    /// Remembers what stood before each row; before the rule that would sort.
    pub(crate) const LAG: Self = Self { name: "SessionLag", instead_of: SessionLag::instead_of };
}

impl PhysicalOptimizerRule for BySession {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let replaced = plan.transform_up(|plan| match (self.instead_of)(&plan)? {
            Some(instead) => Ok(Transformed::yes(instead)),
            None => Ok(Transformed::no(plan)),
        });
        Ok(replaced?.data)
    }

    fn name(&self) -> &str {
        self.name
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Runs of rows of one session, and its name.
fn runs(sessions: &ArrayRef) -> Result<Vec<(Range<usize>, Option<&str>)>> {
    let names = sessions.as_string::<i32>();
    let name = |row: usize| names.is_valid(row).then(|| names.value(row));
    Ok(partition(std::slice::from_ref(sessions))?.ranges().into_iter().map(|run| (run.clone(), name(run.start))).collect())
}

/// Whether an expression over some columns is the session itself.
fn is_session(expr: &Arc<dyn PhysicalExpr>, columns: &Schema) -> bool {
    let column = expr.downcast_ref::<Column>().filter(|column| column.name() == SESSION);
    column.is_some_and(|column| *columns.field(column.index()).data_type() == DataType::Utf8)
}
