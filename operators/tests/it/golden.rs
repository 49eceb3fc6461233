//! Does each operator still give, over its example, what its header says? `UPDATE_GOLDENS=1` writes the headers anew.

use std::fs;
use std::path::Path;

use arrow_array::Array;
use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_schema::DataType;
use proprio_core::Registration;
use twox_hash::XxHash3_64;

use crate::laws::each;
use crate::run::Run;

/// A header shows all rows up to this many, and of more the first and the last ones.
const SHOWN: usize = 14;

#[test]
fn every_example_gives_what_its_header_says() {
    let update = std::env::var_os("UPDATE_GOLDENS").is_some();
    each(|example, _| {
        let text = render(&Run::whole(&example.plan(), &example.inputs));
        let expected = example.registration.example("csv").expect("a ```csv block follows the example, empty at first");
        if update && text != expected {
            rewrite(example.registration, &text);
        } else {
            assert!(text == expected, "expected\n{expected}but the example gives\n{text}UPDATE_GOLDENS=1 writes it anew");
        }
    });
}

/// Rows as CSV, to six digits, and a last line with their number and a hash of every bit.
fn render(rows: &RecordBatch) -> String {
    let names: Vec<String> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    let mut text = names.join(",") + "\n";
    let count = rows.num_rows();
    for row in 0..count {
        if count > SHOWN && row == SHOWN * 2 / 3 {
            text += "…\n";
        }
        if count <= SHOWN || row < SHOWN * 2 / 3 || row >= count - SHOWN / 3 {
            text += &(rows.columns().iter().map(|column| cell(column.as_ref(), row)).collect::<Vec<_>>().join(",") + "\n");
        }
    }
    text + &format!("# {count} rows, every bit hashed: {:016x}\n", hash(rows))
}

fn cell(column: &dyn Array, row: usize) -> String {
    if column.is_null(row) {
        return String::new();
    }
    match column.data_type() {
        DataType::Float64 => six_digits(column.as_primitive::<Float64Type>().value(row)),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::Utf8 => match column.as_string::<i32>().value(row) {
            text if text.contains([',', '"', '\n']) => format!("{text:?}"),
            text => text.to_owned(),
        },
        other => panic!("a golden can't show {other}"),
    }
}

fn six_digits(value: f64) -> String {
    let short: f64 = format!("{value:.5e}").parse().expect("a float prints as one");
    format!("{short:?}")
}

fn hash(rows: &RecordBatch) -> u64 {
    let mut bytes = Vec::new();
    for column in rows.columns() {
        for row in 0..column.len() {
            match column.data_type() {
                _ if column.is_null(row) => bytes.extend(b"null"),
                DataType::Float64 => bytes.extend(column.as_primitive::<Float64Type>().value(row).to_bits().to_le_bytes()),
                _ => bytes.extend(cell(column.as_ref(), row).bytes()),
            }
            bytes.push(b';');
        }
    }
    XxHash3_64::oneshot(&bytes)
}

/// Puts `text` into the first `csv` block of the operator's header.
fn rewrite(registration: &Registration, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(registration.family).join(format!("{}.rs", registration.name));
    let source = fs::read_to_string(&path).expect("an operator's file can be read");
    let open = "//! ```csv\n";
    let from = source.find(open).expect("the header has a csv block") + open.len();
    let to = from + source[from..].find("//! ```\n").expect("the csv block is closed");
    let block: String = text.lines().map(|line| format!("//! {line}\n")).collect();
    fs::write(&path, format!("{}{block}{}", &source[..from], &source[to..])).expect("an operator's file can be written");
}
