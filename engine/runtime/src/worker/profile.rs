//! Where does the worker's time go? A replay may lend it a stopwatch, which changes no row.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Worker;

/// Turning payloads into samples.
pub(super) const DECODING: &str = "decoding";
/// Judging samples: their order, times, clocks and losses.
pub(super) const JUDGING: &str = "judging samples";
/// Handing sensors' rows on.
pub(super) const RELEASING: &str = "releasing rows";

/// Time by what it was spent on.
pub(super) struct Profile {
    now: fn() -> Instant,
    spent: BTreeMap<&'static str, Duration>,
}

impl Worker {
    /// From now on the time spent on each part of the work is measured.
    pub fn lend_stopwatch(&mut self, now: fn() -> Instant) {
        self.profile = Some(Profile { now, spent: BTreeMap::new() });
    }

    /// Time by operator and by what is done before them; empty without a stopwatch.
    pub fn spent(&self) -> BTreeMap<&'static str, Duration> {
        self.profile.as_ref().map(|profile| profile.spent.clone()).unwrap_or_default()
    }
}

/// Does some work, and notes what it was spent on.
pub(super) fn timed<T>(profile: &mut Option<Profile>, on: &'static str, work: impl FnOnce() -> T) -> T {
    let Some(profile) = profile else { return work() };
    let begun = (profile.now)();
    let done = work();
    *profile.spent.entry(on).or_default() += (profile.now)().duration_since(begun);
    done
}
