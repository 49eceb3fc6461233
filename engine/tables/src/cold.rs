//! How does one table lie in Delta Lake: opened, widened, followed through its versions, and pinned for a query?

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema, SchemaRef};
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::physical_plan::collect;
use datafusion::prelude::ident;
use deltalake_core::kernel::StructField;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::operations::vacuum::{Clock, VacuumMode};
use deltalake_core::protocol::SaveMode;
use deltalake_core::{DeltaTable, DeltaTableError};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStoreExt};
use proprio_core::TimeNs;

use crate::error::TablesError;
use crate::place::Place;
use crate::scan::ColdScan;
use crate::schema::{self, MONTH};

/// How often a change is tried when other processes commit to the same table.
pub(crate) const ATTEMPTS: usize = 5;

/// A Delta table at one version.
#[derive(Clone, Debug)]
pub(crate) struct Cold {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) table: DeltaTable,
    /// Columns in SQL.
    pub(crate) schema: SchemaRef,
    /// The version, as a query scans it.
    pub(crate) scan: Arc<ColdScan>,
    /// The application whose transaction made this version, and its number; `None` of a version that was found.
    pub(crate) transaction: Option<(String, i64)>,
}

impl Cold {
    /// Opens a table that is there.
    pub(crate) async fn open(place: &Place, name: &str) -> Result<Self, TablesError> {
        let mut table = place.delta(name)?;
        table.load().await.map_err(TablesError::delta(name))?;
        Self::pinned(name, place, table)
    }

    /// Opens a table, creates it when absent, and adds the columns that it lacks.
    pub(crate) async fn open_or_create(place: &Place, name: &str, wanted: &Schema, high_rate: bool) -> Result<Self, TablesError> {
        if let Some(path) = place.local() {
            std::fs::create_dir_all(path).map_err(|source| TablesError::Io { path: path.to_owned(), source })?;
        }
        let mut attempt = 1;
        loop {
            match Self::try_open_or_create(place, name, wanted, high_rate).await {
                // Another process made or widened it meanwhile.
                Err(TablesError::Delta { source, .. }) if is_race(&source) && attempt < ATTEMPTS => attempt += 1,
                outcome => return outcome,
            }
        }
    }

    async fn try_open_or_create(place: &Place, name: &str, wanted: &Schema, high_rate: bool) -> Result<Self, TablesError> {
        let mut table = place.delta(name)?;
        if !table.verify_deltatable_existence().await.map_err(TablesError::delta(name))? {
            create(&table, name, wanted, high_rate).await.map_err(TablesError::delta(name))?;
        }
        table.load().await.map_err(TablesError::delta(name))?;
        let cold = Self::pinned(name, place, table)?;
        let gained = schema::gained(name, &cold.schema, wanted)?;
        if gained.is_empty() {
            return Ok(cold);
        }
        let fields = kernel_fields(gained.iter()).map_err(TablesError::delta(name))?;
        let table = cold.table.add_columns().with_fields(fields).await.map_err(TablesError::delta(name))?;
        Self::pinned(name, place, table)
    }

    /// The newest version, when another process has made one since; asks for two names alone when not.
    pub(crate) async fn newer(&self) -> Result<Option<Self>, TablesError> {
        let version = self.table.version().unwrap_or_default();
        // An entry that is gone was cleaned away after a newer one.
        if !self.has_entry(version + 1).await? && self.has_entry(version).await? {
            return Ok(None);
        }
        let mut table = self.table.clone();
        if table.update_state().await.is_err() {
            return Self::open(&self.place, &self.name).await.map(Some);
        }
        Self::pinned(&self.name, &self.place, table).map(Some)
    }

    async fn has_entry(&self, version: u64) -> Result<bool, TablesError> {
        let path = Path::from(format!("_delta_log/{version:020}.json"));
        match self.table.object_store().head(&path).await {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(source) => Err(TablesError::Unreachable { place: self.place.to_string(), source }),
        }
    }

