//! How SQL is asked over the network: `<rig>/@sql`, the text in, Arrow IPC streams back.
//!
//! Each reply is a whole IPC stream, so any Arrow library reads it: the first holds the schema alone, the following ones
//! a batch each. The last reply is JSON, `{"chunks": n}`, by which the asker knows that none is missing. An error is a
//! zenoh error reply with its text.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, Schema, SchemaRef};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use proprio_core::control::key;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use zenoh::Session;
use zenoh::bytes::Encoding;
use zenoh::query::{ConsolidationMode, Query, Queryable};

use crate::{WireError, wire};

/// An answer on its way.
pub struct SqlAnswer {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows; an error ends it.
    pub batches: BoxStream<'static, Result<RecordBatch, String>>,
}

/// Answers a query, or says in words for people what is wrong with it.
pub type SqlHandler = Arc<dyn Fn(String) -> BoxFuture<'static, Result<SqlAnswer, String>> + Send + Sync>;

/// Queries that may wait, queries that run at a time, and about how long a reply may be.
const WAITING: usize = 64;
const RUNNING: usize = 8;
const REPLY_BYTES: usize = 1 << 20;
/// Longer queries are refused unread.
const QUERY_BYTES: usize = 1 << 20;

/// Serves `<rig>/@sql` until it is dropped.
pub struct SqlServer {
    _queryable: Queryable<()>,
    task: JoinHandle<()>,
}

#[derive(Serialize, Deserialize)]
struct Trailer {
    chunks: u64,
}

impl SqlServer {
    /// Declares the key. To be called within a tokio runtime, on which the handler runs.
    ///
    /// # Errors
    /// When zenoh refuses.
    pub async fn open(session: &Session, rig: &str, handler: SqlHandler) -> Result<Self, WireError> {
        let key = key::sql(rig);
        let (callback, queries) = mpsc::channel(WAITING);
        let take = move |query: Query| {
            if callback.try_send(query).is_err() {
                tracing::warn!("more queries than can wait; one stays without an answer");
            }
        };
        let queryable = session.declare_queryable(&key).callback(take).await.map_err(WireError::zenoh(format!("declaring {key}")))?;
        Ok(Self { _queryable: queryable, task: tokio::spawn(serve(queries, handler, key.into())) })
    }
}

impl Drop for SqlServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Asks a running rig by its name. The answer has at least one batch, which is empty when there are no rows.
///
/// # Errors
/// When nothing answers within `patience`, the query is refused, or a part of the answer is missing.
pub async fn query(session: &Session, rig: &str, sql: &str, patience: Duration) -> Result<Vec<RecordBatch>, WireError> {
    let key = key::sql(rig);
    let timed_out = |awaited: String| WireError::Timeout { awaited, after: patience };
    let broken = |detail: String| WireError::Answer { from: key.clone(), detail };
    // Unbounded, because a reply that can't be taken stops the whole session; all of them end up in memory anyway.
    let (sender, mut replies) = mpsc::unbounded_channel();
    let get = session.get(&key).payload(sql).consolidation(ConsolidationMode::None).timeout(patience);
    get.callback(move |reply| drop(sender.send(reply))).await.map_err(WireError::zenoh(format!("asking {key}")))?;

    let (mut schema, mut batches, mut chunks) = (None, Vec::new(), 0);
    while let Some(reply) = replies.recv().await {
        let sample = reply.into_result().map_err(|error| {
            let text = String::from_utf8_lossy(&error.payload().to_bytes()).into_owned();
            // zenoh itself answers a query that ran out of time in this way.
            if text == "Timeout" { timed_out(format!("an answer on {key}")) } else { WireError::Refused(text) }
        })?;
        let bytes = sample.payload().to_bytes();
        if *sample.encoding() == Encoding::APPLICATION_JSON {
            let trailer: Trailer = serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
            let schema = schema.filter(|_| trailer.chunks == chunks);
            let schema: SchemaRef = schema.ok_or_else(|| broken(format!("{chunks} of {} parts came", trailer.chunks)))?;
            if batches.is_empty() {
                batches.push(RecordBatch::new_empty(schema));
            }
            return Ok(batches);
        }
        chunks += 1;
        let reader = StreamReader::try_new(bytes.as_ref(), None).map_err(|error| broken(error.to_string()))?;
        schema = Some(reader.schema());
        for batch in reader {
            batches.push(batch.map_err(|error| broken(error.to_string()))?);
        }
    }
    if chunks > 0 {
        return Err(broken(format!("it ended after {chunks} parts")));
    }
    Err(timed_out(format!("an answer on {key}: is `proprio run` up, with rig `{rig}`?")))
}

async fn serve(mut queries: mpsc::Receiver<Query>, handler: SqlHandler, key: Arc<str>) {
    let running = Arc::new(Semaphore::new(RUNNING));
    while let Some(query) = queries.recv().await {
        let Ok(permit) = running.clone().acquire_owned().await else { return };
        let (handler, key) = (handler.clone(), key.clone());
        tokio::spawn(async move {
            if let Err(reason) = answer(&query, &handler, &key).await
                && let Err(error) = query.reply_err(reason).await
            {
                tracing::debug!(%error, "a refusal was not sent");
            }
            drop(permit);
        });
    }
}

async fn answer(query: &Query, handler: &SqlHandler, key: &str) -> Result<(), String> {
    let sql = text(query)?;
    let SqlAnswer { schema, mut batches } = handler(sql).await?;
    let mut chunks = 1;
    reply(query, key, wire::ARROW, stream(&schema, None)?).await?;
    while let Some(batch) = batches.next().await {
        for part in parts(&batch?) {
            chunks += 1;
            reply(query, key, wire::ARROW, stream(&schema, Some(&part))?).await?;
        }
    }
    let trailer = serde_json::to_vec(&Trailer { chunks }).expect("an integer is always JSON");
    reply(query, key, wire::JSON, trailer).await
}

fn text(query: &Query) -> Result<String, String> {
    let bytes = query.payload().map(|payload| payload.to_bytes()).unwrap_or_default();
    if bytes.len() > QUERY_BYTES {
        return Err(format!("the query has {} bytes; at most {QUERY_BYTES} are taken", bytes.len()));
    }
    String::from_utf8(bytes.into_owned()).map_err(|_| "the query is no UTF-8 text".to_owned())
}

async fn reply(query: &Query, key: &str, encoding: &'static str, payload: Vec<u8>) -> Result<(), String> {
    query.reply(key, payload).encoding(encoding).await.map_err(|error| error.to_string())
}

fn stream(schema: &Schema, batch: Option<&RecordBatch>) -> Result<Vec<u8>, String> {
    let write = || -> Result<Vec<u8>, ArrowError> {
        let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
        batch.map_or(Ok(()), |batch| writer.write(batch))?;
        writer.into_inner()
    };
    write().map_err(|error| error.to_string())
}

/// Slices of about [`REPLY_BYTES`], so that no reply is much longer.
fn parts(batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> + '_ {
    let rows = batch.num_rows();
    let row_bytes = batch.get_array_memory_size() / rows.max(1);
    let step = (REPLY_BYTES / row_bytes.max(1)).max(1);
    (0..rows).step_by(step).map(move |start| batch.slice(start, step.min(rows - start)))
}
