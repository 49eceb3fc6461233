//! How do rows look to other people's programs? As CSV, each value in full.

use std::io::{self, Write};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;

/// Writes a header and all rows; a null is an empty cell.
///
/// # Errors
/// When `out` refuses.
pub fn write_csv(rows: &RecordBatch, mut out: impl Write) -> io::Result<()> {
    let names: Vec<String> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    writeln!(out, "{}", names.join(","))?;
    for row in 0..rows.num_rows() {
        let cells: Vec<String> = (0..rows.num_columns()).map(|column| cell(rows, column, row)).collect();
        writeln!(out, "{}", cells.join(","))?;
    }
    out.flush()
}

fn cell(rows: &RecordBatch, column: usize, row: usize) -> String {
    let column = rows.column(column);
    match column.data_type() {
        _ if column.is_null(row) => String::new(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float64 => format!("{:e}", column.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        _ => format!("\"{}\"", column.as_string::<i32>().value(row)),
    }
}
