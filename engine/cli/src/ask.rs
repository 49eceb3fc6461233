//! What do the tables say to a question that a command itself asks?

use anyhow::Context as _;
use arrow_cast::display::array_value_to_string;
use proprio_tables::Catalog;

/// The rows of an answer as text; null is none.
///
/// # Errors
/// When the query can't be answered.
pub async fn rows(catalog: &Catalog, sql: &str) -> anyhow::Result<Vec<Vec<Option<String>>>> {
    let mut rows = Vec::new();
    for batch in catalog.query(sql).await?.collect().await? {
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
