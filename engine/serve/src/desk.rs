//! What happens to a question, whichever door it came through? It is prepared over the tables as its asker may see them, runs under
//! their limits in a task of its own, and is written down in `audit` when it has ended.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::common::ParamValues;
use futures::stream::{BoxStream, StreamExt as _};
use proprio_tables::{Catalog, Narrow, is_subscription};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::control::Control;
use crate::error::AskError;
use crate::question::{Live, Question};
use crate::source::{Asking, Tables};
use crate::users::{User, Users};

/// Longer statements are refused unread: planning takes memory and time that grow with them.
pub const STATEMENT_BYTES: usize = 64 << 10;
/// Queries of everybody that run at a time.
const QUERIES: usize = 16;
/// Live queries of everybody at a time; one that is not read costs nothing.
const LIVE: usize = 256;
/// How long a query waits for others to end.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a live query is answered when no engine runs.
const AT_REST: &str = "SUBSCRIBE follows a running engine, and here are the tables on disk alone";
/// Batches of an answer that wait for who asked; then the query waits.
const AHEAD: usize = 2;
/// How long a wrong password takes at least, so that guessing is slow.
const WRONG: Duration = Duration::from_millis(300);
/// Passwords that are checked at a time: each takes a core for some ten milliseconds.
const CHECKS: usize = 2;

/// Failed logins of a minute that are written down one by one; the others are counted.
const REFUSALS: u64 = 60;
const MINUTE: Duration = Duration::from_secs(60);

/// Somebody at a door, who they say they are or not.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// Through which door.
    pub door: &'static str,
    /// From where.
    pub from: SocketAddr,
}

/// Somebody who may ask.
#[derive(Clone, Debug)]
pub struct Asker {
    /// Who.
    pub user: Arc<User>,
    /// Through which door, and from where.
    pub caller: Caller,
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
    live: Arc<Semaphore>,
    each: Mutex<HashMap<Option<String>, Arc<Semaphore>>>,
    checks: Semaphore,
    refusals: Mutex<Refusals>,
    /// Threads that queries keep busy, so that the doors' own stay free.
    queries: Handle,
    closing: watch::Receiver<bool>,
    control: Option<Control>,
}

impl Desk {
    /// Over tables, for users, with threads for queries, until `closing` says that the doors close.
    pub fn new(tables: Tables, users: Users, queries: Handle, closing: watch::Receiver<bool>, control: Option<Control>) -> Self {
        let [all, live] = [QUERIES, LIVE].map(|limit| Arc::new(Semaphore::new(limit)));
        let checks = Semaphore::new(CHECKS);
        Self { tables, users, all, live, each: Mutex::default(), checks, refusals: Mutex::default(), queries, closing, control }
    }

    /// Everybody who may ask.
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// Says when the doors close.
    pub fn closing(&self) -> watch::Receiver<bool> {
        self.closing.clone()
    }

    /// The way to the rig, where one runs.
    pub fn control(&self) -> Option<&Control> {
        self.control.as_ref()
    }

    /// The user with a password.
    ///
    /// # Errors
    /// [`AskError::Unknown`], after a while.
    pub async fn with_password(self: &Arc<Self>, caller: Caller, name: &str, password: &str) -> Result<Arc<User>, AskError> {
        let permit = self.checks.acquire().await.map_err(|_| AskError::Closing)?;
        let (desk, login) = (self.clone(), (name.to_owned(), password.to_owned()));
        let checked = tokio::task::spawn_blocking(move || desk.users.with_password(&login.0, &login.1)).await;
        drop(permit);
        match checked.ok().flatten() {
            Some(user) => Ok(user),
            None => Err(self.unknown(caller, Some(name)).await),
        }
    }

    /// The user with a token.
    ///
    /// # Errors
    /// [`AskError::Unknown`], after a while.
    pub async fn with_token(&self, caller: Caller, token: &str) -> Result<Arc<User>, AskError> {
        match self.users.with_token(token) {
            Some(user) => Ok(user),
            None => Err(self.unknown(caller, None).await),
        }
    }

    /// What a wrong name, password or token is answered with, after a while; it is written down with the name that was given.
    pub async fn unknown(&self, caller: Caller, name: Option<&str>) -> AskError {
        let before = self.refusals.lock().expect("nothing panics while it holds the refusals").count();
        if let Some(uncounted) = before {
            self.tables.refused(caller, name, uncounted);
        }
        tokio::time::sleep(WRONG).await;
        AskError::Unknown
    }

    /// Every table as it stands now and as the asker may see it.
    ///
    /// # Errors
    /// When the tables can't be read.
    pub async fn catalog(&self, asker: &Asker) -> Result<Catalog, AskError> {
        let catalog = self.tables.catalog().await?;
        Ok(seen_by(&asker.user, &catalog))
    }

