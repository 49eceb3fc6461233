//! Pure functions over slices, shared by operators and SQL functions.

pub mod angles;
pub mod column;
pub mod delay;
pub mod emg;
pub mod emg_onset;
#[cfg(test)]
mod emg_onset_bench;
pub mod emg_quality;
pub mod expression;
pub mod field_filter;
pub mod filter;
pub mod foot_markers;
pub mod foot_swing;
pub mod gait_cycle;
pub mod gait_event;
pub mod heading;
pub mod imu;
pub mod imu_window;
pub mod joint_filter;
pub mod message;
pub mod names;
pub mod nearest_foot;
pub mod pick;
pub mod plate_contact;
pub mod quaternion;
pub mod segment;
#[cfg(test)]
pub(crate) mod testing;
pub mod vqf;
