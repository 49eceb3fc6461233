//! How do rows leave a Delta table: the files that hold them are written anew without them, in one commit?

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use datafusion::execution::SessionState;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::collect;
use datafusion::prelude::lit;
use deltalake_core::protocol::DeltaOperation;

use crate::cold::Cold;
use crate::error::TablesError;
use crate::rewrite::Pace;

impl Cold {
    /// The newest version without the rows that `gone` is true of, and how many they were. Statistics pass over files without
    /// such rows; a file keeps the order of what it keeps. The old files lie there until they are vacuumed.
    ///
    /// The condition stands in no log entry: it may name whom to forget.
    pub(crate) async fn without(self, gone: &Expr, session: &SessionState) -> Result<(Self, u64), TablesError> {
        let cold = self.newer().await?.unwrap_or(self);
        let (mut files, mut adds, mut rows) = (Vec::new(), Vec::new(), 0);
        for file in cold.scan.matching(session, std::slice::from_ref(gone))? {
            let found = cold.count(file, gone, session).await?;
            if found == 0 {
                continue;
            }
            rows += found;
            files.push(file);
            if cold.scan.files()?.rows(file) != Some(found) {
                let kept = cold.plan(vec![file])?.filter(gone.clone().is_not_true())?;
                adds.extend(cold.rewritten(kept, Pace::Swift, session).await?.0);
            }
        }
        if files.is_empty() {
            return Ok((cold, 0));
        }
        let removed = cold.removals(&files, true)?;
        Ok((cold.replaced(removed, adds, DeltaOperation::Delete { predicate: None }).await?, rows))
    }

    /// How many rows of a file a condition is true of.
    async fn count(&self, file: usize, condition: &Expr, session: &SessionState) -> Result<u64, TablesError> {
        let none: Vec<Expr> = Vec::new();
        let plan = self.plan(vec![file])?.filter(condition.clone())?.aggregate(none, [count(lit(1))])?.build()?;
        let plan = session.create_physical_plan(&plan).await?;
        let counted = collect(plan, session.task_ctx()).await?;
        Ok(counted.iter().map(|batch| batch.column(0).as_primitive::<Int64Type>().value(0).cast_unsigned()).sum())
    }
}
