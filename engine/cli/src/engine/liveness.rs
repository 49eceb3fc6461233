//! Which sources are silent, gone or back, judged by the arrival clock; the worker obeys what is decided here.

use std::collections::BTreeMap;

use proprio_core::{Decision, Rig, Sensor, SourceMessage, SourceStart, TimeNs};

/// How long a source that was at work before a restart has to find the engine again, at least.
const FIND_AGAIN_NS: i64 = 3_000_000_000;

/// Silence after which a paced source without a rate is recorded as alive.
const HEARTBEAT_NS: i64 = 100_000_000;

/// What is known of every source's presence.
#[derive(Debug)]
pub struct Liveness {
    sources: Vec<Source>,
}

#[derive(Clone, Debug)]
struct Source {
    rated: bool,
    /// Silence after which a paced source no longer holds the others.
    idle_after_ns: i64,
    /// Its publisher said it sends faster or slower than its rate, so that silence means nothing.
    unpaced: bool,
    opened: bool,
    ended: bool,
    idle: bool,
    present: bool,
    /// It was at work before the engine came up, and nothing has been heard of it since.
    unseen: bool,
    heard_ns: TimeNs,
}

impl Liveness {
    /// Sources go on where the recording left them; others have not been heard yet.
    pub fn resumed(rig: &Rig, starts: &BTreeMap<String, SourceStart>, now_ns: TimeNs) -> Self {
        let source = |sensor: &Sensor| match starts.get(&sensor.key) {
            Some(start) if start.sequence.is_some() => {
                Source { unpaced: !start.paced, opened: !start.idle, idle: start.idle, unseen: true, ..Source::new(sensor, now_ns) }
            }
            _ => Source::new(sensor, now_ns),
        };
        Self { sources: rig.sensors.iter().map(source).collect() }
    }

    /// The engine hears sources from now on: silence before, while it came up, was its own.
    pub fn listen_from(&mut self, now_ns: TimeNs) {
        self.sources.iter_mut().for_each(|source| source.heard_ns = now_ns);
    }

    /// The rig has changed: sensors that stay are known by name, kind and key.
    pub fn follow(&mut self, was: &Rig, rig: &Rig, now_ns: TimeNs) {
        let source = |sensor: &Sensor| {
            let stays = |index: &usize| was.sensors[*index].kind == sensor.kind && was.sensors[*index].key == sensor.key;
            let known = was.sensor(&sensor.name).filter(stays).map(|index| self.sources[index].clone());
            known.map_or_else(|| Source::new(sensor, now_ns), |known| Source { idle_after_ns: sensor.idle_after_ns, ..known })
        };
        self.sources = rig.sensors.iter().map(source).collect();
    }

    /// A session begins: those that had ended are idle in it until they are heard again.
    pub fn session_started(&mut self, now_ns: TimeNs) {
        for source in &mut self.sources {
            source.idle |= std::mem::take(&mut source.ended);
            source.heard_ns = now_ns;
        }
    }

    /// A message came; `control` is what it says, where it is no sample. Returns the decision to record before it.
    pub fn heard(&mut self, sensor: usize, control: Option<&SourceMessage>, arrival_ns: TimeNs) -> Option<Decision> {
        let source = &mut self.sources[sensor];
        (source.heard_ns, source.unseen) = (arrival_ns, false);
        match control {
            Some(SourceMessage::Open { paced, .. }) => (source.opened, source.unpaced) = (true, !paced),
            Some(SourceMessage::End { .. }) => (source.ended, source.opened) = (true, false),
            _ => source.opened = true,
        }
        std::mem::take(&mut source.idle).then_some(Decision::Back { sensor })
    }

    /// A liveliness token came or went. Returns the decision to record: a source whose publisher is gone is idle at once.
    pub fn presence(&mut self, sensor: usize, present: bool) -> Option<Decision> {
        let source = &mut self.sources[sensor];
        (source.present, source.unseen) = (present, source.unseen && !present);
        if present || source.ended || source.idle {
            return None;
        }
        (source.opened, source.idle) = (false, true);
        Some(Decision::Idle { sensor })
    }

    /// Whether each source's liveliness token is there.
    pub fn present(&self, sensor: usize) -> bool {
        self.sources[sensor].present
    }

