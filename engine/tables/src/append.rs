//! How do rows get into a Delta table: written, brought to the disk, and then named by one commit?

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, RecordBatch, UInt32Array};
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use deltalake_core::DeltaTableError;
use deltalake_core::datafile::writer::{DeltaWriter, WriterConfig};
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake_core::kernel::{Action, Transaction};
use deltalake_core::operations::get_num_idx_cols_and_stats_columns;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::table::state::DeltaTableState;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::cold::{ATTEMPTS, Cold, is_race};
use crate::error::TablesError;
use crate::schema;

/// A file that has grown to this is ended, and another begun.
pub(crate) const FILE_BYTES: NonZeroU64 = NonZeroU64::new(128 << 20).expect("it isn't zero");
/// A session in a large file is found by its row groups; a writer holds one of them in memory.
const ROW_GROUP_ROWS: usize = 128 << 10;
/// Between two looks at how large a file has grown.
const WRITE_ROWS: usize = 8192;

impl Cold {
    /// Appends rows in one Delta commit with the transaction (`app_id`, `position`), and pins the version after it.
    /// `known` is the last transaction that the caller made or found: a newer one is another process's.
    pub(crate) async fn append(
        mut self,
        batches: Vec<RecordBatch>,
        app_id: &str,
        known: Option<i64>,
        position: i64,
    ) -> Result<Self, TablesError> {
        let name = self.name.clone();
        let mut rows = sorted(&batches);
        drop(batches);
        if rows.schema_ref() != &self.schema {
            rows = schema::widened(&rows, &self.schema);
        }
        let mut writer = self.writer().map_err(TablesError::delta(&name))?;
        self.write(&mut writer, rows).await.map_err(TablesError::delta(&name))?;
        let adds = writer.close().await.map_err(TablesError::delta(&name))?;
        self.sync(adds.iter().map(|add| PathBuf::from(&add.path)).collect()).await?;
        let adds: Vec<Action> = adds.into_iter().map(Action::Add).collect();
        for attempt in 1.. {
            // Delta itself does not refuse a stale transaction, and another process may have committed since.
            if let Some(newer) = self.newer().await? {
                self = newer;
            }
            let committed = self.committed(app_id).await?;
            // The answer to the attempt before may have been lost on its way from an object store.
            if attempt > 1 && committed == Some(position) && self.names_any(&adds)? {
                return Ok(self);
            }
            if let Some(committed) = committed.filter(|committed| *committed >= position || Some(*committed) > known) {
                return Err(TablesError::StaleCommit { table: name, rig: app_id.to_owned(), committed });
            }
            match self.commit(adds.clone(), Transaction::new(app_id, position)).await {
                Ok(state) => {
                    self.table.state = Some(state);
                    break;
                }
                Err(source) if is_race(&source) && attempt < ATTEMPTS => {}
                Err(source) => return Err(TablesError::delta(&name)(source)),
            }
        }
        self.sync(log_files(self.table.version().unwrap_or_default())).await?;
        let mut appended = Self::pinned(&name, &self.place, self.table)?;
        appended.transaction = Some((app_id.to_owned(), position));
        Ok(appended)
    }

    /// Whether this version names one of these files.
    fn names_any(&self, adds: &[Action]) -> Result<bool, TablesError> {
        let log = self.table.snapshot().map_err(TablesError::delta(&self.name))?.log_data();
        let is_ours = |path: &str| adds.iter().any(|add| matches!(add, Action::Add(add) if add.path == path));
        Ok(log.into_iter().any(|view| is_ours(&view.path())))
    }

    /// A writer of Parquet files, which no reader sees until they are committed.
    pub(crate) fn writer(&self) -> Result<DeltaWriter, DeltaTableError> {
        let state = self.table.snapshot()?;
        let partitions = state.metadata().partition_columns().to_vec();
        let columns = if partitions.is_empty() { self.schema.clone() } else { schema::with_month_field(&self.schema) };
        let properties =
            WriterProperties::builder().set_compression(Compression::SNAPPY).set_max_row_group_row_count(Some(ROW_GROUP_ROWS)).build();
        let (indexed, stats) = get_num_idx_cols_and_stats_columns(Some(state.table_config()), std::collections::HashMap::new());
        let config = WriterConfig::new(columns, partitions, Some(properties), Some(FILE_BYTES), Some(WRITE_ROWS), indexed, stats);
        Ok(DeltaWriter::new(self.table.object_store(), config))
    }

