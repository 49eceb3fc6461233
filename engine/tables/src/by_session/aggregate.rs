//! How are rows grouped that stand session by session? A session at a time: its name is looked at once for a whole run of rows,
//! where a grouping like any other would hash it row by row.
//!
//! It is the first of the two steps that DataFusion groups in, so what it gives may hold a group several times.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use futures::{StreamExt, stream};

use super::groups::Grouping;
use super::is_session;

/// The first step of a grouping by session.
#[derive(Debug)]
pub(super) struct SessionAggregate {
    /// What it stands for: its columns, its order, its functions.
    step: Arc<dyn ExecutionPlan>,
    /// Place of the session among the columns of the group.
    session: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl SessionAggregate {
    /// In place of the first step of a grouping by session, and maybe more, over rows as the tables hold them.
    pub(super) fn instead_of(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(step) = plan.downcast_ref::<AggregateExec>() else { return Ok(None) };
        let group = step.group_expr();
        let is_plain = *step.mode() == AggregateMode::Partial
            && group.is_single()
            && step.limit_options().is_none()
            && step.aggr_expr().iter().all(|function| function.order_bys().is_empty())
            && (group.expr().len() == 1 || step.aggr_expr().iter().all(|function| function.groups_accumulator_supported()))
            && as_stored(step.input());
        let session = group.expr().iter().position(|(expr, _)| is_session(expr, &step.input_schema())).filter(|_| is_plain);
        let instead = session.map(|session| Self { step: plan.clone(), session, metrics: ExecutionPlanMetricsSet::new() });
        Ok(instead.map(|instead| Arc::new(instead) as _))
    }

    fn step(&self) -> &AggregateExec {
        self.step.downcast_ref().expect("it was one when this was made")
    }
}

/// Whether rows come as files and memory hold them, thus mostly session by session.
fn as_stored(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if plan.downcast_ref::<DataSourceExec>().is_some() {
        return true;
    }
    let passes = plan.downcast_ref::<FilterExec>().is_some()
        || plan.downcast_ref::<ProjectionExec>().is_some()
        || plan.downcast_ref::<UnionExec>().is_some();
    passes && plan.children().into_iter().all(as_stored)
}

impl DisplayAs for SessionAggregate {
    fn fmt_as(&self, form: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")?;
        self.step().fmt_as(form, f)
    }
}

impl ExecutionPlan for SessionAggregate {
    fn name(&self) -> &str {
        "SessionAggregate"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.step.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.step.children()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.step.maintains_input_order()
    }

    fn apply_expressions(&self, f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        self.step.apply_expressions(f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let step = self.step.clone().replace_children(children, options)?;
        Ok(Arc::new(Self { step, session: self.session, metrics: self.metrics.clone() }))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let step = self.step();
        let input = step.input().execute(partition, context.clone())?;
        let memory = MemoryConsumer::new(format!("SessionAggregate[{partition}]")).register(context.memory_pool());
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let rows = context.session_config().batch_size();
        let grouping = Grouping::new(step, self.session, memory)?;
        let state = (input, grouping, metrics, VecDeque::new(), false);
        let batches = stream::try_unfold(state, move |(mut input, mut grouping, metrics, mut given, mut is_done)| async move {
            while !is_done && given.iter().map(RecordBatch::num_rows).sum::<usize>() < rows {
                match input.next().await.transpose()? {
                    Some(batch) => {
                        let _timer = metrics.elapsed_compute().timer();
                        grouping.take(&batch, &mut given)?;
                    }
                    None => {
                        grouping.give(&mut given)?;
                        is_done = true;
                    }
                }
            }
            if given.is_empty() {
                return Ok(None);
            }
            let batch = concat_batches(&grouping.schema, given.make_contiguous().iter())?;
            given.clear();
            metrics.output_rows().add(batch.num_rows());
            Ok(Some((batch, (input, grouping, metrics, given, is_done))))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}
