//! `cargo run -p proprio-accuracy --example figures -- orientation`: the figures of some suites without building the engine, for
//! whoever works on an operator. `proprio accuracy` is the real command.

#![allow(clippy::print_stdout, reason = "the figures are its output")]

use proprio_accuracy::{AccuracyError, Bench, Recorded, chosen};

fn main() -> Result<(), AccuracyError> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let report = proprio_accuracy::run(&chosen(&names)?, &mut Bench::of_environment(), &Recorded::of_repository(), |_| {})?;
    print!("{report}");
    Ok(())
}
