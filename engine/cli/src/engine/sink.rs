//! Where do rows go? Real tables while an engine runs, tables in memory in the fault bench: both drop what they already hold.

use std::collections::BTreeMap;

use proprio_core::TableChunk;
use proprio_core::table::Reached;
use proprio_tables::{Store, TablesError};

/// Tables that rows are appended to, with a transaction each (contract 8).
pub trait Sink: Send + Sync {
    /// Takes rows in; every row up to `position` has now been appended. Rows at or before their table's last transaction are
    /// dropped.
    ///
    /// # Errors
    /// When rows don't fit their table.
    fn append(&self, chunks: &[TableChunk], position: i64) -> Result<(), TablesError>;
    /// Whether who follows the tables wants to know how far the rig has come.
    fn wants_reach(&self) -> bool {
        false
    }
    /// Says how far the rig has come with the rows up to there, which may be appended next.
    fn reach(&self, _: Reached) {}
    /// Takes rows that are outside the law of same bytes.
    ///
    /// # Errors
    /// When rows don't fit their table.
    fn append_operational(&self, chunk: &TableChunk) -> Result<(), TablesError>;
    /// Positions of the tables' last transactions, by table: recovery ends a chunk at each.
    fn transactions(&self) -> BTreeMap<String, i64>;
    /// Bytes that wait for a commit.
    fn hot_bytes(&self) -> usize;
    /// Whether a commit round is due.
    fn should_commit(&self) -> bool;
    /// Whether `lineage` holds a run of a session already.
    fn names(&self, session: &str, run_id: &str) -> bool;
    /// Commits each table's rows up to a durable position whose rows have all been appended, and waits for it: while a rig comes up,
    /// so that what it makes anew does not all wait in memory.
    ///
    /// # Errors
    /// When a table can't be committed; its rows wait.
    fn commit_and_wait(&self, position: i64) -> Result<(), TablesError>;
}

impl Sink for Store {
    fn append(&self, chunks: &[TableChunk], position: i64) -> Result<(), TablesError> {
        Self::append(self, chunks, position).map(drop)
    }

    fn wants_reach(&self) -> bool {
        Self::wants_reach(self)
    }

    fn reach(&self, reached: Reached) {
        Self::reach(self, reached);
    }

    fn append_operational(&self, chunk: &TableChunk) -> Result<(), TablesError> {
        Self::append_operational(self, chunk).map(drop)
    }

    fn transactions(&self) -> BTreeMap<String, i64> {
        let catalog = self.catalog();
        catalog.names().filter_map(|name| Some((name.to_owned(), self.committed_position(name)?))).collect()
    }

    fn hot_bytes(&self) -> usize {
        Self::hot_bytes(self)
    }

    fn should_commit(&self) -> bool {
        Self::should_commit(self)
    }

    fn names(&self, session: &str, run_id: &str) -> bool {
        Self::names(self, session, run_id)
    }

    fn commit_and_wait(&self, position: i64) -> Result<(), TablesError> {
        tokio::runtime::Handle::current().block_on(self.commit(position))
    }
}
