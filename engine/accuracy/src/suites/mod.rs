//! What is measured, one file per question.

mod imu_quality;
mod orientation;
mod relative_orientation;

use crate::bench::Bench;
use crate::error::AccuracyError;
use crate::figure::Figure;

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

/// All of them.
pub const SUITES: &[&Suite] = &[&imu_quality::SUITE, &orientation::SUITE, &relative_orientation::SUITE];