    /// Writes rows that have the table's columns.
    pub(crate) async fn write(&self, writer: &mut DeltaWriter, rows: RecordBatch) -> Result<(), DeltaTableError> {
        let partitioned = !self.table.snapshot()?.metadata().partition_columns().is_empty();
        let rows = if partitioned { with_month(&rows)? } else { rows };
        writer.write(&rows).await
    }

    /// One commit, and the version that it makes.
    async fn commit(&self, adds: Vec<Action>, transaction: Transaction) -> Result<DeltaTableState, DeltaTableError> {
        let state = self.table.snapshot()?;
        let partitions = state.metadata().partition_columns().to_vec();
        let partition_by = (!partitions.is_empty()).then_some(partitions);
        let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by, predicate: None };
        // One attempt here: the check for a stale transaction belongs before each. Old entries of the log go with the commits
        // of merges and vacuums, since looking for them reads the names of all.
        let properties = CommitProperties::default()
            .with_application_transaction(transaction)
            .with_max_retries(0)
            .with_cleanup_expired_logs(Some(false));
        let commit = CommitBuilder::from(properties).with_actions(adds).build(Some(state), self.table.log_store(), operation);
        Ok(commit.await?.snapshot)
    }

    /// Brings files of the table, and the folders that name them, to the disk: a commit that survives a power cut must
    /// not name data that didn't. Files that are not there are passed over; an object store has what it acknowledged.
    pub(crate) async fn sync(&self, files: Vec<PathBuf>) -> Result<(), TablesError> {
        let Some(root) = self.place.local().map(Path::to_owned) else { return Ok(()) };
        let sync = move || files.iter().try_for_each(|file| sync_file(&root.join(file)));
        tokio::task::spawn_blocking(sync).await.unwrap_or_else(|stopped| Err(TablesError::Stopped { reason: stopped.to_string() }))
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
pub(crate) fn log_files(version: u64) -> Vec<PathBuf> {
    let names = [format!("{version:020}.json"), format!("{version:020}.checkpoint.parquet"), "_last_checkpoint".to_owned()];
    names.map(|name| Path::new("_delta_log").join(name)).to_vec()
}

/// All rows in one batch, by session, time and key, null keys last; equal rows stay in the order they came in. Scans rely on it.
fn sorted(batches: &[RecordBatch]) -> RecordBatch {
    let schema = batches[0].schema();
    let all = concat_batches(&schema, batches).expect("a table's batches share its schema");
    let (Ok(time), Ok(session)) = (schema.index_of(proprio_core::schema::TIME), schema.index_of(schema::SESSION)) else {
        return all;
    };
    let times = all.column(time).as_primitive::<Int64Type>().values();
    let sessions = all.column(session).as_string::<i32>();
    let keys = schema::key(&schema).and_then(|key| all.column_by_name(key)?.as_string_opt::<i32>());
    let key = |row: usize| keys.filter(|keys| keys.is_valid(row)).map(|keys| keys.value(row));
    let mut order: Vec<u32> = (0..u32::try_from(all.num_rows()).expect("a commit has fewer than 4 billion rows")).collect();
    let place = |row: &u32| {
        let key = key(*row as usize);
        (sessions.value(*row as usize), times[*row as usize], key.is_none(), key)
    };
    if order.is_sorted_by_key(place) {
        return all;
    }
    order.sort_by(|a, b| place(a).cmp(&place(b)));
    take_record_batch(&all, &UInt32Array::from(order)).expect("every index is a row")
}

fn with_month(rows: &RecordBatch) -> Result<RecordBatch, DeltaTableError> {
    let mut columns = rows.columns().to_vec();
    let times = rows.column_by_name(proprio_core::schema::TIME).expect("every table has its event time");
    columns.push(schema::months(times.as_primitive::<Int64Type>()));
    Ok(RecordBatch::try_new(schema::with_month_field(rows.schema_ref()), columns)?)
}
