//! What is measured, one file per question.

mod activation;
mod balance;
mod electromechanical_delay;
mod emg_onset;
mod emg_quality;
mod exercise;
mod fatigue;
mod feedback;
mod firing_order;
mod foot_imu;
mod force_events;
mod gait_phase;
mod imu_quality;
mod joint_angles_markers;
mod lower_back;
mod lumbar_rotation;
mod marker_events;
mod orientation;
mod pelvic_drop;
mod progression;
mod relative_orientation;
mod rigid_body;
mod segment_alignment;
mod signature;
mod streams;

use crate::bench::Bench;
use crate::error::AccuracyError;
use crate::figure::Figure;

pub use streams::streams;

/// One question, and how it is answered.
#[derive(Debug)]
pub struct Suite {
    /// Name: the first part of its figures' names.
    pub name: &'static str,
    /// What is measured on which data, for people.
    pub about: &'static str,
    /// Measures.
    pub measure: fn(&mut Bench) -> Result<Vec<Figure>, AccuracyError>,
}

/// Those of these names, in the order of [`SUITES`]; all of them for no name.
///
/// # Errors
/// [`AccuracyError::NoSuite`].
pub fn chosen(names: &[String]) -> Result<Vec<&'static Suite>, AccuracyError> {
    if let Some(name) = names.iter().find(|name| !SUITES.iter().any(|suite| suite.name == **name)) {
        return Err(AccuracyError::NoSuite { name: name.clone() });
    }
    Ok(SUITES.iter().copied().filter(|suite| names.is_empty() || names.iter().any(|name| name == suite.name)).collect())
}

/// All of them.
pub const SUITES: &[&Suite] = &[
    &orientation::SUITE,
    &relative_orientation::SUITE,
    &segment_alignment::SUITE,
    &imu_quality::SUITE,
    &joint_angles_markers::SUITE,
    &force_events::SUITE,
    &marker_events::SUITE,
    &foot_imu::SUITE,
    &lower_back::SUITE,
    &gait_phase::SUITE,
    &emg_onset::SUITE,
    &emg_quality::SUITE,
    &activation::SUITE,
    &firing_order::SUITE,
    &pelvic_drop::SUITE,
    &lumbar_rotation::SUITE,
    &exercise::SUITE,
    &feedback::SUITE,
    &progression::SUITE,
    &balance::SUITE,
    &rigid_body::SUITE,
    &fatigue::SUITE,
    &electromechanical_delay::SUITE,
    &signature::SUITE,
];
