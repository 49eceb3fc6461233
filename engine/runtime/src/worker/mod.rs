//! The worker: a pure fold over recorded messages that runs a plan's operators in order. It reads no clock and waits
//! for nothing; live, replay and recovery give it the same messages and get the same rows.

mod counting;
mod device_clock;
mod fingerprint;
mod judge;
mod loss;
mod profile;
mod rate;
mod reload;
mod rows_image;
mod said;
mod side;
mod snapshot;
mod source;
mod status;
mod steps;
#[cfg(test)]
mod tests;
mod watermarks;
mod wiring;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use proprio_core::recorded::{Decode, Sequence, SourceStart};
use proprio_core::table::system;
use proprio_core::{Carried, Decision, Event, Output, Recorded, SourceMessage, TableChunk, TimeNs, rows};
use serde::{Deserialize, Serialize};

use crate::plan::Plan;
use profile::{DECODING, JUDGING, Profile, RELEASING, timed};
pub use reload::Reloaded;
use side::Side;
pub use snapshot::SnapshotError;
use source::{Activity, Released, Source};
pub use status::{SourceCounts, SourceStatus, StepStatus};
use steps::RunningStep;
use wiring::Wiring;

/// One rig's plan at work.
pub struct Worker {
    plan: Arc<Plan>,
    wiring: Wiring,
    decode: Decode,
    run_id: String,
    sources: Vec<Source>,
    steps: Vec<RunningStep>,
    /// Per stream: no row at or before this will come again.
    watermarks: Vec<TimeNs>,
    session: Option<Session>,
    /// Empty between calls of [`advance`](Self::advance), as `chunks` are.
    side: Side,
    chunks: Vec<TableChunk>,
    /// Bytes of rows that wait for a slow source, over all sources.
    unpassed_bytes: usize,
    position: i64,
    log_time_ns: TimeNs,
    profile: Option<Profile>,
}

/// The open session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Identifier.
    pub id: String,
    /// Pseudonym.
    pub subject: Option<String>,
    /// What is being done.
    pub task: Option<String>,
    /// Where every watermark began.
    pub from_ns: TimeNs,
}

impl Worker {
    /// A worker before its first session.
    pub fn new(plan: Arc<Plan>, decode: Decode, run_id: String) -> Self {
        let sources: Vec<_> =
            plan.rig.sensors.iter().zip(&plan.sources).map(|(sensor, schema)| Source::new(sensor, schema.clone())).collect();
        let steps: Vec<_> = (0..plan.steps.len()).map(|step| running_step(&plan, step)).collect();
        Self {
            wiring: Wiring::of(&plan),
            decode,
            run_id,
            watermarks: vec![i64::MIN; plan.sources.len() + steps.len()],
            sources,
            steps,
            session: None,
            side: Side::default(),
            chunks: Vec::new(),
            unpassed_bytes: 0,
            position: -1,
            log_time_ns: 0,
            profile: None,
            plan,
        }
    }

    /// Takes a chunk of messages, in recording order, and returns the rows it gave. Where a chunk begins and ends
    /// changes nothing but the positions that rows carry.
    pub fn advance(&mut self, messages: &[Recorded]) -> Vec<TableChunk> {
        for message in messages {
            (self.position, self.log_time_ns) = (message.position, message.log_time_ns);
            match &message.event {
                Event::Payload { sensor, encoding, payload } => self.payload(*sensor, encoding, payload, message.log_time_ns),
                Event::Decision(decision) => self.decision(decision, message.log_time_ns),
            }
            self.bound_waiting();
        }
        self.run();
        std::mem::take(&mut self.chunks)
    }

    /// The open session.
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Position of the newest message taken; −1 before the first.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// Per sensor: how far it has counted. Once the position is durable, all up to `last` may be acknowledged.
    pub fn sequences(&self) -> Vec<Option<Sequence>> {
        self.sources.iter().map(|source| source.counting().sequence()).collect()
    }

    /// What each sensor would bring into a session that begins now, by key.
    pub fn source_starts(&self) -> BTreeMap<String, SourceStart> {
        let sensors = self.plan.rig.sensors.iter().map(|sensor| sensor.key.clone());
        sensors.zip(self.sources.iter().map(Source::start)).collect()
    }

