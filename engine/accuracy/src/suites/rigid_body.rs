//! How near to where a marker truly was does the body put it while it is hidden?
//!
//! Samples that the cameras saw are held back: one marker at a time, in gaps of one length with twice as long between them, wherever the
//! whole cluster was seen. The clusters are heads, whose headband is rigid; trunks, pelvis and foot, over which skin and bones move by
//! millimetres, so that no rigid body can be nearer than they are to being one. Live, a gap is filled from what was before it; with
//! `look_ahead` from both its ends. The generator is a rigid head that nods and walks, with a tenth of a millimetre of noise.

use std::f64::consts::TAU;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use proprio_core::rig::{RigFile, SensorFile};
use proprio_core::rows::{float_or_nan, floats, nan_as_null, strings};
use proprio_core::{Kind, Port, Rate};
use proprio_files::OpenOptions;
use proprio_simulate::Random;
use serde_json::json;

use super::Suite;
use crate::bench::{Bench, Stream, stream};
use crate::error::AccuracyError;
use crate::figure::Figure;
use crate::statistics::rms;

pub const SUITE: Suite =
    Suite { name: "rigid_body", about: "markers filled from their body, against samples that were held back", measure };

/// A file, its cluster, and up to which gap in milliseconds it must be filled to a millimetre, live and between both ends: none where the
/// cluster bends by so much within the gap that no rigid body is that near.
struct Case {
    name: &'static str,
    file: &'static str,
    markers: &'static [&'static str],
    live_ms: u64,
    ahead_ms: u64,
}

const CASES: [Case; 7] = [
    Case { name: "head_zoo_2", file: "biomechzoo/HC002D06", markers: &["LFHD", "RFHD", "LBHD", "RBHD"], live_ms: 200, ahead_ms: 200 },
    Case { name: "head_zoo_36", file: "biomechzoo/HC036A10", markers: &["LFHD", "RFHD", "LBHD", "RBHD"], live_ms: 200, ahead_ms: 200 },
    Case { name: "head_opensim", file: "opensim/walking2", markers: &["LFHD", "RFHD", "LBHD", "RBHD"], live_ms: 0, ahead_ms: 200 },
    Case { name: "trunk_btk", file: "btk_Gait", markers: &["C7", "IJ", "PX", "RSHO", "LSHO"], live_ms: 0, ahead_ms: 100 },
    Case { name: "foot_btk", file: "btk_Gait", markers: &["LFOO", "LANK", "LHEE", "LTOE"], live_ms: 0, ahead_ms: 50 },
    Case { name: "trunk_gait_lab", file: "Vicon_analysis", markers: &["C7", "T10", "CLAV", "STRN"], live_ms: 0, ahead_ms: 0 },
    Case { name: "pelvis_smk", file: "smk_overground", markers: &["LASI", "RASI", "LPSI", "RPSI"], live_ms: 0, ahead_ms: 50 },
];
const GAPS_MS: [u64; 3] = [50, 100, 200];
const LEARN: usize = 30;

fn measure(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let mut figures = Vec::new();
    let head = simulated();
    let name = "simulated";
    figures.extend(hold_back(bench, name, &head, &["A", "B", "C", "D"], (200, 200))?);
    for case in &CASES {
        let recording = bench.open(&format!("lab/{}.c3d", case.file), &OpenOptions::default())?;
        let markers = recording.sensors.iter().find(|sensor| sensor.file.kind == Kind::Markers);
        let Some(markers) = markers else {
            let path = bench.path(&format!("lab/{}.c3d", case.file))?;
            return Err(AccuracyError::Malformed { path, what: "it holds no markers".to_owned() });
        };
        let seen = stream(&recording, markers);
        figures.extend(hold_back(bench, case.name, &seen, case.markers, (case.live_ms, case.ahead_ms))?);
    }
    Ok(figures)
}

/// The figures of one cluster; up to these gaps in milliseconds, live and ahead, a millimetre must be kept.
fn hold_back(bench: &mut Bench, name: &str, seen: &Stream, labels: &[&str], gated_ms: (u64, u64)) -> Result<Vec<Figure>, AccuracyError> {
    let complete = Complete::of(seen, labels);
    let (mut figures, mut held, mut filled) = (Vec::new(), 0, 0);
    for (way, gated_ms) in [("live", gated_ms.0), ("ahead", gated_ms.1)] {
        for gap_ms in GAPS_MS {
            let look_ahead_ms = if way == "ahead" { gap_ms + 20 } else { 0 };
            let config =
                json!({ "bodies": { "body": { "markers": labels } }, "learn": LEARN, "look_ahead": format!("{look_ahead_ms} ms") });
            let mut errors_mm = Vec::new();
            for label in labels {
                let hidden = complete.hidden(seen, gap_ms);
                let input = (seen.0.clone(), hide(&seen.1, label, &hidden));
                let (_, rows) = bench.step("body", "rigid_body", config.clone(), &[input])?;
                held += hidden.len();
                let fills = strings(&rows, rows.schema().index_of(&format!("{label}_fill")).expect("its own column"));
                for row in hidden.into_iter().filter(|row| fills.value(*row) == "filled") {
                    let [a, b] = [&seen.1, &rows].map(|rows| place(rows, label, row));
                    errors_mm.push(1e3 * ((a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2) + (a[2] - b[2]).powi(2)).sqrt());
                    filled += 1;
                }
            }
            let figure = Figure::lower(format!("rigid_body.{name}.{way}_{gap_ms}_ms"), rms(&errors_mm), "mm");
            figures.push(if gap_ms <= gated_ms { figure.gate(1.0) } else { figure });
        }
    }
    // Errors of filled ones alone would hide what was given up on.
    figures.push(Figure::higher(format!("rigid_body.{name}.filled"), 100.0 * f64::from(filled) / held as f64, "%").gate(100.0));
    let config = json!({ "bodies": { "body": { "markers": labels } }, "learn": LEARN });
    let (_, rows) = bench.step("body", "rigid_body", config, std::slice::from_ref(seen))?;
    let residuals: Vec<f64> = values(&rows, "body_residual_mm").into_iter().filter(|residual| residual.is_finite()).collect();
    figures.push(Figure::lower(format!("rigid_body.{name}.residual"), rms(&residuals), "mm"));
    Ok(figures)
}

