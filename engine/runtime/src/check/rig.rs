//! What is wrong with a rig file?

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use proprio_core::quantity::Dimension;
use proprio_core::rig::{Loss, RigFile};
use proprio_core::{Kind, Rate, Rig};

use crate::diagnostic::{Diagnostic, Report, Source, Span};
use crate::tree::{self, Key, Node};
use crate::validate::validate;

/// The lateness that a sensor may declare: rows wait for it in memory.
const OUT_OF_ORDER_S: RangeInclusive<f64> = 0.0..=60.0;
/// Gaps that may be covered: what is made up for a longer one is no measurement.
const FILL_UP_TO_S: RangeInclusive<f64> = 0.0..=10.0;
/// Shorter silences are the network's.
const IDLE_AFTER_S: RangeInclusive<f64> = 0.1..=3600.0;
/// A measured rate is good to about 0.01 %.
const RATE_TOLERANCE_PERCENT: RangeInclusive<f64> = 0.01..=50.0;

/// Checks the text of a rig file.
pub(super) fn check_source(source: &Source) -> (Vec<Diagnostic>, Option<Rig>) {
    let mut report = Report::new(source);
    match tree::parse(&mut report) {
        Some(tree) => check(&tree, report),
        None => (report.sorted(), None),
    }
}

/// Checks a rig file's tree; the rig when nothing is wrong.
pub(super) fn check(tree: &Node, mut report: Report<'_>) -> (Vec<Diagnostic>, Option<Rig>) {
    let schema = schemars::schema_for!(RigFile).to_value();
    validate(tree, &schema, None, tree.span, &mut report);
    let mut keys = BTreeMap::new();
    // Keys under a name that can't be one would all be wrong: one mistake is told once.
    let rig_name = tree.get("rig").and_then(Node::text).filter(|_| report.found.iter().all(|finding| finding.code != "pattern"));
    let sensors = tree.get("sensors");
    if let Some(sensors) = sensors.filter(|sensors| matches!(&sensors.value, tree::Value::Map(entries) if entries.is_empty())) {
        report.error("missing-key", sensors.span, "the rig has no sensors");
    }
    for (name, sensor) in sensors.into_iter().flat_map(Node::entries) {
        check_sensor(name, sensor, &mut report);
        check_key(name, sensor, rig_name, &mut keys, &mut report);
    }
    if !report.found.is_empty() {
        return (report.sorted(), None);
    }
    match serde_json::from_value::<RigFile>(tree.to_json()) {
        Ok(file) => (Vec::new(), Some(file.resolve())),
        Err(error) => {
            report.error("rig", tree.span, error.to_string());
            (report.sorted(), None)
        }
    }
}

fn check_sensor(name: &Key, sensor: &Node, report: &mut Report<'_>) {
    if !is_column_name(&name.name) {
        let message = format!("the sensor's name `{}` becomes part of column names: letters, digits and `_` only", name.name);
        report.error("name", name.span, message).help(format!("write `{}`", as_column_name(&name.name)));
    }
    let Some(kind) = sensor.get("kind").and_then(Node::text).and_then(kind_named) else { return };
    check_rate(name, sensor, kind, report);
    check_columns(name, sensor, kind, report);
    check_loss(sensor, kind, report);
    for (key, range_s) in [("out_of_order", OUT_OF_ORDER_S), ("fill_up_to", FILL_UP_TO_S), ("idle_after", IDLE_AFTER_S)] {
        check_range(sensor, key, &Dimension::DURATION, range_s, "s", report);
    }
    check_range(sensor, "rate_tolerance", &Dimension::SHARE, RATE_TOLERANCE_PERCENT, "%", report);
}

