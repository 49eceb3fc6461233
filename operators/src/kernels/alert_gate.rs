//! When does an alert fire, clear, or stay silent and why? The conditions of its keys, row by row.

use std::collections::{BTreeMap, VecDeque};

use proprio_core::TimeNs;
use serde::{Deserialize, Serialize};

/// Keys that may be waiting, firing or arming again at once.
const MAX_KEYS: usize = 1024;

/// How long what must hold.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    /// How long the condition must hold before it fires.
    pub hold_ns: i64,
    /// Longest step between two rows over which it counts as held.
    pub gap_ns: i64,
    /// How long after it cleared a key stays silent.
    pub rearm_ns: i64,
    /// So many firings at most, over all keys,
    pub most: usize,
    /// within this time.
    pub per_ns: i64,
}

/// What a row says of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its time.
    pub time: TimeNs,
    /// Whether the condition that fires is true.
    pub when: bool,
    /// Whether the condition that clears is true.
    pub clear: bool,
    /// The first condition that withholds and is true, by its number.
    pub withhold: Option<usize>,
}

/// What a key changes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It fires.
    Firing,
    /// It is over.
    Cleared,
    /// It would fire, but for this.
    Withheld(Reason),
}

/// Why an alert that is due stays silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// A condition, by its number.
    Condition(usize),
    /// It cleared a moment ago.
    Rearming,
    /// Others fired a moment ago.
    TooMany,
}

/// All that is remembered.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    holding: BTreeMap<String, Holding>,
    /// When keys cleared that still stay silent.
    cleared: BTreeMap<String, TimeNs>,
    /// The newest firings, the oldest first.
    fired: VecDeque<TimeNs>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Holding {
    since: TimeNs,
    /// Time of the key's row before.
    last: TimeNs,
    is_firing: bool,
    /// Why it was last withheld.
    withheld: Option<Reason>,
}

impl Gate {
    /// Takes one row of one key, in the order of time; gives what it changes to and since when the condition has held.
    pub fn judge(&self, memory: &mut Memory, key: &str, row: Row) -> Option<(Change, TimeNs)> {
        let Row { time, when, clear, withhold } = row;
        let Some(held) = memory.holding.get_mut(key) else {
            if !when || memory.holding.len() >= MAX_KEYS {
                return None;
            }
            memory.holding.insert(key.to_owned(), Holding { since: time, last: time, is_firing: false, withheld: None });
            return self.fire_when_due(memory, key, time, withhold);
        };
        if held.is_firing {
            let since = held.since;
            held.last = time;
            if when || !clear {
                return None;
            }
            memory.holding.remove(key);
            self.arm_again(memory, key, time);
            return Some((Change::Cleared, since));
        }
        if !when {
            memory.holding.remove(key);
            return None;
        }
        if time.saturating_sub(held.last) > self.gap_ns {
            (held.since, held.withheld) = (time, None);
        }
        held.last = time;
        self.fire_when_due(memory, key, time, withhold)
    }

    /// Fires a key whose condition has held for long enough, unless something keeps it silent; that is told once for each reason.
    fn fire_when_due(&self, memory: &mut Memory, key: &str, time: TimeNs, withhold: Option<usize>) -> Option<(Change, TimeNs)> {
        let reason = withhold.map(Reason::Condition).or_else(|| self.pause(memory, key, time));
        let held = memory.holding.get_mut(key).expect("the key's condition holds");
        if time.saturating_sub(held.since) < self.hold_ns {
            return None;
        }
        if let Some(reason) = reason {
            let is_news = held.withheld.replace(reason) != Some(reason);
            return is_news.then_some((Change::Withheld(reason), held.since));
        }
        held.is_firing = true;
        let since = held.since;
        if self.most < usize::MAX {
            memory.fired.push_back(time);
        }
        Some((Change::Firing, since))
    }

    /// Why nothing may fire now, whatever the row says.
    fn pause(&self, memory: &mut Memory, key: &str, time: TimeNs) -> Option<Reason> {
        if memory.cleared.get(key).is_some_and(|cleared| time.saturating_sub(*cleared) < self.rearm_ns) {
            return Some(Reason::Rearming);
        }
        while memory.fired.front().is_some_and(|fired| time.saturating_sub(*fired) >= self.per_ns) {
            memory.fired.pop_front();
        }
        (memory.fired.len() >= self.most).then_some(Reason::TooMany)
    }

    fn arm_again(&self, memory: &mut Memory, key: &str, time: TimeNs) {
        if self.rearm_ns == 0 {
            return;
        }
        memory.cleared.retain(|_, cleared| time.saturating_sub(*cleared) < self.rearm_ns);
        if memory.cleared.len() < MAX_KEYS {
            memory.cleared.insert(key.to_owned(), time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATE: Gate = Gate { hold_ns: 3, gap_ns: 5, rearm_ns: 0, most: usize::MAX, per_ns: 0 };

    /// What one key says on rows of (time, when, withhold), where it clears as soon as `when` is false.
    fn said(gate: Gate, rows: &[(TimeNs, bool, Option<usize>)]) -> Vec<(TimeNs, Change, TimeNs)> {
        let mut memory = Memory::default();
        let judged = rows.iter().filter_map(|(time, when, withhold)| {
            let row = Row { time: *time, when: *when, clear: !when, withhold: *withhold };
            gate.judge(&mut memory, "", row).map(|(change, since)| (*time, change, since))
        });
        judged.collect()
    }

    #[test]
    fn what_withholds_is_told_once_and_fires_when_it_is_over() {
        let rows = [(0, true, None), (3, true, Some(1)), (4, true, Some(1)), (5, true, Some(0)), (6, true, None), (7, false, None)];
        let withheld = |reason| Change::Withheld(Reason::Condition(reason));
        assert_eq!(said(GATE, &rows), [(3, withheld(1), 0), (5, withheld(0), 0), (6, Change::Firing, 0), (7, Change::Cleared, 0)]);
        let before_it_is_due = [(0, true, Some(1)), (2, true, Some(1)), (3, true, None)];
        assert_eq!(said(GATE, &before_it_is_due), [(3, Change::Firing, 0)]);
        let never_over = [(0, true, None), (3, true, Some(1)), (4, false, None)];
        assert_eq!(said(GATE, &never_over), [(3, withheld(1), 0)], "what did not fire is not cleared");
    }

    #[test]
    fn a_key_stays_silent_until_it_is_armed_again() {
        let gate = Gate { hold_ns: 0, rearm_ns: 10, ..GATE };
        let rows = [(0, true, None), (1, false, None), (2, true, None), (3, false, None), (8, true, None), (11, true, None)];
        let rearming = Change::Withheld(Reason::Rearming);
        assert_eq!(
            said(gate, &rows),
            [(0, Change::Firing, 0), (1, Change::Cleared, 0), (2, rearming, 2), (8, rearming, 8), (11, Change::Firing, 8)]
        );
    }

    #[test]
    fn only_so_many_fire_within_a_time() {
        let gate = Gate { hold_ns: 0, most: 2, per_ns: 10, ..GATE };
        let mut memory = Memory::default();
        let mut fire = |key: &str, time: TimeNs| {
            gate.judge(&mut memory, key, Row { time, when: true, clear: false, withhold: None }).map(|(change, _)| change)
        };
        assert_eq!([fire("a", 0), fire("b", 1)], [Some(Change::Firing); 2]);
        assert_eq!(fire("c", 2), Some(Change::Withheld(Reason::TooMany)));
        assert_eq!([fire("c", 6), fire("d", 10)], [None, Some(Change::Firing)]);
        assert_eq!(fire("c", 11), Some(Change::Firing));
    }
}
