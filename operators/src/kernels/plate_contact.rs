//! When something stands on a force plate: threshold crossings that persist, over a baseline that follows the empty plate.

use std::collections::VecDeque;

use proprio_core::TimeNs;
use serde::{Deserialize, Serialize};

/// Length of the stretches that the baseline is measured on.
const BLOCK_NS: i64 = 50_000_000;
/// Baseline = median over this many quiet blocks, so that one block with a foot just landing doesn't move it.
const BLOCKS: usize = 5;
/// Offsets below this share of the threshold are left alone.
const NO_OFFSET: f64 = 0.05;

/// How a plate's signal becomes contacts; the same for all plates of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Vertical force above the baseline that counts as contact, in newtons.
    pub threshold_n: f64,
    /// For how long the force must stay on the other side of the threshold.
    pub persistence_ns: i64,
    /// Largest offset of an empty plate, in newtons; a stretch beyond it is never taken for an empty plate.
    pub max_offset_n: f64,
    /// Samples further apart than this are not interpolated, and what happened between them is not known.
    pub gap_ns: i64,
}

/// One sample of a plate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When.
    pub time_ns: TimeNs,
    /// Vertical force on the subject, in newtons, as the plate gives it.
    pub force_n: f64,
    /// Centre of pressure in the lab frame, in metres; NaN where the plate gives none.
    pub cop_m: [f64; 2],
}

/// A contact that began or ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// When the force crossed the threshold, between two samples.
    pub time_ns: TimeNs,
    /// Whether the contact begins here.
    pub begins: bool,
    /// Whether the crossing was seen. Otherwise the state alone became known: at the start, around a gap, by a moved offset.
    pub seen: bool,
    /// Force-weighted mean centre of pressure: just after the beginning, or just before the end. NaN where unknown.
    pub cop_m: [f64; 2],
}

/// What is remembered of one plate. Bounded: the centre of pressure keeps one persistence's samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plate {
    /// Whether it is loaded; `None` before the first persistent stretch, whose beginning was not seen.
    loaded: Option<bool>,
    last: Option<Sample>,
    /// A stretch on the other side of the threshold that has not persisted yet.
    pending: Option<Change>,
    baseline: Baseline,
    /// Loaded samples of the last persistence: time, force and force × centre of pressure.
    pressure: VecDeque<(TimeNs, [f64; 3])>,
}

impl Plate {
    /// Takes the next sample; adds the changes that are known with it to `found`.
    pub fn step(&mut self, rule: &Rule, sample: Sample, found: &mut Vec<Change>) {
        found.extend(self.expire(rule, sample.time_ns));
        if let Some(offset_n) = self.baseline.push(rule, sample, self.loaded == Some(true)) {
            // Quiet for long at a force that no standing person has: the plate is empty and its offset has moved.
            self.baseline.restart_at(rule, offset_n);
            (self.loaded, self.pending) = (Some(false), None);
            found.push(unseen_end(sample.time_ns));
        }
        let load_n = sample.force_n - self.baseline.value_n;
        let above = load_n >= rule.threshold_n;
        self.track_pending(rule, sample, above);
        if above {
            self.track_pressure(rule, sample, load_n);
        }
        self.last = Some(sample);
        if let Some(change) = self.pending.filter(|change| sample.time_ns - change.time_ns >= rule.persistence_ns) {
            (self.pending, self.loaded) = (None, Some(change.begins));
            let cop_m = if above { self.mean_pressure() } else { change.cop_m };
            found.push(Change { cop_m, ..change });
        }
    }

    /// What the plate shows while nothing stands on it, in newtons: 0 where that is less than its noise, none while it never was empty.
    pub fn offset_n(&self) -> Option<f64> {
        (!self.baseline.means.is_empty()).then_some(self.baseline.value_n)
    }

    /// Forgets all but the offset once no sample has come for a gap's length before `now_ns`; gives the end of a contact
    /// that was lost by it.
    pub fn expire(&mut self, rule: &Rule, now_ns: TimeNs) -> Option<Change> {
        let last = self.last.filter(|last| now_ns.saturating_sub(last.time_ns) > rule.gap_ns)?;
        let lost = (self.loaded == Some(true)).then(|| unseen_end(last.time_ns + 1));
        (self.loaded, self.pending, self.last) = (None, None, None);
        self.pressure.clear();
        self.baseline.block = Block::default();
        self.baseline.quiet_run = 0;
        lost
    }

