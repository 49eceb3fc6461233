//! What is a piece of work to be measured: data, the pipeline that we run over it, and who else does the same?

use std::path::PathBuf;

use crate::answer::Answer;
use crate::error::BenchError;
use crate::peer::Peer;
use crate::replay::{Replay, Tables, Wire};

/// One piece of work.
#[derive(Debug)]
pub struct Work {
    /// Its name.
    pub name: &'static str,
    /// What is measured on which data, for people.
    pub about: &'static str,
    /// Makes its data ready.
    pub prepare: fn(&Bench) -> Result<Prepared, BenchError>,
}

/// What works are measured with.
#[derive(Debug)]
pub struct Bench {
    /// How samples travel.
    pub wire: Wire,
    /// The folder of recordings, laid out as the project's `shared/data`.
    pub recordings: PathBuf,
    /// Where programs that were made ready stay for the next run.
    pub cache: PathBuf,
}

/// A work with its data in memory.
pub struct Prepared {
    /// Values that enter: what a second's events are.
    pub events: u64,
    /// Bytes of them as messages.
    pub bytes: u64,
    /// What we do.
    pub ours: Replay,
    /// What of our rows is compared with the peers'.
    pub answer: fn(&Tables) -> Answer,
    /// The data as the peers get it.
    pub inputs: Answer,
    /// Who else does the same.
    pub peers: Vec<Peer>,
}

impl Prepared {
    /// A work that is nothing but a replay of `events` values.
    pub fn new(events: u64, ours: Replay, answer: fn(&Tables) -> Answer, inputs: Answer, peers: Vec<Peer>) -> Self {
        Self { events, bytes: ours.bytes(), ours, answer, inputs, peers }
    }
}