/// The rows in which a whole cluster was seen.
struct Complete(Vec<bool>);

impl Complete {
    fn of(seen: &Stream, labels: &[&str]) -> Self {
        let is_seen = |row: usize| labels.iter().all(|label| place(&seen.1, label, row)[0].is_finite());
        Self((0..seen.1.num_rows()).map(is_seen).collect())
    }

    /// Rows to hold back: gaps of this length within complete stretches, after those that the template is learned from.
    fn hidden(&self, seen: &Stream, gap_ms: u64) -> Vec<usize> {
        let rate_hz = seen.0.schema.rate.expect("markers have a rate").hertz();
        let gap = (gap_ms as f64 * 1e-3 * rate_hz).round() as usize;
        let learned = (0..self.0.len()).filter(|row| self.0[*row]).nth(LEARN).unwrap_or(self.0.len());
        let mut hidden = Vec::new();
        let mut row = learned + 5;
        while row + gap < self.0.len() {
            // A sample on either side stays.
            if self.0[row - 1..=row + gap].iter().all(|complete| *complete) {
                hidden.extend(row..row + gap);
                row += 3 * gap;
            } else {
                row += 1;
            }
        }
        hidden
    }
}

/// The rows without a marker's places in some of them.
fn hide(rows: &RecordBatch, label: &str, hidden: &[usize]) -> RecordBatch {
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns()).map(|(field, column)| {
        if !["x", "y", "z"].iter().any(|axis| *field.name() == format!("{label}_{axis}_m")) {
            return column.clone();
        }
        let mut values = values(rows, field.name());
        hidden.iter().for_each(|row| values[*row] = f64::NAN);
        nan_as_null(values)
    });
    RecordBatch::try_new(schema.clone(), columns.collect()).expect("the schema stays")
}

fn place(rows: &RecordBatch, label: &str, row: usize) -> [f64; 3] {
    ["x", "y", "z"].map(|axis| {
        let index = rows.schema().index_of(&format!("{label}_{axis}_m")).unwrap_or_else(|_| panic!("there is no marker {label}"));
        float_or_nan(floats(rows, index), row)
    })
}

fn values(rows: &RecordBatch, name: &str) -> Vec<f64> {
    let index = rows.schema().index_of(name).unwrap_or_else(|_| panic!("there is no column `{name}`"));
    let column = floats(rows, index);
    (0..column.len()).map(|row| float_or_nan(column, row)).collect()
}

/// Ten seconds of four markers on a head that nods by 20° and turns by 30° while it walks.
fn simulated() -> Stream {
    let rate = Rate::hz(100);
    let sensor =
        SensorFile { rate: Some(rate), labels: ["A", "B", "C", "D"].map(str::to_owned).to_vec(), ..SensorFile::new(Kind::Markers) };
    let rig = RigFile { rig: "head".to_owned(), sensors: [("head".to_owned(), sensor)].into() }.resolve();
    let port = Port { stream: rig.sensors[0].stream(), schema: rig.sensors[0].wire_schema() };
    let body = [[0.09, 0.07, 0.0], [0.09, -0.07, 0.0], [-0.09, 0.06, 0.02], [-0.09, -0.06, 0.03]];
    let mut random = Random::new(11, "head");
    let mut columns: Vec<Vec<f64>> = vec![Vec::new(); 12];
    for k in 0..1000 {
        let time_s = f64::from(k) * 0.01;
        let (nod, turn) = (20_f64.to_radians() * (TAU * 0.9 * time_s).sin(), 30_f64.to_radians() * (TAU * 0.4 * time_s).sin());
        for (n, [x, y, z]) in body.into_iter().enumerate() {
            let (x, z) = (x * nod.cos() + z * nod.sin(), z * nod.cos() - x * nod.sin());
            let (x, y) = (x * turn.cos() - y * turn.sin(), x * turn.sin() + y * turn.cos());
            let place = [x + 1.3 * time_s, y, z + 1.7 + 0.02 * (TAU * 1.8 * time_s).sin()];
            place.into_iter().enumerate().for_each(|(axis, value)| columns[3 * n + axis].push(value + 1e-4 * random.normal()));
        }
    }
    let times: ArrayRef = Arc::new((0..1000).map(|k| rate.grid_time(k)).collect::<Int64Array>());
    let columns = std::iter::once(times).chain(columns.into_iter().map(nan_as_null));
    let rows = RecordBatch::try_new(port.schema.columns.clone(), columns.collect()).expect("four markers");
    (port, rows)
}
