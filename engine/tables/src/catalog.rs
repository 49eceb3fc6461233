//! Which rows does one query see? A catalog: every table, pinned at one instant.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, SchemaProvider, TableProvider,
};
use datafusion::common::{ParamValues, Result as PlanResult};
use datafusion::datasource::TableType;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::stream::{BoxStream, StreamExt, TryStreamExt};

use crate::access::Access;
use crate::by_session::BySession;
use crate::error::TablesError;
use crate::keep_order::KeepOrder;
use crate::latest::{self, Latest};
use crate::provider::PinnedTable;
use crate::sql::Prepared;

/// Memory that all queries of a process share; sorts and groupings beyond it spill to disk.
const QUERY_BYTES: usize = 512 << 20;
const CATALOG: &str = "proprio";
pub(crate) const SCHEMA: &str = "public";

/// Every table at one instant: the Delta versions, and the hot rows after them.
#[derive(Clone, Debug)]
pub struct Catalog {
    tables: Arc<Tables>,
    session: SessionState,
    position: i64,
    /// Whether rows are hidden from whoever asks, so that nothing may tell of them.
    pub(crate) hides: bool,
}

/// The rows of an answer, as they come.
pub struct Answer {
    /// Columns; field metadata carries units and frames of plain columns.
    pub schema: SchemaRef,
    /// Batches in that schema.
    pub batches: BoxStream<'static, Result<RecordBatch, TablesError>>,
}

impl Catalog {
    pub(crate) fn new(tables: Tables, session: SessionState, position: i64) -> Self {
        Self { tables: Arc::new(tables), session, position, hides: false }
    }

    /// The newest position whose rows are all in this catalog.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// The same instant as somebody may see it: other tables and sessions are not there for any of its queries.
    pub fn seen_by(&self, access: &Access) -> Self {
        let condition = access.condition().map(Arc::new);
        let seen = self.tables.iter().filter(|(name, _)| access.sees_table(name));
        let tables = seen.map(|(name, table)| {
            let seen = match &condition {
                Some(_) => Arc::new(PinnedTable { seen: condition.clone(), ..table.as_ref().clone() }),
                None => table.clone(),
            };
            (name.clone(), seen)
        });
        Self { tables: Arc::new(tables.collect()), hides: self.hides || access.hides_sessions(), ..self.clone() }
    }

    /// The same catalog, whose queries hold at most `bytes` each; sorts and groupings beyond it spill to disk.
    pub fn with_memory(&self, bytes: usize) -> Self {
        let shared = self.session.runtime_env().as_ref().clone();
        let runtime = Arc::new(RuntimeEnv { memory_pool: Arc::new(FairSpillPool::new(bytes)), ..shared });
        let session = SessionStateBuilder::new_from_existing(self.session.clone()).with_runtime_env(runtime).build();
        Self { session, ..self.clone() }
    }

    /// Names of the tables, in order, without their views.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tables.keys().map(String::as_str)
    }

    /// Columns of a table or of one of its views, with unit, frame, segment and side as metadata.
    pub fn columns(&self, table: &str) -> Option<SchemaRef> {
        View::of(table, &self.tables).map(|(_, table, _)| table.schema.clone())
    }

    /// Runs one read-only statement: SELECT, DESCRIBE, SHOW or EXPLAIN.
    ///
    /// # Errors
    /// [`TablesError`], one line, with the nearest name where a table or column isn't there.
    pub async fn query(&self, sql: &str) -> Result<Answer, TablesError> {
        self.prepare(sql).await?.start(ParamValues::List(Vec::new())).await
    }

    /// Checks and plans one read-only statement, whose columns and parameters are then known.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn prepare(&self, sql: &str) -> Result<Prepared, TablesError> {
        self.prepare_in(self.session(), sql).await
    }

    /// A table itself.
    pub(crate) fn table(&self, name: &str) -> Option<&Arc<PinnedTable>> {
        self.tables.get(name)
    }

    /// A table or one of its views, as DataFusion reads it.
    pub(crate) fn provider(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        provider(name, &self.tables)
    }

    /// As [`prepare`](Self::prepare), in a [`session`](Self::session) of this catalog to which a door has added what its clients
    /// take for granted, such as `pg_catalog`.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn prepare_in(&self, session: SessionContext, sql: &str) -> Result<Prepared, TablesError> {
        crate::sql::prepare(self, session, sql).await
    }

    /// A DataFusion session whose only catalog, `proprio`, is this one, as schema `public`.
    pub fn session(&self) -> SessionContext {
        let schemas = Arc::new(MemoryCatalogProvider::new());
        schemas.register_schema(SCHEMA, Arc::new(Pinned(self.tables.clone()))).expect("a memory catalog takes schemas");
        let catalogs = Arc::new(MemoryCatalogProviderList::new());
        catalogs.register_catalog(CATALOG.to_owned(), schemas);
        let state = SessionStateBuilder::new_from_existing(self.session.clone()).with_catalog_list(catalogs).build();
        SessionContext::new_with_state(state)
    }
}

