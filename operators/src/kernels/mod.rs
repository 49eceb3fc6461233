//! Pure functions over slices, shared by operators and SQL functions.

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
