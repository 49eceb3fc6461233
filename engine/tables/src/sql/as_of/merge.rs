//! How are the rows of two ordered streams matched, in memory that doesn't grow with them?
//!
//! Both come in order of the leading keys and of time. For each left row the right stream is read up to its time; of every group the
//! newest right row is remembered. Right batches are held while rows of them are, and when they pile up, the remembered rows alone
//! move into a batch of their own.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_row::OwnedRow;
use arrow_schema::SchemaRef;
use datafusion::common::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use futures::StreamExt;

use super::exec::Matching;
use super::held::{Held, NOTHING};
use super::rows::{Reader, Rows};

/// The merge of two streams.
pub(super) struct Merge {
    left: SendableRecordBatchStream,
    right: SendableRecordBatchStream,
    matching: Arc<Matching>,
    schema: SchemaRef,
    reader: Reader,
    memory: MemoryReservation,
    /// The left batch that is being matched, and its run and row that come next.
    open: Option<Open>,
    cursor: Cursor,
    held: Held,
}

struct Open {
    rows: Rows,
    run: usize,
    row: usize,
    /// Rows before this one have come out.
    emitted: usize,
    /// Where the matches of the rows since then lie.
    found: Vec<(usize, usize)>,
}

/// How far the right stream has been read.
#[derive(Default)]
struct Cursor {
    rows: Option<Rows>,
    run: usize,
    row: usize,
}

impl Merge {
    pub(super) fn try_new(
        left: SendableRecordBatchStream,
        right: SendableRecordBatchStream,
        matching: Arc<Matching>,
        schema: SchemaRef,
        memory: MemoryReservation,
    ) -> Result<Self> {
        let reader = Reader::try_new(matching.clone(), &left.schema())?;
        let held = Held::new(right.schema().as_ref());
        Ok(Self { left, right, matching, schema, reader, memory, open: None, cursor: Cursor::default(), held })
    }

    /// The next rows of the answer.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let mut open = match self.open.take() {
                Some(open) => open,
                None => {
                    let Some(batch) = self.left.next().await.transpose()? else { return Ok(None) };
                    let rows = self.reader.left(batch)?;
                    let found = Vec::with_capacity(rows.batch.num_rows());
                    Open { rows, run: 0, row: 0, emitted: 0, found }
                }
            };
            self.match_rows(&mut open).await?;
            let answer = self.answer(&mut open)?;
            if self.held.is_full() {
                self.held.let_go(self.cursor.rows.is_some())?;
                self.account()?;
            }
            if open.row < open.rows.batch.num_rows() {
                self.open = Some(open);
            }
            if let Some(answer) = answer {
                return Ok(Some(answer));
            }
        }
    }

    /// Matches rows until the batch ends or too many right rows are held.
    async fn match_rows(&mut self, open: &mut Open) -> Result<()> {
        while let Some(run) = open.rows.runs.get(open.run) {
            let (key, end) = (run.key.clone(), run.rows.end);
            self.held.enter(key.as_ref());
            while open.row < end {
                let is_there = self.seek(key.as_ref()).await?;
                self.held.widen(self.reader.groups());
                self.step(open, end, is_there)?;
                if self.held.is_full() {
                    return Ok(());
                }
            }
            open.run += 1;
        }
        Ok(())
    }

    /// Moves to the next right rows with these leading keys that have not been read; false when there are none.
    async fn seek(&mut self, key: Option<&OwnedRow>) -> Result<bool> {
        loop {
            let Some(run) = self.cursor.rows.as_ref().and_then(|rows| rows.runs.get(self.cursor.run)) else {
                if !self.fetch().await? {
                    return Ok(false);
                }
                continue;
            };
            match run.key.as_ref().cmp(&key) {
                Ordering::Equal if self.cursor.row < run.rows.end => return Ok(true),
                Ordering::Greater => return Ok(false),
                _ => {
                    self.cursor.row = run.rows.end;
                    self.cursor.run += 1;
                }
            }
        }
    }

    async fn fetch(&mut self) -> Result<bool> {
        self.cursor = Cursor::default();
        while let Some(batch) = self.right.next().await.transpose()? {
            let rows = self.reader.right(batch)?;
            if rows.batch.num_rows() > 0 {
                self.held.push(&rows.batch);
                self.cursor.rows = Some(rows);
                self.account()?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Matches left rows up to `end`, or until the run of right rows at the cursor, if there is one, has been read.
    fn step(&mut self, open: &mut Open, end: usize, is_there: bool) -> Result<()> {
        let Matching { is_inclusive, farthest, .. } = *self.matching;
        let cursor = &mut self.cursor;
        let right = cursor.rows.as_ref().filter(|_| is_there);
        let read = right.map_or(0, |rows| rows.runs[cursor.run].rows.end);
        while open.row < end {
            if open.rows.whole.as_ref().is_some_and(|whole| whole.is_null(open.row)) {
                open.found.push(NOTHING);
                open.row += 1;
                continue;
            }
            let time = open.rows.times[open.row];
            if let Some(right) = right {
                while cursor.row < read {
                    let this = right.times[cursor.row];
                    if this > time || (this == time && !is_inclusive) {
                        break;
                    }
                    self.held.remember(right.group(cursor.row), this, cursor.row)?;
                    cursor.row += 1;
                }
                if cursor.row == read {
                    return Ok(());
                }
            }
            open.found.push(self.held.found(open.rows.group(open.row), time, farthest));
            open.row += 1;
        }
        Ok(())
    }

    /// The rows matched since the last answer.
    fn answer(&self, open: &mut Open) -> Result<Option<RecordBatch>> {
        let found = std::mem::take(&mut open.found);
        if found.is_empty() {
            return Ok(None);
        }
        let left = open.rows.batch.slice(open.emitted, found.len());
        open.emitted += found.len();
        let columns = left.columns().iter().cloned().chain(self.held.gather(&found)?).collect();
        Ok(Some(RecordBatch::try_new(self.schema.clone(), columns)?))
    }

    fn account(&mut self) -> Result<()> {
        self.memory.try_resize(self.held.bytes() + self.reader.bytes())
    }
}
