//! What is drawn of a column: the least and the greatest value of each bucket of time, so that no spike is lost at any rate.

use std::collections::VecDeque;

/// Buckets that wait for the page, per series.
pub const BUCKETS_MAX: usize = 512;

/// The buckets of one column that have not been sent.
#[derive(Debug, Default)]
pub struct Series {
    buckets: VecDeque<Bucket>,
}

/// The values in a bucket of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Its time, in buckets since the Unix epoch.
    pub index: i64,
    /// Least value; NaN when there is none.
    pub low: f32,
    /// Greatest value; NaN when there is none.
    pub high: f32,
    /// Rows in it.
    rows: u32,
}

impl Series {
    /// Takes one row's value; NaN for a null. Gives how many rows had to go for it.
    pub fn take(&mut self, index: i64, value: f32) -> u64 {
        if let Some(last) = self.buckets.back_mut().filter(|last| last.index == index) {
            // Of a number and NaN these give the number.
            (last.low, last.high, last.rows) = (last.low.min(value), last.high.max(value), last.rows.saturating_add(1));
            return 0;
        }
        self.buckets.push_back(Bucket { index, low: value, high: value, rows: 1 });
        let is_full = self.buckets.len() > BUCKETS_MAX;
        self.buckets.pop_front_if(|_| is_full).map_or(0, |gone| u64::from(gone.rows))
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// What waits, which is not there any more.
    pub fn drain(&mut self) -> Vec<Bucket> {
        self.buckets.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_keeps_its_extremes_and_a_null_hides_none() {
        let mut series = Series::default();
        for (index, value) in [(7, 2.0), (7, f32::NAN), (7, -3.0), (7, 1.0), (8, f32::NAN), (9, f32::NAN), (9, 4.0)] {
            assert_eq!(series.take(index, value), 0);
        }
        let buckets: Vec<_> = series.drain().iter().map(|bucket| (bucket.index, bucket.low, bucket.high)).collect();
        assert_eq!((buckets[0], buckets[2], buckets.len()), ((7, -3.0, 2.0), (9, 4.0, 4.0), 3));
        assert!(buckets[1].0 == 8 && buckets[1].1.is_nan() && buckets[1].2.is_nan());
        assert!(series.is_empty());
    }

    #[test]
    fn the_oldest_go_first_and_are_counted_by_their_rows() {
        let mut series = Series::default();
        let rows = (BUCKETS_MAX as i64 + 10) * 3;
        let gone: u64 = (0..rows).map(|row| series.take(row / 3, row as f32)).sum();
        let left = series.drain();
        assert_eq!((gone, left.len(), left[0].index), (30, BUCKETS_MAX, 10));
    }
}
