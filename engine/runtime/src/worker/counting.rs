//! How far has a sensor counted, and which of its samples are missing?

use std::collections::BTreeMap;

use proprio_core::recorded::Sequence;
use proprio_core::rig::Loss;
use serde::{Deserialize, Serialize};

/// Ranges of lost samples that are remembered, so that one which comes after all is taken back.
const MISSING_RANGES_MAX: usize = 4096;

/// A sensor's own numbers of its samples.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Counting {
    boot: Option<i64>,
    next: i64,
    /// Missing samples: the first of a range, with how many they are and what was put in their place.
    missing: BTreeMap<i64, (i64, Loss)>,
}

impl Counting {
    /// Goes on from there; nothing before is missing.
    pub(super) fn from(sequence: Option<Sequence>) -> Self {
        let next = sequence.map_or(0, |sequence| sequence.last.saturating_add(1));
        Self { boot: sequence.map(|sequence| sequence.boot), next, missing: BTreeMap::new() }
    }

    /// How far the sensor has counted, and with it what may be acknowledged: all before `next` is stored or known as
    /// rejected, late or lost.
    pub(super) fn sequence(&self) -> Option<Sequence> {
        self.boot.map(|boot| Sequence { boot, last: self.next - 1 })
    }

    pub(super) fn is_of(&self, boot: i64) -> bool {
        self.boot == Some(boot)
    }

    /// A publisher began that counts from `next`.
    pub(super) fn reboot(&mut self, boot: i64, next: i64) {
        *self = Self { boot: Some(boot), next, missing: BTreeMap::new() };
    }

    /// The next sample due.
    pub(super) fn next(&self) -> i64 {
        self.next
    }

    /// Samples up to before `sequence` have come.
    pub(super) fn come_to(&mut self, sequence: i64) {
        self.next = self.next.max(sequence);
    }

    /// How many samples are skipped when `sequence` comes.
    pub(super) fn gap_to(&self, sequence: i64) -> i64 {
        sequence.saturating_sub(self.next).max(0)
    }

    /// The next `count` samples are lost.
    pub(super) fn lose(&mut self, count: i64, policy: Loss) {
        self.missing.insert(self.next, (count, policy));
        if self.missing.len() > MISSING_RANGES_MAX {
            self.missing.pop_first();
        }
        self.next += count;
    }

    /// Takes back the loss of a sample that comes after all, with what was put in its place; none when it was not missing.
    pub(super) fn came_after_all(&mut self, sequence: i64) -> Option<Loss> {
        let (&start, &(count, policy)) = self.missing.range(..=sequence).next_back()?;
        if sequence >= start + count {
            return None;
        }
        self.missing.remove(&start);
        for (start, end) in [(start, sequence), (sequence + 1, start + count)] {
            if start < end {
                self.missing.insert(start, (end - start, policy));
            }
        }
        Some(policy)
    }
}
