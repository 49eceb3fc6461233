//! One binary for all of the crate's integration tests: the examples and laws of every registered operator, and their
//! accuracy on real recordings.

mod example;
mod gait;
mod golden;
mod laws;
mod run;
mod signal;