    /// The newest time at or before which no further change of this plate can lie, when every sample up to `watermark`
    /// has been taken.
    pub fn decided_until(&self, rule: &Rule, watermark: TimeNs) -> TimeNs {
        match (self.last, self.pending) {
            (None, _) => watermark,
            (Some(last), _) if watermark.saturating_sub(last.time_ns) > rule.gap_ns => watermark,
            (Some(last), Some(pending)) => last.time_ns.min(pending.time_ns - 1),
            (Some(last), _) => last.time_ns,
        }
    }

    /// Starts, keeps or drops the stretch that waits for its persistence.
    fn track_pending(&mut self, rule: &Rule, sample: Sample, above: bool) {
        if self.loaded == Some(above) {
            self.pending = None;
        } else if self.pending.is_none_or(|pending| pending.begins != above) {
            let time_ns = self.last.map_or(sample.time_ns, |last| self.crossing_ns(rule, last, sample));
            let cop_m = if above { [f64::NAN; 2] } else { self.mean_pressure() };
            self.pressure.clear();
            self.pending = Some(Change { time_ns, begins: above, seen: self.loaded.is_some(), cop_m });
        }
    }

    /// The instant at which the straight line between two samples crosses the threshold: after the first, at most at the second.
    fn crossing_ns(&self, rule: &Rule, before: Sample, after: Sample) -> TimeNs {
        let level_n = rule.threshold_n + self.baseline.value_n;
        let share = (level_n - before.force_n) / (after.force_n - before.force_n);
        let span_ns = after.time_ns - before.time_ns;
        // A baseline that moved between the samples can put the crossing outside them.
        let offset_ns = if share.is_finite() { (share * span_ns as f64).round() as i64 } else { span_ns };
        before.time_ns + offset_ns.clamp(1, span_ns)
    }

    fn track_pressure(&mut self, rule: &Rule, sample: Sample, load_n: f64) {
        let expired = sample.time_ns - rule.persistence_ns;
        while self.pressure.front().is_some_and(|(time_ns, _)| *time_ns < expired) {
            self.pressure.pop_front();
        }
        let [x, y] = sample.cop_m;
        if x.is_finite() && y.is_finite() {
            self.pressure.push_back((sample.time_ns, [load_n, load_n * x, load_n * y]));
        }
    }

    fn mean_pressure(&self) -> [f64; 2] {
        let sum = self.pressure.iter().fold([0.0; 3], |sum, (_, term)| [sum[0] + term[0], sum[1] + term[1], sum[2] + term[2]]);
        [sum[1] / sum[0], sum[2] / sum[0]]
    }
}

fn unseen_end(time_ns: TimeNs) -> Change {
    Change { time_ns, begins: false, seen: false, cop_m: [f64::NAN; 2] }
}

/// The empty plate's force: the median of the last quiet blocks of 50 ms; 0 N before the first one and for a clean plate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Baseline {
    value_n: f64,
    means: VecDeque<f64>,
    block: Block,
    /// Quiet blocks in a row while the plate counts as loaded.
    quiet_run: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Block {
    start_ns: TimeNs,
    count: u32,
    sum_n: f64,
    min_n: f64,
    max_n: f64,
}

impl Baseline {
    /// Takes a sample. Gives an offset when a plate that counts as loaded has been quiet, within the offset's limit, for
    /// `BLOCKS` blocks in a row.
    fn push(&mut self, rule: &Rule, sample: Sample, loaded: bool) -> Option<f64> {
        let block = &mut self.block;
        if block.count == 0 {
            *block = Block { start_ns: sample.time_ns, min_n: f64::INFINITY, max_n: f64::NEG_INFINITY, ..Block::default() };
        }
        block.count += 1;
        block.sum_n += sample.force_n;
        block.min_n = block.min_n.min(sample.force_n);
        block.max_n = block.max_n.max(sample.force_n);
        if sample.time_ns - block.start_ns < BLOCK_NS {
            return None;
        }
        let mean_n = block.sum_n / f64::from(block.count);
        let quiet = block.max_n - block.min_n <= rule.threshold_n / 2.0 && mean_n.abs() <= rule.max_offset_n;
        self.block = Block::default();
        self.quiet_run = if quiet && loaded { self.quiet_run + 1 } else { 0 };
        if quiet && !loaded {
            self.add(rule, mean_n);
        }
        (self.quiet_run >= BLOCKS).then_some(mean_n)
    }

