//! What happens to a simulated rig: which device sends what, when it arrives, what people and the disk do, and when the power
//! goes. All of it a function of the seed.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, StringArray};
use proprio_core::time::SECOND_NS;
use proprio_core::{Kind, Rig, Sensor, TimeNs, rows};
use proprio_zenoh::wire;

use super::chance::Chance;

/// Rig time at which a script begins.
pub const BEGIN_NS: TimeNs = 1_767_225_600 * SECOND_NS;
const MS: i64 = 1_000_000;

/// The rig of every script.
pub const RIG: &str = "rig: bench
sensors:
  pelvis: { kind: imu, rate: 100 Hz, segment: pelvis, magnetometer: false, clock: device }
  thigh: { kind: imu, rate: 50 Hz, segment: thigh, magnetometer: false, out_of_order: 40 ms, idle_after: 300 ms }
  muscles: { kind: emg, rate: 1000 Hz, channels: { 1: gluteus_medius_left, 2: gluteus_medius_right }, loss: fill, fill_up_to: 50 ms }
  buttons: { kind: events }
";

/// The same rig with one sensor more, which comes first, so that every other has another index.
pub const WIDER_RIG: &str = "rig: bench
sensors:
  ankle: { kind: imu, rate: 50 Hz, segment: foot, magnetometer: false }
  pelvis: { kind: imu, rate: 100 Hz, segment: pelvis, magnetometer: false, clock: device }
  thigh: { kind: imu, rate: 50 Hz, segment: thigh, magnetometer: false, out_of_order: 40 ms, idle_after: 300 ms }
  muscles: { kind: emg, rate: 1000 Hz, channels: { 1: gluteus_medius_left, 2: gluteus_medius_right }, loss: fill, fill_up_to: 50 ms }
  buttons: { kind: events }
";

/// Files that a script reloads between: a pipeline and its rig.
pub const FILES: [(&str, &str); 3] = [(PIPELINES[0], RIG), (PIPELINES[1], WIDER_RIG), (PIPELINES[1], RIG)];

/// Their pipelines.
const PIPELINES: [&str; 2] = [
    "pipeline: bench
rig: rig.yaml
steps:
  - { id: fused, op: align, from: [imu/pelvis, imu/thigh], with: { rate: 50 Hz, tolerance: 60 ms } }
  - { id: swing, op: alert, from: fused, with: { when: \"pelvis_gyro_x_rad_per_s > 0.8\", severity: info } }
  - { id: envelope, op: emg_envelope, from: emg/muscles, with: { rate: 50 Hz } }
",
    "pipeline: bench
rig: rig.yaml
steps:
  - { id: fused, op: align, from: [imu/pelvis, imu/thigh], with: { rate: 25 Hz, tolerance: 60 ms } }
  - { id: envelope, op: emg_envelope, from: emg/muscles, with: { rate: 50 Hz } }
  - { id: orientation, op: orientation, from: imu/pelvis }
",
];

/// What happens at an instant.
#[derive(Clone, Debug)]
pub enum Happening {
    /// A payload arrives.
    Payload {
        /// Index of the sensor.
        sensor: usize,
        /// zenoh encoding.
        encoding: &'static str,
        /// Its bytes.
        payload: Vec<u8>,
    },
    /// A liveliness token comes or goes.
    Presence {
        /// Index of the sensor.
        sensor: usize,
        /// Whether it is there.
        present: bool,
    },
    /// A person opens a session, which ends the one before.
    Session,
    /// A person marks the instant, or writes a note.
    Mark,
    /// The other pipeline takes over.
    Reload,
    /// A commit round falls due.
    Commit,
    /// The disk is full, or has room again.
    DiskFull(bool),
    /// Syncs fail, or succeed again.
    SyncFails(bool),
    /// The power goes.
    PowerCut,
    /// The disk dies after so many operations, and the power goes with it.
    DiskDies(u64),
}

/// A script: happenings in the order of time.
pub struct Script {
    /// When, and what.
    pub happenings: Vec<(TimeNs, Happening)>,
    /// When the last device has ended.
    pub end_ns: TimeNs,
    /// What may go wrong.
    pub hardship: Hardship,
}

/// How much may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hardship {
    /// Devices, the network, people and the disk.
    Network,
    /// And the power goes.
    Power,
    /// And another build may come up when it is back.
    Builds,
}

impl Hardship {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Network, Self::Power, Self::Builds];
}