    /// Whether the tables can be read.
    ///
    /// # Errors
    /// When they can't.
    pub async fn ready(&self) -> Result<(), AskError> {
        self.tables.catalog().await?;
        Ok(())
    }

    /// Follows what a statement gives: a `SUBSCRIBE` as it stands, a SELECT from now on.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn follow(&self, asker: &Asker, sql: &str) -> Result<Asked, AskError> {
        let no_parameters = ParamValues::List(Vec::new());
        if is_subscription(sql) {
            return self.ask(asker, sql, no_parameters).await;
        }
        self.ask(asker, &format!("SUBSCRIBE {sql}"), no_parameters).await
    }

    /// Asks one statement.
    ///
    /// # Errors
    /// [`AskError`]; it is in `audit` as well.
    pub async fn ask(&self, asker: &Asker, sql: &str, parameters: ParamValues) -> Result<Asked, AskError> {
        let question = self.plan(asker, sql).await?;
        self.start(asker, sql, question, parameters, None).await
    }

    /// Checks and plans one statement.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn plan(&self, asker: &Asker, sql: &str) -> Result<Question, AskError> {
        let planned = async {
            check_length(sql)?;
            if !is_subscription(sql) {
                return Ok(Question::Once(self.catalog(asker).await?.prepare(sql).await?));
            }
            let Tables::Running(store) = &self.tables else { return Err(AskError::Request(AT_REST.to_owned())) };
            let user = asker.user.clone();
            let narrow: Narrow = Arc::new(move |catalog: &Catalog| seen_by(&user, catalog));
            Ok(Question::Live(Live::plan(store.clone(), sql, narrow).await?))
        };
        planned.await.map_err(|error| self.refused(asker, sql, error))
    }

    /// Writes down that a statement was refused before it could run, and hands the reason on.
    pub fn refused(&self, asker: &Asker, sql: &str, error: AskError) -> AskError {
        let outcome = error.to_string();
        self.tables.audit(&Asking { asker, sql, rows: 0, took: Duration::ZERO, outcome: &outcome });
        error
    }

    /// Starts a statement that is planned: under its asker's limits, and within `time` when that is shorter. A live query has its limit of
    /// memory alone.
    ///
    /// # Errors
    /// [`AskError`]; it is in `audit` as well.
    pub async fn start(
        &self,
        asker: &Asker,
        sql: &str,
        question: Question,
        parameters: ParamValues,
        time: Option<Duration>,
    ) -> Result<Asked, AskError> {
        let is_live = question.is_live();
        let permits = match self.permits(asker, is_live).await {
            Ok(permits) => permits,
            Err(error) => return Err(self.refused(asker, sql, error)),
        };
        let limit = asker.user.limits.time();
        let time = (!is_live).then(|| time.map_or(limit, |time| time.min(limit)));
        let most = if is_live { u64::MAX } else { asker.user.limits.rows };
        let (sender, batches) = mpsc::channel(AHEAD);
        let (started, schema) = oneshot::channel();
        let (ended, mut end) = oneshot::channel();
        let rows = Arc::new(AtomicU64::new(0));
        let left = sender.clone();
        let query = run(question, parameters, most, started, sender, rows.clone());
        let mut query = self.queries.spawn(async move {
            let _until_it_really_ends = permits;
            query.await
        });
        let (tables, asker, sql, mut closing) = (self.tables.clone(), asker.clone(), sql.to_owned(), self.closing.clone());
        // A task of its own watches: in the midst of a batch a query hears nothing.
        tokio::spawn(async move {
            let begun = Instant::now();
            let outcome = tokio::select! {
                outcome = &mut query => outcome.unwrap_or_else(|stopped| Err(AskError::Broken(stopped.to_string()))),
                () = left.closed() => Err(AskError::Cancelled),
                seconds = over(time) => Err(AskError::Time { seconds }),
                _ = closing.wait_for(|closing| *closing) => Err(AskError::Closing),
            };
            query.abort();
            let text = outcome.as_ref().map_or_else(ToString::to_string, |()| "done".to_owned());
            let rows = rows.load(Ordering::Relaxed);
            tables.audit(&Asking { asker: &asker, sql: &sql, rows, took: begun.elapsed(), outcome: &text });
            // Who has gone doesn't ask how it ended.
            let _ = ended.send(outcome);
        });
        // The query counts as left when this future is dropped: `batches` goes with it.
        let failed = |outcome: Result<Result<(), AskError>, _>| {
            outcome.map_or(AskError::Closing, |outcome| outcome.err().unwrap_or(AskError::Closing))
        };
        tokio::select! {
            biased;
            schema = schema => match schema {
                Ok(schema) => Ok(Asked { schema, batches: answer(batches, end) }),
                Err(_) => Err(failed(end.await)),
            },
            outcome = &mut end => Err(failed(outcome)),
        }
    }

    async fn permits(&self, asker: &Asker, is_live: bool) -> Result<Vec<OwnedSemaphorePermit>, AskError> {
        if is_live {
            return Ok(vec![permit(self.live.clone(), "everybody's live", LIVE).await?]);
        }
        let limit = asker.user.limits.queries;
        let own = {
            let mut each = self.each.lock().expect("nothing panics while it holds the users' permits");
            each.entry(asker.user.name.clone()).or_insert_with(|| Arc::new(Semaphore::new(limit))).clone()
        };
        let own = permit(own, "your", limit).await?;
        Ok(vec![own, permit(self.all.clone(), "everybody's", QUERIES).await?])
    }
}

