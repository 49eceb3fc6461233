//! What keeps a work from being measured?

use std::io;
use std::path::PathBuf;

use proprio_accuracy::AccuracyError;

use crate::works::WORKS;

/// Why a work, or one of its peers, gave no figure.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// There is no such work.
    #[error("there is no work `{name}`; there are {}", known())]
    NoWork {
        /// The one that was asked for.
        name: String,
    },
    /// Its data can't be had.
    #[error(transparent)]
    Data(#[from] AccuracyError),
    /// Its pipeline is refused.
    #[error("the pipeline can't be planned:\n{findings}")]
    Plan {
        /// What is wrong, for people.
        findings: String,
    },
    /// Samples that the wire can't carry.
    #[error("samples of `{sensor}` can't be encoded")]
    Encode {
        /// Their sensor.
        sensor: String,
    },
    /// A program can't be made ready, or doesn't do what it is told.
    #[error("{program}: {what}")]
    Peer {
        /// The program.
        program: String,
        /// What it said.
        what: String,
    },
    /// A file can't be written or read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn known() -> String {
    WORKS.iter().map(|work| work.name).collect::<Vec<_>>().join(", ")
}
