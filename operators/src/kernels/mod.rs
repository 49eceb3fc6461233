//! Pure functions over slices, shared by operators and SQL functions.

pub mod alert_gate;
pub mod angles;
pub mod baseline;
pub mod calibrated;
pub mod column;
pub mod crossing;
pub mod delay;
pub mod emg;
pub mod emg_onset;
#[cfg(test)]
mod emg_onset_bench;
pub mod emg_quality;
pub mod expectation;
pub mod expression;
pub mod filter;
pub mod firing;
pub mod foot_markers;
pub mod foot_motion;
pub mod foot_path;
pub mod foot_pitch;
pub mod foot_sensor;
pub mod foot_swing;
pub mod functional_axis;
pub mod gait_body;
pub mod gait_cycle;
pub mod gait_event;
pub mod gait_model;
pub mod imu;
pub mod lower_back_steps;
pub mod marker_places;
pub mod marks;
pub mod message;
pub mod names;
pub mod nearest_foot;
pub mod phase_band;
pub mod pick;
pub mod plate_contact;
pub mod precedence;
pub mod quaternion;
pub mod repetition;
pub mod rigidity;
pub mod segment;
pub mod standing;
pub mod stride_clock;
#[cfg(test)]
pub(crate) mod testing;
pub mod vqf;
