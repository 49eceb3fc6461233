//! A rig under a script: the real recorder, worker and engine over a simulated disk and simulated tables, by a scripted clock.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, ensure};
use proprio_core::control::Ack;
use proprio_core::{Decision, Event, TimeNs};
use proprio_recording::{Disk, Lane, Recorder, Snapshots, Texts};
use proprio_runtime::Plan;
use proprio_zenoh::{Arrival, Incoming};

use super::chance::Chance;
use super::disk::SimDisk;
use super::script::{BEGIN_NS, Happening, Hardship, Script};
use super::tables::{MemoryTables, POWER_CUT, RoundFate};
use crate::engine::live::{Live, Parts, texts};
use crate::lineage::{self, BUILD};

const MS: i64 = 1_000_000;
/// What was recorded goes to the disk this often.
const SEAL_NS: i64 = 20 * MS;
/// Bytes that may wait on the disk, so that a full one is felt within a script.
const TAIL_BYTES: usize = 6 << 10;
/// Bytes that may wait before they are recorded.
const QUEUE_BYTES: usize = 4 << 10;
/// The builds that take the rig over from each other.
const BUILDS: [&str; 2] = [BUILD, "the next build"];
/// How long a power cut lasts.
const DARK_MS: (i64, i64) = (0, 600);
/// So many rows are committed on the way when a rig comes up.
const ROWS_COMING_UP: usize = 40;
/// So often the power goes in the middle of that.
const CUTS_COMING_UP: u64 = 3;

/// What a script came to.
pub struct Outcome {
    /// What could go wrong in it.
    pub hardship: Hardship,
    /// The disk, with the recording on it.
    pub disk: SimDisk,
    /// The tables, every row committed.
    pub tables: Arc<MemoryTables>,
    /// Highest sequence acknowledged, by sensor and boot.
    pub acked: BTreeMap<(String, i64), i64>,
    /// How often the power went.
    pub power_cuts: u64,
    /// Messages run again in recoveries.
    pub recovered: u64,
    /// Recoveries that began from a snapshot.
    pub from_snapshot: u64,
    /// Reloads, while running and at a restart.
    pub reloads: u64,
    /// Restarts as another build, which took the open session over.
    pub takeovers: u64,
    /// Messages dropped because the engine stood still.
    pub overflowed: u64,
    /// How often the power went in a commit round while the rig came up.
    pub rounds_cut: u64,
}

/// A script at work.
struct Rig<'a> {
    plans: &'a [Arc<Plan>],
    /// Which plan's files stand on the disk now.
    plan: usize,
    disk: SimDisk,
    tables: Arc<MemoryTables>,
    live: Option<Live>,
    now_ns: TimeNs,
    sealed_ns: TimeNs,
    /// Until when the power is away.
    dark_until_ns: TimeNs,
    queue: Vec<Arrival>,
    queue_bytes: usize,
    /// By sensor: messages and bytes dropped and not told of.
    dropped: HashMap<usize, (u64, u64)>,
    dying: bool,
    /// Whether the script is over and the rest is to end well.
    is_ending: bool,
    /// Which build is installed.
    build: usize,
    chance: Chance,
    outcome: Outcome,
}

/// Runs a script to its end.
///
/// # Errors
/// When the engine fails, which no script may make it do.
pub fn run(seed: u64, script: &Script, plans: &[Arc<Plan>]) -> anyhow::Result<Outcome> {
    let (disk, tables) = (SimDisk::default(), Arc::new(MemoryTables::default()));
    let outcome = Outcome {
        hardship: script.hardship,
        disk: disk.clone(),
        tables: tables.clone(),
        acked: BTreeMap::new(),
        power_cuts: 0,
        recovered: 0,
        from_snapshot: 0,
        reloads: 0,
        takeovers: 0,
        overflowed: 0,
        rounds_cut: 0,
    };
    let mut rig = Rig {
        plans,
        plan: 0,
        disk,
        tables,
        live: None,
        now_ns: BEGIN_NS,
        sealed_ns: BEGIN_NS,
        dark_until_ns: BEGIN_NS,
        queue: Vec::new(),
        queue_bytes: 0,
        dropped: HashMap::new(),
        dying: false,
        is_ending: false,
        build: 0,
        chance: Chance::new(seed, "engine"),
        outcome,
    };
    lineage::play(BUILDS[0]);
    rig.come_up()?;
    let mut due = script.happenings.iter().peekable();
    while rig.now_ns < script.end_ns {
        rig.now_ns += rig.chance.between(1, 12) * MS;
        while let Some((at_ns, happening)) = due.next_if(|(at_ns, _)| *at_ns <= rig.now_ns) {
            rig.meet(*at_ns, happening)?;
        }
        rig.turn()?;
    }
    rig.finish()
}

