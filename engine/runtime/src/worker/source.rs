//! How a sensor's messages become rows of its stream: sequences, gaps, duplicates, lateness and the source's watermark.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow_schema::FieldRef;
use proprio_core::clock::{ClockEvent, ClockFit};
use proprio_core::kind::DEVICE_TIME;
use proprio_core::recorded::{RoundTrip, SourceStart};
use proprio_core::rig::Loss;
use proprio_core::time::LAB_TIMES_NS;
use proprio_core::{Samples, Sensor, SourceMessage, StreamSchema, TimeNs, rows};
use serde::{Deserialize, Serialize};

use super::counting::Counting;
use super::device_clock::DeviceClock;
use super::judge::{Fate, finite_rows, sort_rows};
use super::loss::{Cover, Covering};
use super::rate::RateWatch;
use super::rows_image::Rows;
use super::side::Side;
use super::snapshot::SnapshotError;
use super::status::SourceCounts;

/// What a source is doing, as the worker knows it from the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Activity {
    /// Sends, or may: others wait for it.
    Active,
    /// Has gone quiet: its watermark follows the lowest active one.
    Idle,
    /// Has sent its last sample.
    Ended,
}

/// One sensor's side of the worker.
#[derive(Debug)]
pub(super) struct Source {
    sensor: Sensor,
    pub(super) stream: String,
    schema: StreamSchema,
    cover: Option<Cover>,
    pub(super) state: SourceState,
}

/// All that a source remembers; what a session changes is made anew at its start.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SourceState {
    pub(super) activity: Activity,
    pub(super) counts: SourceCounts,
    pub(super) watermark: TimeNs,
    paced: bool,
    serial: Option<String>,
    counting: Counting,
    newest: TimeNs,
    waiting: Rows,
    covering: Covering,
    pub(super) clock: Option<DeviceClock>,
    pub(super) rate: RateWatch,
    /// Last time and bytes of accepted messages, for the bound on rows that wait for other sources.
    pub(super) unpassed: VecDeque<(TimeNs, usize)>,
}

impl SourceState {
    /// As a session begins, with every watermark at `from_ns`: nothing but `start` is known.
    fn begin(sensor: &Sensor, from_ns: TimeNs, start: Option<&SourceStart>) -> Self {
        let idle = start.is_some_and(|start| start.idle);
        Self {
            activity: if idle { Activity::Idle } else { Activity::Active },
            counts: SourceCounts::default(),
            watermark: from_ns,
            paced: start.is_none_or(|start| start.paced),
            serial: start.and_then(|start| start.serial.clone()),
            counting: Counting::from(start.and_then(|start| start.sequence)),
            newest: i64::MIN,
            waiting: Rows::default(),
            covering: Covering::begin(from_ns),
            clock: DeviceClock::begin(sensor, start.and_then(|start| start.clock.clone())),
            rate: RateWatch::default(),
            unpassed: VecDeque::new(),
        }
    }

    /// Its watermark, when `lowest` is what the active sources have come to: an idle one follows them. With none to follow
    /// it is its own newest row's time, so that nothing waits for what may never come.
    pub(super) fn watermark_beside(&self, lowest: Option<TimeNs>) -> TimeNs {
        match self.activity {
            Activity::Idle => self.watermark.max(lowest.unwrap_or(self.newest)),
            Activity::Active | Activity::Ended => self.watermark,
        }
    }

