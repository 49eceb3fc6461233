//! Are the channels that laboratories know to be dead told from the live ones, with one set of thresholds?
//!
//! A channel counts as rejected when most of its windows are.

use proprio_core::Kind;
use proprio_core::rows::strings;
use proprio_files::OpenOptions;
use serde_json::json;

use super::Suite;
use crate::bench::{Bench, stream};
use crate::error::AccuracyError;
use crate::figure::Figure;

pub const SUITE: Suite = Suite { name: "emg_quality", about: "EMG channels of recordings with known dead ones: rejected or kept", measure };

/// A recording, and whether one of its channels is live: by its position and its name.
type Recorded = (&'static str, fn(usize, &str) -> bool);

const RECORDINGS: [Recorded; 5] = [
    ("lab/Vicon_analysis.c3d", |position, _| position < 13),
    ("lab/biomechzoo/HC002D06.c3d", |_, name| is_muscle(name) && (name.starts_with("r_") || name.ends_with("_right"))),
    ("lab/biomechzoo/HC036A10.c3d", |_, name| is_muscle(name) && (name.starts_with("l_") || name.ends_with("_left"))),
    ("lab/btk_Gait.c3d", |_, _| true),
    ("emg/cometa_emg_acc.c3d", |_, _| true),
];

fn is_muscle(name: &str) -> bool {
    ["rect", "ham", "gast", "ant"].iter().any(|muscle| name.contains(muscle))
}

fn measure(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let (mut live, mut kept, mut dead, mut rejected) = (0, 0, 0, 0);
    for (file, is_live) in RECORDINGS {
        let recording = bench.open(file, &OpenOptions::default())?;
        for sensor in recording.sensors.iter().filter(|sensor| sensor.file.kind == Kind::Emg) {
            let input = stream(&recording, sensor);
            let fields = input.0.schema.columns.fields();
            let names: Vec<String> = fields.iter().filter_map(|field| Some(field.name().strip_suffix("_v")?.to_owned())).collect();
            let (port, judged) = bench.step("quality", "emg_quality", json!({}), &[input])?;
            let column = |name: &str| strings(&judged, port.schema.index(name).expect("emg_quality has the column"));
            for (position, name) in names.iter().enumerate() {
                let rows = || (0..judged.num_rows()).filter(|row| column("muscle").value(*row) == name);
                let verdicts: Vec<&str> = rows().map(|row| column("verdict").value(row)).filter(|verdict| *verdict != "unknown").collect();
                let rejections = verdicts.iter().filter(|verdict| **verdict == "reject").count();
                let is_rejected = 2 * rejections > verdicts.len();
                if is_live(position, name) {
                    live += 1;
                    kept += usize::from(!is_rejected);
                } else {
                    dead += 1;
                    rejected += usize::from(is_rejected);
                }
            }
        }
    }
    let share = |part: usize, whole: usize| 100.0 * part as f64 / whole as f64;
    Ok(vec![
        Figure::higher("emg_quality.live_kept", share(kept, live), "%").gate(95.0),
        Figure::higher("emg_quality.dead_rejected", share(rejected, dead), "%").gate(95.0),
    ])
}
