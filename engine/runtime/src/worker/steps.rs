//! How a step is run: rows wait at its ports until the watermark passes, then it is called once for all of them.

use std::collections::VecDeque;

use arrow_array::RecordBatch;
use proprio_core::{Output, Step, StepState, StreamSchema, TimeNs, rows};

/// A step at work: its state, its waiting rows and the watermarks on both sides.
pub(super) struct RunningStep {
    state: StepState,
    ports: Vec<Port>,
    /// All rows at or before this have been given to the operator.
    pub(super) watermark: TimeNs,
    /// No row at or before this will be emitted again.
    pub(super) promised: TimeNs,
}

struct Port {
    schema: StreamSchema,
    waiting: VecDeque<RecordBatch>,
}

impl RunningStep {
    pub(super) fn new(step: &dyn Step, schemas: impl Iterator<Item = StreamSchema>) -> Self {
        let ports = schemas.map(|schema| Port { schema, waiting: VecDeque::new() }).collect();
        Self { state: step.start(), ports, watermark: i64::MIN, promised: i64::MIN }
    }

    /// A session's start.
    pub(super) fn begin(&mut self, step: &dyn Step, from_ns: TimeNs) {
        self.state = step.start();
        self.ports.iter_mut().for_each(|port| port.waiting.clear());
        (self.watermark, self.promised) = (from_ns, from_ns);
    }

    /// Rows for a port.
    pub(super) fn give(&mut self, port: usize, rows: RecordBatch) {
        self.ports[port].waiting.push_back(rows);
    }

    /// Rows that wait at all ports.
    pub(super) fn waiting_rows(&self) -> usize {
        self.ports.iter().flat_map(|port| &port.waiting).map(RecordBatch::num_rows).sum()
    }

    /// Runs the operator over the rows up to `watermark`, when it has moved.
    pub(super) fn advance(&mut self, step: &dyn Step, watermark: TimeNs, out: &mut Output) {
        if watermark <= self.watermark {
            return;
        }
        let inputs: Vec<RecordBatch> = self.ports.iter_mut().map(|port| port.take(watermark)).collect();
        let promised = step.process(&mut self.state, &inputs, watermark, out);
        debug_assert!(promised <= watermark, "an operator promises no more than it was promised");
        self.watermark = watermark;
        self.promised = self.promised.max(promised);
    }

    /// A session's end.
    pub(super) fn flush(&mut self, step: &dyn Step, out: &mut Output) {
        step.flush(&mut self.state, out);
        self.promised = i64::MAX;
    }
}

impl Port {
    fn take(&mut self, watermark: TimeNs) -> RecordBatch {
        let mut taken = Vec::new();
        while let Some(batch) = self.waiting.pop_front() {
            let (now, later) = rows::split_at_watermark(&batch, watermark);
            if now.num_rows() > 0 {
                taken.push(now);
            }
            if later.num_rows() > 0 {
                self.waiting.push_front(later);
                break;
            }
        }
        match taken.len() {
            0 => self.schema.empty(),
            1 => taken.remove(0),
            _ => arrow_select::concat::concat_batches(&self.schema.columns, &taken).expect("rows of one stream share its schema"),
        }
    }
}
