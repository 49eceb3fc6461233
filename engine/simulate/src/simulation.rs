//! In which packets, and when, does the simulated rig deliver its samples? A block of time at a time, with the faults.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use nalgebra::Matrix3;
use proprio_core::recorded::Packet;
use proprio_core::rig::{RigFile, Side};
use proprio_core::rows::{batch, nan_as_null};
use proprio_core::time::{Rate, SECOND_NS};
use proprio_core::{Kind, Rig, StreamSchema, TimeNs};

use crate::body::Body;
use crate::clock::Clock;
use crate::force::Ground;
use crate::layout::{IMUS, markers, rig_file};
use crate::options::{Options, OptionsError};
use crate::random::Random;
use crate::sensors::{Emg, Imu, Markers, Plate, placement};
use crate::truth::{Truth, TruthEvent};
use crate::way::Travel;

/// The most that one packet's rows may take.
const PACKET_BYTES: usize = 32 * 1024;
/// A burst of lost packets goes on with this probability, so that it is three long on average.
const BURST_GOES_ON: f64 = 2.0 / 3.0;
const BURST_MEAN: f64 = 1.0 / (1.0 - BURST_GOES_ON);
const GARBAGE_BYTES: usize = 48;

/// A virtual subject on a virtual rig: an iterator over the rig's packets in delivery order.
///
/// Memory holds one block of time (`packet_ms`) plus what jitter delays, whatever the duration.
#[derive(Debug)]
pub struct Simulation {
    options: Options,
    rig: Rig,
    body: Body,
    sources: Vec<Source>,
    truth: Truth,
    drifts: Vec<(String, f64)>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    /// Deliveries made so far, to order those of one instant.
    ordinal: u64,
    block: u64,
    blocks: u64,
}

/// What a sensor sends, and when it arrives.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Arrival on the rig's clock, never decreasing.
    pub at_ns: TimeNs,
    /// Index of the sensor in the rig.
    pub sensor: usize,
    /// What comes.
    pub payload: Payload,
}

/// What comes from a sensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// Samples.
    Packet(Packet),
    /// Bytes that are no message.
    Garbage(Vec<u8>),
}

/// What a sensor has made so far: `made = delivered once + dropped + still on their way`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Samples that the sensor took, and so its next sequence.
    pub made: i64,
    /// Samples that are lost on the way.
    pub dropped: i64,
    /// Samples that are delivered a second time.
    pub duplicated: i64,
    /// Samples that are delivered after later ones.
    pub out_of_order: i64,
    /// Payloads of garbage.
    pub garbage: i64,
}

#[derive(Debug)]
struct Source {
    kind: Kind,
    schema: StreamSchema,
    generator: Generator,
    clock: Clock,
    next_sample: i64,
    rows_per_packet: usize,
    chance: Random,
    travel: Travel,
    loses: bool,
    dropping: bool,
    held: Option<Packet>,
    last_at_ns: TimeNs,
    count: Count,
}

#[derive(Debug)]
enum Generator {
    Imu(Imu),
    Emg(Emg),
    Plate(Plate),
    Markers(Markers),
    Truth,
}

#[derive(Debug)]
struct Waiting {
    at_ns: TimeNs,
    ordinal: u64,
    delivery: Delivery,
}

impl Simulation {
    /// A simulation that has not begun.
    ///
    /// # Errors
    /// When a figure lies outside the range in which the model is sound.
    pub fn new(options: Options) -> Result<Self, OptionsError> {
        Self::of_sensors(options, |_| true)
    }

    /// A simulation of some of the layout's sensors, by name: they send what they would send beside the others.
    ///
    /// # Errors
    /// As [`Simulation::new`].
    pub fn of_sensors(options: Options, is_there: impl Fn(&str) -> bool) -> Result<Self, OptionsError> {
        options.check()?;
        let mut rig = rig_file(&options).resolve();
        rig.sensors.retain(|sensor| is_there(&sensor.name));
        let body = Body::new(&options);
        let sources: Vec<Source> = rig.sensors.iter().map(|sensor| Source::new(sensor, &options, &body)).collect();
        let sampled = rig.sensors.iter().zip(&sources).filter(|(sensor, _)| sensor.kind.is_sampled());
        let drifts: Vec<(String, f64)> = sampled.map(|(sensor, source)| (sensor.name.clone(), source.clock.fast * 1e6)).collect();
        let truth = Truth::new(&options, &body, &rig, &drifts);
        let blocks = (options.duration_s * 1000.0 / options.packet_ms).ceil() as u64;
        Ok(Self { options, rig, body, sources, truth, drifts, waiting: BinaryHeap::new(), ordinal: 0, block: 0, blocks })
    }

    /// The rig file of the simulated sensors.
    pub fn rig_file(&self) -> RigFile {
        rig_file(&self.options)
    }

    /// The rig of the simulated sensors; packets index into it.
    pub fn rig(&self) -> &Rig {
        &self.rig
    }

    /// What the simulation was made from.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The true movement, for any instant.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// How the IMU of that name sits: the matrix from its axes to its segment's.
    pub fn segment_from_sensor(&self, sensor: &str) -> Matrix3<f64> {
        placement(sensor, &self.options).into_inner()
    }