/// Reports a quantity outside its range; one that can't be read is reported elsewhere.
fn check_range(sensor: &Node, key: &str, dimension: &Dimension, range: RangeInclusive<f64>, unit: &str, report: &mut Report<'_>) {
    let Some((span, text)) = sensor.get(key).and_then(|node| Some((node.span, node.text()?))) else { return };
    if dimension.parse(text).is_ok_and(|value| !range.contains(&value)) {
        let (start, end) = (range.start(), range.end());
        report.error("range", span, format!("`{text}` is outside {start} {unit} to {end} {unit}"));
    }
}

/// What is said of lost samples: for kinds with a rate, and complete.
fn check_loss(sensor: &Node, kind: Kind, report: &mut Report<'_>) {
    let key_span = |key: &str| sensor.entries().iter().find(|(entry, _)| entry.name == key).map(|(entry, _)| entry.span);
    if !kind.is_sampled() {
        for key in ["loss", "fill_up_to", "rate_tolerance"] {
            if let Some(span) = key_span(key) {
                report
                    .error("unknown-key", span, format!("`{key}` is for kinds with a rate; this sensor is of kind `{kind}`"))
                    .help("remove it");
            }
        }
        return;
    }
    let loss = sensor.get("loss").and_then(|node| Some((node.text()?, node.span)));
    let covers = loss.filter(|(loss, _)| [Loss::Fill, Loss::Hold].iter().any(|covering| covering.name() == *loss));
    match (covers, sensor.get("fill_up_to"), key_span("fill_up_to")) {
        (Some((loss, span)), None, _) => {
            let message = format!("`loss: {loss}` doesn't say how long a gap it covers");
            report.error("missing-key", span, message).help("add the longest one, such as `fill_up_to: 50 ms`");
        }
        (Some((loss, _)), Some(up_to), _) => {
            let rate = sensor.get("rate").and_then(Node::text).and_then(|rate| rate.parse::<Rate>().ok());
            let up_to = up_to.text().and_then(|text| Some((text, Dimension::DURATION.parse(text).ok()?, up_to.span)));
            if let (Some(rate), Some((text, seconds, span))) = (rate, up_to)
                && seconds * rate.hertz() < 1.0
            {
                let message = format!("`{text}` is shorter than a sample of {rate}, so that `loss: {loss}` covers nothing");
                report.error("range", span, message).help(format!("one sample is {} ms", 1000.0 / rate.hertz()));
            }
        }
        // An unknown value of `loss` is reported elsewhere.
        (None, Some(_), Some(span)) if loss.is_none_or(|(loss, _)| loss == Loss::Missing.name()) => {
            let message = "`fill_up_to` says how long a gap is covered, and nothing says with what";
            report.error("missing-key", span, message).help("add `loss: fill` or `loss: hold`, or remove it");
        }
        _ => {}
    }
}

fn check_rate(name: &Key, sensor: &Node, kind: Kind, report: &mut Report<'_>) {
    match sensor.get("rate") {
        None if kind.is_sampled() => {
            let message = format!("`{}` has no rate, which is due for kind `{kind}`", name.name);
            report.error("missing-rate", name.span, message).help("add the sensor's own rate, such as `rate: 100 Hz`");
        }
        Some(rate) if !kind.is_sampled() => {
            let message = format!("`{}` is of kind `{kind}`, which has no rate", name.name);
            report.error("rate", rate.span, message).help("remove it");
        }
        _ => {}
    }
}

