//! What do steps get in place of samples that never came? Rows between the neighbours of a short gap, for sensors whose file
//! asks for it. The sensor's own table holds what came and nothing else.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, UInt32Array};
use arrow_schema::{DataType, Field, SchemaRef};
use proprio_core::kind::{DEVICE_TIME, SEQUENCE};
use proprio_core::rig::Loss;
use proprio_core::schema::TIME;
use proprio_core::time::SECOND_NS;
use proprio_core::{Sensor, TimeNs, rows};
use serde::{Deserialize, Serialize};

use super::rows_image::Rows;

/// Which of a sensor's gaps are covered, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cover {
    loss: Loss,
    /// Nanoseconds in `rate` samples.
    period: (i128, i128),
    up_to_ns: i128,
}

impl Cover {
    /// None for a sensor whose gaps stay gaps.
    pub(super) fn of(sensor: &Sensor) -> Option<Self> {
        let (numerator, denominator) = sensor.rate?.ratio();
        let period = (i128::from(denominator) * i128::from(SECOND_NS), i128::from(numerator));
        (sensor.loss != Loss::Missing).then_some(Self { loss: sensor.loss, period, up_to_ns: sensor.fill_up_to_ns.into() })
    }

    /// What is put in the place of so many lost samples in a row.
    pub(super) fn of_gap(&self, lost: i64) -> Loss {
        let (ns, samples) = self.period;
        if i128::from(lost) * ns <= self.up_to_ns * samples { self.loss } else { Loss::Missing }
    }

    /// Whether rows stand this far apart because samples between them are lost, and are covered: their times agree with the
    /// count to half, which those of two publisher starts do not.
    fn covers(&self, lost: i64, apart_ns: i64) -> bool {
        let (ns, samples) = self.period;
        let (due, apart) = (i128::from(lost + 1) * ns, i128::from(apart_ns) * samples);
        lost > 0 && self.of_gap(lost) != Loss::Missing && apart * 2 > due && apart * 2 < due * 3
    }
}

/// Rows on their way from a source to the steps, gaps covered.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Covering {
    /// The newest row that has passed, when there is one.
    anchor: Rows,
    /// The newest sequence that was made up after it.
    covered_to: i64,
    /// The watermark up to which rows have passed: none can be made up at or before it.
    passed_to_ns: TimeNs,
    passed: Rows,
    for_steps: Rows,
}

impl Covering {
    pub(super) fn begin(from_ns: TimeNs) -> Self {
        let none = Rows::default;
        Self { anchor: none(), covered_to: i64::MIN, passed_to_ns: from_ns, passed: none(), for_steps: none() }
    }

    /// What has passed since it was last taken: the rows that came, and those with the gaps covered.
    pub(super) fn take(&mut self, schema: &SchemaRef) -> (Option<RecordBatch>, Option<RecordBatch>) {
        (self.passed.take(schema), self.for_steps.take(schema))
    }

    pub(super) fn fits(&mut self, schema: &SchemaRef) -> bool {
        [&mut self.anchor, &mut self.passed, &mut self.for_steps].into_iter().all(|rows| rows.fits(schema))
    }

