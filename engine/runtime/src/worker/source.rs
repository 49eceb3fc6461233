//! How a sensor's messages become rows of its stream: sequences, gaps, duplicates, lateness and the source's watermark.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use proprio_core::recorded::{Sequence, SourceStart};
use proprio_core::{Samples, Sensor, SourceMessage, StreamSchema, TimeNs, rows};

use serde::{Deserialize, Serialize};

use super::judge::{Fate, finite_rows, sort_rows};
use super::rows_image::Rows;
use super::side::Side;
use super::snapshot::SnapshotError;
use super::status::SourceCounts;

/// Ranges of lost samples that are remembered, so that one which comes after all is taken back.
const MISSING_RANGES_MAX: usize = 4096;
/// Times outside 1970 to 2100 are no times of a lab.
const TIME_RANGE_NS: std::ops::Range<i64> = 0..4_102_444_800_000_000_000;

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
    pub(super) stream: String,
    pub(super) schema: StreamSchema,
    rated: bool,
    out_of_order_ns: i64,
    pub(super) state: SourceState,
}

/// All that a source remembers; what a session changes is made anew at its start.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SourceState {
    pub(super) activity: Activity,
    pub(super) counts: SourceCounts,
    pub(super) watermark: TimeNs,
    paced: bool,
    boot: Option<i64>,
    next: i64,
    missing: BTreeMap<i64, i64>,
    newest: TimeNs,
    waiting: Rows,
    /// Last time and bytes of accepted messages, for the bound on rows that wait for other sources.
    pub(super) unpassed: VecDeque<(TimeNs, usize)>,
}