impl Script {
    /// The script of a seed.
    pub fn new(seed: u64, rig: &Rig, hardship: Hardship) -> Self {
        let mut chance = Chance::new(seed, "script");
        let duration_ns = chance.between(1500, 5000) * MS;
        let end_ns = BEGIN_NS + duration_ns;
        let mut happenings = Vec::new();
        for (index, sensor) in rig.sensors.iter().enumerate() {
            Device::new(seed, index, sensor, end_ns).run(&mut happenings);
        }
        let mut at = |happening: Happening, most: i64| {
            for _ in 0..chance.between(0, most) {
                happenings.push((BEGIN_NS + chance.between(50 * MS, duration_ns), happening.clone()));
            }
        };
        at(Happening::Session, 2);
        at(Happening::Mark, 3);
        at(Happening::Reload, 1);
        at(Happening::Commit, 12);
        let mut disk = Chance::new(seed, "disk");
        for (trouble, probability) in [(Happening::DiskFull as fn(bool) -> Happening, 0.4), (Happening::SyncFails, 0.3)] {
            if disk.happens(probability) {
                let from = disk.between(100, duration_ns / MS);
                happenings.push((BEGIN_NS + from * MS, trouble(true)));
                happenings.push((BEGIN_NS + (from + disk.between(50, 900)) * MS, trouble(false)));
            }
        }
        if hardship != Hardship::Network {
            let mut power = Chance::new(seed, "power");
            for _ in 0..power.between(1, 3) {
                let happening = if power.happens(0.3) { Happening::DiskDies(power.between(0, 12) as u64) } else { Happening::PowerCut };
                happenings.push((BEGIN_NS + power.between(10, duration_ns / MS + 100) * MS, happening));
            }
        }
        happenings.sort_by_key(|(at_ns, _)| *at_ns);
        Self { happenings, end_ns: end_ns + 1500 * MS, hardship }
    }
}

/// One sensor's device and its way to the engine.
struct Device<'a> {
    index: usize,
    sensor: &'a Sensor,
    chance: Chance,
    end_ns: TimeNs,
    /// Parts per million that its clock runs fast.
    drift_ppm: f64,
    offset_ns: i64,
    /// When its clock begins anew.
    reset_ns: Option<TimeNs>,
    /// How far a packet comes late, at most of the time.
    jitter_ms: f64,
    loss: f64,
    duplicate: f64,
    garbage: f64,
    /// Until when nothing gets through, from when on.
    jams: BTreeMap<TimeNs, TimeNs>,
    boot: i64,
    sequence: i64,
}

impl<'a> Device<'a> {
    fn new(seed: u64, index: usize, sensor: &'a Sensor, end_ns: TimeNs) -> Self {
        let mut chance = Chance::new(seed, &sensor.name);
        let span_ms = (end_ns - BEGIN_NS) / MS;
        let drift_ppm = chance.between(-100, 100) as f64;
        let has_own_clock = sensor.kind == Kind::Imu && sensor.name == "pelvis";
        let offset_ns = if has_own_clock { chance.between(-5_000, 5_000) * MS } else { 0 };
        let reset_ns = (has_own_clock && chance.happens(0.3)).then(|| BEGIN_NS + chance.between(0, span_ms) * MS);
        let jams = (0..chance.between(0, 2)).map(|_| {
            let from = BEGIN_NS + chance.between(0, span_ms) * MS;
            (from, from + chance.between(30, 700) * MS)
        });
        let jams = jams.collect();
        Self {
            index,
            sensor,
            end_ns,
            drift_ppm: if has_own_clock { drift_ppm } else { 0.0 },
            offset_ns,
            reset_ns,
            jitter_ms: chance.share() * 12.0,
            loss: if chance.happens(0.6) { chance.share() * 0.1 } else { 0.0 },
            duplicate: if chance.happens(0.5) { chance.share() * 0.1 } else { 0.0 },
            garbage: if chance.happens(0.3) { 0.03 } else { 0.0 },
            jams,
            boot: BEGIN_NS / 7 + index as i64,
            sequence: 0,
            chance,
        }
    }

    fn run(mut self, happenings: &mut Vec<(TimeNs, Happening)>) {
        let mut now_ns = BEGIN_NS + self.chance.between(0, 400) * MS;
        while now_ns < self.end_ns {
            let until_ns = if self.chance.happens(0.25) { now_ns + self.chance.between(200, 2500) * MS } else { self.end_ns };
            let arrived_ns = self.start(now_ns, until_ns.min(self.end_ns), happenings);
            // What was on its way when it stopped has come or is lost by the time it starts again.
            now_ns = arrived_ns + self.chance.between(5, 1200) * MS;
        }
    }

