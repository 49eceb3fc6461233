//! How do a rig's rows get in: hot at once, and into Delta at each commit round?

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use datafusion::execution::SessionState;
use proprio_core::table::system;
use proprio_core::{TableChunk, TableSpec};

use crate::catalog::{self, Answer, Catalog};
use crate::cold::Cold;
use crate::error::TablesError;
use crate::hot::Hot;
use crate::provider::PinnedTable;
use crate::schema;

/// A commit is due this long after the one before, when there are rows.
pub const COMMIT_INTERVAL: Duration = Duration::from_secs(10);
/// A commit is due when the hot rows hold this many bytes.
pub const COMMIT_BYTES: usize = 32 << 20;

/// The tables of one rig, open for writing. [`append`](Self::append) from the worker's thread, everything else from
/// anywhere: locks are held for moving pointers alone.
#[derive(Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    rig: String,
    session: SessionState,
    tables: Mutex<Tables>,
    /// One commit round at a time.
    round: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Tables {
    by_name: BTreeMap<String, Table>,
    /// Newest position whose rows have all been appended.
    position: i64,
    /// Position of the last commit round of this process.
    committed: i64,
    last_round: Instant,
}

#[derive(Debug)]
struct Table {
    schema: SchemaRef,
    hot: Hot,
    /// Newest position appended.
    appended: i64,
    cold: Cold,
    /// Position of this rig's last transaction.
    committed: Option<i64>,
}

impl Store {
    /// Opens, creates or widens `<data>/tables/<name>` for each spec and each system table.
    ///
    /// # Errors
    /// A name or type that can't be stored, a column that holds another type or unit already, or Delta's own.
    pub async fn open(data: &Path, rig: &str, specs: &[TableSpec]) -> Result<Self, TablesError> {
        let session = catalog::session()?;
        let folder = data.join("tables");
        let opened = united(specs)?.into_iter().map(|(name, (wanted, high_rate))| {
            let (path, session) = (folder.join(&name), &session);
            async move {
                let cold = Cold::open_or_create(&path, &name, &wanted, high_rate, session).await?;
                let committed = cold.committed(rig).await?;
                let schema = cold.schema.clone();
                Ok::<_, TablesError>((name, Table { schema, hot: Hot::default(), appended: i64::MIN, cold, committed }))
            }
        });
        let by_name: BTreeMap<String, Table> = futures::future::try_join_all(opened).await?.into_iter().collect();
        let position = by_name.values().filter_map(|table| table.committed).max().unwrap_or(-1);
        let tables = Mutex::new(Tables { by_name, position, committed: position, last_round: Instant::now() });
        let round = tokio::sync::Mutex::new(());
        Ok(Self { inner: Arc::new(Inner { rig: rig.to_owned(), session, tables, round }) })
    }

    /// Takes rows in, and says that every row up to `position` has now been appended: all of them are in every catalog
    /// that is pinned from now on. Rows at or before their table's last transaction are there already and are dropped,
    /// which is what recovery needs.
    ///
    /// Returns the bytes of all hot rows, for back-pressure: beyond a few times [`COMMIT_BYTES`] the caller waits for
    /// the commit that is under way.
    ///
    /// # Errors
    /// An undeclared table, rows that don't fit it, or a position that goes backwards; then nothing was taken in.
    pub fn append(&self, chunks: &[TableChunk], position: i64) -> Result<usize, TablesError> {
        let rows = self.inner.conform(chunks)?;
        let mut tables = self.inner.lock();
        let mut newest = BTreeMap::new();
        for chunk in chunks {
            let appended = newest.entry(chunk.table.as_str()).or_insert_with(|| tables.by_name[&chunk.table].appended);
            if chunk.position < *appended {
                return Err(TablesError::StalePosition { position: chunk.position, newest: *appended });
            }
            *appended = chunk.position;
        }
        for (chunk, rows) in chunks.iter().zip(rows) {
            let table = tables.by_name.get_mut(&chunk.table).expect("its rows were made to fit it");
            table.appended = chunk.position;
            if table.committed.is_none_or(|committed| chunk.position > committed) && rows.num_rows() > 0 {
                table.hot.push(rows, chunk.position);
            }
        }
        tables.position = tables.position.max(position);
        Ok(tables.hot_bytes())
    }

    /// Newest position that the tables hold in full, hot rows included.
    pub fn tables_position(&self) -> i64 {
        self.inner.lock().position
    }

    /// Position of this rig's last transaction in a table; `None` before the first.
    pub fn committed_position(&self, table: &str) -> Option<i64> {
        self.inner.lock().by_name.get(table)?.committed
    }

    /// Bytes of the rows that wait for a commit.
    pub fn hot_bytes(&self) -> usize {
        self.inner.lock().hot_bytes()
    }

