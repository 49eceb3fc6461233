//! How is an as-of join run? As a merge of two streams in order of time.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, SchemaRef, SortOptions, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, JoinSide, JoinType, Result, internal_err, plan_datafusion_err, plan_err};
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::equivalence::join_equivalence_properties;
use datafusion::physical_expr::{
    Distribution, LexOrdering, LexRequirement, OrderingRequirements, PhysicalExpr, PhysicalExprRef, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::joins::utils::build_join_schema;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, InputDistributionRequirements, Partitioning, PlanProperties,
    ReplaceChildrenOptions, apply_expression_roots,
};
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use super::merge::Merge;
use super::{AsOfJoin, Tolerance};
use crate::scan::ASCENDING;
use crate::sql::duration;

/// DataFusion's planner, with as-of joins.
#[derive(Debug)]
pub(in crate::sql) struct AsOfQueryPlanner;

#[async_trait]
impl QueryPlanner for AsOfQueryPlanner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(AsOfExtensionPlanner)]);
        planner.create_physical_plan(plan, session).await
    }
}

struct AsOfExtensionPlanner;

#[async_trait]
impl ExtensionPlanner for AsOfExtensionPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(join) = node.as_any().downcast_ref::<AsOfJoin>() else { return Ok(None) };
        let [left, right] = physical_inputs else { return internal_err!("an as-of join has two inputs") };
        let of_left = |expression: &Expr| session.create_physical_expr(expression.clone(), join.left.schema());
        let of_right = |expression: &Expr| session.create_physical_expr(expression.clone(), join.right.schema());
        let pair = |(left, right): &(Expr, Expr)| Ok((of_left(left)?, of_right(right)?));
        let times = pair(&join.times)?;
        let time_type = times.0.data_type(&left.schema())?;
        let tolerance = join.tolerance.as_ref().map(|tolerance| farthest(tolerance, &time_type, session)).transpose()?;
        let matching = Matching {
            keys: join.keys.iter().map(pair).collect::<Result<_>>()?,
            sorted_keys: 0,
            times,
            is_forward: join.comparison.is_forward,
            is_inclusive: join.comparison.is_inclusive,
            farthest: tolerance,
        };
        let matching = matching.arranged(left, right)?;
        Ok(Some(Arc::new(AsOfJoinExec::try_new(left.clone(), right.clone(), Arc::new(matching))?)))
    }
}

/// The greatest difference of two times, in their unit, that is near enough; −1 for none.
fn farthest(tolerance: &Tolerance, time_type: &DataType, session: &dyn Session) -> Result<i128> {
    let limit = session.create_physical_expr(tolerance.limit.clone(), &DFSchema::empty())?;
    let value = limit.evaluate(&RecordBatch::new_empty(Arc::new(arrow_schema::Schema::empty())))?;
    let datafusion::logical_expr::ColumnarValue::Scalar(value) = value else {
        return plan_err!("how far the times of an as-of join may be apart is a constant, not `{}`", tolerance.limit);
    };
    if value.is_null() {
        return Ok(-1);
    }
    let is_count = value.data_type().is_integer();
    if is_count && matches!(time_type, DataType::Timestamp(..)) {
        return plan_err!("timestamps are an INTERVAL or a text such as '20 ms' apart, not `{}`", tolerance.limit);
    }
    let limit_ns = duration::nanoseconds(&value).map_err(|error| plan_datafusion_err!("how far times may be apart: {error}"))?;
    let unit_ns = match time_type {
        DataType::Timestamp(TimeUnit::Second, _) => 1_000_000_000,
        DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000_000,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000,
        _ => 1,
    };
    // Differences are whole units: less than a limit is at most the whole unit before it.
    let limit_ns = i128::from(limit_ns);
    Ok(if tolerance.is_inclusive { limit_ns.div_euclid(unit_ns) } else { (limit_ns - 1).div_euclid(unit_ns) })
}

/// What matches what, over the columns of both inputs.
#[derive(Clone, Debug)]
pub(super) struct Matching {
    /// Pairs that are equal; the first `sorted_keys` of them lead the inputs' order.
    pub(super) keys: Vec<(PhysicalExprRef, PhysicalExprRef)>,
    pub(super) sorted_keys: usize,
    pub(super) times: (PhysicalExprRef, PhysicalExprRef),
    /// The nearest after: both inputs come in descending order of time.
    pub(super) is_forward: bool,
    pub(super) is_inclusive: bool,
    /// In the times' unit.
    pub(super) farthest: Option<i128>,
}

impl Matching {
    fn time_order(&self) -> SortOptions {
        SortOptions { descending: self.is_forward, nulls_first: false }
    }

    fn left_order(&self) -> Vec<PhysicalSortExpr> {
        self.order(|(left, _)| left)
    }

    fn right_order(&self) -> Vec<PhysicalSortExpr> {
        self.order(|(_, right)| right)
    }

    fn order(&self, side: impl Fn(&(PhysicalExprRef, PhysicalExprRef)) -> &PhysicalExprRef) -> Vec<PhysicalSortExpr> {
        let keys = self.keys[..self.sorted_keys].iter().map(|key| PhysicalSortExpr::new(side(key).clone(), ASCENDING));
        keys.chain([PhysicalSortExpr::new(side(&self.times).clone(), self.time_order())]).collect()
    }

