//! `cargo run -p proprio-accuracy --example figures -- orientation`: the figures of some suites without building the engine, for
//! whoever works on an operator; `--record FILE` first writes them there. `proprio accuracy` is the real command.

#![allow(clippy::print_stdout, reason = "the figures are its output")]

use proprio_accuracy::{Bench, Figure, Recorded, chosen};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    let record = names.first().is_some_and(|name| name == "--record").then(|| names.drain(..2).next_back()).flatten();
    let report = proprio_accuracy::run(&chosen(&names)?, &mut Bench::of_environment(), &Recorded::of_repository(), |_| {})?;
    print!("{report}");
    if let Some(path) = record {
        let figures: Vec<Figure> = report.rows.iter().map(|row| row.figure.clone()).collect();
        std::fs::write(path, Recorded::of_repository().with(&figures).text())?;
    }
    Ok(())
}
