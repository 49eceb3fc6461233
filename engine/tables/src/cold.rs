//! How does one table lie in Delta Lake: opened, widened, appended to, and pinned at a version for a query?

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{RecordBatch, UInt32Array};
use arrow_schema::{Field, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use datafusion::catalog::TableProvider;
use datafusion::execution::SessionState;
use deltalake_core::datafile::writer::{DeltaWriter, WriterConfig};
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake_core::kernel::{Action, Add, StructField, Transaction};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::operations::get_num_idx_cols_and_stats_columns;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::{DeltaTable, DeltaTableBuilder, DeltaTableError, ensure_table_uri};
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::error::TablesError;
use crate::schema::{self, MONTH};

/// How often an append is tried when other processes commit to the same table.
const ATTEMPTS: usize = 5;

/// A Delta table at one version.
#[derive(Clone, Debug)]
pub(crate) struct Cold {
    name: String,
    path: PathBuf,
    table: DeltaTable,
    /// Columns in SQL.
    pub(crate) schema: SchemaRef,
    /// The version, as a query scans it.
    pub(crate) scan: Arc<dyn TableProvider>,
}

impl Cold {
    /// Opens a table that is there.
    pub(crate) async fn open(path: &Path, name: &str, session: &SessionState) -> Result<Self, TablesError> {
        let table = locate(path, name)?.load().await.map_err(TablesError::delta(name))?;
        Self::pinned(name, path, table, session).await
    }

    /// Opens a table, creates it when absent, and adds the columns that it lacks.
    pub(crate) async fn open_or_create(
        path: &Path,
        name: &str,
        wanted: &Schema,
        high_rate: bool,
        session: &SessionState,
    ) -> Result<Self, TablesError> {
        std::fs::create_dir_all(path).map_err(|source| TablesError::Io { path: path.to_owned(), source })?;
        let mut table = locate(path, name)?.build().map_err(TablesError::delta(name))?;
        if !table.verify_deltatable_existence().await.map_err(TablesError::delta(name))? {
            create(&table, name, wanted, high_rate).await.map_err(TablesError::delta(name))?;
        }
        table.load().await.map_err(TablesError::delta(name))?;
        let cold = Self::pinned(name, path, table, session).await?;
        let gained = schema::gained(name, &cold.schema, wanted)?;
        if gained.is_empty() {
            return Ok(cold);
        }
        let fields = kernel_fields(gained.iter()).map_err(TablesError::delta(name))?;
        let table = cold.table.add_columns().with_fields(fields).await.map_err(TablesError::delta(name))?;
        Self::pinned(name, path, table, session).await
    }

    /// The position of an application's last transaction.
    pub(crate) async fn committed(&self, app_id: &str) -> Result<Option<i64>, TablesError> {
        transaction(&self.table, app_id).await.map_err(TablesError::delta(&self.name))
    }

    /// Appends rows in one Delta commit with the transaction (`app_id`, `position`), and pins the version after it.
    /// `known` is the last transaction that the caller made or found: a newer one is another process's.
    pub(crate) async fn append(
        mut self,
        batches: Vec<RecordBatch>,
        app_id: &str,
        known: Option<i64>,
        position: i64,
        session: &SessionState,
    ) -> Result<Self, TablesError> {
        let name = self.name.clone();
        let rows = sorted(&batches);
        drop(batches);
        let adds = self.write(rows).await.map_err(TablesError::delta(&name))?;
        self.sync(adds.iter().map(|add| PathBuf::from(&add.path)).collect()).await?;
        let adds: Vec<Action> = adds.into_iter().map(Action::Add).collect();
        for attempt in 1.. {
            // Delta itself does not refuse a stale transaction, and another process may have committed since.
            self.table.update_state().await.map_err(TablesError::delta(&name))?;
            let committed = self.committed(app_id).await?;
            if let Some(committed) = committed.filter(|committed| *committed >= position || Some(*committed) > known) {
                return Err(TablesError::StaleCommit { table: name, rig: app_id.to_owned(), committed });
            }
            match self.commit(adds.clone(), Transaction::new(app_id, position)).await {
                Ok(()) => break,
                Err(DeltaTableError::Transaction { .. } | DeltaTableError::VersionAlreadyExists(_)) if attempt < ATTEMPTS => {}
                Err(source) => return Err(TablesError::delta(&name)(source)),
            }
        }
        let version = self.table.version().unwrap_or_default() + 1;
        self.table.update_state().await.map_err(TablesError::delta(&name))?;
        self.sync(log_files(version)).await?;
        Self::pinned(&name, &self.path, self.table, session).await
    }

    /// Writes Parquet files, which no reader sees until they are committed.
    async fn write(&self, rows: RecordBatch) -> Result<Vec<Add>, DeltaTableError> {
        let state = self.table.snapshot()?;
        let partitions = state.metadata().partition_columns().to_vec();
        let rows = if partitions.is_empty() { rows } else { with_month(&rows)? };
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let (indexed, stats) = get_num_idx_cols_and_stats_columns(Some(state.table_config()), std::collections::HashMap::new());
        let config = WriterConfig::new(rows.schema(), partitions, Some(properties), None, None, indexed, stats);
        let mut writer = DeltaWriter::new(self.table.object_store(), config);
        writer.write(&rows).await?;
        writer.close().await
    }

    async fn commit(&self, adds: Vec<Action>, transaction: Transaction) -> Result<(), DeltaTableError> {
        let state = self.table.snapshot()?;
        let partitions = state.metadata().partition_columns().to_vec();
        let partition_by = (!partitions.is_empty()).then_some(partitions);
        let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by, predicate: None };
        // One attempt here: the check for a stale transaction belongs before each.
        let properties = CommitProperties::default().with_application_transaction(transaction).with_max_retries(0);
        CommitBuilder::from(properties).with_actions(adds).build(Some(state), self.table.log_store(), operation).await?;
        Ok(())
    }

    /// Brings files of the table, and the folders that name them, to the disk: a commit that survives a power cut must
    /// not name data that didn't. Files that are not there are passed over.
    async fn sync(&self, files: Vec<PathBuf>) -> Result<(), TablesError> {
        let root = self.path.clone();
        let sync = move || files.iter().try_for_each(|file| sync_file(&root.join(file)));
        tokio::task::spawn_blocking(sync).await.unwrap_or_else(|stopped| Err(TablesError::Stopped { reason: stopped.to_string() }))
    }

    async fn pinned(name: &str, path: &Path, table: DeltaTable, session: &SessionState) -> Result<Self, TablesError> {
        let scan: Arc<dyn TableProvider> = Arc::new(table.table_provider().with_session(Arc::new(session.clone())).build().await?);
        Ok(Self { name: name.to_owned(), path: path.to_owned(), schema: schema::arranged(&scan.schema()), scan, table })
    }
}