    /// Whether a commit round is due: [`COMMIT_INTERVAL`] has passed with rows waiting, or they hold [`COMMIT_BYTES`].
    pub fn should_commit(&self) -> bool {
        let tables = self.inner.lock();
        let bytes = tables.hot_bytes();
        bytes >= COMMIT_BYTES || (bytes > 0 && tables.last_round.elapsed() >= COMMIT_INTERVAL)
    }

    /// A commit round (contract 8) at `position`, which is durable and whose rows have all been appended: one Delta
    /// commit per table with rows, with the transaction (rig, `position`). Appends and queries go on meanwhile. A table's
    /// rows leave the hot part in the same instant as its new version is taken in.
    ///
    /// Runs to its end even when the future is dropped, so that no row is written twice.
    ///
    /// # Errors
    /// The first table's that failed; its rows stay hot and go with the next round.
    pub async fn commit(&self, position: i64) -> Result<(), TablesError> {
        let inner = self.inner.clone();
        let round = tokio::spawn(async move { inner.commit(position).await });
        round.await.unwrap_or_else(|stopped| Err(TablesError::Stopped { reason: stopped.to_string() }))
    }

    /// Every table as it stands now.
    pub fn catalog(&self) -> Catalog {
        let tables = self.inner.lock();
        let pinned = tables.by_name.iter().map(|(name, table)| {
            let pinned = PinnedTable { schema: table.schema.clone(), hot: table.hot.pin(), cold: Some(table.cold.scan.clone()) };
            (name.clone(), Arc::new(pinned))
        });
        Catalog::new(pinned.collect(), self.inner.session.clone(), tables.position)
    }

    /// Runs one read-only statement over a catalog pinned now.
    ///
    /// # Errors
    /// As [`Catalog::query`].
    pub async fn query(&self, sql: &str) -> Result<Answer, TablesError> {
        self.catalog().query(sql).await
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().expect("nothing panics while it holds the tables")
    }

    /// The rows of each chunk with every column of its table.
    fn conform(&self, chunks: &[TableChunk]) -> Result<Vec<RecordBatch>, TablesError> {
        let undeclared = |chunk: &TableChunk| TablesError::UndeclaredTable { table: chunk.table.clone() };
        let schema = |chunk: &TableChunk| self.lock().by_name.get(&chunk.table).map(|table| table.schema.clone());
        chunks.iter().map(|chunk| schema::conform(&schema(chunk).ok_or_else(|| undeclared(chunk))?, chunk, &self.rig)).collect()
    }

    async fn commit(self: Arc<Self>, position: i64) -> Result<(), TablesError> {
        let _one_at_a_time = self.round.lock().await;
        let mut due = Vec::new();
        {
            let tables = self.lock();
            if position < tables.committed {
                return Err(TablesError::StalePosition { position, newest: tables.committed });
            }
            for (name, table) in &tables.by_name {
                if let Some(batches) = table.hot.up_to(position) {
                    due.push((name.clone(), table.cold.clone(), table.committed, batches));
                }
            }
        }
        let writes = due.into_iter().map(|(name, cold, known, batches)| {
            let inner = self.clone();
            let append = async move { cold.append(batches, &inner.rig, known, position, &inner.session).await };
            (name, tokio::spawn(append))
        });
        let mut failed = None;
        for (name, write) in writes.collect::<Vec<_>>() {
            match write.await.unwrap_or_else(|stopped| Err(TablesError::Stopped { reason: stopped.to_string() })) {
                Ok(cold) => self.lock().switch(&name, cold, position),
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        }
        let mut tables = self.lock();
        tables.last_round = Instant::now();
        match failed {
            Some(error) => Err(error),
            None => {
                tables.committed = position;
                Ok(())
            }
        }
    }
}

impl Tables {
    fn hot_bytes(&self) -> usize {
        self.by_name.values().map(|table| table.hot.bytes()).sum()
    }

    /// Takes in the version that holds the rows up to `position`, and lets them go.
    fn switch(&mut self, name: &str, cold: Cold, position: i64) {
        let table = self.by_name.get_mut(name).expect("tables are never removed");
        table.cold = cold;
        table.committed = Some(position);
        table.hot.drop_up_to(position);
    }
}

/// The tables to open: specs of one name united, and the system tables.
fn united(specs: &[TableSpec]) -> Result<BTreeMap<String, (Schema, bool)>, TablesError> {
    let mut united: BTreeMap<String, (Schema, bool)> = BTreeMap::new();
    for spec in specs.iter().chain(&system::tables()) {
        let wanted = schema::of_spec(spec)?;
        match united.get_mut(&spec.name) {
            None => {
                united.insert(spec.name.clone(), (wanted, spec.high_rate));
            }
            Some((held, high_rate)) => {
                let mut fields: Vec<_> = held.fields().iter().cloned().collect();
                fields.extend(schema::gained(&spec.name, held, &wanted)?.into_iter().map(Arc::new));
                *held = schema::arranged(&Schema::new(fields)).as_ref().clone();
                *high_rate |= spec.high_rate;
            }
        }
    }
    Ok(united)
}
