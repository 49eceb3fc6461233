//! What does a simulated subject give? The streams of its sensors, and what really happened.

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use proprio_core::{Kind, Port};
use proprio_simulate::{Body, Options, Simulation, TruthEvent};

use crate::bench::Stream;

/// The sensors of one kind and the truth, whose times are in seconds since the start.
pub struct Simulated {
    /// Streams, in the rig's order.
    pub streams: Vec<Stream>,
    /// In order of time.
    pub truth: Vec<TruthEvent>,
    /// The true movement, by seconds since the start.
    pub body: Body,
}

/// Simulates the sensors of some kinds, with event times that count from zero. The options must not lose or reorder packets.
///
/// # Panics
/// When the options are out of their range.
pub fn simulate(options: Options, kinds: &[Kind]) -> Simulated {
    let simulation = Simulation::new(Options { start_ns: 0, ..options }).expect("the options are in range");
    let (rig, truth, body) = (simulation.rig().clone(), simulation.truth(), simulation.body().clone());
    let mut rows: Vec<Vec<RecordBatch>> = vec![Vec::new(); rig.sensors.len()];
    for packet in simulation {
        rows[packet.sensor].push(packet.rows);
    }
    let wanted = rig.sensors.iter().zip(rows).filter(|(sensor, _)| kinds.contains(&sensor.kind));
    let stream = |(sensor, rows): (&proprio_core::Sensor, Vec<RecordBatch>)| {
        let port = Port { stream: sensor.stream(), schema: sensor.wire_schema() };
        let rows = concat_batches(&port.schema.columns, &rows).expect("packets have their sensor's schema");
        (port, rows)
    };
    Simulated { streams: wanted.map(stream).collect(), truth, body }
}