    /// The whole truth at once, in order of time; needs memory for all of it.
    pub fn truth(&self) -> Vec<TruthEvent> {
        Truth::new(&self.options, &self.body, &self.rig, &self.drifts).until(&self.body, self.options.duration_s)
    }

    /// Event time of an instant of the truth.
    pub fn event_time_ns(&self, time_s: f64) -> TimeNs {
        self.options.start_ns + (time_s * SECOND_NS as f64).round() as i64
    }

    /// What each sensor has made so far, by its index in the rig.
    pub fn counts(&self) -> Vec<Count> {
        self.sources.iter().map(|source| source.count).collect()
    }

    /// Share of the duration that has been simulated, 0 to 1.
    pub fn progress(&self) -> f64 {
        if self.blocks == 0 { 1.0 } else { self.block as f64 / self.blocks as f64 }
    }

    /// The next delivery: a packet, or garbage where faults ask for it.
    pub fn next_delivery(&mut self) -> Option<Delivery> {
        loop {
            let finished = self.block == self.blocks;
            let complete_until_ns = self.event_time_ns(self.block_end_s(self.block));
            if let Some(Reverse(first)) = self.waiting.peek()
                && (finished || first.at_ns < complete_until_ns)
            {
                return self.waiting.pop().map(|Reverse(waiting)| waiting.delivery);
            }
            if finished {
                return None;
            }
            self.fill_block();
        }
    }

    /// Seconds since the start at which `block` begins, which is where the one before it ends.
    fn block_end_s(&self, block: u64) -> f64 {
        (block as f64 * self.options.packet_ms / 1000.0).min(self.options.duration_s)
    }

    fn fill_block(&mut self) {
        self.block += 1;
        let end_s = self.block_end_s(self.block);
        let is_last = self.block == self.blocks;
        for sensor in 0..self.sources.len() {
            let packets = match self.sources[sensor].kind {
                Kind::Truth => self.truth_packets(sensor, end_s),
                _ => self.sources[sensor].packets(sensor, &self.body, &self.options, end_s),
            };
            for (packet, taken_s) in packets {
                self.deliver(packet, taken_s);
            }
            if is_last && let Some(held) = self.sources[sensor].held.take() {
                let at_ns = self.sources[sensor].last_at_ns + 1;
                self.push(at_ns, sensor, Payload::Packet(held));
            }
        }
    }

    fn truth_packets(&mut self, sensor: usize, end_s: f64) -> Vec<(Packet, f64)> {
        let mut events = self.truth.until(&self.body, end_s);
        // Two contacts closer than a nanosecond can't be told apart; an equal key would count as a duplicate.
        events.dedup_by(|b, a| {
            self.options.start_ns + nanoseconds(a.time_s) == self.options.start_ns + nanoseconds(b.time_s) && a.name == b.name
        });
        let source = &mut self.sources[sensor];
        let packets = events.chunks(source.rows_per_packet).map(|events| {
            let times = events.iter().map(|event| self.options.start_ns + nanoseconds(event.time_s));
            let columns: Vec<ArrayRef> = vec![
                Arc::new(times.collect::<Int64Array>()),
                Arc::new(StringArray::from_iter_values(events.iter().map(|event| &event.name))),
                Arc::new(Float64Array::from_iter_values(events.iter().map(|event| event.value))),
            ];
            let sequence = source.count.made;
            source.count.made += events.len() as i64;
            (Packet { sensor, sequence, rows: batch(&source.schema, columns) }, events[events.len() - 1].time_s)
        });
        packets.collect()
    }

    /// Sends one packet on its way, through the faults.
    fn deliver(&mut self, packet: Packet, taken_s: f64) {
        let faults = &self.options.faults;
        let sensor = packet.sensor;
        let source = &mut self.sources[sensor];
        let rows = packet.rows.num_rows() as i64;
        if source.loses_packet(faults.dropout) {
            source.count.dropped += rows;
            return;
        }
        let delay_s = source.travel.delay_s(taken_s, faults, &mut source.chance);
        let at_ns = (self.options.start_ns + nanoseconds(taken_s + delay_s)).max(source.last_at_ns + 1);
        let is_truth = source.kind == Kind::Truth;
        if !is_truth && source.held.is_none() && source.chance.chance(faults.out_of_order) {
            source.count.out_of_order += rows;
            source.held = Some(packet);
            return;
        }
        let repeated = (!is_truth && source.chance.chance(faults.duplicate)).then(|| packet.clone());
        let garbage = (!is_truth && source.chance.chance(faults.garbage)).then(|| source.garbage());
        source.count.duplicated += repeated.as_ref().map_or(0, |_| rows);
        let overtaken = source.held.take();
        source.last_at_ns = at_ns + 3;
        self.push(at_ns, sensor, Payload::Packet(packet));
        for (later_ns, payload) in [(1, overtaken.map(Payload::Packet)), (2, repeated.map(Payload::Packet)), (3, garbage)] {
            if let Some(payload) = payload {
                self.push(at_ns + later_ns, sensor, payload);
            }
        }
    }

