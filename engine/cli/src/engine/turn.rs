//! The engine's one thread: takes what has come, records it, runs the worker, hands rows to the tables and alerts to the
//! wire, and acknowledges what is durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use arrow_array::RecordBatch;
use proprio_core::control::{Reply, SensorStatus, Status, StepStatusReply};
use proprio_core::rig::RigFile;
use proprio_core::table::system;
use proprio_core::{Decision, Event, Recorded, Rig, TableChunk, TimeNs};
use proprio_recording::Recorder;
use proprio_runtime::Worker;
use proprio_tables::Store;
use proprio_zenoh::{AckPublisher, ArrivalClock, Call, Egress, Incoming, Ingress, wire};
use tokio::task::JoinHandle;

use super::acks::PendingAcks;
use super::alerts::Alert;
use super::bursts::Bursts;
use super::liveness::Liveness;
use super::metrics::Metrics;

/// How long the thread waits for a message before it looks at time, requests and the disk.
const WAIT: Duration = Duration::from_millis(2);
/// What one turn takes at most, so that acknowledgements stay steady when much comes.
const TURN_BYTES: usize = 2 << 20;
/// How often the recording is made durable (contract 7).
const SYNC_EVERY: Duration = Duration::from_millis(20);
/// How often metrics and the log look at the worker.
const REPORT_EVERY: Duration = Duration::from_millis(250);
/// Hot rows beyond which the thread waits for the commit that is under way.
const HOT_BYTES_MAX: usize = 256 << 20;

/// Everything that the thread owns.
pub struct Turn {
    pub rig: Rig,
    pub rig_file: RigFile,
    pub run_id: String,
    pub clock: ArrivalClock,
    pub ingress: Ingress,
    pub recorder: Recorder,
    pub worker: Worker,
    pub store: Arc<Store>,
    pub acks: AckPublisher,
    pub egress: Egress,
    pub calls: crossbeam_channel::Receiver<Call>,
    pub metrics: Metrics,
    /// The run's row of `lineage`.
    pub lineage: RecordBatch,
    pub stopping: Arc<AtomicBool>,
    pub runtime: tokio::runtime::Handle,
}

/// What changes from turn to turn.
struct Progress {
    pending: PendingAcks,
    liveness: Liveness,
    bursts: Bursts,
    /// Answers that wait for their decision to be durable.
    answers: Vec<(i64, Call, Reply)>,
    commit: Option<JoinHandle<Result<(), proprio_tables::TablesError>>>,
    committed: i64,
    synced: Instant,
    reported: Instant,
}

impl Turn {
    /// Runs until the engine is told to stop, then ends the session and commits its rows.
    ///
    /// # Errors
    /// When the recording or the tables can't be written: nothing after the last sync was acknowledged.
    pub fn run(mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        let mut progress = Progress {
            pending: PendingAcks::default(),
            liveness: Liveness::new(&self.rig, self.clock.now_ns()),
            bursts: Bursts::default(),
            answers: Vec::new(),
            commit: None,
            committed: -1,
            synced: now,
            reported: now,
        };
        self.metrics.recording_ok.set(1);
        let outcome = self.turns(&mut progress);
        if let Err(error) = &outcome {
            self.metrics.recording_ok.set(0);
            tracing::error!(%error, "the engine stops: what comes now is neither recorded nor acknowledged");
        }
        outcome?;
        self.recorder.close().context("the recording can't be ended")?;
        Ok(())
    }

    fn turns(&mut self, progress: &mut Progress) -> anyhow::Result<()> {
        let first = self.session_start(None, None, None);
        let recorded = self.record(Event::Decision(first), self.clock.now_ns())?;
        self.advance(&[recorded], progress)?;
        self.write_lineage()?;
        while !self.stopping.load(Ordering::Relaxed) {
            let mut messages = Vec::new();
            self.take_arrivals(&mut messages, progress)?;
            self.take_calls(&mut messages, progress)?;
            self.advance(&messages, progress)?;
            self.sync(progress)?;
            self.commit(progress)?;
            self.report(progress);
        }
        self.finish(progress)
    }

    fn write_lineage(&self) -> anyhow::Result<()> {
        let session = self.worker.session().map(|session| session.id.clone()).unwrap_or_default();
        let position = self.worker.position();
        let chunk = TableChunk {
            table: system::LINEAGE.to_owned(),
            key: None,
            session,
            run_id: self.run_id.clone(),
            rows: self.lineage.clone(),
            position,
        };
        self.store.append(&[chunk], position).context("the run can't be written into the tables")?;
        Ok(())
    }

