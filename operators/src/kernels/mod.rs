//! Pure functions over slices, shared by operators and SQL functions.

<<<<<<< HEAD
pub mod angles;
pub mod column;
pub mod foot_markers;
pub mod foot_swing;
pub mod gait_cycle;
pub mod gait_event;
pub mod nearest_foot;
pub mod pick;
pub mod plate_contact;
pub mod quaternion;
pub mod segment;
pub mod vqf;
=======
pub mod emg;
pub mod emg_onset;
#[cfg(test)]
mod emg_onset_bench;
pub mod emg_quality;
pub mod expression;
pub mod filter;
pub mod message;
pub mod names;
#[cfg(test)]
pub(crate) mod testing;
>>>>>>> 4eb7a98 (wip)
