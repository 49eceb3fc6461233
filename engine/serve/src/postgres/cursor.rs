//! How do an answer's batches become rows on the wire, all at once or some at a time?

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use datafusion_postgres::arrow_pg::datatypes::{arrow_schema_to_pg_fields, encode_recordbatch};
use futures::FutureExt as _;
use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use pgwire::api::portal::Format;
use pgwire::api::results::{FieldInfo, QueryResponse};
use pgwire::error::PgWireResult;
use tokio::sync::watch;

use super::refusal;
use crate::desk::Asked;
use crate::error::AskError;

/// An answer, until it is cancelled.
pub struct Rows {
    schema: SchemaRef,
    batches: Batches,
    /// Whether it has no end.
    is_live: bool,
}

type Batches = BoxStream<'static, PgWireResult<RecordBatch>>;

/// An answer of which some rows are taken at a time.
pub struct Cursor {
    rows: Rows,
    /// What is left of the newest batch.
    rest: Option<RecordBatch>,
}

impl Rows {
    /// The rows of an answer, until `cancelled` counts on.
    pub fn new(asked: Asked, is_live: bool, cancelled: watch::Receiver<u64>) -> Self {
        let batches = futures::stream::unfold(Some((asked.batches, cancelled)), |state| async move {
            let (mut batches, mut cancelled) = state?;
            tokio::select! {
                batch = batches.next() => match batch? {
                    Ok(batch) => Some((Ok(batch), Some((batches, cancelled)))),
                    Err(error) => Some((Err(refusal(&error)), None)),
                },
                // Dropping the batches ends the query.
                _ = cancelled.changed() => Some((Err(refusal(&AskError::Cancelled)), None)),
            }
        });
        Self { schema: asked.schema, batches: batches.fuse().boxed(), is_live }
    }

    /// The columns, and the rows as they come.
    pub fn into_parts(self) -> (SchemaRef, Batches) {
        (self.schema, self.batches)
    }

    /// As a response in the columns' formats.
    pub fn respond(self, format: &Format) -> PgWireResult<QueryResponse> {
        let fields = fields(&self.schema, format)?;
        let encoded = fields.clone();
        let rows = self.batches.map_ok(move |batch| futures::stream::iter(encode_recordbatch(encoded.clone(), batch)));
        Ok(QueryResponse::new(fields, rows.try_flatten()))
    }
}

impl Cursor {
    /// Before the first row of an answer.
    pub fn before(rows: Rows) -> Self {
        Self { rows, rest: None }
    }

    /// Its columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.rows.schema
    }

    /// The next rows, fewer when it ends. A live query's never ends: once it has given some, nobody waits for more.
    pub async fn take(&mut self, count: usize) -> PgWireResult<Vec<RecordBatch>> {
        let (mut taken, mut wanted) = (Vec::new(), count);
        while wanted > 0 {
            let batch = match self.rest.take() {
                Some(batch) => batch,
                None => {
                    let mut next = self.rows.batches.try_next();
                    let waits = !self.rows.is_live || taken.is_empty();
                    match if waits { Some(next.await?) } else { (&mut next).now_or_never().transpose()? }.flatten() {
                        Some(batch) => batch,
                        None => break,
                    }
                }
            };
            let here = wanted.min(batch.num_rows());
            self.rest = (here < batch.num_rows()).then(|| batch.slice(here, batch.num_rows() - here));
            taken.push(batch.slice(0, here));
            wanted -= here;
        }
        Ok(taken)
    }
}

/// Rows that are there, as a response.
pub fn respond(schema: &Schema, batches: Vec<RecordBatch>, format: &Format) -> PgWireResult<QueryResponse> {
    let fields = fields(schema, format)?;
    let encoded = fields.clone();
    let rows = batches.into_iter().flat_map(move |batch| encode_recordbatch(encoded.clone(), batch));
    Ok(QueryResponse::new(fields, futures::stream::iter(rows.collect::<Vec<_>>())))
}

/// The columns as the protocol has them.
pub fn fields(schema: &Schema, format: &Format) -> PgWireResult<Arc<Vec<FieldInfo>>> {
    Ok(Arc::new(arrow_schema_to_pg_fields(schema, format, None)?))
}
