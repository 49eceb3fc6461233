//! Tables in memory with one transaction each, as Delta's are: a round may stop between two of them, and a power cut takes
//! the rows that no commit holds.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use proprio_core::table::system;
use proprio_core::{Digests, TableChunk};
use proprio_tables::TablesError;

use super::chance::Chance;
use crate::engine::sink::Sink;

/// The tables of a simulated rig.
#[derive(Default)]
pub struct MemoryTables {
    state: Mutex<State>,
    /// Whether a commit round is due.
    due: AtomicBool,
    /// A round is due as soon as so many rows wait; no limit when 0.
    limit: AtomicUsize,
    /// How the rounds go while the rig comes up; whole when absent.
    coming_up: Mutex<Option<Chance>>,
}

#[derive(Default)]
struct State {
    tables: BTreeMap<String, Table>,
}

#[derive(Default)]
struct Table {
    hot: Vec<TableChunk>,
    cold: Vec<TableChunk>,
    committed: Option<i64>,
}

/// Why a round stops half-way while the rig comes up.
pub const POWER_CUT: &str = "the power went";

/// How a commit round goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoundFate {
    /// Every table commits.
    Whole,
    /// One table's commit fails; the others succeed.
    OneFails,
    /// The power goes after some tables.
    PowerCut,
}

impl MemoryTables {
    /// From now on a commit round is due.
    pub fn make_due(&self) {
        self.due.store(true, Ordering::Relaxed);
    }

    /// A commit round is due as soon as so many rows wait, while the rig comes up too.
    pub fn limit(&self, rows: usize) {
        self.limit.store(rows, Ordering::Relaxed);
    }

    /// From now on, while the rig comes up, the power may go in the middle of a round.
    pub fn dare(&self, chance: Option<Chance>) {
        *self.coming_up.lock().unwrap_or_else(PoisonError::into_inner) = chance;
    }

    /// Rows that wait for a commit.
    pub fn waiting(&self) -> usize {
        self.state().tables.values().flat_map(|table| &table.hot).map(|chunk| chunk.rows.num_rows()).sum()
    }

    /// Commits each table up to a position; false when the round did not come to its end.
    pub fn commit(&self, position: i64, fate: RoundFate, chance: &mut Chance) -> bool {
        self.due.store(false, Ordering::Relaxed);
        let mut state = self.state();
        let names: Vec<String> = state.tables.keys().cloned().collect();
        let trouble = chance.index(names.len().max(1));
        for (index, name) in names.iter().enumerate() {
            if index == trouble && fate == RoundFate::PowerCut {
                return false;
            }
            if index == trouble && fate == RoundFate::OneFails {
                continue;
            }
            let table = state.tables.get_mut(name).expect("names are of the tables");
            let (now, later): (Vec<_>, Vec<_>) = std::mem::take(&mut table.hot).into_iter().partition(|chunk| chunk.position <= position);
            if !now.is_empty() {
                table.committed = Some(position);
                table.cold.extend(now);
            }
            table.hot = later;
        }
        fate == RoundFate::Whole
    }

    /// A power cut: rows that no commit holds are gone.
    pub fn lose_power(&self) {
        self.due.store(false, Ordering::Relaxed);
        let mut state = self.state();
        state.tables.values_mut().for_each(|table| table.hot.clear());
    }

    /// Digests of the committed rows.
    pub fn digests(&self, runs: Runs) -> ByTable {
        let mut digests = ByTable::new();
        for table in self.state().tables.values() {
            table.cold.iter().for_each(|chunk| add(&mut digests, chunk, runs));
        }
        digests
    }

    /// Committed rows of a table, chunk by chunk.
    pub fn committed(&self, table: &str) -> Vec<TableChunk> {
        self.state().tables.get(table).map(|table| table.cold.clone()).unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Digests by session, run and table.
pub type ByTable = BTreeMap<(String, String, String), Digests>;

/// Whether rows are told apart by their run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// By name.
    Apart,
    /// Builds followed each other, and a replay makes all rows in one: what names a build is left out.
    Together,
}

/// Adds a chunk's rows to the digests of its session, run and table.
pub fn add(digests: &mut ByTable, chunk: &TableChunk, runs: Runs) {
    let TableChunk { session, table, .. } = chunk;
    let (run_id, without): (_, &[&str]) = match runs {
        Runs::Apart => (chunk.run_id.clone(), &[]),
        Runs::Together if table == system::LINEAGE => return,
        Runs::Together => (String::new(), &["id"]),
    };
    let constants = [("key", chunk.key.as_deref().unwrap_or_default())];
    let digests = digests.entry((session.clone(), run_id, table.clone())).or_default();
    digests.add(&chunk.rows, &constants, without).expect("the worker's rows have comparable types");
}

impl Sink for MemoryTables {
    fn append(&self, chunks: &[TableChunk], _position: i64) -> Result<(), TablesError> {
        let mut state = self.state();
        for chunk in chunks {
            let table = state.tables.entry(chunk.table.clone()).or_default();
            if table.committed.is_none_or(|committed| chunk.position > committed) {
                table.hot.push(chunk.clone());
            }
        }
        Ok(())
    }

    fn append_operational(&self, _chunk: &TableChunk) -> Result<(), TablesError> {
        Ok(())
    }

    fn transactions(&self) -> BTreeMap<String, i64> {
        self.state().tables.iter().filter_map(|(name, table)| Some((name.clone(), table.committed?))).collect()
    }

    fn hot_bytes(&self) -> usize {
        0
    }

    fn should_commit(&self) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        self.due.load(Ordering::Relaxed) || (limit > 0 && self.waiting() >= limit)
    }

    fn names(&self, session: &str, run_id: &str) -> bool {
        let state = self.state();
        let lineage = state.tables.get(system::LINEAGE);
        lineage.is_some_and(|table| table.hot.iter().chain(&table.cold).any(|chunk| chunk.session == session && chunk.run_id == run_id))
    }

    fn commit_and_wait(&self, position: i64) -> Result<(), TablesError> {
        let mut coming_up = self.coming_up.lock().unwrap_or_else(PoisonError::into_inner);
        let mut calm = Chance::new(0, "no trouble");
        let is_cut = coming_up.as_mut().is_some_and(|chance| chance.happens(0.3));
        let (fate, chance) = (if is_cut { RoundFate::PowerCut } else { RoundFate::Whole }, coming_up.as_mut().unwrap_or(&mut calm));
        if self.commit(position, fate, chance) { Ok(()) } else { Err(TablesError::Stopped { reason: POWER_CUT.to_owned() }) }
    }
}
