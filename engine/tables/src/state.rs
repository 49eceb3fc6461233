//! What does a store hold in memory: each table's hot rows, its Delta version, and what of them is shown?

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::logical_expr::Expr;
use proprio_core::table::{Reached, system};
use proprio_core::{TableChunk, TableSpec};

use crate::cold::Cold;
use crate::error::TablesError;
use crate::hot::Hot;
use crate::live::Followers;
use crate::provider::PinnedTable;
use crate::schema;
use crate::store::COMMIT_INTERVAL;
use crate::visible::{self, Fact};

/// Everything that is changed under the store's one short lock.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) by_name: BTreeMap<String, Table>,
    /// Newest position whose rows have all been appended.
    pub(crate) position: i64,
    /// Position of the last commit round of this process; −1 before the first. Tables may have come further: recovery commits again
    /// from the first position on that any of them lacks.
    pub(crate) committed: i64,
    pub(crate) last_round: Instant,
    /// How long rows wait for a round.
    pub(crate) commit_every: Duration,
    /// When the versions of other processes were last looked for.
    pub(crate) looked: Instant,
    pub(crate) shown: Shown,
    /// How far the rig has come, as of the newest position that was told of.
    pub(crate) reached: Option<Arc<Reached>>,
    /// The same, of a position whose rows have not been appended yet.
    pub(crate) reaching: Option<Reached>,
    pub(crate) followers: Followers,
}

/// Which runs the tables show, and what that follows from.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// Whether any run is ever hidden.
    follows: bool,
    pub(crate) lineage: Arc<Vec<Fact>>,
    pub(crate) adoptions: Arc<Vec<Fact>>,
    /// Rows of either table that were appended here.
    pub(crate) said: Vec<Fact>,
    /// Adoptions that were appended here since the versions of other processes, which hold the adopted rows, were looked for.
    pub(crate) waiting: Vec<Fact>,
    condition: Option<Arc<Expr>>,
}

impl Shown {
    /// Follows what has been said.
    pub(crate) fn follow(&mut self) {
        self.condition = visible::condition(self.lineage.iter().chain(self.adoptions.iter()).chain(&self.said));
    }

    /// Forgets what was said of some sessions.
    pub(crate) fn forget(&mut self, sessions: &[String]) {
        for said in [&mut self.said, &mut self.waiting] {
            said.retain(|fact| !fact.is_of(sessions));
        }
    }

    /// Whether a run of a session has been named.
    pub(crate) fn names(&self, session: &str, run_id: &str) -> bool {
        self.lineage.iter().chain(&self.said).any(|fact| fact.is_run(session, run_id))
    }

    /// What a table's rows meet that are shown.
    pub(crate) fn of(&self, table: &str) -> Option<Arc<Expr>> {
        self.condition.clone().filter(|_| !visible::is_whole(table))
    }
}

#[derive(Debug)]
pub(crate) struct Table {
    schema: SchemaRef,
    pub(crate) hot: Hot,
    /// Newest position appended; of an operational table, the number of its newest chunk.
    pub(crate) appended: i64,
    pub(crate) cold: Cold,
    /// Version of this application's last transaction: a position, or the number of an operational chunk.
    pub(crate) committed: Option<i64>,
    /// Version of a transaction that was begun and of which it isn't known whether it came through.
    pub(crate) attempted: Option<i64>,
    operational: bool,
    /// How many live queries follow it.
    pub(crate) followed: usize,
}

impl Table {
    pub(crate) async fn open(cold: Cold, app_id: &str, operational: bool) -> Result<Self, TablesError> {
        let committed = cold.committed(app_id).await?;
        let appended = committed.filter(|_| operational).unwrap_or(i64::MIN);
        let (schema, hot) = (cold.schema.clone(), Hot::default());
        Ok(Self { schema, hot, appended, cold, committed, attempted: None, operational, followed: 0 })
    }

    /// Up to where its rows go with a round at `position`.
    pub(crate) fn due_to(&self, position: i64) -> i64 {
        if self.operational { self.appended } else { position }
    }

    /// This application's last position; an operational table has none.
    pub(crate) fn position(&self) -> Option<i64> {
        self.committed.filter(|_| !self.operational)
    }

    /// Takes in a version, and the columns that it has gained.
    pub(crate) fn take_in(&mut self, cold: Cold) {
        if cold.schema != self.schema {
            self.schema = cold.schema.clone();
            self.hot.widen(&self.schema);
        }
        self.cold = cold;
    }

    /// Takes in the version that holds the rows up to `version`, and lets them go.
    pub(crate) fn committed_to(&mut self, cold: Cold, version: i64) {
        self.hot.drop_up_to(version, self.followed > 0);
        self.committed = Some(version);
        self.attempted = None;
        self.take_in(cold);
    }

    fn push(&mut self, rows: RecordBatch, position: i64) {
        self.appended = position;
        if self.committed.is_none_or(|committed| position > committed) && rows.num_rows() > 0 {
            // The table may have gained columns since the rows were made to fit it.
            let rows = if rows.schema_ref() == &self.schema { rows } else { schema::widened(&rows, &self.schema) };
            self.hot.push(rows, position);
        }
    }
}

