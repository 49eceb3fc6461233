//! What happens to a question, whichever door it came through? It is prepared over the tables as its asker may see them, runs under
//! their limits in a task of its own, and is written down in `audit` when it has ended.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::common::ParamValues;
use futures::stream::{BoxStream, StreamExt as _};
use proprio_tables::{Catalog, Prepared};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::error::AskError;
use crate::source::{Asking, Tables};
use crate::users::{User, Users};

/// Longer statements are refused unread: planning takes memory and time that grow with them.
pub const STATEMENT_BYTES: usize = 64 << 10;
/// Queries of everybody that run at a time.
const QUERIES: usize = 16;
/// How long a query waits for others to end.
const PATIENCE: Duration = Duration::from_secs(5);
/// Batches of an answer that wait for who asked; then the query waits.
const AHEAD: usize = 2;
/// How long a wrong password takes at least, so that guessing is slow.
const WRONG: Duration = Duration::from_millis(300);
/// Passwords that are checked at a time: each takes a core for some ten milliseconds.
const CHECKS: usize = 2;

/// Somebody at a door.
#[derive(Clone, Debug)]
pub struct Asker {
    /// Who.
    pub user: Arc<User>,
    /// Through which door.
    pub door: &'static str,
    /// From where.
    pub from: SocketAddr,
}

/// An answer on its way. Dropping it cancels the query.
pub struct Asked {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows, as they come; an error ends them.
    pub batches: BoxStream<'static, Result<RecordBatch, AskError>>,
}

/// Where every door asks.
pub struct Desk {
    tables: Tables,
    users: Users,
    all: Arc<Semaphore>,
    each: Mutex<HashMap<Option<String>, Arc<Semaphore>>>,
    checks: Semaphore,
    closing: watch::Receiver<bool>,
}

impl Desk {
    /// Over tables, for users, until `closing` says that the doors close.
    pub fn new(tables: Tables, users: Users, closing: watch::Receiver<bool>) -> Self {
        let (all, checks) = (Arc::new(Semaphore::new(QUERIES)), Semaphore::new(CHECKS));
        Self { tables, users, all, each: Mutex::default(), checks, closing }
    }

    /// Everybody who may ask.
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// Says when the doors close.
    pub fn closing(&self) -> watch::Receiver<bool> {
        self.closing.clone()
    }

    /// The user with a password.
    ///
    /// # Errors
    /// [`AskError::Unknown`], after a while.
    pub async fn with_password(self: &Arc<Self>, name: &str, password: &str) -> Result<Arc<User>, AskError> {
        let permit = self.checks.acquire().await.map_err(|_| AskError::Closing)?;
        let (desk, name, password) = (self.clone(), name.to_owned(), password.to_owned());
        let checked = tokio::task::spawn_blocking(move || desk.users.with_password(&name, &password)).await;
        drop(permit);
        match checked.ok().flatten() {
            Some(user) => Ok(user),
            None => Err(self.unknown().await),
        }
    }

    /// The user with a token.
    ///
    /// # Errors
    /// [`AskError::Unknown`], after a while.
    pub async fn with_token(&self, token: &str) -> Result<Arc<User>, AskError> {
        match self.users.with_token(token) {
            Some(user) => Ok(user),
            None => Err(self.unknown().await),
        }
    }

    /// What a wrong name, password or token is answered with, after a while.
    pub async fn unknown(&self) -> AskError {
        tokio::time::sleep(WRONG).await;
        AskError::Unknown
    }

    /// Every table as it stands now and as the asker may see it.
    ///
    /// # Errors
    /// When the tables can't be read.
    pub async fn catalog(&self, asker: &Asker) -> Result<Catalog, AskError> {
        let catalog = self.tables.catalog().await?;
        Ok(catalog.seen_by(&asker.user.access).with_memory(asker.user.limits.memory_mib << 20))
    }

    /// Asks one statement.
    ///
    /// # Errors
    /// [`AskError`]; it is in `audit` as well.
    pub async fn ask(&self, asker: &Asker, sql: &str, parameters: ParamValues) -> Result<Asked, AskError> {
        let prepared = async {
            check_length(sql)?;
            Ok(self.catalog(asker).await?.prepare(sql).await?)
        };
        match prepared.await {
            Ok(prepared) => self.start(asker, sql, prepared, parameters, None).await,
            Err(error) => Err(self.refused(asker, sql, error)),
        }
    }

    /// Writes down that a statement was refused before it could run, and hands the reason on.
    pub fn refused(&self, asker: &Asker, sql: &str, error: AskError) -> AskError {
        let outcome = error.to_string();
        self.tables.audit(&Asking { asker, sql, rows: 0, took: Duration::ZERO, outcome: &outcome });
        error
    }

