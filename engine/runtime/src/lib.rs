//! Rig and pipeline files become a checked plan; the worker runs it over recorded messages.

pub mod plan;
pub mod worker;

pub use plan::{Plan, PlannedStep};
pub use worker::Worker;
