//! How a Parquet file becomes a table.

use std::fs::File;
use std::path::Path;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::error::FileError;
use crate::table::{Table, from_columns};

/// Reads every row group.
pub(crate) fn read(path: &Path) -> Result<Table, FileError> {
    let file = File::open(path).map_err(|source| FileError::Io { path: path.to_owned(), source })?;
    let broken = |error: String| FileError::format(path, format!("it is no readable Parquet file: {error}"));
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| broken(error.to_string()))?;
    let schema = builder.schema().clone();
    let reader = builder.with_batch_size(65_536).build().map_err(|error| broken(error.to_string()))?;
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(|error| broken(error.to_string()))?;
    let rows = arrow_select::concat::concat_batches(&schema, &batches).map_err(|error| broken(error.to_string()))?;
    let names = schema.fields().iter().map(|field| field.name().clone());
    Ok(from_columns(path, rows.num_rows(), names.zip(rows.columns().iter().cloned()).collect()))
}
