//! What can go wrong with a recording.

use std::path::PathBuf;

/// Why a recording could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// Another process writes this rig's recording.
    #[error("{} is being written by another process: stop it, or give this one another --data", directory.display())]
    Locked {
        /// The rig's folder.
        directory: PathBuf,
    },
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What it answered.
        source: std::io::Error,
    },
    /// The MCAP writer refused; a full disk comes out here.
    #[error("{}: {source}", path.display())]
    Mcap {
        /// The segment.
        path: PathBuf,
        /// What it answered.
        source: mcap::McapError,
    },
    /// An earlier write failed, so what follows would leave a hole.
    #[error("{} failed before and takes no more messages", path.display())]
    Failed {
        /// The segment.
        path: PathBuf,
    },
    /// A message in the recording belongs to no sensor of the rig.
    #[error("{}: position {position} is on `{topic}`, which is no key of the rig", path.display())]
    UnknownTopic {
        /// The segment.
        path: PathBuf,
        /// The message's position.
        position: i64,
        /// Its topic.
        topic: String,
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
    /// Messages are missing between two segments.
    #[error("{}: begins at position {found}, but the segment before it ends before {expected}", path.display())]
    Gap {
        /// The later segment.
        path: PathBuf,
        /// The position that was due.
        expected: i64,
        /// The position that came.
        found: i64,
    },
}

impl RecordingError {
    pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        |source| Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn mcap(path: &std::path::Path) -> impl FnOnce(mcap::McapError) -> Self {
        |source| Self::Mcap { path: path.to_owned(), source }
    }
}
