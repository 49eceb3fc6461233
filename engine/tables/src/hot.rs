//! Which rows of a table wait for the next commit, and which are kept beyond it for live queries?

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;

use crate::schema;

/// Small batches are joined from this many rows on, so that a query doesn't walk thousands of them.
const SEAL_ROWS: usize = 8192;
/// Or from this many batches on.
const SEAL_BATCHES: usize = 64;

/// Rows since the last commit, in the order of their positions.
#[derive(Debug, Default)]
pub(crate) struct Hot {
    /// Rows that are committed, and kept since someone follows the table.
    recent: VecDeque<Arc<HotBatch>>,
    recent_bytes: usize,
    /// Rows taken in so far, without those that were forgotten.
    taken: u64,
    sealed: Vec<Arc<HotBatch>>,
    tail: Vec<Arc<HotBatch>>,
    tail_rows: usize,
    bytes: usize,
}

/// Rows, and where in them each position ends.
#[derive(Debug)]
pub(crate) struct HotBatch {
    pub(crate) rows: RecordBatch,
    /// (position, rows up to its end), both ascending.
    ends: Vec<(i64, usize)>,
    bytes: usize,
}

impl Hot {
    /// Takes rows in.
    pub(crate) fn push(&mut self, rows: RecordBatch, position: i64) {
        let ends = vec![(position, rows.num_rows())];
        let batch = HotBatch::new(rows, ends);
        self.taken += batch.rows.num_rows() as u64;
        self.tail_rows += batch.rows.num_rows();
        self.bytes += batch.bytes;
        self.tail.push(Arc::new(batch));
        if self.tail_rows >= SEAL_ROWS || self.tail.len() >= SEAL_BATCHES {
            self.seal();
        }
    }

    /// Bytes of the rows.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Every row, as it stands now.
    pub(crate) fn pin(&self) -> Vec<Arc<HotBatch>> {
        self.sealed.iter().chain(&self.tail).cloned().collect()
    }

