//! Which runs of a session does a table show? Those that were adopted; before any adoption, those that were live
//! (contract 10).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, BooleanArray, RecordBatch};
use arrow_schema::DataType;
use datafusion::common::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::prelude::ident;
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
    pub(crate) fn is_run(&self, session: &str, of: &str) -> bool {
        self.session == session && matches!(&self.said, Said::Ran { run_id, .. } if run_id == of)
    }

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
    let rule = |session: Session<'_>| match session.adopted {
        Some((_, runs)) => Some(Rule { adopted: true, runs: runs.clone() }),
        None => {
            let runs: BTreeSet<String> = session.other.difference(&session.live).map(|run| (*run).to_owned()).collect();
            (!runs.is_empty()).then_some(Rule { adopted: false, runs })
        }
    };
    let rules: HashMap<String, Rule> = sessions.into_iter().filter_map(|(name, session)| Some((name.to_owned(), rule(session)?))).collect();
    if rules.is_empty() {
        return None;
    }
    let is_shown = ScalarUDF::new_from_impl(IsShown { rules: Arc::new(rules) });
    Some(Arc::new(is_shown.call(vec![ident(SESSION), ident(RUN)])))
}

/// What is shown of one session: the adopted runs alone, or all but some.
#[derive(Debug)]
struct Rule {
    adopted: bool,
    runs: BTreeSet<String>,
}

/// Whether a row of (session, run) is shown: a function of its own, since a list of thousands of sessions takes long to plan.
#[derive(Debug)]
struct IsShown {
    rules: Arc<HashMap<String, Rule>>,
}

impl PartialEq for IsShown {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.rules, &other.rules)
    }
}

impl Eq for IsShown {}

impl Hash for IsShown {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.rules).hash(state);
    }
}

impl ScalarUDFImpl for IsShown {
    fn name(&self) -> &str {
        "is_shown"
    }

    fn signature(&self) -> &Signature {
        static SIGNATURE: LazyLock<Signature> =
            LazyLock::new(|| Signature::exact(vec![DataType::Utf8, DataType::Utf8], Volatility::Immutable));
        &SIGNATURE
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let [sessions, runs] = [0, 1].map(|column| columns[column].as_string::<i32>());
        let is_shown = |session: &str, run: &str| self.rules.get(session).is_none_or(|rule| rule.runs.contains(run) == rule.adopted);
        // Rows of one session and run stand together.
        let mut last = None;
        let shown = (0..sessions.len()).map(|row| {
            let this = (sessions.value(row), runs.value(row));
            match last {
                Some((of, shown)) if of == this => shown,
                _ => {
                    let shown = is_shown(this.0, this.1);
                    last = Some((this, shown));
                    shown
                }
            }
        });
        let shown: Vec<bool> = shown.collect();
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::from(shown))))
    }
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
        let listed = &cold.scan.files()?.list;
        let files: BTreeSet<String> = listed.iter().map(|file| file.path.clone()).collect();
        // Rows are never changed, but a file that is gone may have lost some.
        let known = self.files.is_subset(&files);
        let mut facts = if known { self.facts.as_ref().clone() } else { Vec::new() };
        let unread: Vec<usize> = (0..listed.len()).filter(|file| !(known && self.files.contains(&listed[*file].path))).collect();
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
