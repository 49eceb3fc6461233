//! How a running rig is asked: `<rig>/@control`, a typed request in JSON, a typed answer back.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError};
use proprio_core::control::{Reply, Request, key};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use zenoh::bytes::Encoding;
use zenoh::query::{ConsolidationMode, Query, Queryable};
use zenoh::{Session, Wait};

use crate::WireError;

/// Requests that may wait for the run loop.
const WAITING: usize = 64;
/// Pause before a request that found nobody is made again.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// Longer requests are refused unread.
const REQUEST_BYTES: usize = 64 << 10;

/// A request, and the way to answer it. A call that is dropped unanswered leaves the asker without a reply.
#[derive(Debug)]
pub struct Call {
    /// What is asked.
    pub request: Request,
    query: Query,
    /// Where the answer comes from: the question may have gone to every rig.
    key: Arc<str>,
}

impl Call {
    /// Answers. From any thread but a zenoh callback.
    ///
    /// # Errors
    /// When the asker is gone.
    pub fn reply(self, reply: &Reply) -> Result<(), WireError> {
        let json = serde_json::to_vec(reply).expect("a reply has only text keys and integers, which JSON always takes");
        let answer = self.query.reply(self.key.as_ref(), json).encoding(Encoding::APPLICATION_JSON);
        answer.wait().map_err(WireError::zenoh("answering a request"))
    }
}

/// Serves `<rig>/@control` until it is dropped.
pub struct ControlServer {
    _queryable: Queryable<()>,
    task: JoinHandle<()>,
}

impl ControlServer {
    /// Declares the key; the calls come out of the receiver, for the run loop's own thread. To be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// When zenoh refuses.
    pub async fn open(session: &Session, rig: &str) -> Result<(Self, Receiver<Call>), WireError> {
        let key = key::control(rig);
        let (callback, queries) = mpsc::channel(WAITING);
        let (calls, receiver) = crossbeam_channel::bounded(WAITING);
        let take = move |query: Query| {
            if callback.try_send(query).is_err() {
                tracing::warn!("more requests than can wait; one stays without an answer");
            }
        };
        let queryable = session.declare_queryable(&key).callback(take).await.map_err(WireError::zenoh(format!("declaring {key}")))?;
        Ok((Self { _queryable: queryable, task: tokio::spawn(serve(queries, calls, key.into())) }, receiver))
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Asks a running rig; `*` asks whichever answers first.
///
/// # Errors
/// When nothing answers within `patience`, or the answer is none.
pub async fn request(session: &Session, rig: &str, request: &Request, patience: Duration) -> Result<Reply, WireError> {
    let key = key::control(rig);
    let json = serde_json::to_vec(request).expect("a request has only text keys and integers, which JSON always takes");
    let doing = || WireError::zenoh(format!("asking {key}"));
    let give_up = Instant::now() + patience;
    let reply = loop {
        let left = give_up.saturating_duration_since(Instant::now());
        let get = session.get(&key).payload(json.as_slice()).encoding(Encoding::APPLICATION_JSON).consolidation(ConsolidationMode::None);
        let replies = get.timeout(left).await.map_err(doing())?;
        if let Ok(reply) = replies.recv_async().await {
            break reply;
        }
        // An end before its time means that nobody has declared the key yet, so that nobody has the request.
        if Instant::now() + ASK_AGAIN >= give_up {
            let awaited = format!("an answer on {key}: is `proprio run` up, with rig `{rig}`?");
            return Err(WireError::Timeout { awaited, after: patience });
        }
        sleep(ASK_AGAIN).await;
    };
    match reply.result() {
        Ok(sample) => serde_json::from_slice(&sample.payload().to_bytes())
            .map_err(|error| WireError::Answer { from: key.clone(), detail: error.to_string() }),
        Err(error) => Err(WireError::Refused(String::from_utf8_lossy(&error.payload().to_bytes()).into_owned())),
    }
}

async fn serve(mut queries: mpsc::Receiver<Query>, calls: Sender<Call>, key: Arc<str>) {
    while let Some(query) = queries.recv().await {
        let bytes = query.payload().map(|payload| payload.to_bytes()).unwrap_or_default();
        let parsed = if bytes.len() > REQUEST_BYTES {
            Err(format!("the request has {} bytes; at most {REQUEST_BYTES} are taken", bytes.len()))
        } else {
            serde_json::from_slice::<Request>(&bytes).map_err(|error| format!("the request can't be read: {error}"))
        };
        drop(bytes);
        let (query, refusal) = match parsed {
            Err(reason) => (query, reason),
            Ok(request) => match calls.try_send(Call { request, query, key: key.clone() }) {
                Ok(()) => continue,
                Err(TrySendError::Full(call)) => (call.query, "the rig has too many requests waiting; try again".to_owned()),
                Err(TrySendError::Disconnected(call)) => (call.query, "the rig is stopping".to_owned()),
            },
        };
        if let Err(error) = query.reply_err(refusal).await {
            tracing::debug!(%error, "a refusal was not sent");
        }
    }
}
