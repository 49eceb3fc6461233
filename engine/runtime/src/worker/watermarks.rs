//! How far has each source come, and which one do the others wait for? Idle sources follow; what waits is bounded.

use proprio_core::TimeNs;

use super::Worker;
use super::source::Activity;

/// Rows that may wait for a slow source, per rig; beyond it the lowest source counts as idle until its next row.
pub(super) const WAITING_BYTES_MAX: usize = 64 << 20;

impl Worker {
    /// Makes a source idle, or active again: then it counts from what the others have come to by now.
    pub(super) fn set_activity(&mut self, sensor: usize, activity: Activity) {
        self.settle_idle();
        self.sources[sensor].state.activity = activity;
        self.sources[sensor].state.rate.interrupt();
        self.settle_idle();
    }

    /// An idle source is heard again.
    pub(super) fn rejoin(&mut self, sensor: usize) {
        if self.sources[sensor].state.activity == Activity::Idle {
            self.set_activity(sensor, Activity::Active);
        }
    }

    /// Writes down where the idle sources have come to. Needed before and after each change of an activity, since the lowest
    /// active source is another one then; in between it only rises, so that it may be asked at any time.
    pub(super) fn settle_idle(&mut self) {
        let lowest = self.lowest_active();
        for source in &mut self.sources {
            source.state.watermark = source.state.watermark_beside(lowest);
        }
        // What people say is as far as an idle source.
        let said = self.sources.len()..self.plan.sources.len();
        for watermark in &mut self.watermarks[said] {
            *watermark = lowest.map_or(*watermark, |lowest| lowest.max(*watermark));
        }
    }

    /// The lowest watermark that others wait for; none when every source is idle or has ended.
    pub(super) fn lowest_active(&self) -> Option<TimeNs> {
        let active = self.sources.iter().filter(|source| source.state.activity == Activity::Active);
        active.map(|source| source.state.watermark).min()
    }

    /// Keeps the rows that wait for a slow source under the bound: beyond it the lowest one counts as idle.
    pub(super) fn bound_waiting(&mut self) {
        loop {
            let lowest = self.lowest_active();
            let passed = lowest.unwrap_or(i64::MAX);
            for source in &mut self.sources {
                while source.state.unpassed.front().is_some_and(|(time, _)| *time <= passed) {
                    self.unpassed_bytes -= source.state.unpassed.pop_front().map_or(0, |(_, bytes)| bytes);
                }
            }
            if self.unpassed_bytes <= WAITING_BYTES_MAX {
                return;
            }
            let is_lowest = |state: &super::source::SourceState| state.activity == Activity::Active && Some(state.watermark) == lowest;
            let Some(slow) = self.sources.iter().position(|source| is_lowest(&source.state)) else { return };
            self.set_activity(slow, Activity::Idle);
        }
    }
}
