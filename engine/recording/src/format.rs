//! What does a segment say about itself, at its head and at its end?

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mcap::WriteOptions;
use mcap::records::Metadata;
use mcap::write::NoSeek;
use proprio_core::time::TimeNs;
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

/// Full texts that a segment carries, by name, such as `rig.yaml` and `pipeline.yaml`.
pub type Texts = BTreeMap<String, String>;

/// Name of the metadata record at a segment's head: what the segment is.
pub(crate) const HEAD: &str = "proprio.segment";
/// Name of the metadata record with the full texts; it follows the head.
pub(crate) const TEXTS: &str = "proprio.texts";
/// Name of the metadata record before a segment's regular end.
pub(crate) const END: &str = "proprio.end";
/// Key of the channel metadata that holds the zenoh encoding.
pub(crate) const ENCODING: &str = "encoding";
/// Key of a metadata record's checksum over its other entries: MCAP guards chunks alone.
const CHECKSUM: &str = "proprio.checksum";
/// The format of a segment.
const FORMAT: &str = "3";
/// Size at which a chunk is closed between two seals.
const CHUNK_BYTES: u64 = 1 << 20;

/// What stands at the head of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Position of the segment's first message.
    pub first_position: i64,
    /// Log time of the segment's first message.
    pub first_log_time_ns: TimeNs,
    /// The rig's name.
    pub rig: String,
    /// Keys of the rig's sensors in the order of their indices, which the decisions in this segment use.
    pub sensors: Vec<String>,
    /// The session that the messages belong to; none before the first one and after a stop.
    pub session: Option<SessionHead>,
    /// Full texts by name, such as `rig.yaml` and `pipeline.yaml`; none in a stub.
    pub texts: Texts,
    /// Why the messages are gone, when this is a stub.
    pub gone: Option<Gone>,
}

/// The session that a segment belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionHead {
    /// Identifier, unique in the rig.
    pub id: String,
    /// Pseudonym of the subject.
    pub subject: Option<String>,
    /// What is being done.
    pub task: Option<String>,
    /// Where every watermark begins.
    pub from_ns: TimeNs,
    /// Position of the message that began it, the first of a segment.
    pub start_position: i64,
}

/// Why a segment was replaced by a stub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gone {
    /// A person is forgotten.
    Forgotten,
    /// It was older than is kept.
    Retention,
}

/// What stands before a segment's regular end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub last_position: i64,
    pub last_log_time_ns: TimeNs,
    /// Whether the session of the head goes on after the segment.
    pub session_open: bool,
}

/// The head as one JSON text, so that one record tells all.
#[derive(Serialize, Deserialize)]
struct HeadJson {
    first_log_time_ns: TimeNs,
    sensors: Vec<String>,
    session: Option<SessionHead>,
    gone: Option<Gone>,
}

impl Head {
    /// The two metadata records of a segment's head.
    fn metadata(&self) -> [Metadata; 2] {
        let rest = HeadJson {
            first_log_time_ns: self.first_log_time_ns,
            sensors: self.sensors.clone(),
            session: self.session.clone(),
            gone: self.gone,
        };
        let fields = [
            ("format", FORMAT.to_owned()),
            ("rig", self.rig.clone()),
            ("first_position", self.first_position.to_string()),
            ("head", serde_json::to_string(&rest).expect("texts and numbers are JSON")),
        ];
        [checked(HEAD, fields), Metadata { name: TEXTS.to_owned(), metadata: with_checksum(self.texts.clone()) }]
    }

    /// The head that two metadata records give.
    ///
    /// # Errors
    /// The format's number, when it is another. None when they are damaged.
    pub(crate) fn parse(head: BTreeMap<String, String>, texts: BTreeMap<String, String>) -> Result<Option<Self>, String> {
        match head.get("format") {
            Some(format) if format != FORMAT => Err(format.clone()),
            _ => Ok(Self::parse_whole(head, texts)),
        }
    }

    fn parse_whole(head: BTreeMap<String, String>, texts: BTreeMap<String, String>) -> Option<Self> {
        let mut fields = verified(head)?;
        let rest: HeadJson = serde_json::from_str(fields.get("head")?).ok()?;
        Some(Self {
            first_position: fields.get("first_position")?.parse().ok()?,
            first_log_time_ns: rest.first_log_time_ns,
            rig: fields.remove("rig")?,
            sensors: rest.sensors,
            session: rest.session,
            texts: verified(texts)?,
            gone: rest.gone,
        })
    }
}

