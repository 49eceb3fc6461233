//! Buckets, grids and phases of time.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, builder::ListBuilder};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, IntervalUnit, TimeUnit};
use datafusion::common::{Result, exec_err, plan_datafusion_err, plan_err};
use datafusion::logical_expr::{Signature, TypeSignature, Volatility};
use proprio_core::Rate;

use super::manual;
use super::scalar::{Arguments, Scalar};
use crate::sql::duration;

/// Points of a grid, at most: an hour at 10 kHz.
const MOST_POINTS: i64 = 36_000_000;

pub(super) fn functions() -> Vec<Scalar> {
    vec![time_bucket(), time_grid(), interpolate(), gait_phase()]
}

fn time_bucket() -> Scalar {
    let widths = [DataType::Interval(IntervalUnit::MonthDayNano), DataType::Utf8, DataType::Int64];
    let zone = || Some(Arc::from("UTC"));
    let times = [
        DataType::Timestamp(TimeUnit::Microsecond, zone()),
        DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(TimeUnit::Nanosecond, zone()),
        DataType::Timestamp(TimeUnit::Nanosecond, None),
        DataType::Int64,
    ];
    let forms = widths.iter().flat_map(|width| {
        times.iter().flat_map(move |time| {
            let two = vec![width.clone(), time.clone()];
            [TypeSignature::Exact([two.clone(), vec![time.clone()]].concat()), TypeSignature::Exact(two)]
        })
    });
    Scalar {
        name: "time_bucket",
        signature: Signature::one_of(forms.collect(), Volatility::Immutable),
        returns: |types| types[1].clone(),
        compute: bucket,
        manual: manual(
            "The start of the bucket that a time is in. Buckets are as wide as the interval, the text with a unit or the \
             nanoseconds say, and one of them starts at the origin, 1970-01-01 unless given. Of a timestamp or of nanoseconds.",
            "time_bucket(width, time [, origin])",
            "SELECT time_bucket('20 ms', 1234567890)",
            "1220000000",
        ),
    }
}

fn bucket(arguments: &Arguments) -> Result<ArrayRef> {
    let Some(width) = arguments.constant(0) else { return plan_err!("the width of time_bucket is a constant") };
    let data_type = arguments.columns[1].data_type();
    let unit_ns = match data_type {
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000,
        _ => 1,
    };
    let width_ns = duration::nanoseconds(width)?;
    if width_ns <= 0 || width_ns % unit_ns != 0 {
        return plan_err!("`{width}` is no width of a bucket: above zero, and in whole microseconds for `time`");
    }
    let width = width_ns / unit_ns;
    let times = cast(&arguments.columns[1], &DataType::Int64)?;
    let times = times.as_primitive::<Int64Type>();
    let start = |time: i64, origin: i64| {
        let (time, origin) = (i128::from(time), i128::from(origin));
        i64::try_from((time - origin).div_euclid(width.into()) * i128::from(width) + origin).ok()
    };
    let buckets: Int64Array = match arguments.columns.get(2) {
        None => times.iter().map(|time| start(time?, 0)).collect(),
        Some(origins) => {
            let origins = cast(origins, &DataType::Int64)?;
            let origins = origins.as_primitive::<Int64Type>();
            times.iter().zip(origins).map(|(time, origin)| start(time?, origin?)).collect()
        }
    };
    Ok(cast(&buckets, data_type)?)
}

fn time_grid() -> Scalar {
    Scalar {
        name: "time_grid",
        signature: Signature::exact(vec![DataType::Int64, DataType::Int64, DataType::Utf8], Volatility::Immutable),
        returns: |_| DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true))),
        compute: grid,
        manual: manual(
            "The instants of a rate's grid from one time up to, and without, another, in nanoseconds: those of the `align` step, \
             k / rate since 1970, so that all that is put on one rate shares its instants. `unnest` makes rows of them; an as-of \
             join puts a stream on them.",
            "time_grid(from_ns, to_ns, rate)",
            "SELECT time_grid(1000000000, 1050000000, '60 Hz')[2]",
            "1016666666",
        ),
    }
}