    fn record(&mut self, event: Event, arrival_ns: TimeNs) -> anyhow::Result<Recorded> {
        self.recorder.append(event, arrival_ns).context("the recording can't be written")
    }

    fn take_arrivals(&mut self, messages: &mut Vec<Recorded>, progress: &mut Progress) -> anyhow::Result<()> {
        let arrivals = self.ingress.recv(WAIT, TURN_BYTES);
        if arrivals.is_empty() {
            let now_ns = self.clock.now_ns();
            for decision in progress.liveness.decide(now_ns) {
                if let Decision::Idle { sensor } = &decision {
                    tracing::info!(sensor = self.rig.sensors[*sensor].name, "silent: other sensors no longer wait for it");
                }
                messages.push(self.record(Event::Decision(decision), now_ns)?);
            }
        }
        for arrival in arrivals {
            let decision = match &arrival.incoming {
                Incoming::Event(Event::Payload { sensor, encoding, payload }) => {
                    let control =
                        (encoding == wire::SOURCE).then(|| wire::decode(&self.rig.sensors[*sensor], encoding, payload).ok()).flatten();
                    progress.liveness.heard(*sensor, control.as_ref(), arrival.arrival_ns)
                }
                Incoming::Event(Event::Decision(_)) => None,
                Incoming::Presence { sensor, present } => {
                    let name = &self.rig.sensors[*sensor].name;
                    tracing::info!(sensor = name, "{}", if *present { "is there" } else { "is gone" });
                    progress.liveness.presence(*sensor, *present)
                }
            };
            if let Some(decision) = decision {
                messages.push(self.record(Event::Decision(decision), arrival.arrival_ns)?);
            }
            if let Incoming::Event(event) = arrival.incoming {
                messages.push(self.record(event, arrival.arrival_ns)?);
            }
        }
        Ok(())
    }

    fn take_calls(&mut self, messages: &mut Vec<Recorded>, progress: &mut Progress) -> anyhow::Result<()> {
        while let Ok(call) = self.calls.try_recv() {
            // What came before the request is judged before it.
            self.advance(&std::mem::take(messages), progress)?;
            match self.decisions(&call.request, &progress.liveness) {
                Err(reply) => answer(call, &reply),
                Ok(decisions) => {
                    let now_ns = self.clock.now_ns();
                    let mut position = -1;
                    for decision in decisions {
                        let begins = matches!(decision, Decision::SessionStart { .. });
                        let recorded = self.record(Event::Decision(decision), now_ns)?;
                        position = recorded.position;
                        self.advance(&[recorded], progress)?;
                        if begins {
                            progress.liveness.session_started(now_ns);
                        }
                    }
                    let session = self.worker.session().map(|session| session.id.clone()).unwrap_or_default();
                    progress.answers.push((position, call, Reply::Done { session, position }));
                }
            }
        }
        Ok(())
    }

    /// Runs the worker over messages, and hands on what it gave.
    fn advance(&mut self, messages: &[Recorded], progress: &mut Progress) -> anyhow::Result<()> {
        if messages.is_empty() {
            return Ok(());
        }
        let chunks = self.worker.advance(messages);
        let position = self.worker.position();
        for chunk in &chunks {
            self.metrics.table(&chunk.table, chunk.rows.num_rows());
            if chunk.table == system::ALERTS {
                self.send_alerts(chunk);
            }
        }
        self.store.append(&chunks, position).context("rows can't be taken into the tables")?;
        progress.pending.add(position, self.worker.sequences());
        Ok(())
    }

    fn send_alerts(&self, chunk: &TableChunk) {
        let now_ns = self.clock.now_ns();
        for alert in Alert::of_chunk(chunk, &self.rig.name, &self.run_id) {
            self.metrics.alert(alert.time_ns, now_ns);
            tracing::info!(step = alert.step, state = alert.state, severity = alert.severity, "{}", alert.message);
            if let Err(error) = self.egress.alert(&alert.step, &alert) {
                tracing::error!(step = alert.step, %error, "an alert could not be written as JSON");
            }
        }
    }

