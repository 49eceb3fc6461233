//! Who answers: the engine that runs, with every row up to now, or the tables on disk when none does?

use std::time::Duration;

use anyhow::Context as _;
use arrow_array::RecordBatch;
use proprio_tables::{Place, Reader};
use proprio_zenoh::{Session, SessionOptions, open_client, sql};

use crate::commands::connect::ConnectArgs;
use crate::place::DataArgs;
use crate::running::Running;

/// How long the engine may take to be found when only the data directory says that it runs.
const NEARBY: Duration = Duration::from_secs(2);
/// How long the engine may take to be found when the command line names it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who is asked.
pub enum Asked {
    /// A running engine.
    Engine {
        /// The network.
        session: Session,
        /// The rig's name, or `*`.
        rig: String,
        /// How long an answer may take.
        patience: Duration,
    },
    /// The tables of a place, as they stand at each question.
    Resting(Place),
}

impl Asked {
    /// The engine that the command line names; else the one that has the data directory open; else the tables, where they lie.
    ///
    /// # Errors
    /// When a named engine can't be found.
    pub async fn find(network: &ConnectArgs, rig: Option<&str>, data: &DataArgs, patience: Duration) -> anyhow::Result<Self> {
        let engine = |session, rig: &str| Self::Engine { session, rig: rig.to_owned(), patience };
        if network.is_given() {
            let session = open_client(&network.options(), PATIENCE).await.context("no engine was found")?;
            return Ok(engine(session, rig.unwrap_or("*")));
        }
        if data.is_of_data()
            && let Some(running) = Running::find(&data.data)
        {
            let options = SessionOptions { connect: vec![running.endpoint.clone()], ..SessionOptions::default() };
            match open_client(&options, NEARBY).await {
                Ok(session) => return Ok(engine(session, rig.unwrap_or(&running.rig))),
                Err(error) => {
                    tracing::warn!("the engine at {} can't be reached ({error}); reading what it has committed", running.endpoint);
                }
            }
        }
        Ok(Self::Resting(data.place()?))
    }

    /// Asks one statement; the answer has at least one batch.
    ///
    /// # Errors
    /// When it is refused, or no answer comes.
    pub async fn ask(&self, statement: &str) -> anyhow::Result<Vec<RecordBatch>> {
        match self {
            Self::Engine { session, rig, patience } => Ok(sql::query(session, rig, statement, *patience).await?),
            Self::Resting(place) => Ok(Reader::open(place).await?.query(statement).await?.collect().await?),
        }
    }

    /// Asks no more.
    pub async fn close(self) {
        if let Self::Engine { session, .. } = self
            && let Err(error) = session.close().await
        {
            tracing::debug!("zenoh did not close: {error}");
        }
    }
}
