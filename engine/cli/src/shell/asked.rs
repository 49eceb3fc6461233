//! Who answers: the engine that runs, with every row up to now, one elsewhere, or the tables on disk when none does?

use std::time::Duration;

use anyhow::{Context as _, bail};
use arrow_array::RecordBatch;
use futures::TryStreamExt as _;
use proprio_serve::{Login, Remote, RemoteAnswer, RemoteError};
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
        /// Its Flight SQL door on this machine.
        door: Option<String>,
    },
    /// An engine elsewhere, asked through its doors.
    Remote {
        /// Which.
        remote: Remote,
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
        let engine = |session, rig: &str, door| Self::Engine { session, rig: rig.to_owned(), patience, door };
        if network.is_given() {
            let session = open_client(&network.options(), PATIENCE).await.context("no engine was found")?;
            return Ok(engine(session, rig.unwrap_or("*"), None));
        }
        if data.is_of_data()
            && let Some(running) = Running::find(&data.data)
        {
            let options = SessionOptions { connect: vec![running.endpoint.clone()], ..SessionOptions::default() };
            match open_client(&options, NEARBY).await {
                Ok(session) => {
                    let door = running.doors.as_ref().map(|doors| doors.flight.clone());
                    return Ok(engine(session, rig.unwrap_or(&running.rig), door));
                }
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
            Self::Engine { session, rig, patience, .. } => Ok(sql::query(session, rig, statement, *patience).await?),
            Self::Remote { remote, patience } => {
                let answer = async {
                    let answer = remote.ask(statement).await?;
                    let mut batches: Vec<RecordBatch> = answer.batches.try_collect().await?;
                    if batches.is_empty() {
                        batches.push(RecordBatch::new_empty(answer.schema));
                    }
                    anyhow::Ok(batches)
                };
                let late = || format!("no answer within {} s; `--timeout` gives it longer", patience.as_secs());
                tokio::time::timeout(*patience, answer).await.with_context(late)?
            }
            Self::Resting(place) => Ok(Reader::open(place).await?.query(statement).await?.collect().await?),
        }
    }

    /// Starts a `SUBSCRIBE`.
    ///
    /// # Errors
    /// When it is refused, or nothing runs that could be followed.
    pub async fn follow(&self, statement: &str) -> anyhow::Result<RemoteAnswer> {
        match self {
            Self::Remote { remote, .. } => Ok(remote.ask(statement).await?),
            Self::Engine { door: Some(door), .. } => {
                let remote = Remote::connect(door.parse()?, &Login::Nobody, None).await?;
                match remote.ask(statement).await {
                    Err(error @ RemoteError::Login { .. }) => {
                        Err(error).with_context(|| format!("ask it as somebody it knows, with `--remote {door} --user NAME`"))
                    }
                    answer => Ok(answer?),
                }
            }
            Self::Engine { .. } => bail!("SUBSCRIBE goes through the doors of the engine: name them, with `--remote grpc://HOST:PORT`"),
            Self::Resting(place) => bail!("SUBSCRIBE follows a running engine, and none writes {place}"),
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