    fn payload(&mut self, sensor: usize, encoding: &str, payload: &[u8], log_time_ns: TimeNs) {
        self.rejoin(sensor);
        let decoded = timed(&mut self.profile, DECODING, || (self.decode)(&self.plan.rig.sensors[sensor], encoding, payload));
        let ends = matches!(decoded, Ok(SourceMessage::End { .. }));
        let source = &mut self.sources[sensor];
        source.state.counts.bytes += payload.len() as u64;
        let before = source.state.unpassed.len();
        match decoded {
            Ok(message) => timed(&mut self.profile, JUDGING, || source.take(message, log_time_ns, &mut self.side)),
            Err(rejection) => {
                source.state.counts.rejected += 1;
                self.side.reject_payload(&source.stream, log_time_ns, rejection.reason, rejection.detail, payload);
            }
        }
        self.unpassed_bytes += source.state.unpassed.iter().skip(before).map(|(_, bytes)| bytes).sum::<usize>();
        if ends {
            self.set_activity(sensor, Activity::Ended);
            self.sources[sensor].state.watermark = i64::MAX;
        }
    }

    fn decision(&mut self, decision: &Decision, log_time_ns: TimeNs) {
        match decision {
            Decision::SessionStart { session, subject, task, from_ns, sources, carried } => {
                self.end_session(log_time_ns);
                let session = Session { id: session.clone(), subject: subject.clone(), task: task.clone(), from_ns: *from_ns };
                for (source, sensor) in self.sources.iter_mut().zip(&self.plan.rig.sensors) {
                    source.begin(*from_ns, sources.get(&sensor.key));
                }
                for (step, planned) in self.steps.iter_mut().zip(&self.plan.steps) {
                    step.begin(&*planned.planned.step, *from_ns);
                }
                carried.iter().for_each(|carried| self.carry(carried, log_time_ns));
                self.watermarks.fill(*from_ns);
                self.unpassed_bytes = 0;
                self.side.session(log_time_ns, &session, None);
                self.session = Some(session);
            }
            Decision::SessionStop => self.end_session(log_time_ns),
            Decision::Trial { name } => self.side.trial(log_time_ns, name),
            Decision::Mark { time_ns, label } => self.side.mark(*time_ns, label),
            Decision::Note { time_ns, note } => {
                let rows = self.side.note(*time_ns, note);
                self.say(system::NOTES, &rows);
            }
            Decision::Outcome { time_ns, author, instrument, items } => {
                if let Some(rows) = self.side.outcome(*time_ns, author, *instrument, items) {
                    self.say(system::OUTCOMES, &rows);
                }
            }
            Decision::Acknowledge { time_ns, author, text, alert } => self.side.acknowledged(*time_ns, author, text.as_deref(), alert),
            Decision::Idle { sensor } => {
                if self.sources[*sensor].state.activity == Activity::Active {
                    self.set_activity(*sensor, Activity::Idle);
                }
            }
            Decision::Back { sensor } => self.rejoin(*sensor),
            Decision::Heartbeat { sensor } => self.sources[*sensor].heard(log_time_ns),
            Decision::Overflow { sensor, messages, .. } => self.sources[*sensor].state.counts.overflowed += messages,
            Decision::RoundTrip { sensor, round_trip } => self.sources[*sensor].answered(*round_trip, log_time_ns, &mut self.side),
            Decision::EngineStart { .. } | Decision::Reload { .. } => {}
        }
    }

    /// Gives a step what it brings along from an earlier session; what it can't take is told.
    fn carry(&mut self, carried: &Carried, log_time_ns: TimeNs) {
        let step = self.plan.steps.iter().position(|step| step.stream == carried.stream && step.planned.carries.is_some());
        let told = match step.map(|step| (step, carried.batch(&self.plan.steps[step].planned.output))) {
            Some((step, Ok(_))) => {
                self.steps[step].carry(&*self.plan.steps[step].planned.step, carried);
                return self.side.event(log_time_ns, "carried", &format!("from session {}", carried.session), &carried.stream);
            }
            Some((_, Err(error))) => error.to_string(),
            None => "the pipeline has no such step".to_owned(),
        };
        self.side.event(log_time_ns, "not_carried", &told, &carried.stream);
    }

    /// Moves every row that the watermarks let pass through the plan.
    fn run(&mut self) {
        let Some(session) = self.session.as_ref().map(|session| session.id.clone()) else {
            self.side.take("", &self.run_id, self.position, &mut self.chunks);
            return;
        };
        self.side.take(&session, &self.run_id, self.position, &mut self.chunks);
        self.run_sources(&session);
        for step in 0..self.steps.len() {
            self.run_step(step, &session, false);
        }
    }

    fn run_sources(&mut self, session: &str) {
        self.settle_idle();
        for sensor in 0..self.sources.len() {
            let watermark = self.sources[sensor].state.watermark;
            self.release(sensor, watermark, session);
        }
    }

