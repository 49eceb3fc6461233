//! What has entered a rig, in which order, and is it on disk?
//!
//! A rig's recording is the folder `recording/<rig>/` of the data directory: MCAP segments, each named after the position of
//! its first message, so positions go on over restarts (contract 4). Nothing beside the file order and the name says where a
//! message stands: a segment's messages are `first`, `first + 1`, … without gaps. Messages become bytes in memory
//! ([`Recorder`]); a lane makes them durable. A session's start begins a segment and its stop ends one, so that no segment
//! holds two people.
//!
//! **Invariant**: a position is given out once. A message that was stamped but lost in a crash before it was synced was
//! never acknowledged; its position is given to the first message after the restart.
//!
//! **Invariant**: what was durable is never cut or skipped. A torn tail is shorter than what can lack a sync; damage beyond
//! that is an error.

mod amendments;
mod committer;
mod disk;
mod encoder;
mod error;
mod folder;
mod forget;
mod format;
mod lane;
mod reader;
mod recorder;
mod records;
mod resume;
mod segment;
mod sessions;
mod snapshots;
#[cfg(test)]
mod tests;

pub use amendments::{Amendment, amend, amendments};
pub use committer::Trouble;
pub use disk::{Disk, DiskFile, Lock};
pub use error::RecordingError;
pub use folder::Folder;
pub use forget::{Forgotten, forget, retain};
pub use format::{Gone, Head, SessionHead, Texts};
pub use lane::Lane;
pub use reader::{Read, Reader, heads, heads_of};
pub use recorder::Recorder;
pub use sessions::{Last, SessionEntry, sessions};
pub use snapshots::{Snapshot, Snapshots};
