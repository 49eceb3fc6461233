//! The contract that everything rests on: time, streams, operators and what passes between the parts of the engine.
//! No IO, no threads and no clock live here.

pub mod carried;
pub mod clock;
pub mod control;
pub mod digest;
pub mod finding;
pub mod kind;
pub mod note;
pub mod operator;
pub mod outcome;
pub mod protocol;
pub mod quantity;
pub mod recorded;
pub mod registry;
pub mod rig;
pub mod rows;
pub mod schema;
pub mod table;
pub mod time;

pub use arrow_array::RecordBatch;
pub use carried::Carried;
pub use clock::{ClockEvent, ClockFit};
pub use digest::Digests;
pub use finding::{At, Findings, PlanFinding, pointer_part};
pub use kind::Kind;
pub use note::Note;
pub use operator::{Operator, Output, Planned, Port, Step, StepState};
pub use outcome::Instrument;
pub use recorded::{Acknowledged, Decision, Event, Packet, Recorded, Rejection, RoundTrip, Samples, Sequence, SourceMessage, SourceStart};
pub use registry::{Configure, Inputs, Registration};
pub use rig::{Rig, Sensor};
pub use schema::StreamSchema;
pub use table::{TableChunk, TableSpec};
pub use time::{Rate, TimeNs};