    fn add(&mut self, rule: &Rule, mean_n: f64) {
        if self.means.len() == BLOCKS {
            self.means.pop_front();
        }
        self.means.push_back(mean_n);
        let mut sorted: Vec<f64> = self.means.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median_n = if sorted.len() % 2 == 1 { sorted[middle] } else { 0.5 * (sorted[middle - 1] + sorted[middle]) };
        // A clean plate's noise is no offset: its events are those of the force as recorded.
        self.value_n = if median_n.abs() < NO_OFFSET * rule.threshold_n { 0.0 } else { median_n };
    }

    fn restart_at(&mut self, rule: &Rule, offset_n: f64) {
        self.means.clear();
        self.quiet_run = 0;
        self.add(rule, offset_n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule { threshold_n: 20.0, persistence_ns: 40_000_000, max_offset_n: 50.0, gap_ns: 5_000_000 };

    /// Runs a force given per millisecond; seen changes as (µs, begins).
    fn changes(force_n: impl Fn(i64) -> f64, millis: std::ops::Range<i64>) -> Vec<(i64, bool)> {
        let mut plate = Plate::default();
        let sample = |ms: i64| Sample { time_ns: ms * 1_000_000, force_n: force_n(ms), cop_m: [0.1, ms as f64] };
        let mut found = Vec::new();
        millis.for_each(|ms| plate.step(&RULE, sample(ms), &mut found));
        found.iter().filter(|change| change.seen).map(|change| (change.time_ns / 1000, change.begins)).collect()
    }

    #[test]
    fn a_step_is_timed_between_samples() {
        // 50 N per ms from 100.0 ms on: 20 N at 100.4 ms; down through 20 N at 599.6 ms.
        let force = |ms: i64| (50.0 * (ms - 100).min(600 - ms) as f64).clamp(0.0, 700.0);
        assert_eq!(changes(force, 0..800), [(100_400, true), (599_600, false)]);
    }

    #[test]
    fn an_offset_is_removed_within_fifty_milliseconds() {
        let force = |ms: i64| (50.0 * (ms - 100).min(600 - ms) as f64).clamp(0.0, 700.0);
        for offset in [-17.0, 17.0, 35.0] {
            // A positive offset above the threshold looks like contact at first, and takes five blocks to unmask.
            let start = if offset > 20.0 { -300 } else { 0 };
            assert_eq!(changes(|ms| force(ms) + offset, start..800), [(100_400, true), (599_600, false)], "{offset} N");
        }
    }

    #[test]
    fn short_touches_and_short_losses_are_no_events() {
        let force = |ms: i64| match ms {
            50..80 | 300..=600 if !(400..420).contains(&ms) => 500.0,
            _ => 0.0,
        };
        let found = changes(force, 0..900);
        assert_eq!(found, [(299_040, true), (600_960, false)]);
    }

    #[test]
    fn what_was_not_seen_is_no_event() {
        assert_eq!(changes(|_| 600.0, 0..500), []);
        assert_eq!(changes(|ms| if ms < 200 { 600.0 } else { 0.0 }, 0..500), [(199_966, false)]);
        assert_eq!(changes(|ms| if ms < 480 { 0.0 } else { 600.0 }, 0..500), []);
    }

    #[test]
    fn a_gap_hides_the_change() {
        let mut plate = Plate::default();
        let mut found = Vec::new();
        for ms in (0..200).chain(250..500) {
            let force_n = if ms < 220 { 0.0 } else { 600.0 };
            plate.step(&RULE, Sample { time_ns: ms * 1_000_000, force_n, cop_m: [0.0; 2] }, &mut found);
        }
        let unseen: Vec<_> = found.iter().map(|change| (change.begins, change.seen)).collect();
        assert_eq!(unseen, [(false, false), (true, false)]);
        assert_eq!(plate.decided_until(&RULE, 499_000_000), 499_000_000);
    }

    #[test]
    fn a_waiting_crossing_holds_the_watermark() {
        let mut plate = Plate::default();
        let mut found = Vec::new();
        for ms in 0..120 {
            let force_n = if ms < 100 { 0.0 } else { 600.0 };
            plate.step(&RULE, Sample { time_ns: ms * 1_000_000, force_n, cop_m: [0.0; 2] }, &mut found);
        }
        assert!(found.iter().all(|change| !change.seen));
        assert_eq!(plate.decided_until(&RULE, 119_000_000), 99_033_332);
        // Once the plate has fallen silent the crossing can't persist any more.
        assert_eq!(plate.decided_until(&RULE, 130_000_000), 130_000_000);
    }
}
