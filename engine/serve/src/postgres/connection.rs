//! What is kept of a connection: who it is, what it has set, and what it has open?

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use datafusion::common::ParamValues;
use pgwire::error::PgWireResult;
use proprio_tables::{TablesError, is_subscription};
use tokio::sync::watch;

use super::catalog::{Own, PgCatalog};
use super::command::Command;
use super::cursor::{Cursor, Rows};
use super::{Door, command, refusal};
use crate::desk::{self, Asker};
use crate::error::AskError;
use crate::question::Question;
use crate::scram::Challenge;

/// One client.
pub struct Connection {
    pub(super) door: Door,
    pub(super) from: SocketAddr,
    pub(super) asker: OnceLock<Asker>,
    pub(super) login: Mutex<Option<(String, Challenge)>>,
    pub(super) key: OnceLock<(i32, Vec<u8>)>,
    pub(super) settings: Mutex<BTreeMap<String, String>>,
    pub(super) cursors: tokio::sync::Mutex<HashMap<String, Cursor>>,
    /// Counts what was cancelled.
    pub(super) cancelled: watch::Sender<u64>,
    catalog: PgCatalog,
    /// Itself, for the parts of the protocol that hold it.
    own: Weak<Self>,
}

impl Connection {
    /// A client that has not logged in.
    pub fn new(door: Door, from: SocketAddr) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            own: own.clone(),
            door,
            from,
            asker: OnceLock::new(),
            login: Mutex::default(),
            key: OnceLock::new(),
            settings: Mutex::new(command::settings()),
            cursors: tokio::sync::Mutex::default(),
            cancelled: watch::Sender::new(0),
            catalog: PgCatalog::default(),
        })
    }

    pub(super) fn shared(&self) -> Arc<Self> {
        self.own.upgrade().expect("whoever asks it holds it")
    }

    pub(super) fn asker(&self) -> PgWireResult<&Asker> {
        self.asker.get().ok_or_else(|| refusal(&AskError::Unknown))
    }

    pub(super) fn setting(&self, name: &str) -> Option<String> {
        self.settings.lock().expect("nothing panics while it holds the settings").get(name).cloned()
    }

    /// What a statement is.
    pub(super) fn read(&self, statement: &str) -> PgWireResult<Command> {
        let asker = self.asker()?;
        command::command(statement).map_err(|error| refusal(&self.door.desk.refused(asker, statement, error)))
    }

    /// Prepares a question over the tables as they stand now.
    pub(super) async fn prepare(&self, sql: &str) -> PgWireResult<Question> {
        let asker = self.asker()?;
        if is_subscription(sql) {
            return self.door.desk.plan(asker, sql).await.map_err(|error| refusal(&error));
        }
        let prepared = async {
            desk::check_length(sql)?;
            if command::would_write(sql) {
                // Some of these don't even parse here.
                return Err(TablesError::ReadOnly { statement: sql.split_whitespace().take(2).collect::<Vec<_>>().join(" ") }.into());
            }
            let catalog = self.door.desk.catalog(asker).await?;
            let settings = self.settings.lock().expect("nothing panics while it holds the settings").clone();
            let own = Own { user: asker.user.name.clone().unwrap_or_else(|| "anonymous".to_owned()), settings };
            Ok(Question::Once(self.catalog.prepare(&catalog, sql, own).await?))
        };
        prepared.await.map_err(|error| refusal(&self.door.desk.refused(asker, sql, error)))
    }

    /// Runs a question that is prepared.
    pub(super) async fn run(&self, sql: &str, question: Question, parameters: ParamValues) -> PgWireResult<Rows> {
        let is_live = question.is_live();
        let mut cancelled = self.cancelled.subscribe();
        let time = self.setting("statement_timeout").and_then(|text| command::milliseconds(&text)).filter(|ms| *ms > 0);
        let starting = self.door.desk.start(self.asker()?, sql, question, parameters, time.map(Duration::from_millis));
        let asked = tokio::select! {
            asked = starting => asked.map_err(|error| refusal(&error))?,
            _ = cancelled.changed() => return Err(refusal(&AskError::Cancelled)),
        };
        Ok(Rows::new(asked, is_live, cancelled))
    }

    /// Can be cancelled from now on, by who knows its key.
    pub(super) fn register(&self, key: (i32, Vec<u8>)) {
        self.door.cancels.lock().insert(key.clone(), self.cancelled.clone());
        // It logs in once.
        let _ = self.key.set(key);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(key) = self.key.get() {
            self.door.cancels.lock().remove(key);
        }
    }
}
