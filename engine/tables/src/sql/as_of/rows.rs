//! What a merge needs of a batch: its times, its groups, its runs of equal leading keys, and which rows can match at all.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_buffer::{NullBuffer, ScalarBuffer};
use arrow_cast::cast;
use arrow_ord::partition::partition;
use arrow_row::{OwnedRow, RowConverter, SortField};
use arrow_schema::{DataType, Field, Schema};
use arrow_select::filter::filter_record_batch;
use datafusion::common::Result;
use datafusion::physical_expr::PhysicalExprRef;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use super::exec::Matching;
use crate::scan::ASCENDING;

/// A batch, ready to be merged.
pub(super) struct Rows {
    pub(super) batch: RecordBatch,
    /// Ascending within a run: where the join looks forward, a time stands here as its complement.
    pub(super) times: ScalarBuffer<i64>,
    /// The group of each row; empty where there is one group only.
    pub(super) groups: Vec<usize>,
    /// Rows with equal leading keys.
    pub(super) runs: Vec<Run>,
    /// Rows whose time and keys are all there; `None` for all.
    pub(super) whole: Option<NullBuffer>,
}

pub(super) struct Run {
    pub(super) rows: Range<usize>,
    pub(super) key: Option<OwnedRow>,
}

impl Rows {
    #[inline]
    pub(super) fn group(&self, row: usize) -> usize {
        self.groups.get(row).copied().unwrap_or(0)
    }
}

/// Turns batches of either side into rows, with one numbering of groups for both.
pub(super) struct Reader {
    matching: Arc<Matching>,
    leading: Option<RowConverter>,
    groups: Option<Box<dyn GroupValues>>,
}

impl Reader {
    /// For left rows of `schema`; keys of the right ones have the same types.
    pub(super) fn try_new(matching: Arc<Matching>, schema: &Schema) -> Result<Self> {
        let types = matching.keys.iter().map(|(left, _)| left.data_type(schema)).collect::<Result<Vec<_>>>()?;
        let (sorted, looked_up) = types.split_at(matching.sorted_keys);
        let field = |data_type: &DataType| SortField::new_with_options(data_type.clone(), ASCENDING);
        let leading = (!sorted.is_empty()).then(|| RowConverter::new(sorted.iter().map(field).collect())).transpose()?;
        let fields: Vec<Field> = looked_up.iter().map(|data_type| Field::new("key", data_type.clone(), true)).collect();
        let groups = (!fields.is_empty()).then(|| new_group_values(Arc::new(Schema::new(fields)), &GroupOrdering::None)).transpose()?;
        Ok(Self { matching, leading, groups })
    }

    /// How many groups there are so far.
    pub(super) fn groups(&self) -> usize {
        self.groups.as_ref().map_or(1, |groups| groups.len())
    }

    /// Bytes that it remembers groups in.
    pub(super) fn bytes(&self) -> usize {
        self.groups.as_ref().map_or(0, |groups| groups.size())
    }

    /// Every left row, since every one comes out.
    pub(super) fn left(&mut self, batch: RecordBatch) -> Result<Rows> {
        let matching = self.matching.clone();
        self.rows(batch, matching.keys.iter().map(|(left, _)| left), &matching.times.0)
    }

    /// The right rows that can match.
    pub(super) fn right(&mut self, batch: RecordBatch) -> Result<Rows> {
        let matching = self.matching.clone();
        let keys = || matching.keys.iter().map(|(_, right)| right);
        let rows = self.rows(batch, keys(), &matching.times.1)?;
        match &rows.whole {
            None => Ok(rows),
            Some(whole) => {
                let kept = filter_record_batch(&rows.batch, &BooleanArray::new(whole.inner().clone(), None))?;
                self.rows(kept, keys(), &matching.times.1)
            }
        }
    }

    fn rows<'a>(&mut self, batch: RecordBatch, keys: impl Iterator<Item = &'a PhysicalExprRef>, time: &PhysicalExprRef) -> Result<Rows> {
        let value = |expression: &PhysicalExprRef| expression.evaluate(&batch)?.into_array(batch.num_rows());
        let keys = keys.map(value).collect::<Result<Vec<ArrayRef>>>()?;
        let time = cast(&value(time)?, &DataType::Int64)?;
        let nulls = keys.iter().chain([&time]).map(|column| column.logical_nulls());
        let whole = nulls.fold(None, |all, nulls| NullBuffer::union(all.as_ref(), nulls.as_ref()));
        let times = time.as_primitive::<Int64Type>().values();
        let times = if self.matching.is_forward { times.iter().map(|time| !time).collect() } else { times.clone() };
        let (sorted, looked_up) = keys.split_at(self.matching.sorted_keys);
        let mut groups = Vec::new();
        if let Some(known) = &mut self.groups {
            known.intern(looked_up, &mut groups)?;
        }
        let runs = self.runs(sorted, batch.num_rows())?;
        let whole = whole.filter(|whole| whole.null_count() > 0);
        Ok(Rows { batch, times, groups, runs, whole })
    }

    fn runs(&self, sorted: &[ArrayRef], rows: usize) -> Result<Vec<Run>> {
        let Some(leading) = &self.leading else { return Ok(vec![Run { rows: 0..rows, key: None }]) };
        let ranges = partition(sorted)?.ranges();
        let firsts: Vec<u64> = ranges.iter().map(|range| range.start as u64).collect();
        let firsts = arrow_array::UInt64Array::from(firsts);
        let firsts = sorted.iter().map(|column| arrow_select::take::take(column, &firsts, None)).collect::<Result<Vec<_>, _>>()?;
        let keys = leading.convert_columns(&firsts)?;
        Ok(ranges.into_iter().zip(keys.iter()).map(|(rows, key)| Run { rows, key: Some(key.owned()) }).collect())
    }
}
