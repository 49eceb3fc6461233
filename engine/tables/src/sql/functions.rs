//! Which functions does SQL have for the questions of this field?
//!
//! They stand on the operators' own kernels, so that SQL and a pipeline give the same figures. `SHOW FUNCTIONS` lists them; each has an
//! example in its documentation, which `tests/it/examples.rs` runs.

mod aggregate;
mod gait;
mod samples;
mod scalar;
mod signal;
mod time;

use std::sync::Arc;

use datafusion::logical_expr::{AggregateUDF, DocSection, Documentation, ScalarUDF};

/// A function of SQL that this crate adds, as its documentation has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Name.
    pub name: String,
    /// Whether it gives one value for a group of rows.
    pub is_aggregate: bool,
    /// How it is called.
    pub syntax: String,
    /// What it gives, in which unit, and its source.
    pub about: String,
    /// A statement that runs as it stands.
    pub example: String,
    /// The one value that the example gives.
    pub answer: String,
}

/// The functions for the questions of this field, by name.
pub fn functions() -> Vec<Function> {
    let scalars = scalars();
    let aggregates = aggregates();
    let of_rows = scalars.iter().map(|function| (function.name(), false, function.documentation()));
    let of_groups = aggregates.iter().map(|function| (function.name(), true, function.documentation()));
    let function = |(name, is_aggregate, manual): (&str, bool, Option<&Documentation>)| {
        let manual = manual.expect("each has a manual");
        let (example, answer) = manual.sql_example.as_deref().and_then(|example| example.split_once(ANSWER)).expect("and an example");
        let [name, syntax, about] = [name, &manual.syntax_example, &manual.description].map(str::to_owned);
        Function { name, is_aggregate, syntax, about, example: example.to_owned(), answer: answer.to_owned() }
    };
    let mut functions: Vec<Function> = of_rows.chain(of_groups).map(function).collect();
    functions.sort_by(|a, b| a.name.cmp(&b.name));
    functions
}

/// What stands between an example and its answer.
const ANSWER: &str = "\n-- ";

/// Functions of a row.
pub(super) fn scalars() -> Vec<Arc<ScalarUDF>> {
    let functions = time::functions().into_iter().chain(gait::functions());
    functions.map(|function| Arc::new(ScalarUDF::new_from_impl(function))).collect()
}

/// Functions of many rows.
pub(super) fn aggregates() -> Vec<Arc<AggregateUDF>> {
    let of_samples = signal::functions().into_iter().map(AggregateUDF::new_from_impl);
    of_samples.chain([aggregate::rms(), aggregate::mean_curve()]).map(Arc::new).collect()
}

/// A function's documentation, with an example and its answer.
fn manual(about: &str, syntax: &str, example: &str, answer: &str) -> Documentation {
    let section = DocSection { include: true, label: "Movement", description: None };
    Documentation::builder(section, about, syntax).with_sql_example(format!("{example}{ANSWER}{answer}")).build()
}
