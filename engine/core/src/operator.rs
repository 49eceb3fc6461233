//! The one contract of an operator: a pure fold over batches in event-time order, called once per advance.

use std::any::Any;

use arrow_array::RecordBatch;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::carried::Carried;
use crate::schema::StreamSchema;
use crate::time::TimeNs;

/// A configured step. Configuration stands behind `&self`, all memory in `State`, so a snapshot of the state is complete.
///
/// **Law**: once the watermark is W, every chunking of the input has given the same rows, and the promised watermark
/// after W is the same. What a call emits depends on the rows at or before W and on W alone.
pub trait Operator: Send + Sync + 'static {
    /// All that the operator remembers.
    type State: Serialize + DeserializeOwned + Send + 'static;

    /// The state at a session's start.
    fn start(&self) -> Self::State;

    /// Takes rows of its own output that an earlier session gave, right after [`start`](Self::start): those that [`Planned::carries`]
    /// asks for, which fit its output. Whatever of them holds here is emitted again by `process`, so that this session's rows tell it.
    fn carry(&self, state: &mut Self::State, carried: &Carried) {
        let _ = (state, carried);
    }

    /// Takes, per port, exactly the rows in (W₀, W], where W₀ is the previous call's watermark; emits rows in
    /// (time, keys) order, none at or before the watermark promised last. Returns the watermark promised now: no row at or
    /// before it will ever be emitted again. `watermark` is `i64::MAX` once every source has ended, so a grid must be
    /// bounded by the rows seen and never by the watermark alone.
    fn process(&self, state: &mut Self::State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs;

    /// A session's end: emits what was waiting (the last stride, the open window). The state is dropped afterwards.
    fn flush(&self, state: &mut Self::State, out: &mut Output);
}

/// Where an operator puts its rows.
#[derive(Debug, Default)]
pub struct Output {
    batches: Vec<RecordBatch>,
}

impl Output {
    /// Adds rows; an empty batch is dropped.
    pub fn push(&mut self, batch: RecordBatch) {
        if batch.num_rows() > 0 {
            self.batches.push(batch);
        }
    }

    /// Takes all batches, in order.
    pub fn take(&mut self) -> Vec<RecordBatch> {
        std::mem::take(&mut self.batches)
    }
}

/// An input of a step while it is planned.
#[derive(Clone, Debug)]
pub struct Port {
    /// Stream name, such as `imu/pelvis` or `angles`.
    pub stream: String,
    /// Its columns, keys and rate.
    pub schema: StreamSchema,
}

impl Port {
    /// The name that this stream's columns are prefixed with when streams are fused: the part after the slash, or the
    /// whole name of a stream without one.
    pub fn prefix(&self) -> &str {
        self.stream.rsplit_once('/').map_or(self.stream.as_str(), |(_, sensor)| sensor)
    }
}

/// What planning a step gives.
pub struct Planned {
    /// The operator behind its one box.
    pub step: Box<dyn Step>,
    /// What it emits.
    pub output: StreamSchema,
    /// Whether its rows are alerts: they land in `alerts` and go out on the wire.
    pub is_alert: bool,
    /// Whether its rows with a `message` are cues: they go out on the wire beside its table.
    pub is_cue: bool,
    /// SQL condition on its table for the rows that a later session can be given; none for a step that carries nothing over.
    pub carries: Option<String>,
}

impl Planned {
    /// Boxes an operator.
    pub fn new(operator: impl Operator, output: StreamSchema) -> Self {
        Self { step: Box::new(operator), output, is_alert: false, is_cue: false, carries: None }
    }

    /// The same, which can be given the newest row, of each key of its output, of earlier sessions that meets an SQL condition; see [`Operator::carry`].
    #[must_use]
    pub fn carrying(self, condition: impl Into<String>) -> Self {
        Self { carries: Some(condition.into()), ..self }
    }

    /// Boxes an operator whose rows with a `message`, a column of its output, are cues for the patient.
    pub fn cue(operator: impl Operator, output: StreamSchema) -> Self {
        Self { is_cue: true, ..Self::new(operator, output) }
    }

    /// Boxes an operator that emits [`alert`](crate::table::system::alert) rows.
    pub fn alert(operator: impl Operator) -> Self {
        Self { step: Box::new(operator), output: crate::table::system::alert(), is_alert: true, is_cue: false, carries: None }
    }
}

impl std::fmt::Debug for Planned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Planned").field("output", &self.output).finish_non_exhaustive()
    }
}

/// A step's state, of the type its operator knows.
pub struct StepState(Box<dyn Any + Send>);

/// A snapshot that doesn't fit the operator.
#[derive(Debug, thiserror::Error)]
#[error("this state is not of this operator: {0}")]
pub struct RestoreError(#[from] postcard::Error);

/// An [`Operator`] without its state's type: what the runtime holds.
pub trait Step: Send + Sync {
    /// See [`Operator::start`].
    fn start(&self) -> StepState;
    /// See [`Operator::carry`].
    fn carry(&self, state: &mut StepState, carried: &Carried);
    /// See [`Operator::process`].
    fn process(&self, state: &mut StepState, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs;
    /// See [`Operator::flush`].
    fn flush(&self, state: &mut StepState, out: &mut Output);
    /// The state as bytes; floats keep every bit.
    fn snapshot(&self, state: &StepState) -> Vec<u8>;
    /// The state from bytes.
    ///
    /// # Errors
    /// When the bytes are not a state of this operator.
    fn restore(&self, bytes: &[u8]) -> Result<StepState, RestoreError>;
}

impl<O: Operator> Step for O {
    fn start(&self) -> StepState {
        StepState(Box::new(Operator::start(self)))
    }

    fn carry(&self, state: &mut StepState, carried: &Carried) {
        Operator::carry(self, own::<O>(state), carried);
    }

    fn process(&self, state: &mut StepState, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        Operator::process(self, own::<O>(state), inputs, watermark, out)
    }

    fn flush(&self, state: &mut StepState, out: &mut Output) {
        Operator::flush(self, own::<O>(state), out);
    }

    fn snapshot(&self, state: &StepState) -> Vec<u8> {
        let state = state.0.downcast_ref::<O::State>().expect("a step is given its own state");
        postcard::to_stdvec(state).expect("an operator's state is plain data")
    }

    fn restore(&self, bytes: &[u8]) -> Result<StepState, RestoreError> {
        match postcard::take_from_bytes::<O::State>(bytes)? {
            (state, []) => Ok(StepState(Box::new(state))),
            // What is left over belongs to a longer state of another operator.
            _ => Err(postcard::Error::DeserializeBadEncoding.into()),
        }
    }
}

fn own<O: Operator>(state: &mut StepState) -> &mut O::State {
    state.0.downcast_mut().expect("a step is given its own state")
}
