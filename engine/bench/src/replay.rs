//! What is it that we do? Recorded messages run through a pipeline by the real worker, chunk by chunk.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use proprio_core::recorded::Decode;
use proprio_core::rows::times;
use proprio_core::time::SECOND_NS;
use proprio_core::{Decision, Event, Recorded, Sensor, TableChunk, TimeNs};
use proprio_operators::REGISTRY;
use proprio_runtime::{PIPELINE_TEXT, Plan, RIG_TEXT, Worker};

use crate::error::BenchError;

/// A chunk holds at most so many messages, as in `proprio replay`,
const CHUNK_MESSAGES: usize = 4096;
/// and about so many bytes of payload, so that what is made of them stays in the cache.
const CHUNK_BYTES: usize = 512 << 10;

/// How samples travel: the binary lends its own wire, so that decoding counts.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    /// Name of the encoding.
    pub encoding: &'static str,
    /// A sensor's rows in its wire schema as bytes, with its boot and the sequence of the first row; none for rows that it can't carry.
    pub encode: fn(&Sensor, i64, i64, &RecordBatch) -> Option<Vec<u8>>,
    /// The worker's decoder.
    pub decode: Decode,
}

/// All rows of each table that a run gave.
pub type Tables = BTreeMap<String, RecordBatch>;

/// What one run gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Rows, over all tables.
    pub rows: u64,
    /// Bytes that they take in memory.
    pub bytes: u64,
}

/// Messages and the plan that they run through.
pub struct Replay {
    plan: Arc<Plan>,
    decode: Decode,
    messages: Vec<Recorded>,
}

impl Replay {
    /// The plan of two texts, and each sensor's rows, by name, as messages of `packet_ns` each. Rows may hold more columns than the wire
    /// carries. Messages of several sensors stand in the order in which they would be sent.
    ///
    /// # Errors
    /// When the texts make no plan, or the wire can't carry the rows.
    ///
    /// # Panics
    /// When the rig has no sensor of a name, or the rows lack one of its columns.
    pub fn new(wire: Wire, rig: &str, pipeline: &str, streams: &[(&str, RecordBatch)], packet_ns: i64) -> Result<Self, BenchError> {
        let texts = [(RIG_TEXT, rig), (PIPELINE_TEXT, pipeline)].map(|(name, text)| (name.to_owned(), text.to_owned()));
        let findings = |findings: Vec<proprio_runtime::Diagnostic>| BenchError::Plan {
            findings: findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        };
        let plan = proprio_runtime::load_texts(&texts.into(), REGISTRY).map_err(findings)?.plan;
        let mut packets: Vec<(TimeNs, usize, Vec<u8>)> = Vec::new();
        for (name, rows) in streams {
            let index = plan.rig.sensor(name).unwrap_or_else(|| panic!("the rig has no sensor `{name}`"));
            packets.extend(packets_of(wire, &plan.rig.sensors[index], index, rows, packet_ns)?);
        }
        packets.sort_by_key(|(sent_ns, sensor, _)| (*sent_ns, *sensor));
        let first = streams.iter().filter_map(|(_, rows)| times(rows).first().copied()).min().unwrap_or(0);
        let messages = messages(wire.encoding, first, packets);
        Ok(Self { plan: Arc::new(plan), decode: wire.decode, messages })
    }

    /// Bytes of all messages.
    pub fn bytes(&self) -> u64 {
        self.chunks().flatten().map(|message| payload_bytes(message) as u64).sum()
    }

    /// Runs all messages once.
    pub fn run(&self) -> Given {
        let mut given = Given::default();
        self.fold(|chunk| {
            given.rows += chunk.rows.num_rows() as u64;
            given.bytes += chunk.rows.get_array_memory_size() as u64;
        });
        given
    }

    /// Runs all messages once and keeps every row; a step's rows for several streams stand one after the other.
    ///
    /// # Panics
    /// When rows of one table don't have one schema, which planning sees to.
    pub fn tables(&self) -> Tables {
        let mut chunks: BTreeMap<String, BTreeMap<Option<String>, Vec<RecordBatch>>> = BTreeMap::new();
        self.fold(|chunk| chunks.entry(chunk.table).or_default().entry(chunk.key).or_default().push(chunk.rows));
        let whole = |keys: BTreeMap<Option<String>, Vec<RecordBatch>>| {
            let batches: Vec<RecordBatch> = keys.into_values().flatten().collect();
            concat_batches(batches[0].schema_ref(), &batches).expect("a table has one schema")
        };
        chunks.into_iter().map(|(table, keys)| (table, whole(keys))).collect()
    }

    fn fold(&self, mut sink: impl FnMut(TableChunk)) {
        let mut worker = Worker::new(self.plan.clone(), self.decode, "bench".to_owned());
        for chunk in self.chunks() {
            worker.advance(chunk).into_iter().for_each(&mut sink);
        }
    }

    /// The messages in chunks.
    fn chunks(&self) -> impl Iterator<Item = &[Recorded]> {
        let mut bytes = 0;
        let mut count = 0;
        self.messages.chunk_by(move |before, _| {
            bytes += payload_bytes(before);
            count += 1;
            let goes_on = bytes < CHUNK_BYTES && count < CHUNK_MESSAGES;
            if !goes_on {
                (bytes, count) = (0, 0);
            }
            goes_on
        })
    }
}

fn payload_bytes(message: &Recorded) -> usize {
    match &message.event {
        Event::Payload { payload, .. } => payload.len(),
        Event::Decision(_) => 0,
    }
}

