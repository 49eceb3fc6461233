//! `cargo run -p proprio-accuracy --example step -- emg_envelope '{}' emg/ID0012_TW_01_emg.csv uV`: what an operator makes of a
//! recording, as CSV, for the oracles under `.ci/oracles`. The last argument is for tables of EMG: the unit of their columns.

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
    proprio_accuracy::write_csv(&rows, std::io::stdout().lock())?;
    Ok(())
}
