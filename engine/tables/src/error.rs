//! What can go wrong with tables and queries, in one line each.

use std::path::PathBuf;

use arrow_schema::{ArrowError, DataType};
use datafusion::common::{DataFusionError, SchemaError};
use deltalake_core::DeltaTableError;

/// Longer texts of DataFusion's list every function or column that there is.
const LONGEST: usize = 300;

/// Why a table could not be opened, written or asked.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// No tables lie where a reader looked.
    #[error("no tables under {place}: a run writes them there")]
    NoTables {
        /// Where was looked.
        place: String,
    },
    /// Tables can't lie there.
    #[error("{place} can't hold tables: {reason}")]
    Place {
        /// What was said.
        place: String,
        /// Why not.
        reason: String,
    },
    /// An object store does not answer, or refuses.
    #[error("the tables at {place} can't be reached: {}", one_line(source))]
    Unreachable {
        /// Where they lie.
        place: String,
        /// What the store said.
        source: object_store::Error,
    },
    /// A column has a type that Delta tables don't hold without changing it.
    #[error(
        "table `{table}`, column `{column}`: type {data_type} can't be stored; use a signed integer, a float, text, binary or a boolean"
    )]
    UnsupportedType {
        /// Table.
        table: String,
        /// Column.
        column: String,
        /// Arrow type.
        data_type: DataType,
    },
    /// A measured column takes the name of one that the store adds.
    #[error("table `{table}`: column `{column}` is added by the store and can't be measured; rename it")]
    ReservedColumn {
        /// Table.
        table: String,
        /// Column.
        column: String,
    },
    /// One column name, two types or units.
    #[error("table `{table}`, column `{column}` holds {existing} already, and can't take {wanted}; rename the column or the step")]
    Conflict {
        /// Table.
        table: String,
        /// Column.
        column: String,
        /// Type and unit that the table has.
        existing: String,
        /// Type and unit that were asked for.
        wanted: String,
    },
    /// A name that can't be a table.
    #[error("`{name}` can't name a table: use letters, digits, `_` and `-`")]
    TableName {
        /// The name.
        name: String,
    },
    /// Rows for a table that was not declared.
    #[error("rows for table `{table}`, which was not declared")]
    UndeclaredTable {
        /// Table.
        table: String,
    },
    /// Rows that don't fit their table: a mistake in the plan.
    #[error("rows for table `{table}` don't fit it: {detail}")]
    Misfit {
        /// Table.
        table: String,
        /// What doesn't fit.
        detail: String,
    },
    /// Positions went backwards.
    #[error("position {position} comes after {newest}: the rows of a rig are appended, and committed, in the order of their positions")]
    StalePosition {
        /// The position given.
        position: i64,
        /// The newest position before it.
        newest: i64,
    },
    /// Another writer of the same rig has committed further.
    #[error("table `{table}` holds rig `{rig}` up to position {committed} already: another process writes this rig")]
    StaleCommit {
        /// Table.
        table: String,
        /// Rig, the application id of the transaction.
        rig: String,
        /// Position of the last transaction.
        committed: i64,
    },
    /// Delta Lake refused.
    #[error("table `{table}`: {}", one_line(source))]
    Delta {
        /// Table.
        table: String,
        /// What it said.
        source: Box<DeltaTableError>,
    },
    /// A merge of files would have changed the rows: a mistake of ours or a damaged file.
    #[error("table `{table}`: {held} rows became {written} in a merge of files, which was given up; nothing was changed")]
    Miscounted {
        /// Table.
        table: String,
        /// Rows by the log.
        held: u64,
        /// Rows that were read.
        written: u64,
    },
    /// A folder could not be made or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The process is stopping, or a commit ran into a bug.
    #[error("a commit was stopped: {reason}")]
    Stopped {
        /// What the runtime said.
        reason: String,
    },
    /// A query names a table that isn't there.
    #[error("no table `{name}`{}", did_you_mean(nearest.as_ref()))]
    NoTable {
        /// The name in the query.
        name: String,
        /// The nearest name that is there.
        nearest: Option<String>,
    },
    /// A query names a column that isn't there.
    #[error("no column `{name}`{}", did_you_mean(nearest.as_ref()))]
    NoColumn {
        /// The name in the query.
        name: String,
        /// The nearest name that is there.
        nearest: Option<String>,
    },
    /// A statement that would change something.
    #[error("{statement} is refused: tables are read-only in SQL; SELECT, DESCRIBE, SHOW and EXPLAIN are answered")]
    ReadOnly {
        /// The statement's first words.
        statement: String,
    },
    /// A query whose rows aren't final when they come, so that it can't be followed.
    #[error("{reason}, so SUBSCRIBE can't follow it: {rewrite}")]
    NotLive {
        /// Why.
        reason: String,
        /// What to write instead.
        rewrite: String,
    },
    /// A live query where an answer with an end is wanted.
    #[error("SUBSCRIBE has no end: ask it of a running engine, through a door that gives rows as they come")]
    Endless,
    /// A recorder, which may miss no row, has not read for too long.
    #[error(
        "the reader fell too far behind: {rows} rows of `{table}` after position {position} are no longer in memory; they are in the table, subscribe again with FROM"
    )]
    FellBehind {
        /// Table.
        table: String,
        /// How many rows it missed.
        rows: u64,
        /// The newest position that it has in full.
        position: i64,
    },
    /// The windows of a live query that are open hold too many rows.
    #[error("the open windows hold more than {} MiB of rows of `{table}`: group by a narrower window", bytes >> 20)]
    WideWindow {
        /// Table.
        table: String,
        /// What they may hold.
        bytes: usize,
    },
    /// A query that needs more memory than it may have.
    #[error("the query needs more memory than it may have: narrow it by session or time, or aggregate ({detail})")]
    Memory {
        /// What could not be held.
        detail: String,
    },
    /// A query that can't be parsed, planned or run.
    #[error("{message}")]
    Sql {
        /// One line.
        message: String,
    },
    /// An answer could not be written.
    #[error("writing the answer: {source}")]
    Write {
        /// What failed.
        source: ArrowError,
    },
}

