//! How do tables move on: a commit round of this process (contract 8), and the versions that other processes have made?
//!
//! Other processes rebuild sessions and adopt what they rebuilt. A run's row of `lineage` is committed before its other
//! rows, and an adoption after them. So whoever looks reads `adoptions` first and `lineage` last: what hides a run is then
//! never older than its rows, and what shows it never newer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use futures::future::join_all;
use proprio_core::table::system::{ADOPTIONS, LINEAGE};

use crate::cold::Cold;
use crate::error::TablesError;
use crate::state::Table;
use crate::store::Inner;
use crate::visible::{ColdFacts, Fact};

/// A query looks for versions of other processes when nobody has for this long.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What is known from one round to the next; whoever holds it is the only one that changes tables' versions.
#[derive(Debug, Default)]
pub(crate) struct Round {
    lineage: ColdFacts,
    adoptions: ColdFacts,
}

/// The versions that were found, not yet in any catalog.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// Newer versions of tables that are held.
    newer: BTreeMap<String, Cold>,
    /// Tables that weren't held.
    found: BTreeMap<String, Table>,
    adoptions: Arc<Vec<Fact>>,
    /// How many of the adoptions that were appended here may take effect.
    heard: usize,
    failed: BTreeMap<String, TablesError>,
}

/// One table's part in a round.
struct Due {
    name: String,
    cold: Cold,
    known: Option<i64>,
    version: i64,
    batches: Option<Vec<RecordBatch>>,
}

type Written = BTreeMap<String, (Cold, i64)>;

impl Inner {
    /// A commit round; see [`crate::Store::commit`].
    pub(crate) async fn commit(self: Arc<Self>, position: i64) -> Result<(), TablesError> {
        let mut round = self.round.lock().await;
        let committed = self.lock().committed;
        if position < committed {
            return Err(TablesError::StalePosition { position, newest: committed });
        }
        let mut looked = self.look(&mut round).await?;
        let mut failed = std::mem::take(&mut looked.failed);
        let known = self.settled(&looked, &mut failed).await;
        let mut written = Written::new();
        // A run's rows may not be there before its row of `lineage`, nor an adoption before what it shows.
        let due = self.due(position, &looked, &known, |name| name == LINEAGE);
        self.write(due, &mut written, &mut failed).await;
        if !failed.contains_key(LINEAGE) {
            let is_due = |name: &str| name != LINEAGE && name != ADOPTIONS && !failed.contains_key(name);
            let due = self.due(position, &looked, &known, is_due);
            self.write(due, &mut written, &mut failed).await;
        }
        if failed.is_empty() {
            let due = self.due(position, &looked, &known, |name| name == ADOPTIONS);
            self.write(due, &mut written, &mut failed).await;
        }
        self.finish(&mut round, looked, written).await?;
        let mut tables = self.lock();
        tables.last_round = Instant::now();
        match failed.into_values().next() {
            Some(error) => Err(error),
            None => {
                tables.committed = position;
                Ok(())
            }
        }
    }

    /// Takes in the versions of other processes, when it is time to or an adoption waits for them. What can't be read stays
    /// as it was, which is right still; the next commit round says why.
    pub(crate) async fn refresh(&self) {
        let urgent = {
            let tables = self.lock();
            let urgent = !tables.shown.waiting.is_empty();
            if !urgent && tables.looked.elapsed() < LOOK_INTERVAL {
                return;
            }
            urgent
        };
        // A round that is under way has looked by itself, though maybe before the newest came: the next query looks again.
        let round = if urgent { Some(self.round.lock().await) } else { self.round.try_lock().ok() };
        let Some(mut round) = round else { return };
        self.lock().looked = Instant::now();
        let Ok(looked) = self.look(&mut round).await else { return };
        // A commit whose end wasn't seen may be in what was found: its hot rows leave with it.
        let mut failed = BTreeMap::new();
        let settled = self.settled(&looked, &mut failed).await;
        if failed.is_empty() {
            let _ = self.finish(&mut round, looked, settled).await;
        }
    }

    /// Looks for newer versions and further tables: `adoptions` first, and `lineage` not yet.
    pub(crate) async fn look(&self, round: &mut Round) -> Result<Looked, TablesError> {
        let (mut held, attempted, heard) = {
            let tables = self.lock();
            let held: BTreeMap<String, Cold> = tables.by_name.iter().map(|(name, table)| (name.clone(), table.cold.clone())).collect();
            let attempted = tables.by_name.iter().filter(|(_, table)| table.attempted.is_some()).map(|(name, _)| name.clone());
            (held, attempted.collect::<Vec<_>>(), tables.shown.waiting.len())
        };
        let mut looked = Looked { heard, ..Looked::default() };
        if !self.follows {
            held.retain(|name, _| attempted.contains(name));
        } else if let Some(cold) = held.remove(ADOPTIONS) {
            looked.seen(ADOPTIONS, cold.newer().await);
            let cold = looked.newer.get(ADOPTIONS).unwrap_or(&cold);
            looked.adoptions = round.adoptions.at(ADOPTIONS, cold, &self.session).await?;
        }
        let others = held.iter().filter(|(name, _)| *name != LINEAGE || !self.follows);
        // Side by side: an object store takes its time for each.
        let newer = join_all(others.map(|(name, cold)| async move { (name, cold.newer().await) })).await;
        newer.into_iter().for_each(|(name, newer)| looked.seen(name, newer));
        if self.follows {
            for (name, place) in self.place.tables(|name| held.contains_key(name) || name == ADOPTIONS).await? {
                // One that is being made by another process is found the next time.
                if let Ok(cold) = Cold::open(&place, &name).await {
                    looked.found.insert(name, Table::open(cold, &self.app_id, false).await?);
                }
            }
        }
        Ok(looked)
    }

