//! A rig at work, without its network and its clock: what arrives is recorded, folded and kept, and what is durable is
//! acknowledged. The running engine and the fault bench drive the same thing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use proprio_core::control::Ack;
use proprio_core::table::system::{self, audit_kind};
use proprio_core::{Carried, Decision, Event, Recorded, Rig, SourceStart, TableChunk, TimeNs};
use proprio_recording::{Disk, Recorder, Snapshot, Snapshots, Texts};
use proprio_runtime::Plan;
use proprio_zenoh::{Arrival, Incoming, wire};

use super::acks::PendingAcks;
use super::alerts::Alert;
use super::audit::Audit;
use super::fold::Fold;
use super::liveness::Liveness;
use super::recovery::{self, Recovered};
use super::sink::Sink;

/// Rows that may wait for a commit; beyond it nothing more is taken in until one succeeds.
const HOT_BYTES_MAX: usize = 256 << 20;
/// How long the disk may take for the word that another build takes a session over.
const DURABLE_WITHIN: Duration = Duration::from_secs(5);
/// How long a commit round that failed waits before it is tried again.
const ROUND_AGAIN_NS: i64 = 1_000_000_000;

/// Everything a rig needs to work beside arrivals and time.
pub struct Live {
    fold: Fold,
    recorder: Recorder,
    liveness: Liveness,
    sink: Arc<dyn Sink>,
    pending: PendingAcks,
    rounds: Rounds,
    /// Rows given to each table since the start.
    table_rows: BTreeMap<String, u64>,
}

/// Where the commit rounds stand.
#[derive(Default)]
struct Rounds {
    /// Captured, and not durable yet.
    captured: Option<Snapshot>,
    under_way: bool,
    not_before_ns: TimeNs,
}

impl Live {
    /// Brings a rig up over what its recording and its tables hold, and opens a session when none is open. What is alerted
    /// on the way stays in the tables.
    ///
    /// # Errors
    /// When the recording can't be read, or rows don't fit their tables.
    pub fn open(plan: Arc<Plan>, parts: Parts, now_ns: TimeNs) -> anyhow::Result<(Self, Recovered)> {
        let Parts { mut recorder, sink, snapshots, disk } = parts;
        let mut snapshots = snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        let mut take_over = |plan: &Plan, known: &BTreeMap<String, i64>| {
            let start = begin(&mut recorder, plan, Some(known.clone()), now_ns);
            let is_durable = is_durable_soon(&mut recorder, start.position);
            (start, is_durable)
        };
        let (fold, mut recovered) = recovery::recover(plan.clone(), &disk, &mut snapshots, &*sink, &mut take_over)?;
        drop(snapshots);
        let liveness = Liveness::resumed(&fold.plan().rig, &recovered.sources, now_ns);
        let mut live = Self {
            fold,
            recorder,
            liveness,
            sink,
            pending: PendingAcks::default(),
            rounds: Rounds::default(),
            table_rows: BTreeMap::new(),
        };
        // What was open goes on under its own files first.
        let recorded = live.fold.plan().clone();
        let start = recovered.start.take().unwrap_or_else(|| begin(&mut live.recorder, &recorded, None, now_ns));
        live.advance(&[start])?;
        if texts(&plan) != texts(live.fold.plan()) {
            live.reload(&plan, now_ns)?;
        }
        if live.fold.session().is_empty() {
            // The first session knows how far the sensors had counted in the last one.
            let start = live.start_with(recovered.sources.clone(), None, None, None, Vec::new(), now_ns);
            live.decide(vec![start], now_ns)?;
        }
        live.note(&Audit { kind: audit_kind::ENGINE_START, detail: Some(recovered.to_string()), ..Audit::default() }, now_ns)?;
        Ok((live, recovered))
    }

    /// The engine hears its sensors from now on.
    pub fn listen_from(&mut self, now_ns: TimeNs) {
        self.liveness.listen_from(now_ns);
    }

    /// Records and folds what has arrived; returns the alerts to send.
    ///
    /// # Errors
    /// When rows don't fit their tables.
    pub fn take(&mut self, arrivals: Vec<Arrival>) -> anyhow::Result<Vec<Alert>> {
        let mut messages = Vec::with_capacity(arrivals.len());
        for arrival in arrivals {
            if let Some(decision) = self.heard(&arrival) {
                messages.push(self.record(Event::Decision(decision), arrival.arrival_ns));
            }
            if let Incoming::Event(event) = arrival.incoming {
                messages.push(self.record(event, arrival.arrival_ns));
            }
        }
        self.advance(&messages)
    }

    /// Nothing has arrived and nothing waits: decides what time alone brings. Returns the alerts to send.
    ///
    /// # Errors
    /// When rows don't fit their tables.
    pub fn pass_time(&mut self, now_ns: TimeNs) -> anyhow::Result<Vec<Alert>> {
        let decisions = self.liveness.decide(now_ns);
        for decision in &decisions {
            if let Decision::Idle { sensor } = decision {
                tracing::info!(sensor = self.rig().sensors[*sensor].name, "silent: other sensors no longer wait for it");
            }
        }
        Ok(self.decide(decisions, now_ns)?.1)
    }

