//! Which right rows does a merge still need? Of each group the newest, in the batches that hold them.

use std::cmp::Ordering;

use arrow_array::{Array, ArrayRef, RecordBatch, UInt64Array, new_null_array};
use arrow_ord::ord::{DynComparator, make_comparator};
use arrow_row::OwnedRow;
use arrow_schema::{Schema, SortOptions};
use arrow_select::interleave::interleave;
use arrow_select::take::take;
use datafusion::common::Result;

/// Right rows that are read before those that nothing needs are let go; few in tests, so that they are let go there.
const HELD_ROWS: usize = if cfg!(test) { 16 } else { 64 << 10 };
/// Where rows that match nothing are taken from: the first batch is one row of nulls.
pub(super) const NOTHING: (usize, usize) = (0, 0);

/// Batches of right rows, and the newest row of each group in them.
pub(super) struct Held {
    /// Columns of batches; the first batch is [`NOTHING`], the last one is being read.
    batches: Vec<Vec<ArrayRef>>,
    /// Rows read since some were let go.
    read: usize,
    bytes: usize,
    /// The leading keys of the rows in `newest`.
    key: Option<OwnedRow>,
    newest: Vec<Newest>,
    /// Compares the rows of two batches.
    comparators: Option<((usize, usize), Vec<DynComparator>)>,
}

#[derive(Clone, Copy)]
struct Newest {
    time: i64,
    at: (usize, usize),
}

const NONE: Newest = Newest { time: i64::MIN, at: NOTHING };

impl Held {
    pub(super) fn new(schema: &Schema) -> Self {
        let nothing = schema.fields().iter().map(|field| new_null_array(field.data_type(), 1)).collect();
        Self { batches: vec![nothing], read: 0, bytes: 0, key: None, newest: Vec::new(), comparators: None }
    }

    /// Takes in the batch that is read from now on.
    pub(super) fn push(&mut self, batch: &RecordBatch) {
        self.read += batch.num_rows();
        self.bytes += bytes(batch.columns());
        self.batches.push(batch.columns().to_vec());
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_full(&self) -> bool {
        self.read > HELD_ROWS + 4 * self.newest.len()
    }

    /// Forgets the groups of other leading keys.
    pub(super) fn enter(&mut self, key: Option<&OwnedRow>) {
        if self.key.as_ref() != key {
            self.key = key.cloned();
            self.newest.fill(NONE);
        }
    }

    /// Makes room for so many groups.
    pub(super) fn widen(&mut self, groups: usize) {
        if groups > self.newest.len() {
            self.newest.resize(groups, NONE);
        }
    }

    /// A row of the batch that is being read is now the newest of its group.
    #[inline]
    pub(super) fn remember(&mut self, group: usize, time: i64, row: usize) -> Result<()> {
        let at = (self.batches.len() - 1, row);
        let before = self.newest[group];
        if before.time == time && before.at != NOTHING && !self.is_greater(at, before.at)? {
            return Ok(());
        }
        self.newest[group] = Newest { time, at };
        Ok(())
    }

    /// The newest row of a group, unless it is too far from `time`.
    #[inline]
    pub(super) fn found(&self, group: usize, time: i64, farthest: Option<i128>) -> (usize, usize) {
        let newest = self.newest[group];
        let is_near = farthest.is_none_or(|farthest| i128::from(time) - i128::from(newest.time) <= farthest);
        if is_near { newest.at } else { NOTHING }
    }

    /// The columns of some rows.
    pub(super) fn gather(&self, rows: &[(usize, usize)]) -> Result<Vec<ArrayRef>> {
        let batch = rows.first().map_or(0, |(batch, _)| *batch);
        let columns = 0..self.batches[0].len();
        if rows.iter().all(|row| row.0 == batch) {
            let indices: UInt64Array = rows.iter().map(|(_, row)| *row as u64).collect::<Vec<_>>().into();
            return Ok(columns.map(|column| take(&self.batches[batch][column], &indices, None)).collect::<Result<_, _>>()?);
        }
        let of = |column: usize| {
            let parts: Vec<&dyn Array> = self.batches.iter().map(|batch| batch[column].as_ref()).collect();
            interleave(&parts, rows)
        };
        Ok(columns.map(of).collect::<Result<_, _>>()?)
    }

    /// Keeps the newest rows and, when it is still being read, the last batch.
    pub(super) fn let_go(&mut self, is_reading: bool) -> Result<()> {
        let held: Vec<usize> = (0..self.newest.len()).filter(|group| self.newest[*group].at != NOTHING).collect();
        let rows: Vec<(usize, usize)> = held.iter().map(|group| self.newest[*group].at).collect();
        let kept = self.gather(&rows)?;
        for (row, group) in held.into_iter().enumerate() {
            self.newest[group].at = (1, row);
        }
        let last = self.batches.pop().filter(|_| is_reading);
        self.batches.truncate(1);
        self.batches.extend([kept].into_iter().chain(last));
        self.bytes = self.batches.iter().map(|columns| bytes(columns)).sum();
        self.read = 0;
        self.comparators = None;
        Ok(())
    }

    /// Whether the row at `a` comes after the one at `b` by its values, column by column, null first.
    fn is_greater(&mut self, a: (usize, usize), b: (usize, usize)) -> Result<bool> {
        if self.comparators.as_ref().is_none_or(|(of, _)| *of != (a.0, b.0)) {
            let pairs = self.batches[a.0].iter().zip(&self.batches[b.0]);
            let comparators = pairs.map(|(a, b)| make_comparator(a.as_ref(), b.as_ref(), SortOptions::default()));
            self.comparators = Some(((a.0, b.0), comparators.collect::<Result<_, _>>()?));
        }
        let comparators = self.comparators.iter().flat_map(|(_, comparators)| comparators);
        let order = comparators.map(|compare| compare(a.1, b.1)).find(|order| *order != Ordering::Equal);
        Ok(order == Some(Ordering::Greater))
    }
}

/// What the rows of the columns take, whatever else their buffers hold.
fn bytes(columns: &[ArrayRef]) -> usize {
    columns.iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or_default()).sum()
}