    /// The rows after one position and at or before another, if there are any.
    pub(crate) fn between(&self, after: Option<i64>, position: i64) -> Option<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        for batch in self.sealed.iter().chain(&self.tail) {
            let [from, to] = [after, Some(position)].map(|at| batch.rows_up_to(at));
            if to > from {
                batches.push(batch.rows.slice(from, to - from));
            }
        }
        (!batches.is_empty()).then_some(batches)
    }

    /// Rows taken in so far, without those that were forgotten.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// The rows after a position that are still in memory; those from before a change of the table's columns have the columns of
    /// then.
    pub(crate) fn after(&self, position: i64) -> Vec<Arc<HotBatch>> {
        let first = self.recent.partition_point(|batch| batch.position() <= position);
        let mut pieces: Vec<_> = self.recent.range(first..).filter_map(|batch| batch.after(position)).collect();
        for list in [&self.sealed, &self.tail] {
            let first = list.partition_point(|batch| batch.position() <= position);
            pieces.extend(list[first..].iter().filter_map(|batch| batch.after(position)));
        }
        pieces
    }

    /// Bytes of the rows that are kept for those who follow the table.
    pub(crate) fn recent_bytes(&self) -> usize {
        self.recent_bytes
    }

    /// Position of the oldest rows that are kept for those who follow the table.
    pub(crate) fn recent_position(&self) -> Option<i64> {
        self.recent.front().map(|batch| batch.position())
    }

    /// Lets the oldest of them go.
    pub(crate) fn release_oldest(&mut self) {
        self.recent_bytes -= self.recent.pop_front().map_or(0, |batch| batch.bytes);
    }

    /// Lets all of them go.
    pub(crate) fn release(&mut self) {
        self.recent.clear();
        self.recent_bytes = 0;
    }

    /// Gives every row the columns that its table has gained.
    pub(crate) fn widen(&mut self, schema: &SchemaRef) {
        self.change(|batch| Some(Arc::new(batch.widened(schema))));
    }

    /// Forgets the rows of some sessions, and gives their number.
    pub(crate) fn forget(&mut self, sessions: &[String]) -> usize {
        let rows = |hot: &Self| hot.pin().iter().map(|batch| batch.rows.num_rows()).sum::<usize>();
        let before = rows(self);
        self.change(|batch| batch.without(sessions));
        let forgotten = before - rows(self);
        let kept = |rows: &VecDeque<Arc<HotBatch>>| rows.iter().map(|batch| batch.rows.num_rows()).sum::<usize>();
        let before = kept(&self.recent);
        self.recent = self.recent.iter().filter_map(|batch| batch.without(sessions)).collect();
        self.recent_bytes = self.recent.iter().map(|batch| batch.bytes).sum();
        self.taken -= (forgotten + before - kept(&self.recent)) as u64;
        forgotten
    }

    /// The rows at or before `position` no longer wait; they are kept beyond it when someone follows the table.
    pub(crate) fn drop_up_to(&mut self, position: i64, followed: bool) {
        if followed {
            let gone = self.sealed.iter().chain(&self.tail).filter_map(|batch| batch.up_to(position));
            let gone: Vec<_> = gone.collect();
            self.recent_bytes += gone.iter().map(|batch| batch.bytes).sum::<usize>();
            self.recent.extend(gone);
        }
        self.change(|batch| batch.after(position));
    }

    fn change(&mut self, change: impl Fn(&Arc<HotBatch>) -> Option<Arc<HotBatch>>) {
        for list in [&mut self.sealed, &mut self.tail] {
            *list = list.iter().filter_map(&change).collect();
        }
        self.tail_rows = self.tail.iter().map(|batch| batch.rows.num_rows()).sum();
        self.bytes = self.sealed.iter().chain(&self.tail).map(|batch| batch.bytes).sum();
    }

    /// Joins the tail into one batch.
    fn seal(&mut self) {
        if self.tail.len() > 1 {
            let schema = self.tail[0].rows.schema();
            let joined = concat_batches(&schema, self.tail.iter().map(|batch| &batch.rows)).expect("a table's batches share its schema");
            let mut ends: Vec<(i64, usize)> = Vec::with_capacity(self.tail.len());
            let mut before = 0;
            for batch in &self.tail {
                ends.extend(batch.ends.iter().map(|(position, rows)| (*position, before + rows)));
                before += batch.rows.num_rows();
            }
            self.sealed.push(Arc::new(HotBatch::new(joined, ends)));
            self.tail.clear();
        } else {
            self.sealed.append(&mut self.tail);
        }
        self.tail_rows = 0;
    }
}

impl HotBatch {
    fn new(rows: RecordBatch, ends: Vec<(i64, usize)>) -> Self {
        Self { bytes: rows_bytes(&rows), rows, ends }
    }

    /// How many of the rows stand at or before a position.
    fn rows_up_to(&self, position: Option<i64>) -> usize {
        let cut = self.ends.partition_point(|(at, _)| Some(*at) <= position);
        if cut == 0 { 0 } else { self.ends[cut - 1].1 }
    }

    /// Position of the last row.
    fn position(&self) -> i64 {
        self.ends.last().map_or(i64::MIN, |(position, _)| *position)
    }

    /// About the bytes of the rows.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows with the columns that their table has gained.
    pub(crate) fn widened(&self, schema: &SchemaRef) -> Self {
        Self::new(schema::widened(&self.rows, schema), self.ends.clone())
    }

    /// What stands at or before a position.
    fn up_to(self: &Arc<Self>, position: i64) -> Option<Arc<Self>> {
        let rows = self.rows_up_to(Some(position));
        if rows == self.rows.num_rows() {
            return Some(self.clone());
        }
        let ends = self.ends.iter().filter(|(at, _)| *at <= position).copied().collect();
        (rows > 0).then(|| Arc::new(Self::new(self.rows.slice(0, rows), ends)))
    }

    /// What is left after a position.
    fn after(self: &Arc<Self>, position: i64) -> Option<Arc<Self>> {
        let gone = self.rows_up_to(Some(position));
        if gone == 0 {
            return Some(self.clone());
        }
        let ends: Vec<(i64, usize)> = self.ends.iter().filter(|(at, _)| *at > position).map(|(at, rows)| (*at, rows - gone)).collect();
        (!ends.is_empty()).then(|| Arc::new(Self::new(self.rows.slice(gone, self.rows.num_rows() - gone), ends)))
    }

