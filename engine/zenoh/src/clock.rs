//! What time it is on the rig: a monotonic clock, anchored to UTC once per start.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use proprio_core::time::TimeNs;

/// The arrival clock of one start (contract 1). It never goes back, whatever happens to the system's time.
#[derive(Clone, Copy, Debug)]
pub struct ArrivalClock {
    anchor_utc_ns: TimeNs,
    anchor: Instant,
}

impl ArrivalClock {
    /// Anchors a clock to the system's time now.
    pub fn start() -> Self {
        Self { anchor_utc_ns: utc_now_ns(), anchor: Instant::now() }
    }

    /// Nanoseconds since the Unix epoch.
    pub fn now_ns(&self) -> TimeNs {
        let elapsed = i64::try_from(self.anchor.elapsed().as_nanos()).unwrap_or(i64::MAX);
        self.anchor_utc_ns.saturating_add(elapsed)
    }

    /// UTC at the anchor, in nanoseconds since the Unix epoch.
    pub fn anchor_utc_ns(&self) -> TimeNs {
        self.anchor_utc_ns
    }
}

/// The system's time; zero before 1970.
pub(crate) fn utc_now_ns() -> TimeNs {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)
}
