//! The engine's one thread: takes what has come, records it, runs the worker, and hands on what is durable.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use proprio_core::control::{Reply, Request};
use proprio_recording::{Snapshot, Snapshots};
use proprio_tables::{Store, TablesError};
use proprio_zenoh::{AckPublisher, ArrivalClock, Egress, Ingress, Session};
use tokio::task::JoinHandle;

use super::alerts::Told;
use super::bursts::Bursts;
use super::calls::{Call, Calls};
use super::edit;
use super::live::Live;
use super::metrics::Metrics;
use super::upkeep::Upkeep;

/// How long the thread waits for a message before it looks at time, requests and the disk.
const WAIT: Duration = Duration::from_millis(2);
/// What one turn takes at most, so that acknowledgements stay steady when much comes.
const TURN_BYTES: usize = 2 << 20;
/// How often what was recorded goes to the disk (contract 7).
const SEAL_EVERY: Duration = Duration::from_millis(20);
/// How often metrics and the log look at the worker.
const REPORT_EVERY: Duration = Duration::from_millis(250);
/// How long the engine's end waits for a disk that refuses.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// Everything that the thread owns.
pub struct Turn {
    pub live: Live,
    pub clock: ArrivalClock,
    pub ingress: Ingress,
    pub store: Arc<Store>,
    pub snapshots: Arc<Mutex<Snapshots>>,
    pub acks: AckPublisher,
    pub egress: Egress,
    pub session: Session,
    pub calls: Calls,
    pub metrics: Metrics,
    pub upkeep: Upkeep,
    /// The pipeline file that it was started with, to be read again on a reload.
    pub pipeline: PathBuf,
    pub stopping: Arc<AtomicBool>,
    /// Set by whoever wants the files to be read again.
    pub reloading: Arc<AtomicBool>,
    pub runtime: tokio::runtime::Handle,
}

/// What changes from turn to turn.
pub(super) struct Progress {
    bursts: Bursts,
    /// Answers that wait for their decision to be durable.
    pub(super) answers: Vec<(i64, Call, Reply)>,
    round: Option<JoinHandle<Result<(), TablesError>>>,
    sealed: Instant,
    reported: Instant,
}

impl Turn {
    /// Runs until the engine is told to stop, then ends the session and commits its rows.
    ///
    /// # Errors
    /// When rows don't fit their tables, or the disk refuses at the end.
    pub fn run(mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        let mut progress = Progress { bursts: Bursts::default(), answers: Vec::new(), round: None, sealed: now, reported: now };
        let outcome = self.turns(&mut progress).and_then(|()| self.finish(&mut progress));
        if let Err(error) = &outcome {
            tracing::error!(%error, "the engine stops: what comes now is neither recorded nor acknowledged");
        }
        outcome?;
        self.live.into_recorder().close().context("the recording can't be ended")?;
        Ok(())
    }

    fn turns(&mut self, progress: &mut Progress) -> anyhow::Result<()> {
        while !self.stopping.load(Ordering::Relaxed) {
            self.take_arrivals()?;
            self.take_calls(progress)?;
            if progress.sealed.elapsed() >= SEAL_EVERY {
                self.settle(progress);
                // Whoever begins to follow a rig that rests waits for it.
                self.live.tell_how_far();
            }
            self.commit(progress)?;
            self.keep_up(progress.round.is_none());
            if progress.reported.elapsed() >= REPORT_EVERY {
                self.report(progress);
            }
        }
        Ok(())
    }

    fn take_arrivals(&mut self) -> anyhow::Result<()> {
        if self.live.stands_still() {
            std::thread::sleep(WAIT);
            return Ok(());
        }
        let arrivals = self.ingress.recv(WAIT, TURN_BYTES);
        let mut alerts = self.live.take(arrivals)?;
        // Only when nothing waits: a source that is late because the engine is behind is not idle.
        if self.ingress.counts().waiting_messages == 0 {
            alerts.extend(self.live.pass_time(self.clock.now_ns())?);
        }
        self.send(&alerts);
        Ok(())
    }

    fn take_calls(&mut self, progress: &mut Progress) -> anyhow::Result<()> {
        while let Some(call) = self.calls.next() {
            if matches!(call.request(), Request::Forget { .. }) {
                self.upkeep.ask(call, self.live.fold().worker().position());
                continue;
            }
            // Checking takes a while, and changes nothing.
            if matches!(call.request(), Request::Files {} | Request::Check { .. }) {
                let pipeline = self.pipeline.clone();
                self.runtime.spawn_blocking(move || {
                    let reply = edit::look(&pipeline, call.request());
                    call.reply(&reply);
                });
                continue;
            }
            match self.answer(call.request(), call.who())? {
                (Some(position), reply) => progress.answers.push((position, call, reply)),
                (None, reply) => call.reply(&reply),
            }
        }
        if self.reloading.swap(false, Ordering::Relaxed)
            && let Reply::Refused { reason } = self.reload(None)?.1
        {
            tracing::error!("not reloaded: the pipeline goes on as it was\n{reason}");
        }
        Ok(())
    }

