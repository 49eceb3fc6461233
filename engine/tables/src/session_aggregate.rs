//! How are rows grouped that stand session by session? A session at a time: its name is looked at once for a whole run of rows,
//! where a grouping like any other would hash it row by row.
//!
//! It is the first of the two steps that DataFusion groups in, so what it gives may hold a group several times.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_ord::partition::partition;
use arrow_schema::{DataType, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
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

use crate::schema::SESSION;

/// A session's groups are given away when they are so many: the second step unites them.
const MOST_GROUPS: usize = 16 << 10;

/// Takes the place of the first step of a grouping by session, and maybe more, over rows as the tables hold them.
#[derive(Debug)]
pub(crate) struct GroupBySession;

impl PhysicalOptimizerRule for GroupBySession {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let replaced = plan.transform_up(|plan| match SessionAggregate::instead_of(&plan) {
            Some(aggregate) => Ok(Transformed::yes(Arc::new(aggregate) as Arc<dyn ExecutionPlan>)),
            None => Ok(Transformed::no(plan)),
        });
        Ok(replaced?.data)
    }

    fn name(&self) -> &str {
        "GroupBySession"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The first step of a grouping by session.
#[derive(Debug)]
struct SessionAggregate {
    /// What it stands for: its columns, its order, its functions.
    step: Arc<dyn ExecutionPlan>,
    /// Place of the session among the columns of the group.
    session: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl SessionAggregate {
    fn instead_of(plan: &Arc<dyn ExecutionPlan>) -> Option<Self> {
        let step = plan.downcast_ref::<AggregateExec>()?;
        let group = step.group_expr();
        let is_plain = *step.mode() == AggregateMode::Partial
            && group.is_single()
            && step.limit_options().is_none()
            && step.aggr_expr().iter().all(|function| function.order_bys().is_empty())
            && (group.expr().len() == 1 || step.aggr_expr().iter().all(|function| function.groups_accumulator_supported()))
            && as_stored(step.input());
        let columns = step.input_schema();
        let is_session = |expr: &Arc<dyn PhysicalExpr>| {
            let column = expr.downcast_ref::<Column>();
            column.is_some_and(|column| column.name() == SESSION && *columns.field(column.index()).data_type() == DataType::Utf8)
        };
        let session = group.expr().iter().position(|(expr, _)| is_session(expr)).filter(|_| is_plain)?;
        Some(Self { step: plan.clone(), session, metrics: ExecutionPlanMetricsSet::new() })
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

/// What is known of the session whose rows come.
struct Grouping {
    schema: SchemaRef,
    functions: Vec<Arc<AggregateFunctionExpr>>,
    arguments: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
    group: Vec<Arc<dyn PhysicalExpr>>,
    session: usize,
    current: Option<Option<String>>,
    states: States,
    memory: MemoryReservation,
}

/// What the functions have gathered of one session.
enum States {
    /// It is one group.
    One(Vec<Box<dyn Accumulator>>),
    /// Its groups by the other columns.
    Many { values: Box<dyn GroupValues>, functions: Vec<Box<dyn GroupsAccumulator>>, places: Vec<usize> },
}

impl Grouping {
    fn new(step: &AggregateExec, session: usize, memory: MemoryReservation) -> Result<Self> {
        let functions = step.aggr_expr().to_vec();
        let group: Vec<_> = step.group_expr().expr().iter().map(|(expr, _)| expr.clone()).collect();
        let mut grouping = Self {
            schema: step.schema(),
            arguments: functions.iter().map(|function| function.expressions()).collect(),
            filters: step.filter_expr().to_vec(),
            functions,
            group,
            session,
            current: None,
            states: States::One(Vec::new()),
            memory,
        };
        grouping.states = grouping.nothing()?;
        Ok(grouping)
    }

    fn nothing(&self) -> Result<States> {
        if self.group.len() == 1 {
            return Ok(States::One(self.functions.iter().map(|function| function.create_accumulator()).collect::<Result<_>>()?));
        }
        let others = (0..self.group.len()).filter(|column| *column != self.session);
        let others = Arc::new(Schema::new(others.map(|column| self.schema.field(column).clone()).collect::<Vec<_>>()));
        let functions = self.functions.iter().map(|function| function.create_groups_accumulator()).collect::<Result<_>>()?;
        Ok(States::Many { values: new_group_values(others, &GroupOrdering::None)?, functions, places: Vec::new() })
    }

    /// Takes in rows; what they end is given.
    fn take(&mut self, batch: &RecordBatch, given: &mut VecDeque<RecordBatch>) -> Result<()> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(());
        }
        let array = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(batch)?.into_array(rows);
        let group = self.group.iter().map(array).collect::<Result<Vec<_>>>()?;
        let arguments = self.arguments.iter().map(|of| of.iter().map(array).collect()).collect::<Result<Vec<Vec<_>>>>()?;
        let filters = self.filters.iter().map(|filter| filter.as_ref().map(array).transpose()).collect::<Result<Vec<_>>>()?;
        let sessions = group[self.session].clone();
        let names = sessions.as_string::<i32>();
        for run in partition(&[sessions.clone()])?.ranges() {
            let name = names.is_valid(run.start).then(|| names.value(run.start));
            if self.current.as_ref().is_none_or(|current| current.as_deref() != name) {
                self.give(given)?;
                self.current = Some(name.map(str::to_owned));
            }
            self.add(&run, &group, &arguments, &filters)?;
            if matches!(&self.states, States::Many { values, .. } if values.len() > MOST_GROUPS) {
                let current = self.current.clone();
                self.give(given)?;
                self.current = current;
            }
        }
        self.memory.try_resize(self.states.size() + given.iter().map(RecordBatch::get_array_memory_size).sum::<usize>())
    }

    fn add(&mut self, run: &Range<usize>, group: &[ArrayRef], arguments: &[Vec<ArrayRef>], filters: &[Option<ArrayRef>]) -> Result<()> {
        let of_run = |array: &ArrayRef| array.slice(run.start, run.len());
        let chosen = |filter: &Option<ArrayRef>| filter.as_ref().map(|filter| of_run(filter).as_boolean().clone());
        match &mut self.states {
            States::One(functions) => {
                for ((function, arguments), condition) in functions.iter_mut().zip(arguments).zip(filters) {
                    let mut arguments: Vec<ArrayRef> = arguments.iter().map(of_run).collect();
                    if let Some(chosen) = chosen(condition) {
                        arguments = arguments.iter().map(|values| filter(values, &chosen)).collect::<Result<_, _>>()?;
                    }
                    function.update_batch(&arguments)?;
                }
            }
            States::Many { values, functions, places } => {
                let others = group.iter().enumerate().filter(|(column, _)| *column != self.session);
                let others: Vec<ArrayRef> = others.map(|(_, array)| of_run(array)).collect();
                values.intern(&others, places)?;
                for ((function, arguments), condition) in functions.iter_mut().zip(arguments).zip(filters) {
                    let arguments: Vec<ArrayRef> = arguments.iter().map(of_run).collect();
                    let chosen: Option<BooleanArray> = chosen(condition);
                    function.update_batch(&arguments, places, chosen.as_ref(), values.len())?;
                }
            }
        }
        Ok(())
    }

    /// Gives the groups of the session that has come, and forgets them.
    fn give(&mut self, given: &mut VecDeque<RecordBatch>) -> Result<()> {
        let Some(session) = self.current.take() else { return Ok(()) };
        let nothing = self.nothing()?;
        let (mut columns, states, rows) = match std::mem::replace(&mut self.states, nothing) {
            States::One(functions) => {
                let mut states = Vec::new();
                for mut function in functions {
                    states.extend(function.state()?.iter().map(ScalarValue::to_array).collect::<Result<Vec<_>>>()?);
                }
                (Vec::new(), states, 1)
            }
            States::Many { mut values, functions, .. } => {
                let rows = values.len();
                let mut states = Vec::new();
                for mut function in functions {
                    states.extend(function.state(EmitTo::All)?);
                }
                (values.emit(EmitTo::All)?, states, rows)
            }
        };
        columns.insert(self.session, ScalarValue::Utf8(session).to_array_of_size(rows)?);
        columns.extend(states);
        given.push_back(RecordBatch::try_new(self.schema.clone(), columns)?);
        Ok(())
    }
}

impl States {
    fn size(&self) -> usize {
        match self {
            Self::One(functions) => functions.iter().map(|function| function.size()).sum(),
            Self::Many { values, functions, places } => {
                values.size() + functions.iter().map(|function| function.size()).sum::<usize>() + size_of_val(places.as_slice())
            }
        }
    }
}
