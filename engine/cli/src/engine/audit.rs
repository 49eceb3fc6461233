//! What was done and by whom, as rows of `audit`: an operational table, outside the law of same bytes.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringArray};
use proprio_core::table::system;
use proprio_core::{TableChunk, TimeNs, rows};
use proprio_tables::Store;

use crate::place;

/// One thing that was done.
#[derive(Clone, Debug, Default)]
pub struct Audit<'a> {
    /// One of [`system::audit_kind`].
    pub kind: &'a str,
    /// Who did it; the engine itself when absent.
    pub who: Option<&'a str>,
    /// The person that it was done to, by pseudonym.
    pub subject: Option<&'a str>,
    /// What it was done to: an alert's id, a session.
    pub what: Option<&'a str>,
    /// More, for people.
    pub detail: Option<String>,
}

impl Audit<'_> {
    /// Its row, in a session and a run.
    pub fn chunk(&self, time_ns: TimeNs, session: &str, run_id: &str, position: i64) -> TableChunk {
        let text = |value: Option<&str>| Arc::new(StringArray::from(vec![value])) as ArrayRef;
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![time_ns]))];
        columns.extend([Some(self.kind), self.who, self.subject, self.what, self.detail.as_deref()].map(text));
        TableChunk {
            table: system::AUDIT.to_owned(),
            key: None,
            session: session.to_owned(),
            run_id: run_id.to_owned(),
            rows: rows::batch(&system::audit(), columns),
            position,
        }
    }
}

/// Commits one row to the tables of a data directory, by a command that runs beside an engine or without one; `application` is
/// Delta's name for it.
///
/// # Errors
/// When the tables can't be written.
pub async fn write(data: &Path, rig: &str, application: &str, row: &TableChunk) -> anyhow::Result<()> {
    let store = Store::open_as(&place::of(data)?, rig, application, &[]).await?;
    store.append_operational(row)?;
    Ok(store.commit(0).await?)
}