/// Failed logins of this minute: who guesses fills no disk.
#[derive(Default)]
struct Refusals {
    since: Option<Instant>,
    told: u64,
    untold: u64,
}

impl Refusals {
    /// Counts one in. If it is to be written down, gives how many were not since the last that was.
    fn count(&mut self) -> Option<u64> {
        if self.since.is_none_or(|since| since.elapsed() >= MINUTE) {
            (self.since, self.told) = (Some(Instant::now()), 0);
        }
        if self.told == REFUSALS {
            self.untold += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

/// What of a catalog a user may see, within the memory that their queries may have.
fn seen_by(user: &User, catalog: &Catalog) -> Catalog {
    catalog.seen_by(&user.access).with_memory(user.limits.memory_mib << 20)
}

async fn permit(of: Arc<Semaphore>, whose: &'static str, limit: usize) -> Result<OwnedSemaphorePermit, AskError> {
    let permit = tokio::time::timeout(PATIENCE, of.acquire_owned()).await;
    permit.map_err(|_| AskError::Busy { whose, limit })?.map_err(|_| AskError::Closing)
}

/// Ends when the time is over, and tells how long that was; never without one.
async fn over(time: Option<Duration>) -> f64 {
    match time {
        Some(time) => {
            tokio::time::sleep(time).await;
            time.as_secs_f64()
        }
        None => std::future::pending().await,
    }
}

async fn run(
    question: Question,
    parameters: ParamValues,
    limit: u64,
    started: oneshot::Sender<SchemaRef>,
    sender: mpsc::Sender<RecordBatch>,
    rows: Arc<AtomicU64>,
) -> Result<(), AskError> {
    let mut answer = question.start(parameters).await?;
    // Who has gone is noticed by their channel.
    let _ = started.send(answer.schema.clone());
    while let Some(batch) = answer.batches.next().await {
        let batch = batch?;
        let taken = batch.num_rows() as u64;
        if rows.load(Ordering::Relaxed) + taken > limit {
            return Err(AskError::Rows { rows: limit });
        }
        sender.send(batch).await.map_err(|_| AskError::Cancelled)?;
        rows.fetch_add(taken, Ordering::Relaxed);
    }
    Ok(())
}

type End = oneshot::Receiver<Result<(), AskError>>;

/// What waits in the channel, then how the query ended. A query that was stopped may still be in the midst of a batch: it isn't waited for.
fn answer(batches: mpsc::Receiver<RecordBatch>, end: End) -> BoxStream<'static, Result<RecordBatch, AskError>> {
    let rows = futures::stream::unfold((batches, Some(end)), |(mut batches, end)| async move {
        let mut end = end?;
        tokio::select! {
            biased;
            Some(batch) = batches.recv() => return Some((Ok(batch), (batches, Some(end)))),
            outcome = &mut end => if let Err(error) = outcome.unwrap_or(Err(AskError::Closing)) {
                return Some((Err(error), (batches, None)));
            },
        }
        // It has ended well, and what it sent last may have come in between.
        let (ended, none) = oneshot::channel();
        let _ = ended.send(Ok(()));
        batches.recv().await.map(|batch| (Ok(batch), (batches, Some(none))))
    });
    rows.fuse().boxed()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_guesses_is_counted_and_fills_nothing() {
        let mut refusals = Refusals::default();
        assert!((0..REFUSALS).all(|_| refusals.count() == Some(0)));
        assert!((0..3).all(|_| refusals.count().is_none()));
        refusals.since = refusals.since.and_then(|since| since.checked_sub(MINUTE));
        assert_eq!((refusals.count(), refusals.count()), (Some(3), Some(0)));
    }
}
