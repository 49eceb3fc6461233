//! What was done and by whom, as rows of `audit`: an operational table, outside the law of same bytes.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringArray};
use proprio_core::table::system;
use proprio_core::{TableChunk, TimeNs, rows};

/// One thing that was done.
#[derive(Clone, Debug, Default)]
pub struct Audit<'a> {
    /// A short stable name: `alert_sent`, `request`, `reload`, `forget`, …
    pub kind: &'a str,
    /// Who did it; the engine itself when absent.
    pub who: Option<&'a str>,
    /// What it was done to: an alert's id, a session, a subject's pseudonym.
    pub what: Option<&'a str>,
    /// More, for people.
    pub detail: Option<String>,
}

impl Audit<'_> {
    /// Its row, in the open session and run.
    pub fn chunk(&self, time_ns: TimeNs, session: &str, run_id: &str, position: i64) -> TableChunk {
        let text = |value: Option<&str>| Arc::new(StringArray::from(vec![value])) as ArrayRef;
        let columns =
            vec![Arc::new(Int64Array::from(vec![time_ns])), text(Some(self.kind)), text(self.who), text(self.what), text(self.detail.as_deref())];
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
