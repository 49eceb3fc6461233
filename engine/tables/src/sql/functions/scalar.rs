//! What is a function of one row's values made of?

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::{DataType, Field};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature};

/// A pure function: its name stands for it.
#[derive(Debug)]
pub(super) struct Scalar {
    pub(super) name: &'static str,
    pub(super) signature: Signature,
    pub(super) returns: fn(&[DataType]) -> DataType,
    pub(super) compute: fn(&Arguments) -> Result<ArrayRef>,
    pub(super) manual: Documentation,
}

/// What a function is called with.
pub(super) struct Arguments {
    given: Vec<ColumnarValue>,
    /// One value a row of each argument.
    pub(super) columns: Vec<ArrayRef>,
}

impl Arguments {
    /// The value of an argument that is the same in all rows.
    pub(super) fn constant(&self, at: usize) -> Option<&datafusion::common::ScalarValue> {
        match self.given.get(at)? {
            ColumnarValue::Scalar(value) => Some(value),
            ColumnarValue::Array(_) => None,
        }
    }
}

/// A list of floats.
pub(super) fn curve_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true)))
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Scalar {}

impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Scalar {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok((self.returns)(types))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = args.args.iter().map(|value| value.to_array(args.number_rows)).collect::<Result<_>>()?;
        Ok(ColumnarValue::Array((self.compute)(&Arguments { given: args.args, columns })?))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.manual)
    }
}