    /// The rows of some files; columns that the table lacks are left out.
    pub(crate) async fn read(&self, files: Vec<usize>, columns: &[&str], session: &SessionState) -> Result<Vec<RecordBatch>, TablesError> {
        let columns = columns.iter().filter(|column| self.schema.index_of(column).is_ok()).map(|column| ident(*column));
        let plan = self.plan(files)?.project(columns)?.build()?;
        let plan = session.create_physical_plan(&plan).await?;
        Ok(collect(plan, session.task_ctx()).await?)
    }

    /// A plan over some files of this version.
    pub(crate) fn plan(&self, files: Vec<usize>) -> Result<LogicalPlanBuilder, TablesError> {
        Ok(LogicalPlanBuilder::scan(self.name.as_str(), provider_as_source(Arc::new(self.scan.only(files))), None)?)
    }

    /// The position of an application's last transaction.
    pub(crate) async fn committed(&self, app_id: &str) -> Result<Option<i64>, TablesError> {
        if let Some((_, position)) = self.transaction.as_ref().filter(|(made, _)| made == app_id) {
            return Ok(Some(*position));
        }
        transaction(&self.table, app_id).await.map_err(TablesError::delta(&self.name))
    }

    /// Deletes the files that no version has named for a week, Delta's own limit, at `now_ns`.
    pub(crate) async fn vacuumed(self, now_ns: TimeNs) -> Result<Self, TablesError> {
        let vacuum = self.table.clone().vacuum().with_mode(VacuumMode::Full).with_clock(Arc::new(At { now_ns }));
        let (table, _) = vacuum.await.map_err(TablesError::delta(&self.name))?;
        Self::pinned(&self.name, &self.place, table)
    }

    pub(crate) fn pinned(name: &str, place: &Place, table: DeltaTable) -> Result<Self, TablesError> {
        let schema = schema::arranged(&table.snapshot().map_err(TablesError::delta(name))?.snapshot().arrow_schema());
        let scan = Arc::new(ColdScan::of(table.clone(), schema.clone()));
        Ok(Self { name: name.to_owned(), place: place.clone(), table, schema, scan, transaction: None })
    }
}

/// The caller's clock, so that the store has none.
#[derive(Debug)]
struct At {
    now_ns: TimeNs,
}

impl Clock for At {
    fn current_timestamp_millis(&self) -> i64 {
        self.now_ns.div_euclid(1_000_000)
    }
}

/// Whether a change failed since another process made one first.
pub(crate) fn is_race(error: &DeltaTableError) -> bool {
    matches!(error, DeltaTableError::Transaction { .. } | DeltaTableError::VersionAlreadyExists(_))
}

async fn transaction(table: &DeltaTable, app_id: &str) -> Result<Option<i64>, DeltaTableError> {
    table.snapshot()?.transaction_version(table.log_store().as_ref(), app_id).await
}

async fn create(table: &DeltaTable, name: &str, wanted: &Schema, high_rate: bool) -> Result<(), DeltaTableError> {
    let month = schema::month_field();
    let fields = wanted.fields().iter().map(|field| field.as_ref());
    let fields = kernel_fields(fields.chain(high_rate.then_some(&month)))?;
    // Statistics of the columns that queries narrow by: a log entry per measured column would outgrow the data.
    let narrow = [Some(schema::TIME_UTC), Some(proprio_core::schema::TIME), schema::key(wanted)];
    let narrow = narrow.into_iter().flatten().chain([schema::RIG, schema::SESSION, schema::RUN]);
    let create = CreateBuilder::new()
        .with_log_store(table.log_store())
        .with_table_name(name)
        .with_columns(fields)
        .with_partition_columns(high_rate.then_some(MONTH))
        .with_configuration([
            ("delta.dataSkippingStatsColumns", Some(narrow.collect::<Vec<_>>().join(","))),
            // As long as its files: an older version can't be read anyway.
            ("delta.logRetentionDuration", Some("interval 1 week".to_owned())),
        ])
        .with_save_mode(SaveMode::Ignore);
    create.await.map(drop)
}

fn kernel_fields<'a>(fields: impl Iterator<Item = &'a Field>) -> Result<Vec<StructField>, DeltaTableError> {
    fields
        .map(|field| field.try_into_kernel().map_err(|error: arrow_schema::ArrowError| DeltaTableError::Arrow { source: error }))
        .collect()
}
