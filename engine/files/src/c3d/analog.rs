//! Which analog channels are electromyograms, and what they measured.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array};
use proprio_core::Kind;

use super::layout::C3d;
use crate::recording::{AnalogChannel, FileSensor, entry, make_unique, sanitise};

/// Name of the one sensor that all EMG channels of a file make.
const NAME: &str = "muscles";

/// The EMG channels of a file as one sensor, in volts, none when it has none; and the other channels that no plate uses.
///
/// A channel is EMG when no plate uses it and its unit is a voltage, or it has none and calls itself EMG. Where some of
/// these call themselves EMG, by label or description, only they count. The rest is left out, with a warning. Volts are
/// those that the file states, which may be after an amplifier.
pub(super) fn emg(
    file: &C3d,
    plates: &BTreeSet<usize>,
    warnings: &mut Vec<String>,
) -> Result<(Option<FileSensor>, Vec<AnalogChannel>), String> {
    let [labels, units, descriptions] = ["LABELS", "UNITS", "DESCRIPTIONS"].map(|name| file.parameters.texts("ANALOG", name));
    let label = |channel: usize| labels.get(channel).cloned().unwrap_or_else(|| format!("channel_{}", channel + 1));
    let says_emg = |channel: usize| {
        let texts = [labels.get(channel), descriptions.get(channel)];
        texts.into_iter().flatten().any(|text| text.to_ascii_lowercase().contains("emg"))
    };
    let volts = |channel: usize| match units.get(channel).map(String::as_str) {
        None | Some("") => says_emg(channel).then_some(1.0),
        Some(unit) => volts_in(unit),
    };
    let others: Vec<usize> = (0..file.channels).filter(|channel| !plates.contains(channel)).collect();
    let voltages: Vec<(usize, f64)> = others.iter().filter_map(|channel| Some((*channel, volts(*channel)?))).collect();
    let named = voltages.iter().any(|(channel, _)| says_emg(*channel));
    let chosen: Vec<(usize, f64)> = voltages.into_iter().filter(|(channel, _)| !named || says_emg(*channel)).collect();

    let is_chosen = |other: &usize| chosen.iter().any(|(channel, _)| channel == other);
    let left_out: Vec<usize> = others.into_iter().filter(|other| !is_chosen(other)).collect();
    if !left_out.is_empty() {
        let labels: Vec<String> = left_out.iter().map(|channel| label(*channel)).collect();
        warnings.push(format!("{} analog channels are no EMG and left out: {}", left_out.len(), labels.join(", ")));
    }
    if chosen.is_empty() && left_out.is_empty() {
        return Ok((None, Vec::new()));
    }
    let rate = file.analog_rate()?;
    let unit = |channel: usize| units.get(channel).cloned().unwrap_or_default();
    let channel = |channel: usize| AnalogChannel { label: label(channel), unit: unit(channel), rate, values: file.channel(channel) };
    let analog = left_out.into_iter().map(channel).collect();
    if chosen.is_empty() {
        return Ok((None, analog));
    }
    let mut names: Vec<String> = chosen.iter().map(|(channel, _)| channel_name(&label(*channel), *channel)).collect();
    make_unique(&mut names);
    let column = |(channel, volts): &(usize, f64)| {
        let values: Vec<f64> = file.channel(*channel).into_iter().map(|value| value * volts).collect();
        Arc::new(Float64Array::from(values)) as ArrayRef
    };
    let mut rig_entry = entry(Kind::Emg, Some(rate));
    rig_entry.channels = (1..).zip(names).collect();
    let columns = chosen.iter().map(column).collect();
    let samples = file.frames * file.samples_per_frame;
    Ok((Some(FileSensor::on_grid(NAME.to_owned(), rig_entry, rate, samples, columns)?), analog))
}

/// The label without the device's prefix (`Voltage.L_Rect`), in lower case as muscles are written.
fn channel_name(label: &str, channel: usize) -> String {
    let bare = ["Voltage.", "EMG.", "Raw."].iter().find_map(|prefix| label.strip_prefix(prefix)).unwrap_or(label);
    let name = sanitise(bare).to_ascii_lowercase();
    if name.is_empty() { format!("channel_{}", channel + 1) } else { name }
}

/// Volts in a unit of voltage.
pub(crate) fn volts_in(unit: &str) -> Option<f64> {
    match unit {
        "V" | "v" | "Volts" | "volts" => Some(1.0),
        "mV" | "mv" => Some(1e-3),
        "uV" | "uv" | "µV" | "μV" => Some(1e-6),
        _ => None,
    }
}
