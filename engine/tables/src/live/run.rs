//! How does a live query go on: it waits for rows, reads what has come, and evaluates its plan over that?

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;
use datafusion::catalog::{MemoryCatalogProviderList, TableProvider};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableScan};
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties as _, collect};
use datafusion::prelude::{SessionContext, ident, lit};
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use proprio_core::schema::TIME;
use proprio_core::table::Reached;
use tokio::sync::watch;

use super::followers::Arrived;
use super::hold::Hold;
use super::plan::{self, Followed};
use super::source::{Lookup, Source};
use super::statement::{Start, Statement};
use super::{Event, Narrow, Progress};
use crate::catalog::{ALL, Catalog, base_name};
use crate::error::TablesError;
use crate::hot::HotBatch;
use crate::provider::PinnedTable;
use crate::schema;
use crate::store::Inner;

/// Progress is told at most this often.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// All live queries of a store together work for at most one part in so many of a core, so that they never take it from the rig.
const SHARE_OF_CORE: u32 = 2;
/// A live query that is behind reads again after this long at the latest.
const PAUSE_MAX: Duration = Duration::from_secs(1);

type Rows = BoxStream<'static, Result<RecordBatch, TablesError>>;

/// A live query at work.
pub(crate) struct Live {
    follows: Follows,
    heard: watch::Receiver<u64>,
    narrow: Narrow,
    inputs: Vec<Input>,
    evaluator: Evaluator,
    /// What the last evaluation still has to give.
    rows: Rows,
    progress: Option<ProgressReport>,
    dropped: u64,
    /// What the last evaluation cost, without the time that its reader took.
    spent: Duration,
    not_before: Instant,
    closed: bool,
}

/// A place among those who follow, until it is dropped.
struct Follows {
    inner: Arc<Inner>,
    id: u64,
}

/// One table that is followed.
struct Input {
    table: String,
    /// Whether it shows every run.
    whole: bool,
    columns: SchemaRef,
    source: Arc<Source>,
    hold: Option<Hold>,
}

struct ProgressReport {
    due: Instant,
    news: Option<Progress>,
    told: Option<Progress>,
}

impl Drop for Follows {
    fn drop(&mut self) {
        self.inner.lock().unfollow(self.id);
    }
}

impl Live {
    /// Begins at one instant: what is there then comes first where it is asked for, and what comes after it follows.
    pub(crate) async fn begin(inner: Arc<Inner>, statement: Statement, narrow: Narrow) -> Result<Self, TablesError> {
        let plan = plan_of(&narrow(&pinned(&inner)), &statement).await?;
        let tables: Vec<String> = plan::followed(&plan)?.iter().map(Followed::table).collect();
        let heard = inner.bell.listen();
        let asking = inner.ask_how_far().await;
        let (catalog, id, reached) = {
            let mut held = inner.lock();
            let id = held.follow(tables.iter().map(String::as_str), statement.keep, &inner.bell);
            (Catalog::new(held.pin(), inner.session.clone(), held.position), id, held.reached.clone())
        };
        drop(asking);
        let follows = Follows { inner, id };
        let catalog = narrow(&catalog);
        let plan = plan_of(&catalog, &statement).await?;
        let followed = plan::followed(&plan)?;
        let state = one_at_a_time(&catalog.session().state());
        let mut inputs: Vec<Input> = followed.iter().map(Input::of).collect();
        let rows = before(&catalog, &plan, &followed, &mut inputs, statement.start, reached.as_deref()).await?;
        let sources: Vec<Arc<Source>> = inputs.iter().map(|input| input.source.clone()).collect();
        let evaluator = Evaluator::new(&plan, &sources, state)?;
        let now = Instant::now();
        let progress = statement.progress.then_some(ProgressReport { due: now, news: None, told: None });
        let mut live = Self {
            follows,
            heard,
            narrow,
            inputs,
            evaluator,
            rows,
            progress,
            dropped: 0,
            spent: Duration::ZERO,
            not_before: now,
            closed: false,
        };
        live.note(catalog.position(), reached.as_deref());
        Ok(live)
    }