    /// Hands on a source's rows up to its watermark.
    fn release(&mut self, sensor: usize, watermark: TimeNs, session: &str) {
        self.watermarks[sensor] = watermark;
        let Released { rows, for_steps } = timed(&mut self.profile, RELEASING, || self.sources[sensor].release(watermark));
        if let Some(rows) = for_steps {
            self.give(sensor, &rows);
        }
        self.chunks.extend(rows.and_then(|rows| self.source_chunk(sensor, session, rows)));
    }

    fn source_chunk(&self, sensor: usize, session: &str, rows: RecordBatch) -> Option<TableChunk> {
        let table = self.wiring.source_tables[sensor].clone()?;
        let key = Some(self.plan.rig.sensors[sensor].name.clone());
        Some(TableChunk { table, key, session: session.to_owned(), run_id: self.run_id.clone(), rows, position: self.position })
    }

    fn run_step(&mut self, step: usize, session: &str, flush: bool) {
        let plan = self.plan.clone();
        let planned = &plan.steps[step];
        let watermark = self.awaited(&planned.inputs).map(|input| self.watermarks[input]).min().unwrap_or(i64::MAX);
        let mut output = Output::default();
        timed(&mut self.profile, planned.op, || {
            self.steps[step].advance(&*planned.planned.step, watermark, self.log_time_ns, &mut output);
            if flush {
                self.steps[step].flush(&*planned.planned.step, &mut output);
            }
        });
        let stream = plan.sources.len() + step;
        self.watermarks[stream] = self.steps[step].promised;
        for rows in output.take() {
            self.give(stream, &rows);
            let (rows, key) = if planned.planned.is_alert {
                let input = plan.stream_name(planned.inputs[0]);
                (self.alert_rows(&planned.id, input, session, &rows), Some(planned.id.clone()))
            } else {
                (rows, planned.key.clone())
            };
            if let Some(table) = &planned.table {
                let (table, session, run_id) = (table.clone(), session.to_owned(), self.run_id.clone());
                self.chunks.push(TableChunk { table, key, session, run_id, rows, position: self.position });
            }
        }
    }

    fn give(&mut self, stream: usize, rows: &RecordBatch) {
        for (step, port) in &self.wiring.readers[stream] {
            self.steps[*step].give(*port, rows.clone());
        }
    }

    /// A session's end: what waits is delivered, operators flush in order, and what each emits reaches the next.
    fn end_session(&mut self, log_time_ns: TimeNs) {
        self.run();
        let Some(session) = self.session.take() else { return };
        let first_step = self.plan.sources.len();
        self.watermarks[self.sources.len()..first_step].fill(i64::MAX);
        for sensor in 0..self.sources.len() {
            self.sources[sensor].end_session(&mut self.side);
            self.sources[sensor].state.watermark = i64::MAX;
            self.release(sensor, i64::MAX, &session.id);
        }
        for step in 0..self.steps.len() {
            self.run_step(step, &session.id, true);
        }
        self.side.session(log_time_ns, &session, Some(log_time_ns));
        self.side.take(&session.id, &self.run_id, self.position, &mut self.chunks);
    }

    /// An alert step's rows with their identity: id = hash(run, session, step, stream, key, state, time) (contract 9).
    fn alert_rows(&self, step: &str, stream: &str, session: &str, rows: &RecordBatch) -> RecordBatch {
        let [keys, states] = ["key", "state"].map(|name| rows.schema_ref().index_of(name).expect("alert rows have a key and a state"));
        let (keys, states) = (rows::strings(rows, keys), rows::strings(rows, states));
        let ids = rows::times(rows).iter().enumerate().map(|(row, time)| {
            let identity = [&self.run_id, session, step, stream, keys.value(row), states.value(row), &time.to_string()].join("\n");
            let mut id = String::new();
            write!(id, "{:016x}", twox_hash::XxHash3_64::oneshot(identity.as_bytes())).expect("a string takes text");
            id
        });
        let ids: ArrayRef = Arc::new(StringArray::from_iter_values(ids));
        let streams: ArrayRef = Arc::new(StringArray::from(vec![stream; rows.num_rows()]));
        let mut columns = vec![rows.column(0).clone(), ids, streams];
        columns.extend(rows.columns()[1..].iter().cloned());
        rows::batch(&system::alerts(), columns)
    }
}

/// A step of a plan before its first session.
fn running_step(plan: &Plan, step: usize) -> RunningStep {
    let planned = &plan.steps[step];
    RunningStep::new(&*planned.planned.step, planned.inputs.iter().map(|input| plan.schema(*input).clone()))
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("session", &self.session).field("position", &self.position).finish_non_exhaustive()
    }
}