    /// Sends alerts and cues at once: they don't wait for the disk.
    pub(super) fn send(&self, told: &[Told]) {
        let now_ns = self.clock.now_ns();
        for told in told {
            // Before the log, whose reader may be slow.
            if let Err(error) = self.egress.tell(told.step(), told) {
                tracing::error!(step = told.step(), %error, "what was to be told could not be written as JSON");
            }
            self.metrics.alert(told.time_ns(), now_ns);
            match told {
                Told::Alert(alert) => {
                    tracing::info!(step = alert.step, state = alert.state, severity = alert.severity, "{}", alert.message);
                }
                Told::Cue(cue) => tracing::info!(step = cue.step, "{}", cue.message),
            }
        }
    }

    fn settle(&mut self, progress: &mut Progress) {
        progress.sealed = Instant::now();
        for (sensor, ack) in self.live.settle().into_iter().enumerate() {
            if let Some(ack) = ack {
                self.acks.set(sensor, ack);
            }
        }
        let durable = self.live.recorder().durable_position();
        for (_, call, reply) in progress.answers.extract_if(.., |(position, ..)| *position <= durable) {
            call.reply(&reply);
        }
    }

    /// Begins a commit round when one is due, and takes note of the one that has ended.
    fn commit(&mut self, progress: &mut Progress) -> anyhow::Result<()> {
        let now_ns = self.clock.now_ns();
        if let Some(round) = progress.round.take_if(|round| round.is_finished()) {
            let outcome = self.runtime.block_on(round).context("a commit round stopped")?;
            self.round_ended(outcome)?;
        }
        if progress.round.is_none()
            && !self.upkeep.is_forgetting()
            && let Some(round) = self.live.round(now_ns)
        {
            progress.round = Some(self.runtime.spawn(commit(round, self.store.clone(), self.snapshots.clone())));
        }
        Ok(())
    }

    fn round_ended(&mut self, outcome: Result<(), TablesError>) -> anyhow::Result<()> {
        let now_ns = self.clock.now_ns();
        match outcome {
            Ok(()) => {
                self.live.round_ended(true, now_ns);
                self.metrics.commits.inc();
            }
            Err(error @ TablesError::StaleCommit { .. }) => {
                return Err(error).context("another process has committed this rig's rows");
            }
            Err(error) => {
                tracing::error!(%error, "a commit round failed; its rows go with the next one");
                self.live.round_ended(false, now_ns);
            }
        }
        Ok(())
    }

    fn report(&self, progress: &mut Progress) {
        progress.reported = Instant::now();
        let now_ns = self.clock.now_ns();
        let worker = self.live.fold().worker();
        for (sensor, (counts, watermark_ns)) in self.live.rig().sensors.iter().zip(worker.sources()) {
            progress.bursts.watch(&sensor.name, &counts, now_ns);
            self.metrics.source(&sensor.name, &sensor.stream(), &counts, watermark_ns, now_ns);
        }
        worker.steps().for_each(|status| self.metrics.step(&status, now_ns));
        self.live.table_rows().iter().for_each(|(table, rows)| self.metrics.table(table, *rows));
        self.metrics.queue_bytes.set(self.ingress.counts().waiting_bytes as i64);
        self.metrics.hot_bytes.set(self.store.hot_bytes() as i64);
        self.metrics.recording_ok.set(i64::from(self.live.recorder().trouble().is_none()));
    }

    /// Ends the session, and commits every row.
    fn finish(&mut self, progress: &mut Progress) -> anyhow::Result<()> {
        self.take_arrivals()?;
        let (last, alerts) = self.live.decide(vec![proprio_core::Decision::SessionStop], self.clock.now_ns())?;
        self.send(&alerts);
        let give_up = Instant::now() + END_PATIENCE;
        while self.live.recorder().durable_position() < last {
            self.settle(progress);
            anyhow::ensure!(Instant::now() < give_up, "the disk does not take the end of the recording");
            std::thread::sleep(WAIT);
        }
        self.settle(progress);
        if let Some(round) = progress.round.take() {
            let outcome = self.runtime.block_on(round).context("a commit round stopped")?;
            self.round_ended(outcome)?;
        }
        self.report(progress);
        self.upkeep.end(&self.runtime);
        let round = self.live.capture();
        self.runtime.block_on(commit(round, self.store.clone(), self.snapshots.clone())).context("the last commit round failed")?;
        Ok(())
    }
}

/// A commit round (contract 8): the tables first, the snapshot last.
async fn commit(round: Snapshot, store: Arc<Store>, snapshots: Arc<Mutex<Snapshots>>) -> Result<(), TablesError> {
    store.commit(round.position).await?;
    let write = move || snapshots.lock().unwrap_or_else(PoisonError::into_inner).write(&round);
    let written = tokio::task::spawn_blocking(write).await;
    match written {
        Ok(Ok(())) => {}
        // The one before serves as well; recovery only takes longer.
        Ok(Err(error)) => tracing::warn!(%error, "no snapshot was written"),
        Err(stopped) => tracing::warn!(%stopped, "no snapshot was written"),
    }
    Ok(())
}
