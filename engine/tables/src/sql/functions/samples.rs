//! What is a function of a group's samples in order of time made of?
//!
//! The rows of a group come from hot batches and files in any order, so the samples are kept with their times and sorted before
//! anything is computed. Memory grows with the largest groups: windows, strides and contractions, not years.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Documentation, Signature, Volatility};

/// Aggregates `(value, time_ns, …)`: the further arguments are whole numbers that are the same in all rows of a group.
#[derive(Debug)]
pub(super) struct OfSamples {
    name: &'static str,
    signature: Signature,
    returns: DataType,
    further: usize,
    compute: Compute,
    manual: Documentation,
}

/// From (time, value), by time, all finite, and the further arguments.
pub(super) type Compute = fn(&[(i64, f64)], &[i64]) -> ScalarValue;

impl OfSamples {
    pub(super) fn new(name: &'static str, further: usize, returns: DataType, compute: Compute, manual: Documentation) -> Self {
        let types = [vec![DataType::Float64], vec![DataType::Int64; 1 + further]].concat();
        let signature = Signature::exact(types, Volatility::Immutable);
        Self { name, signature, returns, further, compute, manual }
    }
}

impl PartialEq for OfSamples {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for OfSamples {}

impl Hash for OfSamples {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl AggregateUDFImpl for OfSamples {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Samples { compute: self.compute, samples: Vec::new(), further: vec![None; self.further] }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let list = |name: &str, data_type: DataType| {
            let items = DataType::List(Arc::new(Field::new_list_field(data_type, true)));
            Arc::new(Field::new(format!("{}[{name}]", args.name), items, true))
        };
        let further = (0..self.further).map(|at| Arc::new(Field::new(format!("{}[{at}]", args.name), DataType::Int64, true)));
        Ok([list("times", DataType::Int64), list("values", DataType::Float64)].into_iter().chain(further).collect())
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.manual)
    }
}

#[derive(Debug)]
struct Samples {
    compute: Compute,
    samples: Vec<(i64, f64)>,
    further: Vec<Option<i64>>,
}

impl Samples {
    fn take(&mut self, times: &ArrayRef, values: &ArrayRef) {
        let (times, values) = (times.as_primitive::<Int64Type>(), values.as_primitive::<Float64Type>());
        let whole = times.iter().zip(values).filter_map(|(time, value)| Some((time?, value?)));
        self.samples.extend(whole.filter(|(_, value)| value.is_finite()));
    }

    /// The least of what should be one value, so that the answer hangs on no order.
    fn take_further(&mut self, columns: &[ArrayRef]) {
        for (held, column) in self.further.iter_mut().zip(columns) {
            let least = column.as_primitive::<Int64Type>().iter().flatten().min();
            *held = [*held, least].into_iter().flatten().min();
        }
    }
}

impl Accumulator for Samples {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.take(&columns[1], &columns[0]);
        self.take_further(&columns[2..]);
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (times, values) = (states[0].as_list::<i32>(), states[1].as_list::<i32>());
        for row in 0..times.len() {
            self.take(&times.value(row), &values.value(row));
        }
        self.take_further(&states[2..]);
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let times: Vec<ScalarValue> = self.samples.iter().map(|(time, _)| ScalarValue::from(*time)).collect();
        let values: Vec<ScalarValue> = self.samples.iter().map(|(_, value)| ScalarValue::from(*value)).collect();
        let lists = [
            ScalarValue::List(ScalarValue::new_list_nullable(&times, &DataType::Int64)),
            ScalarValue::List(ScalarValue::new_list_nullable(&values, &DataType::Float64)),
        ];
        Ok(lists.into_iter().chain(self.further.iter().map(|value| ScalarValue::Int64(*value))).collect())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.samples.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let further: Option<Vec<i64>> = self.further.iter().copied().collect();
        Ok((self.compute)(&self.samples, &further.unwrap_or_default()))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.samples.capacity() * size_of::<(i64, f64)>()
    }
}
