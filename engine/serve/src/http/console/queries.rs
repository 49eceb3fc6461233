//! Which live queries does a page need, and what comes of them?

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array as _, RecordBatch};
use futures::StreamExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::series::Series;
use super::{Channel, Followed, Show};
use crate::desk::{Asked, Asker, Desk};
use crate::error::AskError;
use crate::http::answer::{Form, document};

/// Rows of a table that wait for a page at most.
const TAIL_MB: u64 = 4;
/// Columns in front of the values.
const BEFORE: usize = 2;

/// What comes of a live query.
pub enum Came {
    /// Rows to be drawn.
    Drawn {
        /// The `show` that they were asked for by.
        generation: u32,
        /// Which of its tables.
        table: usize,
        rows: RecordBatch,
    },
    /// Rows to be listed, a JSON array.
    Listed { id: String, rows: String },
    /// No more comes.
    Failed { of: String, detail: String },
}

/// A live query in a task of its own; dropping it ends it.
pub struct Query(JoinHandle<()>);

impl Drop for Query {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What is drawn, table by table.
#[derive(Default)]
pub struct Drawn {
    generation: u32,
    bucket_ns: i64,
    tables: Vec<Table>,
    /// Values that were not sent.
    dropped: u64,
}

struct Table {
    _query: Query,
    channels: Vec<(Channel, Series)>,
    /// Rows that the live query has missed so far.
    missed: u64,
}

impl Drawn {
    /// Begins to follow the columns of a page. What was dropped before stays counted.
    pub fn begin(show: Show, desk: &Arc<Desk>, asker: &Asker, came: &mpsc::Sender<Came>, dropped: u64) -> Self {
        let Show { generation, bucket_ns, channels } = show;
        let mut by_table: BTreeMap<String, Vec<Channel>> = BTreeMap::new();
        channels.into_iter().for_each(|channel| by_table.entry(channel.table.clone()).or_default().push(channel));
        let tables = by_table.into_iter().enumerate().map(|(table, (name, channels))| {
            let make = move |rows| Some(Came::Drawn { generation, table, rows });
            let query = follow(desk, asker, came, name.clone(), statement(&name, &channels), move |_, rows| make(rows));
            Table { _query: query, channels: channels.into_iter().map(|channel| (channel, Series::default())).collect(), missed: 0 }
        });
        Self { generation, bucket_ns: bucket_ns.max(1), tables: tables.collect(), dropped }
    }

    /// Takes rows of a table, or how many it has missed.
    pub fn take(&mut self, generation: u32, table: usize, rows: &RecordBatch) {
        let Some(table) = (generation == self.generation).then(|| self.tables.get_mut(table)).flatten() else { return };
        let columns = rows.columns();
        let Some((times, values)) = columns.first().and_then(|times| times.as_primitive_opt::<Int64Type>()).zip(columns.get(BEFORE..))
        else {
            return;
        };
        if let Some(missed) = columns.last().and_then(|told| told.as_primitive_opt::<Int64Type>()).filter(|told| told.is_valid(0)) {
            let missed = missed.value(0).cast_unsigned();
            self.dropped += missed.saturating_sub(table.missed) * table.channels.len() as u64;
            table.missed = missed;
            return;
        }
        let keys = columns[1].as_string_opt::<i32>();
        for ((channel, series), values) in table.channels.iter_mut().zip(values) {
            let Some(values) = values.as_primitive_opt::<Float64Type>() else { continue };
            for row in 0..rows.num_rows() {
                let is_its = channel.key.as_deref().is_none_or(|key| keys.is_some_and(|keys| keys.is_valid(row) && keys.value(row) == key));
                if is_its && times.is_valid(row) {
                    let value = if values.is_valid(row) { values.value(row) as f32 } else { f32::NAN };
                    self.dropped += series.take(times.value(row).div_euclid(self.bucket_ns), value);
                }
            }
        }
    }

    /// A frame of what waits; none when nothing does.
    pub fn frame(&mut self, sequence: u32) -> Option<Vec<u8>> {
        let mut frame = super::frame::Frame::new(self.generation, sequence, self.bucket_ns, self.dropped);
        for (channel, series) in self.tables.iter_mut().flat_map(|table| &mut table.channels).filter(|(_, series)| !series.is_empty()) {
            frame.add(channel.id, &series.drain());
        }
        frame.finish()
    }

    /// Values that were not sent.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// Begins to follow rows that are listed.
pub fn list(followed: &Followed, desk: &Arc<Desk>, asker: &Asker, came: &mpsc::Sender<Came>) -> Query {
    let Followed { id, sql } = followed.clone();
    let of = id.clone();
    follow(desk, asker, came, of, sql, move |asked, rows| {
        let json = document(Form::Json, &asked.schema, Some(&rows)).ok()?;
        Some(Came::Listed { id: id.clone(), rows: String::from_utf8(json).ok()? })
    })
}

/// The columns of a table as numbers, after time and key.
fn statement(table: &str, channels: &[Channel]) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let key = if channels.iter().any(|channel| channel.key.is_some()) { "sensor" } else { "session" };
    let values: Vec<String> = channels.iter().map(|channel| format!("CAST({} AS DOUBLE)", quoted(&channel.column))).collect();
    let aliased = values.iter().enumerate().map(|(at, value)| format!(", {value} AS value_{at}"));
    format!("SUBSCRIBE WITH PROGRESS TAIL {TAIL_MB} MB SELECT time_ns, {key}{} FROM {}", aliased.collect::<String>(), quoted(table))
}

fn follow(
    desk: &Arc<Desk>,
    asker: &Asker,
    came: &mpsc::Sender<Came>,
    of: String,
    sql: String,
    make: impl Fn(&Asked, RecordBatch) -> Option<Came> + Send + Sync + 'static,
) -> Query {
    let (desk, asker, came) = (desk.clone(), asker.clone(), came.clone());
    Query(tokio::spawn(async move {
        let followed = async {
            let mut asked = desk.follow(&asker, &sql).await?;
            while let Some(rows) = asked.batches.next().await {
                let Some(made) = make(&asked, rows?) else { continue };
                if came.send(made).await.is_err() {
                    break;
                }
            }
            Ok::<(), AskError>(())
        };
        let detail = followed.await.map_or_else(|error| error.to_string(), |()| "the engine stops".to_owned());
        // Who has gone needs no reason.
        let _ = came.send(Came::Failed { of, detail }).await;
    }))
}