    /// Records and folds decisions; returns the last one's position and the alerts to send.
    ///
    /// # Errors
    /// When rows don't fit their tables.
    pub fn decide(&mut self, decisions: Vec<Decision>, now_ns: TimeNs) -> anyhow::Result<(i64, Vec<Alert>)> {
        let mut alerts = Vec::new();
        for decision in decisions {
            let begins = matches!(decision, Decision::SessionStart { .. });
            let recorded = self.record(Event::Decision(decision), now_ns);
            alerts.extend(self.advance(&[recorded])?);
            if begins {
                self.liveness.session_started(now_ns);
            }
        }
        Ok((self.fold.worker().position(), alerts))
    }

    /// Another plan takes over at one recorded position; its tables are declared already. Returns the position.
    ///
    /// # Errors
    /// When rows don't fit their tables.
    pub fn reload(&mut self, plan: &Arc<Plan>, now_ns: TimeNs) -> anyhow::Result<(i64, Vec<Alert>)> {
        let texts = texts(plan);
        let run_id = crate::lineage::run_id(plan);
        let was = self.rig().clone();
        // The reload is the first message of a segment with its texts, so that heads alone tell what is in force.
        self.recorder.begin_segment(&plan.rig, &texts);
        // What waits to be acknowledged is in the order of the rig that was; the reload says all of it once more.
        self.pending = PendingAcks::default();
        let decided = self.decide(vec![Decision::Reload { run_id, texts }], now_ns)?;
        self.liveness.follow(&was, &plan.rig, now_ns);
        Ok(decided)
    }

    /// Hands what was recorded to the disk, and returns what may be acknowledged by now, by sensor.
    pub fn settle(&mut self) -> Vec<Option<Ack>> {
        self.recorder.seal();
        self.pending.seal();
        self.pending.release(self.recorder.durable_position()).unwrap_or_default()
    }

    /// The state that a commit round (contract 8) may begin with, to be written once the tables hold every row up to its
    /// position: one is due, its position is durable, and none is under way.
    pub fn round(&mut self, now_ns: TimeNs) -> Option<Snapshot> {
        let rounds = &self.rounds;
        let is_free = rounds.captured.is_none() && !rounds.under_way && now_ns >= rounds.not_before_ns;
        if is_free && self.recorder.trouble().is_none() && self.sink.should_commit() {
            self.recorder.seal();
            self.rounds.captured = Some(self.capture());
        }
        let durable = self.recorder.durable_position();
        let round = self.rounds.captured.take_if(|round| round.position <= durable)?;
        self.rounds.under_way = true;
        Some(round)
    }

    /// Whether a round has been captured or is under way.
    pub fn has_round(&self) -> bool {
        self.rounds.captured.is_some() || self.rounds.under_way
    }

    /// The state as it is now, for a round.
    pub fn capture(&self) -> Snapshot {
        Snapshot {
            position: self.fold.worker().position(),
            run_id: self.fold.run_id().to_owned(),
            session: self.fold.session().to_owned(),
            state: self.fold.worker().snapshot(),
        }
    }

    /// A round has ended; when it failed, its rows go with the next one.
    pub fn round_ended(&mut self, succeeded: bool, now_ns: TimeNs) {
        self.rounds.under_way = false;
        if !succeeded {
            self.rounds.not_before_ns = now_ns + ROUND_AGAIN_NS;
        }
    }

    /// Whether nothing more may be taken in: what was taken is not on disk yet, and there is no room for more in memory.
    pub fn stands_still(&self) -> bool {
        self.recorder.is_full() || self.sink.hot_bytes() > HOT_BYTES_MAX
    }

    /// Writes down what was done.
    ///
    /// # Errors
    /// When the row doesn't fit `audit`.
    pub fn note(&self, audit: &Audit<'_>, now_ns: TimeNs) -> anyhow::Result<()> {
        let chunk = audit.chunk(now_ns, self.fold.session(), self.fold.run_id(), self.fold.worker().position());
        self.sink.append_operational(&chunk).context("the audit can't be written")
    }

    /// The start of a session that is unique in the rig: its name is the arrival time and the next position.
    pub fn session_start(
        &self,
        subject: Option<String>,
        task: Option<String>,
        from_ns: Option<TimeNs>,
        carried: Vec<Carried>,
        now_ns: TimeNs,
    ) -> Decision {
        self.start_with(self.fold.worker().source_starts(), subject, task, from_ns, carried, now_ns)
    }

    fn start_with(
        &self,
        sources: BTreeMap<String, SourceStart>,
        subject: Option<String>,
        task: Option<String>,
        from_ns: Option<TimeNs>,
        carried: Vec<Carried>,
        now_ns: TimeNs,
    ) -> Decision {
        let time = chrono::DateTime::from_timestamp_nanos(now_ns).format("%Y%m%dT%H%M%SZ");
        let session = format!("{time}-{}-{}", self.rig().name, self.recorder.next_position());
        Decision::SessionStart { session, subject, task, from_ns: from_ns.unwrap_or(now_ns), sources, carried }
    }

