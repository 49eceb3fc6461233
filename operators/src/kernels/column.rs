//! Columns that wait in an operator's state, and how values are gathered from them by [`Pick`].

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, StringArray};
use arrow_schema::{DataType, Field};
use proprio_core::TimeNs;
use proprio_core::rows::nan_as_null;
use serde::{Deserialize, Serialize};

use super::pick::{Pick, Reason};
use super::quaternion::{Quaternion, accumulate, normalized, slerp};

/// The values of one column.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Column {
    /// NaN stands for null.
    Float(Vec<f64>),
    /// `Int64`.
    Integer(Vec<Option<i64>>),
    /// `Boolean`.
    Boolean(Vec<Option<bool>>),
    /// `Utf8`.
    Text(Vec<Option<String>>),
}

impl Column {
    /// Without values; `None` for a type that can't be kept.
    pub fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Float64 => Some(Self::Float(Vec::new())),
            DataType::Int64 => Some(Self::Integer(Vec::new())),
            DataType::Boolean => Some(Self::Boolean(Vec::new())),
            DataType::Utf8 => Some(Self::Text(Vec::new())),
            _ => None,
        }
    }

    /// Appends an array.
    ///
    /// # Panics
    /// When it has another type.
    pub fn extend(&mut self, array: &dyn Array) {
        match self {
            Self::Float(values) => {
                let array = array.as_primitive::<Float64Type>();
                if array.null_count() == 0 {
                    values.extend_from_slice(array.values());
                } else {
                    values.extend(array.iter().map(|value| value.unwrap_or(f64::NAN)));
                }
            }
            Self::Integer(values) => values.extend(array.as_primitive::<Int64Type>().iter()),
            Self::Boolean(values) => values.extend(array.as_boolean().iter()),
            Self::Text(values) => values.extend(array.as_string::<i32>().iter().map(|value| value.map(str::to_owned))),
        }
    }

    /// Forgets the first `count` values.
    pub fn drop_first(&mut self, count: usize) {
        match self {
            Self::Float(values) => drop(values.drain(..count)),
            Self::Integer(values) => drop(values.drain(..count)),
            Self::Boolean(values) => drop(values.drain(..count)),
            Self::Text(values) => drop(values.drain(..count)),
        }
    }

    /// One value a pick: floats between their two rows, others from the nearer.
    pub fn gather(&self, picks: &[Pick], out: &mut Vec<ArrayRef>) {
        out.push(match self {
            Self::Float(values) => nan_as_null(between(values, picks)),
            Self::Integer(values) => Arc::new(nearer(picks, |row| values[row]).collect::<Int64Array>()),
            Self::Boolean(values) => Arc::new(nearer(picks, |row| values[row]).collect::<BooleanArray>()),
            Self::Text(values) => Arc::new(nearer(picks, |row| values[row].as_deref()).collect::<StringArray>()),
        });
    }

    /// Picks for this column alone: the last row at or before the pick's that holds a value and is within the tolerance.
    pub fn last_values(&self, times: &[TimeNs], picks: &[Pick], grid: &[TimeNs], tolerance_ns: i64) -> Vec<Pick> {
        let last = |(pick, time): (&Pick, &TimeNs)| {
            if pick.reason == Reason::Missing || self.has_value(pick.from) {
                return *pick;
            }
            let near = |row: &usize| time.saturating_sub(times[*row]) <= tolerance_ns;
            let row = (0..pick.from).rev().take_while(near).find(|row| self.has_value(*row));
            row.map_or(Pick::MISSING, |row| Pick { reason: Reason::Held, from: row, to: row, weight: 0.0 })
        };
        picks.iter().zip(grid).map(last).collect()
    }

    fn has_value(&self, row: usize) -> bool {
        match self {
            Self::Float(values) => !values[row].is_nan(),
            Self::Integer(values) => values[row].is_some(),
            Self::Boolean(values) => values[row].is_some(),
            Self::Text(values) => values[row].is_some(),
        }
    }

    fn mean(&self, picks: &[Pick], out: &mut Vec<ArrayRef>) {
        match self {
            Self::Float(values) => out.push(nan_as_null(means(values, picks))),
            other => other.gather(&picks.iter().map(|pick| Pick { from: pick.to, ..*pick }).collect::<Vec<_>>(), out),
        }
    }

    fn floats(&self) -> &[f64] {
        match self {
            Self::Float(values) => values,
            _ => unreachable!("a rotation's columns are floats"),
        }
    }
}

