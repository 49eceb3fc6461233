//! What stood before each row, of its sensor and its session? `lag` is how gaps and steps are asked for, so it takes rows as they
//! lie: the newest value of each of the session's keys is remembered, where a window like any other would sort all rows first.

use std::fmt;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array, new_empty_array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::concat::concat;
use arrow_select::take::take;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::functions_window::lead_lag::lag_udwf;
use datafusion::logical_expr::EmitTo;
use datafusion::physical_expr::window::{StandardWindowExpr, WindowExpr};
use datafusion::physical_expr::{OrderingRequirements, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowUDFExpr, create_udwf_window_expr};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties,
    InputDistributionRequirements, InputOrderMode, Partitioning, PlanProperties, ReplaceChildrenOptions,
};
use futures::StreamExt;

use super::{is_session, runs};
use crate::scan::ASCENDING;

/// `lag` by one row, of some values, over rows that come session by session in the window's order.
#[derive(Debug)]
pub(super) struct SessionLag {
    /// What it stands for, without a sort: its columns, its order, what it asks of its input.
    window: Arc<dyn ExecutionPlan>,
    lag: Arc<Lag>,
    metrics: ExecutionPlanMetricsSet,
}

/// Of which values, and by what rows are told apart.
#[derive(Debug)]
struct Lag {
    values: Vec<Arc<dyn PhysicalExpr>>,
    session: Arc<dyn PhysicalExpr>,
    /// The keys beside the session.
    keys: Vec<Arc<dyn PhysicalExpr>>,
}

impl SessionLag {
    /// In place of `lag` over each key of each session, before a sort is put below it. `None` where the window is another, or where
    /// a session's rows may lie apart or in another order.
    pub(super) fn instead_of(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(window) = plan.downcast_ref::<BoundedWindowAggExec>() else { return Ok(None) };
        let (input, functions) = (window.input(), window.window_expr());
        let (Some(first), Some(values)) = (functions.first(), functions.iter().map(|f| lagging(f, &input.schema())).collect()) else {
            return Ok(None);
        };
        let mut keys = first.partition_by().to_vec();
        let Some(place) = keys.iter().position(|key| is_session(key, &input.schema())).filter(|_| keys.len() > 1) else {
            return Ok(None);
        };
        let session = keys.remove(place);
        let is_whole = match input.output_partitioning() {
            Partitioning::Range(range) => range.ordering().first().expr.eq(&session),
            other => other.partition_count() == 1,
        };
        let order = [PhysicalSortExpr::new(session.clone(), ASCENDING)].into_iter().chain(first.order_by().iter().cloned());
        if !is_whole || !input.equivalence_properties().ordering_satisfy(order)? {
            return Ok(None);
        }
        let mode = InputOrderMode::PartiallySorted(vec![place]);
        let window = Arc::new(BoundedWindowAggExec::try_new(functions.to_vec(), input.clone(), mode, true)?);
        let lag = Arc::new(Lag { values, session, keys });
        Ok(Some(Arc::new(Self { window, lag, metrics: ExecutionPlanMetricsSet::new() })))
    }
}

/// The value of which a function is the `lag` by one row, null where there is none.
fn lagging(function: &Arc<dyn WindowExpr>, columns: &Schema) -> Option<Arc<dyn PhysicalExpr>> {
    let function = function.as_any().downcast_ref::<StandardWindowExpr>()?.get_standard_func_expr();
    let lag = function.as_any().downcast_ref::<WindowUDFExpr>().filter(|function| *function.fun() == lag_udwf())?;
    let [value] = lag.args() else { return None };
    // Whether nulls are passed over, it tells nobody; one that is made anew doesn't.
    let plain = create_udwf_window_expr(lag.fun(), lag.args(), columns, function.name().to_owned(), false).ok()?;
    let is_plain = format!("{plain:?}") == format!("{function:?}") && value.data_type(columns).is_ok_and(|of| of != DataType::Null);
    is_plain.then(|| value.clone())
}

impl DisplayAs for SessionLag {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |of: &[Arc<dyn PhysicalExpr>]| of.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        write!(f, "SessionLag: values=[{}], by=[{}, {}]", list(&self.lag.values), self.lag.session, list(&self.lag.keys))
    }
}

