//! What does another plan take over from the one before it, amid a session?

use std::collections::BTreeMap;
use std::sync::Arc;

use proprio_core::{TableChunk, TimeNs};

use super::Worker;
use super::fingerprint::fingerprints;
use super::source::Source;
use crate::plan::Plan;

/// What a reload did. Streams are named as in the plans: `imu/pelvis`, `angles`, `orientation/pelvis`.
#[derive(Clone, Debug, PartialEq)]
pub struct Reloaded {
    /// Streams of both plans that go on with their state, waiting rows and watermarks: they, and all they read, are unchanged.
    pub kept: Vec<String>,
    /// Streams of the new plan that begin anew. A step sees the rows after the newest watermark of its inputs.
    pub fresh: Vec<String>,
    /// Streams of the old plan that are not in the new one. A step that goes is dropped without a flush: what stood in its
    /// open window gives no rows.
    pub removed: Vec<String>,
    /// Rows of sensors that go or are declared otherwise, which waited for stragglers. They belong into the tables of the
    /// run before.
    pub chunks: Vec<TableChunk>,
}

impl Worker {
    /// Goes on under another plan. Called right after the message that decided it was advanced, which ends its chunk, so that
    /// live and replay do it at one position.
    pub fn reload(&mut self, plan: Arc<Plan>, run_id: String) -> Reloaded {
        let old_prints = fingerprints(&self.plan);
        let known: BTreeMap<u128, usize> = old_prints.iter().copied().zip(0..).collect();
        let prints = fingerprints(&plan);
        let mut old = std::mem::replace(self, Self::new(plan, self.decode, run_id));
        let chunks = old.let_go(&prints, &old_prints);
        let from_ns = old.reload_from_ns();
        for (stream, print) in prints.iter().enumerate() {
            match known.get(print) {
                Some(before) => self.take_over(stream, &mut old, *before),
                None => self.begin_amid(stream, &old, from_ns),
            }
        }
        let named = |worker: &Self, prints: &[u128], keep: &dyn Fn(u128) -> bool| {
            let named = prints.iter().enumerate().filter(|(stream, print)| !worker.is_said(*stream) && keep(**print));
            named.map(|(stream, _)| worker.plan.stream_name(stream).to_owned()).collect::<Vec<_>>()
        };
        let kept = named(self, &prints, &|print| known.contains_key(&print));
        let fresh = named(self, &prints, &|print| !known.contains_key(&print));
        let mut removed = named(&old, &old_prints, &|print| !prints.contains(&print));
        removed.retain(|stream| !fresh.contains(stream));
        (self.session, self.position, self.log_time_ns) = (old.session, old.position, old.log_time_ns);
        self.profile = old.profile;
        self.unpassed_bytes = self.sources.iter().map(|source| source.state.unpassed_bytes()).sum();
        Reloaded { kept, fresh, removed, chunks }
    }

    /// Hands out what the sensors hold that are not in the new plan as they are in this one.
    fn let_go(&mut self, prints: &[u128], old_prints: &[u128]) -> Vec<TableChunk> {
        let Some(session) = self.session.as_ref().map(|session| session.id.clone()) else { return Vec::new() };
        let mut chunks = Vec::new();
        for (sensor, print) in old_prints[..self.sources.len()].iter().enumerate() {
            if !prints.contains(print)
                && let Some(rows) = self.sources[sensor].release(i64::MAX).rows
            {
                chunks.extend(self.source_chunk(sensor, &session, rows));
            }
        }
        chunks
    }

    /// Where a new sensor begins: at the lowest active watermark, as the sensors that it is put beside.
    fn reload_from_ns(&self) -> Option<TimeNs> {
        let session = self.session.as_ref()?;
        let reached = self.sources.iter().map(|source| source.state.watermark).filter(|watermark| *watermark < i64::MAX).max();
        Some(self.lowest_active().or(reached).unwrap_or(session.from_ns))
    }

    /// A stream that goes on as it was.
    fn take_over(&mut self, stream: usize, old: &mut Self, before: usize) {
        self.watermarks[stream] = old.watermarks[before];
        match stream.checked_sub(self.plan.sources.len()) {
            Some(step) => std::mem::swap(&mut self.steps[step], &mut old.steps[before - old.plan.sources.len()]),
            None if stream < self.sources.len() => std::mem::swap(&mut self.sources[stream], &mut old.sources[before]),
            None => {}
        }
    }

    /// A stream that begins in an open session. What it reads has been settled: streams come in topological order.
    fn begin_amid(&mut self, stream: usize, old: &Self, from_ns: Option<TimeNs>) {
        let plan = self.plan.clone();
        let Some(step) = stream.checked_sub(self.plan.sources.len()) else {
            let before = old.plan.rig.sensor(&plan.rig.sensors[stream].name).filter(|before| {
                let (now, then) = (&plan.rig.sensors[stream], &old.plan.rig.sensors[*before]);
                (now.kind, &now.key) == (then.kind, &then.key)
            });
            self.sources[stream].succeed(before.map(|before| &old.sources[before]), from_ns);
            self.watermarks[stream] = self.sources[stream].state.watermark;
            return;
        };
        let planned = &plan.steps[step];
        let inputs = planned.inputs.iter().map(|input| self.watermarks[*input]);
        // From the newest of its inputs on all of them are whole; one that has ended is whole too.
        let from_ns = inputs.clone().filter(|watermark| *watermark < i64::MAX).max().or(inputs.max()).unwrap_or(i64::MIN);
        self.steps[step].begin(&*planned.planned.step, from_ns);
        self.watermarks[stream] = from_ns;
    }
}

impl Source {
    /// Begins amid a session, where `before` is what was declared otherwise under the same name and key: the device goes on
    /// counting, and no row comes twice. Outside a session the next start says where it begins.
    fn succeed(&mut self, before: Option<&Self>, from_ns: Option<TimeNs>) {
        let start = before.map(Self::start);
        let reached = before.map_or(i64::MIN, Self::reached_ns);
        self.begin(from_ns.map_or(i64::MAX, |from_ns| from_ns.max(reached)), start.as_ref());
        self.state.counts = before.map_or_else(Default::default, |before| before.state.counts);
    }
}
