//! What were irregular or fast samples worth at even instants, 100 times a second? Means over a period, then straight lines between them.

use proprio_core::TimeNs;
use proprio_core::time::{Rate, SECOND_NS};
use serde::{Deserialize, Serialize};

/// Instants a second.
pub const GRID_HZ: u64 = 100;
/// A step in time beyond this is no gap of a stream but its end: what comes after begins anew.
const LOST_NS: i64 = 5 * SECOND_NS;

/// The grid.
pub fn grid() -> Rate {
    Rate::hz(GRID_HZ)
}

/// What is known of the samples so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EvenGrid {
    /// Sums over the period that is under way.
    open: Option<Open>,
    /// Time and means of the period before.
    last: Option<(TimeNs, Vec<f64>)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Open {
    period: i64,
    count: i64,
    offsets_ns: i64,
    sums: Vec<f64>,
}

/// What one more sample has told.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// The values at the instant `k`; NaN within a gap.
    Even(i64, Vec<f64>),
    /// So long a gap that what came before is over.
    Lost,
}

impl EvenGrid {
    /// Takes a sample; tells the instants that it completes. Straight lines bridge steps in time of up to `gap_ns`, which is at most 5 s.
    pub fn push(&mut self, time: TimeNs, values: &[f64], gap_ns: i64) -> Vec<Told> {
        let period = grid().grid_index_at_or_after(time.saturating_add(1)) - 1;
        let mut told = Vec::new();
        if self.open.as_ref().is_some_and(|open| open.period != period) {
            self.close(gap_ns, &mut told);
        }
        let offset_ns = time - grid().grid_time(period);
        match &mut self.open {
            Some(open) => {
                open.count += 1;
                open.offsets_ns += offset_ns;
                open.sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
            None => self.open = Some(Open { period, count: 1, offsets_ns: offset_ns, sums: values.to_vec() }),
        }
        told
    }

    fn close(&mut self, gap_ns: i64, told: &mut Vec<Told>) {
        let Some(Open { period, count, offsets_ns, sums }) = self.open.take() else { return };
        let time = grid().grid_time(period) + offsets_ns / count;
        let means: Vec<f64> = sums.iter().map(|sum| sum / count as f64).collect();
        let (last_time, last) = self.last.replace((time, means.clone())).unwrap_or_else(|| (time - 1, means.clone()));
        let step_ns = time - last_time;
        if step_ns > LOST_NS {
            told.push(Told::Lost);
            return;
        }
        let first = grid().grid_index_at_or_after(last_time + 1);
        for k in first.. {
            let at = grid().grid_time(k);
            if at > time {
                break;
            }
            let share = (at - last_time) as f64 / step_ns as f64;
            let between = |(before, after): (&f64, &f64)| if step_ns > gap_ns { f64::NAN } else { before + (after - before) * share };
            told.push(Told::Even(k, last.iter().zip(&means).map(between).collect()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn told(samples: &[(i64, f64)]) -> Vec<(i64, f64)> {
        let mut grid = EvenGrid::default();
        let told = samples.iter().flat_map(|(time_ms, value)| grid.push(time_ms * MS, &[*value], 100 * MS));
        told.map(|told| match told {
            Told::Even(k, values) => (k, values[0]),
            Told::Lost => (-1, 0.0),
        })
        .collect()
    }

    #[test]
    fn slow_samples_are_bridged_and_fast_ones_averaged() {
        assert_eq!(told(&[(0, 1.0), (20, 3.0), (40, 3.0)]), [(0, 1.0), (1, 2.0), (2, 3.0)]);
        assert_eq!(told(&[(0, 1.0), (10, 2.0), (15, 4.0), (20, 5.0), (30, 5.0)]), [(0, 1.0), (1, 2.6), (2, 5.0)]);
    }

    #[test]
    fn gaps_are_not_bridged_and_long_ones_end_all() {
        let found = told(&[(0, 1.0), (110, 2.0), (120, 2.0), (6000, 1.0), (6010, 1.0), (6020, 1.0)]);
        assert!(found[1..11].iter().all(|(_, value)| value.is_nan()), "{found:?}");
        assert_eq!(found[found.len() - 2..], [(-1, 0.0), (601, 1.0)]);
    }
}