impl Rig<'_> {
    fn at_ms(&self) -> i64 {
        (self.now_ns - BEGIN_NS) / MS
    }

    fn come_up(&mut self) -> anyhow::Result<()> {
        lineage::play(BUILDS[self.build]);
        let plan = &self.plans[self.plan];
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let mut recorder = Recorder::open(disk.clone(), &plan.rig, &texts(plan), Lane::Inline).context("the recording does not open")?;
        recorder.limit(TAIL_BYTES, 64 << 10);
        let snapshots = Arc::new(Mutex::new(Snapshots::new(disk.clone(), &plan.rig.name)));
        let parts = Parts { recorder, sink: self.tables.clone(), snapshots, disk };
        // Rows that are made anew are committed on the way, and the power may go again meanwhile.
        let is_cut = !self.is_ending && self.outcome.hardship != Hardship::Network && self.outcome.rounds_cut < CUTS_COMING_UP;
        self.tables.dare(is_cut.then(|| Chance::new(self.chance.between(0, i64::MAX - 1).unsigned_abs(), "coming up")));
        self.tables.limit(if self.chance.happens(0.5) { ROWS_COMING_UP } else { 0 });
        let opened = Live::open(plan.clone(), parts, self.now_ns);
        self.tables.limit(0);
        let (live, recovered) = opened?;
        tracing::info!(at_ms = self.at_ms(), plan = self.plan, "up: {recovered}");
        self.outcome.recovered += recovered.messages;
        self.outcome.from_snapshot += u64::from(recovered.snapshot.is_some());
        self.outcome.takeovers += u64::from(recovered.takes_over.is_some());
        self.live = Some(live);
        Ok(())
    }

    fn meet(&mut self, at_ns: TimeNs, happening: &Happening) -> anyhow::Result<()> {
        match happening {
            Happening::Payload { sensor, encoding, payload } => {
                let sensor = &self.index_now(*sensor);
                let event = Event::Payload { sensor: *sensor, encoding: (*encoding).to_owned(), payload: payload.clone() };
                self.arrive(at_ns, *sensor, payload.len(), event);
            }
            Happening::Presence { sensor, present } if self.live.is_some() => {
                let sensor = &self.index_now(*sensor);
                self.queue.push(Arrival { arrival_ns: at_ns, incoming: Incoming::Presence { sensor: *sensor, present: *present } });
            }
            Happening::Presence { .. } => {}
            Happening::Session => self.ask(|live, now_ns| {
                let start = live.session_start(Some("subject".to_owned()), None, None, Vec::new(), now_ns);
                vec![Decision::SessionStop, start]
            })?,
            Happening::Mark => self.ask(|_, now_ns| vec![Decision::Mark { time_ns: now_ns, label: "here".to_owned() }])?,
            Happening::Reload => self.reload()?,
            Happening::Commit => self.tables.make_due(),
            Happening::DiskFull(full) => self.disk.set_full(*full),
            Happening::SyncFails(fails) => self.disk.set_sync_fails(*fails),
            Happening::PowerCut => self.lose_power(),
            Happening::DiskDies(operations) => {
                self.disk.dies_after(*operations);
                self.dying = true;
            }
        }
        Ok(())
    }

    /// Where a sensor of the script's rig stands in the rig in force.
    fn index_now(&self, sensor: usize) -> usize {
        let name = &self.plans[0].rig.sensors[sensor].name;
        self.plans[self.plan].rig.sensor(name).expect("every rig of the bench has the script's sensors")
    }

    /// A payload reaches the ingress: it waits its turn, or is dropped and counted where too much waits; in the dark it is lost.
    fn arrive(&mut self, arrival_ns: TimeNs, sensor: usize, bytes: usize, event: Event) {
        if self.live.is_none() {
            return;
        }
        if self.queue_bytes + bytes > QUEUE_BYTES {
            self.outcome.overflowed += 1;
            let dropped = self.dropped.entry(sensor).or_default();
            *dropped = (dropped.0 + 1, dropped.1 + bytes as u64);
            return;
        }
        self.tell_dropped(arrival_ns);
        self.queue_bytes += bytes;
        self.queue.push(Arrival { arrival_ns, incoming: Incoming::Event(event) });
    }

    fn tell_dropped(&mut self, arrival_ns: TimeNs) {
        let mut dropped: Vec<_> = self.dropped.drain().collect();
        dropped.sort_unstable();
        for (sensor, (messages, bytes)) in dropped {
            let overflow = Event::Decision(Decision::Overflow { sensor, messages, bytes });
            self.queue.push(Arrival { arrival_ns, incoming: Incoming::Event(overflow) });
        }
    }

    fn ask(&mut self, decisions: impl Fn(&Live, TimeNs) -> Vec<Decision>) -> anyhow::Result<()> {
        let now_ns = self.now_ns;
        let Some(live) = self.live.as_mut().filter(|live| !live.stands_still()) else { return Ok(()) };
        let decisions = decisions(live, now_ns);
        live.decide(decisions, now_ns).map(drop)
    }

    fn reload(&mut self) -> anyhow::Result<()> {
        if self.live.as_ref().is_none_or(Live::stands_still) {
            return Ok(());
        }
        // What came under the old rig is judged under it.
        self.tell_dropped(self.now_ns);
        (self.queue_bytes, self.plan) = (0, (self.plan + 1) % self.plans.len());
        let waiting = std::mem::take(&mut self.queue);
        let live = self.live.as_mut().expect("it is there");
        live.take(waiting)?;
        self.outcome.reloads += 1;
        tracing::info!(position = live.recorder().next_position(), plan = self.plan, "a reload");
        live.reload(&self.plans[self.plan], self.now_ns).map(drop)
    }

    /// One turn of the engine, or of waiting for the power.
    fn turn(&mut self) -> anyhow::Result<()> {
        if self.live.is_none() {
            if self.now_ns < self.dark_until_ns {
                return Ok(());
            }
            if let Err(error) = self.come_up() {
                let is_cut = format!("{error:#}").contains(POWER_CUT);
                if !self.dying && !is_cut {
                    return Err(error);
                }
                // The disk died, or the power went, while the engine came up.
                self.outcome.rounds_cut += u64::from(is_cut);
                self.lose_power();
                return Ok(());
            }
        }
        let now_ns = self.now_ns;
        let live = self.live.as_mut().expect("the power is there");
        if !live.stands_still() {
            if self.queue.is_empty() && self.dropped.is_empty() {
                live.pass_time(now_ns)?;
            } else {
                self.tell_dropped(now_ns);
                self.queue_bytes = 0;
                let arrivals = std::mem::take(&mut self.queue);
                self.live.as_mut().expect("it is there").take(arrivals)?;
            }
        }
        if now_ns - self.sealed_ns >= SEAL_NS {
            self.settle();
        }
        self.commit();
        if self.dying && self.live.as_ref().is_some_and(|live| live.recorder().trouble().is_some()) {
            self.lose_power();
        }
        Ok(())
    }

    fn settle(&mut self) {
        self.sealed_ns = self.now_ns;
        let Some(live) = &mut self.live else { return };
        let acks = live.settle();
        assert!(acks.is_empty() || acks.len() == live.rig().sensors.len(), "acknowledgements are of the rig in force");
        for (sensor, ack) in live.rig().sensors.iter().zip(acks) {
            if let Some(Ack { boot, sequence }) = ack {
                let highest = self.outcome.acked.entry((sensor.name.clone(), boot)).or_insert(-1);
                *highest = (*highest).max(sequence);
            }
        }
    }

    fn commit(&mut self) {
        let Some(round) = self.live.as_mut().and_then(|live| live.round(self.now_ns)) else { return };
        let fate = match self.chance.share() {
            share if share < 0.1 => RoundFate::OneFails,
            share if share < 0.2 && self.outcome.hardship != Hardship::Network => RoundFate::PowerCut,
            _ => RoundFate::Whole,
        };
        let whole = self.tables.commit(round.position, fate, &mut self.chance);
        tracing::info!(at_ms = self.at_ms(), position = round.position, ?fate, "a commit round");
        if fate == RoundFate::PowerCut {
            return self.lose_power();
        }
        let written = whole && Snapshots::new(Arc::new(self.disk.clone()), "bench").write(&round).is_ok();
        let live = self.live.as_mut().expect("the round was its");
        live.round_ended(written, self.now_ns);
    }

    fn lose_power(&mut self) {
        self.live = None;
        self.disk.lose_power(&mut self.chance);
        self.tables.lose_power();
        if self.chance.happens(0.2) {
            self.disk.damage_newest("snapshots/bench".as_ref(), &mut self.chance);
        }
        // Sometimes it comes back with other files, which it reloads once it is up.
        if self.chance.happens(0.15) {
            self.outcome.reloads += 1;
            self.plan = (self.plan + 1) % self.plans.len();
        }
        if self.outcome.hardship == Hardship::Builds && self.chance.happens(0.4) {
            self.build = (self.build + 1) % BUILDS.len();
        }
        self.queue.clear();
        self.dropped.clear();
        (self.queue_bytes, self.dying) = (0, false);
        self.dark_until_ns = self.now_ns + self.chance.between(DARK_MS.0, DARK_MS.1) * MS;
        tracing::info!(at_ms = self.at_ms(), "the power goes");
        self.outcome.power_cuts += 1;
    }

    /// Heals the disk, takes what waits, ends the session and commits every row.
    fn finish(mut self) -> anyhow::Result<Outcome> {
        if self.dying {
            self.lose_power();
        }
        self.is_ending = true;
        (self.now_ns, self.sealed_ns) = (self.now_ns.max(self.dark_until_ns), 0);
        self.disk.set_full(false);
        self.disk.set_sync_fails(false);
        self.turn()?;
        self.now_ns += 2_000 * MS;
        self.settle();
        self.turn()?;
        let live = self.live.as_mut().expect("the power is there");
        let (last, _) = live.decide(vec![Decision::SessionStop], self.now_ns)?;
        self.settle();
        let live = self.live.take().expect("the power is there");
        ensure!(live.recorder().durable_position() == last, "the recording's end did not become durable on a sound disk");
        live.into_recorder().close().context("the recording does not end")?;
        self.tables.commit(last, RoundFate::Whole, &mut self.chance);
        lineage::play(BUILDS[0]);
        Ok(self.outcome)
    }
}

