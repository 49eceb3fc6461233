//! What does a live query give: the rows of a SELECT as they come, each once, when it is final?

mod followers;
mod hold;
mod plan;
mod run;
mod source;
mod statement;

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, new_null_array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use futures::stream::{BoxStream, StreamExt};
use proprio_core::TimeNs;
use proprio_core::schema::{FieldExt, column};

use crate::catalog::{Answer, Catalog};
use crate::error::TablesError;
use crate::store::Store;
pub(crate) use followers::{Bell, Followers};
use statement::Statement;
pub use statement::is_subscription;

/// What is left of a catalog for somebody.
pub type Narrow = Arc<dyn Fn(&Catalog) -> Catalog + Send + Sync>;

/// A live query. Nothing is worked out but what its reader asks for, so that one that never reads costs nothing.
pub struct Subscription {
    /// Columns of its rows.
    pub schema: SchemaRef,
    /// What comes; ends with the store, or with an error.
    pub events: BoxStream<'static, Result<Event, TablesError>>,
    progress: bool,
}

/// What comes of a live query.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Rows, in the subscription's columns.
    Rows(RecordBatch),
    /// How far the rows before this have come; at most ten a second, and none unless `WITH PROGRESS` asks for it.
    Progress(Progress),
}

/// How far a live query has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Every row of the tables up to this position has been looked at.
    pub position: i64,
    /// Every row of the open session at or before this time has been given, or waits in an open window; `None` when its tables
    /// have no watermark or no session is open.
    pub watermark_ns: Option<TimeNs>,
    /// Rows of the tables so far that were not looked at: they came faster than they were read, or after their window.
    pub dropped: u64,
}

/// Columns that tell of progress where there are rows alone.
const PROGRESS: [&str; 3] = ["progress_position", "progress_watermark_ns", "progress_dropped"];

impl Store {
    /// Begins a live query: `SUBSCRIBE [FROM '<time>' | WITH SNAPSHOT] [WITH PROGRESS] [TAIL <n> MB | BLOCK] <SELECT>`.
    ///
    /// * Rows appended after this instant are given once each, in the order they were appended in, whatever is committed meanwhile.
    ///   `FROM` gives those of this time or later that are there already first, and `WITH SNAPSHOT` all; these in no order.
    ///   Runs that queries don't show are not shown here either.
    /// * A grouping by a window of time gives each window once, whole, when the rig's watermark has passed it, or when its session
    ///   ends, as operators do. Without `FROM` or `WITH SNAPSHOT` the first is the one that is open now, from its first row on;
    ///   `FROM` begins with the window that the time is in.
    /// * Tables that are joined are looked up as they stand when the followed rows are read: they hold at least what was appended
    ///   before these.
    /// * What a slow reader misses is dropped and counted: beyond 8 MiB of new rows a table, or what `TAIL` says. `BLOCK` misses
    ///   none, and ends with [`TablesError::FellBehind`] when more than memory has room for would wait: the writer never waits.
    ///
    /// # Errors
    /// As [`Catalog::query`]; [`TablesError::NotLive`] when rows wouldn't be final.
    pub async fn subscribe(&self, sql: &str) -> Result<Subscription, TablesError> {
        self.subscribe_within(sql, Arc::new(Catalog::clone)).await
    }

    /// As [`subscribe`](Self::subscribe), over what `narrow` leaves of each catalog: what it hides is not there for the live query,
    /// whether it was there before or comes later.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub async fn subscribe_within(&self, sql: &str, narrow: Narrow) -> Result<Subscription, TablesError> {
        let statement = Statement::parse(sql)?;
        self.refresh().await;
        let progress = statement.progress;
        let live = run::Live::begin(self.inner.clone(), statement, narrow).await?;
        let schema = live.schema();
        let events = futures::stream::try_unfold(live, |mut live| async move { Ok(live.next().await?.map(|event| (event, live))) });
        Ok(Subscription { schema, events: events.boxed(), progress })
    }

    /// Checks a live query as [`subscribe_within`](Self::subscribe_within) does, and begins nothing; gives the columns of its
    /// [answer](Subscription::into_answer).
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub async fn subscribable(&self, sql: &str, narrow: &Narrow) -> Result<SchemaRef, TablesError> {
        let statement = Statement::parse(sql)?;
        self.refresh().await;
        let schema = run::Live::check(&self.inner, &statement, narrow).await?;
        Ok(if statement.progress { with_progress(&schema) } else { schema })
    }
}

impl Subscription {
    /// The same as an answer without an end. Asked `WITH PROGRESS` it has three columns more, `progress_position`,
    /// `progress_watermark_ns` and `progress_dropped`, which are null in every row but those that tell of progress.
    pub fn into_answer(self) -> Answer {
        if !self.progress {
            let rows = |event| async move {
                match event {
                    Ok(Event::Rows(rows)) => Some(Ok(rows)),
                    Ok(Event::Progress(_)) => None,
                    Err(error) => Some(Err(error)),
                }
            };
            return Answer { schema: self.schema, batches: self.events.filter_map(rows).boxed() };
        }
        let schema = with_progress(&self.schema);
        let columns = schema.clone();
        let batches = self.events.map(move |event| Ok(one_row_kind(&columns, event?)?));
        Answer { schema, batches: batches.boxed() }
    }
}

/// The columns, and those that tell of progress.
fn with_progress(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let told =
        PROGRESS.map(|name| if name == PROGRESS[1] { column(name, DataType::Int64).unit("ns") } else { column(name, DataType::Int64) });
    Arc::new(Schema::new(fields.chain(told).collect::<Vec<Field>>()))
}

/// Rows with nulls for progress, or progress with nulls for the rows' columns.
fn one_row_kind(schema: &SchemaRef, event: Event) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let nulls = |field: &Arc<Field>, rows: usize| new_null_array(field.data_type(), rows);
    let (own, told) = schema.fields().split_at(schema.fields().len() - PROGRESS.len());
    let columns: Vec<ArrayRef> = match event {
        Event::Rows(rows) => {
            let none = told.iter().map(|field| nulls(field, rows.num_rows()));
            rows.columns().iter().cloned().chain(none).collect()
        }
        Event::Progress(Progress { position, watermark_ns, dropped }) => {
            let values = [Some(position), watermark_ns, i64::try_from(dropped).ok()];
            let told = values.map(|value| Arc::new(Int64Array::from(vec![value])) as ArrayRef);
            own.iter().map(|field| nulls(field, 1)).chain(told).collect()
        }
    };
    RecordBatch::try_new(schema.clone(), columns)
}
