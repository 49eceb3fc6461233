//! Which rows of a stream's numbers lie in the window of time that is open?

use arrow_array::{Array as _, RecordBatch};
use arrow_schema::{DataType, Field};
use proprio_core::kind::is_bookkeeping;
use proprio_core::quantity::Duration;
use proprio_core::{Findings, PlanFinding, Port, TimeNs, rows};
use serde::{Deserialize, Serialize};

/// The longest window, in nanoseconds: its rows wait in memory.
const LONGEST_NS: i64 = 600_000_000_000;

/// The columns of numbers of a stream without keys, but for those that all sensors' streams have, by index.
///
/// # Errors
/// When there is none, or rows have keys.
pub fn numbers(port: &Port) -> Result<Vec<(usize, Field)>, Findings> {
    if !port.schema.keys.is_empty() {
        let message = format!("`{}` has several rows an instant (keys: {})", port.stream, port.schema.keys.join(", "));
        return Err(vec![PlanFinding::input(0, message).help("read a stream with one row an instant")]);
    }
    let fields = port.schema.columns.fields().iter().enumerate();
    let is_number = |field: &Field| *field.data_type() == DataType::Float64 && !is_bookkeeping(field.name());
    let found: Vec<_> = fields.filter(|(_, field)| is_number(field)).map(|(index, field)| (index, field.as_ref().clone())).collect();
    if found.is_empty() {
        return Err(vec![PlanFinding::input(0, format!("`{}` has no column of numbers (Float64)", port.stream))]);
    }
    Ok(found)
}

/// The length of a tumbling window in nanoseconds.
///
/// # Errors
/// When `window` (pointer `/window`) is not positive or above 10 min.
pub fn window_ns(window: Duration) -> Result<i64, Findings> {
    let window_ns = window.nanoseconds();
    if (1..=LONGEST_NS).contains(&window_ns) {
        return Ok(window_ns);
    }
    Err(vec![PlanFinding::config("/window", format!("a window of {window} is not within 0 to 600 s"))])
}

/// The rows of one window, column by column; NaN stands for null.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WindowRows {
    /// Event times.
    pub times: Vec<TimeNs>,
    /// Values, a vector a column.
    pub columns: Vec<Vec<f64>>,
}

impl WindowRows {
    /// No rows of so many columns.
    pub fn new(columns: usize) -> Self {
        Self { times: Vec::new(), columns: vec![Vec::new(); columns] }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Adds the rows `from..to` of a batch, of whose columns `numbers` are taken.
    pub fn extend(&mut self, batch: &RecordBatch, numbers: &[(usize, Field)], from: usize, to: usize) {
        self.times.extend_from_slice(&rows::times(batch)[from..to]);
        for (column, (index, _)) in self.columns.iter_mut().zip(numbers) {
            let values = rows::floats(batch, *index);
            if values.null_count() == 0 {
                column.extend_from_slice(&values.values()[from..to]);
            } else {
                column.extend((from..to).map(|row| rows::float_or_nan(values, row)));
            }
        }
    }

    /// Forgets all rows but the last.
    pub fn keep_last(&mut self) {
        let before = self.times.len().saturating_sub(1);
        self.times.drain(..before);
        self.columns.iter_mut().for_each(|column| drop(column.drain(..before)));
    }

    /// Takes all rows.
    pub fn take(&mut self) -> Self {
        let columns = self.columns.len();
        std::mem::replace(self, Self::new(columns))
    }
}

/// Where the window that holds `time` begins: windows tile time from the epoch.
pub fn window_start(time: TimeNs, window_ns: i64) -> TimeNs {
    time.div_euclid(window_ns).saturating_mul(window_ns)
}

/// Where the window that holds `time` ends, which it doesn't hold.
pub fn window_end(time: TimeNs, window_ns: i64) -> TimeNs {
    window_start(time, window_ns).saturating_add(window_ns)
}

/// Count and mean of the values that are no NaN; a mean of 0 where there are none. Equal values have exactly their value as mean.
pub fn mean(values: &[f64]) -> (usize, f64) {
    let Some(first) = values.iter().copied().find(|value| !value.is_nan()) else { return (0, 0.0) };
    let (count, sum) = lanes(values, |value| value - first);
    (count, first + sum / count as f64)
}

/// Mean and population standard deviation of the values that are no NaN, in two passes; none without any.
pub fn mean_and_sd(values: &[f64]) -> Option<(f64, f64)> {
    let (count, mean) = mean(values);
    let (_, squares) = lanes(values, |value| (value - mean) * (value - mean));
    (count > 0).then(|| (mean, (squares / count as f64).sqrt()))
}

/// How many values are no NaN, and the sum of what `of` makes of them: eight sums beside each other, so that none waits for the one before.
fn lanes(values: &[f64], of: impl Fn(f64) -> f64) -> (usize, f64) {
    let (mut counts, mut sums) = ([0_u64; 8], [0.0; 8]);
    let (chunks, rest) = values.as_chunks::<8>();
    let mut add = |lane: usize, value: f64| {
        let is_there = !value.is_nan();
        counts[lane] += u64::from(is_there);
        sums[lane] += if is_there { of(value) } else { 0.0 };
    };
    chunks.iter().for_each(|chunk| chunk.iter().enumerate().for_each(|(lane, value)| add(lane, *value)));
    rest.iter().enumerate().for_each(|(lane, value)| add(lane, *value));
    let [a, b, c, d, e, f, g, h] = sums;
    (counts.iter().sum::<u64>() as usize, ((a + b) + (c + d)) + ((e + f) + (g + h)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_leave_out_what_is_missing() {
        let values: Vec<f64> = (0..19).map(|k| if k == 7 { f64::NAN } else { f64::from(k) }).collect();
        let due = (171.0 - 7.0) / 18.0;
        assert_eq!(mean(&values).0, 18);
        assert!((mean(&values).1 - due).abs() < 1e-12);
        assert_eq!(mean_and_sd(&[0.002; 1000]), Some((0.002, 0.0)));
        let (_, sd) = mean_and_sd(&values).expect("there are values");
        let squares: f64 = values.iter().filter(|value| !value.is_nan()).map(|value| (value - due).powi(2)).sum();
        assert!((sd - (squares / 18.0).sqrt()).abs() < 1e-12, "{sd}");
        assert_eq!(mean_and_sd(&[f64::NAN]), None);
    }

    #[test]
    fn windows_tile_time_on_both_sides_of_the_epoch() {
        assert_eq!([-1, 0, 9, 10].map(|time| window_start(time, 10)), [-10, 0, 0, 10]);
    }
}