    /// What is left without some sessions.
    fn without(&self, sessions: &[String]) -> Option<Arc<Self>> {
        let of = self.rows.column_by_name(schema::SESSION).expect("every table has its session").as_string::<i32>();
        let kept: Vec<bool> = (0..of.len()).map(|row| !sessions.iter().any(|session| session == of.value(row))).collect();
        let up_to = |rows: usize| kept[..rows].iter().filter(|kept| **kept).count();
        let ends: Vec<(i64, usize)> = self.ends.iter().map(|(at, rows)| (*at, up_to(*rows))).collect();
        let rows = filter_record_batch(&self.rows, &BooleanArray::from(kept)).expect("a choice for each row");
        (rows.num_rows() > 0).then(|| Arc::new(Self::new(rows, ends)))
    }
}

/// Bytes of the rows themselves: a batch decoded from a message shares its buffers with others.
pub(crate) fn rows_bytes(rows: &RecordBatch) -> usize {
    rows.columns().iter().map(column_bytes).sum()
}

/// Without a copy of the array's description where that is possible: each chunk is asked.
fn column_bytes(column: &Arc<dyn Array>) -> usize {
    let nulls = if column.nulls().is_some() { column.len().div_ceil(8) } else { 0 };
    if let Some(width) = column.data_type().primitive_width() {
        return column.len() * width + nulls;
    }
    if let Some(texts) = column.as_string_opt::<i32>() {
        let offsets = texts.value_offsets();
        return size_of_val(offsets) + (offsets[texts.len()] - offsets[0]) as usize + nulls;
    }
    let data = column.to_data();
    data.get_slice_memory_size().unwrap_or_else(|_| data.get_array_memory_size())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Int64Array;
    use arrow_array::types::Int64Type;
    use proprio_core::StreamSchema;

    fn rows(first: i64, count: i64) -> RecordBatch {
        let schema = StreamSchema::new(vec![], &[], None);
        proprio_core::rows::batch(&schema, vec![Arc::new(Int64Array::from_iter_values(first..first + count))])
    }

    fn values(batches: &[RecordBatch]) -> Vec<i64> {
        batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    #[test]
    fn every_position_cuts_every_row_exactly_once() {
        let mut hot = Hot::default();
        // Enough to seal twice and leave a tail; two chunks share position 7.
        for position in 0..150 {
            hot.push(rows(position * 10, 10), position.max(7));
        }
        for cut in [-1, 6, 7, 63, 64, 100, 148, 149, 1000] {
            let taken = hot.between(None, cut).map_or_else(Vec::new, |batches| values(&batches));
            let mut rest = Hot { sealed: hot.sealed.clone(), tail: hot.tail.clone(), ..Hot::default() };
            rest.drop_up_to(cut, true);
            let kept = values(&rest.pin().iter().map(|batch| batch.rows.clone()).collect::<Vec<_>>());
            let expected = if cut < 7 { 0 } else { (cut + 1).min(150) * 10 };
            assert_eq!(taken.len() as i64, expected, "cut {cut}");
            let since = hot.between(Some(63), cut).map_or_else(Vec::new, |batches| values(&batches));
            assert_eq!(since, taken.get(640..).unwrap_or_default(), "from 63 to {cut}");
            assert_eq!([taken, kept].concat(), (0..1500).collect::<Vec<i64>>(), "cut {cut}");
            for follower in [-1, 7, 64, 99, 149] {
                let live: Vec<_> = rest.after(follower).iter().map(|batch| batch.rows.clone()).collect();
                assert_eq!(values(&live), ((follower + 1) * 10..1500).collect::<Vec<i64>>(), "{follower}, cut {cut}");
            }
            assert_eq!(rest.recent_bytes() + rest.bytes(), hot.bytes(), "cut {cut}");
            assert_eq!(rest.bytes(), rest.pin().iter().map(|batch| rows_bytes(&batch.rows)).sum::<usize>());
        }
        assert_eq!(hot.bytes(), 1500 * 8);
        assert!(hot.pin().len() < 30, "small batches are joined");
    }
}
