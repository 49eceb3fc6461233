//! Which samples may be acknowledged: those whose message is durable and whose fate the worker knows.

use std::collections::VecDeque;

use proprio_core::control::Ack;
use proprio_core::recorded::Sequence;

/// Sequences on their way to being durable.
#[derive(Debug, Default)]
pub struct PendingAcks {
    /// Per advance of the worker: its position, and how far each sensor had counted.
    waiting: VecDeque<(i64, Vec<Option<Sequence>>)>,
    /// Whether the newest was handed to the disk, so that the next one stands beside it.
    sealed: bool,
}

impl PendingAcks {
    /// The worker has come to `position`.
    pub fn add(&mut self, position: i64, sequences: Vec<Option<Sequence>>) {
        // What is sealed together becomes durable together: the newest says it all.
        if !std::mem::take(&mut self.sealed) {
            self.waiting.pop_back();
        }
        self.waiting.push_back((position, sequences));
    }

    /// All that was added goes to the disk now.
    pub fn seal(&mut self) {
        self.sealed = true;
    }

    /// All up to `durable_position` is on disk: what each sensor may be told, where there is news.
    pub fn release(&mut self, durable_position: i64) -> Option<Vec<Option<Ack>>> {
        let mut newest = None;
        while self.waiting.front().is_some_and(|(position, _)| *position <= durable_position) {
            newest = self.waiting.pop_front();
        }
        let acks = newest?.1.into_iter().map(|sequence| sequence.map(|Sequence { boot, last }| Ack { boot, sequence: last }));
        Some(acks.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_acknowledged_before_it_is_durable() {
        let mut acks = PendingAcks::default();
        acks.add(2, vec![Some(Sequence { boot: 1, last: 5 })]);
        acks.add(4, vec![Some(Sequence { boot: 1, last: 10 })]);
        acks.seal();
        acks.add(9, vec![Some(Sequence { boot: 1, last: 20 })]);
        assert_eq!(acks.release(3), None);
        assert_eq!(acks.release(8), Some(vec![Some(Ack { boot: 1, sequence: 10 })]));
        assert_eq!(acks.release(9), Some(vec![Some(Ack { boot: 1, sequence: 20 })]));
        assert_eq!(acks.release(9), None);
    }
}
