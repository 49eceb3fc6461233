//! Rows of the tables that are always there, gathered while messages are judged.

use std::sync::Arc;

use arrow_array::builder::BinaryBuilder;
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use proprio_core::clock::{ClockEvent, ClockFit};
use proprio_core::rig::Loss;
use proprio_core::table::system::{self, alert_state};
use proprio_core::{Acknowledged, Instrument, Note, StreamSchema, TableChunk, TimeNs, rows};

use super::judge::{Fate, row_as_json};

/// A payload that is kept in `rejected` is cut to this length.
const REJECTED_PAYLOAD_MAX: usize = 4096;

/// Side rows since they were last taken, in recording order.
#[derive(Debug, Default)]
pub(super) struct Side {
    losses: Vec<LossRow>,
    late: Vec<LateSample>,
    rejected: Vec<Rejected>,
    /// Rows of further tables, with their key where the table has one.
    others: Vec<(&'static str, Option<String>, RecordBatch)>,
}

#[derive(Debug)]
struct LossRow {
    time_ns: TimeNs,
    stream: String,
    sequence: i64,
    count: i64,
    reason: &'static str,
    policy: Loss,
}

#[derive(Debug)]
struct LateSample {
    time_ns: TimeNs,
    stream: String,
    sequence: i64,
    behind_ms: f64,
    sample: String,
}

#[derive(Debug)]
struct Rejected {
    time_ns: TimeNs,
    stream: String,
    sequence: Option<i64>,
    reason: String,
    detail: String,
    payload: Option<Vec<u8>>,
}

impl Side {
    /// Samples that are lost: the first one's sequence and how many, with what steps get in their place.
    pub(super) fn lost(&mut self, stream: &str, time_ns: TimeNs, sequence: i64, count: i64, policy: Loss) {
        self.losses.push(LossRow { time_ns, stream: stream.to_owned(), sequence, count, reason: "gap", policy });
    }

    /// A lost sample that came after all.
    pub(super) fn came_after_all(&mut self, stream: &str, time_ns: TimeNs, sequence: i64, policy: Loss) {
        self.losses.push(LossRow { time_ns, stream: stream.to_owned(), sequence, count: -1, reason: "came_after_all", policy });
    }

    pub(super) fn late(&mut self, stream: &str, samples: &RecordBatch, row: usize, sequence: i64, watermark: TimeNs) {
        let time_ns = rows::times(samples)[row];
        let behind_ms = watermark.saturating_sub(time_ns) as f64 / 1e6;
        self.late.push(LateSample { time_ns, stream: stream.to_owned(), sequence, behind_ms, sample: row_as_json(samples, row) });
    }

    pub(super) fn reject_sample(&mut self, stream: &str, samples: &RecordBatch, row: usize, sequence: i64, fate: Fate) {
        let (reason, detail) = fate.reason();
        self.rejected.push(Rejected {
            time_ns: rows::times(samples)[row],
            stream: stream.to_owned(),
            sequence: Some(sequence),
            reason: reason.to_owned(),
            detail: detail.to_owned(),
            payload: Some(row_as_json(samples, row).into_bytes()),
        });
    }

    pub(super) fn reject_payload(&mut self, stream: &str, log_time_ns: TimeNs, reason: &str, detail: String, payload: &[u8]) {
        let payload = Some(payload[..payload.len().min(REJECTED_PAYLOAD_MAX)].to_vec());
        self.rejected.push(Rejected {
            time_ns: log_time_ns,
            stream: stream.to_owned(),
            sequence: None,
            reason: reason.to_owned(),
            detail,
            payload,
        });
    }

    pub(super) fn mark(&mut self, time_ns: TimeNs, label: &str) {
        self.event(time_ns, "mark", label, "mark");
    }

    /// Something that happened at one instant, found by `source`: a stream, or who marked it.
    pub(super) fn event(&mut self, time_ns: TimeNs, event: &str, label: &str, source: &str) {
        let columns = vec![int(vec![time_ns]), text(vec![event]), text(vec!["none"]), text(vec![label]), text(vec![source])];
        self.others.push((system::EVENTS, None, rows::batch(&system::events(), columns)));
    }

    /// A fit of a sensor's own clock, with what was found.
    pub(super) fn clock(&mut self, time_ns: TimeNs, stream: &str, fit: &ClockFit, event: Option<ClockEvent>) {
        let optional = |value: Option<i64>| Arc::new(Int64Array::from(vec![value])) as ArrayRef;
        let (name, jump_ns) = match event {
            Some(ClockEvent::Reset { jump_ns }) => (Some("reset"), Some(jump_ns)),
            Some(ClockEvent::Step { jump_ns }) => (Some("step"), Some(jump_ns)),
            None => (None, None),
        };
        let columns = vec![
            int(vec![time_ns]),
            text(vec![stream]),
            int(vec![fit.offset_ns()]),
            int(vec![fit.drift_ppb()]),
            optional(fit.uncertainty_ns()),
            optional(fit.latency_floor_ns()),
            Arc::new(StringArray::from(vec![name])),
            optional(jump_ns),
        ];
        self.others.push((system::CLOCKS, None, rows::batch(&system::clocks(), columns)));
    }

    /// A person's words; gives the row.
    pub(super) fn note(&mut self, time_ns: TimeNs, note: &Note) -> RecordBatch {
        let columns = vec![
            int(vec![time_ns]),
            text(vec![&note.author]),
            text(vec![&note.text]),
            text(vec![note.action.name()]),
            Arc::new(StringArray::from(vec![note.about.as_deref()])),
            Arc::new(Float64Array::from(vec![note.value])),
        ];
        let row = rows::batch(&system::notes(), columns);
        self.others.push((system::NOTES, None, row.clone()));
        row
    }

