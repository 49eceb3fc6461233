//! Are the onsets of a recorded walk plausible? A leg muscle is active once to three times a stride.

use proprio_core::Kind;
use proprio_core::rows::{self, float_or_nan, floats, strings};
use proprio_files::OpenOptions;
use serde_json::json;

use crate::bench::{Bench, stream};
use crate::error::AccuracyError;
use crate::figure::Figure;
use crate::statistics::quantile;

const FILE: &str = "emg/ID0012_TW_01";
/// Onsets a stride that a muscle may have.
const PLAUSIBLE: std::ops::RangeInclusive<f64> = 0.5..=3.0;

/// Of the 13 muscles of a treadmill walk: how many have a plausible number of onsets, and what the deviations are.
pub fn figures(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let strides = bench.open(&format!("{FILE}_emg.csv"), &options())?;
    let sensor = &strides.sensors[0];
    let contacts = std::fs::read_to_string(bench.path(&format!("{FILE}_cycles.csv"))?);
    let path = bench.path(&format!("{FILE}_cycles.csv"))?;
    let contacts = contacts.map_err(|error| AccuracyError::Malformed { path, what: error.to_string() })?;
    let contacts_s: Vec<f64> = contacts.lines().skip(1).filter_map(|line| line.split(',').next()?.parse().ok()).collect();
    let (from_s, to_s) = (contacts_s[0], contacts_s[contacts_s.len() - 1]);
    let (port, found) = bench.step("onsets", "emg_onset", json!({}), &[stream(&strides, sensor)])?;
    let column = |name: &str| port.schema.index(name).expect("emg_onset has the column");
    let (muscles, events) = (strings(&found, column("muscle")), strings(&found, column("event")));
    let is_onset = |row: &usize| events.value(*row) == "onset" && (from_s..to_s).contains(&(rows::times(&found)[*row] as f64 / 1e9));
    let onsets: Vec<usize> = (0..found.num_rows()).filter(is_onset).collect();
    let channels = sensor.rows.schema().fields().iter().filter(|field| field.name().ends_with("_v")).count();
    let strides = (contacts_s.len() - 1) as f64;
    let names: std::collections::BTreeSet<&str> = muscles.iter().flatten().collect();
    let rate = |name: &&str| onsets.iter().filter(|row| muscles.value(**row) == *name).count() as f64 / strides;
    let plausible = names.iter().filter(|name| PLAUSIBLE.contains(&rate(name))).count();
    let sds_ms: Vec<f64> = onsets.iter().map(|row| float_or_nan(floats(&found, column("onset_sd_ms")), *row)).collect();
    Ok(vec![
        Figure::higher("emg_onset.id0012.plausible_muscles", 100.0 * plausible as f64 / channels as f64, "%").gate(90.0),
        Figure::lower("emg_onset.id0012.median_sd", quantile(&sds_ms, 0.5, sds_ms.len()), "ms"),
    ])
}

fn options() -> OpenOptions {
    OpenOptions { kind: Some(Kind::Emg), units: [("emg".to_owned(), "uV".to_owned())].into(), ..OpenOptions::default() }
}