    /// Checks a live query without beginning it; gives the columns of its rows.
    pub(crate) async fn check(inner: &Inner, statement: &Statement, narrow: &Narrow) -> Result<SchemaRef, TablesError> {
        let catalog = narrow(&pinned(inner));
        let plan = plan_of(&catalog, statement).await?;
        let sources: Vec<Arc<Source>> = plan::followed(&plan)?.iter().map(|followed| Input::of(followed).source).collect();
        Ok(Evaluator::new(&plan, &sources, one_at_a_time(&catalog.session().state()))?.schema)
    }

    /// Columns of the rows.
    pub(crate) fn schema(&self) -> SchemaRef {
        self.evaluator.schema.clone()
    }

    /// What comes next; `None` once nothing comes any more. Takes as long as it takes.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, TablesError> {
        loop {
            let begun = Instant::now();
            let batch = self.rows.try_next().await?;
            self.spent += begun.elapsed();
            if let Some(batch) = batch {
                if batch.num_rows() > 0 {
                    return Ok(Some(Event::Rows(RecordBatch::try_new(self.schema(), batch.columns().to_vec())?)));
                }
                continue;
            }
            if let Some(progress) = self.progress.as_mut().and_then(|report| report.tell(self.closed)) {
                return Ok(Some(Event::Progress(progress)));
            }
            if self.closed {
                return Ok(None);
            }
            if self.wait().await {
                self.read().await?;
            }
        }
    }

    /// Waits until there may be something to read; false when it is time to tell of progress instead.
    async fn wait(&mut self) -> bool {
        // A timer counts in milliseconds.
        if self.not_before > Instant::now() + Duration::from_millis(1) {
            tokio::time::sleep_until(self.not_before.into()).await;
        }
        let due = self.progress.as_ref().filter(|report| report.has_news()).map(|report| report.due);
        let changed = self.heard.changed();
        match due {
            // The sender outlives whoever follows.
            None => changed.await.is_ok(),
            Some(due) => tokio::time::timeout_at(due.into(), changed).await.is_ok(),
        }
    }

    /// Reads what has come, and begins to evaluate it.
    async fn read(&mut self) -> Result<(), TablesError> {
        let followers = u32::try_from(self.follows.inner.lock().followers.count()).unwrap_or(u32::MAX);
        let pause = self.spent.saturating_mul(followers).saturating_mul(SHARE_OF_CORE).min(PAUSE_MAX);
        let begun = Instant::now();
        let looks_up = !self.evaluator.lookups.is_empty();
        let (Arrived { rows, dropped, position, reached, closed }, catalog) = {
            let mut held = self.follows.inner.lock();
            let arrived = held.arrived(self.follows.id)?;
            let tables = held.pin_some(|name| looks_up || arrived.rows.contains_key(name));
            (arrived, Catalog::new(tables, self.follows.inner.session.clone(), held.position))
        };
        let catalog = (self.narrow)(&catalog);
        self.closed = closed;
        self.dropped += dropped;
        let mut some = false;
        let mut sessions = BTreeSet::new();
        for input in &mut self.inputs {
            let (came, late) = input.take(&rows[&input.table], &catalog, reached.as_deref(), &self.evaluator.state).await?;
            some |= came;
            self.dropped += late;
            input.source.sessions(&mut sessions);
        }
        if some {
            self.rows = self.evaluator.evaluate(&catalog, &sessions).await?;
        }
        self.note(position, reached.as_deref());
        self.not_before = begun + pause;
        self.spent = begun.elapsed();
        Ok(())
    }

    /// Notes how far the rows have come that are given next.
    fn note(&mut self, position: i64, reached: Option<&Reached>) {
        let Some(report) = &mut self.progress else { return };
        let watermark_of = |input: &Input| reached.and_then(|reached| input.watermark(reached));
        let watermark_ns = self.inputs.iter().map(watermark_of).min().flatten().filter(|watermark| (1..i64::MAX).contains(watermark));
        report.news = Some(Progress { position, watermark_ns, dropped: self.dropped });
    }
}

impl ProgressReport {
    fn has_news(&self) -> bool {
        self.news.is_some() && self.news != self.told
    }

