//! Which rows of a table wait for the next commit?

use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_select::concat::concat_batches;

/// Small batches are joined from this many rows on, so that a query doesn't walk thousands of them.
const SEAL_ROWS: usize = 8192;
/// Or from this many batches on.
const SEAL_BATCHES: usize = 64;

/// Rows since the last commit, in the order of their positions.
#[derive(Debug, Default)]
pub(crate) struct Hot {
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
        let bytes = rows_bytes(&rows);
        self.tail_rows += rows.num_rows();
        self.bytes += bytes;
        self.tail.push(Arc::new(HotBatch { ends: vec![(position, rows.num_rows())], bytes, rows }));
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

    /// The rows at or before `position`, if there are any.
    pub(crate) fn up_to(&self, position: i64) -> Option<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        for batch in self.sealed.iter().chain(&self.tail) {
            let cut = batch.ends.partition_point(|(at, _)| *at <= position);
            if cut > 0 {
                batches.push(batch.rows.slice(0, batch.ends[cut - 1].1));
            }
        }
        (!batches.is_empty()).then_some(batches)
    }

    /// Forgets the rows at or before `position`.
    pub(crate) fn drop_up_to(&mut self, position: i64) {
        for list in [&mut self.sealed, &mut self.tail] {
            let rest = list.drain(..).filter_map(|batch| after(batch, position)).collect();
            *list = rest;
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
            let bytes = self.tail.iter().map(|batch| batch.bytes).sum();
            self.sealed.push(Arc::new(HotBatch { rows: joined, ends, bytes }));
            self.tail.clear();
        } else {
            self.sealed.append(&mut self.tail);
        }
        self.tail_rows = 0;
    }
}

/// What is left of a batch after `position`.
fn after(batch: Arc<HotBatch>, position: i64) -> Option<Arc<HotBatch>> {
    let cut = batch.ends.partition_point(|(at, _)| *at <= position);
    if cut == 0 {
        return Some(batch);
    }
    let gone = batch.ends[cut - 1].1;
    let ends: Vec<(i64, usize)> = batch.ends[cut..].iter().map(|(position, rows)| (*position, rows - gone)).collect();
    if ends.is_empty() {
        return None;
    }
    let rows = batch.rows.slice(gone, batch.rows.num_rows() - gone);
    Some(Arc::new(HotBatch { bytes: rows_bytes(&rows), rows, ends }))
}

/// Bytes of the rows themselves: a batch decoded from a message shares its buffers with others.
fn rows_bytes(rows: &RecordBatch) -> usize {
    let column_bytes = |column: &Arc<dyn Array>| {
        let data = column.to_data();
        data.get_slice_memory_size().unwrap_or_else(|_| data.get_array_memory_size())
    };
    rows.columns().iter().map(column_bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Int64Array;
    use arrow_array::cast::AsArray;
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
            let taken = hot.up_to(cut).map_or_else(Vec::new, |batches| values(&batches));
            let mut rest = Hot { sealed: hot.sealed.clone(), tail: hot.tail.clone(), ..Hot::default() };
            rest.drop_up_to(cut);
            let kept = values(&rest.pin().iter().map(|batch| batch.rows.clone()).collect::<Vec<_>>());
            let expected = if cut < 7 { 0 } else { (cut + 1).min(150) * 10 };
            assert_eq!(taken.len() as i64, expected, "cut {cut}");
            assert_eq!([taken, kept].concat(), (0..1500).collect::<Vec<i64>>(), "cut {cut}");
            assert_eq!(rest.bytes(), rest.pin().iter().map(|batch| rows_bytes(&batch.rows)).sum::<usize>());
        }
        assert_eq!(hot.bytes(), 1500 * 8);
        assert!(hot.pin().len() < 30, "small batches are joined");
    }
}