impl ExecutionPlan for SessionLag {
    fn name(&self) -> &str {
        "SessionLag"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.window.properties()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::KeyPartitioned(vec![self.lag.session.clone()])])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        self.window.required_input_ordering()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.window.children()
    }

    fn apply_expressions(&self, f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        self.window.apply_expressions(f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let window = self.window.clone().replace_children(children, options)?;
        Ok(Arc::new(Self { window, lag: self.lag.clone(), metrics: self.metrics.clone() }))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.window.children()[0].execute(partition, context.clone())?;
        let memory = MemoryConsumer::new(format!("SessionLag[{partition}]")).register(context.memory_pool());
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let mut newest = Newest::new(self.lag.clone(), &input.schema(), self.schema(), memory)?;
        let batches = input.map(move |batch| {
            let _timer = metrics.elapsed_compute().timer();
            let batch = newest.lag(&batch?)?;
            metrics.output_rows().add(batch.num_rows());
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}

/// The newest values of each key of the session whose rows come.
struct Newest {
    lag: Arc<Lag>,
    schema: SchemaRef,
    session: Option<Option<String>>,
    /// Numbers the session's keys.
    keys: Box<dyn GroupValues>,
    /// By the key's number; every array has the newest value of each key.
    values: Vec<ArrayRef>,
    memory: MemoryReservation,
}

/// No row of a key has come yet.
const NONE: u32 = u32::MAX;

impl Newest {
    fn new(lag: Arc<Lag>, columns: &Schema, schema: SchemaRef, memory: MemoryReservation) -> Result<Self> {
        let field = |key: &Arc<dyn PhysicalExpr>| Ok(Field::new(key.to_string(), key.data_type(columns)?, true));
        let keys = Arc::new(Schema::new(lag.keys.iter().map(field).collect::<Result<Vec<_>>>()?));
        let nothing = |value: &Arc<dyn PhysicalExpr>| Ok(new_empty_array(&value.data_type(columns)?));
        let values = lag.values.iter().map(nothing).collect::<Result<_>>()?;
        Ok(Self { keys: new_group_values(keys, &GroupOrdering::None)?, values, lag, schema, session: None, memory })
    }

    /// The rows, and beside each the values before it.
    fn lag(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let array = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(batch)?.into_array(rows);
        let keys = self.lag.keys.iter().map(array).collect::<Result<Vec<_>>>()?;
        let values = self.lag.values.iter().map(array).collect::<Result<Vec<_>>>()?;
        let sessions = array(&self.lag.session)?;

        // Places in the held values and, behind them, the batch's own.
        let held = self.keys.len() as u32;
        let mut newest: Vec<u32> = (0..held).collect();
        let mut before: Vec<Option<u32>> = Vec::with_capacity(rows);
        let mut numbers = Vec::new();
        for (run, name) in runs(&sessions)? {
            if self.session.as_ref().is_none_or(|session| session.as_deref() != name) {
                self.session = Some(name.map(str::to_owned));
                self.keys.emit(EmitTo::All)?;
                newest.clear();
            }
            let keys: Vec<ArrayRef> = keys.iter().map(|key| key.slice(run.start, run.len())).collect();
            self.keys.intern(&keys, &mut numbers)?;
            newest.resize(self.keys.len(), NONE);
            for (row, number) in (held + run.start as u32..).zip(&numbers) {
                let last = std::mem::replace(&mut newest[*number], row);
                before.push((last != NONE).then_some(last));
            }
        }
        let (before, newest) = (UInt32Array::from(before), UInt32Array::from(newest));
        let mut columns = batch.columns().to_vec();
        for (held, values) in self.values.iter_mut().zip(&values) {
            let all = concat(&[held.as_ref(), values.as_ref()])?;
            columns.push(take(&all, &before, None)?);
            *held = take(&all, &newest, None)?;
        }
        self.memory.try_resize(self.keys.size() + self.values.iter().map(|values| values.get_array_memory_size()).sum::<usize>())?;
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}
