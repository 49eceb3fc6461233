//! What can be wrong with a file, or between a file and a rig.

use std::path::{Path, PathBuf};

/// Why a file can't be read or played. Every message names the file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file can't be read at all.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file's bytes or columns are not what its format or the options promise.
    #[error("{}: {what}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        what: String,
    },
    /// One cell of a text table is not what its column holds.
    #[error("{}:{line}:{column}: {what}", path.display())]
    Cell {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Character in the line, from 1.
        column: usize,
        /// What is wrong.
        what: String,
    },
    /// The rig has a sensor that the file has not.
    #[error("{}: the rig `{rig}` has a sensor `{sensor}`, the file has {found}", path.display())]
    NoSensor {
        /// The file.
        path: PathBuf,
        /// The rig's name.
        rig: String,
        /// The rig's sensor.
        sensor: String,
        /// What the file has instead.
        found: String,
    },
    /// Rig and file disagree about a sensor.
    #[error("{}: sensor `{sensor}` of the rig `{rig}`: {difference}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The rig's name.
        rig: String,
        /// The sensor.
        sensor: String,
        /// What the rig says and what the file says.
        difference: String,
    },
}

impl FileError {
    pub(crate) fn format(path: &Path, what: impl Into<String>) -> Self {
        Self::Format { path: path.to_owned(), what: what.into() }
    }
}
