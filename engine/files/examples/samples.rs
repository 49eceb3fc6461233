//! `cargo run -p proprio-files --example samples -- trial.xdf`: every sample that was read of a file, as `sensor,row,time_s` and the
//! sample's numbers, in SI units; times are those of the recorder. `.ci/oracles/xdf` holds it against pyxdf.

#![allow(clippy::print_stdout, reason = "what was read is its output")]

use std::path::Path;

use arrow_schema::DataType;
use proprio_core::rows::{float_or_nan, floats, times};
use proprio_files::OpenOptions;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("which file?")?;
    let recording = proprio_files::open(Path::new(&path), &OpenOptions::default())?;
    let zero_s = recording.parameters.iter().find(|parameter| parameter.name == "First sample").map_or(0.0, |zero| zero.value);
    for sensor in &recording.sensors {
        let fields = sensor.rows.schema();
        let numbers = (0..sensor.rows.num_columns()).filter(|column| *fields.field(*column).data_type() == DataType::Float64);
        let numbers: Vec<_> = numbers.map(|column| floats(&sensor.rows, column)).collect();
        for (row, time) in times(&sensor.rows).iter().enumerate() {
            let values: String = numbers.iter().map(|column| format!(",{:e}", float_or_nan(column, row))).collect();
            println!("{},{row},{:.9}{values}", sensor.name, zero_s + *time as f64 / 1e9);
        }
    }
    Ok(())
}
