//! How accurate are the operators? Figures on real recordings and on simulations with known truth, each beside the gate it must
//! keep, the aim, and the figure of the best published or measured method (the anchor).
//!
//! A [`Suite`] measures one question with the registered operators, at fixed parameters over all files. [`run`] runs them all,
//! and [`Report`] compares what came with `figures.csv`, the figures that the repository holds: worse is a failure.

mod bench;
mod contacts;
mod error;
mod figure;
mod imu;
mod recorded;
mod report;
mod simulated;
mod simulated_walk;
mod statistics;
mod suites;
mod table;
mod worn;

pub use bench::{Bench, Cost, Stream};
pub use error::AccuracyError;
pub use figure::{Better, Figure, Standing};
pub use recorded::Recorded;
pub use report::{Report, Row, Skipped, run};
pub use simulated::Simulated;
pub use suites::{SUITES, Suite, chosen, streams};
pub use table::write_csv;
