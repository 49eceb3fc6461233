//! Whether the whole holds together: the repository's own rules, and the engine end to end through its real parts.

#![allow(clippy::print_stdout, reason = "a test prints the figures it measured")]

mod accounting;
mod amend;
mod architecture;
mod bad_inputs;
mod broad;
mod faults;
mod feedback;
mod forget;
mod gait_lab;
mod harness;
mod latency;
mod model;
mod object_store;
mod programme;
mod real_kills;
mod rebuild;
mod reload;
mod sessions;
mod shell;