    fn sync(&mut self, progress: &mut Progress) -> anyhow::Result<()> {
        if progress.synced.elapsed() < SYNC_EVERY {
            return Ok(());
        }
        let durable = self.recorder.sync().context("the recording can't be made durable")?;
        progress.synced = Instant::now();
        for (sensor, ack) in progress.pending.release(durable).into_iter().flatten().enumerate() {
            if let Some(ack) = ack {
                self.acks.set(sensor, ack);
            }
        }
        for (_, call, reply) in progress.answers.extract_if(.., |(position, ..)| *position <= durable) {
            answer(call, &reply);
        }
        Ok(())
    }

    /// Begins a commit round at the durable position when one is due; waits for the one under way when rows pile up.
    fn commit(&mut self, progress: &mut Progress) -> anyhow::Result<()> {
        let hot_bytes = self.store.hot_bytes();
        if let Some(commit) = progress.commit.take_if(|commit| commit.is_finished() || hot_bytes > HOT_BYTES_MAX) {
            self.runtime.block_on(commit).context("a commit round stopped")?.context("a commit round failed")?;
            self.metrics.commits.inc();
        }
        let durable = self.recorder.durable_position();
        if progress.commit.is_none() && durable > progress.committed && self.store.should_commit() {
            progress.committed = durable;
            let store = self.store.clone();
            progress.commit = Some(self.runtime.spawn(async move { store.commit(durable).await }));
        }
        Ok(())
    }

    fn report(&self, progress: &mut Progress) {
        if progress.reported.elapsed() < REPORT_EVERY {
            return;
        }
        progress.reported = Instant::now();
        let now_ns = self.clock.now_ns();
        for (sensor, (counts, watermark_ns)) in self.worker.sources().enumerate() {
            let sensor_file = &self.rig.sensors[sensor];
            progress.bursts.watch(sensor, &sensor_file.name, &counts, now_ns);
            self.metrics.source(&sensor_file.name, &sensor_file.stream(), &counts, watermark_ns, now_ns);
        }
        self.worker.steps().for_each(|status| self.metrics.step(&status, now_ns));
        self.metrics.queue_bytes.set(self.ingress.counts().waiting_bytes as i64);
        self.metrics.hot_bytes.set(self.store.hot_bytes() as i64);
    }

    /// Ends the session, and commits every row.
    fn finish(&mut self, progress: &mut Progress) -> anyhow::Result<()> {
        let mut messages = Vec::new();
        self.take_arrivals(&mut messages, progress)?;
        messages.push(self.record(Event::Decision(Decision::SessionStop), self.clock.now_ns())?);
        self.advance(&messages, progress)?;
        progress.synced = Instant::now() - SYNC_EVERY;
        self.sync(progress)?;
        if let Some(commit) = progress.commit.take() {
            self.runtime.block_on(commit).context("a commit round stopped")?.context("a commit round failed")?;
        }
        progress.reported = Instant::now() - REPORT_EVERY;
        self.report(progress);
        self.runtime.block_on(self.store.commit(self.recorder.durable_position())).context("the last commit round failed")
    }

    /// How the rig is.
    pub(super) fn status(&self, liveness: &Liveness) -> Status {
        let moving = |watermark_ns: TimeNs| Some(watermark_ns).filter(|watermark_ns| *watermark_ns > 0 && *watermark_ns < i64::MAX);
        let sensors = self.rig.sensors.iter().zip(self.worker.source_statuses()).enumerate().map(|(sensor, (file, status))| {
            let counts = status.counts;
            SensorStatus {
                name: file.name.clone(),
                present: liveness.present(sensor),
                rows: counts.rows,
                lost: counts.lost,
                late: counts.late,
                rejected: counts.rejected,
                duplicates: counts.duplicates,
                watermark_ns: moving(status.watermark_ns),
                idle: status.idle,
                clock: status.clock,
                rate_hz: status.rate_hz,
            }
        });
        let steps = self.worker.steps().map(|step| StepStatusReply {
            id: step.id,
            stream: step.stream,
            watermark_ns: moving(step.watermark_ns),
            waiting_rows: step.waiting_rows,
            waits_for: step.waits_for,
            since_ns: step.since_ns,
        });
        Status {
            rig: self.rig.name.clone(),
            session: self.worker.session().map(|session| session.id.clone()).unwrap_or_default(),
            position: self.worker.position(),
            durable_position: self.recorder.durable_position(),
            tables_position: self.store.tables_position(),
            sensors: sensors.collect(),
            steps: steps.collect(),
        }
    }
}

/// An asker that is gone needs no answer.
fn answer(call: Call, reply: &Reply) {
    if let Err(error) = call.reply(reply) {
        tracing::debug!(%error, "an answer was not sent");
    }
}
