//! What an XDF file holds: the streams that a Lab Streaming Layer recorder wrote, on the recorder's clock.
//!
//! Streams of text become events; streams of voltages (type EMG, EEG, ECG, EOG or ExG) an `emg` sensor; streams whose
//! channels are labelled as a gyroscope's and an accelerometer's an `imu` sensor. What fits no kind is left out, with a
//! warning. Time zero is the first sample of all sensors; parameter `First sample` says when that was by the recorder.

mod chunks;
#[cfg(test)]
mod tests;
mod times;
mod xml;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, StringArray};
use proprio_core::{Kind, Rate};

use crate::OpenOptions;
use crate::c3d::{event_name, volts_in};
use crate::error::FileError;
use crate::imu::{self, ImuColumns, Quantity};
use crate::recording::{FileSensor, Parameter, Recording, entry, make_unique, sanitise};
use chunks::{Stream, Values};
use times::Times;

/// A name of an event is no longer; its label keeps the whole text.
const MAX_EVENT_NAME: usize = 64;

/// What the XDF metadata conventions have voltages in where a channel doesn't say.
const DEFAULT_VOLTS: f64 = 1e-6;

/// Reads the bytes of an XDF file.
pub(crate) fn open(path: &Path, bytes: &[u8], options: &OpenOptions) -> Result<Recording, FileError> {
    read(path, bytes, options).map_err(|what| FileError::format(path, what))
}

/// A sensor to be: its name, its samples' times by the recorder, and what makes it once time zero is known.
struct Found<'a> {
    name: String,
    times: Times,
    stream: &'a Stream,
    shape: Shape,
}

/// What a stream becomes.
#[derive(Debug)]
enum Shape {
    Events,
    /// Volts a unit of each channel.
    Voltages(Vec<f64>),
    Inertial(ImuColumns),
}

fn read(path: &Path, bytes: &[u8], options: &OpenOptions) -> Result<Recording, String> {
    let streams = chunks::read(bytes)?;
    let mut warnings = Vec::new();
    let mut found: Vec<Found<'_>> = Vec::new();
    for (number, stream) in &streams {
        let title = stream.info.text_of("name").filter(|name| !name.is_empty()).unwrap_or_else(|| format!("stream {number}"));
        if stream.times_s.is_empty() {
            warnings.push(format!("{title}: it has no samples"));
            continue;
        }
        match shapes(stream, options, &title, &mut warnings) {
            Ok(shapes) => {
                let several = shapes.len() > 1;
                for (suffix, shape) in shapes {
                    let name = if several && !suffix.is_empty() { format!("{title} {suffix}") } else { title.clone() };
                    found.push(Found { name: sanitise(&name), times: times::map(stream), stream, shape });
                }
            }
            Err(why) => warnings.push(format!("{title}: {why}, so it is left out")),
        }
    }
    if found.is_empty() {
        return Err(format!("it has nothing that a sensor sends ({})", warnings.join("; ")));
    }
    name(&mut found, options);
    let zero_ns = found.iter().filter_map(|found| found.times.times_ns.first().copied()).min().unwrap_or(0);
    for Found { name, times, .. } in &found {
        for (sample, jump_ns) in &times.jumps {
            let jump_s = *jump_ns as f64 / 1e9;
            warnings.push(format!("{name}: its clock jumped by {jump_s:.3} s before sample {sample}, and is mapped anew from there"));
        }
    }
    let sensors = found.iter().map(|found| found.sensor(zero_ns, options, &mut warnings)).collect::<Result<Vec<_>, String>>()?;
    let first = Parameter { name: "First sample".to_owned(), value: zero_ns as f64 / 1e9, unit: "s".to_owned(), side: None };
    Ok(Recording::new(path, sensors, vec![first], warnings))
}

