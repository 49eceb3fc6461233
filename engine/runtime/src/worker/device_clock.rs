//! What time was it on the rig? For sensors with a clock of their own: each message is observed against its arrival, then
//! mapped; the fit is kept in table `clocks`.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::Schema;
use proprio_core::clock::{ClockEvent, ClockFit};
use proprio_core::control::ClockStatus;
use proprio_core::kind::DEVICE_TIME;
use proprio_core::rig::Clock;
use proprio_core::schema::{FieldExt, column};
use proprio_core::time::{LAB_TIMES_NS, SECOND_NS};
use proprio_core::{Sensor, TimeNs, rows};
use serde::{Deserialize, Serialize};

use super::side::Side;

/// Mapped time from one row of `clocks` to the next.
const ROW_EVERY_NS: i64 = 10 * SECOND_NS;

/// A sensor's own clock.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DeviceClock {
    fit: ClockFit,
    /// Which stretch of mapped time the newest sample of this session lies in.
    stretch: Option<i64>,
    /// Time of this session's newest row in `clocks`.
    written_ns: Option<TimeNs>,
}

impl DeviceClock {
    /// At a session's start, with the fit as it was; none for a sensor on the rig's clock.
    pub(super) fn begin(sensor: &Sensor, fit: Option<ClockFit>) -> Option<Self> {
        (sensor.clock == Clock::Device).then(|| Self { fit: fit.unwrap_or_default(), stretch: None, written_ns: None })
    }

    pub(super) fn fit(&self) -> &ClockFit {
        &self.fit
    }

    pub(super) fn status(&self) -> ClockStatus {
        let Self { fit, .. } = self;
        ClockStatus { offset_ns: fit.offset_ns(), drift_ppb: fit.drift_ppb(), uncertainty_ns: fit.uncertainty_ns() }
    }

    /// Another device: nothing is known of its clock.
    pub(super) fn forget(&mut self) {
        self.fit = ClockFit::default();
    }

    /// Takes samples with times on the device's clock; gives them on the rig's, with the device's time as their last column.
    /// `is_newest` when none of them came before another of the sensor, since a late one tells nothing of the clock. Times
    /// that no clock shows stay as they are, and are refused later.
    pub(super) fn map(&mut self, samples: &RecordBatch, is_newest: bool, arrival_ns: TimeNs) -> (RecordBatch, Option<ClockEvent>) {
        let device = rows::times(samples);
        let newest = device.iter().copied().filter(|time| LAB_TIMES_NS.contains(time)).max();
        let event = newest.filter(|_| is_newest).and_then(|newest| self.fit.observe(newest, arrival_ns));
        let mapped = device.iter().map(|time| if LAB_TIMES_NS.contains(time) { self.fit.map(*time) } else { *time });
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(mapped))];
        columns.extend(samples.columns()[1..].iter().cloned());
        columns.push(samples.column(0).clone());
        let mut fields: Vec<_> = samples.schema_ref().fields().to_vec();
        fields.push(Arc::new(column(DEVICE_TIME, arrow_schema::DataType::Int64).unit("ns").required()));
        let mapped = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("one column beside those of the message");
        (mapped, event)
    }

    /// The rig's time at a device time, as a publisher's progress gives it; none while nothing is known of the clock.
    pub(super) fn map_time(&mut self, device_ns: i64) -> Option<TimeNs> {
        self.fit.uncertainty_ns().map(|_| self.fit.map(device_ns))
    }

    /// Takes an answer about the clock.
    pub(super) fn observe_round_trip(&mut self, round_trip: proprio_core::recorded::RoundTrip) -> Option<ClockEvent> {
        self.fit.observe_round_trip(round_trip)
    }

    /// Writes the fit at `newest_ns` when another stretch of mapped time has begun.
    pub(super) fn write_steadily(&mut self, newest_ns: TimeNs, stream: &str, side: &mut Side) {
        let stretch = newest_ns.div_euclid(ROW_EVERY_NS);
        if self.stretch.replace(stretch).is_some_and(|before| before < stretch) {
            self.write(newest_ns, stream, None, side);
        }
    }

    /// Writes the fit as it is at a session's end, where the session has samples, unless its newest row says so already.
    pub(super) fn write_last(&mut self, newest_ns: TimeNs, stream: &str, side: &mut Side) {
        if self.stretch.is_some() && self.written_ns != Some(newest_ns) {
            self.write(newest_ns, stream, None, side);
        }
    }

    /// Writes the fit, with what was found.
    pub(super) fn write(&mut self, time_ns: TimeNs, stream: &str, event: Option<ClockEvent>, side: &mut Side) {
        self.written_ns = Some(time_ns);
        side.clock(time_ns, stream, &self.fit, event);
    }
}
