//! What do the sensors measure of the body, with their noise and bias? One generator per kind.

mod emg;
mod force;
mod imu;
mod markers;

pub use emg::Emg;
pub use force::Plate;
pub use imu::{Imu, placement};
pub use markers::Markers;

/// Standard gravity.
pub const GRAVITY_M_PER_S2: f64 = 9.80665;

/// Empty columns of samples with room for `rows` each.
fn columns(count: usize, rows: usize) -> Vec<Vec<f64>> {
    (0..count).map(|_| Vec::with_capacity(rows)).collect()
}
