//! What is a straight relation between two clocks? Rig time less device time, changing at a constant rate.

use serde::{Deserialize, Serialize};

use crate::time::TimeNs;

/// Parts per billion in one.
const BILLION: i128 = 1_000_000_000;

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Point {
    /// On the device's clock.
    pub(super) device_ns: i64,
    /// Rig time less device time.
    pub(super) offset_ns: i64,
    /// How far apart question and answer were; 0 for what came unasked.
    pub(super) width_ns: i64,
}

/// Rig time less device time, as a line over device time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    /// A device time.
    pub(super) device_ns: i64,
    /// Rig time less device time there.
    pub(super) offset_ns: i64,
    /// How fast that grows, in parts per billion.
    pub(super) slope_ppb: i64,
}

impl Point {
    /// A reading of both clocks at one instant. Clocks centuries apart saturate.
    pub(super) fn new(device_ns: i64, rig_ns: TimeNs) -> Self {
        Self { device_ns, offset_ns: saturate(i128::from(rig_ns) - i128::from(device_ns)), width_ns: 0 }
    }

    /// Offset at the device time zero of the line of this slope through the point, in billionths of a nanosecond.
    pub(super) fn intercept(self, slope_ppb: i64) -> i128 {
        i128::from(self.offset_ns) * BILLION - i128::from(slope_ppb) * i128::from(self.device_ns)
    }

    /// How far the point lies above a line.
    pub(super) fn above(self, line: &Line) -> i64 {
        saturate(i128::from(self.offset_ns) - i128::from(line.at(self.device_ns)))
    }
}

impl Line {
    /// The line of a slope through a point.
    pub(super) fn through(point: Point, slope_ppb: i64) -> Self {
        Self { device_ns: point.device_ns, offset_ns: point.offset_ns, slope_ppb }
    }

    /// Rig time less device time at a device time.
    pub(super) fn at(&self, device_ns: i64) -> i64 {
        let run = i128::from(device_ns) - i128::from(self.device_ns);
        saturate(i128::from(self.offset_ns) + (run * i128::from(self.slope_ppb)).div_euclid(BILLION))
    }

    /// How far the device's clock has jumped when a reading of it lies this far above the line.
    pub(super) fn jump_ns(&self, above_ns: i64) -> i64 {
        saturate((-i128::from(above_ns) * BILLION).div_euclid(BILLION + i128::from(self.slope_ppb)))
    }

    /// The rig's time at a device time.
    pub(super) fn rig_ns(&self, device_ns: i64) -> TimeNs {
        device_ns.saturating_add(self.at(device_ns))
    }
}

/// Slope from one point to a later one, rounded down.
pub(super) fn slope_ppb(from: Point, to: Point) -> i64 {
    let run = i128::from(to.device_ns) - i128::from(from.device_ns);
    if run <= 0 {
        return 0;
    }
    saturate(((i128::from(to.offset_ns) - i128::from(from.offset_ns)) * BILLION).div_euclid(run))
}

/// The middle value, or the mean of the middle two; none of none.
pub(super) fn median(mut values: Vec<i128>) -> Option<i128> {
    values.sort_unstable();
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some((lower + upper).div_euclid(2))
}

/// What the fits share: a slope between what the readings say and what the crystal's data sheet says, by which is surer.
///
/// `error_ns` is how far readings that lie `span_ns` apart may be off, 95 %, which are two standard deviations; a crystal runs
/// within a standard deviation of 50 ppm at `prior_ppb`. None is off by more than 500 ppm.
pub(super) fn shrink(measured_ppb: i64, prior_ppb: i64, span_ns: i64, error_ns: i64) -> i64 {
    const CRYSTAL_PPM: i128 = 50;
    const WORST_PPB: i64 = 500_000;
    let measured = measured_ppb.clamp(-WORST_PPB, WORST_PPB);
    let span = (i128::from(span_ns) * CRYSTAL_PPM / 1_000_000).pow(2);
    let error = i128::from(error_ns / 2).pow(2);
    let share = if span + error == 0 { 0 } else { i128::from(measured - prior_ppb) * span / (span + error) };
    saturate(i128::from(prior_ppb) + share)
}

pub(super) fn saturate(value: i128) -> i64 {
    value.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}
