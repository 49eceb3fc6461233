//! `cargo run -p proprio-accuracy --example figures -- orientation`: the figures of some suites without building the engine, for
//! whoever works on an operator. `proprio accuracy` is the real command.

#![allow(clippy::print_stdout, reason = "the figures are its output")]

use proprio_accuracy::{AccuracyError, Bench, Recorded, SUITES};

fn main() -> Result<(), AccuracyError> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let chosen: Vec<_> = SUITES.iter().copied().filter(|suite| names.is_empty() || names.iter().any(|name| name == suite.name)).collect();
    let recordings =
        std::env::var_os("PROPRIO_DATA").unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data").into());
    let report = proprio_accuracy::run(&chosen, &mut Bench::new(recordings.into()), &Recorded::of_repository(), |_| {})?;
    print!("{report}");
    Ok(())
}
