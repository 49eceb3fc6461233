//! `cargo run -p proprio-accuracy --example step -- emg_envelope '{}' emg/ID0012_TW_01_emg.csv uV`: what an operator makes of a
//! recording, as CSV, for the oracles under `.ci/oracles`. The last argument is for tables of EMG: the unit of their columns.

#![allow(clippy::print_stdout, reason = "the rows are its output")]

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use proprio_accuracy::{Bench, streams};
use proprio_core::Kind;
use proprio_files::OpenOptions;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [op, config, file, unit @ ..] = arguments.as_slice() else {
        return Err("an operator, its configuration and a file are due".into());
    };
    let table = unit.first().map(|unit| OpenOptions {
        kind: Some(Kind::Emg),
        units: [("emg".to_owned(), unit.clone())].into(),
        ..OpenOptions::default()
    });
    let mut bench = Bench::of_environment();
    let inputs = streams(&bench, file, &table.unwrap_or_default())?;
    let (_, rows) = bench.step("step", op, serde_json::from_str(config)?, &inputs)?;
    let names: Vec<String> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    println!("{}", names.join(","));
    for row in 0..rows.num_rows() {
        let cells: Vec<String> = (0..rows.num_columns()).map(|column| cell(&rows, column, row)).collect();
        println!("{}", cells.join(","));
    }
    Ok(())
}

/// A value in full; nothing where it is null.
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
