//! What is left on the disk of rows that were removed, and how does it go?
//!
//! Parquet files that no version names any longer; log entries and checkpoints, whose statistics hold the smallest and
//! largest texts of each file. What stays is a rebuild's application id `<run_id>/<session>` in the newest checkpoint:
//! Delta forgets no transaction.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use deltalake_core::checkpoints::create_checkpoint;
use deltalake_core::protocol::DeltaOperation;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::cold::Cold;
use crate::error::TablesError;
use crate::schema::SESSION;

impl Cold {
    /// Deletes what the disk still holds of removed sessions: a query that was pinned before may fail for lack of its files,
    /// and older versions are gone for good. May be done again at any time.
    pub(crate) async fn scrubbed(self, sessions: &[String]) -> Result<Self, TablesError> {
        // The newest entry of the log stays: let it be one that says nothing.
        let nothing = DeltaOperation::VacuumEnd { status: "COMPLETED".to_owned() };
        let cold = self.changed(Vec::new(), nothing).await?;
        create_checkpoint(&cold.table, None).await.map_err(TablesError::delta(&cold.name))?;
        let version = cold.table.version().unwrap_or_default();
        cold.sync(crate::append::log_files(version)).await?;
        let named = cold.table.snapshot().map_err(TablesError::delta(&cold.name))?.log_data();
        let named: BTreeSet<PathBuf> = named.into_iter().map(|view| cold.path.join(view.path().as_ref())).collect();
        let (path, sessions) = (cold.path.clone(), sessions.to_vec());
        let delete = move || {
            delete_log_before(&path.join("_delta_log"), version)?;
            delete_leftovers(&path, &named, &sessions)
        };
        tokio::task::spawn_blocking(delete).await.unwrap_or_else(|stopped| Err(TablesError::Stopped { reason: stopped.to_string() }))?;
        // What was read of the log before names entries that are gone.
        Self::open(&cold.path, &cold.name).await
    }
}

/// Deletes every entry and checkpoint of versions before `version`, and files that were never finished.
fn delete_log_before(log: &Path, version: u64) -> Result<(), TablesError> {
    for path in entries(log)? {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let old = name.get(..20).and_then(|digits| digits.parse::<u64>().ok()).is_some_and(|of| of < version);
        if old || is_staged(&path) {
            delete(&path)?;
        }
    }
    sync_folder(log)
}

/// Deletes Parquet files that the newest version doesn't name and that hold rows of the sessions, or can't be read.
fn delete_leftovers(folder: &Path, named: &BTreeSet<PathBuf>, sessions: &[String]) -> Result<(), TablesError> {
    for path in entries(folder)? {
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "_delta_log") {
                delete_leftovers(&path, named, sessions)?;
            }
        } else if is_staged(&path) || (!named.contains(&path) && holds(&path, sessions).unwrap_or(true)) {
            delete(&path)?;
        }
    }
    sync_folder(folder)
}

/// Whether a Parquet file has a row of one of the sessions; `None` when it can't be read.
fn holds(path: &Path, sessions: &[String]) -> Option<bool> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).ok()?).ok()?;
    let only = ProjectionMask::columns(reader.parquet_schema(), [SESSION]);
    for batch in reader.with_projection(only).build().ok()? {
        let batch = batch.ok()?;
        let of = batch.column_by_name(SESSION)?.as_string_opt::<i32>()?;
        if of.iter().flatten().any(|of| sessions.iter().any(|session| session == of)) {
            return Some(true);
        }
    }
    Some(false)
}

/// Whether a file was being written when its process stopped: it has its name only once it is whole.
fn is_staged(path: &Path) -> bool {
    path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.contains('#'))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, TablesError> {
    let io = |source| TablesError::Io { path: folder.to_owned(), source };
    fs::read_dir(folder).map_err(io)?.map(|entry| entry.map(|entry| entry.path()).map_err(io)).collect()
}

fn delete(path: &Path) -> Result<(), TablesError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(TablesError::Io { path: path.to_owned(), source }),
        _ => Ok(()),
    }
}

fn sync_folder(folder: &Path) -> Result<(), TablesError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| TablesError::Io { path: folder.to_owned(), source })
}
