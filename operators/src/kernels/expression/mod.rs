//! What is a condition worth on each row? SQL expressions over a stream's columns, planned once and evaluated over whole columns.
//!
//! The syntax is SQL's: comparisons, `+ - * / %`, `and or not`, `between`, `in`, `is [not] null`, `case`, string equality, and the
//! functions `abs least greatest coalesce sqrt`. Numbers are `f64`. There are no functions of time or chance, so a value depends on
//! its row alone. A result that is no finite number (a division by zero, a root of a negative number) is null, and so is anything
//! computed from a null, by SQL's three-valued logic.

mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_arith::boolean::{and_kleene, is_not_null, is_null, not, or_kleene};
use arrow_arith::numeric;
use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, Datum, Float64Array, RecordBatch, StringArray};
use arrow_buffer::BooleanBuffer;
use arrow_cast::cast;
use arrow_ord::cmp;
use arrow_schema::{DataType, Schema, SchemaRef};
use arrow_select::zip::zip;
use proprio_core::schema::{FieldExt, meta};
use proprio_core::{Findings, PlanFinding, pointer_part};

/// What an expression gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `f64`; integer columns are read as such.
    Number,
    /// A string.
    Text,
    /// True, false or null.
    Boolean,
}

/// One mistake in an expression, with the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// Mistakes in an expression, as findings at a JSON pointer into `with:`.
pub fn found_at(pointer: &str, errors: Vec<ExpressionError>) -> Findings {
    errors.into_iter().map(|error| PlanFinding { help: error.help, ..PlanFinding::config(pointer, error.message) }).collect()
}

/// An expression whose columns and types are resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    root: Node,
    kind: Type,
}

/// Longest text of an expression, in bytes; it also bounds how deep the tree can be.
pub const MAX_LENGTH: usize = 1000;

impl Expression {
    /// As [`condition`](Self::condition), of a text at a JSON pointer into `with:`.
    ///
    /// # Errors
    /// Every mistake, there.
    pub fn condition_at(pointer: &str, text: &str, schema: &SchemaRef) -> Result<Self, Findings> {
        Self::condition(text, schema).map_err(|errors| found_at(pointer, errors))
    }

    /// As [`condition_at`](Self::condition_at), of several texts by name, each at its name's pointer below this one.
    ///
    /// # Errors
    /// Every mistake in all of them.
    pub fn conditions_at(pointer: &str, texts: &BTreeMap<String, String>, schema: &SchemaRef) -> Result<Vec<(String, Self)>, Findings> {
        let (mut conditions, mut findings) = (Vec::new(), Findings::new());
        for (name, text) in texts {
            match Self::condition_at(&format!("{pointer}/{}", pointer_part(name)), text, schema) {
                Ok(condition) => conditions.push((name.clone(), condition)),
                Err(found) => findings.extend(found),
            }
        }
        if findings.is_empty() { Ok(conditions) } else { Err(findings) }
    }

    /// As [`number`](Self::number), of a text at a JSON pointer into `with:`.
    ///
    /// # Errors
    /// Every mistake, there.
    pub fn number_at(pointer: &str, text: &str, schema: &SchemaRef) -> Result<Self, Findings> {
        Self::number(text, schema).map_err(|errors| found_at(pointer, errors))
    }

    /// What it gives.
    pub fn kind(&self) -> Type {
        self.kind
    }

    /// The unit that all numbers it reads have in common; none where they differ or have none. What is computed from them may be in another,
    /// such as a product.
    pub fn unit(&self, schema: &Schema) -> Option<String> {
        let mut columns = Vec::new();
        self.root.numbers(&mut columns);
        let mut units = columns.into_iter().map(|index| schema.field(index).meta(meta::UNIT));
        let first = units.next()??;
        units.all(|unit| unit == Some(first)).then(|| first.to_owned())
    }

    /// A condition over `batch`, whose schema is the one it was planned against: one value a row, null where it can't be told.
    ///
    /// # Panics
    /// When the expression is no condition; see [`Expression::condition`].
    pub fn holds(&self, batch: &RecordBatch) -> BooleanArray {
        self.root.evaluate(batch).booleans(batch.num_rows())
    }

    /// One value a row, of the type [`Expression::kind`] says.
    pub fn values(&self, batch: &RecordBatch) -> ArrayRef {
        self.root.evaluate(batch).rows(batch.num_rows())
    }

