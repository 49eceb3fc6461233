//! What waits between zenoh's callbacks and the worker: bounded in allocated bytes, counting what it had to drop.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proprio_core::time::TimeNs;
use proprio_core::{Decision, Event};

use crate::ingress::{Arrival, Incoming};

/// What an entry takes beside its payload and its encoding.
const ENTRY_BYTES: usize = size_of::<Arrival>();

/// A queue of arrivals. Pushing never waits for room, and taking returns at once when something is there.
pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    limit_bytes: usize,
}

struct State {
    entries: VecDeque<Arrival>,
    bytes: usize,
    /// Per sensor: what was dropped and not yet told.
    dropped: Vec<Dropped>,
    dropped_since: bool,
    counts: Counts,
}

#[derive(Clone, Copy, Default)]
struct Dropped {
    messages: u64,
    bytes: u64,
}

/// What passed through, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub received: u64,
    pub overflowed: u64,
    pub waiting_bytes: usize,
    pub waiting_messages: usize,
}

impl Queue {
    pub fn new(sensors: usize, limit_bytes: usize) -> Self {
        let dropped = vec![Dropped::default(); sensors];
        let state = State { entries: VecDeque::new(), bytes: 0, dropped, dropped_since: false, counts: Counts::default() };
        Self { state: Mutex::new(state), filled: Condvar::new(), limit_bytes }
    }

    /// Queues a sensor's payload, or counts it as dropped when there is no room. Drops that came before are told first.
    pub fn push_payload(&self, sensor: usize, encoding: String, payload: Vec<u8>, arrival_ns: TimeNs) {
        let mut state = self.lock();
        state.counts.received += 1;
        let size = ENTRY_BYTES + encoding.capacity() + payload.capacity();
        if state.bytes + size > self.limit_bytes {
            state.counts.overflowed += 1;
            state.dropped_since = true;
            state.dropped[sensor].messages += 1;
            state.dropped[sensor].bytes += payload.len() as u64;
            return;
        }
        state.tell_dropped(arrival_ns);
        let incoming = Incoming::Event(Event::Payload { sensor, encoding, payload });
        state.push(Arrival { arrival_ns, incoming });
        drop(state);
        self.filled.notify_one();
    }

    /// Queues a change of presence; these are few and small, so there is always room.
    pub fn push_presence(&self, sensor: usize, present: bool, arrival_ns: TimeNs) {
        self.lock().push(Arrival { arrival_ns, incoming: Incoming::Presence { sensor, present } });
        self.filled.notify_one();
    }

    /// Queues a decision that the wire brings; it is left out when there is no room.
    pub fn push_decision(&self, decision: Decision, arrival_ns: TimeNs) {
        let mut state = self.lock();
        if state.bytes + ENTRY_BYTES <= self.limit_bytes {
            state.push(Arrival { arrival_ns, incoming: Incoming::Event(Event::Decision(decision)) });
            self.filled.notify_one();
        }
    }

    /// Takes up to about `max_bytes`, at least one entry when there is one; waits up to `timeout` for the first.
    /// `now_ns` stamps drops that no later message told of.
    pub fn take(&self, timeout: Duration, max_bytes: usize, now_ns: impl FnOnce() -> TimeNs) -> Vec<Arrival> {
        let state = self.lock();
        let empty = |state: &mut State| state.entries.is_empty() && !state.dropped_since;
        let (mut state, _) = self.filled.wait_timeout_while(state, timeout, empty).unwrap_or_else(PoisonError::into_inner);
        let (mut taken, mut taken_bytes) = (Vec::new(), 0);
        while let Some(first) = state.entries.front() {
            let size = entry_bytes(first);
            if !taken.is_empty() && taken_bytes + size > max_bytes {
                return taken;
            }
            taken_bytes += size;
            state.bytes -= size;
            taken.extend(state.entries.pop_front());
        }
        // Nothing waits any more, so what was dropped came after all that was taken.
        state.tell_dropped(now_ns());
        while let Some(entry) = state.entries.pop_front() {
            state.bytes -= entry_bytes(&entry);
            taken.push(entry);
        }
        taken
    }

    /// Counts drops for another number of sensors from now on; what was dropped and not told is taken first.
    pub fn resize(&self, sensors: usize) {
        self.lock().dropped.resize(sensors, Dropped::default());
    }

    pub fn counts(&self) -> Counts {
        let state = self.lock();
        Counts { waiting_bytes: state.bytes, waiting_messages: state.entries.len(), ..state.counts }
    }

    /// A poisoned lock still guards sound data: no code under it panics half-way through a change.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, arrival: Arrival) {
        self.bytes += entry_bytes(&arrival);
        self.entries.push_back(arrival);
    }

    fn tell_dropped(&mut self, arrival_ns: TimeNs) {
        if !std::mem::take(&mut self.dropped_since) {
            return;
        }
        for sensor in 0..self.dropped.len() {
            let Dropped { messages, bytes } = std::mem::take(&mut self.dropped[sensor]);
            if messages > 0 {
                let overflow = Decision::Overflow { sensor, messages, bytes };
                self.push(Arrival { arrival_ns, incoming: Incoming::Event(Event::Decision(overflow)) });
            }
        }
    }
}

/// What an entry holds allocated: capacities, not lengths.
fn entry_bytes(arrival: &Arrival) -> usize {
    ENTRY_BYTES
        + match &arrival.incoming {
            Incoming::Event(Event::Payload { encoding, payload, .. }) => encoding.capacity() + payload.capacity(),
            Incoming::Event(Event::Decision(_)) | Incoming::Presence { .. } => 0,
        }
}
