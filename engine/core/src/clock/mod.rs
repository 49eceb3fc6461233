//! What time was it on the rig when a device's own clock showed this? A fit of (device time, arrival), integers only.

mod line;
mod one_way;
mod round_trips;
#[cfg(test)]
mod tests;
mod window;

use serde::{Deserialize, Serialize};

use crate::recorded::RoundTrip;
use crate::time::TimeNs;
use line::Line;
use one_way::OneWay;
use round_trips::RoundTrips;

/// The map from one device's clock to the rig's. It holds integers only, so that a recorded fit reads back to the same bits;
/// at most 64 readings, whatever the duration.
///
/// Until the device answers questions the map goes by the quickest messages, so that mapped times lie behind the true ones
/// by the smallest delay, which one-way data can't know. After the first answer it goes by the answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockFit {
    one_way: OneWay,
    round_trips: RoundTrips,
    /// The newest device time that was mapped, and to what.
    mapped: Option<(i64, TimeNs)>,
    /// What was mapped before the clock was reset: all later is after it.
    before_ns: Option<TimeNs>,
}

/// What an observation says about a clock beside its fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockEvent {
    /// The device's clock went back, or jumped by more than a second: the fit began anew.
    Reset {
        /// How far it jumped against the fit before, forward positive.
        jump_ns: i64,
    },
    /// The clock stepped by less than a reset, for good: the fit began anew.
    Step {
        /// How far, forward positive.
        jump_ns: i64,
    },
}

impl ClockFit {
    /// Takes the device time of a message's newest sample and the message's arrival.
    ///
    /// Messages are observed in the order of their sequence: one that comes after a later one of its sensor is left out, so
    /// that a device time that goes back is the clock's doing. A step forward is known after four messages; a step back
    /// after 10 s, since until then it looks like a network that has slowed down.
    pub fn observe(&mut self, device_ns: i64, arrival_ns: TimeNs) -> Option<ClockEvent> {
        let event = self.one_way.observe(device_ns, arrival_ns)?;
        if self.round_trips.line().is_some() && matches!(event, ClockEvent::Step { .. }) {
            // The answers would show it: the way has become longer or shorter, not the clock another.
            return None;
        }
        self.round_trips = RoundTrips::with_prior(self.slope_ppb());
        self.take_note(event);
        Some(event)
    }

    /// Takes an answered question; from then on the map no longer rests on one-way delays. Of several asked at once the
    /// quickest counts. An answer whose instants are out of order is left out.
    pub fn observe_round_trip(&mut self, round_trip: RoundTrip) -> Option<ClockEvent> {
        if self.round_trips.line().is_none() {
            self.round_trips = RoundTrips::with_prior(self.slope_ppb());
        }
        let event = self.round_trips.observe(round_trip)?;
        self.one_way = OneWay::with_prior(self.slope_ppb());
        self.take_note(event);
        Some(event)
    }

    /// The rig's time at a device time; a device time itself before the first observation.
    ///
    /// Of two device times the later one is mapped to a later time, always, and across a reset what is mapped later is later:
    /// where the fit moves back, mapped time runs at half speed until it is there. A device time later than any observed
    /// is none of this clock and maps as the newest observed; so observe a message before mapping it.
    pub fn map(&mut self, device_ns: i64) -> TimeNs {
        let Some(line) = self.line() else { return device_ns };
        let device_ns = self.one_way.newest_ns().map_or(device_ns, |newest| device_ns.min(newest));
        let fitted_ns = line.rig_ns(device_ns);
        let rig_ns = match (self.mapped, self.before_ns) {
            (Some((device, rig)), _) if device_ns == device => return rig,
            (Some((device, rig)), _) if device_ns < device => return fitted_ns.min(rig.saturating_sub(half(device, device_ns))),
            (Some((device, rig)), _) => fitted_ns.max(rig.saturating_add(half(device_ns, device))),
            (None, Some(before)) => fitted_ns.max(before.saturating_add(1)),
            (None, None) => fitted_ns,
        };
        self.mapped = Some((device_ns, rig_ns));
        rig_ns
    }

    /// How far the mapped time may be off (95 %), latency floor aside; none before the first observation.
    pub fn uncertainty_ns(&self) -> Option<i64> {
        match (self.round_trips.line(), self.one_way.line()) {
            (Some(_), _) => Some(self.round_trips.error_ns()),
            (None, one_way) => one_way.map(|_| self.one_way.error_ns()),
        }
    }

    /// How fast the device's clock runs against the rig's, in parts per billion: positive when it gains.
    pub fn drift_ppb(&self) -> i64 {
        const BILLION: i64 = 1_000_000_000;
        let slope_ppb = self.slope_ppb();
        -slope_ppb * BILLION / (BILLION + slope_ppb)
    }

    /// Rig time less device time at the newest observation.
    pub fn offset_ns(&self) -> i64 {
        self.line().map_or(0, |line| line.at(self.one_way.newest_ns().unwrap_or(line.device_ns)))
    }

    /// The smallest delay from device to rig that round trips show; none where only one-way data is there, which can't know it.
    pub fn latency_floor_ns(&self) -> Option<i64> {
        let (asked, unasked) = (self.round_trips.line()?, self.one_way.line()?);
        let newest_ns = self.one_way.newest_ns()?;
        Some(unasked.at(newest_ns).saturating_sub(asked.at(newest_ns)).max(0))
    }

    fn line(&self) -> Option<&Line> {
        self.round_trips.line().or(self.one_way.line())
    }

    fn slope_ppb(&self) -> i64 {
        self.line().map_or(0, |line| line.slope_ppb)
    }

    /// After a reset device times say nothing about the order any more.
    fn take_note(&mut self, event: ClockEvent) {
        if matches!(event, ClockEvent::Reset { .. })
            && let Some((_, rig_ns)) = self.mapped.take()
        {
            self.before_ns = Some(rig_ns);
        }
    }
}

/// Half the way from one device time up to another, at least a nanosecond.
fn half(later_ns: i64, earlier_ns: i64) -> i64 {
    (later_ns.saturating_sub(earlier_ns) / 2).max(1)
}
