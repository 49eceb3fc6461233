//! What is measured, one file per work.

mod columns;
mod emg;
mod foot_imu;
mod orientation;
mod periodic;

use crate::error::BenchError;
use crate::work::Work;

/// All works.
pub static WORKS: &[Work] =
    &[emg::WORK, orientation::WORK, foot_imu::WORK, periodic::WORK, columns::NORMALISE, columns::FILL, columns::RESAMPLE, columns::JOIN];

/// The works of these names; all for none.
///
/// # Errors
/// [`BenchError::NoWork`].
pub fn chosen(names: &[String]) -> Result<Vec<&'static Work>, BenchError> {
    if names.is_empty() {
        return Ok(WORKS.iter().collect());
    }
    let find = |name: &String| WORKS.iter().find(|work| work.name == name).ok_or_else(|| BenchError::NoWork { name: name.clone() });
    names.iter().map(find).collect()
}
