//! Whether the whole holds together: the repository's own rules, and the engine end to end through its real parts.

mod architecture;
mod bad_inputs;
mod broad;
mod harness;