fn grid(arguments: &Arguments) -> Result<ArrayRef> {
    let [from, to] = [0, 1].map(|at| arguments.columns[at].as_primitive::<Int64Type>());
    let rates = arguments.columns[2].as_string::<i32>();
    let mut grids = ListBuilder::new(Int64Array::builder(0));
    for row in 0..from.len() {
        if from.is_null(row) || to.is_null(row) || rates.is_null(row) {
            grids.append_null();
            continue;
        }
        let rate: Rate = rates.value(row).parse().map_err(|error| plan_datafusion_err!("{error}"))?;
        let [first, end] = [from.value(row), to.value(row)].map(|time| rate.grid_index_at_or_after(time));
        if end.saturating_sub(first) > MOST_POINTS {
            return exec_err!("a grid of {} has more than {MOST_POINTS} points; narrow the times", rates.value(row));
        }
        grids.append_value((first..end).map(|k| Some(rate.grid_time(k))));
    }
    Ok(Arc::new(grids.finish()))
}

fn interpolate() -> Scalar {
    let time = || DataType::Int64;
    let types = vec![time(), time(), DataType::Float64, time(), DataType::Float64];
    Scalar {
        name: "interpolate",
        signature: Signature::exact(types, Volatility::Immutable),
        returns: |_| DataType::Float64,
        compute: line,
        manual: manual(
            "The value at a time on the straight line between the sample before it and the sample after it; null where one of them \
             is. With time_grid and two as-of joins it resamples a stream, and their tolerances leave gaps open.",
            "interpolate(time_ns, before_ns, before, after_ns, after)",
            "SELECT interpolate(125, 100, 4.0, 200, 8.0)",
            "5.0",
        ),
    }
}

fn line(arguments: &Arguments) -> Result<ArrayRef> {
    let [at, before, after] = [0, 1, 3].map(|column| arguments.columns[column].as_primitive::<Int64Type>());
    let [low, high] = [2, 4].map(|column| arguments.columns[column].as_primitive::<Float64Type>());
    let value = |row: usize| {
        let is_there = at.is_valid(row) && before.is_valid(row) && after.is_valid(row) && low.is_valid(row) && high.is_valid(row);
        let share = (at.value(row) as i128 - before.value(row) as i128) as f64;
        let span = (after.value(row) as i128 - before.value(row) as i128) as f64;
        let share = if span == 0.0 { 0.0 } else { share / span };
        (is_there && (0.0..=1.0).contains(&share)).then(|| low.value(row) + (high.value(row) - low.value(row)) * share)
    };
    Ok(Arc::new((0..at.len()).map(value).collect::<Float64Array>()))
}

fn gait_phase() -> Scalar {
    Scalar {
        name: "gait_phase",
        signature: Signature::exact(vec![DataType::Int64; 3], Volatility::Immutable),
        returns: |_| DataType::Float64,
        compute: phase,
        manual: manual(
            "How far a time is in the gait cycle from start to end, in percent: 0 at the initial contact, 100 at the same foot's \
             next; null outside of it. Start and end are `start_ns` and `time_ns` of the rows of `gait_parameters`.",
            "gait_phase(time_ns, start_ns, end_ns)",
            "SELECT gait_phase(1300, 1000, 2200)",
            "25.0",
        ),
    }
}

fn phase(arguments: &Arguments) -> Result<ArrayRef> {
    let [at, start, end] = [0, 1, 2].map(|column| arguments.columns[column].as_primitive::<Int64Type>());
    let value = |((at, start), end): ((Option<i64>, Option<i64>), Option<i64>)| {
        let (at, start, end) = (at?, start?, end?);
        let share = (at as i128 - start as i128) as f64 / (end as i128 - start as i128) as f64;
        (start <= at && at <= end && start < end).then_some(share * 100.0)
    };
    Ok(Arc::new(at.iter().zip(start).zip(end).map(value).collect::<Float64Array>()))
}
