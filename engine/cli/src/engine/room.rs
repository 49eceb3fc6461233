//! For how long does the disk take what this rig sends?

use proprio_core::{Kind, Rig};
use proprio_recording::Disk;

/// What the recording and the tables take for a sample, over its columns: the payload's and Parquet's bytes, with their frames.
const BYTES_PER_VALUE: f64 = 16.0;
/// Less room than for so many hours is worth a warning.
const FEW_HOURS: f64 = 8.0;

/// Says how many hours of this rig's data the disk has room for.
pub fn report(disk: &dyn Disk, rig: &Rig) {
    let free = match disk.free_bytes() {
        Ok(free) => free,
        Err(error) => return tracing::warn!(%error, "how much room the disk has can't be told"),
    };
    let hours = hours(free, rig);
    let gigabytes = free as f64 / 1e9;
    if hours < FEW_HOURS {
        tracing::warn!("the disk has {gigabytes:.1} GB left: about {hours:.1} h of this rig at its declared rates");
    } else {
        tracing::info!("the disk has {gigabytes:.0} GB left: about {hours:.0} h of this rig at its declared rates");
    }
}

/// Hours that `free` bytes last when every sensor sends at its declared rate.
fn hours(free: u64, rig: &Rig) -> f64 {
    let per_second = |sensor: &proprio_core::Sensor| {
        let hz = sensor.rate.map_or(1.0, proprio_core::Rate::hertz);
        let columns = match sensor.kind {
            Kind::Events | Kind::Notes | Kind::Truth => 4,
            Kind::Imu | Kind::Emg | Kind::Force | Kind::Markers => sensor.wire_schema().columns.fields().len() + 2,
        };
        hz * columns as f64 * BYTES_PER_VALUE
    };
    let bytes_per_second: f64 = rig.sensors.iter().map(per_second).sum();
    free as f64 / bytes_per_second.max(1.0) / 3600.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_counted_in_hours_of_the_declared_rates() {
        let file = serde_json::json!({ "rig": "r", "sensors": { "a": { "kind": "imu", "rate": "100 Hz" } } });
        let rig = serde_json::from_value::<proprio_core::rig::RigFile>(file).expect("a rig").resolve();
        // 12 columns (time, sequence, device time and nine measured) of 16 bytes, 100 times a second.
        assert!((hours(19_200 * 3600 * 5, &rig) - 5.0).abs() < 1e-9);
    }
}
