//! Which of a file's points are markers, and where they were.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::ArrayRef;
use proprio_core::Kind;
use proprio_core::rows::nan_as_null;

use super::axes::LabFrame;
use super::layout::C3d;
use super::parameters::Parameters;
use crate::recording::{FileSensor, entry, make_unique, sanitise};

/// Name of the one sensor that all markers of a file make.
const NAME: &str = "subject";

/// The lists in group POINT that name what was computed, where the file has no `TYPE_GROUPS` of its own.
const COMPUTED: [&str; 6] = ["ANGLES", "FORCES", "MOMENTS", "POWERS", "SCALARS", "MODELED_MARKERS"];

/// The markers of a file as one sensor; none when it has no points.
///
/// Left out, with a warning: points that the file lists as angles, forces, moments, powers, scalars or modelled; the axes of
/// Plug-in Gait's segments, which it doesn't list (four points of one stem that end in O, A, L and P); unlabelled
/// trajectories (`*17`).
pub(super) fn sensor(file: &C3d, lab: &LabFrame, warnings: &mut Vec<String>) -> Result<Option<FileSensor>, String> {
    let mut labels = file.parameters.texts("POINT", "LABELS");
    labels.truncate(file.points);
    labels.extend((labels.len()..file.points).map(|point| format!("point_{}", point + 1)));
    let computed = computed_points(&file.parameters, &labels);
    let (dropped, kept): (Vec<usize>, Vec<usize>) = (0..labels.len()).partition(|point| computed.contains(labels[*point].as_str()));
    if !dropped.is_empty() {
        warnings.push(format!("{} of {} points are computed or unlabelled and left out", dropped.len(), labels.len()));
    }
    if kept.is_empty() {
        return Ok(None);
    }
    let names = marker_names(kept.iter().map(|point| labels[*point].as_str()).collect(), warnings);
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(3 * kept.len());
    for point in kept {
        let places: Vec<[f64; 3]> = file.point(point).into_iter().map(|position| lab.place(position)).collect();
        columns.extend([0, 1, 2].map(|axis| nan_as_null(places.iter().map(|place| place[axis]).collect())));
    }
    let mut rig_entry = entry(Kind::Markers, Some(file.point_rate));
    rig_entry.labels = names;
    FileSensor::on_grid(NAME.to_owned(), rig_entry, file.point_rate, file.frames, columns).map(Some)
}

/// The labels of points that are no markers.
fn computed_points<'a>(parameters: &Parameters, labels: &'a [String]) -> BTreeSet<&'a str> {
    // TYPE_GROUPS has two entries a group: the list's name and what one of its points is called.
    let own = parameters.texts("POINT", "TYPE_GROUPS").into_iter().step_by(2).map(|group| group.to_ascii_uppercase());
    let groups: BTreeSet<String> = COMPUTED.iter().map(|group| (*group).to_owned()).chain(own).collect();
    let listed: BTreeSet<String> = groups.iter().flat_map(|group| parameters.texts("POINT", group)).collect();
    let mut axes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for label in labels {
        if let Some(stem) = label.strip_suffix(['O', 'A', 'L', 'P']) {
            axes.entry(stem).or_default().push(label);
        }
    }
    let segments = axes.into_values().filter(|points| points.len() == 4).flatten();
    let others = labels.iter().map(String::as_str).filter(|label| label.starts_with('*') || is_listed(label, &listed));
    segments.chain(others).collect()
}

/// Whether a list names a label, with or without the subject's prefix.
fn is_listed(label: &str, listed: &BTreeSet<String>) -> bool {
    listed.contains(label) || label.rsplit_once(':').is_some_and(|(_, bare)| listed.contains(bare))
}

/// Labels that can stand in a column's name, without the subject's prefix unless two subjects share a label.
fn marker_names(labels: Vec<&str>, warnings: &mut Vec<String>) -> Vec<String> {
    let bare = |label: &str| sanitise(label.rsplit_once(':').map_or(label, |(_, bare)| bare));
    let whole: BTreeSet<&str> = labels.iter().copied().collect();
    let trimmed: BTreeSet<String> = whole.iter().map(|label| bare(label)).collect();
    let unambiguous = trimmed.len() == whole.len() && !trimmed.contains("");
    let mut names: Vec<String> = labels.into_iter().map(|label| if unambiguous { bare(label) } else { sanitise(label) }).collect();
    for (index, name) in names.iter_mut().enumerate().filter(|(_, name)| name.is_empty()) {
        *name = format!("point_{}", index + 1);
    }
    let renamed = make_unique(&mut names);
    if !renamed.is_empty() {
        warnings.push(format!("labels that come twice are numbered: {}", renamed.join(", ")));
    }
    names
}
