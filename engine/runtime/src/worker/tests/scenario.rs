//! Days in the life of a lab: messages delayed, lost, doubled and spoilt, sensors that go quiet and come back, sessions.

use std::sync::Arc;

use proprio_core::recorded::RoundTrip;
use proprio_core::{Decision, Event, Recorded};

use super::fixture::*;
use crate::plan::Plan;

/// Everything that a seed makes happen in two sessions, as a recording.
pub fn scenario(plan: &Arc<Plan>, seed: u64) -> Vec<Recorded> {
    live(plan, seed, true).0
}

/// As [`scenario`], with devices that neither restart nor send garbage; with it the samples that each has published.
pub fn steady(plan: &Arc<Plan>, seed: u64) -> (Vec<Recorded>, Vec<i64>) {
    live(plan, seed, false)
}

fn live(plan: &Arc<Plan>, seed: u64, failing: bool) -> (Vec<Recorded>, Vec<i64>) {
    let mut chance = Chance::new(seed);
    let mut lab = Lab::new(plan);
    let mut sensors: Vec<_> = (0..plan.rig.sensors.len()).map(Device::new).collect();
    for (sensor, device) in sensors.iter().enumerate() {
        lab.tell(open(sensor, device.boot, chance.next(4) > 0, Some("A")));
    }
    for session in ["first", "second"] {
        let from_ns = lab.now_ns() - TICK;
        lab.start(session, from_ns);
        for _ in 0..120 + chance.next(60) {
            happen(&mut lab, &mut sensors, &mut chance, failing);
        }
        sensors.iter_mut().flat_map(|device| device.held.drain(..)).for_each(|event| lab.tell(event));
        if chance.next(2) == 0 {
            lab.tell(stop());
            (0..chance.next(8)).for_each(|_| happen(&mut lab, &mut sensors, &mut chance, failing));
        }
    }
    for device in &sensors {
        lab.tell(end(device.sensor, device.boot, device.sent - 1));
    }
    lab.tell(stop());
    (lab.recording, sensors.iter().map(|device| device.sent).collect())
}

/// A sensor as it really is.
struct Device {
    sensor: usize,
    boot: i64,
    sent: i64,
    /// Sample 0 of this boot is so long after the lab's start, on the device's clock.
    offset_ns: i64,
    held: Vec<Event>,
}

impl Device {
    fn new(sensor: usize) -> Self {
        Self { sensor, boot: 1, sent: 0, offset_ns: 0, held: Vec::new() }
    }

    /// What its clock shows. Sensor 3 has a clock of its own: it counts from its start, and gains 40 ppm.
    fn clock_ns(&self, lab_ns: i64) -> i64 {
        let counts = self.sensor == 3;
        if counts { 5 * TICK * self.boot + (lab_ns - START) + (lab_ns - START) / 25_000 } else { lab_ns }
    }

    /// The next samples: one a tick of the lab.
    fn sample(&mut self, now_ns: i64, chance: &mut Chance) -> Event {
        let time = START + self.offset_ns + self.sent * TICK;
        self.offset_ns += (now_ns - time).max(0) / 8;
        let time = self.clock_ns(time);
        let count = 1 + chance.next(4) as i64;
        let value = |k: i64| if chance.next(20) == 0 { f64::NAN } else { (self.sent + k) as f64 * 0.1 };
        let values: Vec<f64> = (0..count).map(value).collect();
        let event = samples_of(self.boot, self.sensor, self.sent, time, &values);
        self.sent += count;
        event
    }
}

fn happen(lab: &mut Lab, sensors: &mut [Device], chance: &mut Chance, failing: bool) {
    let sensor = chance.next(sensors.len() as u64) as usize;
    let device = &mut sensors[sensor];
    let now_ns = lab.now_ns();
    match chance.next(24) {
        0 => drop(device.sample(now_ns, chance)),
        1 => {
            let message = device.sample(now_ns, chance);
            lab.tell(message.clone());
            lab.tell(message);
        }
        2 | 3 => {
            let message = device.sample(now_ns, chance);
            device.held.push(message);
        }
        4 | 5 => device.held.drain(..).for_each(|event| lab.tell(event)),
        6 => lab.tell(idle(sensor)),
        7 => lab.tell(decide(Decision::Back { sensor })),
        8 => lab.tell(decide(Decision::Heartbeat { sensor })),
        9 => lab.tell(decide(Decision::Overflow { sensor, messages: 2, bytes: 64 })),
        10 if failing => lab.tell(garbage(sensor)),
        11 if failing && chance.next(3) == 0 => {
            (device.boot, device.sent, device.offset_ns) = (device.boot + 1, 0, now_ns - START);
            lab.tell(open(sensor, device.boot, true, Some(if chance.next(2) == 0 { "A" } else { "B" })));
        }
        12 if chance.next(3) == 0 => lab.tell(decide(Decision::Mark { time_ns: now_ns, label: "here".into() })),
        13 if sensor == 3 => {
            let [received, sent] = [5, 4].map(|tenths| device.clock_ns(now_ns - tenths * TICK / 10));
            let round_trip = RoundTrip { sent_ns: now_ns - TICK, device_received_ns: received, device_sent_ns: sent, received_ns: now_ns };
            lab.tell(decide(Decision::RoundTrip { sensor, round_trip }));
        }
        12 => lab.tell(say(now_ns - chance.next(5) as i64 * TICK, chance.next(9) as f64)),
        13 if sensor == 2 => lab.tell(progress(2, now_ns - 3 * TICK)),
        _ => {
            let message = device.sample(now_ns, chance);
            lab.tell(message);
        }
    }
}
