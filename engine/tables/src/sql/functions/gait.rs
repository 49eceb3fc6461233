//! How far is a cycle from a reference, and how far are the sides from each other?

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, Float64Array};
use arrow_schema::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{Signature, Volatility};
use proprio_operators::kernels::gait_score;

use super::manual;
use super::scalar::{Arguments, Scalar, curve_type};

pub(super) fn functions() -> Vec<Scalar> {
    vec![
        of_sides(
            "symmetry_index",
            |arguments| sides(arguments, gait_score::symmetry_index_percent),
            "(right − left) / mean · 100, in percent: how far the right side is above the left one (Robinson et al. 1987). Null when \
             both together are nothing; near there take symmetry_angle.",
            "SELECT symmetry_index(1.0, 1.5)",
            "40.0",
        ),
        of_sides(
            "symmetry_angle",
            |arguments| sides(arguments, gait_score::symmetry_angle_percent),
            "(45° − atan(left / right)) / 90° · 100, in percent: the arctangent form, which needs no mean to divide by (Zifchock et \
             al. 2008). Null when both are zero.",
            "SELECT symmetry_angle(1.0, -1.0)",
            "100.0",
        ),
        gait_variable_score(),
        gait_profile_score(),
    ]
}

fn of_sides(name: &'static str, compute: fn(&Arguments) -> Result<ArrayRef>, about: &str, example: &str, answer: &str) -> Scalar {
    Scalar {
        name,
        signature: Signature::exact(vec![DataType::Float64; 2], Volatility::Immutable),
        returns: |_| DataType::Float64,
        compute,
        manual: manual(about, &format!("{name}(left, right)"), example, answer),
    }
}

fn sides(arguments: &Arguments, of: fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let [left, right] = [0, 1].map(|at| arguments.columns[at].as_primitive::<Float64Type>());
    let value = |(left, right): (Option<f64>, Option<f64>)| Some(of(left?, right?)).filter(|value| !value.is_nan());
    Ok(Arc::new(left.iter().zip(right).map(value).collect::<Float64Array>()))
}

fn gait_variable_score() -> Scalar {
    Scalar {
        name: "gait_variable_score",
        signature: Signature::exact(vec![curve_type(), curve_type()], Volatility::Immutable),
        returns: |_| DataType::Float64,
        compute: variable_score,
        manual: manual(
            "The root mean square of a curve's differences from a reference, point by point, in the curve's unit (Baker et al. 2009, \
             over the 51 points that time_normalise gives). Null when a point is missing.",
            "gait_variable_score(curve, reference)",
            "SELECT round(gait_variable_score([3.0, 4.0], [0.0, 0.0]), 3)",
            "3.536",
        ),
    }
}

/// The values of a row's list; `None` when it or one of them is null.
fn curve(column: &ArrayRef, row: usize) -> Option<Float64Array> {
    let lists = column.as_list::<i32>();
    let points = lists.is_valid(row).then(|| lists.value(row).as_primitive::<Float64Type>().clone())?;
    (points.null_count() == 0 && !points.is_empty()).then_some(points)
}

fn variable_score(arguments: &Arguments) -> Result<ArrayRef> {
    let [curves, references] = [0, 1].map(|at| &arguments.columns[at]);
    let score = |row: usize| {
        let (Some(curve), Some(reference)) = (curve(curves, row), curve(references, row)) else { return Ok(None) };
        if curve.len() != reference.len() {
            return exec_err!("a curve of {} points can't be compared with a reference of {}", curve.len(), reference.len());
        }
        let reference = gait_score::Band { mean: reference.values().to_vec(), sd: Vec::new() };
        Ok(Some(reference.score(curve.values())))
    };
    Ok(Arc::new((0..curves.len()).map(score).collect::<Result<Float64Array>>()?))
}

fn gait_profile_score() -> Scalar {
    Scalar {
        name: "gait_profile_score",
        signature: Signature::exact(vec![curve_type()], Volatility::Immutable),
        returns: |_| DataType::Float64,
        compute: |arguments| {
            let scores = &arguments.columns[0];
            let score = |row: usize| Some(gait_score::root_mean_square(curve(scores, row)?.values().iter().copied()));
            Ok(Arc::new((0..scores.len()).map(score).collect::<Float64Array>()))
        },
        manual: manual(
            "The root mean square of gait variable scores, in degrees when theirs is degrees (Baker et al. 2009); the smallest change \
             that matters to clinicians is 1.6° (Baker et al. 2012). Null when one of them is.",
            "gait_profile_score(scores)",
            "SELECT round(gait_profile_score([3.0, 4.0, 12.0]), 3)",
            "7.506",
        ),
    }
}