    /// What is to be told by now.
    fn tell(&mut self, at_last: bool) -> Option<Progress> {
        if !self.has_news() || !(at_last || self.due <= Instant::now()) {
            return None;
        }
        (self.told, self.due) = (self.news, Instant::now() + PROGRESS_EVERY);
        self.told
    }
}

impl Followed {
    /// The table, whichever of its views is followed.
    fn table(&self) -> String {
        base_name(self.scan.table_name.table()).0.to_owned()
    }
}

impl Input {
    fn of(followed: &Followed) -> Self {
        let (table, columns) = (followed.table(), followed.scan.source.schema());
        let hold = followed.hold.as_ref().map(|key| Hold::new(&table, key.clone(), &columns));
        let whole = base_name(followed.scan.table_name.table()).1 == ALL;
        Self { table, whole, source: Arc::new(Source::new(columns.clone())), columns, hold }
    }

    /// Takes what has come; gives whether there is something to evaluate, and how many rows came after their window.
    async fn take(
        &mut self,
        came: &[Arc<HotBatch>],
        catalog: &Catalog,
        reached: Option<&Reached>,
        state: &SessionState,
    ) -> Result<(bool, u64), TablesError> {
        let rows = match catalog.table(&self.table) {
            Some(table) if !came.is_empty() => self.seen(came, table, state).await?,
            _ => Vec::new(),
        };
        let (rows, late) = match &mut self.hold {
            None => (rows, 0),
            Some(hold) => hold.pass(rows, reached, state)?,
        };
        let rows = if rows.len() > 1 { vec![concat_batches(&self.columns, &rows)?] } else { rows };
        let some = rows.iter().any(|rows| rows.num_rows() > 0);
        self.source.set(rows);
        Ok((some, late))
    }

    /// The rows that a query of the table would show, read in the same way.
    async fn seen(&self, came: &[Arc<HotBatch>], table: &PinnedTable, state: &SessionState) -> Result<Vec<RecordBatch>, TablesError> {
        let table = if self.whole { table.whole() } else { table.clone() };
        let hot = came
            .iter()
            .map(|batch| if batch.rows.schema_ref() == &table.schema { batch.clone() } else { Arc::new(batch.widened(&table.schema)) });
        let table = PinnedTable { hot: hot.collect(), cold: None, ..table };
        let plan = table.scan(state, None, &[], None).await?;
        let rows = collect(plan, state.task_ctx()).await?;
        Ok(rows.iter().map(|rows| schema::widened(rows, &self.columns)).collect())
    }

    fn watermark(&self, reached: &Reached) -> Option<i64> {
        match &self.hold {
            Some(hold) => hold.watermark(reached),
            None => reached.watermarks.get(&self.table).copied(),
        }
    }
}

/// Every table as it stands now.
fn pinned(inner: &Inner) -> Catalog {
    let tables = inner.lock();
    Catalog::new(tables.pin(), inner.session.clone(), tables.position)
}

/// The plan of what is followed.
async fn plan_of(catalog: &Catalog, statement: &Statement) -> Result<LogicalPlan, TablesError> {
    let plan = catalog.prepare(&statement.query).await?.into_plan();
    plan.ok_or_else(|| TablesError::NotLive {
        reason: "it describes tables".to_owned(),
        rewrite: "ask it once, without SUBSCRIBE".to_owned(),
    })
}

