//! How are recorded messages run through a fold, a chunk at a time, in bounded memory?

use std::time::Instant;

use proprio_core::{Decision, Event, Recorded, TableChunk, TimeNs};
use proprio_recording::{Read, Reader};

use super::fold::Fold;

/// A chunk holds at most so many messages,
const CHUNK_MESSAGES: usize = 4096;
/// and about so many bytes of payload.
const CHUNK_BYTES: usize = 4 << 20;

/// Recorded messages on their way through a fold.
pub struct Replay<'a> {
    reader: Reader,
    /// The fold.
    pub fold: &'a mut Fold,
    /// Positions at which a chunk must end, in order.
    ends: std::vec::IntoIter<i64>,
    next_end: Option<i64>,
    /// Where to stop; at the recording's end when absent.
    last: Option<i64>,
    /// What comes right before the session's stop, in its place.
    before_stop: Vec<Decision>,
    /// Messages on keys that the fold's rig does not have.
    pub undeclared: u64,
    /// Seconds spent on reading the recording.
    pub reading_s: f64,
    /// Seconds spent in the fold.
    pub running_s: f64,
}

/// What one chunk gave.
pub struct Step {
    /// Its rows.
    pub chunks: Vec<TableChunk>,
    /// Its messages.
    pub messages: usize,
    /// Position of its last message.
    pub position: i64,
    /// Log time of its last message.
    pub log_time_ns: TimeNs,
}

impl<'a> Replay<'a> {
    /// What `reader` gives, up to `last`, in chunks that end at `ends`, the tables' transactions, among others.
    pub fn new(reader: Reader, fold: &'a mut Fold, mut ends: Vec<i64>, last: Option<i64>) -> Self {
        ends.sort_unstable();
        ends.dedup();
        let mut ends = ends.into_iter();
        let next_end = ends.next();
        Self { reader, fold, ends, next_end, last, before_stop: Vec::new(), undeclared: 0, reading_s: 0.0, running_s: 0.0 }
    }

    /// The same, with decisions that are seen right before the session's stop.
    #[must_use]
    pub fn amended(self, before_stop: Vec<Decision>) -> Self {
        Self { before_stop, ..self }
    }

    /// The session's stop, and what comes right before it.
    pub fn stop(&mut self, stop: Recorded) -> Vec<Recorded> {
        let decisions = std::mem::take(&mut self.before_stop);
        let amendments = decisions.into_iter().map(|decision| Recorded { event: Event::Decision(decision), ..stop.clone() });
        amendments.chain([stop.clone()]).collect()
    }

    /// Runs the next chunk; none at the end.
    ///
    /// # Errors
    /// When the recording is damaged, or a recorded reload makes no plan.
    pub fn step(&mut self) -> anyhow::Result<Option<Step>> {
        let begun = Instant::now();
        let messages = self.chunk()?;
        self.reading_s += begun.elapsed().as_secs_f64();
        let Some(last) = messages.last() else { return Ok(None) };
        let (position, log_time_ns) = (last.position, last.log_time_ns);
        let begun = Instant::now();
        let chunks = self.fold.advance(&messages)?;
        self.running_s += begun.elapsed().as_secs_f64();
        Ok(Some(Step { chunks, messages: messages.len(), position, log_time_ns }))
    }

    /// The next messages, read with the rig in force: a reload ends them.
    fn chunk(&mut self) -> anyhow::Result<Vec<Recorded>> {
        let mut messages = Vec::new();
        let mut bytes = 0;
        while messages.len() < CHUNK_MESSAGES && bytes < CHUNK_BYTES {
            let rig = &self.fold.plan().rig;
            let Some(read) = self.reader.next(rig)? else { break };
            let (position, recorded) = match read {
                Read::Message(recorded) => (recorded.position, Some(recorded)),
                Read::Undeclared { position, .. } => (position, None),
            };
            if self.last.is_some_and(|last| position > last) {
                break;
            }
            self.undeclared += u64::from(recorded.is_none());
            let mut ends = false;
            if let Some(recorded) = recorded {
                match &recorded.event {
                    Event::Payload { payload, .. } => bytes += payload.len(),
                    Event::Decision(decision) => ends = matches!(decision, Decision::Reload { .. }),
                }
                if matches!(recorded.event, Event::Decision(Decision::SessionStop)) {
                    messages.extend(self.stop(recorded));
                } else {
                    messages.push(recorded);
                }
            }
            while self.next_end.is_some_and(|end| end <= position) {
                self.next_end = self.ends.next();
                ends = true;
            }
            if ends && !messages.is_empty() {
                break;
            }
        }
        Ok(messages)
    }
}
