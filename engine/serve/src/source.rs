//! Which tables are asked: a running engine's, or those on disk when none runs?

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arrow_array::{ArrayRef, Int64Array, StringArray};
use proprio_core::table::system::{self, audit_kind};
use proprio_core::{TableChunk, rows};
use proprio_tables::{Catalog, Reader, Store, TablesError};
use tokio::sync::Mutex;

use crate::desk::{Asker, Caller};

/// How old the versions of tables on disk may be.
const FRESH: Duration = Duration::from_secs(1);
/// As much of a statement is written down.
const AUDIT_CHARS: usize = 4000;
/// As much of a name is written down that nobody has.
const NAME_CHARS: usize = 64;
/// Rows of `audit` that wait to be written where no engine runs; what comes then is logged alone.
const WAITING_BYTES: usize = 16 << 20;
/// Who commits them: Delta's name for it.
const APPLICATION: &str = "serve";

/// The tables that are asked.
#[derive(Clone, Debug)]
pub enum Tables {
    /// Of an engine that runs: up to this millisecond, and who asked what is a row of `audit`.
    Running(Arc<Store>),
    /// Of a data directory in which no rig runs; who asked what is written into its `audit` by [`Tables::settle`].
    Resting(Resting),
}

/// Tables on disk, opened again when they may be old.
#[derive(Clone, Debug)]
pub struct Resting {
    data: PathBuf,
    opened: Arc<Mutex<Option<(Instant, Catalog)>>>,
    /// Where `audit` is written; none where the directory can't be.
    audit: Option<Arc<Store>>,
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
    /// Those of a data directory, with the rig whose rows of `audit` are written there; they are logged alone where they can't be.
    ///
    /// # Errors
    /// When there are none, or they can't be read.
    pub async fn resting(data: PathBuf, rig: &str) -> Result<Self, TablesError> {
        let mut resting = Resting { data, opened: Arc::default(), audit: None };
        resting.catalog().await?;
        match Store::open_as(&resting.data, rig, APPLICATION, &[]).await {
            Ok(store) => resting.audit = Some(Arc::new(store)),
            Err(error) => tracing::warn!(%error, "who asks what is logged, and not written into `audit`"),
        }
        Ok(Self::Resting(resting))
    }

    /// Commits the rows of `audit` that wait; a running engine does so itself.
    ///
    /// # Errors
    /// When they can't be written; they wait on.
    pub async fn settle(&self) -> Result<(), TablesError> {
        match self {
            Self::Resting(Resting { audit: Some(store), .. }) if store.hot_bytes() > 0 => store.commit(0).await,
            _ => Ok(()),
        }
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
        let Caller { door, from } = asker.caller;
        let took_ms = took.as_millis();
        let detail = serde_json::json!({ "door": door, "from": from.to_string(), "rows": rows, "took_ms": took_ms, "outcome": outcome });
        if !self.write(&row(audit_kind::QUERY, Some(who), Some(&sql), &detail.to_string())) {
            tracing::info!(who, door, %from, rows, took_ms, outcome, sql, "asked");
        }
    }

    /// Writes a failed login down, and how many before it were not.
    pub fn refused(&self, Caller { door, from }: Caller, name: Option<&str>, unwritten: u64) {
        let name: Option<String> = name.map(|name| name.chars().take(NAME_CHARS).collect());
        tracing::warn!(door, %from, name, unwritten, "a login was refused");
        let detail = serde_json::json!({ "door": door, "from": from.to_string(), "unwritten_before": unwritten });
        self.write(&row(audit_kind::LOGIN_REFUSED, name.as_deref(), None, &detail.to_string()));
    }

    /// Takes a row of `audit` in; gives whether it will be there.
    fn write(&self, row: &TableChunk) -> bool {
        let store = match self {
            Self::Running(store) => store,
            Self::Resting(Resting { audit: Some(store), .. }) if store.hot_bytes() < WAITING_BYTES => store,
            Self::Resting(_) => return false,
        };
        let written = store.append_operational(row);
        if let Err(error) = &written {
            tracing::warn!(%error, "a row was not written into `audit`");
        }
        written.is_ok()
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
        let catalog = Reader::open(&self.data).await?.catalog().clone();
        *opened = Some((Instant::now(), catalog.clone()));
        Ok(catalog)
    }
}

/// A row of `audit`. It is of no session, so that who sees some sessions alone does not see what others ask.
fn row(kind: &str, who: Option<&str>, what: Option<&str>, detail: &str) -> TableChunk {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let text = |value: Option<&str>| Arc::new(StringArray::from(vec![value])) as ArrayRef;
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![now.as_nanos() as i64]))];
    columns.extend([Some(kind), who, None, what, Some(detail)].map(text));
    TableChunk {
        table: system::AUDIT.to_owned(),
        key: None,
        session: String::new(),
        run_id: String::new(),
        rows: rows::batch(&system::audit(), columns),
        position: 0,
    }
}