    /// Lets rows in time order pass, and what covers the gaps between them, up to `watermark`; `next` is the first row after
    /// it that has come, when one has. Once rows that come can't change it, each gap gives the same however often this is
    /// called on the way.
    pub(super) fn pass(&mut self, cover: &Cover, now: RecordBatch, next: Option<RecordBatch>, watermark: TimeNs) {
        let schema = now.schema();
        let (old, passed_to_ns) = (self.anchor.0.len(), self.passed_to_ns);
        let last = old + now.num_rows();
        self.passed_to_ns = passed_to_ns.max(watermark);
        let mut all = std::mem::take(&mut self.anchor);
        all.push(now.clone());
        let is_last = next.is_none();
        next.into_iter().for_each(|next| all.push(next));
        self.passed.push(now);
        let Some(all) = all.take(&schema) else { return };
        let mut covered_to = if last == old { self.covered_to } else { i64::MIN };
        let mut from = old;
        for row in 1..all.num_rows() {
            let after = if row == old { self.covered_to } else { i64::MIN };
            let due = |time_ns, sequence| time_ns > passed_to_ns && time_ns <= watermark && sequence > after;
            let Some(made) = cover.between(&all, row - 1, due) else { continue };
            if row == last {
                covered_to = sequences(&made).last().copied().unwrap_or(covered_to);
            }
            self.for_steps.push(all.slice(from, row - from));
            self.for_steps.push(made);
            from = row;
        }
        if from < last {
            self.for_steps.push(all.slice(from, last - from));
        }
        self.covered_to = covered_to;
        // A watermark beyond the newest row is that of others: the source is idle, and a silence is no gap.
        if last > 0 && !(is_last && rows::times(&all)[last - 1] < watermark) {
            self.anchor.push(all.slice(last - 1, 1));
        }
    }
}

impl Cover {
    /// The rows that cover the gap after row `left`, of those whose time and sequence are due; none when there is no such gap.
    fn between(&self, rows: &RecordBatch, left: usize, due: impl Fn(TimeNs, i64) -> bool) -> Option<RecordBatch> {
        let (times, sequences) = (rows::times(rows), sequences(rows));
        let first = sequences[left].saturating_add(1);
        let lost = sequences[left + 1].saturating_sub(first);
        if !self.covers(lost, times[left + 1].saturating_sub(times[left])) {
            return None;
        }
        let place = |k: i64| Place { k, of: lost + 1 };
        let is_due = |place: &Place| due(place.integer(times[left], times[left + 1]), first + place.k - 1);
        let places: Vec<Place> = (1..=lost).map(place).filter(is_due).collect();
        if places.is_empty() {
            return None;
        }
        let column = |(index, field): (usize, &Arc<Field>)| -> ArrayRef {
            match (field.name().as_str(), field.data_type()) {
                (SEQUENCE, _) => Arc::new(Int64Array::from_iter_values(places.iter().map(|place| first + place.k - 1))),
                (TIME | DEVICE_TIME, _) => {
                    let ends = rows::integers(rows, index);
                    let (start, end) = (ends.value(left), ends.value(left + 1));
                    Arc::new(Int64Array::from_iter_values(places.iter().map(|place| place.integer(start, end))))
                }
                (_, DataType::Float64) if self.loss == Loss::Fill => {
                    let ends = rows::floats(rows, index);
                    let known = ends.is_valid(left) && ends.is_valid(left + 1);
                    let (start, end) = (ends.value(left), ends.value(left + 1));
                    Arc::new(places.iter().map(|place| known.then(|| place.float(start, end))).collect::<Float64Array>())
                }
                _ => {
                    let left = UInt32Array::from(vec![left as u32; places.len()]);
                    arrow_select::take::take(rows.column(index), &left, None).expect("the row is of this batch")
                }
            }
        };
        let columns = rows.schema_ref().fields().iter().enumerate().map(column).collect();
        Some(RecordBatch::try_new(rows.schema(), columns).expect("made of rows with this schema"))
    }
}

/// A place in a gap: step `k` of the `of` steps from the row before it to the row after it.
struct Place {
    k: i64,
    of: i64,
}

impl Place {
    fn integer(&self, start: i64, end: i64) -> i64 {
        let way = (i128::from(end) - i128::from(start)) * i128::from(self.k) / i128::from(self.of);
        start + way as i64
    }

    fn float(&self, start: f64, end: f64) -> f64 {
        start + (end - start) * (self.k as f64 / self.of as f64)
    }
}

fn sequences(rows: &RecordBatch) -> &[i64] {
    let index = rows.schema_ref().index_of(SEQUENCE).expect("a source's rows are numbered");
    rows::integers(rows, index).values()
}