/// Names that differ, none empty; the options' where there is one sensor.
fn name(found: &mut [Found<'_>], options: &OpenOptions) {
    let mut names: Vec<String> = found.iter().map(|found| found.name.clone()).collect();
    if let ([only], Some(given)) = (&mut names[..], &options.sensor) {
        only.clone_from(given);
    }
    for (name, found) in names.iter_mut().zip(&*found) {
        if name.is_empty() {
            *name = found.shape.kind().name().to_owned();
        }
    }
    make_unique(&mut names);
    for (found, name) in found.iter_mut().zip(names) {
        found.name = name;
    }
}

/// What a stream becomes, by suffix of the name; or why nothing.
fn shapes(stream: &Stream, options: &OpenOptions, title: &str, warnings: &mut Vec<String>) -> Result<Vec<(String, Shape)>, String> {
    if matches!(stream.values, Values::Texts(_)) {
        return Ok(vec![(String::new(), Shape::Events)]);
    }
    if stream.rate(options).is_none() {
        return Err("its samples come at no rate, which a sensor of numbers has".to_owned());
    }
    let kind = stream.info.text_of("type").unwrap_or_default();
    let is_voltage = matches!(kind.to_ascii_lowercase().as_str(), "emg" | "eeg" | "ecg" | "eog" | "exg");
    let labels: Vec<String> = (0..stream.channels).map(|channel| stream.label(channel)).collect();
    let groups = imu::group(labels.iter().enumerate().map(|(channel, label)| (channel, label.as_str())))?;
    let inertial: Vec<(String, Shape)> = groups
        .into_iter()
        .filter(|(_, group)| group.contains_key(&Quantity::Gyro) && group.values().all(|axes| axes.iter().all(Option::is_some)))
        .filter(|(_, group)| group.contains_key(&Quantity::Accel))
        .map(|(suffix, group)| (suffix, Shape::Inertial(group)))
        .collect();
    match options.kind {
        _ if !is_voltage && !inertial.is_empty() => Ok(inertial),
        Some(Kind::Emg) => stream.voltages(options, title, warnings),
        None if is_voltage => stream.voltages(options, title, warnings),
        _ => Err(format!("no kind of sensor has numbers of type `{kind}` with channels such as `{}`", labels[0])),
    }
}

impl Stream {
    /// The rate of its sensor: the options', or the one it states.
    fn rate(&self, options: &OpenOptions) -> Option<Rate> {
        options.rate.or_else(|| Rate::from_decimal(self.nominal_hz))
    }

    /// What the header says of a channel.
    fn channel_text(&self, channel: usize, what: &str) -> Option<String> {
        let channels = self.info.child("desc")?.child("channels")?;
        let element = channels.children.iter().filter(|child| child.name == "channel").nth(channel)?;
        element.text_of(what).filter(|text| !text.is_empty())
    }

    fn label(&self, channel: usize) -> String {
        self.channel_text(channel, "label").unwrap_or_else(|| format!("channel_{}", channel + 1))
    }

    fn voltages(&self, options: &OpenOptions, title: &str, warnings: &mut Vec<String>) -> Result<Vec<(String, Shape)>, String> {
        let given = match options.units.get("emg") {
            Some(unit) => Some(volts_in(unit).ok_or_else(|| format!("`{unit}` is no unit of `emg`"))?),
            None => None,
        };
        let mut assumed = 0;
        let volts = (0..self.channels).map(|channel| {
            let stated = self.channel_text(channel, "unit").and_then(|unit| volts_of(&unit));
            assumed += usize::from(given.or(stated).is_none());
            given.or(stated).unwrap_or(DEFAULT_VOLTS)
        });
        let volts = volts.collect();
        if assumed > 0 {
            warnings.push(format!("{title}: {assumed} channels have no unit of voltage, and are taken as microvolts"));
        }
        Ok(vec![(String::new(), Shape::Voltages(volts))])
    }

    /// Values of one channel.
    fn channel(&self, channel: usize, scale: f64) -> Vec<f64> {
        match &self.values {
            Values::Numbers(numbers) => numbers.iter().skip(channel).step_by(self.channels).map(|value| value * scale).collect(),
            Values::Texts(_) => Vec::new(),
        }
    }
}

impl Shape {
    const fn kind(&self) -> Kind {
        match self {
            Self::Events => Kind::Events,
            Self::Voltages(_) => Kind::Emg,
            Self::Inertial(_) => Kind::Imu,
        }
    }
}

impl Found<'_> {
    fn sensor(&self, zero_ns: i64, options: &OpenOptions, warnings: &mut Vec<String>) -> Result<FileSensor, String> {
        let times: Vec<i64> = self.times.times_ns.iter().map(|time| time.saturating_sub(zero_ns)).collect();
        let (mut file, columns) = match &self.shape {
            Shape::Events => return self.events(&times),
            Shape::Voltages(volts) => self.voltages(volts),
            Shape::Inertial(group) => self.inertial(group, options)?,
        };
        file.rate = self.stream.rate(options);
        let times = strictly_rising(times);
        self.check_rate(&times, file.rate, warnings);
        FileSensor::at_times(self.name.clone(), file, times, columns)
    }

    fn voltages(&self, volts: &[f64]) -> (proprio_core::rig::SensorFile, Vec<ArrayRef>) {
        let stream = self.stream;
        let mut names: Vec<String> = (0..stream.channels).map(|channel| sanitise(&stream.label(channel)).to_ascii_lowercase()).collect();
        for (channel, name) in names.iter_mut().enumerate().filter(|(_, name)| name.is_empty()) {
            *name = format!("channel_{}", channel + 1);
        }
        make_unique(&mut names);
        let column = |(channel, volts): (usize, &f64)| Arc::new(Float64Array::from(stream.channel(channel, *volts))) as ArrayRef;
        let mut file = entry(Kind::Emg, None);
        file.channels = (1..).zip(names).collect();
        (file, volts.iter().enumerate().map(column).collect())
    }

    fn inertial(&self, group: &ImuColumns, options: &OpenOptions) -> Result<(proprio_core::rig::SensorFile, Vec<ArrayRef>), String> {
        let mut file = entry(Kind::Imu, None);
        file.magnetometer = group.contains_key(&Quantity::Mag);
        let mut columns: Vec<ArrayRef> = Vec::new();
        // Ordered as the wire schema is: gyroscope, accelerometer, magnetometer.
        for (quantity, axes) in group {
            for (channel, named) in axes.iter().flatten() {
                let given = options.units.get(quantity.name());
                let given = given.map(|unit| quantity.scale(unit).ok_or_else(|| format!("`{unit}` is no unit of `{}`", quantity.name())));
                let stated = self.stream.channel_text(*channel, "unit").and_then(|unit| quantity.scale(&unit));
                let scale = given.transpose()?.or(stated).or(*named).unwrap_or(1.0);
                columns.push(Arc::new(Float64Array::from(self.stream.channel(*channel, scale))));
            }
        }
        Ok((file, columns))
    }

    /// A row for each text that is not empty; of equal ones at one instant one.
    fn events(&self, times: &[i64]) -> Result<FileSensor, String> {
        let Values::Texts(texts) = &self.stream.values else { return Err(format!("sensor `{}` has no texts", self.name)) };
        let samples = times.iter().zip(texts.chunks(self.stream.channels));
        let mut rows: BTreeSet<(i64, String, &str)> = BTreeSet::new();
        for (time, texts) in samples {
            rows.extend(texts.iter().filter(|text| !text.trim().is_empty()).map(|text| (*time, short_name(text), text.as_str())));
        }
        let mut rows: Vec<_> = rows.into_iter().collect();
        rows.dedup_by(|a, b| (a.0, &a.1) == (b.0, &b.1));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.1))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|_| "general"))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2))),
        ];
        FileSensor::at_times(self.name.clone(), entry(Kind::Events, None), rows.iter().map(|row| row.0).collect(), columns)
    }

    /// Says where samples come at another rate than the stream states.
    fn check_rate(&self, times: &[i64], rate: Option<Rate>, warnings: &mut Vec<String>) {
        let (Some(rate), [_, _, ..]) = (rate, times) else { return };
        let mut steps: Vec<i64> = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        steps.sort_unstable();
        let measured_hz = 1e9 / steps[steps.len() / 2] as f64;
        if (measured_hz / rate.hertz() - 1.0).abs() > 0.01 {
            warnings.push(format!("{}: it states {rate}, and its samples come at {measured_hz:.2} Hz", self.name));
        }
    }
}

/// A text as the name of an event.
fn short_name(text: &str) -> String {
    let mut name = event_name(text);
    name.truncate(MAX_EVENT_NAME);
    name
}

/// Volts in a unit as streams write it.
fn volts_of(unit: &str) -> Option<f64> {
    match unit.to_ascii_lowercase().as_str() {
        "microvolts" | "microvolt" => Some(1e-6),
        "millivolts" | "millivolt" => Some(1e-3),
        "volts" | "volt" => Some(1.0),
        _ => volts_in(unit),
    }
}

fn strictly_rising(mut times: Vec<i64>) -> Vec<i64> {
    for index in 1..times.len() {
        times[index] = times[index].max(times[index - 1].saturating_add(1));
    }
    times
}
