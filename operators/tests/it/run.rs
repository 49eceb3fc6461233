//! A step driven over an example, advance by advance, with what every emitted row must keep checked on the way.

use std::cmp::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use arrow_select::concat::concat_batches;
use proprio_core::rows::times;
use proprio_core::{Carried, Output, Planned, StepState, TimeNs};

/// A step under way.
pub struct Run<'a> {
    planned: &'a Planned,
    inputs: &'a [RecordBatch],
    state: StepState,
    /// Rows of each input that the step has had.
    taken: Vec<usize>,
    promised: TimeNs,
    emitted: Vec<RecordBatch>,
}

impl<'a> Run<'a> {
    /// At a session's start.
    pub fn new(planned: &'a Planned, inputs: &'a [RecordBatch]) -> Self {
        let state = planned.step.start();
        Self { planned, inputs, state, taken: vec![0; inputs.len()], promised: TimeNs::MIN, emitted: Vec::new() }
    }

    /// At a session's start, with what an earlier session gave.
    pub fn carrying(planned: &'a Planned, inputs: &'a [RecordBatch], carried: &Carried) -> Self {
        let mut run = Self::new(planned, inputs);
        planned.step.carry(&mut run.state, carried);
        run
    }

    /// All of the input in one call, then the session's end.
    pub fn whole(planned: &'a Planned, inputs: &'a [RecordBatch]) -> RecordBatch {
        let mut run = Self::new(planned, inputs);
        run.advance(TimeNs::MAX);
        run.flush()
    }

    /// Gives the rows up to `watermark`.
    pub fn advance(&mut self, watermark: TimeNs) {
        let mut due = Vec::with_capacity(self.inputs.len());
        for (input, taken) in self.inputs.iter().zip(&mut self.taken) {
            let end = times(input).partition_point(|time| *time <= watermark).max(*taken);
            due.push(input.slice(*taken, end - *taken));
            *taken = end;
        }
        let mut out = Output::default();
        let promised = self.planned.step.process(&mut self.state, &due, watermark, &mut out);
        self.take(out);
        assert!(promised >= self.promised, "the promised watermark went back from {} to {promised}", self.promised);
        assert!(promised <= watermark, "{promised} was promised at watermark {watermark}: inputs up to there may still come");
        self.promised = promised;
    }

    /// Replaces the state by its snapshot, restored.
    pub fn reload(&mut self) {
        let bytes = self.planned.step.snapshot(&self.state);
        self.state = self.planned.step.restore(&bytes).expect("a step takes its own snapshot");
    }

    /// All rows so far.
    pub fn rows(&self) -> RecordBatch {
        concat_batches(&self.planned.output.columns, &self.emitted).expect("batches of one schema join")
    }

    /// What the step has promised last.
    pub fn promised(&self) -> TimeNs {
        self.promised
    }

    /// Ends the session, on a copy of the state, and gives all rows.
    pub fn flush(&self) -> RecordBatch {
        let bytes = self.planned.step.snapshot(&self.state);
        let state = self.planned.step.restore(&bytes).expect("a step takes its own snapshot");
        let (taken, emitted) = (self.taken.clone(), self.emitted.clone());
        let mut end = Self { planned: self.planned, inputs: self.inputs, state, taken, promised: self.promised, emitted };
        let mut out = Output::default();
        self.planned.step.flush(&mut end.state, &mut out);
        end.take(out);
        end.rows()
    }

    fn take(&mut self, mut out: Output) {
        for batch in out.take() {
            assert_eq!(batch.schema(), self.planned.output.columns, "rows have the planned schema");
            assert_nullability(&batch);
            if let Some(early) = times(&batch).iter().find(|time| **time <= self.promised) {
                panic!("a row at {early} came after {} had been promised", self.promised);
            }
            if let Some(last) = self.emitted.last() {
                self.assert_increasing(last, last.num_rows() - 1, &batch, 0);
            }
            for row in 1..batch.num_rows() {
                self.assert_increasing(&batch, row - 1, &batch, row);
            }
            self.emitted.push(batch);
        }
    }

    /// (time, keys) of a row must be greater than of the one before.
    fn assert_increasing(&self, a: &RecordBatch, i: usize, b: &RecordBatch, j: usize) {
        let by_time = times(a)[i].cmp(&times(b)[j]);
        let order = self.planned.output.keys.iter().fold(by_time, |order, key| {
            let index = self.planned.output.index(key).unwrap_or_else(|| panic!("the key `{key}` is no column"));
            order.then_with(|| compare(a.column(index).as_ref(), i, b.column(index).as_ref(), j))
        });
        assert_eq!(order, Ordering::Less, "a row at {} follows one at {}: (time, keys) must grow", times(b)[j], times(a)[i]);
    }
}

/// Arrow trusts the maker of a batch on this when it is built from slices.
fn assert_nullability(batch: &RecordBatch) {
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        assert!(field.is_nullable() || column.null_count() == 0, "`{}` is required and holds a null", field.name());
    }
}

fn compare(a: &dyn Array, i: usize, b: &dyn Array, j: usize) -> Ordering {
    match a.data_type() {
        DataType::Utf8 => a.as_string::<i32>().value(i).cmp(b.as_string::<i32>().value(j)),
        DataType::Int64 => a.as_primitive::<Int64Type>().value(i).cmp(&b.as_primitive::<Int64Type>().value(j)),
        other => panic!("a key column can't be {other}"),
    }
}