    /// Rows given to each table since the start.
    pub fn table_rows(&self) -> &BTreeMap<String, u64> {
        &self.table_rows
    }

    /// The rig in force.
    pub fn rig(&self) -> &Rig {
        &self.fold.plan().rig
    }

    /// What folds.
    pub fn fold(&self) -> &Fold {
        &self.fold
    }

    /// What records.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Who is there.
    pub fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    /// The recorder, for its end.
    pub fn into_recorder(self) -> Recorder {
        self.recorder
    }

    /// What an arrival says about its source: the decision to record before it.
    fn heard(&mut self, arrival: &Arrival) -> Option<Decision> {
        match &arrival.incoming {
            Incoming::Event(Event::Payload { sensor, encoding, payload }) => {
                let sensor_file = &self.fold.plan().rig.sensors[*sensor];
                let control = (encoding == wire::SOURCE).then(|| wire::decode(sensor_file, encoding, payload).ok()).flatten();
                self.liveness.heard(*sensor, control.as_ref(), arrival.arrival_ns)
            }
            Incoming::Event(Event::Decision(_)) => None,
            Incoming::Presence { sensor, present } => {
                tracing::info!(sensor = self.rig().sensors[*sensor].name, "{}", if *present { "is there" } else { "is gone" });
                self.liveness.presence(*sensor, *present)
            }
        }
    }

    fn record(&mut self, event: Event, arrival_ns: TimeNs) -> Recorded {
        let sensor_time_ns = match &event {
            Event::Payload { encoding, payload, .. } => wire::peek_time_ns(encoding, payload),
            Event::Decision(_) => None,
        };
        self.recorder.append_timed(event, arrival_ns, sensor_time_ns)
    }

    /// Folds recorded messages, and hands on what they gave.
    fn advance(&mut self, messages: &[Recorded]) -> anyhow::Result<Vec<Alert>> {
        let Some(last) = messages.last() else { return Ok(Vec::new()) };
        let chunks = self.fold.advance(messages)?;
        self.tell_how_far();
        self.sink.append(&chunks, last.position).context("rows can't be taken into the tables")?;
        for chunk in &chunks {
            *self.table_rows.entry(chunk.table.clone()).or_default() += chunk.rows.num_rows() as u64;
        }
        self.pending.add(last.position, self.fold.worker().sequences());
        self.alerts(&chunks, last.log_time_ns)
    }

    /// Tells who follows the tables how far the rig has come.
    pub fn tell_how_far(&self) {
        if self.sink.wants_reach() {
            self.sink.reach(self.fold.worker().reached());
        }
    }

    /// The alerts among the rows, each with its row of `audit`.
    fn alerts(&self, chunks: &[TableChunk], now_ns: TimeNs) -> anyhow::Result<Vec<Alert>> {
        let unrecorded = self.recorder.trouble().is_some();
        let mut alerts = Vec::new();
        for chunk in chunks.iter().filter(|chunk| chunk.table == system::ALERTS) {
            for alert in Alert::of_chunk(chunk, &self.rig().name, unrecorded) {
                let kind = if unrecorded { audit_kind::ALERT_UNRECORDED } else { audit_kind::ALERT_SENT };
                self.note(&Audit { kind, what: Some(&alert.id), ..Audit::default() }, now_ns)?;
                alerts.push(alert);
            }
        }
        Ok(alerts)
    }
}

/// Records the engine's start under a plan.
fn begin(recorder: &mut Recorder, plan: &Plan, takes_over: Option<BTreeMap<String, i64>>, now_ns: TimeNs) -> Recorded {
    recorder.begin_segment(&plan.rig, &texts(plan));
    let start = Decision::EngineStart { anchor_utc_ns: now_ns, run_id: crate::lineage::run_id(plan), takes_over };
    recorder.append(Event::Decision(start), now_ns)
}

/// Whether what was recorded up to a position is on the disk, which it is within moments unless the disk refuses.
fn is_durable_soon(recorder: &mut Recorder, position: i64) -> bool {
    let give_up = Instant::now() + DURABLE_WITHIN;
    recorder.seal();
    while recorder.durable_position() < position && recorder.trouble().is_none() && Instant::now() < give_up {
        std::thread::sleep(Duration::from_millis(1));
    }
    recorder.durable_position() >= position
}

/// What [`Live`] works with.
pub struct Parts {
    /// Where messages go.
    pub recorder: Recorder,
    /// Where rows go.
    pub sink: Arc<dyn Sink>,
    /// Where states go.
    pub snapshots: Arc<Mutex<Snapshots>>,
    /// Where all of it lies.
    pub disk: Arc<dyn Disk>,
}

/// The texts that a segment carries: the files, and the run that they make in this build.
pub fn texts(plan: &Plan) -> Texts {
    let run_id = crate::lineage::run_id(plan);
    let texts = [("rig.yaml", plan.rig_text.clone()), ("pipeline.yaml", plan.pipeline_text.clone()), ("run_id", run_id)];
    texts.map(|(name, text)| (name.to_owned(), text)).into()
}
