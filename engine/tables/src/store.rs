//! How do a rig's rows get in: hot at once, and into Delta at each commit round?

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arrow_array::RecordBatch;
use datafusion::execution::SessionState;
use proprio_core::table::Reached;
use proprio_core::{TableChunk, TableSpec};

use crate::catalog::{self, Answer, Catalog};
use crate::cold::Cold;
use crate::error::TablesError;
use crate::fit::Fits;
use crate::live::Bell;
use crate::place::Place;
use crate::round::Round;
use crate::schema;
use crate::state::{self, Table, Tables, Wanted};

/// A commit is due this long after the one before, when there are rows.
pub const COMMIT_INTERVAL: Duration = Duration::from_secs(10);
/// A commit is due when the hot rows hold this many bytes.
pub const COMMIT_BYTES: usize = 32 << 20;

/// The tables of a place, open for writing one rig's rows. [`append`](Self::append) from the worker's thread,
/// everything else from anywhere: locks are held for moving pointers alone.
#[derive(Debug)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) rig: String,
    /// Delta's name for who commits.
    pub(crate) app_id: String,
    /// Whether the versions that other processes make are taken in, and which runs are shown is known.
    pub(crate) follows: bool,
    pub(crate) place: Place,
    pub(crate) session: SessionState,
    pub(crate) tables: Mutex<Tables>,
    /// One commit round, refresh, declaration or removal at a time.
    pub(crate) round: tokio::sync::Mutex<Round>,
    /// Files are merged, vacuumed, or rid of rows by one at a time, taken before `round`: what is being merged may hold rows
    /// that are to be forgotten.
    pub(crate) rewriting: tokio::sync::Mutex<()>,
    /// How chunks come to have the columns of their tables.
    pub(crate) fits: Mutex<Fits>,
    /// Rung when rows have come.
    pub(crate) bell: Arc<Bell>,
}

impl Store {
    /// Opens the tables for a rig that runs: the table of each spec and each system table is opened, created or
    /// widened. Tables, columns and rows that other processes commit appear in its catalogs within a second or a round.
    ///
    /// # Errors
    /// A name or type that can't be stored, a column that holds another type or unit already, a place that can't be reached, or Delta's
    /// own.
    pub async fn open(place: &Place, rig: &str, specs: &[TableSpec]) -> Result<Self, TablesError> {
        let store = Self::opened(place, rig, rig, specs, true).await?;
        let mut round = store.inner.round.lock().await;
        let looked = store.inner.look(&mut round).await?;
        store.inner.finish(&mut round, looked, BTreeMap::new()).await?;
        drop(round);
        Ok(store)
    }

