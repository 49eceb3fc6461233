//! When the rows of a table were sampled: its time column, or the grid of its rate.

use proprio_core::time::SECOND_NS;
use proprio_core::{Rate, TimeNs};

use crate::OpenOptions;
use crate::error::FileError;
use crate::table::Table;

/// Names that a time column goes by, with the nanoseconds in its unit.
const NAMES: [(&str, f64); 10] = [
    ("time_ns", 1.0),
    ("time_us", 1e3),
    ("time_ms", 1e6),
    ("time_s", 1e9),
    ("time", 1e9),
    ("t", 1e9),
    ("timestamp", 1e9),
    ("seconds", 1e9),
    ("t_s", 1e9),
    ("sec", 1e9),
];

/// A table's time column, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Clock {
    pub(crate) column: usize,
    pub(crate) times: Vec<TimeNs>,
    /// Whether the file states whole nanoseconds, which are then kept as they are.
    exact: bool,
}

/// The times of one sensor's rows, and its rate.
#[derive(Debug)]
pub(crate) struct Sampling {
    pub(crate) times: Vec<TimeNs>,
    pub(crate) rate: Rate,
    /// What is odd about them.
    pub(crate) warning: Option<String>,
}

impl Clock {
    /// The time column, where the table has one.
    pub(crate) fn of(table: &Table, options: &OpenOptions) -> Result<Option<Self>, FileError> {
        let by_name = |(name, scale): (&str, f64)| {
            let position = table.names.iter().position(|other| other.eq_ignore_ascii_case(name));
            position.map(|column| (column, scale))
        };
        let Some((column, named_scale)) = NAMES.into_iter().find_map(by_name) else { return Ok(None) };
        if table.is_timestamp(column) {
            return Ok(Some(Self { column, times: table.integers(column)?, exact: true }));
        }
        let scale = match options.units.get("time").map(String::as_str) {
            None => named_scale,
            Some("s") => 1e9,
            Some("ms") => 1e6,
            Some("us" | "µs") => 1e3,
            Some("ns") => 1.0,
            Some(other) => return Err(table.error(format!("`{other}` is no unit of time; known are s, ms, us and ns"))),
        };
        let exact = scale == 1.0;
        let times = if exact {
            table.integers(column)?
        } else {
            let nanoseconds = table.floats(column)?.into_iter().map(|value| (value * scale).round()).enumerate();
            let whole = |(row, value): (usize, f64)| {
                let fits = value.abs() < 9e18;
                fits.then_some(value as i64).ok_or_else(|| table.at(row, column, format!("`{}` has no time here", table.names[column])))
            };
            nanoseconds.map(whole).collect::<Result<_, _>>()?
        };
        Ok(Some(Self { column, times, exact }))
    }
}

/// The times of the rows of a sampled sensor, relative to `zero`: the grid of the rate where the time column is even, else
/// the time column as it is.
pub(crate) fn sample(clock: Option<&Clock>, rows: &[usize], zero: TimeNs, declared: Option<Rate>) -> Result<Sampling, String> {
    let grid = |rate: Rate, offset: i64| -> Vec<TimeNs> { (0..rows.len() as i64).map(|k| offset + rate.grid_time(k)).collect() };
    let Some(clock) = clock else {
        let rate = declared.ok_or("it has no time column: its rate must be given")?;
        return Ok(Sampling { times: grid(rate, 0), rate, warning: None });
    };
    let times: Vec<TimeNs> = rows.iter().map(|row| clock.times[*row].saturating_sub(zero)).collect();
    if let Some(row) = times.windows(2).position(|pair| pair[1] <= pair[0]) {
        return Err(format!("time does not rise from row {} to row {}", rows[row] + 1, rows[row + 1] + 1));
    }
    let measured = measure(&times);
    let rate = declared.or(measured).ok_or("its rate can't be measured from its time column and must be given")?;
    let even = grid(rate, times.first().copied().unwrap_or(0));
    let worst = times.iter().zip(&even).map(|(time, even)| (time - even).abs()).max().unwrap_or(0);
    let is_even = worst * 4 <= rate.period_ns();
    let warning =
        (!is_even).then(|| format!("its times leave the grid of {rate} by up to {:.1} ms and are kept as they are", worst as f64 / 1e6));
    Ok(Sampling { times: if is_even && !clock.exact { even } else { times }, rate, warning })
}

/// The simplest rate that is within a hundred-millionth of the measured one, or a millionth where none there is simple; the
/// nearest whole one where samples are uneven.
fn measure(times: &[TimeNs]) -> Option<Rate> {
    let mut steps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let mean = (times.last()? - times.first()?) as f64 / steps.len().max(1) as f64;
    steps.sort_unstable();
    let median = *steps.get(steps.len() / 2)? as f64;
    let even = steps.iter().all(|step| (*step as f64 - mean).abs() < 0.5 * mean);
    if !even || (mean / median - 1.0).abs() > 0.01 {
        let usual = steps.iter().map(|step| *step as f64).filter(|step| (step / median - 1.0).abs() < 0.5);
        let (sum, count) = usual.fold((0.0, 0.0), |(sum, count), step| (sum + step, count + 1.0));
        let hertz = SECOND_NS as f64 * count / sum;
        return Rate::new(hertz.round() as u64, 1).or_else(|| Rate::from_decimal(hertz));
    }
    let hertz = SECOND_NS as f64 / mean;
    let simplest = |tolerance: f64| simplest_between(hertz * (1.0 - tolerance), hertz * (1.0 + tolerance), 24);
    // Nanoseconds over seconds; times that were printed with fewer digits give no simple fraction there.
    let exact = simplest(1e-8).filter(|(_, denominator)| *denominator <= 1000);
    let (numerator, denominator) = exact.or_else(|| simplest(1e-6))?;
    Rate::new(numerator, denominator)
}

/// The fraction with the smallest denominator between two positive numbers, by continued fractions.
fn simplest_between(low: f64, high: f64, depth: u32) -> Option<(u64, u64)> {
    let whole = low.floor();
    if !(0.0..1e12).contains(&whole) || depth == 0 {
        return None;
    }
    if whole == low && low > 0.0 {
        return Some((whole as u64, 1));
    }
    if whole + 1.0 <= high {
        return Some((whole as u64 + 1, 1));
    }
    let (numerator, denominator) = simplest_between(1.0 / (high - whole), 1.0 / (low - whole), depth - 1)?;
    Some(((whole as u64).checked_mul(numerator)?.checked_add(denominator)?, numerator))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_measured_as_the_fractions_they_are() {
        for rate in ["100 Hz", "2000/7 Hz", "204.8 Hz", "58000/27 Hz", "1 Hz", "119.88 Hz", "1/10 Hz"] {
            let rate: Rate = rate.parse().unwrap_or_else(|error| panic!("{error}"));
            let times: Vec<TimeNs> = (0..4000).map(|k| 7_000 + rate.grid_time(k)).collect();
            assert_eq!(measure(&times), Some(rate));
        }
        let uneven: Vec<TimeNs> = (0..100).map(|k| k * 10_000_000 + (k % 3) * 400_000 + (k / 50) * 3_000_000_000).collect();
        assert_eq!(measure(&uneven), Some(Rate::hz(100)));
        assert_eq!(measure(&[5]), None);
        assert_eq!(measure(&[]), None);
    }
}
