//! Sums over groups that need no order: root mean square, and the mean of curves.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Signature, Volatility};

use super::manual;
use super::scalar::curve_type;

pub(super) fn rms() -> AggregateUDF {
    let manual = manual(
        "The root mean square, in the unit of the values: of a window of band-passed EMG its amplitude. Null of nothing.",
        "rms(value)",
        "SELECT rms(value) FROM (VALUES (3.0), (-4.0), (NULL), (5.0), (0.0)) AS t(value)",
        "3.5355339059327378",
    );
    AggregateUDF::new_from_impl(Mean {
        name: "rms",
        of: DataType::Float64,
        start: || Box::<MeanSquare>::default(),
        manual,
        signature: one(DataType::Float64),
    })
}

pub(super) fn mean_curve() -> AggregateUDF {
    let manual = manual(
        "The mean of curves, point by point: of a subject's cycles their baseline. Curves with a missing point are left out; all have \
         the same number of points. Null of nothing.",
        "mean_curve(curve)",
        "SELECT mean_curve(curve)[2] FROM (VALUES ([1.0, 2.0]), ([3.0, 6.0]), ([NULL, 1.0])) AS t(curve)",
        "4.0",
    );
    AggregateUDF::new_from_impl(Mean {
        name: "mean_curve",
        of: curve_type(),
        start: || Box::<MeanCurve>::default(),
        manual,
        signature: one(curve_type()),
    })
}

fn one(data_type: DataType) -> Signature {
    Signature::exact(vec![data_type], Volatility::Immutable)
}

/// A mean of some kind: sums, and how many.
#[derive(Debug)]
struct Mean {
    name: &'static str,
    /// The type of the values, of the sum and of the answer.
    of: DataType,
    start: fn() -> Box<dyn Accumulator>,
    manual: Documentation,
    signature: Signature,
}

impl PartialEq for Mean {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Mean {}

impl Hash for Mean {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl AggregateUDFImpl for Mean {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.of.clone())
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok((self.start)())
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let sum = Field::new(format!("{}[sum]", args.name), self.of.clone(), true);
        Ok(vec![Arc::new(sum), Arc::new(Field::new(format!("{}[count]", args.name), DataType::Int64, true))])
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.manual)
    }
}

#[derive(Debug, Default)]
struct MeanSquare {
    sum: f64,
    count: i64,
}

impl Accumulator for MeanSquare {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let values = columns[0].as_primitive::<Float64Type>();
        self.count += (values.len() - values.null_count()) as i64;
        self.sum += match values.null_count() {
            0 => values.values().iter().map(|value| value * value).sum::<f64>(),
            _ => values.iter().flatten().map(|value| value * value).sum(),
        };
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.sum += states[0].as_primitive::<Float64Type>().iter().flatten().sum::<f64>();
        self.count += states[1].as_primitive::<Int64Type>().iter().flatten().sum::<i64>();
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::from(self.sum), ScalarValue::from(self.count)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64((self.count > 0).then(|| (self.sum / self.count as f64).sqrt())))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

#[derive(Debug, Default)]
struct MeanCurve {
    sums: Vec<f64>,
    count: i64,
}

impl MeanCurve {
    fn add(&mut self, curves: &ArrayRef, counts: impl Iterator<Item = i64>) -> Result<()> {
        let curves = curves.as_list::<i32>();
        for (row, count) in counts.enumerate() {
            if curves.is_null(row) {
                continue;
            }
            let curve = curves.value(row);
            let points = curve.as_primitive::<Float64Type>();
            if points.null_count() > 0 || points.is_empty() {
                continue;
            }
            if self.count > 0 && points.len() != self.sums.len() {
                return exec_err!("curves of {} and of {} points have no mean", self.sums.len(), points.len());
            }
            self.sums.resize(points.len(), 0.0);
            self.sums.iter_mut().zip(points.values()).for_each(|(sum, point)| *sum += point);
            self.count += count;
        }
        Ok(())
    }

    fn list(points: impl Iterator<Item = f64>) -> ScalarValue {
        let points: Vec<ScalarValue> = points.map(ScalarValue::from).collect();
        ScalarValue::List(ScalarValue::new_list_nullable(&points, &DataType::Float64))
    }
}

impl Accumulator for MeanCurve {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.add(&columns[0], std::iter::repeat_n(1, columns[0].len()))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.add(&states[0], states[1].as_primitive::<Int64Type>().values().iter().copied())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![Self::list(self.sums.iter().copied()), ScalarValue::from(self.count)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.count == 0 {
            return Ok(ScalarValue::new_null_list(DataType::Float64, true, 1));
        }
        Ok(Self::list(self.sums.iter().map(|sum| sum / self.count as f64)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.sums.capacity() * size_of::<f64>()
    }
}
