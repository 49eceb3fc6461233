//! What does a simulated subject give, as whole streams, and what really happened?

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use proprio_core::{Kind, Port, TimeNs};
use proprio_operators::kernels::quaternion::{Quaternion, from_axes};
use proprio_simulate::{Body, Options, Simulation, TruthEvent, rig_file};

use crate::bench::Stream;
use crate::error::AccuracyError;

/// A simulated session: all rows of some sensors, and the truth.
pub struct Simulated {
    streams: BTreeMap<String, Stream>,
    /// Everything that really happened, in order of time.
    pub truth: Vec<TruthEvent>,
    /// The true movement, by seconds since the start.
    pub body: Body,
    start_ns: TimeNs,
    placements: BTreeMap<String, Quaternion>,
}

impl Simulated {
    /// Simulates the sensors of some kinds, without losses on the way.
    ///
    /// # Errors
    /// When the simulation refuses the options.
    pub fn of_kinds(options: Options, kinds: &[Kind]) -> Result<Self, AccuracyError> {
        let rig = rig_file(&options);
        let names: Vec<&str> =
            rig.sensors.iter().filter(|(_, sensor)| kinds.contains(&sensor.kind)).map(|(name, _)| name.as_str()).collect();
        Self::new(options, &names)
    }

    /// Simulates these sensors, by name, without losses on the way.
    ///
    /// # Errors
    /// When the simulation refuses the options.
    pub fn new(mut options: Options, sensors: &[&str]) -> Result<Self, AccuracyError> {
        options.faults.dropout = 0.0;
        let start_ns = options.start_ns;
        let refuse = |error: proprio_simulate::OptionsError| AccuracyError::Simulation(error.to_string());
        let mut simulation = Simulation::of_sensors(options, |name| sensors.contains(&name)).map_err(refuse)?;
        let mut packets: Vec<Vec<RecordBatch>> = vec![Vec::new(); simulation.rig().sensors.len()];
        for packet in simulation.by_ref() {
            packets[packet.sensor].push(packet.rows);
        }
        let stream = |(sensor, rows): (&proprio_core::Sensor, &Vec<RecordBatch>)| {
            let port = Port { stream: sensor.stream(), schema: sensor.wire_schema() };
            let rows = concat_batches(&port.schema.columns, rows).expect("a sensor's packets have its schema");
            (sensor.name.clone(), (port, rows))
        };
        let streams = simulation.rig().sensors.iter().zip(&packets).map(stream).collect();
        let placement = |sensor: &proprio_core::Sensor| {
            let turn = simulation.segment_from_sensor(&sensor.name);
            let [x, y, z] = [0, 1, 2].map(|axis| [0, 1, 2].map(|row| turn[(row, axis)]));
            (sensor.name.clone(), from_axes(x, y, z))
        };
        let placements = simulation.rig().sensors.iter().filter(|sensor| sensor.kind == Kind::Imu).map(placement).collect();
        Ok(Self { streams, truth: simulation.truth(), body: simulation.body().clone(), start_ns, placements })
    }

    /// The sensors' streams that were simulated and have rows, by name.
    pub fn streams(&self) -> Vec<Stream> {
        self.streams.values().filter(|(_, rows)| rows.num_rows() > 0).cloned().collect()
    }

    /// One sensor's rows.
    pub fn stream(&self, sensor: &str) -> Stream {
        self.streams[sensor].clone()
    }

    /// How an IMU really sits: the rotation from its axes to its segment's.
    pub fn segment_from_sensor(&self, sensor: &str) -> Quaternion {
        self.placements[sensor]
    }

    /// The times of a true event, in seconds since the start.
    pub fn times_s(&self, name: &str) -> Vec<f64> {
        self.truth.iter().filter(|event| event.name == name).map(|event| event.time_s).collect()
    }

    /// The event time of a moment of the truth.
    pub fn event_time_ns(&self, time_s: f64) -> TimeNs {
        self.start_ns + (time_s * 1e9).round() as TimeNs
    }

    /// Seconds since the start of an event time.
    pub fn seconds(&self, time: TimeNs) -> f64 {
        (time - self.start_ns) as f64 / 1e9
    }
}

/// The value of `times_s` nearest to `at_s`, unless it is further than `reach_s`.
pub fn nearest(times_s: &[f64], at_s: f64, reach_s: f64) -> Option<f64> {
    let nearest = times_s.iter().copied().min_by(|a, b| (a - at_s).abs().total_cmp(&(b - at_s).abs()));
    nearest.filter(|time| (time - at_s).abs() <= reach_s)
}
