//! What does a sensor's own clock show? A crystal that runs fast or slow, started off, and perhaps set on the way.

use proprio_core::TimeNs;
use proprio_core::time::{Rate, SECOND_NS};

use crate::options::{ClockJump, Options};
use crate::random::Random;

/// A sensor's own clock.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    rate: Rate,
    /// Seconds that it gains a second.
    pub(crate) fast: f64,
    offset_ns: i64,
    /// Those of this sensor, in order of time.
    jumps: Vec<ClockJump>,
}

impl Clock {
    /// The clock of a sensor by its name.
    pub(crate) fn new(sensor: &str, rate: Rate, options: &Options) -> Self {
        let mut chance = Random::new(options.seed, &format!("clock {sensor}"));
        let is_own = |jump: &&ClockJump| jump.sensor.as_deref().is_none_or(|name| name == sensor);
        let mut jumps: Vec<ClockJump> = options.clocks.jumps.iter().filter(is_own).cloned().collect();
        jumps.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
        Self {
            rate,
            fast: options.clocks.drift_ppm * 1e-6 * chance.signed(),
            offset_ns: (options.clocks.offset_ms * 1e6 * chance.signed()) as i64,
            jumps,
        }
    }

    /// Stamp of sample `k` by this clock, and when it is really taken, in seconds since the start.
    pub(crate) fn sample(&self, k: i64, start_ns: TimeNs) -> (TimeNs, f64) {
        let grid_ns = self.rate.grid_time(k);
        let time_s = grid_ns as f64 / SECOND_NS as f64 / (1.0 + self.fast);
        let jumped_ns: i64 = self.jumps.iter().take(self.jumped(time_s)).map(|jump| (jump.by_ms * 1e6) as i64).sum();
        (start_ns + self.offset_ns + grid_ns + jumped_ns, time_s)
    }

    /// How often the clock has jumped by then.
    pub(crate) fn jumped(&self, time_s: f64) -> usize {
        self.jumps.partition_point(|jump| jump.at_s <= time_s)
    }
}
