//! How is each trial's feedback told? The table of step `feedback`.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use proprio_core::schema::{FieldExt, column, float, text};
use proprio_core::{StreamSchema, TimeNs, rows};

use super::feedback_policy::{Action, Dependence};

/// What is told of one trial.
pub struct Told {
    /// When it ended.
    pub time: TimeNs,
    /// Its number.
    pub trial: i64,
    /// What became of it.
    pub action: Action,
    /// Why.
    pub reason: String,
    /// What is told.
    pub message: Option<String>,
    /// What was reached.
    pub value: f64,
    /// What should have been.
    pub target: f64,
    /// How far off.
    pub error_percent: f64,
    /// Of a summary, the mean of its trials.
    pub summary_error_percent: f64,
    /// Share of the trials so far with feedback.
    pub share_percent: f64,
    /// How probes compare so far.
    pub dependence: Dependence,
}

/// The columns, for values and targets in these units.
pub fn schema(value_unit: &str, target_unit: &str) -> StreamSchema {
    let percent = |name: &str| float(name, "%");
    let fields = vec![
        column("trial", DataType::Int64).unit("1").required(),
        text("action").required(),
        text("reason").required(),
        text("message"),
        float("value", value_unit),
        float("target", target_unit),
        percent("error_percent"),
        percent("summary_error_percent"),
        percent("feedback_share_percent"),
        percent("feedback_error_percent"),
        percent("probe_error_percent"),
        percent("dependence_percent"),
        percent("dependence_sd_percent"),
    ];
    StreamSchema::new(fields, &[], None)
}

/// Rows as a batch of [`schema`].
pub fn batch(schema: &StreamSchema, told: &[Told]) -> RecordBatch {
    let floats = |value: fn(&Told) -> f64| -> ArrayRef { rows::nan_as_null(told.iter().map(value).collect()) };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(told.iter().map(|told| told.time).collect::<Int64Array>()),
        Arc::new(told.iter().map(|told| told.trial).collect::<Int64Array>()),
        Arc::new(told.iter().map(|told| Some(told.action.name())).collect::<StringArray>()),
        Arc::new(told.iter().map(|told| Some(told.reason.as_str())).collect::<StringArray>()),
        Arc::new(told.iter().map(|told| told.message.as_deref()).collect::<StringArray>()),
        floats(|told| told.value),
        floats(|told| told.target),
        floats(|told| told.error_percent),
        floats(|told| told.summary_error_percent),
        floats(|told| told.share_percent),
        floats(|told| told.dependence.feedback_percent),
        floats(|told| told.dependence.probe_percent),
        floats(|told| told.dependence.difference_percent),
        floats(|told| told.dependence.sd_percent),
    ];
    rows::batch(schema, columns)
}