    /// Bytes of its rows that wait for other sources.
    pub(super) fn unpassed_bytes(&self) -> usize {
        self.unpassed.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// Rows up to a watermark, in (time, keys) order.
#[derive(Debug)]
pub(super) struct Released {
    /// What came.
    pub(super) rows: Option<RecordBatch>,
    /// The same, with short gaps covered where the sensor's file asks for it.
    pub(super) for_steps: Option<RecordBatch>,
}

impl Source {
    /// A source before its first session: what comes then is late.
    pub(super) fn new(sensor: &Sensor, schema: StreamSchema) -> Self {
        let state = SourceState::begin(sensor, i64::MAX, None);
        Self { stream: sensor.stream(), schema, cover: Cover::of(sensor), state, sensor: sensor.clone() }
    }

    /// A session's start: every watermark begins at `from_ns`, and what `start` says goes on where it stood. Counts alone
    /// outlive sessions.
    pub(super) fn begin(&mut self, from_ns: TimeNs, start: Option<&SourceStart>) {
        self.state = SourceState { counts: self.state.counts, ..SourceState::begin(&self.sensor, from_ns, start) };
    }

    /// What it would bring into a session that begins now.
    pub(super) fn start(&self) -> SourceStart {
        SourceStart {
            sequence: self.state.counting.sequence(),
            paced: self.state.paced,
            idle: self.state.activity != Activity::Active,
            serial: self.state.serial.clone(),
            clock: self.fit().cloned(),
        }
    }

    /// The fit of its own clock, where it has one.
    fn fit(&self) -> Option<&ClockFit> {
        self.state.clock.as_ref().map(DeviceClock::fit)
    }

    /// Takes over what a source of this declaration remembered.
    pub(super) fn restore(&mut self, mut state: SourceState) -> Result<(), SnapshotError> {
        let schema = &self.schema.columns;
        if !state.waiting.fits(schema) || !state.covering.fits(schema) || state.clock.is_some() != self.state.clock.is_some() {
            return Err(SnapshotError::OtherPlan);
        }
        self.state = state;
        Ok(())
    }

    /// How far the sensor has counted.
    pub(super) fn counting(&self) -> &Counting {
        &self.state.counting
    }

    /// No row at or before this comes from here on, whatever the stragglers.
    pub(super) fn reached_ns(&self) -> TimeNs {
        if self.state.watermark < i64::MAX { self.state.newest.max(self.state.watermark) } else { self.state.newest }
    }

    /// Takes a decoded message that was recorded at `log_time_ns`.
    pub(super) fn take(&mut self, message: SourceMessage, log_time_ns: TimeNs, side: &mut Side) {
        match message {
            SourceMessage::Open { boot, paced, serial } => self.open(boot, paced, serial, log_time_ns, side),
            SourceMessage::Progress { time_ns } if self.sensor.rate.is_none() => {
                let mapped = self.state.clock.as_mut().map_or(Some(time_ns), |clock| clock.map_time(time_ns));
                self.state.watermark = self.state.watermark.max(mapped.unwrap_or(i64::MIN));
            }
            SourceMessage::Progress { .. } => {}
            SourceMessage::End { boot, last_sequence } => {
                if self.state.counting.is_of(boot) {
                    let time_ns = self.state.watermark.min(log_time_ns);
                    self.count_gap(last_sequence.saturating_add(1), time_ns, |_| Loss::Missing, side);
                }
            }
            SourceMessage::Samples(samples) => self.samples(samples, log_time_ns, side),
        }
        self.heard(log_time_ns);
    }

    /// A message came or a heartbeat was recorded: a paced source without a rate has seen all up to then.
    pub(super) fn heard(&mut self, log_time_ns: TimeNs) {
        if self.sensor.rate.is_none() && self.state.paced && self.state.activity != Activity::Ended {
            self.state.watermark = self.state.watermark.max(log_time_ns.saturating_sub(self.sensor.out_of_order_ns));
        }
    }

    /// A device answered a question about its clock.
    pub(super) fn answered(&mut self, round_trip: RoundTrip, log_time_ns: TimeNs, side: &mut Side) {
        if let Some(event) = self.state.clock.as_mut().and_then(|clock| clock.observe_round_trip(round_trip)) {
            self.clock_jumped(log_time_ns, event, side);
        }
    }

    /// A session's end, before its watermark is lifted.
    pub(super) fn end_session(&mut self, side: &mut Side) {
        if let Some(clock) = &mut self.state.clock {
            clock.write_last(self.state.newest, &self.stream, side);
        }
    }

    /// Rows at or before `watermark`.
    pub(super) fn release(&mut self, watermark: TimeNs) -> Released {
        if self.cover.is_some() {
            self.pass(watermark);
            let (rows, for_steps) = self.state.covering.take(&self.schema.columns);
            return Released { rows, for_steps };
        }
        let rows = self.state.waiting.take(&self.schema.columns).and_then(|all| {
            if self.is_ordered() {
                return Some(all);
            }
            let (released, kept) = rows::split_at_watermark(&sort_rows(&all, &self.schema.keys), watermark);
            self.state.waiting.push(kept);
            (released.num_rows() > 0).then_some(released)
        });
        Released { for_steps: rows.clone(), rows }
    }

    /// Lets rows and what covers the gaps between them pass up to `watermark`.
    fn pass(&mut self, watermark: TimeNs) {
        let Some(cover) = &self.cover else { return };
        let all = self.state.waiting.take(&self.schema.columns).unwrap_or_else(|| self.schema.empty());
        let (now, later) = rows::split_at_watermark(&sort_rows(&all, &self.schema.keys), watermark);
        let next = (later.num_rows() > 0).then(|| later.slice(0, 1));
        self.state.waiting.push(later);
        self.state.covering.pass(cover, now, next, watermark);
    }

    /// Whether rows come in time order, so that the newest one is the watermark and none has to wait for another.
    fn is_ordered(&self) -> bool {
        self.sensor.rate.is_some() && self.sensor.out_of_order_ns == 0
    }

    fn open(&mut self, boot: i64, paced: bool, serial: Option<String>, log_time_ns: TimeNs, side: &mut Side) {
        self.state.paced = paced;
        if !self.state.counting.is_of(boot) {
            self.reboot(boot, 0);
        }
        let Some(serial) = serial else { return };
        if let Some(old) = self.state.serial.replace(serial.clone()).filter(|old| *old != serial) {
            let label = format!("{} → {}", device_of(&old), device_of(&serial));
            side.event(log_time_ns, "device_swapped", &label, &self.stream);
            self.state.rate.interrupt();
            if let Some(clock) = &mut self.state.clock {
                clock.forget();
            }
        }
    }

    fn reboot(&mut self, boot: i64, next: i64) {
        self.state.counting.reboot(boot, next);
        self.state.rate.interrupt();
    }

    fn samples(&mut self, mut samples: Samples, log_time_ns: TimeNs, side: &mut Side) {
        if !self.state.counting.is_of(samples.boot) {
            self.reboot(samples.boot, samples.sequence);
        }
        let count = samples.rows.num_rows();
        if count == 0 {
            return;
        }
        let end = samples.sequence.saturating_add(count as i64);
        if let Some(clock) = &mut self.state.clock {
            let (mapped, event) = clock.map(&samples.rows, end > self.state.counting.next(), log_time_ns);
            samples.rows = mapped;
            if let Some(event) = event {
                self.clock_jumped(*rows::times(&samples.rows).last().expect("there are rows"), event, side);
            }
        }
        let times = rows::times(&samples.rows);
        let covered = self.cover.filter(|_| self.state.newest > i64::MIN && self.state.watermark <= self.state.newest);
        self.count_gap(samples.sequence, times[0], |lost| covered.map_or(Loss::Missing, |cover| cover.of_gap(lost)), side);
        let fates = self.judge(&samples, times, side);
        self.state.counting.come_to(end);
        let accepted = fates.iter().filter(|fate| **fate == Fate::Accepted).count();
        if accepted > 0 {
            self.accept(&samples, &fates, accepted, side);
        }
        for (row, fate) in fates.iter().enumerate() {
            self.report(&samples, row, *fate, side);
        }
    }

    fn clock_jumped(&mut self, time_ns: TimeNs, event: ClockEvent, side: &mut Side) {
        self.state.rate.interrupt();
        if let Some(clock) = &mut self.state.clock {
            clock.write(time_ns, &self.stream, Some(event), side);
        }
    }

    /// Counts samples from the next one up to `sequence` as lost; `policy` says what is put in the place of so many.
    fn count_gap(&mut self, sequence: i64, time_ns: TimeNs, policy: impl FnOnce(i64) -> Loss, side: &mut Side) {
        let lost = self.state.counting.gap_to(sequence);
        if lost > 0 {
            let policy = policy(lost);
            side.lost(&self.stream, time_ns, self.state.counting.next(), lost, policy);
            self.state.counts.lost = self.state.counts.lost.saturating_add(lost);
            self.state.counting.lose(lost, policy);
        }
    }

    /// Decides, row by row and in recording order, what becomes of each sample.
    fn judge(&mut self, samples: &Samples, times: &[TimeNs], side: &mut Side) -> Vec<Fate> {
        let finite = finite_rows(&samples.rows, self.measured());
        let mut newest = self.state.newest;
        let mut fates = Vec::with_capacity(times.len());
        for (row, time) in times.iter().enumerate() {
            let sequence = samples.sequence.saturating_add(row as i64);
            let fate = if sequence < self.state.counting.next() && !self.came_after_all(sequence, *time, side) {
                Fate::Duplicate
            } else if !LAB_TIMES_NS.contains(time) {
                Fate::BadTime
            } else if !finite.as_ref().is_none_or(|finite| finite[row]) {
                Fate::NotFinite
            } else if self.is_ordered() && *time == newest {
                Fate::EqualTime
            } else if *time <= self.state.watermark || (self.is_ordered() && *time < newest) {
                Fate::Late
            } else {
                newest = newest.max(*time);
                Fate::Accepted
            };
            fates.push(fate);
        }
        if !self.is_ordered() {
            super::judge::refuse_equal_keys(&samples.rows, &self.state.waiting.0, &self.schema, &mut fates);
        }
        fates
    }

    /// Takes back the loss of a sample that comes after all; false when it was not missing.
    fn came_after_all(&mut self, sequence: i64, time_ns: TimeNs, side: &mut Side) -> bool {
        let policy = self.state.counting.came_after_all(sequence);
        if let Some(policy) = policy {
            side.came_after_all(&self.stream, time_ns, sequence, policy);
            self.state.counts.lost -= 1;
        }
        policy.is_some()
    }

    fn accept(&mut self, samples: &Samples, fates: &[Fate], accepted: usize, side: &mut Side) {
        // What these rows no longer change passes as it is, wherever a chunk ends.
        self.pass(self.state.watermark);
        let rows = self.source_rows(samples, fates, accepted);
        let (newest_row, newest) =
            rows::times(&rows).iter().copied().enumerate().max_by_key(|(_, time)| *time).expect("a row was accepted");
        self.state.newest = self.state.newest.max(newest);
        if let Some(rate) = self.sensor.rate {
            self.state.watermark = self.state.watermark.max(self.state.newest.saturating_sub(self.sensor.out_of_order_ns));
            let sequence = rows::integers(&rows, 1).value(newest_row);
            if let Some((event, label)) = self.state.rate.observe(sequence, newest, rate, self.sensor.rate_tolerance) {
                side.event(newest, event, &label, &self.stream);
            }
        }
        if let Some(clock) = &mut self.state.clock {
            clock.write_steadily(self.state.newest, &self.stream, side);
        }
        self.state.counts.rows += accepted as u64;
        self.state.unpassed.push_back((newest, accepted * 8 * rows.num_columns()));
        self.state.waiting.push(rows);
    }

    fn report(&mut self, samples: &Samples, row: usize, fate: Fate, side: &mut Side) {
        let sequence = samples.sequence.saturating_add(row as i64);
        match fate {
            Fate::Accepted => {}
            Fate::Late => {
                self.state.counts.late += 1;
                side.late(&self.stream, &samples.rows, row, sequence, self.state.watermark);
            }
            Fate::Duplicate => {
                self.state.counts.duplicates += 1;
                side.reject_sample(&self.stream, &samples.rows, row, sequence, fate);
            }
            Fate::BadTime | Fate::NotFinite | Fate::EqualTime => {
                self.state.counts.rejected += 1;
                side.reject_sample(&self.stream, &samples.rows, row, sequence, fate);
            }
        }
    }

    /// The measured columns: those between the time's, as [`source_rows`](Self::source_rows) puts them, and the device's.
    fn measured(&self) -> &[FieldRef] {
        let fields = self.schema.columns.fields();
        &fields[3 + usize::from(self.state.clock.is_some())..fields.len() - 1]
    }

    /// The accepted rows of a message in the stream's schema: `time_ns`, `sequence`, `device_time_ns`, where the time was
    /// mapped its uncertainty, the measured columns, the device.
    fn source_rows(&self, samples: &Samples, fates: &[Fate], accepted: usize) -> RecordBatch {
        let sequences = (0..fates.len() as i64).map(|row| samples.sequence.saturating_add(row));
        let times = samples.rows.column(0).clone();
        let device_times = samples.rows.column_by_name(DEVICE_TIME).unwrap_or(&times).clone();
        let mut columns: Vec<ArrayRef> = vec![times, Arc::new(Int64Array::from_iter_values(sequences)), device_times];
        columns.extend(self.fit().map(|fit| Arc::new(Int64Array::from(vec![fit.uncertainty_ns(); fates.len()])) as ArrayRef));
        columns.extend(samples.rows.columns()[1..=self.measured().len()].iter().cloned());
        let device = self.state.serial.as_deref().map(device_of);
        let devices = device.map_or_else(|| Int64Array::new_null(fates.len()), |device| Int64Array::from(vec![device; fates.len()]));
        columns.push(Arc::new(devices));
        if accepted < fates.len() {
            let mask: BooleanArray = fates.iter().map(|fate| Some(*fate == Fate::Accepted)).collect();
            for column in &mut columns {
                *column = arrow_select::filter::filter(column, &mask).expect("the mask has a bit for each row");
            }
        }
        rows::batch(&self.schema, columns)
    }
}

/// The number that stands for a device in rows, so that its serial number doesn't: never negative.
fn device_of(serial: &str) -> i64 {
    (twox_hash::XxHash3_64::oneshot(serial.as_bytes()) >> 1).cast_signed()
}
