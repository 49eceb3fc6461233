//! What can go wrong on the network.

use std::path::PathBuf;
use std::time::Duration;

/// Why something on the network failed.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The zenoh configuration is not one.
    #[error("{}: {detail}", path.display())]
    Configuration {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A session could not be opened.
    #[error("can't open a zenoh session ({endpoints}): {detail}")]
    Open {
        /// The endpoints tried.
        endpoints: String,
        /// zenoh's words.
        detail: String,
    },
    /// zenoh refused an operation.
    #[error("{doing}: {detail}")]
    Zenoh {
        /// What was being done.
        doing: String,
        /// zenoh's words.
        detail: String,
    },
    /// A sensor's key is none that one sensor can publish on.
    #[error("sensor `{sensor}`: `{key}` is no key to publish on: {detail}")]
    Key {
        /// The sensor.
        sensor: String,
        /// Its key.
        key: String,
        /// What is wrong.
        detail: String,
    },
    /// Something that was waited for did not come.
    #[error("waited {} s for {awaited}", after.as_secs_f64())]
    Timeout {
        /// What was waited for.
        awaited: String,
        /// How long.
        after: Duration,
    },
    /// The other side answered that it failed.
    #[error("{0}")]
    Refused(String),
    /// The other side answered something that is no answer.
    #[error("the answer from {from} can't be read: {detail}")]
    Answer {
        /// The key asked.
        from: String,
        /// What is wrong.
        detail: String,
    },
    /// Samples that are not in the sensor's wire schema.
    #[error("sensor `{sensor}`: {detail}")]
    Packet {
        /// The sensor.
        sensor: String,
        /// What is wrong.
        detail: String,
    },
}

impl WireError {
    /// Wraps zenoh's error with what was being done.
    pub(crate) fn zenoh(doing: impl Into<String>) -> impl FnOnce(zenoh::Error) -> Self {
        |error| Self::Zenoh { doing: doing.into(), detail: error.to_string() }
    }
}
