//! What is left of rows that were removed, where the tables lie, and how does it go?
//!
//! Parquet files that no version names any longer; log entries and checkpoints, whose statistics hold the smallest and
//! largest texts of each file. What stays is a rebuild's application id `<run_id>/<session>` in the newest checkpoint:
//! Delta forgets no transaction.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path as FilePath;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use deltalake_core::checkpoints::create_checkpoint;
use deltalake_core::logstore::parquet_reader::ParquetObjectReader;
use deltalake_core::protocol::DeltaOperation;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use parquet::errors::ParquetError;

use crate::cold::Cold;
use crate::error::TablesError;
use crate::schema::SESSION;

/// Files that are looked into at once.
const AT_ONCE: usize = 16;

impl Cold {
    /// Deletes what is still held of removed sessions: a query that was pinned before may fail for lack of its files,
    /// and older versions are gone for good. May be done again at any time.
    pub(crate) async fn scrubbed(self, sessions: &[String]) -> Result<Self, TablesError> {
        // The newest entry of the log stays: let it be one that says nothing.
        let nothing = DeltaOperation::VacuumEnd { status: "COMPLETED".to_owned() };
        let cold = self.changed(Vec::new(), nothing).await?;
        create_checkpoint(&cold.table, None).await.map_err(TablesError::delta(&cold.name))?;
        let version = cold.table.version().unwrap_or_default();
        cold.sync(crate::append::log_files(version)).await?;
        cold.delete_leftovers(version, sessions).await?;
        if let Some(folder) = cold.place.local().map(FilePath::to_owned) {
            let staged = tokio::task::spawn_blocking(move || delete_staged(&folder)).await;
            staged.unwrap_or_else(|stopped| Err(TablesError::Stopped { reason: stopped.to_string() }))?;
        }
        // What was read of the log before names entries that are gone.
        Self::open(&cold.place, &cold.name).await
    }

    /// Deletes log entries and checkpoints before `version`, and Parquet files that it doesn't name and that hold rows of the
    /// sessions, or can't be read.
    async fn delete_leftovers(&self, version: u64, sessions: &[String]) -> Result<(), TablesError> {
        let store = self.table.object_store();
        let log = self.table.snapshot().map_err(TablesError::delta(&self.name))?.log_data();
        let named: BTreeSet<Path> = log.into_iter().map(|view| view.object_store_path()).collect();
        let unreachable = |source| TablesError::Unreachable { place: self.place.to_string(), source };
        let listed: Vec<ObjectMeta> = store.list(None).try_collect().await.map_err(unreachable)?;
        let unnamed = listed.into_iter().filter(|file| !named.contains(&file.location));
        let deletions = unnamed.map(|file| {
            let store = store.clone();
            async move {
                let is_left = match version_of(&file.location) {
                    Some(of) => of < version,
                    None if is_log(&file.location) => false,
                    None => is_damaged_or_holds(&store, &file, sessions).await?,
                };
                if is_left { store.delete(&file.location).await } else { Ok(()) }
            }
        });
        let mut deletions = futures::stream::iter(deletions).buffer_unordered(AT_ONCE);
        while let Some(deleted) = deletions.next().await {
            match deleted {
                Ok(()) | Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(unreachable(error)),
            }
        }
        Ok(())
    }
}

fn is_log(file: &Path) -> bool {
    file.prefix_matches(&Path::from("_delta_log"))
}

/// The version of a log entry or checkpoint.
fn version_of(file: &Path) -> Option<u64> {
    file.filename()?.get(..20)?.parse().ok().filter(|_| is_log(file))
}

/// Whether a file has a row of one of the sessions, or isn't a Parquet file of ours.
async fn is_damaged_or_holds(store: &Arc<dyn ObjectStore>, file: &ObjectMeta, sessions: &[String]) -> Result<bool, StoreError> {
    match holds(store, file, sessions).await {
        Ok(holds) => Ok(holds.unwrap_or(true)),
        // Nobody knows what is in a file that the store doesn't give: another process may be about to commit it.
        Err(ParquetError::External(error)) => error.downcast().map_or(Ok(true), |error| Err(*error)),
        Err(_) => Ok(true),
    }
}

/// Whether a Parquet file has a row of one of the sessions; `None` when it has no column that says so.
async fn holds(store: &Arc<dyn ObjectStore>, file: &ObjectMeta, sessions: &[String]) -> Result<Option<bool>, ParquetError> {
    let reader = ParquetObjectReader::new(store.clone(), file.location.clone()).with_file_size(file.size);
    let reader = ParquetRecordBatchStreamBuilder::new(reader).await?;
    let only = ProjectionMask::columns(reader.parquet_schema(), [SESSION]);
    let mut batches = reader.with_projection(only).build()?;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let of = batch.column_by_name(SESSION).and_then(|column| column.as_string_opt::<i32>());
        let Some(of) = of else { return Ok(None) };
        if of.iter().flatten().any(|of| sessions.iter().any(|session| session == of)) {
            return Ok(Some(true));
        }
    }
    Ok(Some(false))
}

/// Deletes what was being written when its process stopped, which no listing shows: a file has its name only once it is whole.
/// Brings the folders to the disk.
fn delete_staged(folder: &FilePath) -> Result<(), TablesError> {
    let io = |source| TablesError::Io { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.is_dir() {
            delete_staged(&path)?;
        } else if path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.contains('#')) {
            match fs::remove_file(&path) {
                Err(source) if source.kind() != ErrorKind::NotFound => return Err(TablesError::Io { path, source }),
                _ => {}
            }
        }
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
}