/// What belongs to one kind only: channels, labels and the magnetometer.
fn check_columns(name: &Key, sensor: &Node, kind: Kind, report: &mut Report<'_>) {
    for (key, of, example) in
        [("channels", Kind::Emg, "channels: { 1: gluteus_medius_left }"), ("labels", Kind::Markers, "labels: [LASI, RASI]")]
    {
        let node = sensor.get(key);
        let is_empty = node.is_none_or(|node| node.entries().is_empty() && node.items().is_empty());
        match node {
            _ if kind == of && is_empty => {
                let message = format!("`{}` has no {key}, which are due for kind `{kind}`", name.name);
                report.error("missing-key", name.span, message).help(format!("add `{example}`"));
            }
            Some(node) if kind != of => say_foreign_key(sensor, key, node.span, kind, of, report),
            _ => {}
        }
    }
    if let Some(node) = sensor.get("magnetometer").filter(|_| kind != Kind::Imu) {
        say_foreign_key(sensor, "magnetometer", node.span, kind, Kind::Imu, report);
    }
    let mut numbers = BTreeMap::new();
    for (number, _) in sensor.get("channels").into_iter().flat_map(Node::entries) {
        if let Some(other) = number.name.parse::<u32>().ok().and_then(|channel| numbers.insert(channel, number))
            && other.name != number.name
        {
            report.error("duplicate-key", number.span, format!("`{}` and `{}` are the same channel", other.name, number.name));
        }
    }
    let channels = sensor.get("channels").into_iter().flat_map(Node::entries).map(|(_, muscle)| muscle);
    check_column_names("muscle", channels, report);
    check_column_names("label", sensor.get("labels").into_iter().flat_map(Node::items), report);
}

fn say_foreign_key(sensor: &Node, key: &str, value: Span, kind: Kind, of: Kind, report: &mut Report<'_>) {
    let span = sensor.entries().iter().find(|(entry, _)| entry.name == key).map_or(value, |(entry, _)| entry.span);
    report.error("unknown-key", span, format!("`{key}` is for kind `{of}`; this sensor is of kind `{kind}`")).help("remove it");
}

fn check_column_names<'n>(what: &str, nodes: impl Iterator<Item = &'n Node>, report: &mut Report<'_>) {
    let mut seen = BTreeMap::new();
    for node in nodes {
        let Some(text) = node.text() else { continue };
        if !is_column_name(text) {
            let message = format!("the {what} `{text}` becomes a column name: letters, digits and `_` only");
            report.error("name", node.span, message).help(format!("write `{}`", as_column_name(text)));
        }
        if let Some(line) = seen.insert(text, node.span.line) {
            report.error("duplicate-name", node.span, format!("the {what} `{text}` stands in line {line} already"));
        }
    }
}

/// Checks the zenoh key that a sensor publishes on, written or by default.
fn check_key<'t>(name: &'t Key, sensor: &'t Node, rig: Option<&str>, seen: &mut BTreeMap<String, &'t str>, report: &mut Report<'_>) {
    let (Some(rig), Some(kind)) = (rig, sensor.get("kind").and_then(Node::text)) else { return };
    let default = format!("{rig}/{kind}/{}", name.name);
    let (key, span) = match sensor.get("key") {
        Some(node) => match node.text() {
            Some(text) => (text.to_owned(), node.span),
            None => return,
        },
        None => (default.clone(), name.span),
    };
    let help = format!("write `{default}`, or leave `key` out");
    let chunks: Vec<&str> = key.split('/').collect();
    if key.contains(['*', '$', '#', '?']) {
        report.error("key", span, format!("the key `{key}` holds a wildcard; a sensor publishes on one key")).help(help);
    } else if chunks.iter().any(|chunk| chunk.is_empty()) {
        report.error("key", span, format!("the key `{key}` has an empty part")).help(help);
    } else if chunks[0] != rig {
        report.error("key", span, format!("the key `{key}` lies outside the rig; it begins with `{rig}/`")).help(help);
    } else if chunks.len() < 2 || chunks.iter().any(|chunk| chunk.starts_with('@')) {
        report.error("key", span, format!("the key `{key}` is not a data key; parts that begin with `@` are the engine's own")).help(help);
    } else if let Some(other) = seen.insert(key.clone(), &name.name) {
        report.error("duplicate-name", span, format!("`{other}` publishes on `{key}` already")).help("give each sensor a key of its own");
    }
}

fn kind_named(name: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.name() == name)
}

fn is_column_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The nearest text that may be part of a column name.
fn as_column_name(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_")
}
