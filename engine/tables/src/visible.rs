//! Which runs of a session does a table show? Those that were adopted; before any adoption, those that were live
//! (contract 10).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, RecordBatch};
use datafusion::execution::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{ident, lit};
use proprio_core::schema::TIME;
use proprio_core::table::system;

use crate::cold::Cold;
use crate::error::TablesError;
use crate::schema::{RUN, SESSION};

/// Tables that show every run: they say what the others show, or what was done.
const ALWAYS_WHOLE: [&str; 3] = [system::LINEAGE, system::ADOPTIONS, system::AUDIT];

/// Whether a table shows every row, whatever is adopted.
pub(crate) fn is_whole(table: &str) -> bool {
    ALWAYS_WHOLE.contains(&table)
}

/// One row of `lineage` or `adoptions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    session: String,
    time_ns: i64,
    said: Said,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Ran { run_id: String, live: bool },
    Adopted { runs: BTreeSet<String> },
}

impl Fact {
    pub(crate) fn is_of(&self, sessions: &[String]) -> bool {
        sessions.contains(&self.session)
    }
}

/// What rows of `lineage` or `adoptions` say. A list of runs that can't be read says nothing: it was not written by us.
pub(crate) fn facts(table: &str, rows: &RecordBatch) -> Vec<Fact> {
    let text = |name: &str| rows.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
    let times = rows.column_by_name(TIME).and_then(|column| column.as_primitive_opt::<Int64Type>());
    let (Some(times), Some(sessions), Some(runs)) = (times, text(SESSION), text(RUN)) else { return Vec::new() };
    let origins = text("origin");
    let adopted = text("runs");
    let said = |row: usize| match table {
        system::LINEAGE => {
            // Rows from before there were origins are live ones.
            let live = origins.is_none_or(|origins| origins.is_null(row) || origins.value(row) == system::origin::LIVE);
            Some(Said::Ran { run_id: runs.value(row).to_owned(), live })
        }
        _ => Some(Said::Adopted { runs: system::runs_of_text(adopted?.value(row))?.into_iter().collect() }),
    };
    let fact = |row: usize| Some(Fact { session: sessions.value(row).to_owned(), time_ns: times.value(row), said: said(row)? });
    (0..rows.num_rows()).filter_map(fact).collect()
}

/// The condition that a shown row meets; `None` when every row is shown, so that queries pay nothing.
pub(crate) fn condition<'a>(facts: impl Iterator<Item = &'a Fact>) -> Option<Arc<Expr>> {
    #[derive(Default)]
    struct Session<'a> {
        live: BTreeSet<&'a str>,
        other: BTreeSet<&'a str>,
        adopted: Option<(i64, &'a BTreeSet<String>)>,
    }
    let mut sessions: BTreeMap<&str, Session<'_>> = BTreeMap::new();
    for fact in facts {
        let session = sessions.entry(&fact.session).or_default();
        match &fact.said {
            Said::Ran { run_id, live: true } => drop(session.live.insert(run_id)),
            Said::Ran { run_id, live: false } => drop(session.other.insert(run_id)),
            Said::Adopted { runs } => session.adopted = session.adopted.max(Some((fact.time_ns, runs))),
        }
    }
    // Sessions of one rule share a term: a rebuild of years gives thousands of sessions and few rules.
    let mut rules: BTreeMap<(bool, Vec<&str>), Vec<&str>> = BTreeMap::new();
    for (name, session) in sessions {
        let rule = match session.adopted {
            Some((_, runs)) => (true, runs.iter().map(String::as_str).collect()),
            None => (false, session.other.difference(&session.live).copied().collect::<Vec<_>>()),
        };
        if rule.0 || !rule.1.is_empty() {
            rules.entry(rule).or_default().push(name);
        }
    }
    let among = |column: &str, values: &[&str], not: bool| ident(column).in_list(values.iter().map(|value| lit(*value)).collect(), not);
    let terms = rules.iter().map(|((only, runs), sessions)| {
        let elsewhere = among(SESSION, sessions, true);
        if runs.is_empty() { elsewhere } else { elsewhere.or(among(RUN, runs, !only)) }
    });
    terms.reduce(Expr::and).map(Arc::new)
}

/// The facts of one cold table, kept while its files are: each file is read once.
#[derive(Debug, Default)]
pub(crate) struct ColdFacts {
    version: Option<u64>,
    files: BTreeSet<String>,
    facts: Arc<Vec<Fact>>,
}

impl ColdFacts {
    /// The facts at a version of the table `name`.
    pub(crate) async fn at(&mut self, name: &str, cold: &Cold, session: &SessionState) -> Result<Arc<Vec<Fact>>, TablesError> {
        let version = cold.table.version();
        if version == self.version {
            return Ok(self.facts.clone());
        }
        let files: BTreeSet<String> = cold.files()?.collect();
        // Rows are never changed, but a file that is gone may have lost some.
        let known = self.files.is_subset(&files);
        let mut facts = if known { self.facts.as_ref().clone() } else { Vec::new() };
        let unread: Vec<String> = files.iter().filter(|file| !(known && self.files.contains(*file))).cloned().collect();
        if !unread.is_empty() {
            let columns: &[&str] = if name == system::LINEAGE { &[TIME, SESSION, RUN, "origin"] } else { &[TIME, SESSION, RUN, "runs"] };
            for rows in cold.read(unread, columns, session).await? {
                facts.extend(self::facts(name, &rows));
            }
        }
        *self = Self { version, files, facts: Arc::new(facts) };
        Ok(self.facts.clone())
    }
}