    /// Opens the tables for a rebuild beside the rig's own rows, under the application id `<run_id>/<session>`. Its catalogs
    /// show every run, and no other process's commits after it was opened.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_as(place: &Place, rig: &str, app_id: &str, specs: &[TableSpec]) -> Result<Self, TablesError> {
        Self::opened(place, rig, app_id, specs, false).await
    }

    async fn opened(place: &Place, rig: &str, app_id: &str, specs: &[TableSpec], follows: bool) -> Result<Self, TablesError> {
        place.check().await?;
        let inner = Inner {
            rig: rig.to_owned(),
            app_id: app_id.to_owned(),
            follows,
            place: place.clone(),
            session: catalog::session()?,
            tables: Mutex::new(Tables::new(BTreeMap::new(), follows)),
            round: tokio::sync::Mutex::default(),
            rewriting: tokio::sync::Mutex::default(),
            fits: Mutex::default(),
            bell: Arc::default(),
        };
        let tables = inner.open_tables(state::wanted(specs)?).await?;
        *inner.lock() = Tables::new(tables, follows);
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Takes rows in, and says that every row up to `position` has now been appended: all of them are in every catalog
    /// that is pinned from now on. Rows at or before their table's last transaction are there already and are dropped,
    /// which is what recovery needs.
    ///
    /// Returns the bytes of all hot rows, for back-pressure: beyond a few times [`COMMIT_BYTES`] the caller waits for
    /// the commit that is under way.
    ///
    /// # Errors
    /// An undeclared or operational table, rows that don't fit it, or a position that goes backwards; then nothing was
    /// taken in.
    pub fn append(&self, chunks: &[TableChunk], position: i64) -> Result<usize, TablesError> {
        let rows = chunks.iter().map(|chunk| self.inner.fitted(chunk, false)).collect::<Result<Vec<_>, _>>()?;
        let mut tables = self.inner.lock();
        tables.append(chunks, rows, position)?;
        let bytes = tables.hot_bytes();
        drop(tables);
        self.inner.bell.ring();
        Ok(bytes)
    }

    /// Whether anybody wants to know how far the rig has come: who follows the tables, or is about to.
    pub fn wants_reach(&self) -> bool {
        self.inner.lock().followers.listen()
    }

    /// Says how far the rig has come once the rows up to `reached.position` are appended, which they are or will be next: live
    /// queries emit their windows by it.
    pub fn reach(&self, reached: Reached) {
        self.inner.lock().reach(reached);
    }

    /// Takes rows of an operational table in, whatever their position. They are committed with the next round.
    ///
    /// # Errors
    /// An undeclared table, one that isn't operational, or rows that don't fit it.
    pub fn append_operational(&self, chunk: &TableChunk) -> Result<(), TablesError> {
        let rows = self.inner.fitted(chunk, true)?;
        self.inner.lock().append_operational(chunk, rows);
        self.inner.bell.ring();
        Ok(())
    }

    /// Opens, creates or widens further tables; appends, commits and queries go on meanwhile.
    ///
    /// # Errors
    /// As [`open`](Self::open); then every table is as it was in the catalogs of this store.
    pub async fn declare(&self, specs: &[TableSpec]) -> Result<(), TablesError> {
        let mut wanted = state::wanted(specs)?;
        let mut round = self.inner.round.lock().await;
        {
            let tables = self.inner.lock();
            for (name, table) in &tables.by_name {
                let lacks = |wanted: &Wanted| Ok::<_, TablesError>(!schema::gained(name, &table.cold.schema, &wanted.columns)?.is_empty());
                if !wanted.get(name).map_or(Ok(true), lacks)? {
                    wanted.remove(name);
                }
            }
        }
        let mut looked = self.inner.look(&mut round).await?;
        for (name, table) in self.inner.open_tables(wanted).await? {
            let held = self.inner.lock().by_name.contains_key(&name);
            looked.open(name, table, held);
        }
        self.inner.finish(&mut round, looked, BTreeMap::new()).await
    }

    /// Newest position that the tables hold in full, hot rows included.
    pub fn tables_position(&self) -> i64 {
        self.inner.lock().position
    }

    /// Position of this application's last transaction in a table; `None` before the first, and for an operational table.
    pub fn committed_position(&self, table: &str) -> Option<i64> {
        self.inner.lock().by_name.get(table)?.position()
    }

    /// The positions of this application's last transactions in all tables, ascending, each once: a round that stopped
    /// half-way leaves several. Recovery ends its chunks at each (contract 4).
    pub fn transactions(&self) -> Vec<i64> {
        let mut positions: Vec<i64> = self.inner.lock().by_name.values().filter_map(Table::position).collect();
        positions.sort_unstable();
        positions.dedup();
        positions
    }

    /// Whether `lineage` holds a run of a session, as far as this store has looked or was told.
    pub fn names(&self, session: &str, run_id: &str) -> bool {
        self.inner.lock().shown.names(session, run_id)
    }

    /// Bytes of the rows that wait for a commit.
    pub fn hot_bytes(&self) -> usize {
        self.inner.lock().hot_bytes()
    }

    /// Rows wait this long for a commit round from now on, instead of [`COMMIT_INTERVAL`].
    pub fn commit_every(&self, interval: Duration) {
        self.inner.lock().commit_every = interval;
    }

    /// Whether a commit round is due: its interval has passed with rows waiting, or they hold [`COMMIT_BYTES`].
    pub fn should_commit(&self) -> bool {
        let tables = self.inner.lock();
        let bytes = tables.hot_bytes();
        bytes >= COMMIT_BYTES || (bytes > 0 && tables.last_round.elapsed() >= tables.commit_every)
    }

    /// A commit round (contract 8) at `position`, which is durable and whose rows have all been appended: one Delta
    /// commit per table with rows, with the transaction (application id, `position`); every operational row goes with it.
    /// Appends and queries go on meanwhile. In one instant the new versions are taken in and their rows leave the hot part.
    ///
    /// Rows of `lineage` are committed before, and adoptions after, all others. Runs to its end even when the future is
    /// dropped, so that no row is written twice.
    ///
    /// # Errors
    /// One of the tables' that failed: its rows stay hot and go with the next round, as do all rows when `lineage` failed.
    /// The other tables are committed.
    pub async fn commit(&self, position: i64) -> Result<(), TablesError> {
        let inner = self.inner.clone();
        to_its_end(async move { inner.commit(position).await }).await
    }

    /// Every table as it stands now in this store.
    pub fn catalog(&self) -> Catalog {
        let tables = self.inner.lock();
        Catalog::new(tables.pin(), self.inner.session.clone(), tables.position)
    }

    /// Takes in what other processes have committed and what has been adopted, unless that was done within the last second.
    pub async fn refresh(&self) {
        self.inner.refresh().await;
    }

    /// Runs one read-only statement over a catalog pinned now, after a [`refresh`](Self::refresh).
    ///
    /// # Errors
    /// As [`Catalog::query`].
    pub async fn query(&self, sql: &str) -> Result<Answer, TablesError> {
        self.refresh().await;
        self.catalog().query(sql).await
    }
}

/// Live queries get what has come, and end.
impl Drop for Store {
    fn drop(&mut self) {
        self.inner.lock().followers.close();
        self.inner.bell.ring();
    }
}

impl Inner {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().expect("nothing panics while it holds the tables")
    }

    /// The rows of a chunk with every column of its table.
    fn fitted(&self, chunk: &TableChunk, operational: bool) -> Result<RecordBatch, TablesError> {
        let columns = self.lock().schema(&chunk.table, operational)?;
        self.fits.lock().expect("nothing panics while it fits rows").fitted(&columns, chunk, &self.rig)
    }

    async fn open_tables(&self, wanted: BTreeMap<String, Wanted>) -> Result<BTreeMap<String, Table>, TablesError> {
        let opened = wanted.into_iter().map(|(name, Wanted { columns, high_rate, operational })| async move {
            let cold = Cold::open_or_create(&self.place.table(&name), &name, &columns, high_rate).await?;
            Ok::<_, TablesError>((name, Table::open(cold, &self.app_id, operational).await?))
        });
        Ok(futures::future::try_join_all(opened).await?.into_iter().collect())
    }
}

/// Runs work to its end, even when nobody waits for it any longer.
pub(crate) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, TablesError>> + Send + 'static,
) -> Result<T, TablesError> {
    tokio::spawn(work).await.unwrap_or_else(|stopped| Err(TablesError::Stopped { reason: stopped.to_string() }))
}