impl Tables {
    pub(crate) fn new(by_name: BTreeMap<String, Table>, follows: bool) -> Self {
        let position = by_name.values().filter_map(Table::position).max().unwrap_or(-1);
        let now = Instant::now();
        Self {
            by_name,
            position,
            committed: -1,
            last_round: now,
            commit_every: COMMIT_INTERVAL,
            looked: now,
            shown: Shown { follows, ..Shown::default() },
            reached: None,
            reaching: None,
            followers: Followers::default(),
        }
    }

    pub(crate) fn hot_bytes(&self) -> usize {
        self.by_name.values().map(|table| table.hot.bytes()).sum()
    }

    /// A table's columns, for rows that come to it by the law or outside it.
    pub(crate) fn schema(&self, name: &str, operational: bool) -> Result<SchemaRef, TablesError> {
        let table = self.by_name.get(name).ok_or_else(|| TablesError::UndeclaredTable { table: name.to_owned() })?;
        if table.operational == operational {
            return Ok(table.schema.clone());
        }
        let detail = if operational { "rows without a position" } else { "it is operational, its rows have no position" };
        Err(TablesError::Misfit { table: name.to_owned(), detail: detail.to_owned() })
    }

    /// Takes rows in, all or none.
    pub(crate) fn append(&mut self, chunks: &[TableChunk], rows: Vec<RecordBatch>, position: i64) -> Result<(), TablesError> {
        let mut newest = BTreeMap::new();
        for chunk in chunks {
            let appended = newest.entry(chunk.table.as_str()).or_insert_with(|| self.by_name[&chunk.table].appended);
            if chunk.position < *appended {
                return Err(TablesError::StalePosition { position: chunk.position, newest: *appended });
            }
            *appended = chunk.position;
        }
        for (chunk, rows) in chunks.iter().zip(rows) {
            self.hear(&chunk.table, &rows);
            self.by_name.get_mut(&chunk.table).expect("its rows were made to fit it").push(rows, chunk.position);
        }
        self.position = self.position.max(position);
        if let Some(reached) = self.reaching.take_if(|reaching| reaching.position <= position) {
            self.reached = Some(Arc::new(reached));
        }
        Ok(())
    }

    /// Takes in how far the rig has come, with the rows that say so.
    pub(crate) fn reach(&mut self, reached: Reached) {
        if reached.position > self.position {
            self.reaching = Some(reached);
        } else {
            (self.reached, self.reaching) = (Some(Arc::new(reached)), None);
        }
    }

    /// Takes rows of an operational table in.
    pub(crate) fn append_operational(&mut self, chunk: &TableChunk, rows: RecordBatch) {
        let table = self.by_name.get_mut(&chunk.table).expect("its rows were made to fit it");
        let number = table.appended.max(0) + 1;
        table.push(rows, number);
    }

    /// A run is hidden or shown from its first row on; an adoption only once the adopted rows are in the catalog.
    fn hear(&mut self, table: &str, rows: &RecordBatch) {
        match table {
            _ if !self.shown.follows => {}
            system::LINEAGE => {
                self.shown.said.extend(visible::facts(table, rows));
                self.shown.follow();
            }
            system::ADOPTIONS => self.shown.waiting.extend(visible::facts(table, rows)),
            _ => {}
        }
    }

    /// Every table as it stands now.
    pub(crate) fn pin(&self) -> BTreeMap<String, Arc<PinnedTable>> {
        self.pin_some(|_| true)
    }

    /// Some tables as they stand now.
    pub(crate) fn pin_some(&self, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, Arc<PinnedTable>> {
        let pinned = |(name, table): (&String, &Table)| {
            let Table { schema, hot, cold, .. } = table;
            let pinned = PinnedTable {
                schema: schema.clone(),
                hot: hot.pin(),
                cold: Some(cold.scan.clone()),
                shown: self.shown.of(name),
                seen: None,
            };
            (name.clone(), Arc::new(pinned))
        };
        self.by_name.iter().filter(|(name, _)| wanted(name)).map(pinned).collect()
    }
}

/// A table to open.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) columns: arrow_schema::Schema,
    pub(crate) high_rate: bool,
    pub(crate) operational: bool,
}

/// The tables to open: specs of one name united, and the system tables.
pub(crate) fn wanted(specs: &[TableSpec]) -> Result<BTreeMap<String, Wanted>, TablesError> {
    let mut united: BTreeMap<String, Wanted> = BTreeMap::new();
    for spec in specs.iter().chain(&system::tables()) {
        let columns = schema::of_spec(spec)?;
        match united.get_mut(&spec.name) {
            None => {
                united.insert(spec.name.clone(), Wanted { columns, high_rate: spec.high_rate, operational: spec.operational });
            }
            Some(held) => {
                let mut fields: Vec<_> = held.columns.fields().iter().cloned().collect();
                fields.extend(schema::gained(&spec.name, &held.columns, &columns)?.into_iter().map(Arc::new));
                held.columns = schema::arranged(&arrow_schema::Schema::new(fields)).as_ref().clone();
                held.high_rate |= spec.high_rate;
            }
        }
    }
    Ok(united)
}
