//! What keeps a suite from measuring?

use std::path::PathBuf;

use proprio_core::finding::PlanFinding;
use proprio_files::FileError;

use crate::suites::SUITES;

/// Why a suite gave no figures.
#[derive(Debug, thiserror::Error)]
pub enum AccuracyError {
    /// There is no such suite.
    #[error("there is no suite `{name}`; there are {}", known())]
    NoSuite {
        /// The one that was asked for.
        name: String,
    },
    /// A recording is not on this machine: the suite is skipped.
    #[error("{} is not there", path.display())]
    Absent {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A recording can't be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A recording doesn't hold what the suite needs.
    #[error("{}: {what}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// An operator refused its configuration or its inputs.
    #[error("{op} can't be planned: {findings:?}")]
    Plan {
        /// The operator.
        op: String,
        /// Why.
        findings: Vec<PlanFinding>,
    },
    /// The simulation refused its options.
    #[error("the simulation: {0}")]
    Simulation(String),
}

fn known() -> String {
    SUITES.iter().map(|suite| suite.name).collect::<Vec<_>>().join(", ")
}