    /// This condition turned around: null stays null.
    ///
    /// # Panics
    /// When the expression is no condition.
    #[must_use]
    pub fn negated(self) -> Self {
        assert_eq!(self.kind, Type::Boolean, "only a condition can be turned around");
        Self { root: Node::Not(Box::new(self.root)), kind: Type::Boolean }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Column(usize, Type),
    Number(f64),
    Text(String),
    Boolean(bool),
    Null(Type),
    Compare(Comparison, Box<Node>, Box<Node>),
    Arithmetic(Arithmetic, Box<Node>, Box<Node>),
    Negate(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    IsNull(Box<Node>),
    Call(Function, Vec<Node>),
    /// Conditions with their results, then the result where none holds.
    Case(Vec<(Node, Node)>, Box<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Abs,
    Sqrt,
    Least,
    Greatest,
    Coalesce,
}

/// A column, or one value that stands for every row.
struct Column {
    values: ArrayRef,
    is_constant: bool,
}

impl Datum for Column {
    fn get(&self) -> (&dyn Array, bool) {
        (self.values.as_ref(), self.is_constant)
    }
}

impl Column {
    fn constant(values: impl Array + 'static) -> Self {
        Self { values: Arc::new(values), is_constant: true }
    }

    fn of_rows(values: impl Array + 'static) -> Self {
        Self { values: Arc::new(values), is_constant: false }
    }

    /// The values, spread over all rows where they are constant.
    fn rows(self, rows: usize) -> ArrayRef {
        if !self.is_constant {
            return self.values;
        }
        let every = BooleanArray::new(BooleanBuffer::new_set(rows), None);
        zip(&every, &self, &self).expect("both sides are one value of one type")
    }

    fn booleans(self, rows: usize) -> BooleanArray {
        self.rows(rows).as_boolean().clone()
    }

    fn numbers(self, rows: usize) -> Float64Array {
        self.rows(rows).as_primitive::<Float64Type>().clone()
    }
}

impl Node {
    /// The columns of numbers that the result is made of; those that only decide between results are none.
    fn numbers(&self, into: &mut Vec<usize>) {
        match self {
            Self::Column(index, Type::Number) => into.push(*index),
            Self::Arithmetic(_, left, right) => [left, right].into_iter().for_each(|node| node.numbers(into)),
            Self::Negate(operand) => operand.numbers(into),
            Self::Call(_, arguments) => arguments.iter().for_each(|argument| argument.numbers(into)),
            Self::Case(branches, otherwise) => {
                branches.iter().map(|(_, result)| result).chain([otherwise.as_ref()]).for_each(|node| node.numbers(into));
            }
            Self::Column(..) | Self::Number(_) | Self::Text(_) | Self::Boolean(_) | Self::Null(_) => {}
            Self::Compare(..) | Self::And(..) | Self::Or(..) | Self::Not(_) | Self::IsNull(_) => {}
        }
    }

    fn evaluate(&self, batch: &RecordBatch) -> Column {
        let rows = batch.num_rows();
        match self {
            Self::Column(index, Type::Number) => {
                let numbers = cast(batch.column(*index), &DataType::Float64).expect("planning lets numbers through alone");
                Column::of_rows(finite(numbers.as_primitive()))
            }
            Self::Column(index, Type::Text | Type::Boolean) => Column { values: batch.column(*index).clone(), is_constant: false },
            Self::Number(value) => Column::constant(Float64Array::from(vec![*value])),
            Self::Text(value) => Column::constant(StringArray::from(vec![value.as_str()])),
            Self::Boolean(value) => Column::constant(BooleanArray::from(vec![*value])),
            Self::Null(kind) => Column { values: arrow_array::new_null_array(&kind.arrow(), 1), is_constant: true },
            Self::Compare(operator, left, right) => operator.apply(&left.evaluate(batch), &right.evaluate(batch)),
            Self::Arithmetic(operator, left, right) => operator.apply(&left.evaluate(batch), &right.evaluate(batch)),
            Self::Negate(operand) => Column::of_rows(operand.evaluate(batch).numbers(rows).unary::<_, Float64Type>(|value| 0.0 - value)),
            Self::And(left, right) => {
                let (left, right) = (left.evaluate(batch).booleans(rows), right.evaluate(batch).booleans(rows));
                Column::of_rows(and_kleene(&left, &right).expect("both sides have the batch's length"))
            }
            Self::Or(left, right) => {
                let (left, right) = (left.evaluate(batch).booleans(rows), right.evaluate(batch).booleans(rows));
                Column::of_rows(or_kleene(&left, &right).expect("both sides have the batch's length"))
            }
            Self::Not(operand) => Column::of_rows(not(&operand.evaluate(batch).booleans(rows)).expect("a boolean column can be negated")),
            Self::IsNull(operand) => Column::of_rows(is_null(&operand.evaluate(batch).rows(rows)).expect("any column has a validity")),
            Self::Call(function, arguments) => function.call(arguments, batch),
            Self::Case(branches, otherwise) => {
                let last = otherwise.evaluate(batch).rows(rows);
                let values = branches.iter().rev().fold(last, |below, (condition, result)| {
                    let result = result.evaluate(batch).rows(rows);
                    zip(&condition.evaluate(batch).booleans(rows), &result, &below).expect("planning gives all branches one type")
                });
                Column { values, is_constant: false }
            }
        }
    }
}

impl Type {
    fn arrow(self) -> DataType {
        match self {
            Self::Number => DataType::Float64,
            Self::Text => DataType::Utf8,
            Self::Boolean => DataType::Boolean,
        }
    }
}

impl Comparison {
    fn apply(self, left: &Column, right: &Column) -> Column {
        let kernel = match self {
            Self::Equal => cmp::eq,
            Self::NotEqual => cmp::neq,
            Self::Less => cmp::lt,
            Self::LessOrEqual => cmp::lt_eq,
            Self::Greater => cmp::gt,
            Self::GreaterOrEqual => cmp::gt_eq,
        };
        let values = kernel(left, right).expect("planning gives both sides one type");
        Column { values: Arc::new(values), is_constant: left.is_constant && right.is_constant }
    }
}

impl Arithmetic {
    fn apply(self, left: &Column, right: &Column) -> Column {
        let kernel = match self {
            Self::Add => numeric::add,
            Self::Subtract => numeric::sub,
            Self::Multiply => numeric::mul,
            Self::Divide => numeric::div,
            Self::Remainder => numeric::rem,
        };
        let values = kernel(left, right).expect("planning lets numbers through alone");
        Column { values: Arc::new(finite(values.as_primitive())), is_constant: left.is_constant && right.is_constant }
    }
}

impl Function {
    fn call(self, arguments: &[Node], batch: &RecordBatch) -> Column {
        let rows = batch.num_rows();
        let mut arguments = arguments.iter().map(|argument| argument.evaluate(batch));
        let first = arguments.next().expect("planning refuses a call without arguments");
        match self {
            Self::Abs => Column::of_rows(first.numbers(rows).unary::<_, Float64Type>(f64::abs)),
            Self::Sqrt => Column::of_rows(first.numbers(rows).unary_opt::<_, Float64Type>(|value| (value >= 0.0).then(|| value.sqrt()))),
            Self::Least => extreme(first, arguments, rows, f64::min),
            Self::Greatest => extreme(first, arguments, rows, f64::max),
            Self::Coalesce => {
                let values = arguments.fold(first.rows(rows), |values, next| {
                    let is_known = is_not_null(&values).expect("any column has a validity");
                    zip(&is_known, &values, &next.rows(rows)).expect("planning gives all arguments one type")
                });
                Column { values, is_constant: false }
            }
        }
    }
}

/// Folds numbers row by row, passing over nulls: null only where all are.
fn extreme(first: Column, others: impl Iterator<Item = Column>, rows: usize, choose: fn(f64, f64) -> f64) -> Column {
    let values = others.fold(first.numbers(rows), |values, next| {
        let next = next.numbers(rows);
        let pairs = values.iter().zip(&next).map(|(a, b)| match (a, b) {
            (Some(a), Some(b)) => Some(choose(a, b)),
            (one, other) => one.or(other),
        });
        pairs.collect()
    });
    Column::of_rows(values)
}

/// Arrow compares floats in total order, where NaN is above all and −0 below 0: the one becomes null, the other 0.
fn finite(numbers: &Float64Array) -> Float64Array {
    numbers.unary_opt::<_, Float64Type>(|value| value.is_finite().then_some(value + 0.0))
}

#[cfg(test)]
mod tests;
