//! Where the real recordings are, for the tests that need them.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// A file of `$PROPRIO_DATA`, by default `../shared/data` beside the repository; where it is absent, says which test is
/// skipped.
pub fn recording(test: &str, file: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let path = std::env::var_os("PROPRIO_DATA").map_or(beside, PathBuf::from).join(file);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {test} ({} is not there)", path.display());
    None
}

/// All rows of a Parquet file.
pub fn parquet(path: &Path) -> RecordBatch {
    let file = File::open(path).expect("a recording that exists opens");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("a recording is Parquet").build().expect("a reader starts");
    let batches: Vec<RecordBatch> = reader.map(|batch| batch.expect("a recording is whole")).collect();
    concat_batches(&batches[0].schema(), &batches).expect("batches of one file join")
}
