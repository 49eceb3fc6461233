//! What a gait event is, and the rows that every event operator emits: one vocabulary for plates, markers and sensors.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, StringArray};
use arrow_schema::DataType;
use proprio_core::schema::{FieldExt, float, text};
use proprio_core::{Port, RecordBatch, StreamSchema, TimeNs, rows};
use serde::{Deserialize, Serialize};

/// What happened to the foot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// The foot leaves the ground.
    FinalContact,
    /// The whole sole has come to rest on the ground.
    FlatFoot,
    /// The heel begins to rise, and the foot to roll over its ball.
    HeelOff,
    /// The foot reaches the ground.
    InitialContact,
}

impl Kind {
    /// As written in the column `event`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FinalContact => "final_contact",
            Self::FlatFoot => "flat_foot",
            Self::HeelOff => "heel_off",
            Self::InitialContact => "initial_contact",
        }
    }

    /// Reads our own names of the two contacts and those that lab software writes into its files (`Foot Strike`, `foot off`,
    /// `toe_off`); `None` for any other event, flat foot and heel off among them: cycles are made of contacts.
    pub fn parse(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().replace([' ', '-'], "_").as_str() {
            "initial_contact" | "foot_strike" | "heel_strike" => Some(Self::InitialContact),
            "final_contact" | "foot_off" | "toe_off" => Some(Self::FinalContact),
            _ => None,
        }
    }
}

/// Which foot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Foot {
    /// The subject's left.
    Left,
    /// The subject's right.
    Right,
    /// The method can't tell.
    Unknown,
}

impl Foot {
    /// As written in the column `side`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
            Self::Unknown => "unknown",
        }
    }

    /// Reads the column `side` in any case; anything but left and right is unknown.
    pub fn parse(name: &str) -> Self {
        match name.trim().to_ascii_lowercase().as_str() {
            "left" => Self::Left,
            "right" => Self::Right,
            _ => Self::Unknown,
        }
    }

    /// The foot that steps next.
    pub const fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
            Self::Unknown => Self::Unknown,
        }
    }
}

/// One event, in the order in which events are emitted: by time, then by name and side as they are written.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GaitEvent {
    /// When it happened.
    pub time_ns: TimeNs,
    /// What happened.
    pub kind: Kind,
    /// To which foot.
    pub foot: Foot,
    /// How sure the method is, 0 to 1.
    pub confidence: f64,
}

impl GaitEvent {
    /// The key of its row, in the order that rows must have.
    pub const fn key(&self) -> (TimeNs, Kind, Foot) {
        (self.time_ns, self.kind, self.foot)
    }
}

/// The stream that every event operator emits, keyed by (`event`, `side`).
///
/// `threshold_n` is the force threshold, null for methods without one; `filter` names the smoothing that the timed signal
/// went through. Both move the event, so they are stored with it.
pub fn schema() -> StreamSchema {
    let fields = vec![
        text("event").required(),
        text("side").required(),
        float("confidence", "1").required(),
        text("method").required(),
        float("threshold_n", "N"),
        text("filter").required(),
    ];
    StreamSchema::new(fields, &["event", "side"], None)
}

/// How an operator found its events: the same for all its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    /// Such as `force`, `zeni` or `foot_velocity`.
    pub name: &'static str,
    /// Force threshold in newtons, where the method has one.
    pub threshold_n: Option<f64>,
    /// Smoothing of the timed signal; `none` where it is raw.
    pub filter: String,
}

/// Rows of [`schema`] from events that are in order already.
pub fn batch(schema: &StreamSchema, events: &[GaitEvent], method: &Method) -> RecordBatch {
    let count = events.len();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(events.iter().map(|event| event.time_ns).collect::<Int64Array>()),
        Arc::new(StringArray::from_iter_values(events.iter().map(|event| event.kind.name()))),
        Arc::new(StringArray::from_iter_values(events.iter().map(|event| event.foot.name()))),
        Arc::new(events.iter().map(|event| event.confidence).collect::<Float64Array>()),
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(method.name, count))),
        Arc::new(std::iter::repeat_n(method.threshold_n, count).collect::<Float64Array>()),
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(method.filter.as_str(), count))),
    ];
    rows::batch(schema, columns)
}

