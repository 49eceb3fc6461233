//! Which features does a movement have? Means over the parts of its cycle, of each column of a stream.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow_array::{Array, RecordBatch};
use proprio_core::rows;

use super::signature::Feature;

/// Sides that a stream may name, `left`, `right` and none.
pub const MAX_SIDES: usize = 3;

/// One movement: its features by name.
pub type Movement = BTreeMap<String, f64>;

/// A column that features are taken from.
#[derive(Debug)]
pub struct FeatureColumn {
    /// Its name.
    pub name: String,
    /// Its place in the stream.
    pub index: usize,
    /// Whether its mean over the movement is taken away.
    pub is_centred: bool,
    /// Features of one unit share it.
    pub group: usize,
    /// What is known of people's variation from session to session.
    pub prior_sd: Option<f64>,
}

/// The movements of one instant, by side, which column `side` tells; `cycle` is the column that tells the percentage of the cycle, and into how
/// many parts that is cut.
pub fn by_side(
    batch: &RecordBatch,
    range: Range<usize>,
    side: Option<usize>,
    columns: &[FeatureColumn],
    cycle: (Option<usize>, usize),
) -> BTreeMap<String, Movement> {
    let sides = side.map(|index| rows::strings(batch, index));
    let mut found: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for row in range {
        let side = sides.filter(|sides| sides.is_valid(row)).map_or("", |sides| sides.value(row));
        if found.contains_key(side) || found.len() < MAX_SIDES {
            found.entry(side.to_owned()).or_default().push(row);
        }
    }
    found.into_iter().map(|(side, rows)| (side, movement(batch, &rows, columns, cycle))).collect()
}

/// The features of one movement's rows: the mean over each part of the cycle.
fn movement(batch: &RecordBatch, movement: &[usize], columns: &[FeatureColumn], (phase, parts): (Option<usize>, usize)) -> Movement {
    let phases = phase.map(|index| rows::integers(batch, index));
    let part = |row: usize| match phases {
        Some(phases) if phases.is_valid(row) => (phases.value(row).clamp(0, 100) as usize * parts / 100).min(parts - 1),
        _ => 0,
    };
    let mut features = Movement::new();
    for column in columns {
        let values = rows::floats(batch, column.index);
        let known: Vec<(usize, f64)> =
            movement.iter().filter(|row| values.is_valid(**row)).map(|row| (part(*row), values.value(*row))).collect();
        let offset = if column.is_centred { mean(known.iter().map(|(_, value)| *value)) } else { 0.0 };
        for at in 0..parts {
            let value = mean(known.iter().filter(|(part, _)| *part == at).map(|(_, value)| *value)) - offset;
            if value.is_finite() {
                features.insert(feature_name(&column.name, at, parts), value);
            }
        }
    }
    features
}

/// A session's features as those of one movement.
pub fn locations(features: &BTreeMap<String, Feature>) -> Movement {
    features.iter().map(|(name, feature)| (name.clone(), feature.location)).collect()
}

/// The mean of the sessions' locations, of the features that all of them have.
pub fn means(sessions: &[&BTreeMap<String, Feature>]) -> Movement {
    let of = |name: &String| -> Option<f64> {
        let all: Option<Vec<f64>> = sessions.iter().map(|session| session.get(name).map(|feature| feature.location)).collect();
        all.map(|all| mean(all.into_iter()))
    };
    sessions[0].keys().filter_map(|name| Some((name.clone(), of(name)?))).collect()
}

fn feature_name(column: &str, part: usize, parts: usize) -> String {
    if parts == 1 { column.to_owned() } else { format!("{column}@{:02}", 100 * part / parts) }
}

/// NaN of none.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}
