//! What did a simulated subject do, and what did its IMUs send?

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use proprio_core::{Kind, Port, TimeNs};
use proprio_operators::kernels::gait_event::{self, Foot, GaitEvent, Kind as Contact, Method, Waiting};
use proprio_simulate::{Options, Simulation};

use crate::bench::Stream;
use crate::error::AccuracyError;

/// A walk with its truth.
pub struct Walk {
    /// The streams of its IMUs, by sensor.
    pub imus: BTreeMap<String, Stream>,
    /// The true contacts, in order.
    pub contacts: Vec<GaitEvent>,
    /// The true length of each stride in metres, with its foot and the contact that ends it.
    pub lengths_m: Vec<(TimeNs, Foot, f64)>,
}

impl Walk {
    /// Simulates a whole walk.
    ///
    /// # Errors
    /// When the simulation refuses the options.
    pub fn of(options: Options) -> Result<Self, AccuracyError> {
        let mut simulation = Simulation::new(options).map_err(|error| AccuracyError::Simulation(error.to_string()))?;
        let (mut contacts, mut lengths_m) = (Waiting::default(), Vec::new());
        for event in simulation.truth() {
            let time_ns = simulation.event_time_ns(event.time_s);
            let foot = Foot::parse(event.name.trim_end_matches("_m").rsplit('_').next().unwrap_or_default());
            let kind = event.name.strip_suffix(&format!("_{}", foot.name())).and_then(Contact::parse);
            if let Some(kind) = kind {
                contacts.insert(GaitEvent { time_ns, kind, foot, confidence: 1.0 });
            } else if event.name.starts_with("stride_length_") {
                lengths_m.push((time_ns, foot, event.value));
            }
        }
        let mut packets: BTreeMap<usize, Vec<RecordBatch>> = BTreeMap::new();
        for packet in simulation.by_ref() {
            packets.entry(packet.sensor).or_default().push(packet.rows);
        }
        let rig = simulation.rig();
        let imus = packets.iter().filter(|(sensor, _)| rig.sensors[**sensor].kind == Kind::Imu).map(|(sensor, batches)| {
            let sensor = &rig.sensors[*sensor];
            let port = Port { stream: sensor.stream(), schema: sensor.wire_schema() };
            let rows = concat_batches(&port.schema.columns, batches).expect("a sensor's packets have its wire schema");
            (sensor.name.clone(), (port, rows))
        });
        Ok(Self { imus: imus.collect(), contacts: contacts.take_until(TimeNs::MAX), lengths_m })
    }

    /// The true contacts as a stream of events.
    pub fn events(&self) -> Stream {
        let method = Method { name: "truth", threshold_n: None, filter: "none".to_owned() };
        let schema = gait_event::schema();
        let rows = gait_event::batch(&schema, &self.contacts, &method);
        (Port { stream: "truth".to_owned(), schema }, rows)
    }

    /// The IMUs on the feet.
    pub fn feet(&self) -> Vec<Stream> {
        self.imus.iter().filter(|(name, _)| name.starts_with("foot_")).map(|(_, stream)| stream.clone()).collect()
    }
}