/// The texts of a script's files.
pub fn files(pipeline: &str, rig: &str) -> Texts {
    [("pipeline.yaml", pipeline), ("rig.yaml", rig)].map(|(name, text)| (name.to_owned(), text.to_owned())).into()
}

#[cfg(test)]
mod tests {
    use proprio_core::table::system;

    use super::*;
    use crate::engine::recovery::Recovered;

    fn come_up(disk: &SimDisk, tables: &Arc<MemoryTables>, now_ns: TimeNs) -> (Live, Recovered) {
        let plan = &crate::faults::plans().expect("the bench's files are right")[0];
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let recorder = Recorder::open(disk.clone(), &plan.rig, &texts(plan), Lane::Inline).expect("it opens");
        let snapshots = Arc::new(Mutex::new(Snapshots::new(disk.clone(), &plan.rig.name)));
        Live::open(plan.clone(), Parts { recorder, sink: tables.clone(), snapshots, disk }, now_ns).expect("it comes up")
    }

    /// A day's session without one commit is as hard as it gets.
    #[test]
    fn a_long_session_is_taken_over_without_waiting_in_memory_whole() {
        const MARKS: usize = 20_000;
        let (disk, tables) = (SimDisk::default(), Arc::new(MemoryTables::default()));
        let (mut live, _) = come_up(&disk, &tables, BEGIN_NS);
        for mark in 0..MARKS as i64 {
            let time_ns = BEGIN_NS + mark * MS;
            live.decide(vec![Decision::Mark { time_ns, label: "here".to_owned() }], time_ns).expect("it is taken");
            if mark % 100 == 0 {
                live.settle();
            }
        }
        live.settle();
        let last = live.recorder().durable_position();
        drop(live);
        tables.lose_power();

        lineage::play(BUILDS[1]);
        tables.limit(1000);
        let (live, recovered) = come_up(&disk, &tables, BEGIN_NS + MARKS as i64 * MS);
        lineage::play(BUILDS[0]);
        assert!(recovered.takes_over.is_some() && recovered.messages > MARKS as u64, "{recovered:?}");
        // What waited before the power cut was all of it, without a limit.
        let held = tables.committed(system::EVENTS).iter().map(|chunk| chunk.rows.num_rows()).sum::<usize>();
        assert!(held > MARKS - 5_000 && held + tables.waiting() >= MARKS, "{held} of {MARKS} rows were committed on the way");
        assert!(tables.waiting() < 5_000, "{} rows wait", tables.waiting());
        // Whose rows these are was on the disk before the first of them was committed.
        assert!(live.recorder().durable_position() > last);
    }
}
