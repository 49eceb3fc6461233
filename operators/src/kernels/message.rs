//! What does a row say in words? A text with `{column}` in it, filled from the row.

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, RecordBatch};
use arrow_cast::display::array_value_to_string;
use arrow_schema::{DataType, SchemaRef};

use crate::kernels::expression::ExpressionError;
use crate::kernels::names::suggest;

/// A planned text: `{{` and `}}` stand for braces.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Column(usize),
}

impl Message {
    /// A text in which nothing is filled in.
    pub fn verbatim(text: String) -> Self {
        Self { parts: vec![Part::Text(text)] }
    }

    /// Resolves the columns that `text` names.
    ///
    /// # Errors
    /// Every unknown column, and a brace without its other one.
    pub fn plan(text: &str, schema: &SchemaRef) -> Result<Self, Vec<ExpressionError>> {
        let (mut parts, mut plain, mut errors) = (Vec::new(), String::new(), Vec::new());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let tail = &rest[at..];
            if tail.starts_with("{{") || tail.starts_with("}}") {
                plain.push_str(&tail[..1]);
                rest = &tail[2..];
                continue;
            }
            let Some((name, after)) = tail.strip_prefix('{').and_then(|tail| tail.split_once('}')) else {
                let message = "a brace stands alone".to_owned();
                errors.push(ExpressionError { message, help: Some("write `{column}`, or `{{` and `}}` for braces".into()) });
                return Err(errors);
            };
            match schema.index_of(name.trim()) {
                Ok(index) => {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                    parts.push(Part::Column(index));
                }
                Err(_) => {
                    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                    errors.push(ExpressionError {
                        message: format!("there is no column `{}`", name.trim()),
                        help: suggest(name.trim(), names),
                    });
                }
            }
            rest = after;
        }
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        if errors.is_empty() { Ok(Self { parts }) } else { Err(errors) }
    }

    /// The text for one row; a null is `unknown`, a float has four significant digits.
    pub fn fill(&self, batch: &RecordBatch, row: usize) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Column(index) => value(batch.column(*index).as_ref(), row),
        };
        self.parts.iter().map(part).collect()
    }
}

fn value(column: &dyn Array, row: usize) -> String {
    if column.is_null(row) {
        return "unknown".to_owned();
    }
    if column.data_type() == &DataType::Float64 {
        let value = column.as_primitive::<Float64Type>().value(row);
        let rounded = format!("{value:.3e}").parse::<f64>().unwrap_or(value);
        return format!("{}", rounded + 0.0);
    }
    array_value_to_string(column, row).unwrap_or_else(|_| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Float64Array, Int64Array, StringArray};
    use proprio_core::schema::{StreamSchema, float, text};

    use super::*;

    #[test]
    fn fills_columns_from_the_row() {
        let schema = StreamSchema::new(vec![float("drop_deg", "deg"), text("side")], &[], None);
        let columns: Vec<arrow_array::ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![7, 8])),
            Arc::new(Float64Array::from(vec![Some(6.23456), None])),
            Arc::new(StringArray::from(vec!["left", "right"])),
        ];
        let batch = proprio_core::rows::batch(&schema, columns);
        let message = Message::plan("{{{side}}} drops {drop_deg} deg at {time_ns}", &schema.columns).expect("a message");
        assert_eq!(message.fill(&batch, 0), "{left} drops 6.235 deg at 7");
        assert_eq!(message.fill(&batch, 1), "{right} drops unknown deg at 8");
        let errors = Message::plan("{drop_dg} {sid} {", &schema.columns).expect_err("three mistakes");
        let said: Vec<_> = errors.iter().map(|error| error.message.as_str()).collect();
        assert_eq!(said, ["there is no column `drop_dg`", "there is no column `sid`", "a brace stands alone"]);
        assert_eq!(errors[0].help.as_deref(), Some("write `drop_deg`"));
    }
}
