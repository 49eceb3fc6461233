//! How do messages become the bytes of a segment, in memory?

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use mcap::records::MessageHeader;
use proprio_core::time::TimeNs;
use proprio_core::{Event, Rig};

use crate::format::{self, Buffer, ENCODING, End, Head, MEMORY, Writer};

/// Encodings of one sensor that get a channel of their own; more only come from a sender that makes them up.
const ENCODINGS_PER_SENSOR: usize = 16;
/// What a payload in one encoding too many is recorded as; decoding refuses both alike.
const OTHER_ENCODING: &str = "application/octet-stream";

/// The segment that is being encoded.
pub(crate) struct Encoder {
    pub path: PathBuf,
    pub first_log_time_ns: TimeNs,
    /// Bytes taken so far.
    pub bytes: u64,
    writer: Writer,
    buffer: Buffer,
    channels: Channels,
}

impl Encoder {
    pub fn begin(path: PathBuf, rig: &Rig, head: &Head) -> Self {
        let buffer = Buffer::default();
        let mut writer = format::writer(buffer.clone());
        format::write_head(&mut writer, head);
        let channels = Channels::new(rig, &mut writer);
        Self { path, first_log_time_ns: head.first_log_time_ns, bytes: 0, writer, buffer, channels }
    }

    /// Adds a message; an encoding too many is replaced in the event too, so that live and replay agree.
    pub fn write(&mut self, event: &mut Event, stamp: MessageHeader) {
        let channel_id = match event {
            Event::Payload { sensor, encoding, .. } => self.channels.of_payload(*sensor, encoding, &mut self.writer),
            Event::Decision(_) => self.channels.decisions,
        };
        let header = MessageHeader { channel_id, ..stamp };
        let written = match event {
            Event::Payload { payload, .. } => self.writer.write_to_known_channel(&header, payload),
            Event::Decision(decision) => {
                let json = serde_json::to_vec(decision).expect("a decision has only text keys and finite numbers, which JSON always takes");
                self.writer.write_to_known_channel(&header, &json)
            }
        };
        written.expect(MEMORY);
    }

    /// Finishes the chunk, and gives all bytes not yet taken.
    pub fn take(&mut self) -> Vec<u8> {
        self.writer.flush().expect(MEMORY);
        let bytes = self.buffer.take();
        self.bytes += bytes.len() as u64;
        bytes
    }

    /// Ends the segment regularly, and gives all bytes not yet taken.
    pub fn end(mut self, end: &End) -> Vec<u8> {
        format::write_end(&mut self.writer, end);
        self.buffer.take()
    }
}

/// Which MCAP channel a message goes to: one per sensor and encoding, and one for the decisions.
struct Channels {
    topics: Vec<String>,
    payloads: Vec<HashMap<String, u16>>,
    decisions: u16,
}

impl Channels {
    fn new(rig: &Rig, writer: &mut Writer) -> Self {
        Self {
            topics: rig.sensors.iter().map(|sensor| sensor.key.clone()).collect(),
            payloads: vec![HashMap::new(); rig.sensors.len()],
            decisions: writer.add_channel(0, &format::decisions_topic(&rig.name), "json", &BTreeMap::new()).expect(MEMORY),
        }
    }

    fn of_payload(&mut self, sensor: usize, encoding: &mut String, writer: &mut Writer) -> u16 {
        let known = &mut self.payloads[sensor];
        if let Some(channel) = known.get(encoding.as_str()) {
            return *channel;
        }
        if known.len() >= ENCODINGS_PER_SENSOR {
            OTHER_ENCODING.clone_into(encoding);
        }
        let metadata = BTreeMap::from([(ENCODING.to_owned(), encoding.clone())]);
        let shown = if encoding.ends_with("json") { "json" } else { encoding.as_str() };
        let channel = writer.add_channel(0, &self.topics[sensor], shown, &metadata).expect(MEMORY);
        known.insert(encoding.clone(), channel);
        channel
    }
}
