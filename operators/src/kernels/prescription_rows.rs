//! How is a prescription told? The table of step `progression`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use proprio_core::schema::{FieldExt, column, float, text};
use proprio_core::{StreamSchema, TimeNs, rows};

use super::response::Expected;

/// A row of the output.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Its time.
    pub time: TimeNs,
    /// `in force`, `proposed`, `approved`, `override`, `held`, `released` or `refused`.
    pub scope: &'static str,
    /// Its name; empty for all together.
    pub parameter: String,
    /// Its unit.
    pub unit: Option<String>,
    /// What is in force.
    pub value: Option<f64>,
    /// What is proposed, approved or said in its place.
    pub proposed: Option<f64>,
    /// The safe range.
    pub range: Option<(f64, f64)>,
    /// `harder`, `easier` or `unchanged`.
    pub verdict: Option<&'static str>,
    /// Why.
    pub reason: Option<String>,
    /// Who said so.
    pub author: Option<String>,
    /// Trials of this session, and those that were good.
    pub trials: Option<(u32, u32)>,
    /// Of what is proposed: the share of good trials, then each instrument's value.
    pub expected: Vec<Expected>,
    /// What a later session needs to know.
    pub course: Option<String>,
}

/// The columns, with what is expected of each instrument.
pub fn schema<'i>(instruments: impl Iterator<Item = &'i String>) -> StreamSchema {
    let mut fields = vec![text("scope").required(), text("parameter").required(), text("unit")];
    fields.extend(["value", "proposed", "least", "most"].map(|name| float(name, "1")));
    fields.extend(["verdict", "reason", "author"].map(text));
    fields.push(column("trials", DataType::Int64).unit("1"));
    fields.extend(["good_percent", "expected_good_percent", "expected_good_sd_percent"].map(|name| float(name, "%")));
    fields.extend(instruments.flat_map(|name| [float(format!("expected_{name}"), "1"), float(format!("expected_{name}_sd"), "1")]));
    fields.push(text("course"));
    StreamSchema::new(fields, &["scope", "parameter"], None)
}

/// Rows in the order of their times and keys, as a batch of [`schema`]; of several of one instant and key the last one stands.
pub fn batch(schema: &StreamSchema, found: Vec<Row>, instruments: usize) -> RecordBatch {
    let by_key: BTreeMap<_, Row> = found.into_iter().map(|row| ((row.time, row.scope, row.parameter.clone()), row)).collect();
    let found: Vec<Row> = by_key.into_values().collect();
    let floats = |value: &dyn Fn(&Row) -> Option<f64>| rows::nan_as_null(found.iter().map(|row| value(row).unwrap_or(f64::NAN)).collect());
    let words = |value: &dyn Fn(&Row) -> Option<String>| -> ArrayRef { Arc::new(found.iter().map(value).collect::<StringArray>()) };
    let counts = |value: &dyn Fn(&Row) -> Option<i64>| -> ArrayRef { Arc::new(found.iter().map(value).collect::<Int64Array>()) };
    let good = |row: &Row| row.trials.filter(|(trials, _)| *trials > 0).map(|(trials, good)| 100.0 * f64::from(good) / f64::from(trials));
    let mut columns = vec![
        counts(&|row| Some(row.time)),
        words(&|row| Some(row.scope.to_owned())),
        words(&|row| Some(row.parameter.clone())),
        words(&|row| row.unit.clone()),
        floats(&|row| row.value),
        floats(&|row| row.proposed),
        floats(&|row| row.range.map(|range| range.0)),
        floats(&|row| row.range.map(|range| range.1)),
        words(&|row| row.verdict.map(str::to_owned)),
        words(&|row| row.reason.clone()),
        words(&|row| row.author.clone()),
        counts(&|row| row.trials.map(|(trials, _)| i64::from(trials))),
        floats(&good),
    ];
    for answer in 0..=instruments {
        let scale = if answer == 0 { 100.0 } else { 1.0 };
        columns.push(floats(&|row| row.expected.get(answer).map(|expected| scale * expected.mean)));
        columns.push(floats(&|row| row.expected.get(answer).map(|expected| scale * expected.sd)));
    }
    columns.push(words(&|row| row.course.clone()));
    rows::batch(schema, columns)
}
