//! What time is here: nanoseconds on the rig's clock, exact rational rates, and the one function that makes a grid.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::quantity::{Dimension, QuantityError, split_number_and_unit};

/// Event time: nanoseconds since the Unix epoch on the rig's clock (contract 1).
pub type TimeNs = i64;

/// Nanoseconds in a second.
pub const SECOND_NS: i64 = 1_000_000_000;

/// Nanoseconds in a day.
pub const DAY_NS: i64 = 86_400 * SECOND_NS;

/// Times outside 1970 to 2100 are no times of a lab, and none of a device's clock.
pub const LAB_TIMES_NS: std::ops::Range<TimeNs> = 0..4_102_444_800_000_000_000;

/// An exact rate in hertz, in lowest terms. Written `100 Hz`, `2000/7 Hz` or `2148.148 Hz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rate {
    numerator: u64,
    denominator: u64,
}

impl Rate {
    /// `numerator / denominator` hertz, reduced; `None` when either is zero or the rate is outside 1 µHz to 1 GHz.
    pub fn new(numerator: u64, denominator: u64) -> Option<Self> {
        if numerator == 0 || denominator == 0 {
            return None;
        }
        let divisor = greatest_common_divisor(numerator, denominator);
        let rate = Self { numerator: numerator / divisor, denominator: denominator / divisor };
        let small_enough = rate.numerator <= 1_000_000_000_000_000 && rate.denominator <= 1_000_000_000_000;
        (small_enough && (1e-6..=1e9).contains(&rate.hertz())).then_some(rate)
    }

    /// A whole number of hertz.
    ///
    /// # Panics
    /// When `hertz` is zero or above 1 GHz: for constants in code, never for what a user wrote.
    pub const fn hz(hertz: u64) -> Self {
        assert!(hertz > 0 && hertz <= 1_000_000_000, "a rate is positive and at most 1 GHz");
        Self { numerator: hertz, denominator: 1 }
    }

    /// The exact rate nearest to a decimal figure from a file header, read to six decimals.
    pub fn from_decimal(hertz: f64) -> Option<Self> {
        let scaled = (hertz * 1e6).round();
        (1.0..=1e15).contains(&scaled).then(|| Self::new(scaled as u64, 1_000_000)).flatten()
    }

    /// The rate in hertz, rounded to a double.
    pub fn hertz(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }

    /// Numerator and denominator, in lowest terms.
    pub fn ratio(self) -> (u64, u64) {
        (self.numerator, self.denominator)
    }

    /// The instant of grid point `k`: k/rate seconds from zero, rounded down to whole nanoseconds.
    /// The only place in the engine that does this, so that two runs share a grid. Saturates at the ends of time.
    pub fn grid_time(self, k: i64) -> TimeNs {
        let exact = i128::from(k) * i128::from(self.denominator) * i128::from(SECOND_NS);
        exact.div_euclid(i128::from(self.numerator)).clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    /// [`grid_time`](Self::grid_time) of `k`, `k + 1` and so on, without end and without a division each.
    pub fn grid_times(self, k: i64) -> impl Iterator<Item = TimeNs> {
        let (period, numerator) = (i128::from(self.denominator) * i128::from(SECOND_NS), i128::from(self.numerator));
        let exact = i128::from(k) * period;
        let first = (exact.div_euclid(numerator), exact.rem_euclid(numerator));
        let (step, step_remainder) = (period / numerator, period % numerator);
        let next = move |(time, remainder): &(i128, i128)| {
            let remainder = remainder + step_remainder;
            let carry = i128::from(remainder >= numerator);
            Some((time + step + carry, remainder - carry * numerator))
        };
        std::iter::successors(Some(first), next).map(|(time, _)| time.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }

    /// The first `k` whose [`grid_time`](Self::grid_time) is at or after `time`.
    pub fn grid_index_at_or_after(self, time: TimeNs) -> i64 {
        let scale = i128::from(self.denominator) * i128::from(SECOND_NS);
        // floor(k·scale/numerator) ≥ time  ⇔  k ≥ time·numerator/scale
        let product = i128::from(time) * i128::from(self.numerator);
        let k = product.div_euclid(scale) + i128::from(product.rem_euclid(scale) != 0);
        k.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    /// The longest gap between two neighbouring grid points, in nanoseconds.
    pub fn period_ns(self) -> i64 {
        let exact = i128::from(self.denominator) * i128::from(SECOND_NS);
        let numerator = i128::from(self.numerator);
        ((exact + numerator - 1) / numerator) as i64
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.denominator == 1 { write!(f, "{} Hz", self.numerator) } else { write!(f, "{}/{} Hz", self.numerator, self.denominator) }
    }
}

impl FromStr for Rate {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, unit) = split_number_and_unit(text);
        let multiplier = match unit {
            "Hz" => 1,
            "kHz" => 1000,
            _ => return Err(Dimension::FREQUENCY.refuse(text)),
        };
        parse_ratio(number).and_then(|(n, d)| Rate::new(n.checked_mul(multiplier)?, d)).ok_or_else(|| Dimension::FREQUENCY.refuse(text))
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "rate", "description": "An exact rate, such as `100 Hz` or `2000/7 Hz`." })
    }
}

fn parse_ratio(text: &str) -> Option<(u64, u64)> {
    if let Some((numerator, denominator)) = text.split_once('/') {
        return Some((numerator.trim().parse().ok()?, denominator.trim().parse().ok()?));
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let denominator = 10u64.pow(fraction.len() as u32);
    let fraction: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    Some((whole.parse::<u64>().ok()?.checked_mul(denominator)?.checked_add(fraction)?, denominator))
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grid_points_are_floored_and_found_again() {
        let rate: Rate = "2000/7 Hz".parse().expect("a rate");
        assert_eq!((rate.grid_time(1), rate.grid_time(2), rate.grid_time(-1)), (3_500_000, 7_000_000, -3_500_000));
        let third = Rate::hz(3);
        assert_eq!((third.grid_time(1), third.grid_time(-1)), (333_333_333, -333_333_334));
        for k in [-7, -1, 0, 1, 2, 5_000_000_000] {
            assert_eq!(third.grid_index_at_or_after(third.grid_time(k)), k);
            assert_eq!(third.grid_index_at_or_after(third.grid_time(k) + 1), k + 1);
        }
    }

    #[test]
    fn grid_times_are_those_of_each_point() {
        for rate in ["2000/7 Hz", "3 Hz", "2148.148 Hz", "500 Hz", "1000000000 Hz"] {
            let rate: Rate = rate.parse().expect("a rate");
            for k in [-5, 0, 1_700_000_000 * 7, i64::MAX - 3] {
                let due: Vec<_> = (0..4).map(|more| rate.grid_time(k.saturating_add(more))).collect();
                assert_eq!(rate.grid_times(k).take(4).collect::<Vec<_>>(), due, "{rate} from {k}");
            }
        }
    }

    #[test]
    fn rates_are_exact_rationals() {
        assert_eq!("2148.148 Hz".parse::<Rate>().expect("a rate").ratio(), (537_037, 250));
        assert_eq!("2 kHz".parse::<Rate>().expect("a rate"), Rate::hz(2000));
        assert_eq!(Rate::from_decimal(204.8), Rate::new(1024, 5));
        for bad in ["", "Hz", "0 Hz", "100", "100 ms", "1/0 Hz", "-5 Hz", "99999999999999999999 Hz"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }
}