    /// One start of the device, up to `until_ns`; returns when the last of it has arrived.
    fn start(&mut self, from_ns: TimeNs, until_ns: TimeNs, happenings: &mut Vec<(TimeNs, Happening)>) -> TimeNs {
        let sensor = self.index;
        (self.boot, self.sequence) = (self.boot + 1, 0);
        let serial = format!("serial-{}", self.boot % 2);
        happenings.push((from_ns, Happening::Presence { sensor, present: true }));
        let mut last_ns = from_ns + MS;
        if self.chance.happens(0.9) {
            happenings.push((last_ns, self.control(wire::source::open(self.boot, true, Some(&serial)))));
        }
        let mut now_ns = from_ns;
        while now_ns < until_ns {
            let (packet_ns, payload) = self.packet(now_ns);
            now_ns += packet_ns;
            if self.chance.happens(0.01) {
                now_ns += self.chance.between(100, 900) * MS;
            }
            let encoding = if self.sensor.kind == Kind::Events { wire::JSON } else { wire::PACKED };
            if self.chance.happens(self.loss) {
                continue;
            }
            for _ in 0..1 + i32::from(self.chance.happens(self.duplicate)) {
                let arrival_ns = self.arrival(now_ns);
                last_ns = last_ns.max(arrival_ns);
                happenings.push((arrival_ns, Happening::Payload { sensor, encoding, payload: payload.clone() }));
            }
            if self.chance.happens(self.garbage) {
                let bytes = (0..self.chance.between(0, 60)).map(|_| self.chance.between(0, 255) as u8).collect();
                happenings.push((now_ns, Happening::Payload { sensor, encoding, payload: bytes }));
            }
        }
        last_ns += 2 * MS;
        if self.chance.happens(0.7) {
            happenings.push((last_ns, self.control(wire::source::end(self.boot, self.sequence - 1))));
        }
        happenings.push((last_ns + MS, Happening::Presence { sensor, present: false }));
        last_ns + MS
    }

    /// The next packet that is complete after `now_ns`: how much time it covers, and its bytes.
    fn packet(&mut self, now_ns: TimeNs) -> (i64, Vec<u8>) {
        let Some(rate) = self.sensor.rate else {
            let time = now_ns + self.chance.between(0, 50) * MS;
            let schema = self.sensor.wire_schema();
            let text = |value: &str| Arc::new(StringArray::from(vec![value])) as ArrayRef;
            let columns = vec![Arc::new(Int64Array::from(vec![time])) as ArrayRef, text("press"), text("none"), text("b")];
            let payload = wire::json::encode(self.boot, self.sequence, &rows::batch(&schema, columns));
            self.sequence += 1;
            return (self.chance.between(80, 500) * MS, payload);
        };
        let count = (rate.hertz() * 0.02).ceil() as i64;
        let times: Vec<i64> = (0..count).map(|row| self.device_time(now_ns + row * rate.period_ns())).collect();
        let schema = self.sensor.wire_schema();
        let value = |row: i64, column: usize| {
            let phase = (now_ns / MS % 1000) as f64 / 1000.0 + row as f64 * 0.01 + column as f64 * 0.1;
            (phase.fract() * 4.0 - 2.0).abs() - 1.0 + 0.01 * ((self.sequence + row) % 7) as f64
        };
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(times))];
        for column in 1..schema.columns.fields().len() {
            columns.push(Arc::new(Float64Array::from_iter_values((0..count).map(|row| value(row, column)))));
        }
        let payload = wire::packed::encode(self.sensor, self.boot, self.sequence, &rows::batch(&schema, columns));
        self.sequence += count;
        (count * rate.period_ns(), payload.expect("its columns are numbers"))
    }

    /// What the device's clock shows.
    fn device_time(&self, true_ns: TimeNs) -> i64 {
        let since = true_ns - BEGIN_NS;
        let shown = BEGIN_NS + since + (since as f64 * self.drift_ppm * 1e-6) as i64 + self.offset_ns;
        match self.reset_ns {
            Some(reset_ns) if true_ns >= reset_ns => shown - BEGIN_NS / 2,
            _ => shown,
        }
    }

    fn arrival(&mut self, sent_ns: TimeNs) -> TimeNs {
        let delayed = sent_ns + MS + (self.chance.half_normal() * self.jitter_ms * 1e6) as i64;
        self.jams.iter().filter(|(from, until)| (**from..**until).contains(&delayed)).map(|(_, until)| *until).max().unwrap_or(delayed)
    }

    fn control(&self, payload: Vec<u8>) -> Happening {
        Happening::Payload { sensor: self.index, encoding: wire::SOURCE, payload }
    }
}
