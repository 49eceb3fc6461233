//! How a rig that was found out, such as a recording's, is written down as a rig file.

use std::fmt::Write as _;

use proprio_core::rig::RigFile;
use serde_json::Value;

/// The longest line before a sensor is written over several.
const LINE_CHARACTERS: usize = 120;

/// The text of a rig file: a line a sensor where it fits, a line a key where it doesn't.
pub fn rig_yaml(rig: &RigFile) -> String {
    let mut text = format!("rig: {}\nsensors:\n", scalar(&rig.rig));
    for (name, sensor) in &rig.sensors {
        let sensor = serde_json::to_value(sensor).expect("a sensor is plain data");
        let line = format!("  {}: {}", scalar(name), flow(&sensor));
        if line.chars().count() <= LINE_CHARACTERS {
            text.push_str(&line);
            text.push('\n');
            continue;
        }
        let _ = writeln!(text, "  {}:", scalar(name));
        for key in ordered(&sensor) {
            let _ = writeln!(text, "    {key}: {}", wrapped(&sensor[key]));
        }
    }
    text
}

/// Keys in the order in which a person writes them.
fn ordered(sensor: &Value) -> Vec<&str> {
    const FIRST: [&str; 5] = ["kind", "key", "rate", "segment", "side"];
    let mut keys: Vec<&str> = sensor.as_object().into_iter().flat_map(|keys| keys.keys().map(String::as_str)).collect();
    keys.sort_by_key(|key| FIRST.iter().position(|first| first == key).unwrap_or(FIRST.len()));
    keys
}

/// A value on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Object(_) => format!("{{ {} }}", parts(value).join(", ")),
        Value::Array(_) => format!("[{}]", parts(value).join(", ")),
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// A value that may take several lines, below a key of a sensor.
fn wrapped(value: &Value) -> String {
    const INDENT: &str = "      ";
    let (open, close) = match value {
        Value::Object(_) => ('{', '}'),
        Value::Array(_) => ('[', ']'),
        _ => return flow(value),
    };
    let parts = parts(value);
    let total: usize = parts.iter().map(|part| part.chars().count() + 2).sum();
    if total + INDENT.len() <= LINE_CHARACTERS {
        return flow(value);
    }
    let mut text = format!("{open}\n{INDENT}");
    let mut column = INDENT.len();
    for part in parts {
        let length = part.chars().count() + 2;
        if column > INDENT.len() && column + length > LINE_CHARACTERS {
            text.truncate(text.trim_end().len());
            let _ = write!(text, "\n{INDENT}");
            column = INDENT.len();
        }
        let _ = write!(text, "{part}, ");
        column += length;
    }
    text.truncate(text.trim_end().len());
    let _ = write!(text, "\n    {close}");
    text
}

/// The items of a list, or the entries of a mapping; numbered entries by number.
fn parts(value: &Value) -> Vec<String> {
    match value {
        Value::Object(entries) => {
            let mut keys = ordered(value);
            if entries.keys().all(|key| key.parse::<u32>().is_ok()) {
                keys.sort_by_key(|key| key.parse::<u32>().unwrap_or_default());
                return keys.iter().map(|key| format!("{key}: {}", flow(&entries[*key]))).collect();
            }
            keys.iter().map(|key| format!("{}: {}", scalar(key), flow(&entries[*key]))).collect()
        }
        Value::Array(items) => items.iter().map(flow).collect(),
        _ => Vec::new(),
    }
}

/// A text as YAML reads it back: plain where nothing can be misread, in quotes elsewhere.
fn scalar(text: &str) -> String {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'/' | b'.'))
        && !WORDS.contains(&text.to_lowercase().as_str());
    let (number, unit) = proprio_core::quantity::split_number_and_unit(text);
    let is_quantity = !number.is_empty()
        && !unit.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'/'))
        && unit.bytes().all(|byte| byte.is_ascii_alphabetic())
        && text == format!("{number} {unit}");
    if is_word || is_quantity { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {

    use proprio_core::Kind;
    use proprio_core::quantity::{Duration, Share};
    use proprio_core::rig::{Clock, Loss, SensorFile, Side};

    use super::*;
    use crate::check::load_rig_text;

    fn sensor(kind: Kind) -> SensorFile {
        SensorFile { rate: "2000/7 Hz".parse().ok(), segment: Some("foot".to_owned()), side: Some(Side::Left), ..SensorFile::new(kind) }
    }

    #[test]
    fn what_is_written_is_read_back_as_it_was() {
        let channels = (1..=16).map(|channel| (channel, format!("muscle_number_{channel}"))).collect();
        let labels = (0..60).map(|label| format!("M{label}")).chain(["no".to_owned(), "1".to_owned()]).collect();
        let sensors = [
            (
                "foot".to_owned(),
                SensorFile {
                    magnetometer: false,
                    key: Some("lab-1/imu/a b".to_owned()),
                    clock: Clock::Device,
                    loss: Loss::Fill,
                    fill_up_to: Some(Duration::new(0.05)),
                    rate_tolerance: Some(Share::new(0.5)),
                    idle_after: Some(Duration::new(3.0)),
                    ..sensor(Kind::Imu)
                },
            ),
            ("legs".to_owned(), SensorFile { channels, out_of_order: Some(Duration::new(0.02)), ..sensor(Kind::Emg) }),
            ("markers".to_owned(), SensorFile { labels, ..sensor(Kind::Markers) }),
        ];
        let rig = RigFile { rig: "lab-1".to_owned(), sensors: sensors.into_iter().collect() };
        let text = rig_yaml(&rig);
        assert!(text.lines().all(|line| line.chars().count() <= LINE_CHARACTERS), "{text}");
        assert!(text.contains("10: muscle_number_10"), "{text}");
        let read = load_rig_text(&text, "rig.yaml").unwrap_or_else(|findings| panic!("{text}\n{}", findings[0]));
        assert_eq!(read, rig.resolve());
    }
}
