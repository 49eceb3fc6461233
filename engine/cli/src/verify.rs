//! Do the tables hold what a replay gives? Every row's bits count; memory holds digests by second, and no rows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::Context as _;
use arrow_array::{Array as _, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use futures::StreamExt as _;
use proprio_core::schema::TIME;
use proprio_core::table::system;
use proprio_core::time::SECOND_NS;
use proprio_core::{Digests, TableChunk, TimeNs, rows};
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
    /// The first row of that second that only one side has: replayed, and stored.
    replayed: Option<String>,
    stored: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, second_ns, replayed_rows, stored_rows, .. } = self;
        let second = chrono::DateTime::from_timestamp_nanos(*second_ns).format("%Y-%m-%d %H:%M:%S");
        write!(f, "table {table}, first in the second {second} (time_ns from {second_ns}): ")?;
        if replayed_rows == stored_rows {
            write!(f, "{replayed_rows} rows on both sides, other values")?;
        } else {
            write!(f, "{replayed_rows} rows replayed, {stored_rows} stored")?;
        }
        for (side, row) in [("replayed", &self.replayed), ("stored", &self.stored)] {
            write!(f, "\n    only {side}: {}", row.as_deref().unwrap_or("nothing"))?;
        }
        Ok(())
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
            let constants = constants(&self.session, &self.without, chunk, plan);
            self.by_table.entry(chunk.table.clone()).or_default().add(&chunk.rows, &constants, &self.without)?;
        }
        Ok(())
    }

    /// Compares with the tables, as far as they are these runs'.
    ///
    /// # Errors
    /// When the tables can't be read.
    pub async fn compare(&self, reader: &Reader, runs: &BTreeSet<String>) -> anyhow::Result<Option<Difference>> {
        let mut differences = Vec::new();
        for table in tables(reader).into_iter().filter(|table| !NOT_REPLAYED.contains(&table.as_str())) {
            if table == system::LINEAGE && self.is_of_another_build() {
                continue;
            }
            let stored = self.stored(reader, &table, runs).await.with_context(|| format!("table {table} can't be compared"))?;
            let replayed = self.by_table.get(&table).cloned().unwrap_or_default();
            if let Some(second_ns) = replayed.first_difference(&stored) {
                let (replayed_rows, stored_rows) = (replayed.rows(), stored.rows());
                differences.push(Difference { table, second_ns, replayed_rows, stored_rows, replayed: None, stored: None });
            }
        }
        Ok(differences.into_iter().min_by_key(|difference| difference.second_ns))
    }

    async fn stored(&self, reader: &Reader, table: &str, runs: &BTreeSet<String>) -> anyhow::Result<Digests> {
        let mut batches = reader.query(&self.query(table, runs)).await?.batches;
        let mut digests = Digests::default();
        while let Some(batch) = batches.next().await {
            digests.add(&batch?, &[], &self.without)?;
        }
        Ok(digests)
    }

    /// Fills in the first rows of a difference: `replayed` are the chunks of a second replay.
    ///
    /// # Errors
    /// When the tables can't be read.
    pub async fn show(
        &self,
        difference: &mut Difference,
        reader: &Reader,
        runs: &BTreeSet<String>,
        replayed: BTreeSet<String>,
    ) -> anyhow::Result<()> {
        let Difference { table, second_ns, .. } = difference;
        let until_ns = *second_ns + SECOND_NS;
        let query = format!("{} AND time_ns >= {second_ns} AND time_ns < {until_ns}", self.query(table, runs));
        let mut stored = BTreeSet::new();
        for batch in reader.query(&query).await?.collect().await? {
            stored.extend(texts(&batch, &[], &self.without, *second_ns)?);
        }
        difference.replayed = replayed.difference(&stored).next().cloned();
        difference.stored = stored.difference(&replayed).next().cloned();
        Ok(())
    }

    /// The rows of a chunk that fall into a difference, as texts.
    ///
    /// # Errors
    /// When a value can't be shown.
    pub fn rows_of(&self, difference: &Difference, chunk: &TableChunk, plan: &Plan) -> anyhow::Result<Vec<String>> {
        if chunk.table != difference.table || chunk.session != self.session {
            return Ok(Vec::new());
        }
        texts(&chunk.rows, &constants(&self.session, &self.without, chunk, plan), &self.without, difference.second_ns)
    }

    fn is_of_another_build(&self) -> bool {
        self.without.contains(&"run_id")
    }

    fn query(&self, table: &str, runs: &BTreeSet<String>) -> String {
        let session = self.session.replace('\'', "''");
        let of_runs = format!(" AND run_id IN ({})", runs.iter().map(|run| format!("'{run}'")).collect::<Vec<_>>().join(", "));
        format!("SELECT * FROM \"{table}_all\" WHERE session = '{session}'{of_runs}")
    }
}

/// The columns that the tables add to a chunk's.
fn constants<'a>(session: &'a str, without: &[&str], chunk: &'a TableChunk, plan: &'a Plan) -> Vec<(&'a str, &'a str)> {
    let key = plan.tables.iter().find(|table| table.name == chunk.table).and_then(|table| table.key.as_deref());
    let of_build = (!without.contains(&"run_id")).then_some(("run_id", chunk.run_id.as_str()));
    [Some(("session", session)), of_build, key.zip(chunk.key.as_deref())].into_iter().flatten().collect()
}

/// The rows of one second of event time, time first and then by column names, without nulls: equal rows are equal texts.
fn texts(rows: &RecordBatch, constants: &[(&str, &str)], without: &[&str], second_ns: TimeNs) -> anyhow::Result<Vec<String>> {
    let options = FormatOptions::default();
    let times = rows::integers(rows, rows.schema_ref().index_of(TIME)?).values();
    let mut texts = Vec::new();
    for row in (0..rows.num_rows()).filter(|row| (second_ns..second_ns + SECOND_NS).contains(&times[*row])) {
        let mut cells: Vec<(String, String)> = constants.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()) {
            if column.is_valid(row) && field.name() != TIME && !without.contains(&field.name().as_str()) {
                cells.push((field.name().clone(), ArrayFormatter::try_new(column, &options)?.value(row).try_to_string()?));
            }
        }
        cells.sort();
        let cells = cells.into_iter().map(|(name, value)| format!(", {name}={value}")).collect::<String>();
        texts.push(format!("{TIME}={}{cells}", times[row]));
    }
    Ok(texts)
}

/// The base tables, whichever names the catalog has beside them.
fn tables(reader: &Reader) -> BTreeSet<String> {
    let names: BTreeSet<&str> = reader.catalog().names().collect();
    names.iter().filter(|name| !["_latest", "_all"].iter().any(|suffix| name.ends_with(suffix))).map(|name| (*name).to_owned()).collect()
}