    /// Takes in, in one instant, what was found and what was written, after a look at `lineage`.
    pub(crate) async fn finish(&self, round: &mut Round, looked: Looked, mut written: Written) -> Result<(), TablesError> {
        let mut lineage = None;
        if self.follows {
            let own = written.remove(LINEAGE);
            let mut cold = own.as_ref().map_or_else(|| self.lock().by_name[LINEAGE].cold.clone(), |(cold, _)| cold.clone());
            if let Some(newer) = cold.newer().await? {
                cold = newer;
            }
            lineage = Some((round.lineage.at(LINEAGE, &cold, &self.session).await?, cold, own.map(|(_, version)| version)));
        }
        let mut tables = self.lock();
        tables.by_name.extend(looked.found);
        for (name, cold) in looked.newer {
            tables.by_name.get_mut(&name).expect("tables are never removed").take_in(cold);
        }
        for (name, (cold, version)) in written {
            tables.by_name.get_mut(&name).expect("tables are never removed").committed_to(cold, version);
        }
        if let Some((facts, cold, version)) = lineage {
            let table = tables.by_name.get_mut(LINEAGE).expect("a system table");
            match version {
                Some(version) => table.committed_to(cold, version),
                None => table.take_in(cold),
            }
            let shown = &mut tables.shown;
            shown.lineage = facts;
            shown.adoptions = looked.adoptions;
            shown.said.extend(shown.waiting.drain(..looked.heard));
            shown.follow();
        }
        tables.release();
        tables.looked = Instant::now();
        Ok(())
    }

    /// The tables that turn out to hold a commit whose end wasn't seen.
    async fn settled(&self, looked: &Looked, failed: &mut BTreeMap<String, TablesError>) -> Written {
        let attempted: Vec<(String, i64, Cold)> = {
            let tables = self.lock();
            let of = |(name, table): (&String, &Table)| {
                let cold = looked.newer.get(name).unwrap_or(&table.cold).clone();
                Some((name.clone(), table.attempted?, cold))
            };
            tables.by_name.iter().filter_map(of).collect()
        };
        let mut settled = Written::new();
        for (name, version, cold) in attempted {
            let newest = async {
                let newest = cold.newer().await?.unwrap_or(cold);
                Ok((newest.committed(&self.app_id).await?, newest))
            };
            match newest.await {
                Ok((committed, newest)) if committed == Some(version) => drop(settled.insert(name, (newest, version))),
                Ok(_) => {}
                Err(error) => drop(failed.insert(name, error)),
            }
        }
        settled
    }

    /// The rows of some tables up to a position, each noted as attempted.
    fn due(&self, position: i64, looked: &Looked, known: &Written, of: impl Fn(&str) -> bool) -> Vec<Due> {
        let mut tables = self.lock();
        let mut due = Vec::new();
        for (name, table) in tables.by_name.iter_mut().filter(|(name, _)| of(name)) {
            let version = table.due_to(position);
            let settled = known.get(name).map(|(_, version)| *version);
            let committed = settled.or(table.committed);
            let batches = table.hot.between(committed, version);
            if batches.is_some() {
                table.attempted = Some(version);
            }
            if batches.is_some() || settled.is_some() {
                let cold = looked.newer.get(name).unwrap_or(&table.cold).clone();
                let version = if batches.is_some() { version } else { settled.unwrap_or(version) };
                due.push(Due { name: name.clone(), cold, known: committed, version, batches });
            }
        }
        due
    }

    /// One Delta commit per table, side by side.
    async fn write(self: &Arc<Self>, due: Vec<Due>, written: &mut Written, failed: &mut BTreeMap<String, TablesError>) {
        let writes = due.into_iter().map(|Due { name, cold, known, version, batches }| {
            let inner = self.clone();
            let write = async move {
                match batches {
                    Some(batches) => cold.append(batches, &inner.app_id, known, version).await,
                    None => Ok(cold.newer().await?.unwrap_or(cold)),
                }
            };
            (name, version, tokio::spawn(write))
        });
        for (name, version, write) in writes.collect::<Vec<_>>() {
            match write.await.unwrap_or_else(|stopped| Err(TablesError::Stopped { reason: stopped.to_string() })) {
                Ok(cold) => drop(written.insert(name, (cold, version))),
                Err(error) => drop(failed.insert(name, error)),
            }
        }
    }
}

impl Looked {
    /// Every table at the newest version that was found.
    pub(crate) fn versions(&self, inner: &Inner) -> Vec<(String, Cold)> {
        let tables = inner.lock();
        let held = tables.by_name.iter().map(|(name, table)| (name.clone(), self.newer.get(name).unwrap_or(&table.cold).clone()));
        held.chain(self.found.iter().map(|(name, table)| (name.clone(), table.cold.clone()))).collect()
    }

    /// Takes in a version that was made since.
    pub(crate) fn take(&mut self, name: String, cold: Cold) {
        match self.found.get_mut(&name) {
            Some(table) => table.take_in(cold),
            None => drop(self.newer.insert(name, cold)),
        }
    }

    /// Takes in a table that was opened, made or widened since.
    pub(crate) fn open(&mut self, name: String, table: Table, held: bool) {
        if held {
            self.newer.insert(name, table.cold);
        } else {
            self.found.insert(name, table);
        }
    }

    fn seen(&mut self, name: &str, newer: Result<Option<Cold>, TablesError>) {
        match newer {
            Ok(Some(newer)) => drop(self.newer.insert(name.to_owned(), newer)),
            Ok(None) => {}
            Err(error) => drop(self.failed.insert(name.to_owned(), error)),
        }
    }
}