impl End {
    /// The bytes that end a segment: this, and MCAP's own end without a summary. Always of one length.
    pub fn bytes(&self) -> Vec<u8> {
        let buffer = Buffer::default();
        let mut writer = writer(buffer.clone());
        buffer.take();
        write_end(&mut writer, self);
        buffer.take()
    }

    /// Reads what [`bytes`](Self::bytes) gave.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let length = usize::try_from(u64::from_le_bytes(bytes.get(1..9)?.try_into().ok()?)).ok()?;
        let body = bytes.get(9..length.checked_add(9)?)?;
        let Ok(mcap::records::Record::Metadata(record)) = mcap::parse_record(mcap::records::op::METADATA, body) else { return None };
        let fields = verified(record.metadata)?;
        let number = |name: &str| fields.get(name)?.parse::<i64>().ok();
        let end = Self {
            last_position: number("last_position")?,
            last_log_time_ns: number("last_log_time_ns")?,
            session_open: number("session_open")? == 1,
        };
        (end.bytes() == bytes).then_some(end)
    }

    fn metadata(&self) -> Metadata {
        // Padded, so that the end is found from the file's length.
        let fields = [
            ("last_position", format!("{:020}", self.last_position)),
            ("last_log_time_ns", format!("{:020}", self.last_log_time_ns)),
            ("session_open", u8::from(self.session_open).to_string()),
        ];
        checked(END, fields)
    }
}

/// A whole segment without a message, in place of one whose messages are gone.
pub(crate) fn stub(head: &Head, end: &End) -> Vec<u8> {
    let buffer = Buffer::default();
    let mut writer = writer(buffer.clone());
    write_head(&mut writer, head);
    write_end(&mut writer, end);
    buffer.take()
}

pub(crate) fn write_head(writer: &mut Writer, head: &Head) {
    head.metadata().iter().for_each(|metadata| writer.write_metadata(metadata).expect(MEMORY));
}

pub(crate) fn write_end(writer: &mut Writer, end: &End) {
    writer.write_metadata(&end.metadata()).expect(MEMORY);
    writer.finish().expect(MEMORY);
}

/// The folder of a rig's recording.
pub(crate) fn directory(rig: &str) -> PathBuf {
    Path::new("recording").join(rig)
}

/// The lock that a rig's writer holds.
pub(crate) fn lock_path(rig: &str) -> PathBuf {
    directory(rig).join("writer.lock")
}

/// The topic of a rig's decisions.
pub(crate) fn decisions_topic(rig: &str) -> String {
    format!("{rig}/@decisions")
}

/// An MCAP writer into memory.
pub(crate) type Writer = mcap::Writer<NoSeek<Buffer>>;

/// Why a write into a [`Buffer`] succeeds.
pub(crate) const MEMORY: &str = "memory takes every record, and channels are fewer than MCAP's 65,535";

/// No compression: samples are mostly noise in their low bits, and the segment must keep up with a whole lab. No summary
/// either: its indexes grow in memory with every seal, and readers fall back to reading the file in order, as we do.
pub(crate) fn writer(buffer: Buffer) -> Writer {
    WriteOptions::new()
        .compression(None)
        .profile("proprio")
        .library(concat!("proprio-recording ", env!("CARGO_PKG_VERSION")))
        .chunk_size(Some(CHUNK_BYTES))
        .disable_seeking(true)
        .emit_summary_records(false)
        .emit_summary_offsets(false)
        .emit_message_indexes(false)
        .calculate_data_section_crc(false)
        .create(NoSeek::new(buffer))
        .expect(MEMORY)
}

/// Bytes that a writer has finished and nobody has taken yet.
#[derive(Clone, Default)]
pub(crate) struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.bytes())
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn checked<const N: usize>(name: &str, fields: [(&str, String); N]) -> Metadata {
    let fields = fields.map(|(key, value)| (key.to_owned(), value)).into();
    Metadata { name: name.to_owned(), metadata: with_checksum(fields) }
}

fn with_checksum(mut fields: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let sum = checksum(&fields);
    fields.insert(CHECKSUM.to_owned(), sum);
    fields
}

fn verified(mut fields: BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    let sum = fields.remove(CHECKSUM)?;
    (sum == checksum(&fields)).then_some(fields)
}

fn checksum(fields: &BTreeMap<String, String>) -> String {
    let mut bytes = Vec::new();
    for text in fields.iter().flat_map(|(key, value)| [key, value]) {
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    format!("{:032x}", XxHash3_128::oneshot(&bytes))
}
