//! How fast is the engine beside other people's programs? The same work on the same machine, in turn, in one run.
//!
//! A [`Work`] is recorded messages and the pipeline that they run through, with the real worker and operators ([`Replay`]), and the peers
//! that do the same ([`Peer`]): programs that wait, with their data in memory, to be told to run once ([`peer`]). [`measure()`] takes turns
//! (ours, a peer, the next peer, ours …), compares the answers, and says how many times as long a peer takes as we do.

mod answer;
mod error;
mod machine;
mod measure;
pub mod peer;
mod replay;
mod report;
mod work;
mod works;

pub use answer::Answer;
pub use error::BenchError;
pub use machine::Machine;
pub use measure::{Limits, measure};
pub use peer::Peer;
pub use replay::{Replay, Wire};
pub use report::{Compared, Measured, Report, Skipped, Standing};
pub use work::{Bench, Prepared, Work};
pub use works::{WORKS, chosen};
