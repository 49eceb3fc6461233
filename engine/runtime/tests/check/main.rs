//! Do good files become the plan they describe, and do bad ones say everything that is wrong with them?

mod fake;
mod files;
mod plans;