/// A sensor's rows as payloads, each with the instant that it is sent at: when its last sample has been taken.
fn packets_of(
    wire: Wire,
    sensor: &Sensor,
    index: usize,
    rows: &RecordBatch,
    packet_ns: i64,
) -> Result<Vec<(TimeNs, usize, Vec<u8>)>, BenchError> {
    let schema = sensor.wire_schema().columns;
    let column = |name: &String| rows.column_by_name(name).unwrap_or_else(|| panic!("the rows of `{}` lack `{name}`", sensor.name)).clone();
    let columns = schema.fields().iter().map(|field| column(field.name())).collect();
    let rows = RecordBatch::try_new(schema, columns).expect("the columns are those of the wire");
    let all = times(&rows);
    let (mut from, mut packets) = (0, Vec::new());
    let sequence_of =
        |row: usize| sensor.rate.map_or(row as i64, |rate| rate.grid_index_at_or_after(all[row]) - rate.grid_index_at_or_after(all[0]));
    while from < all.len() {
        let end = all[from].div_euclid(packet_ns).saturating_add(1) * packet_ns;
        // A gap ends a packet, whose sequence counts on over it.
        let due = all[from..].iter().take_while(|time| **time < end).count();
        let unbroken = (1..due).take_while(|next| sequence_of(from + next) == sequence_of(from) + *next as i64).count() + 1;
        let packet = rows.slice(from, unbroken);
        let payload = (wire.encode)(sensor, 1, sequence_of(from), &packet);
        let payload = payload.ok_or_else(|| BenchError::Encode { sensor: sensor.name.clone() })?;
        from += unbroken;
        packets.push((all[from - 1], index, payload));
    }
    Ok(packets)
}

/// A session from its start to its stop.
fn messages(encoding: &str, first: TimeNs, packets: Vec<(TimeNs, usize, Vec<u8>)>) -> Vec<Recorded> {
    let start = Decision::SessionStart {
        session: "bench".to_owned(),
        subject: None,
        task: None,
        from_ns: first - 1,
        sources: BTreeMap::new(),
        carried: Vec::new(),
    };
    let payload = |(sent_ns, sensor, payload)| (sent_ns, Event::Payload { sensor, encoding: encoding.to_owned(), payload });
    let last = packets.last().map_or(first, |(sent_ns, ..)| *sent_ns).saturating_add(SECOND_NS);
    let events = std::iter::once((first - 1, Event::Decision(start))).chain(packets.into_iter().map(payload));
    let events = events.chain([(last, Event::Decision(Decision::SessionStop))]);
    let mut log_time_ns = TimeNs::MIN;
    let recorded = (0..).zip(events).map(|(position, (sent_ns, event))| {
        log_time_ns = sent_ns.max(log_time_ns.saturating_add(1));
        Recorded { position, log_time_ns, event }
    });
    recorded.collect()
}

#[cfg(test)]
mod tests {
    use arrow_array::{ArrayRef, Float64Array, Int64Array};
    use proprio_core::rows::{floats, integers};
    use proprio_core::{Rejection, Samples, SourceMessage};

    use super::*;

    /// Boot, sequence, times and values of the one channel, as JSON.
    fn encode(_: &Sensor, boot: i64, sequence: i64, rows: &RecordBatch) -> Option<Vec<u8>> {
        serde_json::to_vec(&(boot, sequence, times(rows), floats(rows, 1).values().to_vec())).ok()
    }

    fn decode(sensor: &Sensor, _: &str, payload: &[u8]) -> Result<SourceMessage, Rejection> {
        let (boot, sequence, times, values): (i64, i64, Vec<i64>, Vec<f64>) =
            serde_json::from_slice(payload).expect("the test's own payload");
        let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(times)), Arc::new(Float64Array::from(values))];
        let rows = RecordBatch::try_new(sensor.wire_schema().columns, columns).expect("the sensor's columns");
        Ok(SourceMessage::Samples(Samples { boot, sequence, rows }))
    }

    #[test]
    fn messages_are_packets_whose_sequence_counts_over_gaps() {
        let wire = Wire { encoding: "test", encode, decode };
        let rig = "rig: r\nsensors:\n  a: { kind: emg, rate: 100 Hz, channels: { 1: soleus } }\n";
        let pipeline = "pipeline: p\nrig: rig.yaml\nsteps:\n  - { id: filled, op: fill, from: emg/a, with: { window: 1 s } }\n";
        let kept: Vec<i64> = (0..200).filter(|k| !(40..45).contains(k)).collect();
        let all: ArrayRef = Arc::new(kept.iter().map(|k| k * 10_000_000).collect::<Int64Array>());
        let values: ArrayRef = Arc::new(Float64Array::from(vec![1.0; kept.len()]));
        let rows = RecordBatch::try_from_iter([("time_ns", all), ("soleus_v", values)]).expect("two columns");
        let replay = Replay::new(wire, rig, pipeline, &[("a", rows)], 300_000_000).expect("it plans");
        // A start, a packet each 300 ms of which one is cut by the gap, a stop.
        assert_eq!(replay.messages.len(), 1 + 8 + 1);
        let tables = replay.tables();
        let lost = &tables["losses"];
        let count = lost.schema_ref().index_of("count").expect("losses are counted");
        assert_eq!(integers(lost, count).values().iter().sum::<i64>(), 5);
        assert_eq!((tables["emg"].num_rows(), tables["filled"].num_rows()), (195, 200));
        assert!(floats(&tables["filled"], 1).iter().all(|value| value == Some(1.0)));
        assert!(replay.run().rows > 395);
    }
}
