//! `cargo run -p proprio-files --example read -- trial.c3d`: what was read of a file, as `label,row,x,y,z`: markers in metres, computed
//! angles in degrees, and what the file says of the subject as `label,,value,,`. `.ci/oracles/c3d` holds it against ezc3d.

#![allow(clippy::print_stdout, reason = "what was read is its output")]

use std::path::Path;

use proprio_core::Kind;
use proprio_core::rows::{float_or_nan, floats};
use proprio_files::OpenOptions;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("which file?")?;
    let recording = proprio_files::open(Path::new(&path), &OpenOptions::default())?;
    for sensor in recording.sensors.iter().filter(|sensor| sensor.file.kind == Kind::Markers) {
        for (marker, label) in sensor.file.labels.iter().enumerate() {
            let columns = [1, 2, 3].map(|axis| floats(&sensor.rows, 3 * marker + axis));
            for row in 0..sensor.rows.num_rows() {
                let [x, y, z] = columns.map(|column| float_or_nan(column, row));
                println!("{label},{row},{x},{y},{z}");
            }
        }
    }
    for angles in &recording.angles {
        for (row, [x, y, z]) in angles.degrees.iter().enumerate() {
            println!("{},{row},{x},{y},{z}", angles.label);
        }
    }
    for parameter in &recording.subject {
        println!("{},,{},,", parameter.name, parameter.value);
    }
    Ok(())
}