impl Answer {
    /// An answer that is there already.
    pub(crate) fn of(batch: RecordBatch) -> Self {
        Self { schema: batch.schema(), batches: futures::stream::iter([Ok(batch)]).boxed() }
    }

    /// All rows; at least one batch, so that the columns are known of an empty answer too.
    ///
    /// # Errors
    /// What the query met while it ran.
    pub async fn collect(self) -> Result<Vec<RecordBatch>, TablesError> {
        let mut batches: Vec<RecordBatch> = self.batches.try_collect().await?;
        if batches.is_empty() {
            batches.push(RecordBatch::new_empty(self.schema));
        }
        Ok(batches)
    }
}

/// What every query of a process shares: functions, options and the memory pool.
pub(crate) fn session() -> Result<SessionState, TablesError> {
    let config = SessionConfig::new()
        .with_information_schema(true)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        // Names are written as they stand: marker labels and channels keep their capitals.
        .set_bool("datafusion.sql_parser.enable_ident_normalization", false)
        // Rows that a scan gives by session are grouped by more than it where they are.
        .set_usize("datafusion.optimizer.subset_repartition_threshold", 1)
        // Cold text has the type of hot text.
        .set_bool("datafusion.execution.parquet.schema_force_view_types", false);
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(FairSpillPool::new(QUERY_BYTES))).build_arc()?;
    let builder = SessionStateBuilder::new().with_default_features().with_config(config).with_runtime_env(runtime);
    Ok(crate::sql::extended(builder).with_physical_optimizer_rules(physical_rules()).build())
}

/// DataFusion's rules, and ours where they know more of how rows lie.
fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    let mut put_before = |name: &str, rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>| {
        let at = rules.iter().position(|rule| rule.name() == name).unwrap_or(rules.len());
        rules.insert(at, rule);
    };
    put_before("EnsureRequirements", Arc::new(BySession::LAG));
    put_before("CombinePartialFinalAggregate", Arc::new(BySession::AGGREGATE));
    rules.push(Arc::new(KeepOrder));
    rules
}

/// What a table's name with every run of each session ends in.
pub(crate) const ALL: &str = "_all";

/// What a name stands for beside a table itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    /// The table.
    None,
    /// The newest rows of those that it shows.
    Latest,
    /// Every run of each session.
    All,
}

impl View {
    fn of<'a>(name: &str, tables: &'a Tables) -> Option<(&'a str, &'a Arc<PinnedTable>, Self)> {
        let views = [("", Self::None), (latest::SUFFIX, Self::Latest), (ALL, Self::All)];
        views.into_iter().find_map(|(suffix, view)| {
            let (base, table) = tables.get_key_value(name.strip_suffix(suffix)?)?;
            Some((base.as_str(), table, view))
        })
    }
}

/// A table's name without the suffix of a view, and that suffix.
pub(crate) fn base_name(name: &str) -> (&str, &'static str) {
    let views = [latest::SUFFIX, ALL];
    views.into_iter().find_map(|suffix| Some((name.strip_suffix(suffix)?, suffix))).unwrap_or((name, ""))
}

type Tables = BTreeMap<String, Arc<PinnedTable>>;

fn provider(name: &str, tables: &Tables) -> Option<Arc<dyn TableProvider>> {
    let (base, table, view) = View::of(name, tables)?;
    Some(match view {
        View::None => table.clone(),
        View::Latest => Arc::new(Latest::of(base, table.clone())),
        View::All => Arc::new(table.whole()),
    })
}

/// The pinned tables as DataFusion looks them up; views are made when they are asked for.
#[derive(Debug)]
struct Pinned(Arc<Tables>);

#[async_trait]
impl SchemaProvider for Pinned {
    fn table_names(&self) -> Vec<String> {
        self.0.keys().flat_map(|name| ["", ALL, latest::SUFFIX].map(|suffix| format!("{name}{suffix}"))).collect()
    }

    async fn table(&self, name: &str) -> PlanResult<Option<Arc<dyn TableProvider>>> {
        Ok(provider(name, &self.0))
    }

    async fn table_type(&self, name: &str) -> PlanResult<Option<TableType>> {
        Ok(View::of(name, &self.0).map(|(_, _, view)| if view == View::None { TableType::Base } else { TableType::View }))
    }

    fn table_exist(&self, name: &str) -> bool {
        View::of(name, &self.0).is_some()
    }
}
