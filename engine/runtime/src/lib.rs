//! Rig and pipeline files become a checked plan; the worker runs it over recorded messages.

pub mod plan;

pub use plan::{Plan, PlannedStep};
