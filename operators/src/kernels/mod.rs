//! Pure functions over slices, shared by operators and SQL functions.

pub mod foot_markers;
pub mod foot_swing;
pub mod gait_cycle;
pub mod gait_event;
pub mod nearest_foot;
pub mod plate_contact;
