//! What did all suites give, and is any figure worse than the repository's?

use std::collections::BTreeMap;
use std::fmt;

use crate::bench::{Bench, Cost};
use crate::error::AccuracyError;
use crate::figure::{Better, Figure};
use crate::recorded::Recorded;
use crate::suites::Suite;

/// All figures of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// Figures, in the suites' order.
    pub rows: Vec<Row>,
    /// Suites whose recordings are not here.
    pub skipped: Vec<Skipped>,
    /// What each operator took.
    pub costs: BTreeMap<String, Cost>,
}

/// A figure beside the recorded one.
#[derive(Debug)]
pub struct Row {
    /// The figure.
    pub figure: Figure,
    /// What the repository holds; none for a new one.
    pub recorded: Option<f64>,
    /// Whether it is worse than that.
    pub is_worse: bool,
}

/// A suite that could not measure.
#[derive(Debug)]
pub struct Skipped {
    /// Its name.
    pub suite: &'static str,
    /// What it lacked.
    pub why: String,
}

/// Runs suites; `heard` is told of each before it begins.
///
/// # Errors
/// When a recording is there and can't be used, or an operator refuses.
pub fn run(suites: &[&Suite], bench: &mut Bench, recorded: &Recorded, heard: impl Fn(&Suite)) -> Result<Report, AccuracyError> {
    let mut report = Report::default();
    for suite in suites {
        heard(suite);
        match (suite.measure)(bench) {
            Ok(figures) => report.rows.extend(figures.into_iter().map(|figure| {
                let (value, is_worse) = (recorded.value(&figure.name), recorded.is_worse(&figure));
                Row { figure, recorded: value, is_worse }
            })),
            Err(error @ AccuracyError::Absent { .. }) => report.skipped.push(Skipped { suite: suite.name, why: error.to_string() }),
            Err(error) => return Err(error),
        }
    }
    report.costs.clone_from(bench.costs());
    Ok(report)
}

/// A table for people.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.figure.name.len()).max().unwrap_or(0).max("figure".len());
        let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.3}"));
        writeln!(
            f,
            "{:width$} {:>10} {:4} {:>9} {:>9} {:>10}  {:14} anchor",
            "figure", "value", "unit", "at least", "aim", "recorded", "stands"
        )?;
        for Row { figure, recorded, is_worse } in &self.rows {
            let sign = if figure.better == Better::Lower { "≤" } else { "≥" };
            let goal = |goal: Option<f64>| goal.map_or_else(String::new, |goal| format!("{sign} {goal}"));
            let anchor = figure.anchor.map_or_else(String::new, |(method, value)| format!("{value} {method}"));
            let stands = if *is_worse { "WORSE" } else { figure.standing().name() };
            let (name, value, unit, gate, aim) = (&figure.name, figure.value, figure.unit, goal(figure.gate), goal(figure.aim));
            let recorded = number(*recorded);
            writeln!(f, "{name:width$} {value:>10.3} {unit:4} {gate:>9} {aim:>9} {recorded:>10}  {stands:14} {anchor}")?;
        }
        for Skipped { suite, why } in &self.skipped {
            writeln!(f, "skipped: {suite} ({why})")?;
        }
        writeln!(f, "\n{:24} {:>12} {:>10}", "operator", "rows", "ns a row")?;
        for (op, cost) in &self.costs {
            writeln!(f, "{op:24} {:>12} {:>10}", cost.rows, cost.ns_a_row())?;
        }
        Ok(())
    }
}
