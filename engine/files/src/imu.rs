//! Which columns of a table are an inertial sensor's, whatever their names look like.

use std::collections::BTreeMap;
use std::f64::consts::PI;

/// Standard gravity, by which `g` is defined.
const G_M_PER_S2: f64 = 9.806_65;

/// What an inertial sensor's column measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Quantity {
    Gyro,
    Accel,
    Mag,
}

/// A column of an inertial sensor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ImuColumn {
    pub(crate) quantity: Quantity,
    /// 0, 1, 2 for x, y, z.
    pub(crate) axis: usize,
    /// Its unit in the wire schema's, from the column's name; none when the name has no unit.
    pub(crate) scale: Option<f64>,
    /// What else the name says: the sensor, where a table has several.
    pub(crate) sensor: String,
}

/// The columns of one inertial sensor: for each quantity the table's column of each axis.
pub(crate) type ImuColumns = BTreeMap<Quantity, [Option<(usize, Option<f64>)>; 3]>;

impl Quantity {
    /// As options name it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gyro => "gyro",
            Self::Accel => "accel",
            Self::Mag => "mag",
        }
    }

    /// Its wire columns, by axis.
    pub(crate) fn wire_column(self, axis: usize) -> String {
        let axis = ["x", "y", "z"][axis];
        match self {
            Self::Gyro => format!("gyro_{axis}_rad_per_s"),
            Self::Accel => format!("accel_{axis}_m_per_s2"),
            Self::Mag => format!("mag_{axis}_ut"),
        }
    }

    /// What to multiply a value in `unit` by to have it in the wire schema's.
    pub(crate) fn scale(self, unit: &str) -> Option<f64> {
        let normal: String = unit.chars().filter(|character| character.is_ascii_alphanumeric() || *character == '°').collect();
        match (self, normal.to_ascii_lowercase().as_str()) {
            (Self::Gyro, "rads" | "radpers" | "radps") => Some(1.0),
            (Self::Gyro, "degs" | "degpers" | "degps" | "dps" | "°s") => Some(PI / 180.0),
            (Self::Accel, "ms2" | "mpers2" | "mps2") => Some(1.0),
            (Self::Accel, "g") => Some(G_M_PER_S2),
            (Self::Accel, "mg") => Some(G_M_PER_S2 * 1e-3),
            (Self::Mag, "ut") => Some(1.0),
            (Self::Mag, "nt") => Some(1e-3),
            (Self::Mag, "mt") => Some(1e3),
            (Self::Mag, "g" | "gauss") => Some(100.0),
            (Self::Mag, "mgauss") => Some(0.1),
            _ => None,
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        match word {
            "gyro" | "gyr" | "gyroscope" | "omega" | "angvel" => Some(Self::Gyro),
            "accel" | "acc" | "accelerometer" | "acceleration" => Some(Self::Accel),
            "mag" | "magn" | "magnetometer" => Some(Self::Mag),
            _ => None,
        }
    }
}

/// Reads a column's name: `gyr_x`, `acc_g_x`, `accel_x_m_per_s2`, `left_sensor_acc_x`, `acc1x`, `GyrX`, `gx`.
pub(crate) fn read_name(name: &str) -> Option<ImuColumn> {
    let mut words = words(name);
    if let [short] = &words[..]
        && let [quantity @ ('a' | 'g' | 'w' | 'm'), axis @ 'x'..='z'] = short.chars().collect::<Vec<_>>()[..]
    {
        let quantity = match quantity {
            'a' => Quantity::Accel,
            'm' => Quantity::Mag,
            _ => Quantity::Gyro,
        };
        return Some(ImuColumn { quantity, axis: axis as usize - 'x' as usize, scale: None, sensor: String::new() });
    }
    let position = words.iter().position(|word| Quantity::from_word(word).is_some())?;
    let quantity = Quantity::from_word(&words.remove(position))?;
    let position = words.iter().position(|word| matches!(word.as_str(), "x" | "y" | "z"))?;
    let axis = usize::from(words.remove(position).as_bytes()[0] - b'x');
    // The longest run of words that is a unit of this quantity.
    let runs = (1..=words.len().min(4)).rev().flat_map(|length| (0..=words.len() - length).map(move |start| (start, length)));
    let unit = runs.into_iter().find_map(|(start, length)| {
        let scale = quantity.scale(&words[start..start + length].concat())?;
        Some((start, length, scale))
    });
    if let Some((start, length, _)) = unit {
        words.drain(start..start + length);
    }
    Some(ImuColumn { quantity, axis, scale: unit.map(|(_, _, scale)| scale), sensor: words.join("_") })
}

/// The inertial sensors of a table, by what their columns' names have in common.
///
/// # Errors
/// When two columns are the same axis of the same quantity.
pub(crate) fn group<'a>(columns: impl Iterator<Item = (usize, &'a str)>) -> Result<BTreeMap<String, ImuColumns>, String> {
    let mut sensors: BTreeMap<String, ImuColumns> = BTreeMap::new();
    for (index, name) in columns {
        let Some(column) = read_name(name) else { continue };
        let axes = sensors.entry(column.sensor).or_default().entry(column.quantity).or_default();
        if axes[column.axis].replace((index, column.scale)).is_some() {
            return Err(format!("`{name}` is a second {} of that axis", column.quantity.name()));
        }
    }
    Ok(sensors)
}

/// The words of a name, in lower case: split at what is no letter or digit, between letters and digits, and at capitals
/// after small letters.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut last: Option<char> = None;
    for character in name.chars() {
        if character.is_alphanumeric() || character == '°' {
            let breaks = last.is_none_or(|last| {
                !(last.is_alphanumeric() || last == '°')
                    || last.is_ascii_digit() != character.is_ascii_digit()
                    || (last.is_lowercase() && character.is_uppercase())
            });
            if breaks {
                words.push(String::new());
            }
            words.last_mut().expect("the first character breaks").extend(character.to_lowercase());
        }
        last = Some(character);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_many_makers_are_read() {
        let degrees = PI / 180.0;
        for (name, quantity, axis, scale, sensor) in [
            ("gyro_x_rad_per_s", Quantity::Gyro, 0, Some(1.0), ""),
            ("accel_z_m_per_s2", Quantity::Accel, 2, Some(1.0), ""),
            ("mag_y_ut", Quantity::Mag, 1, Some(1.0), ""),
            ("gyr_dps_x", Quantity::Gyro, 0, Some(degrees), ""),
            ("acc_g_y", Quantity::Accel, 1, Some(G_M_PER_S2), ""),
            ("left_sensor_acc_z", Quantity::Accel, 2, None, "left_sensor"),
            ("acc1x", Quantity::Accel, 0, None, "1"),
            ("GyrX", Quantity::Gyro, 0, None, ""),
            ("Acc X [m/s^2]", Quantity::Accel, 0, Some(1.0), ""),
            ("gyro y (deg/s)", Quantity::Gyro, 1, Some(degrees), ""),
            ("wz", Quantity::Gyro, 2, None, ""),
        ] {
            let expected = ImuColumn { quantity, axis, scale, sensor: sensor.to_owned() };
            assert_eq!(read_name(name), Some(expected), "{name}");
        }
        for name in ["ref_x", "time_s", "movement", "q_w", "acc", "", "x"] {
            assert_eq!(read_name(name), None, "{name}");
        }
    }
}