impl TablesError {
    pub(crate) fn delta(table: &str) -> impl FnOnce(DeltaTableError) -> Self {
        let table = table.to_owned();
        move |source| Self::Delta { table, source: Box::new(source) }
    }
}

impl From<DataFusionError> for TablesError {
    fn from(error: DataFusionError) -> Self {
        if let DataFusionError::SchemaError(schema, _) = error.find_root()
            && let SchemaError::FieldNotFound { field, valid_fields } = schema.as_ref()
        {
            let nearest = nearest(field.name(), valid_fields.iter().map(datafusion::common::Column::name));
            return Self::NoColumn { name: field.name().to_owned(), nearest };
        }
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => Self::Memory { detail: plain(&error) },
            _ => Self::Sql { message: plain(&error) },
        }
    }
}

impl From<ArrowError> for TablesError {
    fn from(source: ArrowError) -> Self {
        Self::Write { source }
    }
}

/// The candidate that is most like `name`, if any is like it at all.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    let scored = candidates.map(|candidate| (strsim::jaro_winkler(&name.to_lowercase(), &candidate.to_lowercase()), candidate));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))?;
    (best.0 > 0.75).then(|| best.1.to_owned())
}

fn did_you_mean(nearest: Option<&String>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"))
}

/// What DataFusion says, without the names of its stages and its appeals to report a bug.
fn plain(error: &DataFusionError) -> String {
    const NOISE: [&str; 8] = [
        "Error during planning: ",
        "Internal error: ",
        "SQL error: ",
        "Schema error: ",
        "Execution error: ",
        "Arrow error: ",
        "type_coercion caused by ",
        "ParserError: ",
    ];
    let root = error.find_root().strip_backtrace();
    let text = one_line(&root.split("This issue was likely caused by").next().unwrap_or_default());
    let text = NOISE.iter().fold(text, |text, noise| text.replace(noise, ""));
    let text = text.strip_prefix("ParserError(\"").and_then(|text| text.strip_suffix("\")")).map_or(text.clone(), str::to_owned);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text.trim_end().trim_end_matches('.').to_owned(),
    }
}

/// An error's text without its line breaks.
fn one_line(error: &impl ToString) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