/// The rows that come first, of what is there already; those of open windows wait among the inputs.
async fn before(
    catalog: &Catalog,
    plan: &LogicalPlan,
    followed: &[Followed],
    inputs: &mut [Input],
    start: Start,
    reached: Option<&Reached>,
) -> Result<Rows, TablesError> {
    let context = catalog.session();
    let state = context.state();
    let (mut first, mut open) = (Vec::new(), Vec::new());
    for input in inputs.iter() {
        let since = match (start, &input.hold) {
            (Start::From(time_ns), Some(hold)) if hold.is_window() => Some(hold.beginning_at(hold.window_at(time_ns, &state)?)),
            (Start::From(time_ns), _) => Some(ident(TIME).gt_eq(lit(time_ns))),
            (Start::Now | Start::Snapshot, _) => None,
        };
        let complete = input.hold.as_ref().map(|hold| hold.complete(reached, &state)).transpose()?.flatten();
        first.push([since.clone(), complete.clone()].into_iter().flatten().reduce(Expr::and));
        let waits = complete.filter(|_| start != Start::Now || input.hold.as_ref().is_some_and(Hold::is_window));
        open.push(waits.and_then(|complete| [Some(complete.is_not_true()), since].into_iter().flatten().reduce(Expr::and)));
    }
    for ((input, open), followed) in inputs.iter_mut().zip(open).zip(followed) {
        let (Some(hold), Some(_)) = (&mut input.hold, &open) else { continue };
        let waiting = context.execute_logical_plan(filtered(&followed.scan, open)?).await?.collect().await?;
        let waiting = waiting.iter().map(|rows| schema::widened(rows, &input.columns)).collect();
        hold.seed(waiting, reached, &state)?;
    }
    if start == Start::Now {
        return Ok(futures::stream::empty().boxed());
    }
    let plan = plan::with_leaves(plan, |index, scan| filtered(scan, first[index].take()))?;
    let rows = context.execute_logical_plan(plan).await?.execute_stream().await?;
    Ok(rows.map_err(TablesError::from).fuse().boxed())
}

fn filtered(scan: &TableScan, condition: Option<Expr>) -> Result<LogicalPlan, TablesError> {
    let scan = LogicalPlanBuilder::from(LogicalPlan::TableScan(scan.clone()));
    Ok(match condition {
        None => scan.build()?,
        Some(condition) => scan.filter(condition)?.build()?,
    })
}

/// A session whose plans run as one partition each: a few rows are not worth more, and stay in their order. It pins no tables.
fn one_at_a_time(session: &SessionState) -> SessionState {
    let config = session.config().clone().with_target_partitions(1);
    // A plan that is run again must not keep what it has learnt of the rows before.
    let config = config.set_bool("datafusion.optimizer.enable_dynamic_filter_pushdown", false);
    let catalogs = Arc::new(MemoryCatalogProviderList::new());
    SessionStateBuilder::new_from_existing(session.clone()).with_config(config).with_catalog_list(catalogs).build()
}

/// A plan that is run again and again.
struct Evaluator {
    schema: SchemaRef,
    state: SessionState,
    context: SessionContext,
    optimized: LogicalPlan,
    lookups: Vec<Arc<Lookup>>,
    /// Kept where no table is looked up: planning would cost more than running.
    physical: Option<Arc<dyn ExecutionPlan>>,
}

impl Evaluator {
    fn new(plan: &LogicalPlan, sources: &[Arc<Source>], state: SessionState) -> Result<Self, TablesError> {
        let schema = Arc::new(plan.schema().as_arrow().clone());
        let (plan, lookups) = plan::live(plan, sources)?;
        let optimized = state.optimize(&plan)?;
        let context = SessionContext::new_with_state(state.clone());
        Ok(Self { schema, state, context, optimized, lookups, physical: None })
    }

    /// Evaluates the plan over what its sources hold, of some sessions, and over the tables of a catalog.
    async fn evaluate(&mut self, catalog: &Catalog, sessions: &BTreeSet<String>) -> Result<Rows, TablesError> {
        for lookup in &self.lookups {
            if let Some(provider) = catalog.provider(lookup.name()) {
                lookup.set(provider, sessions);
            }
        }
        let physical = match &self.physical {
            Some(plan) => reset_plan_states(plan.clone())?,
            None => {
                let plan = self.state.query_planner().create_physical_plan(&self.optimized, &self.state).await?;
                if self.lookups.is_empty() {
                    self.physical = Some(plan.clone());
                }
                plan
            }
        };
        let context = self.context.task_ctx();
        let partitions = 0..physical.output_partitioning().partition_count();
        let rows = partitions.map(move |partition| match physical.execute(partition, context.clone()) {
            Ok(rows) => rows.map_err(TablesError::from).boxed(),
            Err(error) => futures::stream::once(async move { Err(TablesError::from(error)) }).boxed(),
        });
        Ok(futures::stream::iter(rows).flatten().fuse().boxed())
    }
}
