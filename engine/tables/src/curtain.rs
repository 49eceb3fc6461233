//! How is a hidden row kept from being touched? Behind a curtain, through which no condition of a question goes: one that fails on a
//! hidden row, by a division for example, would tell of it.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

/// Its input's rows. It says nothing of their number and takes no filter, projection or limit down.
#[derive(Debug)]
pub(crate) struct Curtain {
    input: Arc<dyn ExecutionPlan>,
}

impl Curtain {
    /// Before a plan that has dropped the hidden rows.
    pub(crate) fn before(input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self { input })
    }
}

impl DisplayAs for Curtain {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Curtain")
    }
}

impl ExecutionPlan for Curtain {
    fn name(&self) -> &str {
        "Curtain"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(&self, _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Self::before(children.remove(0)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}

/// Whether a condition fails on no row: columns beside literals, compared, and their combinations.
pub(crate) fn cannot_fail(condition: &Expr) -> bool {
    let plain = |expr: &Expr| matches!(expr, Expr::Column(_) | Expr::Literal(..));
    match condition {
        Expr::BinaryExpr(binary) if matches!(binary.op, Operator::And | Operator::Or) => {
            cannot_fail(&binary.left) && cannot_fail(&binary.right)
        }
        Expr::BinaryExpr(binary) => binary.op.supports_propagation() && plain(&binary.left) && plain(&binary.right),
        Expr::Between(between) => plain(&between.expr) && plain(&between.low) && plain(&between.high),
        Expr::InList(list) => plain(&list.expr) && list.list.iter().all(plain),
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => plain(inner),
        Expr::Not(inner) => cannot_fail(inner),
        other => plain(other),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{ident, lit};

    use super::*;

    #[test]
    fn only_comparisons_of_columns_and_literals_cannot_fail() {
        let fine = ident("a").gt(lit(1)).and(ident("b").between(lit(1), lit(2)).or(ident("c").is_null()));
        assert!(cannot_fail(&fine) && cannot_fail(&ident("a").in_list(vec![lit(1)], true)));
        assert!(!cannot_fail(&(lit(1) / ident("a")).eq(lit(1))));
        assert!(!cannot_fail(&ident("a").gt(lit(1)).and((lit(1) / ident("a")).eq(lit(1)))));
        assert!(!cannot_fail(&(lit(1) / ident("a"))));
    }
}
