//! Pure functions over slices, shared by operators and SQL functions.

pub mod angles;
pub mod change_time;
pub mod column;
pub mod contacts;
pub mod delay;
pub mod emg;
pub mod emg_burst;
pub mod emg_faults;
pub mod emg_onset;
pub mod emg_quality;
pub mod expression;
pub mod filter;
pub mod foot_markers;
pub mod foot_swing;
pub mod gait_cycle;
pub mod gait_event;
pub mod message;
pub mod moving_rms;
pub mod mvc_reference;
pub mod names;
pub mod nearest_foot;
pub mod pick;
pub mod plate_contact;
pub mod quaternion;
pub mod segment;
#[cfg(test)]
pub(crate) mod testing;
pub mod vqf;
