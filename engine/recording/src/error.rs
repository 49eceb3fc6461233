//! What can go wrong with a recording?

use std::path::{Path, PathBuf};

/// Why a recording could not be written or read. Paths are relative to the data directory.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// Another process writes this rig's recording.
    #[error("{} is being written by another process: stop it, or give this one another --data", directory.display())]
    Locked {
        /// The rig's folder.
        directory: PathBuf,
    },
    /// The disk refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What it answered.
        source: std::io::Error,
    },
    /// The system gave no thread.
    #[error("no thread for the recording: {source}")]
    Thread {
        /// What it answered.
        source: std::io::Error,
    },
    /// The recorder ended before the disk took everything.
    #[error("positions {} to {} were not written: {said}", durable_position + 1, next_position - 1)]
    Unwritten {
        /// The last durable position.
        durable_position: i64,
        /// The position after the last message.
        next_position: i64,
        /// What the disk said.
        said: String,
    },
    /// A segment is not what it should be: another rig's, another format's.
    #[error("{}: {detail}", path.display())]
    Segment {
        /// The segment.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Messages that were written are damaged, and others follow: restore the file from a copy.
    #[error("{}: the messages from position {position} on are damaged: {detail}; restore the file from a copy", path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// The first position that cannot be read.
        position: i64,
        /// What was found there.
        detail: String,
    },
    /// A message is not what its place in the segment says.
    #[error("{}: position {position}: {detail}", path.display())]
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// The message's position.
        position: i64,
        /// What is wrong.
        detail: String,
    },
    /// Messages are missing between two segments, or before the first.
    #[error("{}: begins at position {found}, but {expected} is due: is a segment missing?", path.display())]
    Gap {
        /// The later segment.
        path: PathBuf,
        /// The position that was due.
        expected: i64,
        /// The position that came.
        found: i64,
    },
    /// What is to be amended has no messages any more.
    #[error("the recording of the session at position {position} is gone")]
    SessionGone {
        /// Where the session began.
        position: i64,
    },
    /// Another process writes or removes amendments.
    #[error("{}: another process amends a session: try again", directory.display())]
    Amending {
        /// The rig's folder.
        directory: PathBuf,
    },
    /// What is to be forgotten or amended is being recorded.
    #[error("session `{session}` is being recorded: stop it first")]
    SessionOpen {
        /// The session.
        session: String,
    },
}

impl RecordingError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        |source| Self::Io { path: path.to_owned(), source }
    }
}
