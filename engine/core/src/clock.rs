//! What time was it on the rig when a device's own clock showed this? A fit of (device time, arrival), integers only.

use serde::{Deserialize, Serialize};

use crate::recorded::RoundTrip;
use crate::time::TimeNs;

/// The map from one device's clock to the rig's. It holds integers only, so that a recorded fit reads back to the same bits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockFit {}

/// What an observation says about a clock beside its fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockEvent {
    /// The device's clock went back, or jumped by more than any delay: the fit began anew.
    Reset {
        /// How far it jumped against the fit before.
        jump_ns: i64,
    },
    /// The clock stepped by less than a reset, for good: the fit began anew.
    Step {
        /// How far.
        jump_ns: i64,
    },
}

impl ClockFit {
    /// Takes the device time of a message's newest sample and the message's arrival.
    pub fn observe(&mut self, device_ns: i64, arrival_ns: TimeNs) -> Option<ClockEvent> {
        let _ = (device_ns, arrival_ns);
        None
    }

    /// Takes an answered question; from then on the fit no longer needs one-way delays.
    pub fn observe_round_trip(&mut self, round_trip: RoundTrip) -> Option<ClockEvent> {
        let _ = round_trip;
        None
    }

    /// The rig's time at a device time; never goes back for device times that do not.
    pub fn map(&mut self, device_ns: i64) -> TimeNs {
        device_ns
    }

    /// How far the mapped time may be off, latency floor aside; none before the first observation.
    pub fn uncertainty_ns(&self) -> Option<i64> {
        None
    }

    /// How fast the device's clock runs against the rig's, in parts per billion.
    pub fn drift_ppb(&self) -> i64 {
        0
    }

    /// Rig time less device time at the newest observation.
    pub fn offset_ns(&self) -> i64 {
        0
    }

    /// The smallest delay from device to rig that round trips show; none where only one-way data is there, which can't know it.
    pub fn latency_floor_ns(&self) -> Option<i64> {
        None
    }
}
