//! Which columns of a marker stream sit on which part of the body, by the labels that common marker sets use.

use proprio_core::schema::{FieldExt, meta};
use proprio_core::{RecordBatch, StreamSchema, rows};

/// Labels of the back of a foot without their side letter, best first: heel, calcaneus, and the ankle for want of one.
pub const HEEL: [&str; 3] = ["HEE", "CAL", "ANK"];
/// Labels of the front of a foot without their side letter, best first: toe, second and first metatarsal head.
pub const TOE: [&str; 3] = ["TOE", "MT2", "MT1"];
/// Labels of the pelvis, best first: the sacrum, or two markers whose middle stands for it.
pub const PELVIS: [&[&str]; 4] = [&["SACR"], &["VSAC"], &["LPSI", "RPSI"], &["LASI", "RASI"]];

/// The three columns of one marker: indices of x, y and z.
pub type Axes = [usize; 3];

/// Columns of the marker `label`, in metres.
pub fn find(schema: &StreamSchema, label: &str) -> Option<Axes> {
    let axis = |axis: &str| schema.index(&format!("{label}_{axis}_m"));
    Some([axis("x")?, axis("y")?, axis("z")?])
}

/// The labels of a stream, in its order: empty when it is no marker stream.
pub fn labels(schema: &StreamSchema) -> Vec<&str> {
    let names = schema.names().filter_map(|name| name.strip_suffix("_x_m"));
    names.filter(|label| find(schema, label).is_some()).collect()
}

/// Whether the stream is one of markers: it has at least one label, measured in the lab.
pub fn is_markers(schema: &StreamSchema) -> bool {
    let first = labels(schema).first().and_then(|label| find(schema, label));
    first.is_some_and(|[x, ..]| schema.columns.field(x).meta(meta::FRAME).is_none_or(|frame| frame == "lab"))
}

/// The first of `candidates`, each with the side's letter before it, that the stream has.
pub fn first_present(schema: &StreamSchema, side_letter: char, candidates: &[&str]) -> Option<String> {
    candidates.iter().map(|name| format!("{side_letter}{name}")).find(|label| find(schema, label).is_some())
}

/// The pelvis labels that the stream has: one, or two whose middle is meant.
pub fn pelvis(schema: &StreamSchema) -> Option<Vec<String>> {
    let present = |set: &&&[&str]| set.iter().all(|label| find(schema, label).is_some());
    PELVIS.iter().find(present).map(|set| set.iter().map(|label| (*label).to_owned()).collect())
}

/// A sentence that lists the labels there are, for the help of a finding.
pub fn known_labels(schema: &StreamSchema) -> String {
    let labels = labels(schema);
    let shown = labels.iter().take(40).copied().collect::<Vec<_>>().join(", ");
    let more = labels.len().saturating_sub(40);
    if more > 0 { format!("its labels are {shown} and {more} more") } else { format!("its labels are {shown}") }
}

/// A marker's position in a row, `None` where it was not seen.
pub fn position(batch: &RecordBatch, axes: Axes, row: usize) -> Option<[f64; 3]> {
    let position = axes.map(|axis| rows::float_or_nan(rows::floats(batch, axis), row));
    position.iter().all(|value| value.is_finite()).then_some(position)
}
