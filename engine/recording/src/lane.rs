//! Who writes the blocks: a thread beside the engine's, or the caller itself?

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::RecordingError;
use crate::committer::{Block, Committer};

/// How long a refusing disk is left alone.
const RETRY_EVERY: Duration = Duration::from_millis(250);
/// How long a recorder that ends waits for the disk.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who writes and syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// A thread of its own, so that the caller never waits for the disk; one sync takes all that has come meanwhile.
    Thread,
    /// The caller, within [`seal`](crate::Recorder::seal): deterministic, for benches.
    Inline,
}

/// A lane at work. The blocks on it are bounded by its user, who stands still when [`is_full`](crate::Recorder::is_full).
pub(crate) enum Running {
    Thread { blocks: Sender<Block>, done: Receiver<()> },
    Inline(Committer),
}

impl Running {
    /// Commits what the committer holds already, then goes on as told.
    pub fn start(mut committer: Committer, lane: Lane) -> Result<Self, RecordingError> {
        committer.commit();
        if lane == Lane::Inline {
            return Ok(Self::Inline(committer));
        }
        let (blocks, taken) = crossbeam_channel::unbounded();
        let (alive, done) = crossbeam_channel::bounded(0);
        let thread = std::thread::Builder::new().name("recording".to_owned()).spawn(move || {
            // Dropped after the committer and its lock: whoever waits for it may open the recording anew.
            let _alive: Sender<()> = alive;
            run(committer, &taken);
        });
        thread.map_err(|source| RecordingError::Thread { source })?;
        Ok(Self::Thread { blocks, done })
    }

    /// Hands blocks over, in order.
    pub fn commit(&mut self, blocks: impl Iterator<Item = Block>) {
        match self {
            Self::Inline(committer) => {
                blocks.for_each(|block| committer.push(block));
                committer.commit();
            }
            Self::Thread { blocks: sender, .. } => {
                for block in blocks {
                    sender.send(block).expect("the lane's thread outlives its recorder, and does not panic");
                }
            }
        }
    }

    /// Lets the thread try once more what waits, and ends it. A disk that hangs keeps the thread, and its lock, until it answers.
    pub fn end(self) {
        match self {
            // As a crash would: what was sealed was tried then.
            Self::Inline(_) => {}
            Self::Thread { blocks, done } => {
                drop(blocks);
                // Nothing is ever sent: it disconnects when the thread is gone.
                if done.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                    tracing::error!("the disk has not answered for {} s; what waits for it may be lost", PATIENCE.as_secs());
                }
            }
        }
    }
}

/// The thread: takes all blocks that wait, commits them together, and tries again later when the disk refuses.
fn run(mut committer: Committer, taken: &Receiver<Block>) {
    let mut retry = Instant::now() + RETRY_EVERY;
    loop {
        let next = if committer.has_work() { taken.recv_deadline(retry) } else { taken.recv().map_err(|_| RecvTimeoutError::Disconnected) };
        match next {
            Ok(block) => {
                let failing = committer.has_work();
                committer.push(block);
                taken.try_iter().for_each(|block| committer.push(block));
                if failing && Instant::now() < retry {
                    continue;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        committer.commit();
        retry = Instant::now() + RETRY_EVERY;
    }
    committer.commit();
}