    /// Chooses the keys that lead the order: those that lead it already, so that as little as possible is sorted. The other keys
    /// are looked up in a table of the newest row of each.
    fn arranged(self, left: &Arc<dyn ExecutionPlan>, right: &Arc<dyn ExecutionPlan>) -> Result<Self> {
        let lie = |matching: &Self| -> Result<usize> {
            let right = right.equivalence_properties().ordering_satisfy(matching.right_order())?;
            let left = left.equivalence_properties().ordering_satisfy(matching.left_order())?;
            // The right side has more rows as a rule.
            Ok(2 * usize::from(right) + usize::from(left))
        };
        let leading = |plan: &Arc<dyn ExecutionPlan>, side: &dyn Fn(&(PhysicalExprRef, PhysicalExprRef)) -> PhysicalExprRef| {
            let order = plan.output_ordering().cloned();
            let mut keys = self.keys.clone();
            let mut sorted_keys = 0;
            for sort in order.iter().flatten().filter(|sort| sort.options.descending == ASCENDING.descending) {
                let Some(at) = keys[sorted_keys..].iter().position(|key| side(key).eq(&sort.expr)) else { break };
                keys.swap(sorted_keys, sorted_keys + at);
                sorted_keys += 1;
            }
            Self { keys, sorted_keys, ..self.clone() }
        };
        let candidates = [self.clone(), leading(right, &|key| key.1.clone()), leading(left, &|key| key.0.clone())];
        let mut best = (lie(&self)?, self.clone());
        for candidate in candidates.into_iter().skip(1) {
            let lies = lie(&candidate)?;
            if lies > best.0 {
                best = (lies, candidate);
            }
        }
        Ok(best.1)
    }
}

/// A merge of both inputs, each in one partition and in order.
#[derive(Clone, Debug)]
pub(super) struct AsOfJoinExec {
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    matching: Arc<Matching>,
    schema: SchemaRef,
    metrics: ExecutionPlanMetricsSet,
    properties: Arc<PlanProperties>,
}

impl AsOfJoinExec {
    fn try_new(left: Arc<dyn ExecutionPlan>, right: Arc<dyn ExecutionPlan>, matching: Arc<Matching>) -> Result<Self> {
        let schema = Arc::new(build_join_schema(&left.schema(), &right.schema(), &JoinType::Left).0);
        let equivalences = join_equivalence_properties(
            left.equivalence_properties().clone(),
            right.equivalence_properties().clone(),
            &JoinType::Left,
            schema.clone(),
            &[true, false],
            Some(JoinSide::Left),
            &matching.keys,
        )?;
        let partitions = Partitioning::UnknownPartitioning(1);
        let properties = PlanProperties::new(equivalences, partitions, EmissionType::Incremental, Boundedness::Bounded);
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Self { left, right, matching, schema, metrics, properties: Arc::new(properties) })
    }
}

impl DisplayAs for AsOfJoinExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Matching { keys, sorted_keys, times, is_forward, is_inclusive, farthest } = self.matching.as_ref();
        let symbol = match (is_forward, is_inclusive) {
            (false, true) => ">=",
            (false, false) => ">",
            (true, true) => "<=",
            (true, false) => "<",
        };
        write!(f, "AsOfJoinExec: {} {symbol} {}", times.0, times.1)?;
        farthest.iter().try_for_each(|farthest| write!(f, ", at most {farthest} apart"))?;
        for (at, (left, right)) in keys.iter().enumerate() {
            write!(f, ", {left} = {right}{}", if at < *sorted_keys { " in order" } else { "" })?;
        }
        Ok(())
    }
}

impl ExecutionPlan for AsOfJoinExec {
    fn name(&self) -> &'static str {
        "AsOfJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition; 2])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        let required = |order| LexOrdering::new(order).map(|order| OrderingRequirements::new(LexRequirement::from(order)));
        vec![required(self.matching.left_order()), required(self.matching.right_order())]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true, false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.left, &self.right]
    }

    fn apply_expressions(&self, f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        let pairs = self.matching.keys.iter().chain([&self.matching.times]);
        apply_expression_roots(pairs.flat_map(|(left, right)| [left, right]), f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [left, right] = children.as_slice() else { return internal_err!("an as-of join has two inputs") };
        Ok(Arc::new(Self::try_new(left.clone(), right.clone(), self.matching.clone())?))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(datafusion::physical_plan::ChildrenPropertiesMode::Recompute))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let left = self.left.execute(partition, context.clone())?;
        let right = self.right.execute(partition, context.clone())?;
        let memory = MemoryConsumer::new("AsOfJoin").register(context.memory_pool());
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let merge = Merge::try_new(left, right, self.matching.clone(), self.schema.clone(), memory)?;
        let batches = futures::stream::try_unfold((merge, metrics), |(mut merge, metrics)| async move {
            let batch = merge.next().await?;
            Ok(batch.map(|batch| {
                metrics.record_output(batch.num_rows());
                (batch, (merge, metrics))
            }))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches)))
    }
}
