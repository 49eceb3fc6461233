//! Does every question in `tests/slt` have the answer that stands there, of hot rows, of cold ones and of both?
//!
//! `UPDATE_GOLDENS=1 cargo test -p proprio-tables questions` writes the answers of hot rows into the files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::DataType;
use async_trait::async_trait;
use proprio_tables::{Store, TablesError};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

use super::lab;

/// Which rows are committed before the questions are asked.
#[derive(Clone, Copy, Debug)]
enum Layout {
    Hot,
    Cold,
    Half,
}

struct Lab(Arc<Store>);

#[async_trait]
impl AsyncDB for Lab {
    type Error = TablesError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<Self::ColumnType>, TablesError> {
        let batches = self.0.query(sql).await?.collect().await?;
        let types = batches[0].schema().fields().iter().map(|field| column_type(field.data_type())).collect();
        let rows = batches.iter().flat_map(texts).collect();
        Ok(DBOutput::Rows { types, rows })
    }

    async fn shutdown(&mut self) {}
}

fn column_type(data_type: &DataType) -> DefaultColumnType {
    match data_type {
        data_type if data_type.is_integer() => DefaultColumnType::Integer,
        data_type if data_type.is_floating() => DefaultColumnType::FloatingPoint,
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => DefaultColumnType::Text,
        _ => DefaultColumnType::Any,
    }
}

/// The values as text; floats to nine digits, since sums of other groupings differ in the last ones.
fn texts(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<ArrayFormatter<'_>> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).expect("a type with a text")).collect();
    let cell = |column: usize, row: usize| {
        let text = columns[column].value(row).to_string();
        match text.parse::<f64>() {
            Ok(number) if batch.column(column).data_type().is_floating() => format!("{}", rounded(number)),
            _ if text.is_empty() => "(empty)".to_owned(),
            _ => text,
        }
    };
    (0..batch.num_rows()).map(|row| (0..columns.len()).map(|column| cell(column, row)).collect()).collect()
}

fn rounded(number: f64) -> f64 {
    let rounded: f64 = format!("{number:.8e}").parse().expect("a number");
    if rounded.abs() < 1e-15 { 0.0 } else { rounded }
}

async fn store(dir: &Path, layout: Layout) -> Store {
    let store = Store::open(&crate::place(dir), "lab-1", &lab::specs()).await.expect("the store opens");
    let chunks = lab::chunks();
    let last = chunks.last().expect("chunks").position;
    let half = chunks.len() / 2;
    for part in [&chunks[..half], &chunks[half..]] {
        let position = part.last().expect("chunks").position;
        store.append(part, position).expect("appended");
        match layout {
            Layout::Cold => store.commit(position).await.expect("committed"),
            Layout::Half if position < last => store.commit(position).await.expect("committed"),
            _ => {}
        }
    }
    assert_eq!(store.hot_bytes() == 0, matches!(layout, Layout::Cold), "{layout:?}");
    store
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let entries = std::fs::read_dir(&folder).expect("the folder of questions");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "slt"));
    files.sort();
    assert!(!files.is_empty(), "no questions in {}", folder.display());
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_have_the_same_answers_hot_cold_and_half_and_half() {
    let update = std::env::var_os("UPDATE_GOLDENS").is_some();
    let mut wrong = Vec::new();
    for layout in [Layout::Hot, Layout::Cold, Layout::Half] {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Arc::new(store(dir.path(), layout).await);
        for file in files() {
            let mut runner = Runner::new(|| {
                let store = store.clone();
                async move { Ok(Lab(store)) }
            });
            runner.with_column_validator(sqllogictest::strict_column_validator);
            if update && matches!(layout, Layout::Hot) {
                let updated = runner.update_test_file(
                    &file,
                    " ",
                    sqllogictest::default_validator,
                    sqllogictest::default_normalizer,
                    sqllogictest::strict_column_validator,
                );
                updated.await.expect("the answers are written");
            } else if let Err(error) = runner.run_file_async(&file).await {
                wrong.push(format!("{layout:?}: {error}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