impl SourceState {
    /// As a session begins, with every watermark at `from_ns`: nothing but `start` is known.
    fn begin(from_ns: TimeNs, start: Option<&SourceStart>) -> Self {
        let sequence = start.and_then(|start| start.sequence);
        Self {
            activity: if start.is_some_and(|start| start.idle) { Activity::Idle } else { Activity::Active },
            counts: SourceCounts::default(),
            watermark: from_ns,
            paced: start.is_none_or(|start| start.paced),
            boot: sequence.map(|sequence| sequence.boot),
            next: sequence.map_or(0, |sequence| sequence.last + 1),
            missing: BTreeMap::new(),
            newest: i64::MIN,
            waiting: Rows::default(),
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

impl Source {
    /// A source before its first session: what comes then is late.
    pub(super) fn new(sensor: &Sensor, schema: StreamSchema) -> Self {
        Self {
            stream: sensor.stream(),
            rated: schema.rate.is_some(),
            schema,
            out_of_order_ns: sensor.out_of_order_ns,
            state: SourceState::begin(i64::MAX, None),
        }
    }

    /// A session's start: every watermark begins at `from_ns`, and what `start` says goes on where it stood. Counts alone
    /// outlive sessions.
    pub(super) fn begin(&mut self, from_ns: TimeNs, start: Option<&SourceStart>) {
        self.state = SourceState { counts: self.state.counts, ..SourceState::begin(from_ns, start) };
    }

    /// What it would bring into a session that begins now.
    pub(super) fn start(&self) -> SourceStart {
        SourceStart {
            sequence: self.sequence(),
            paced: self.state.paced,
            idle: self.state.activity != Activity::Active,
            serial: None,
            clock: None,
        }
    }

    /// Takes over what a source of this declaration remembered.
    pub(super) fn restore(&mut self, mut state: SourceState) -> Result<(), SnapshotError> {
        if !state.waiting.fits(&self.schema.columns) {
            return Err(SnapshotError::OtherPlan);
        }
        self.state = state;
        Ok(())
    }

    /// How far the sensor has counted, and with it what may be acknowledged: all before `next` is stored or known as
    /// rejected, late or lost.
    pub(super) fn sequence(&self) -> Option<Sequence> {
        self.state.boot.map(|boot| Sequence { boot, last: self.state.next - 1 })
    }

    /// No row at or before this comes from here on, whatever the stragglers.
    pub(super) fn reached_ns(&self) -> TimeNs {
        if self.state.watermark < i64::MAX { self.state.newest.max(self.state.watermark) } else { self.state.newest }
    }

    /// Takes a decoded message that was recorded at `log_time_ns`.
    pub(super) fn take(&mut self, message: SourceMessage, log_time_ns: TimeNs, side: &mut Side) {
        match message {
            SourceMessage::Open { boot, paced, .. } => {
                self.state.paced = paced;
                if self.state.boot != Some(boot) {
                    self.reboot(boot, 0);
                }
            }
            SourceMessage::Progress { time_ns } if !self.rated => self.state.watermark = self.state.watermark.max(time_ns),
            SourceMessage::Progress { .. } => {}
            SourceMessage::End { boot, last_sequence } => {
                if self.state.boot == Some(boot) {
                    self.count_gap(last_sequence + 1, self.state.watermark.min(log_time_ns), side);
                }
            }
            SourceMessage::Samples(samples) => self.samples(&samples, side),
        }
        self.heard(log_time_ns);
    }

    /// A message came or a heartbeat was recorded: a paced source without a rate has seen all up to then.
    pub(super) fn heard(&mut self, log_time_ns: TimeNs) {
        if !self.rated && self.state.paced && self.state.activity != Activity::Ended {
            self.state.watermark = self.state.watermark.max(log_time_ns.saturating_sub(self.out_of_order_ns));
        }
    }

    /// Rows at or before `watermark`, in (time, keys) order.
    pub(super) fn release(&mut self, watermark: TimeNs) -> Option<RecordBatch> {
        let all = self.state.waiting.take(&self.schema.columns)?;
        if self.is_ordered() {
            return Some(all);
        }
        let (released, kept) = rows::split_at_watermark(&sort_rows(&all, &self.schema.keys), watermark);
        self.state.waiting.push(kept);
        (released.num_rows() > 0).then_some(released)
    }

    /// Whether rows come in time order, so that the newest one is the watermark and none has to wait for another.
    fn is_ordered(&self) -> bool {
        self.rated && self.out_of_order_ns == 0
    }

    fn reboot(&mut self, boot: i64, next: i64) {
        self.state.boot = Some(boot);
        self.state.next = next;
        self.state.missing.clear();
    }

    fn samples(&mut self, samples: &Samples, side: &mut Side) {
        if self.state.boot != Some(samples.boot) {
            self.reboot(samples.boot, samples.sequence);
        }
        let count = samples.rows.num_rows();
        if count == 0 {
            return;
        }
        let times = rows::times(&samples.rows);
        self.count_gap(samples.sequence, times[0], side);
        let fates = self.judge(samples, times, side);
        self.state.next = self.state.next.max(samples.sequence.saturating_add(count as i64));
        let accepted = fates.iter().filter(|fate| **fate == Fate::Accepted).count();
        if accepted > 0 {
            self.accept(samples, &fates, accepted);
        }
        for (row, fate) in fates.iter().enumerate() {
            self.report(samples, row, *fate, side);
        }
    }

    /// Counts samples from the next one up to `sequence` as lost.
    fn count_gap(&mut self, sequence: i64, time_ns: TimeNs, side: &mut Side) {
        let lost = sequence.saturating_sub(self.state.next);
        if lost <= 0 {
            return;
        }
        side.loss(&self.stream, time_ns, self.state.next, lost, "gap");
        self.state.counts.lost += lost;
        self.state.missing.insert(self.state.next, lost);
        if self.state.missing.len() > MISSING_RANGES_MAX {
            self.state.missing.pop_first();
        }
        self.state.next = sequence;
    }

    /// Decides, row by row and in recording order, what becomes of each sample.
    fn judge(&mut self, samples: &Samples, times: &[TimeNs], side: &mut Side) -> Vec<Fate> {
        let finite = finite_rows(&samples.rows, &self.schema);
        let mut newest = self.state.newest;
        let mut fates = Vec::with_capacity(times.len());
        for (row, time) in times.iter().enumerate() {
            let sequence = samples.sequence.saturating_add(row as i64);
            let fate = if sequence < self.state.next && !self.came_after_all(sequence, *time, side) {
                Fate::Duplicate
            } else if !TIME_RANGE_NS.contains(time) {
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
        let Some((&start, &count)) = self.state.missing.range(..=sequence).next_back() else { return false };
        if sequence >= start + count {
            return false;
        }
        self.state.missing.remove(&start);
        for (start, end) in [(start, sequence), (sequence + 1, start + count)] {
            if start < end {
                self.state.missing.insert(start, end - start);
            }
        }
        side.loss(&self.stream, time_ns, sequence, -1, "came_after_all");
        self.state.counts.lost -= 1;
        true
    }

    fn accept(&mut self, samples: &Samples, fates: &[Fate], accepted: usize) {
        let rows = source_rows(samples, &self.schema, fates, accepted);
        let newest = *rows::times(&rows).iter().max().expect("at least one row was accepted");
        self.state.newest = self.state.newest.max(newest);
        if self.rated {
            self.state.watermark = self.state.watermark.max(self.state.newest.saturating_sub(self.out_of_order_ns));
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
}

/// The accepted rows of a message in the stream's schema: `time_ns`, `sequence`, `device_time_ns`, the measured columns.
fn source_rows(samples: &Samples, schema: &StreamSchema, fates: &[Fate], accepted: usize) -> RecordBatch {
    let sequences: ArrayRef =
        Arc::new(Int64Array::from_iter_values((0..fates.len() as i64).map(|row| samples.sequence.saturating_add(row))));
    let times = samples.rows.column(0).clone();
    let mut columns = vec![times.clone(), sequences, times];
    columns.extend(samples.rows.columns().iter().skip(1).cloned());
    if accepted < fates.len() {
        let mask: BooleanArray = fates.iter().map(|fate| Some(*fate == Fate::Accepted)).collect();
        for column in &mut columns {
            *column = arrow_select::filter::filter(column, &mask).expect("the mask has a bit for each row");
        }
    }
    rows::batch(schema, columns)
}
