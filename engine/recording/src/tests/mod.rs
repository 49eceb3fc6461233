//! What must hold of a recording, whatever the disk does?

mod amendments;
mod disk;
mod faults;
mod recording;
mod removal;
mod snapshots;
mod torn;

use std::sync::Arc;

use proprio_core::rig::{RigFile, SensorFile};
use proprio_core::{Decision, Event, Kind, Rate, Recorded, Rig};

use crate::{Disk, Lane, Read, Reader, Recorder, RecordingError, Texts};

/// Two sensors: 0 `clicks`, 1 `pelvis`.
fn rig() -> Rig {
    rig_of(&[("clicks", Kind::Events), ("pelvis", Kind::Imu)])
}

fn rig_of(sensors: &[(&str, Kind)]) -> Rig {
    let sensor = |kind: Kind| SensorFile { rate: kind.is_sampled().then(|| Rate::hz(100)), magnetometer: false, ..SensorFile::new(kind) };
    RigFile { rig: "lab-1".into(), sensors: sensors.iter().map(|(name, kind)| ((*name).to_owned(), sensor(*kind))).collect() }.resolve()
}

fn texts() -> Texts {
    Texts::from([("rig.yaml".to_owned(), "rig: lab-1\n".to_owned()), ("pipeline.yaml".to_owned(), "steps: []\n".to_owned())])
}

fn payload(sensor: usize, bytes: &[u8]) -> Event {
    Event::Payload { sensor, encoding: "application/json".into(), payload: bytes.to_vec() }
}

fn start(session: &str) -> Event {
    Event::Decision(Decision::SessionStart {
        session: session.to_owned(),
        subject: Some(format!("subject of {session}")),
        task: Some("walking".to_owned()),
        from_ns: 5,
        sources: Default::default(),
        carried: Vec::new(),
    })
}

fn stop() -> Event {
    Event::Decision(Decision::SessionStop)
}

fn open(disk: &Arc<dyn Disk>) -> Recorder {
    try_open(disk).expect("a recorder")
}

fn try_open(disk: &Arc<dyn Disk>) -> Result<Recorder, RecordingError> {
    Recorder::open(disk.clone(), &rig(), &texts(), Lane::Inline)
}

/// Every message from a position on, up to the end or the first error.
fn read_from(disk: &Arc<dyn Disk>, from_position: i64, rig: &Rig) -> (Vec<Read>, Option<RecordingError>) {
    let mut reader = match Reader::open(disk, "lab-1", from_position) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut found = Vec::new();
    loop {
        match reader.next(rig) {
            Ok(Some(read)) => found.push(read),
            Ok(None) => return (found, None),
            Err(error) => return (found, Some(error)),
        }
    }
}

/// Every message, which must all be whole and of the rig.
fn all(disk: &Arc<dyn Disk>) -> Vec<Recorded> {
    let (found, error) = read_from(disk, 0, &rig());
    assert!(error.is_none(), "{error:?}");
    let message = |read| match read {
        Read::Message(message) => message,
        Read::Undeclared { key, .. } => panic!("{key} is declared"),
    };
    found.into_iter().map(message).collect()
}

/// A small generator of repeatable numbers.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
