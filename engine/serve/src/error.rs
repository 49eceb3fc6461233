//! What can go wrong at a door, and how each protocol names it.

use std::net::SocketAddr;
use std::path::PathBuf;

use proprio_tables::TablesError;

/// Why the doors were not opened.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The users file holds a mistake.
    #[error("{}: {reason}", path.display())]
    Users {
        /// The file.
        path: PathBuf,
        /// The mistake.
        reason: String,
    },
    /// A certificate or key can't be used.
    #[error("{}: {reason}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An address beyond this machine, without what that takes.
    #[error("{address} is reached from other machines, which takes {missing}; or serve 127.0.0.1 alone")]
    Beyond {
        /// The address.
        address: std::net::IpAddr,
        /// What is missing.
        missing: &'static str,
    },
    /// An address that can't be listened on.
    #[error("{address} can't be listened on: {source}; give another port, or 0 for any that is free")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// No thread could be started.
    #[error("no threads for the doors: {source}")]
    Threads {
        /// What the system said.
        source: std::io::Error,
    },
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// What the tables say.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// Name, password or token is wrong.
    #[error("wrong user name, password or token")]
    Unknown,
    /// It has taken too long.
    #[error("the query was stopped: it took longer than {seconds} s, counted until its last row is taken")]
    Time {
        /// The limit.
        seconds: f64,
    },
    /// It has too many rows.
    #[error("the query was stopped: its answer has more than {rows} rows; aggregate, or add LIMIT")]
    Rows {
        /// The limit.
        rows: u64,
    },
    /// Too much is asked at a time.
    #[error("{whose} {limit} queries run already; try again when one has ended")]
    Busy {
        /// Whose limit it is.
        whose: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Whoever asked has cancelled it.
    #[error("the query was cancelled")]
    Cancelled,
    /// The doors are closing.
    #[error("the engine stops, and with it the query")]
    Closing,
    /// The query ran into a bug.
    #[error("the query met a bug, and nothing else was harmed: {0}")]
    Broken(String),
    /// What was asked can't be read.
    #[error("{0}")]
    Request(String),
}

/// What kind of refusal it is; each door has its own word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Who asks is not known.
    Unknown,
    /// A statement that would change something.
    ReadOnly,
    /// No such table.
    NoTable,
    /// No such column.
    NoColumn,
    /// A statement that can't be parsed, planned or run.
    Statement,
    /// A request that can't be read.
    Request,
    /// Beyond the memory limit.
    Memory,
    /// Beyond the time limit.
    Time,
    /// Beyond the row limit.
    Rows,
    /// Too many at a time.
    Busy,
    /// Cancelled.
    Cancelled,
    /// The engine stops.
    Closing,
    /// The tables can't be read.
    Internal,
}

impl AskError {
    /// What kind of refusal it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Tables(error) => match error {
                TablesError::ReadOnly { .. } => Kind::ReadOnly,
                TablesError::NoTable { .. } => Kind::NoTable,
                TablesError::NoColumn { .. } => Kind::NoColumn,
                TablesError::Sql { .. } | TablesError::NotLive { .. } | TablesError::Endless => Kind::Statement,
                TablesError::Memory { .. } | TablesError::WideWindow { .. } | TablesError::FellBehind { .. } => Kind::Memory,
                _ => Kind::Internal,
            },
            Self::Unknown => Kind::Unknown,
            Self::Time { .. } => Kind::Time,
            Self::Rows { .. } => Kind::Rows,
            Self::Busy { .. } => Kind::Busy,
            Self::Cancelled => Kind::Cancelled,
            Self::Closing => Kind::Closing,
            Self::Broken(_) => Kind::Internal,
            Self::Request(_) => Kind::Request,
        }
    }
}

impl Kind {
    /// PostgreSQL's code (appendix A of its manual).
    pub fn sqlstate(self) -> &'static str {
        match self {
            Self::Unknown => "28P01",
            Self::ReadOnly => "25006",
            Self::NoTable => "42P01",
            Self::NoColumn => "42703",
            Self::Statement => "42601",
            Self::Request => "08P01",
            Self::Memory => "53200",
            Self::Time | Self::Cancelled => "57014",
            Self::Rows => "54000",
            Self::Busy => "53300",
            Self::Closing => "57P01",
            Self::Internal => "XX000",
        }
    }
}
