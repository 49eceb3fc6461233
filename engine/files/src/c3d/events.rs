//! Which events a file carries.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::StringArray;
use proprio_core::Kind;
use proprio_core::rig::Side;

use super::layout::C3d;
use super::side;
use crate::recording::{FileSensor, entry, sanitise};

/// Name of the sensor that a file's events make.
const NAME: &str = "annotated";

/// The events of group EVENT; none when it has none.
///
/// `TIMES` are minutes and seconds since the capture's frame 1, so that the first frame's own time is taken off. Foot strike
/// becomes `initial_contact`, foot off `final_contact`; any other label in snake case. The side is `left`, `right` or
/// `general`; the label stays beside. Events outside the recording are left out, with a warning.
pub(super) fn sensor(file: &C3d, warnings: &mut Vec<String>) -> Result<Option<FileSensor>, String> {
    let parameters = &file.parameters;
    let [labels, contexts] = ["LABELS", "CONTEXTS"].map(|name| parameters.texts("EVENT", name));
    let times = parameters.numbers("EVENT", "TIMES");
    let used = parameters.counts("EVENT", "USED").first().copied().unwrap_or(labels.len());
    let first_s = f64::from(file.first_frame.saturating_sub(1)) / file.point_rate.hertz();
    let end_s = file.frames as f64 / file.point_rate.hertz();
    let slack_s = 0.5 / file.point_rate.hertz();

    let mut rows: BTreeSet<(i64, String, &str, String)> = BTreeSet::new();
    let mut outside = 0;
    for (index, (label, time)) in labels.into_iter().zip(times.as_chunks::<2>().0).take(used).enumerate() {
        let seconds = time[0] * 60.0 + time[1] - first_s;
        if !(seconds > -slack_s && seconds < end_s + slack_s) {
            outside += 1;
            continue;
        }
        let time_ns = (seconds.max(0.0) * 1e9).round() as i64;
        let context = contexts.get(index).map_or("general", |context| side(context).map_or("general", Side::name));
        rows.insert((time_ns, event_name(&label), context, label));
    }
    if outside > 0 {
        warnings.push(format!("{outside} events lie outside the recording and are left out"));
    }
    if rows.is_empty() {
        return Ok(None);
    }
    let rows = without_duplicates(rows);
    let texts =
        |text: fn(&(i64, String, &str, String)) -> String| Arc::new(rows.iter().map(|row| Some(text(row))).collect::<StringArray>());
    let columns: Vec<arrow_array::ArrayRef> = vec![texts(|row| row.1.clone()), texts(|row| row.2.to_owned()), texts(|row| row.3.clone())];
    let times = rows.iter().map(|row| row.0).collect();
    FileSensor::at_times(NAME.to_owned(), entry(Kind::Events, None), times, columns).map(Some)
}

/// One row for each time, event and side: the stream's key.
fn without_duplicates(rows: BTreeSet<(i64, String, &str, String)>) -> Vec<(i64, String, &str, String)> {
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.dedup_by(|a, b| (a.0, &a.1, a.2) == (b.0, &b.1, b.2));
    rows
}

/// An event's name in snake case; gait events by the names that the engine has for them.
pub(crate) fn event_name(label: &str) -> String {
    match label.to_ascii_lowercase().as_str() {
        "foot strike" | "heel strike" | "initial contact" | "fs" | "hs" | "ic" => "initial_contact".to_owned(),
        "foot off" | "toe off" | "final contact" | "fo" | "to" | "fc" => "final_contact".to_owned(),
        other => Some(sanitise(other)).filter(|name| !name.is_empty()).unwrap_or_else(|| "event".to_owned()),
    }
}
