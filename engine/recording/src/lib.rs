//! Where the truth lies: a rig's messages in MCAP segments, stamped with positions, synced before they are acknowledged.
//!
//! A rig's recording is the folder `<data>/recording/<rig>/`. Each start of the engine, and a segment grown long, begins
//! a new one named after the position of its first message, so positions go on over restarts (contract 4). Nothing beside
//! the file order and the name says where a message stands: a segment's messages are `first`, `first + 1`, … without gaps.
//!
//! **Invariant**: a position is given out once. A message that was stamped but lost in a crash before it was synced was
//! never acknowledged; its position is given to the first message after the restart.

mod error;
mod reader;
mod recorder;
mod segment;
#[cfg(test)]
mod tests;

pub use error::RecordingError;
pub use reader::{Head, Recording, head, read};
pub use recorder::{Recorder, Texts};
