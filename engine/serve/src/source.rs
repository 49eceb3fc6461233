//! Which tables are asked: a running engine's, or those on disk when none runs?

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arrow_array::{ArrayRef, Int64Array, StringArray};
use proprio_core::table::system;
use proprio_core::{TableChunk, rows};
use proprio_tables::{Catalog, Place, Reader, Store, TablesError};
use tokio::sync::Mutex;

use crate::desk::Asker;

/// How old the versions of tables on disk may be.
const FRESH: Duration = Duration::from_secs(1);
/// As much of a statement is written down.
const AUDIT_CHARS: usize = 4000;

/// The tables that are asked.
#[derive(Clone, Debug)]
pub enum Tables {
    /// Of an engine that runs: up to this millisecond, and who asked what is a row of `audit`.
    Running(Arc<Store>),
    /// Of a place that nobody writes here: who asked what is logged.
    Resting(Resting),
}

/// Tables at rest, opened again when they may be old.
#[derive(Clone, Debug)]
pub struct Resting {
    place: Place,
    opened: Arc<Mutex<Option<(Instant, Catalog)>>>,
}

/// One question that has ended.
pub struct Asking<'a> {
    /// Who asked.
    pub asker: &'a Asker,
    /// What.
    pub sql: &'a str,
    /// Rows that were taken.
    pub rows: u64,
    /// How long it took.
    pub took: Duration,
    /// `done`, or why not.
    pub outcome: &'a str,
}

impl Tables {
    /// Those of a place.
    ///
    /// # Errors
    /// When there are none, or they can't be read.
    pub async fn resting(place: Place) -> Result<Self, TablesError> {
        let resting = Resting { place, opened: Arc::default() };
        resting.catalog().await?;
        Ok(Self::Resting(resting))
    }

    /// Every table as it stands now.
    ///
    /// # Errors
    /// When they can't be read.
    pub async fn catalog(&self) -> Result<Catalog, TablesError> {
        match self {
            Self::Running(store) => {
                store.refresh().await;
                Ok(store.catalog())
            }
            Self::Resting(resting) => resting.catalog().await,
        }
    }

    /// Writes a question down.
    pub fn audit(&self, asking: &Asking<'_>) {
        let Asking { asker, sql, rows, took, outcome } = asking;
        let who = asker.user.name.as_deref().unwrap_or("anonymous");
        let sql: String = sql.chars().take(AUDIT_CHARS).collect();
        let took_ms = took.as_millis();
        let Self::Running(store) = self else {
            tracing::info!(who, door = asker.door, from = %asker.from, rows, took_ms, outcome, sql, "asked");
            return;
        };
        let detail = serde_json::json!({
            "door": asker.door,
            "from": asker.from.to_string(),
            "rows": rows,
            "took_ms": took_ms,
            "outcome": outcome,
        });
        if let Err(error) = store.append_operational(&row(who, &sql, &detail.to_string())) {
            tracing::warn!(%error, who, sql, "a question was not written into `audit`");
        }
    }
}

impl Resting {
    async fn catalog(&self) -> Result<Catalog, TablesError> {
        let mut opened = self.opened.lock().await;
        if let Some((at, catalog)) = opened.as_ref()
            && at.elapsed() < FRESH
        {
            return Ok(catalog.clone());
        }
        let catalog = Reader::open(&self.place).await?.catalog().clone();
        *opened = Some((Instant::now(), catalog.clone()));
        Ok(catalog)
    }
}

/// A row of `audit`. It is of no session, so that who sees some sessions alone does not see what others ask.
fn row(who: &str, sql: &str, detail: &str) -> TableChunk {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let text = |value: Option<&str>| Arc::new(StringArray::from(vec![value])) as ArrayRef;
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![now.as_nanos() as i64]))];
    columns.extend([Some(system::audit_kind::QUERY), Some(who), None, Some(sql), Some(detail)].map(text));
    TableChunk {
        table: system::AUDIT.to_owned(),
        key: None,
        session: String::new(),
        run_id: String::new(),
        rows: rows::batch(&system::audit(), columns),
        position: 0,
    }
}
