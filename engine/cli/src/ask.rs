//! What do the tables say to a question that a command itself asks?

use std::time::Duration;

use anyhow::Context as _;
use arrow_array::RecordBatch;
use arrow_cast::display::array_value_to_string;
use proprio_tables::Catalog;
use proprio_zenoh::{SessionOptions, open_client, sql};

use crate::running::Running;

/// How long a running engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Rows as text; null is none.
pub type Rows = Vec<Vec<Option<String>>>;

/// The rows of an answer.
///
/// # Errors
/// When the query can't be answered.
pub async fn rows(catalog: &Catalog, sql: &str) -> anyhow::Result<Rows> {
    as_text(&catalog.query(sql).await?.collect().await?)
}

/// The rows of a running engine's answer, those among them that are not committed yet.
///
/// # Errors
/// When the engine can't be reached, or the query can't be answered.
pub async fn rows_of_engine(running: &Running, query: &str) -> anyhow::Result<Rows> {
    let options = SessionOptions { connect: vec![running.endpoint.clone()], ..SessionOptions::default() };
    let session = open_client(&options, PATIENCE).await.context("the engine can't be reached")?;
    let answer = sql::query(&session, &running.rig, query, PATIENCE).await;
    // A session that can't be closed any more is of no interest to who has the answer.
    let _ = session.close().await;
    as_text(&answer?)
}

/// Rows as text.
///
/// # Errors
/// When a value has no text.
pub fn as_text(batches: &[RecordBatch]) -> anyhow::Result<Rows> {
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cell = |column: &arrow_array::ArrayRef| (!column.is_null(row)).then(|| array_value_to_string(column, row)).transpose();
            rows.push(batch.columns().iter().map(cell).collect::<Result<_, _>>().context("an answer can't be read")?);
        }
    }
    Ok(rows)
}

/// The first column of an answer.
///
/// # Errors
/// As [`rows`].
pub async fn texts<T: FromIterator<String>>(catalog: &Catalog, sql: &str) -> anyhow::Result<T> {
    Ok(rows(catalog, sql).await?.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

/// A text as SQL writes it.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
