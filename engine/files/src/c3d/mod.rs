//! What a C3D file holds: markers, force plates, EMG and events, in SI units, the lab frame with Z up.
//!
//! Time zero is the first frame in the file, whatever its number; event times, which the file counts from its frame 1,
//! are moved accordingly. Byte orders Intel, DEC and MIPS, integers and floats. The layout is that of the C3D user guide
//! (c3d.org).

mod analog;
mod axes;
mod events;
mod layout;
mod markers;
mod numbers;
mod parameters;
mod plates;
#[cfg(test)]
mod tests;

use std::path::Path;

use proprio_core::rig::Side;

use crate::error::FileError;
use crate::recording::{ComputedAngles, FileSensor, Parameter, Recording};
pub(crate) use analog::volts_in;
use axes::LabFrame;
pub(crate) use events::event_name;
use layout::C3d;

/// Reads the bytes of a C3D file.
pub(crate) fn open(path: &Path, bytes: Vec<u8>) -> Result<Recording, FileError> {
    read(path, bytes).map_err(|what| FileError::format(path, what))
}

fn read(path: &Path, bytes: Vec<u8>) -> Result<Recording, String> {
    let file = C3d::read(bytes)?;
    let mut warnings = Vec::new();
    let lab = LabFrame::of(&file.parameters, &mut warnings)?;
    let mut sensors: Vec<FileSensor> = Vec::new();
    sensors.extend(markers::sensor(&file, &lab, &mut warnings)?);
    let plates = plates::read(&file, &lab, &mut warnings);
    sensors.extend(plates.sensors);
    let (muscles, analog) = analog::emg(&file, &plates.channels, &mut warnings)?;
    sensors.extend(muscles);
    sensors.extend(events::sensor(&file, &mut warnings)?);
    if sensors.is_empty() {
        return Err(format!("it has nothing that a sensor sends ({})", warnings.join("; ")));
    }
    let recording = Recording::new(path, sensors, analysis(&file), warnings);
    Ok(Recording { subject: subject(&file), angles: angles(&file), analog, ..recording })
}

/// The numbers of group PROCESSING: sizes of the subject and offsets of a static trial, left ones beginning with `L`.
fn subject(file: &C3d) -> Vec<Parameter> {
    let parameter = |(name, value): (&str, f64)| {
        let letter = name.get(..1).unwrap_or_default();
        Parameter { name: name.to_owned(), value, unit: String::new(), side: side(letter) }
    };
    file.parameters.single_numbers("PROCESSING").into_iter().map(parameter).collect()
}

/// The points that the file lists as angles.
fn angles(file: &C3d) -> Vec<ComputedAngles> {
    let listed = file.parameters.texts("POINT", "ANGLES");
    let labels = file.parameters.texts("POINT", "LABELS");
    let points = labels.into_iter().take(file.points).enumerate().filter(|(_, label)| listed.contains(label));
    points.map(|(point, label)| ComputedAngles { label, degrees: file.point(point) }).collect()
}

/// The values of group ANALYSIS.
fn analysis(file: &C3d) -> Vec<Parameter> {
    let parameters = &file.parameters;
    let [names, units, contexts] = ["NAMES", "UNITS", "CONTEXTS"].map(|name| parameters.texts("ANALYSIS", name));
    let values = parameters.numbers("ANALYSIS", "VALUES");
    let used = parameters.counts("ANALYSIS", "USED").first().copied().unwrap_or(names.len());
    let named = names.into_iter().zip(values).take(used).enumerate();
    let parameter = |(index, (name, value)): (usize, (String, f64))| Parameter {
        name,
        value,
        unit: units.get(index).cloned().unwrap_or_default(),
        side: contexts.get(index).and_then(|context| side(context)),
    };
    named.map(parameter).collect()
}

/// The side that a context names.
fn side(context: &str) -> Option<Side> {
    match context.to_ascii_lowercase().as_str() {
        "left" | "l" => Some(Side::Left),
        "right" | "r" => Some(Side::Right),
        _ => None,
    }
}