    fn push(&mut self, at_ns: TimeNs, sensor: usize, payload: Payload) {
        let delivery = Delivery { at_ns, sensor, payload };
        self.waiting.push(Reverse(Waiting { at_ns, ordinal: self.ordinal, delivery }));
        self.ordinal += 1;
    }
}

impl Iterator for Simulation {
    type Item = Packet;

    /// The next packet; garbage is left out.
    fn next(&mut self) -> Option<Packet> {
        loop {
            if let Payload::Packet(packet) = self.next_delivery()?.payload {
                return Some(packet);
            }
        }
    }
}

impl Source {
    fn new(sensor: &proprio_core::Sensor, options: &Options, body: &Body) -> Self {
        let random = Random::new(options.seed, &format!("sensor {}", sensor.name));
        let side = if sensor.side.as_deref() == Some("right") { Side::Right } else { Side::Left };
        let rate = sensor.rate.unwrap_or(Rate::hz(1));
        let generator = match sensor.kind {
            Kind::Imu => {
                let (_, _, segment, place_m) =
                    IMUS.into_iter().find(|(name, ..)| *name == sensor.name).expect("the rig is made from this table");
                Generator::Imu(Imu::new(segment, place_m, placement(&sensor.name, options), options.noise, random))
            }
            Kind::Emg => Generator::Emg(Emg::new(options, body, rate.hertz())),
            Kind::Force => Generator::Plate(Plate::new(side, Ground::new(options, &body.motion), options.noise, random)),
            Kind::Markers => Generator::Markers(Markers::new(markers(options.layout), options.noise, random)),
            Kind::Truth | Kind::Events | Kind::Notes => Generator::Truth,
        };
        let schema = sensor.wire_schema();
        let row_bytes = if sensor.kind == Kind::Truth { 64 } else { 8 * schema.columns.fields().len() };
        Self {
            kind: sensor.kind,
            generator,
            clock: Clock::new(&sensor.name, rate, options),
            next_sample: 0,
            rows_per_packet: (PACKET_BYTES / row_bytes).max(1),
            chance: Random::new(options.seed, &format!("way {}", sensor.name)),
            travel: Travel::default(),
            loses: options.faults.dropout_kinds.contains(&sensor.kind),
            dropping: false,
            held: None,
            last_at_ns: i64::MIN,
            count: Count::default(),
            schema,
        }
    }

    /// The samples before `end_s` in packets, each with the true time of its last sample.
    fn packets(&mut self, sensor: usize, body: &Body, options: &Options, end_s: f64) -> Vec<(Packet, f64)> {
        let mut packets = Vec::new();
        loop {
            let (mut stamps, mut times_s) = (Vec::new(), Vec::new());
            while stamps.len() < self.rows_per_packet {
                let (stamp, time_s) = self.clock.sample(self.next_sample, options.start_ns);
                // A packet's stamps are of one setting of the clock.
                let is_set = times_s.last().is_some_and(|last| self.clock.jumped(*last) < self.clock.jumped(time_s));
                if time_s >= end_s || is_set {
                    break;
                }
                stamps.push(stamp);
                times_s.push(time_s);
                self.next_sample += 1;
            }
            let Some(&taken_s) = times_s.last() else { return packets };
            let measured = self.generator.measure(body, &times_s);
            let mut columns: Vec<ArrayRef> = Vec::with_capacity(measured.len() + 1);
            columns.push(Arc::new(Int64Array::from(stamps)));
            columns.extend(measured.into_iter().map(nan_as_null));
            let rows: RecordBatch = batch(&self.schema, columns);
            packets.push((Packet { sensor, sequence: self.count.made, rows }, taken_s));
            self.count.made += times_s.len() as i64;
        }
    }

    /// Whether this packet is lost: losses come in bursts.
    fn loses_packet(&mut self, share: f64) -> bool {
        if !self.loses || share <= 0.0 {
            return false;
        }
        // In the long run `share` of the packets lie in bursts of the mean length.
        let begins = (share / (1.0 - share) / BURST_MEAN).min(1.0);
        self.dropping = self.chance.chance(if self.dropping { BURST_GOES_ON } else { begins });
        self.dropping
    }

    fn garbage(&mut self) -> Payload {
        self.count.garbage += 1;
        Payload::Garbage((0..GARBAGE_BYTES).map(|_| self.chance.bits() as u8).collect())
    }
}

impl Generator {
    fn measure(&mut self, body: &Body, times_s: &[f64]) -> Vec<Vec<f64>> {
        match self {
            Self::Imu(imu) => imu.measure(body, times_s),
            Self::Emg(emg) => emg.measure(body, times_s),
            Self::Plate(plate) => plate.measure(body, times_s),
            Self::Markers(markers) => markers.measure(body, times_s),
            Self::Truth => Vec::new(),
        }
    }
}

fn nanoseconds(time_s: f64) -> i64 {
    (time_s * SECOND_NS as f64).round() as i64
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ns, self.ordinal).cmp(&(other.at_ns, other.ordinal))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}