    /// A person's answers; gives the row. Whoever records them has seen that they give a score by the rule of that day.
    pub(super) fn outcome(&mut self, time_ns: TimeNs, author: &str, instrument: Instrument, items: &[Option<u8>]) -> Option<RecordBatch> {
        let scored = instrument.score(items);
        let items = serde_json::to_string(items).expect("numbers are JSON");
        let score = match scored {
            Ok(score) => score,
            Err(error) => {
                self.reject_payload(system::OUTCOMES, time_ns, "outcome", error.to_string(), items.as_bytes());
                return None;
            }
        };
        let columns = vec![
            int(vec![time_ns]),
            text(vec![instrument.name()]),
            Arc::new(Float64Array::from(vec![score.value])) as ArrayRef,
            text(vec![score.unit]),
            int(vec![score.answered as i64]),
            text(vec![&items]),
            text(vec![author]),
        ];
        let row = rows::batch(&system::outcomes(), columns);
        self.others.push((system::OUTCOMES, None, row.clone()));
        Some(row)
    }

    /// A row that says who has seen an alert, with an id of its own: whoever hears it on the wire knows the alert's already.
    pub(super) fn acknowledged(&mut self, time_ns: TimeNs, author: &str, words: Option<&str>, alert: &Acknowledged) {
        let identity = [&alert.id, alert_state::ACKNOWLEDGED, author, &time_ns.to_string()].join("\n");
        let id = format!("{:016x}", twox_hash::XxHash3_64::oneshot(identity.as_bytes()));
        let reason = words.map_or_else(|| author.to_owned(), |words| format!("{author}: {words}"));
        let texts = [&id, &alert.stream, &alert.key, alert_state::ACKNOWLEDGED, &alert.severity, &alert.message, &reason];
        let mut columns = vec![int(vec![time_ns])];
        columns.extend(texts.map(|value| text(vec![value])));
        columns.push(int(vec![alert.since_ns]));
        self.others.push((system::ALERTS, Some(alert.step.clone()), rows::batch(&system::alerts(), columns)));
    }

    pub(super) fn trial(&mut self, time_ns: TimeNs, name: &str) {
        self.others.push((system::TRIALS, None, rows::batch(&system::trials(), vec![int(vec![time_ns]), text(vec![name])])));
    }

    pub(super) fn session(&mut self, time_ns: TimeNs, session: &super::Session, end_ns: Option<TimeNs>) {
        let state = if end_ns.is_some() { "ended" } else { "started" };
        let optional = |value: &Option<String>| Arc::new(StringArray::from(vec![value.clone()])) as ArrayRef;
        let columns = vec![
            int(vec![time_ns]),
            text(vec![state]),
            optional(&session.subject),
            optional(&session.task),
            int(vec![session.from_ns]),
            Arc::new(Int64Array::from(vec![end_ns])),
        ];
        self.others.push((system::SESSIONS, None, rows::batch(&system::sessions(), columns)));
    }

    /// All rows as table chunks of `session`, caused by `position`.
    pub(super) fn take(&mut self, session: &str, run_id: &str, position: i64, out: &mut Vec<TableChunk>) {
        let mut put = |table: &str, key: Option<String>, rows: RecordBatch| {
            let (session, run_id) = (session.to_owned(), run_id.to_owned());
            out.push(TableChunk { table: table.to_owned(), key, session, run_id, rows, position });
        };
        if !self.losses.is_empty() {
            put(system::LOSSES, None, losses(&std::mem::take(&mut self.losses), &system::losses()));
        }
        if !self.late.is_empty() {
            put(system::LATE, None, late(&std::mem::take(&mut self.late), &system::late()));
        }
        if !self.rejected.is_empty() {
            put(system::REJECTED, None, rejected(&std::mem::take(&mut self.rejected), &system::rejected()));
        }
        for (table, key, rows) in self.others.drain(..) {
            put(table, key, rows);
        }
    }
}

fn losses(items: &[LossRow], schema: &StreamSchema) -> RecordBatch {
    let columns = vec![
        int(items.iter().map(|item| item.time_ns).collect()),
        text(items.iter().map(|item| item.stream.as_str()).collect()),
        int(items.iter().map(|item| item.sequence).collect()),
        int(items.iter().map(|item| item.count).collect()),
        text(items.iter().map(|item| item.reason).collect()),
        text(items.iter().map(|item| item.policy.name()).collect()),
    ];
    rows::batch(schema, columns)
}

fn late(items: &[LateSample], schema: &StreamSchema) -> RecordBatch {
    let columns = vec![
        int(items.iter().map(|item| item.time_ns).collect()),
        text(items.iter().map(|item| item.stream.as_str()).collect()),
        int(items.iter().map(|item| item.sequence).collect()),
        Arc::new(Float64Array::from_iter_values(items.iter().map(|item| item.behind_ms))),
        text(items.iter().map(|item| item.sample.as_str()).collect()),
    ];
    rows::batch(schema, columns)
}

fn rejected(items: &[Rejected], schema: &StreamSchema) -> RecordBatch {
    let mut payloads = BinaryBuilder::new();
    for item in items {
        payloads.append_option(item.payload.as_deref());
    }
    let columns = vec![
        int(items.iter().map(|item| item.time_ns).collect()),
        text(items.iter().map(|item| item.stream.as_str()).collect()),
        Arc::new(items.iter().map(|item| item.sequence).collect::<Int64Array>()),
        text(items.iter().map(|item| item.reason.as_str()).collect()),
        text(items.iter().map(|item| item.detail.as_str()).collect()),
        Arc::new(payloads.finish()),
    ];
    rows::batch(schema, columns)
}

fn int(values: Vec<i64>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

fn text(values: Vec<&str>) -> ArrayRef {
    Arc::new(StringArray::from(values))
}
