//! Which sensors a table holds, and their rows in the wire schema.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, StringArray};
use proprio_core::rig::SensorFile;
use proprio_core::rows::nan_as_null;
use proprio_core::{Kind, TimeNs};

use crate::OpenOptions;
use crate::clock::{self, Clock};
use crate::error::FileError;
use crate::imu::{self, ImuColumns, Quantity};
use crate::recording::{FileSensor, Recording, entry, sanitise};
use crate::table::Table;

/// Column that tells the sensors of one table apart.
const SENSOR: &str = "sensor";
/// Column that tells their kinds, where they differ.
const KIND: &str = "kind";

/// What all sensors of a table are read with.
struct Reader<'a> {
    table: &'a Table,
    options: &'a OpenOptions,
    clock: Option<Clock>,
    /// The time of the table's first row.
    zero: TimeNs,
    warnings: Vec<String>,
    used: BTreeSet<usize>,
}

/// For x, y and z the table's column and the metres in its unit.
type Axes = [Option<(usize, f64)>; 3];

/// The rows that belong to one value of the column `sensor`.
struct Part {
    name: Option<String>,
    kind: Option<Kind>,
    rows: Vec<usize>,
}

/// Reads a table's sensors.
pub(crate) fn open(path: &Path, mut table: Table, options: &OpenOptions) -> Result<Recording, FileError> {
    if table.rows == 0 {
        return Err(table.error("it has no rows"));
    }
    for (ours, theirs) in &options.columns {
        table.rename(theirs, ours)?;
    }
    let clock = Clock::of(&table, options)?;
    let parts = parts(&table, options)?;
    let zero = clock.as_ref().and_then(|clock| clock.times.iter().min().copied()).unwrap_or(0);
    let known = [SENSOR, KIND].iter().filter_map(|name| table.index(name));
    let used: BTreeSet<usize> = known.chain(clock.as_ref().map(|clock| clock.column)).collect();
    let mut reader = Reader { table: &table, options, clock, zero, warnings: Vec::new(), used };
    let mut sensors: Vec<FileSensor> = Vec::new();
    for part in &parts {
        sensors.extend(reader.sensors(part)?);
    }
    let mut names = BTreeSet::new();
    if let Some(sensor) = sensors.iter().find(|sensor| !names.insert(sensor.name.as_str())) {
        return Err(table.error(format!("two of its sensors are named `{}`", sensor.name)));
    }
    let unused: Vec<&str> =
        (0..table.names.len()).filter(|column| !reader.used.contains(column)).map(|column| table.names[column].as_str()).collect();
    let mut warnings = std::mem::take(&mut reader.warnings);
    if !unused.is_empty() {
        warnings.push(format!("columns left out: {}", unused.join(", ")));
    }
    Ok(Recording::new(path, sensors, Vec::new(), warnings))
}

/// Splits the rows by the column `sensor`, if there is one.
fn parts(table: &Table, options: &OpenOptions) -> Result<Vec<Part>, FileError> {
    let kinds = table.index(KIND).map(|column| table.texts(column)).transpose()?;
    let kind_at = |row: usize| match kinds.as_ref().and_then(|kinds| kinds[row].as_deref()) {
        None => Ok(options.kind),
        Some(text) => Kind::ALL.into_iter().find(|kind| kind.name() == text).map(Some).ok_or_else(|| {
            table.at(
                row,
                table.index(KIND).unwrap_or(0),
                format!("`{text}` is no kind; known are {}", Kind::ALL.map(Kind::name).join(", ")),
            )
        }),
    };
    let Some(column) = table.index(SENSOR) else {
        return Ok(vec![Part { name: options.sensor.clone(), kind: kind_at(0)?, rows: (0..table.rows).collect() }]);
    };
    let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (row, name) in table.texts(column)?.into_iter().enumerate() {
        let name = name.map(|name| sanitise(&name)).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| table.at(row, column, "the row names no sensor".to_owned()))?;
        by_name.entry(name).or_default().push(row);
    }
    by_name.into_iter().map(|(name, rows)| Ok(Part { kind: kind_at(rows[0])?, name: Some(name), rows })).collect()
}

