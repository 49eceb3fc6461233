//! One binary for all of the crate's integration tests: the examples and laws of every registered operator, and their
//! accuracy on real recordings.

#![allow(clippy::print_stdout, reason = "figures and skipped tests are what a reader of the log looks for")]

mod align;
mod emg;
mod example;
mod gait;
mod golden;
mod joint_angles;
mod laws;
mod orientation;
mod progression;
mod recordings;
mod run;
mod segment_alignment;
mod signal;
mod sync_by_motion;
mod timing;
