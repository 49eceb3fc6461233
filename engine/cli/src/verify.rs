//! Do the tables hold what a replay gives? Every row's bits count; memory holds digests by second, and no rows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use anyhow::Context as _;
use futures::StreamExt as _;
use proprio_core::table::system;
use proprio_core::{Digests, TableChunk, TimeNs};
use proprio_runtime::Plan;
use proprio_tables::Reader;
use serde::Serialize;

/// Columns that the tables add and a chunk doesn't have, or that follow from others.
const DERIVED: [&str; 2] = ["time", "rig"];
/// Columns that name the build.
const OF_BUILD: [&str; 2] = ["run_id", "id"];
/// Tables that the worker's rows don't make.
const NOT_REPLAYED: [&str; 2] = [system::AUDIT, system::ADOPTIONS];

/// Gathers what a replay gives, to be compared with the tables.
pub struct Verify {
    session: String,
    /// Columns left out.
    without: Vec<&'static str>,
    by_table: BTreeMap<String, Digests>,
}

/// Where the tables and the replay first differ.
#[derive(Debug, Serialize)]
pub struct Difference {
    table: String,
    /// The second of event time that differs, in nanoseconds since the epoch.
    second_ns: TimeNs,
    /// Rows of the table in the session: replayed, and stored.
    replayed_rows: u64,
    stored_rows: u64,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, second_ns, replayed_rows, stored_rows } = self;
        let second = chrono::DateTime::from_timestamp_nanos(*second_ns).format("%Y-%m-%d %H:%M:%S");
        write!(f, "table {table}, first in the second {second} (time_ns from {second_ns}): ")?;
        if replayed_rows == stored_rows {
            write!(f, "{replayed_rows} rows on both sides, other values")
        } else {
            write!(f, "{replayed_rows} rows replayed, {stored_rows} stored")
        }
    }
}

impl Verify {
    /// For one session; rows of another build are compared without what names the build.
    pub fn new(session: &str, other_build: bool) -> Self {
        let without = DERIVED.into_iter().chain(other_build.then_some(OF_BUILD).into_iter().flatten()).collect();
        Self { session: session.to_owned(), without, by_table: BTreeMap::new() }
    }

    /// Takes replayed rows.
    ///
    /// # Errors
    /// When a column can't be compared.
    pub fn replayed(&mut self, chunks: &[TableChunk], plan: &Plan) -> anyhow::Result<()> {
        for chunk in chunks.iter().filter(|chunk| chunk.session == self.session) {
            let key = plan.tables.iter().find(|table| table.name == chunk.table).and_then(|table| table.key.as_deref());
            let key = key.zip(chunk.key.as_deref());
            let of_build = (!self.without.contains(&"run_id")).then_some(("run_id", chunk.run_id.as_str()));
            let constants: Vec<(&str, &str)> = [Some(("session", self.session.as_str())), of_build, key].into_iter().flatten().collect();
            self.by_table.entry(chunk.table.clone()).or_default().add(&chunk.rows, &constants, &self.without)?;
        }
        Ok(())
    }

    /// Compares with the tables of a data directory, as far as they are these runs'.
    ///
    /// # Errors
    /// When the tables can't be read.
    pub async fn compare(&self, data: &Path, runs: &BTreeSet<String>) -> anyhow::Result<Option<Difference>> {
        let reader = Reader::open(data).await.context("the tables can't be read")?;
        let mut differences = Vec::new();
        for table in tables(&reader).into_iter().filter(|table| !NOT_REPLAYED.contains(&table.as_str())) {
            let stored = self.stored(&reader, &table, runs).await.with_context(|| format!("table {table} can't be compared"))?;
            let replayed = self.by_table.get(&table).cloned().unwrap_or_default();
            if let Some(second_ns) = replayed.first_difference(&stored) {
                let (replayed_rows, stored_rows) = (replayed.rows(), stored.rows());
                differences.push(Difference { table, second_ns, replayed_rows, stored_rows });
            }
        }
        Ok(differences.into_iter().min_by_key(|difference| difference.second_ns))
    }

    async fn stored(&self, reader: &Reader, table: &str, runs: &BTreeSet<String>) -> anyhow::Result<Digests> {
        let session = self.session.replace('\'', "''");
        let of_runs = if self.without.contains(&"run_id") {
            String::new()
        } else {
            format!(" AND run_id IN ({})", runs.iter().map(|run| format!("'{run}'")).collect::<Vec<_>>().join(", "))
        };
        let query = format!("SELECT * FROM \"{table}_all\" WHERE session = '{session}'{of_runs}");
        let mut batches = reader.query(&query).await?.batches;
        let mut digests = Digests::default();
        while let Some(batch) = batches.next().await {
            digests.add(&batch?, &[], &self.without)?;
        }
        Ok(digests)
    }
}

/// The base tables, whichever names the catalog has beside them.
fn tables(reader: &Reader) -> BTreeSet<String> {
    let names: BTreeSet<&str> = reader.catalog().names().collect();
    names.iter().filter(|name| !["_latest", "_all"].iter().any(|suffix| name.ends_with(suffix))).map(|name| (*name).to_owned()).collect()
}