impl Reader<'_> {
    /// The sensors of one part: one, or several inertial ones side by side.
    fn sensors(&mut self, part: &Part) -> Result<Vec<FileSensor>, FileError> {
        let columns = self.filled_columns(part);
        let kind = match part.kind.or_else(|| self.recognise(&columns)) {
            Some(kind) => kind,
            None => {
                let names: Vec<&str> = columns.iter().map(|column| self.table.names[*column].as_str()).collect();
                let what = format!("its columns (`{}`) fit no kind of sensor: say which it is, or name the columns", names.join("`, `"));
                return Err(self.table.error(what));
            }
        };
        let name = part.name.clone().unwrap_or_else(|| kind.name().to_owned());
        match kind {
            Kind::Imu => self.inertial(part, &columns),
            Kind::Emg => self.emg(part, &columns, name),
            Kind::Markers => self.markers(part, &columns, name),
            Kind::Force => self.force(part, name),
            Kind::Events | Kind::Notes | Kind::Truth => self.unsampled(part, kind, name),
        }
        .map(|sensors| sensors.into_iter().collect())
    }

    /// Columns that are not the bookkeeping's and, where sensors share the table, not empty for this one.
    fn filled_columns(&self, part: &Part) -> Vec<usize> {
        let bookkeeping = [self.table.index(SENSOR), self.table.index(KIND), self.clock.as_ref().map(|clock| clock.column)];
        let candidates = (0..self.table.names.len()).filter(|column| !bookkeeping.contains(&Some(*column)));
        let whole = part.rows.len() == self.table.rows;
        let filled = |column: &usize| {
            whole
                || self
                    .table
                    .texts(*column)
                    .is_ok_and(|texts| part.rows.iter().any(|row| texts[*row].as_ref().is_some_and(|text| text != "NaN")))
        };
        candidates.filter(filled).collect()
    }

    /// The kind that the columns' names speak of.
    fn recognise(&self, columns: &[usize]) -> Option<Kind> {
        let has = |name: &str| columns.iter().any(|column| self.table.names[*column] == name);
        let names = || columns.iter().map(|column| self.table.names[*column].as_str());
        if has("event") {
            Some(Kind::Events)
        } else if has("author") && has("text") {
            Some(Kind::Notes)
        } else if has("name") && has("value") {
            Some(Kind::Truth)
        } else if has("force_z_n") {
            Some(Kind::Force)
        } else if names().filter_map(imu::read_name).any(|column| column.quantity == Quantity::Gyro) {
            Some(Kind::Imu)
        } else if names().any(|name| name.ends_with("_x_m") || name.ends_with("_x_mm")) {
            Some(Kind::Markers)
        } else if names().next().is_some() && names().all(|name| voltage_suffix(name).is_some()) {
            Some(Kind::Emg)
        } else {
            None
        }
    }

    /// A column's values in the part's rows, times `scale`.
    fn floats(&mut self, part: &Part, column: usize, scale: f64) -> Result<Vec<f64>, FileError> {
        self.used.insert(column);
        let all = self.table.floats(column)?;
        Ok(part.rows.iter().map(|row| all[*row] * scale).collect())
    }

    /// A sampled sensor from its columns.
    fn sampled(&mut self, part: &Part, name: String, mut file: SensorFile, columns: Vec<ArrayRef>) -> Result<FileSensor, FileError> {
        let what = |what: String| self.table.error(format!("sensor `{name}`: {what}"));
        let sampling = clock::sample(self.clock.as_ref(), &part.rows, self.zero, self.options.rate).map_err(what)?;
        if let Some(warning) = sampling.warning {
            self.warnings.push(format!("{name}: {warning}"));
        }
        file.rate = Some(sampling.rate);
        FileSensor::at_times(name, file, sampling.times, columns).map_err(|what| self.table.error(what))
    }

    /// The scale that the options give a column, by its wire name or its quantity's.
    fn option_scale(&self, wire: &str, quantity: &str, scale: impl Fn(&str) -> Option<f64>) -> Result<Option<f64>, FileError> {
        let Some(unit) = self.options.units.get(wire).or_else(|| self.options.units.get(quantity)) else { return Ok(None) };
        scale(unit).map(Some).ok_or_else(|| self.table.error(format!("`{unit}` is no unit of `{quantity}`")))
    }

    fn inertial(&mut self, part: &Part, columns: &[usize]) -> Result<Vec<FileSensor>, FileError> {
        let named = columns.iter().map(|column| (*column, self.table.names[*column].as_str()));
        let groups = imu::group(named).map_err(|what| self.table.error(what))?;
        if groups.is_empty() {
            return Err(self.table.error("no column is a gyroscope's or an accelerometer's, such as `gyr_x` and `acc_x`"));
        }
        let several = groups.len() > 1;
        let mut sensors = Vec::new();
        for (suffix, group) in groups {
            let name = match (&part.name, suffix.as_str()) {
                (Some(name), "") => name.clone(),
                (Some(name), suffix) if several => format!("{name}_{suffix}"),
                (Some(name), _) => name.clone(),
                (None, "") => "imu".to_owned(),
                (None, suffix) if suffix.bytes().all(|byte| byte.is_ascii_digit()) => format!("imu_{suffix}"),
                (None, suffix) => suffix.to_owned(),
            };
            sensors.push(self.one_inertial(part, name, &group)?);
        }
        Ok(sensors)
    }

    fn one_inertial(&mut self, part: &Part, name: String, group: &ImuColumns) -> Result<FileSensor, FileError> {
        let mut file = entry(Kind::Imu, None);
        file.magnetometer = group.contains_key(&Quantity::Mag);
        let quantities = [Quantity::Gyro, Quantity::Accel, Quantity::Mag];
        let mut columns: Vec<ArrayRef> = Vec::new();
        let mut gaps = 0;
        for quantity in quantities.into_iter().filter(|quantity| *quantity != Quantity::Mag || file.magnetometer) {
            for axis in 0..3 {
                let wire = quantity.wire_column(axis);
                let Some((column, named)) = group.get(&quantity).and_then(|axes| axes[axis]) else {
                    return Err(self.table.error(format!("sensor `{name}` has no column for `{wire}`")));
                };
                let given = self.option_scale(&wire, quantity.name(), |unit| quantity.scale(unit))?;
                let values = self.floats(part, column, given.or(named).unwrap_or(1.0))?;
                gaps += values.iter().filter(|value| value.is_nan()).count();
                columns.push(Arc::new(Float64Array::from(values)));
            }
        }
        if gaps > 0 {
            self.warnings.push(format!("{name}: {gaps} values are missing, and their samples will be rejected"));
        }
        self.sampled(part, name, file, columns)
    }

    fn emg(&mut self, part: &Part, columns: &[usize], name: String) -> Result<Vec<FileSensor>, FileError> {
        let mut file = entry(Kind::Emg, None);
        let mut arrays: Vec<ArrayRef> = Vec::new();
        let mut unitless_peak = 0.0f64;
        for column in columns.iter().copied().filter(|column| self.table.may_be_numbers(*column)) {
            let full = self.table.names[column].clone();
            let (muscle, named) = voltage_suffix(&full).map_or((full.as_str(), None), |(muscle, volts)| (muscle, Some(volts)));
            let given = self.option_scale(&full, "emg", crate::c3d::volts_in)?;
            let values = self.floats(part, column, given.or(named).unwrap_or(1.0))?;
            if given.or(named).is_none() {
                unitless_peak = values.iter().fold(unitless_peak, |peak, value| peak.max(value.abs()));
            }
            let muscle = Some(sanitise(muscle).to_ascii_lowercase()).filter(|muscle| !muscle.is_empty());
            let number = file.channels.len() as u32 + 1;
            file.channels.insert(number, muscle.unwrap_or_else(|| format!("channel_{number}")));
            arrays.push(Arc::new(Float64Array::from(values)));
        }
        if file.channels.is_empty() {
            return Err(self.table.error("it has no column of numbers that could be an EMG channel"));
        }
        if unitless_peak > 1.0 {
            self.warnings.push(format!("{name}: values up to {unitless_peak:.1} are taken as volts; say the unit of `emg`, such as uV"));
        }
        Ok(vec![self.sampled(part, name, file, arrays)?])
    }

    fn markers(&mut self, part: &Part, columns: &[usize], name: String) -> Result<Vec<FileSensor>, FileError> {
        let mut labels: Vec<(String, Axes)> = Vec::new();
        for column in columns.iter().copied() {
            let full = self.table.names[column].as_str();
            let named = [("_mm", 1e-3), ("_m", 1.0)].iter().find_map(|(suffix, metres)| Some((full.strip_suffix(suffix)?, *metres)));
            let (bare, metres) = named.map_or((full, None), |(bare, metres)| (bare, Some(metres)));
            let axes = ["_x", "_y", "_z"].iter().position(|axis| bare.ends_with(axis));
            let Some(axis) = axes else { continue };
            let given = self.option_scale(full, "length", metres_in)?;
            let label = sanitise(&bare[..bare.len() - 2]);
            let place = labels.iter().position(|(other, _)| *other == label).unwrap_or_else(|| {
                labels.push((label, [None; 3]));
                labels.len() - 1
            });
            labels[place].1[axis] = Some((column, given.or(metres).unwrap_or(1.0)));
        }
        let mut file = entry(Kind::Markers, None);
        let mut arrays = Vec::new();
        for (label, axes) in labels {
            for (axis, name) in axes.into_iter().zip(["x", "y", "z"]) {
                let (column, scale) = axis.ok_or_else(|| self.table.error(format!("marker `{label}` has no column `{label}_{name}`")))?;
                arrays.push(nan_as_null(self.floats(part, column, scale)?));
            }
            file.labels.push(label);
        }
        if file.labels.is_empty() {
            return Err(self.table.error("it has no marker: columns end in `_x`, `_y` and `_z`"));
        }
        Ok(vec![self.sampled(part, name, file, arrays)?])
    }

    fn force(&mut self, part: &Part, name: String) -> Result<Vec<FileSensor>, FileError> {
        let file = entry(Kind::Force, None);
        let schema = crate::recording::wire_schema(&name, &file);
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for field in schema.columns.fields().iter().skip(1) {
            let values = self.floats(part, self.column(field.name())?, 1.0)?;
            arrays.push(if field.is_nullable() { nan_as_null(values) } else { Arc::new(Float64Array::from(values)) });
        }
        Ok(vec![self.sampled(part, name, file, arrays)?])
    }

    /// Events, notes and truth: their rows have times of their own.
    fn unsampled(&mut self, part: &Part, kind: Kind, name: String) -> Result<Vec<FileSensor>, FileError> {
        let Some(clock) = &self.clock else { return Err(self.table.error(format!("{kind} need a time column"))) };
        let mut rows: Vec<(TimeNs, usize)> = part.rows.iter().map(|row| (clock.times[*row].saturating_sub(self.zero), *row)).collect();
        rows.sort_unstable();
        let (times, rows): (Vec<TimeNs>, Vec<usize>) = rows.into_iter().unzip();
        let file = entry(kind, None);
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for field in crate::recording::wire_schema(&name, &file).columns.fields().iter().skip(1) {
            let column = if field.is_nullable() || field.name() == "side" {
                self.table.index(field.name())
            } else {
                Some(self.column(field.name())?)
            };
            self.used.extend(column);
            if field.data_type() == &arrow_schema::DataType::Utf8 {
                let absent = if field.name() == "side" { Some("general".to_owned()) } else { None };
                let texts = column.map(|column| self.table.texts(column)).transpose()?;
                let text = |row: &usize| texts.as_ref().and_then(|texts| texts[*row].clone()).or_else(|| absent.clone());
                arrays.push(Arc::new(rows.iter().map(text).collect::<StringArray>()));
            } else if let Some(column) = column {
                let all = self.table.floats(column)?;
                arrays.push(Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| all[*row]))));
            }
        }
        FileSensor::at_times(name, file, times, arrays).map(|sensor| vec![sensor]).map_err(|what| self.table.error(what))
    }

    fn column(&self, name: &str) -> Result<usize, FileError> {
        self.table
            .index(name)
            .ok_or_else(|| self.table.error(format!("it has no column `{name}`; there are `{}`", self.table.names.join("`, `"))))
    }
}

/// A channel's name without the unit at its end, and the volts in that.
fn voltage_suffix(name: &str) -> Option<(&str, f64)> {
    [("_uv", 1e-6), ("_mv", 1e-3), ("_v", 1.0)].into_iter().find_map(|(suffix, volts)| {
        let cut = name.len().checked_sub(suffix.len())?;
        let end = name.get(cut..)?;
        end.eq_ignore_ascii_case(suffix).then_some((&name[..cut], volts))
    })
}

/// Metres in a unit of length.
fn metres_in(unit: &str) -> Option<f64> {
    match unit {
        "m" => Some(1.0),
        "cm" => Some(1e-2),
        "mm" => Some(1e-3),
        _ => None,
    }
}