/// Where a step's inputs hold gait events: any with the texts `event` and `side`.
#[derive(Clone, Debug, Default)]
pub struct Contacts {
    /// Port, event, side, confidence.
    columns: Vec<(usize, usize, usize, Option<usize>)>,
}

impl Contacts {
    /// Those of these inputs.
    pub fn of(ports: &[Port]) -> Self {
        let of = |(port, input): (usize, &Port)| {
            let find = |name: &str, data_type: DataType| {
                input.schema.index(name).filter(|index| *input.schema.columns.field(*index).data_type() == data_type)
            };
            Some((port, find("event", DataType::Utf8)?, find("side", DataType::Utf8)?, find("confidence", DataType::Float64)))
        };
        Self { columns: ports.iter().enumerate().filter_map(of).collect() }
    }

    /// Whether no input holds any.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Whether this input does.
    pub fn has(&self, port: usize) -> bool {
        self.columns.iter().any(|(other, ..)| *other == port)
    }

    /// All contacts of a known foot, in order of time, each once.
    pub fn read(&self, inputs: &[RecordBatch]) -> Vec<GaitEvent> {
        let mut found = Vec::new();
        for (port, event, side, confidence) in &self.columns {
            let batch = &inputs[*port];
            let (events, sides) = (rows::strings(batch, *event), rows::strings(batch, *side));
            for (row, time_ns) in rows::times(batch).iter().enumerate() {
                let foot = Foot::parse(sides.value(row));
                let Some(kind) = Kind::parse(events.value(row)).filter(|_| foot != Foot::Unknown) else { continue };
                let confidence = confidence.map_or(1.0, |index| rows::float_or_nan(rows::floats(batch, index), row));
                found.push(GaitEvent { time_ns: *time_ns, kind, foot, confidence });
            }
        }
        found.sort_by_key(GaitEvent::key);
        found.dedup_by_key(|event| event.key());
        found
    }

    /// The initial ones among them.
    pub fn initial(&self, inputs: &[RecordBatch]) -> Vec<(TimeNs, Foot)> {
        let initial = self.read(inputs).into_iter().filter(|event| event.kind == Kind::InitialContact);
        initial.map(|event| (event.time_ns, event.foot)).collect()
    }
}

/// Events that are known but may still be overtaken by earlier ones; kept in row order, one per key.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Waiting {
    events: Vec<GaitEvent>,
}

impl Waiting {
    /// Adds an event; of two with one key the first stays.
    pub fn insert(&mut self, event: GaitEvent) {
        let at = self.events.partition_point(|other| other.key() < event.key());
        if self.events.get(at).is_none_or(|other| other.key() != event.key()) {
            self.events.insert(at, event);
        }
    }

    /// Takes those at or before `promised`, in order.
    pub fn take_until(&mut self, promised: TimeNs) -> Vec<GaitEvent> {
        let count = self.events.partition_point(|event| event.time_ns <= promised);
        self.events.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_lab_software_are_understood() {
        assert_eq!(Kind::parse("Foot Strike"), Some(Kind::InitialContact));
        assert_eq!(Kind::parse("foot off"), Some(Kind::FinalContact));
        assert_eq!(Kind::parse("General"), None);
        assert_eq!((Foot::parse("Left"), Foot::parse("none")), (Foot::Left, Foot::Unknown));
    }

    #[test]
    fn waiting_events_leave_in_row_order_and_once() {
        let event = |time_ns, kind, foot| GaitEvent { time_ns, kind, foot, confidence: 1.0 };
        let mut waiting = Waiting::default();
        waiting.insert(event(20, Kind::InitialContact, Foot::Left));
        waiting.insert(event(20, Kind::FinalContact, Foot::Right));
        waiting.insert(event(10, Kind::InitialContact, Foot::Right));
        waiting.insert(event(20, Kind::FinalContact, Foot::Right));
        let taken = waiting.take_until(19);
        assert_eq!(taken.iter().map(|event| event.time_ns).collect::<Vec<_>>(), [10]);
        let rest = waiting.take_until(i64::MAX);
        assert_eq!(rest.iter().map(|event| event.kind.name()).collect::<Vec<_>>(), ["final_contact", "initial_contact"]);
    }
}
