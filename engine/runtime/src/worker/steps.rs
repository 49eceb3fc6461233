//! How a step is run: rows wait at its ports until the watermark passes, then it is called once for all of them.

use std::collections::VecDeque;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use proprio_core::{Carried, Output, Step, StepState, StreamSchema, TimeNs, rows};
use serde::{Deserialize, Serialize};

use super::rows_image::Rows;
use super::snapshot::SnapshotError;

/// A step at work: its state, its waiting rows and the watermarks on both sides.
pub(super) struct RunningStep {
    state: StepState,
    ports: Vec<Port>,
    /// All rows at or before this have been given to the operator.
    pub(super) watermark: TimeNs,
    /// No row at or before this will be emitted again.
    pub(super) promised: TimeNs,
    /// Log time of the message that last moved the watermark.
    pub(super) since_ns: Option<TimeNs>,
}

struct Port {
    schema: StreamSchema,
    waiting: VecDeque<RecordBatch>,
}

/// A step's memory in a snapshot.
#[derive(Serialize, Deserialize)]
pub(super) struct StepImage {
    state: Vec<u8>,
    ports: Vec<Rows>,
    watermark: TimeNs,
    promised: TimeNs,
    since_ns: Option<TimeNs>,
}

impl RunningStep {
    pub(super) fn new(step: &dyn Step, schemas: impl Iterator<Item = StreamSchema>) -> Self {
        let ports = schemas.map(|schema| Port { schema, waiting: VecDeque::new() }).collect();
        Self { state: step.start(), ports, watermark: i64::MIN, promised: i64::MIN, since_ns: None }
    }

    /// Takes what the step gave in an earlier session, right after its start.
    pub(super) fn carry(&mut self, step: &dyn Step, carried: &Carried) {
        step.carry(&mut self.state, carried);
    }

    /// A session's start, or a reload's: rows at or before `from_ns` are not for this state.
    pub(super) fn begin(&mut self, step: &dyn Step, from_ns: TimeNs) {
        self.state = step.start();
        self.ports.iter_mut().for_each(|port| port.waiting.clear());
        (self.watermark, self.promised, self.since_ns) = (from_ns, from_ns, None);
    }

    /// Rows for a port. None is at or before the watermark, but for a step that began amid a session, where one input may
    /// lag behind another.
    pub(super) fn give(&mut self, port: usize, rows: RecordBatch) {
        // Cutting costs a slice a column, and there is hardly ever something to cut.
        let is_ahead = rows::times(&rows).first().is_none_or(|first| *first > self.watermark);
        let rows = if is_ahead { rows } else { rows::split_at_watermark(&rows, self.watermark).1 };
        if rows.num_rows() > 0 {
            self.ports[port].waiting.push_back(rows);
        }
    }

    /// The first instant after all rows that a port was given.
    pub(super) fn earliest(&self, port: usize) -> TimeNs {
        let newest = self.ports[port].waiting.back().and_then(|rows| rows::times(rows).last().copied());
        newest.unwrap_or(i64::MIN).max(self.watermark).saturating_add(1)
    }

    /// Rows that wait at all ports.
    pub(super) fn waiting_rows(&self) -> usize {
        self.ports.iter().flat_map(|port| &port.waiting).map(RecordBatch::num_rows).sum()
    }

    /// Runs the operator over the rows up to `watermark`, when it has moved.
    pub(super) fn advance(&mut self, step: &dyn Step, watermark: TimeNs, log_time_ns: TimeNs, out: &mut Output) {
        if watermark <= self.watermark {
            return;
        }
        let inputs: Vec<RecordBatch> = self.ports.iter_mut().map(|port| port.take(watermark)).collect();
        let promised = step.process(&mut self.state, &inputs, watermark, out);
        debug_assert!(promised <= watermark, "an operator promises no more than it was promised");
        self.watermark = watermark;
        self.promised = self.promised.max(promised);
        self.since_ns = Some(log_time_ns);
    }

    /// A session's end.
    pub(super) fn flush(&mut self, step: &dyn Step, out: &mut Output) {
        step.flush(&mut self.state, out);
        self.promised = i64::MAX;
    }

    /// All that it remembers.
    pub(super) fn image(&self, step: &dyn Step) -> StepImage {
        StepImage {
            state: step.snapshot(&self.state),
            ports: self.ports.iter().map(|port| Rows(port.waiting.iter().cloned().collect())).collect(),
            watermark: self.watermark,
            promised: self.promised,
            since_ns: self.since_ns,
        }
    }

    /// Takes over what a step remembered.
    pub(super) fn restore(&mut self, step: &dyn Step, mut image: StepImage) -> Result<(), SnapshotError> {
        let fits = |(port, rows): (&Port, &mut Rows)| rows.fits(&port.schema.columns);
        if image.ports.len() != self.ports.len() || !self.ports.iter().zip(&mut image.ports).all(fits) {
            return Err(SnapshotError::OtherPlan);
        }
        self.state = step.restore(&image.state)?;
        for (port, rows) in self.ports.iter_mut().zip(image.ports) {
            port.waiting = rows.0.into();
        }
        (self.watermark, self.promised, self.since_ns) = (image.watermark, image.promised, image.since_ns);
        Ok(())
    }
}

impl Port {
    fn take(&mut self, watermark: TimeNs) -> RecordBatch {
        let mut taken = Rows::default();
        while let Some(batch) = self.waiting.pop_front() {
            if rows::times(&batch).last().is_some_and(|last| *last <= watermark) {
                taken.push(batch);
                continue;
            }
            let (now, later) = rows::split_at_watermark(&batch, watermark);
            taken.push(now);
            if later.num_rows() > 0 {
                self.waiting.push_front(later);
                break;
            }
        }
        let schema: &SchemaRef = &self.schema.columns;
        taken.take(schema).unwrap_or_else(|| self.schema.empty())
    }
}