    /// Decisions that time alone brings. Ask only when no arrived message waits: a source that is late because the engine
    /// is behind is not idle.
    pub fn decide(&mut self, now_ns: TimeNs) -> Vec<Decision> {
        let mut decisions = Vec::new();
        for (sensor, source) in self.sources.iter_mut().enumerate() {
            let silent_ns = now_ns - source.heard_ns;
            if source.ended || source.idle || (source.opened && source.unpaced && !source.unseen) {
                continue;
            }
            if source.opened && !source.rated && !source.unseen {
                if silent_ns >= HEARTBEAT_NS {
                    source.heard_ns = now_ns;
                    decisions.push(Decision::Heartbeat { sensor });
                }
            } else if silent_ns >= source.patience_ns() {
                source.idle = true;
                decisions.push(Decision::Idle { sensor });
            }
        }
        decisions
    }
}

impl Source {
    /// Silence after which others no longer wait for it.
    fn patience_ns(&self) -> i64 {
        if self.unseen { self.idle_after_ns.max(FIND_AGAIN_NS) } else { self.idle_after_ns }
    }

    fn new(sensor: &Sensor, now_ns: TimeNs) -> Self {
        Self {
            rated: sensor.rate.is_some(),
            idle_after_ns: sensor.idle_after_ns,
            unpaced: false,
            opened: false,
            ended: false,
            idle: false,
            present: false,
            unseen: false,
            heard_ns: now_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proprio_core::Sequence;
    use proprio_core::rig::RigFile;

    const MS: i64 = 1_000_000;

    fn rig() -> Rig {
        let file = serde_json::json!({ "rig": "r", "sensors": { "a": { "kind": "imu", "rate": "100 Hz" }, "b": { "kind": "notes" } } });
        serde_json::from_value::<RigFile>(file).expect("a rig").resolve()
    }

    fn liveness() -> Liveness {
        Liveness::resumed(&rig(), &BTreeMap::new(), 0)
    }

    #[test]
    fn a_silent_paced_source_goes_idle_and_comes_back() {
        let mut liveness = liveness();
        assert!(liveness.heard(0, Some(&SourceMessage::Open { boot: 1, paced: true, serial: None }), 0).is_none());
        assert!(!liveness.decide(900 * MS).contains(&Decision::Idle { sensor: 0 }));
        assert!(liveness.decide(1001 * MS).contains(&Decision::Idle { sensor: 0 }));
        assert_eq!(liveness.heard(0, None, 1100 * MS), Some(Decision::Back { sensor: 0 }));
        assert!(liveness.decide(1200 * MS).is_empty());
    }

    #[test]
    fn an_unpaced_source_is_idle_only_when_its_publisher_is_gone() {
        let mut liveness = liveness();
        liveness.heard(0, Some(&SourceMessage::Open { boot: 1, paced: false, serial: None }), 0);
        assert!(!liveness.decide(60_000 * MS).contains(&Decision::Idle { sensor: 0 }));
        liveness.presence(0, true);
        assert_eq!(liveness.presence(0, false), Some(Decision::Idle { sensor: 0 }));
    }

    #[test]
    fn an_unpaced_source_that_died_with_the_engine_down_goes_idle() {
        let start = SourceStart { sequence: Some(Sequence { boot: 1, last: 9 }), paced: false, idle: false, serial: None, clock: None };
        let rig = &rig();
        let starts: BTreeMap<_, _> = [(rig.sensors[0].key.clone(), start)].into();
        let mut gone = Liveness::resumed(rig, &starts, 0);
        assert!(gone.decide(3001 * MS).contains(&Decision::Idle { sensor: 0 }));
        let mut there = Liveness::resumed(rig, &starts, 0);
        there.presence(0, true);
        assert!(!there.decide(60_000 * MS).contains(&Decision::Idle { sensor: 0 }));
    }

    #[test]
    fn a_source_without_a_rate_has_a_heartbeat_once_it_is_open() {
        let mut liveness = liveness();
        assert!(liveness.decide(500 * MS).is_empty());
        liveness.heard(1, Some(&SourceMessage::Open { boot: 1, paced: true, serial: None }), 500 * MS);
        assert!(liveness.decide(550 * MS).is_empty());
        assert_eq!(liveness.decide(600 * MS), [Decision::Heartbeat { sensor: 1 }]);
        assert_eq!(liveness.heard(1, Some(&SourceMessage::End { boot: 1, last_sequence: 3 }), 650 * MS), None);
        assert!(!liveness.decide(900 * MS).contains(&Decision::Heartbeat { sensor: 1 }));
    }
}