/// Neighbouring columns that are gathered together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// One column, by its position.
    Single(usize),
    /// `…q_w …q_x …q_y …q_z`, by the first one's position.
    Rotation(usize),
}

impl Group {
    /// The groups of these columns, in their order.
    pub fn of(fields: &[&Field]) -> Vec<Self> {
        let mut groups = Vec::new();
        let mut at = 0;
        while at < fields.len() {
            let rotation = is_rotation(&fields[at..]);
            groups.push(if rotation { Self::Rotation(at) } else { Self::Single(at) });
            at += if rotation { 4 } else { 1 };
        }
        groups
    }

    /// The values of the group's columns; with `mean`, of all rows of each pick instead of between two.
    pub fn gather(&self, columns: &[Column], picks: &[Pick], mean: bool, out: &mut Vec<ArrayRef>) {
        match *self {
            Self::Single(at) if mean => columns[at].mean(picks, out),
            Self::Single(at) => columns[at].gather(picks, out),
            Self::Rotation(at) => {
                let parts = [0, 1, 2, 3].map(|part| columns[at + part].floats());
                out.extend(rotations(parts, picks, mean).map(nan_as_null));
            }
        }
    }
}

/// Whether the first four columns are one rotation: floats that share a stem before `q_w`, `q_x`, `q_y`, `q_z`.
pub fn is_rotation(fields: &[&Field]) -> bool {
    let stem = |field: &&Field, part: &str| field.name().strip_suffix(part).map(str::to_owned);
    let Some(first) = fields.first().and_then(|field| stem(field, "q_w")) else { return false };
    (first.is_empty() || first.ends_with('_'))
        && fields.len() >= 4
        && fields[..4]
            .iter()
            .zip(["q_w", "q_x", "q_y", "q_z"])
            .all(|(field, part)| *field.data_type() == DataType::Float64 && stem(field, part).as_ref() == Some(&first))
}

fn between(values: &[f64], picks: &[Pick]) -> Vec<f64> {
    let first = picks.first().map_or(0, |pick| pick.from);
    if picks.iter().zip(first..).all(|(pick, row)| pick.reason == Reason::Exact && pick.from == row) {
        // Rows that lie on the grid one after the other are taken as they are.
        return values[first..first + picks.len()].to_vec();
    }
    let value = |pick: &Pick| match pick.reason {
        Reason::Missing => f64::NAN,
        Reason::Interpolated => values[pick.from] + (values[pick.to] - values[pick.from]) * pick.weight,
        Reason::Exact | Reason::Held => values[pick.from],
    };
    picks.iter().map(value).collect()
}

fn nearer<'a, T>(picks: &'a [Pick], value: impl Fn(usize) -> Option<T> + 'a) -> impl Iterator<Item = Option<T>> + 'a {
    picks.iter().map(move |pick| if pick.reason == Reason::Missing { None } else { value(pick.nearer()) })
}

fn means(values: &[f64], picks: &[Pick]) -> Vec<f64> {
    let mean = |pick: &Pick| {
        if pick.reason == Reason::Missing {
            return f64::NAN;
        }
        let (mut sum, mut count) = (0.0, 0.0);
        for value in values[pick.from..=pick.to].iter().filter(|value| !value.is_nan()) {
            sum += value;
            count += 1.0;
        }
        sum / count
    };
    picks.iter().map(mean).collect()
}

fn rotations(parts: [&[f64]; 4], picks: &[Pick], mean: bool) -> [Vec<f64>; 4] {
    let at = |row: usize| -> Quaternion { parts.map(|part| part[row]) };
    let mut out = [(); 4].map(|()| Vec::with_capacity(picks.len()));
    for pick in picks {
        let value = match pick.reason {
            Reason::Missing => [f64::NAN; 4],
            Reason::Interpolated if mean => {
                let mut sum = [0.0; 4];
                (pick.from..=pick.to).for_each(|row| accumulate(&mut sum, at(row)));
                normalized(sum)
            }
            Reason::Interpolated => slerp(at(pick.from), at(pick.to), pick.weight),
            Reason::Exact | Reason::Held => at(pick.from),
        };
        out.iter_mut().zip(value).for_each(|(out, value)| out.push(value));
    }
    out
}
