//! How is a deviation told, row by row? The table of step `signature`.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use proprio_core::schema::{FieldExt, column, float, text};
use proprio_core::{StreamSchema, TimeNs, rows};

use super::signature::Deviation;

/// How many features are named as drivers.
const DRIVERS: usize = 3;

/// A row of the output.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Its time.
    pub time: TimeNs,
    /// What it is about: `adopted`, `movement`, `session`, `trend` or `signature`.
    pub scope: &'static str,
    /// Side of the body; empty where there is none.
    pub side: String,
    /// Name of the feature; empty for all together.
    pub feature: String,
    /// Value, usual, standard deviation and share of the squared distance.
    pub part: Option<[f64; 4]>,
    /// How far all features together are off.
    pub distance: Option<f64>,
    /// `changed`, `usual` or `unknown`.
    pub verdict: Option<&'static str>,
    /// The features that make most of the distance.
    pub drivers: Option<String>,
    /// Why nothing is known.
    pub reason: Option<&'static str>,
    /// Movements of this side so far.
    pub movements: Option<i64>,
    /// Sessions of the signature.
    pub sessions: Option<i64>,
    /// Name of the signature.
    pub signature_id: Option<String>,
    /// Its text.
    pub signature: Option<String>,
}

/// The columns.
pub fn schema() -> StreamSchema {
    let mut fields = vec![text("scope").required(), text("side").required(), text("feature").required()];
    fields.extend(["value", "usual", "sd"].map(|name| float(name, "1")));
    fields.extend([float("z", "1"), float("share_percent", "%"), float("distance", "1")]);
    fields.extend([text("verdict"), text("drivers"), text("reason")]);
    fields.extend(["movements", "sessions"].map(|name| column(name, DataType::Int64).unit("1")));
    fields.extend([text("signature_id"), text("signature")]);
    StreamSchema::new(fields, &["scope", "side", "feature"], None)
}

/// Brings rows of one instant into the order of their keys.
pub fn sort(found: &mut [Row]) {
    found.sort_by(|a, b| (a.scope, &a.side, &a.feature).cmp(&(b.scope, &b.side, &b.feature)));
}

/// The rows of a deviation: one as a whole, and one a feature. Where it isn't known, one row with the reason.
pub fn tell(about: Row, deviation: Result<Deviation, &'static str>) -> Vec<Row> {
    let deviation = match deviation {
        Ok(deviation) => deviation,
        Err(reason) => return vec![Row { verdict: Some("unknown"), reason: Some(reason), ..about }],
    };
    let verdict = if deviation.is_changed { "changed" } else { "usual" };
    let drivers = Some(drivers(&deviation));
    let whole = Row { distance: Some(deviation.distance), verdict: Some(verdict), drivers, ..about.clone() };
    let parts = deviation.parts.into_iter().map(|part| {
        let values = Some([part.value, part.usual, part.sd, 100.0 * part.share]);
        Row { feature: part.feature, part: values, ..about.clone() }
    });
    std::iter::once(whole).chain(parts).collect()
}

/// The features that make most of a distance, with their deviations: `latency_ms +2.4 SD`.
fn drivers(deviation: &Deviation) -> String {
    let mut parts: Vec<_> = deviation.parts.iter().filter(|part| part.share > 0.0).collect();
    parts.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.feature.cmp(&b.feature)));
    let words = parts.iter().take(DRIVERS).map(|part| format!("{} {:+.1} SD", part.feature, part.z()));
    words.collect::<Vec<_>>().join(", ")
}

/// Rows as a batch of [`schema`].
pub fn batch(schema: &StreamSchema, found: &[Row]) -> RecordBatch {
    let floats = |value: &dyn Fn(&Row) -> Option<f64>| rows::nan_as_null(found.iter().map(|row| value(row).unwrap_or(f64::NAN)).collect());
    let words = |value: &dyn Fn(&Row) -> Option<String>| -> ArrayRef { Arc::new(found.iter().map(value).collect::<StringArray>()) };
    let counts = |value: &dyn Fn(&Row) -> Option<i64>| -> ArrayRef { Arc::new(found.iter().map(value).collect::<Int64Array>()) };
    let part = |n: usize| floats(&|row| row.part.map(|part| part[n]));
    let columns = vec![
        counts(&|row| Some(row.time)),
        words(&|row| Some(row.scope.to_owned())),
        words(&|row| Some(row.side.clone())),
        words(&|row| Some(row.feature.clone())),
        part(0),
        part(1),
        part(2),
        floats(&|row| row.part.map(|[value, usual, sd, _]| (value - usual) / sd)),
        part(3),
        floats(&|row| row.distance),
        words(&|row| row.verdict.map(str::to_owned)),
        words(&|row| row.drivers.clone()),
        words(&|row| row.reason.map(str::to_owned)),
        counts(&|row| row.movements),
        counts(&|row| row.sessions),
        words(&|row| row.signature_id.clone()),
        words(&|row| row.signature.clone()),
    ];
    rows::batch(schema, columns)
}