fn sync_file(path: &Path) -> Result<(), TablesError> {
    for path in [Some(path), path.parent()].into_iter().flatten() {
        match std::fs::File::open(path).and_then(|file| file.sync_all()) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => return Err(TablesError::Io { path: path.to_owned(), source }),
            _ => {}
        }
    }
    Ok(())
}

/// What a commit may write into the log.
fn log_files(version: u64) -> Vec<PathBuf> {
    let names = [format!("{version:020}.json"), format!("{version:020}.checkpoint.parquet"), "_last_checkpoint".to_owned()];
    names.map(|name| Path::new("_delta_log").join(name)).to_vec()
}

async fn transaction(table: &DeltaTable, app_id: &str) -> Result<Option<i64>, DeltaTableError> {
    table.snapshot()?.transaction_version(table.log_store().as_ref(), app_id).await
}

fn locate(path: &Path, name: &str) -> Result<DeltaTableBuilder, TablesError> {
    let url = ensure_table_uri(path.to_string_lossy()).map_err(TablesError::delta(name))?;
    DeltaTableBuilder::from_url(url).map_err(TablesError::delta(name))
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
        .with_configuration([("delta.dataSkippingStatsColumns", Some(narrow.collect::<Vec<_>>().join(",")))])
        .with_save_mode(SaveMode::Ignore);
    create.await.map(drop)
}

fn kernel_fields<'a>(fields: impl Iterator<Item = &'a Field>) -> Result<Vec<StructField>, DeltaTableError> {
    fields
        .map(|field| field.try_into_kernel().map_err(|error: arrow_schema::ArrowError| DeltaTableError::Arrow { source: error }))
        .collect()
}

/// All rows in one batch, by session and time; rows of one instant stay in the order they came in.
fn sorted(batches: &[RecordBatch]) -> RecordBatch {
    let schema = batches[0].schema();
    let all = concat_batches(&schema, batches).expect("a table's batches share its schema");
    let (Ok(time), Ok(session)) = (schema.index_of(proprio_core::schema::TIME), schema.index_of(schema::SESSION)) else {
        return all;
    };
    let times = all.column(time).as_primitive::<Int64Type>().values();
    let sessions = all.column(session).as_string::<i32>();
    let mut order: Vec<u32> = (0..u32::try_from(all.num_rows()).expect("a commit has fewer than 4 billion rows")).collect();
    let place = |row: &u32| (sessions.value(*row as usize), times[*row as usize]);
    if order.is_sorted_by_key(place) {
        return all;
    }
    order.sort_by(|a, b| place(a).cmp(&place(b)));
    take_record_batch(&all, &UInt32Array::from(order)).expect("every index is a row")
}

fn with_month(rows: &RecordBatch) -> Result<RecordBatch, DeltaTableError> {
    let mut fields: Vec<Arc<Field>> = rows.schema_ref().fields().iter().cloned().collect();
    fields.push(Arc::new(schema::month_field()));
    let mut columns = rows.columns().to_vec();
    let times = rows.column_by_name(proprio_core::schema::TIME).expect("every table has its event time");
    columns.push(schema::months(times.as_primitive::<Int64Type>()));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
