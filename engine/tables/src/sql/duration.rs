//! How long is `INTERVAL '20 ms'`, `'20 ms'` or `20000000`?

use datafusion::common::{Result, ScalarValue, plan_datafusion_err, plan_err};
use proprio_core::quantity::{Dimension, Duration};
use proprio_core::time::DAY_NS;

/// A constant length of time in nanoseconds: an interval of fixed length, a text with a unit, or a number of nanoseconds.
///
/// # Errors
/// Months, which have no fixed length, a text that is no duration, null, and other types.
pub(crate) fn nanoseconds(value: &ScalarValue) -> Result<i64> {
    let too_long = || plan_datafusion_err!("`{value}` is longer than a time can tell");
    let days = |days: i32, rest: i64| i64::from(days).checked_mul(DAY_NS).and_then(|days| days.checked_add(rest));
    match value {
        ScalarValue::IntervalMonthDayNano(Some(interval)) if interval.months == 0 => {
            days(interval.days, interval.nanoseconds).ok_or_else(too_long)
        }
        ScalarValue::IntervalDayTime(Some(interval)) => {
            days(interval.days, i64::from(interval.milliseconds) * 1_000_000).ok_or_else(too_long)
        }
        ScalarValue::IntervalMonthDayNano(Some(_)) | ScalarValue::IntervalYearMonth(Some(_)) => {
            plan_err!("a month has no fixed length; give days, or a text such as '20 ms'")
        }
        ScalarValue::DurationSecond(Some(count)) => count.checked_mul(1_000_000_000).ok_or_else(too_long),
        ScalarValue::DurationMillisecond(Some(count)) => count.checked_mul(1_000_000).ok_or_else(too_long),
        ScalarValue::DurationMicrosecond(Some(count)) => count.checked_mul(1_000).ok_or_else(too_long),
        ScalarValue::DurationNanosecond(Some(count)) => Ok(*count),
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            let seconds = Dimension::DURATION.parse(text).map_err(|error| plan_datafusion_err!("{error}"))?;
            Ok(Duration::new(seconds).nanoseconds())
        }
        value if value.data_type().is_integer() && !value.is_null() => i64::try_from(value.clone()).map_err(|_| too_long()),
        _ => plan_err!("`{value}` is no length of time; give INTERVAL '20 milliseconds', a text such as '20 ms', or nanoseconds"),
    }
}
