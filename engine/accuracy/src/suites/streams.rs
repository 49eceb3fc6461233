//! Which streams does a recording give an operator? As the suites read it, so that an oracle is compared on the same samples.

use proprio_core::Kind;
use proprio_files::OpenOptions;

use super::{foot_imu, orientation, relative_orientation};
use crate::bench::{Bench, Stream, stream};
use crate::error::AccuracyError;

/// The streams of a recording that an operator reads together: both feet's IMUs, both IMUs across a joint as one; of any other file the
/// EMG, or else all force plates, or else its first sensor. `options` are for files that don't say what they hold.
///
/// # Errors
/// When the file is absent or can't be read.
///
/// # Panics
/// When it holds no sensor.
pub fn streams(bench: &Bench, file: &str, options: &OpenOptions) -> Result<Vec<Stream>, AccuracyError> {
    if file.starts_with("imu/broad/") {
        return Ok(vec![orientation::imu(&bench.parquet(file)?)]);
    }
    if file.starts_with("imu/joint/") {
        return Ok(vec![relative_orientation::stream(&relative_orientation::read(bench, file)?)]);
    }
    if file.starts_with(foot_imu::FOLDER) {
        return foot_imu::both(bench);
    }
    let recording = bench.open(file, options)?;
    let of = |kind: Kind| recording.sensors.iter().filter(move |sensor| sensor.file.kind == kind);
    let chosen: Vec<_> = if of(Kind::Emg).count() > 0 { of(Kind::Emg).take(1).collect() } else { of(Kind::Force).collect() };
    let chosen = if chosen.is_empty() { recording.sensors.iter().take(1).collect() } else { chosen };
    assert!(!chosen.is_empty(), "{file} holds no sensor");
    Ok(chosen.into_iter().map(|sensor| stream(&recording, sensor)).collect())
}