    /// Starts a statement that is prepared: under its asker's limits, and within `time` when that is shorter.
    ///
    /// # Errors
    /// [`AskError`]; it is in `audit` as well.
    pub async fn start(
        &self,
        asker: &Asker,
        sql: &str,
        prepared: Prepared,
        parameters: ParamValues,
        time: Option<Duration>,
    ) -> Result<Asked, AskError> {
        let permits = match self.permits(asker).await {
            Ok(permits) => permits,
            Err(error) => return Err(self.refused(asker, sql, error)),
        };
        let limit = asker.user.limits.time();
        let time = time.map_or(limit, |time| time.min(limit));
        let (sender, batches) = mpsc::channel(AHEAD);
        let (started, schema) = oneshot::channel();
        let (ended, end) = oneshot::channel();
        let (tables, asker, sql, mut closing) = (self.tables.clone(), asker.clone(), sql.to_owned(), self.closing.clone());
        tokio::spawn(async move {
            let (begun, mut rows) = (Instant::now(), 0);
            let outcome = tokio::select! {
                outcome = run(prepared, parameters, asker.user.limits.rows, started, &sender, &mut rows) => outcome,
                () = sender.closed() => Err(AskError::Cancelled),
                () = tokio::time::sleep(time) => Err(AskError::Time { seconds: time.as_secs_f64() }),
                _ = closing.wait_for(|closing| *closing) => Err(AskError::Closing),
            };
            drop(permits);
            let text = outcome.as_ref().map_or_else(ToString::to_string, |()| "done".to_owned());
            tables.audit(&Asking { asker: &asker, sql: &sql, rows, took: begun.elapsed(), outcome: &text });
            // Who has gone doesn't ask how it ended.
            let _ = ended.send(outcome);
        });
        // The query counts as left when this future is dropped: `batches` goes with it.
        match schema.await {
            Ok(schema) => Ok(Asked { schema, batches: answer(batches, end) }),
            Err(_) => Err(end.await.map_or(AskError::Closing, |outcome| outcome.err().unwrap_or(AskError::Closing))),
        }
    }

    async fn permits(&self, asker: &Asker) -> Result<[OwnedSemaphorePermit; 2], AskError> {
        let limit = asker.user.limits.queries;
        let own = {
            let mut each = self.each.lock().expect("nothing panics while it holds the users' permits");
            each.entry(asker.user.name.clone()).or_insert_with(|| Arc::new(Semaphore::new(limit))).clone()
        };
        let own = permit(own, "your", limit).await?;
        Ok([own, permit(self.all.clone(), "everybody's", QUERIES).await?])
    }
}

async fn permit(of: Arc<Semaphore>, whose: &'static str, limit: usize) -> Result<OwnedSemaphorePermit, AskError> {
    let permit = tokio::time::timeout(PATIENCE, of.acquire_owned()).await;
    permit.map_err(|_| AskError::Busy { whose, limit })?.map_err(|_| AskError::Closing)
}

async fn run(
    prepared: Prepared,
    parameters: ParamValues,
    limit: u64,
    started: oneshot::Sender<SchemaRef>,
    sender: &mpsc::Sender<RecordBatch>,
    rows: &mut u64,
) -> Result<(), AskError> {
    let mut answer = prepared.start(parameters).await?;
    // Who has gone is noticed by their channel.
    let _ = started.send(answer.schema.clone());
    while let Some(batch) = answer.batches.next().await {
        let batch = batch?;
        if *rows + batch.num_rows() as u64 > limit {
            return Err(AskError::Rows { rows: limit });
        }
        let held = batch.num_rows() as u64;
        sender.send(batch).await.map_err(|_| AskError::Cancelled)?;
        *rows += held;
    }
    Ok(())
}

/// What waits in the channel, then how the query ended.
fn answer(
    batches: mpsc::Receiver<RecordBatch>,
    end: oneshot::Receiver<Result<(), AskError>>,
) -> BoxStream<'static, Result<RecordBatch, AskError>> {
    let rows = futures::stream::unfold((batches, Some(end)), |(mut batches, end)| async move {
        if let Some(batch) = batches.recv().await {
            return Some((Ok(batch), (batches, end)));
        }
        let outcome = end?.await.unwrap_or(Err(AskError::Closing));
        Some((Err(outcome.err()?), (batches, None)))
    });
    rows.boxed()
}

/// Whether a statement is short enough to be read.
///
/// # Errors
/// When it isn't.
pub fn check_length(sql: &str) -> Result<(), AskError> {
    if sql.len() <= STATEMENT_BYTES {
        return Ok(());
    }
    Err(AskError::Request(format!("the statement has {} bytes; at most {STATEMENT_BYTES} are taken", sql.len())))
}
