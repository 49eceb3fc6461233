//! How messages are stamped, written and made durable.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, TryLockError};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use mcap::WriteOptions;
use mcap::records::{MessageHeader, Metadata};
use mcap::write::NoSeek;
use proprio_core::time::TimeNs;
use proprio_core::{Decision, Event, Recorded, Rig};

use crate::RecordingError;
use crate::segment::{self, ENCODING, FORMAT, HEAD, SegmentReader, TEXTS, segments};

/// Full texts that a segment carries, by name, such as `rig.yaml` and `pipeline.yaml`.
pub type Texts = BTreeMap<String, String>;

/// Encodings of one sensor that get a channel of their own; more only come from a sender that makes them up.
const ENCODINGS_PER_SENSOR: usize = 16;
/// What a payload in one encoding too many is recorded as; decoding refuses both alike.
const OTHER_ENCODING: &str = "application/octet-stream";
/// Size at which a chunk is closed between two syncs.
const CHUNK_BYTES: u64 = 1 << 20;
/// Payload bytes after which a sync begins the next segment.
const SEGMENT_BYTES: u64 = 512 << 20;
/// Syncs after which the next segment begins: the writer remembers each chunk until the segment ends.
const SEGMENT_SYNCS: u64 = 100_000;

/// The folder of a rig's recording.
pub(crate) fn directory(data: &Path, rig: &str) -> PathBuf {
    data.join("recording").join(rig)
}

/// The topic of a rig's decisions.
pub(crate) fn decisions_topic(rig: &str) -> String {
    format!("{rig}/@decisions")
}

/// The one writer of a rig's recording. It alone gives out positions.
pub struct Recorder {
    directory: PathBuf,
    rig: Rig,
    texts: Texts,
    open: OpenSegment,
    next_position: i64,
    last_log_time_ns: TimeNs,
    durable_position: i64,
    failed: bool,
    /// [`SEGMENT_BYTES`]; less in tests.
    pub(crate) segment_bytes: u64,
    /// Held until the recorder is dropped.
    _lock: File,
}

impl Recorder {
    /// Opens the recording of `rig` under the data directory for writing: takes the writer's lock, continues after the
    /// last whole message of the last segment, and begins a new segment whose head holds `texts`.
    ///
    /// # Errors
    /// When another process writes it, or the folder, the last segment or the new one fails.
    pub fn open(data: &Path, rig: &Rig, texts: &Texts) -> Result<Self, RecordingError> {
        let directory = directory(data, &rig.name);
        fs::create_dir_all(&directory).map_err(RecordingError::io(&directory))?;
        let lock = take_lock(&directory)?;
        let (next_position, last_log_time_ns) = last_message(&directory)?.map_or((0, 0), |(position, time)| (position + 1, time));
        let open = OpenSegment::begin(&directory, rig, texts, next_position)?;
        Ok(Self {
            directory,
            rig: rig.clone(),
            texts: texts.clone(),
            open,
            next_position,
            last_log_time_ns,
            durable_position: next_position - 1,
            failed: false,
            segment_bytes: SEGMENT_BYTES,
            _lock: lock,
        })
    }

    /// Stamps an event with its position and its log time: `arrival_ns`, or the next nanosecond after the last message's.
    ///
    /// # Errors
    /// When the file does not take it. The recorder then takes nothing more, so that no position is skipped, and
    /// [`sync`](Self::sync) acknowledges nothing more either.
    pub fn append(&mut self, event: Event, arrival_ns: TimeNs) -> Result<Recorded, RecordingError> {
        self.append_timed(event, arrival_ns, None)
    }

    /// As [`append`](Self::append), with the sensor's own time, which the file shows as the message's publish time.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_timed(
        &mut self,
        mut event: Event,
        arrival_ns: TimeNs,
        sensor_time_ns: Option<TimeNs>,
    ) -> Result<Recorded, RecordingError> {
        self.check()?;
        let position = self.next_position;
        let log_time_ns = arrival_ns.max(self.last_log_time_ns.saturating_add(1));
        // MCAP counts in unsigned nanoseconds; nothing of ours happened before 1970.
        let unsigned = |time: TimeNs| u64::try_from(time).unwrap_or(0);
        let stamp = MessageHeader {
            channel_id: 0,
            sequence: position as u32,
            log_time: unsigned(log_time_ns),
            publish_time: unsigned(sensor_time_ns.unwrap_or(log_time_ns)),
        };
        let written = self.open.write(&mut event, stamp);
        self.guard(written)?;
        self.next_position += 1;
        self.last_log_time_ns = log_time_ns;
        Ok(Recorded { position, log_time_ns, event })
    }

    /// Makes everything appended so far durable, and returns the last durable position; −1 when there is none.
    /// A segment that has grown long enough ends here.
    ///
    /// # Errors
    /// When the disk refuses. Nothing after the last successful sync may be acknowledged.
    pub fn sync(&mut self) -> Result<i64, RecordingError> {
        self.check()?;
        if self.durable_position + 1 < self.next_position {
            let synced = self.open.sync();
            self.guard(synced)?;
            self.durable_position = self.next_position - 1;
            if self.open.bytes > self.segment_bytes || self.open.syncs > SEGMENT_SYNCS {
                let next =
                    self.end_segment().and_then(|()| OpenSegment::begin(&self.directory, &self.rig, &self.texts, self.next_position));
                self.open = self.guard(next)?;
            }
        }
        Ok(self.durable_position)
    }

    /// The last durable position; −1 when there is none.
    pub fn durable_position(&self) -> i64 {
        self.durable_position
    }

    /// The position that the next message gets.
    pub fn next_position(&self) -> i64 {
        self.next_position
    }

    /// The segment being written.
    pub fn path(&self) -> &Path {
        &self.open.path
    }

    /// Syncs, ends the segment regularly and returns the last durable position. Dropping a recorder instead leaves a
    /// segment that reads as well.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn close(mut self) -> Result<i64, RecordingError> {
        let durable = self.sync()?;
        self.end_segment()?;
        Ok(durable)
    }

    fn end_segment(&mut self) -> Result<(), RecordingError> {
        let OpenSegment { path, writer, file, .. } = &mut self.open;
        writer.finish().map_err(RecordingError::mcap(path))?;
        file.sync_all().map_err(RecordingError::io(path))
    }

    fn check(&self) -> Result<(), RecordingError> {
        if self.failed { Err(RecordingError::Failed { path: self.open.path.clone() }) } else { Ok(()) }
    }

    /// After a failed write or fsync nothing later may count: the kernel may have dropped the dirty pages, so that a later
    /// success would prove nothing.
    fn guard<T>(&mut self, outcome: Result<T, RecordingError>) -> Result<T, RecordingError> {
        self.failed |= outcome.is_err();
        outcome
    }
}

/// The segment that is being written.
struct OpenSegment {
    path: PathBuf,
    writer: mcap::Writer<NoSeek<BufWriter<File>>>,
    /// The same open file as the writer's, for syncing it.
    file: File,
    channels: Channels,
    bytes: u64,
    syncs: u64,
}

impl OpenSegment {
    /// Creates the segment whose first message will have position `first`, durable with its head and its name.
    fn begin(directory: &Path, rig: &Rig, texts: &Texts, first: i64) -> Result<Self, RecordingError> {
        // A segment of that name can only be one without a whole message, so nothing is lost by writing over it.
        let path = segment::path(directory, first);
        let file = File::create(&path).map_err(RecordingError::io(&path))?;
        let handle = file.try_clone().map_err(RecordingError::io(&path))?;
        let mut writer = options().create(NoSeek::new(BufWriter::new(file))).map_err(RecordingError::mcap(&path))?;
        for metadata in heads(&rig.name, first, texts) {
            writer.write_metadata(&metadata).map_err(RecordingError::mcap(&path))?;
        }
        let channels = Channels::new(rig, &mut writer).map_err(RecordingError::mcap(&path))?;
        let mut segment = Self { path, writer, file: handle, channels, bytes: 0, syncs: 0 };
        segment.sync()?;
        File::open(directory).and_then(|opened| opened.sync_all()).map_err(RecordingError::io(directory))?;
        Ok(segment)
    }

    fn write(&mut self, event: &mut Event, stamp: MessageHeader) -> Result<(), RecordingError> {
        let written = match event {
            Event::Payload { sensor, encoding, payload } => {
                self.bytes += payload.len() as u64;
                let channel = self.channels.of_payload(*sensor, encoding, &mut self.writer);
                channel.and_then(|channel_id| self.writer.write_to_known_channel(&MessageHeader { channel_id, ..stamp }, payload))
            }
            Event::Decision(decision) => {
                let header = MessageHeader { channel_id: self.channels.decisions, ..stamp };
                self.writer.write_to_known_channel(&header, &decision_json(decision))
            }
        };
        written.map_err(RecordingError::mcap(&self.path))
    }

    fn sync(&mut self) -> Result<(), RecordingError> {
        self.writer.flush().map_err(RecordingError::mcap(&self.path))?;
        self.file.sync_data().map_err(RecordingError::io(&self.path))?;
        self.syncs += 1;
        Ok(())
    }
}

/// Which MCAP channel a message goes to: one per sensor and encoding, and one for the decisions.
struct Channels {
    topics: Vec<String>,
    payloads: Vec<HashMap<String, u16>>,
    decisions: u16,
}

impl Channels {
    fn new<W: std::io::Write + std::io::Seek>(rig: &Rig, writer: &mut mcap::Writer<W>) -> mcap::McapResult<Self> {
        Ok(Self {
            topics: rig.sensors.iter().map(|sensor| sensor.key.clone()).collect(),
            payloads: vec![HashMap::new(); rig.sensors.len()],
            decisions: writer.add_channel(0, &decisions_topic(&rig.name), "json", &BTreeMap::new())?,
        })
    }

    /// The channel of a payload; an encoding too many is replaced, in `encoding` too, so that live and replay agree.
    fn of_payload<W: std::io::Write + std::io::Seek>(
        &mut self,
        sensor: usize,
        encoding: &mut String,
        writer: &mut mcap::Writer<W>,
    ) -> mcap::McapResult<u16> {
        let known = &mut self.payloads[sensor];
        if let Some(channel) = known.get(encoding.as_str()) {
            return Ok(*channel);
        }
        if known.len() >= ENCODINGS_PER_SENSOR {
            OTHER_ENCODING.clone_into(encoding);
        }
        let metadata = BTreeMap::from([(ENCODING.to_owned(), encoding.clone())]);
        let shown = if encoding.ends_with("json") { "json" } else { encoding.as_str() };
        let channel = writer.add_channel(0, &self.topics[sensor], shown, &metadata)?;
        known.insert(encoding.clone(), channel);
        Ok(channel)
    }
}

/// No compression: samples are mostly noise in their low bits, and the segment must keep up with a whole lab. No summary
/// either: its indexes grow in memory with every sync, and readers fall back to reading the file in order, as we do.
fn options() -> WriteOptions {
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
}

fn heads(rig: &str, first: i64, texts: &Texts) -> [Metadata; 2] {
    let fields = [("format", FORMAT.to_owned()), ("rig", rig.to_owned()), ("first_position", first.to_string())];
    let head = fields.map(|(key, value)| (key.to_owned(), value)).into();
    [Metadata { name: HEAD.to_owned(), metadata: head }, Metadata { name: TEXTS.to_owned(), metadata: texts.clone() }]
}

fn decision_json(decision: &Decision) -> Vec<u8> {
    serde_json::to_vec(decision).expect("a decision has only text keys and finite numbers, which JSON always takes")
}

fn take_lock(directory: &Path) -> Result<File, RecordingError> {
    let path = directory.join("writer.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(RecordingError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RecordingError::Locked { directory: directory.to_owned() }),
        Err(TryLockError::Error(source)) => Err(RecordingError::Io { path, source }),
    }
}

/// Position and log time of the last whole message, over all segments.
fn last_message(directory: &Path) -> Result<Option<(i64, TimeNs)>, RecordingError> {
    for segment in segments(directory)?.into_iter().rev() {
        let mut reader = SegmentReader::open(&segment.path)?;
        let mut last = None;
        let mut position = segment.first;
        while let Some(message) = reader.next()? {
            last = Some((position, i64::try_from(message.header.log_time).unwrap_or(i64::MAX)));
            position += 1;
        }
        if last.is_some() {
            // What a crashed process wrote may still be in memory alone; what comes after it must not outlive it.
            File::open(&segment.path).and_then(|file| file.sync_all()).map_err(RecordingError::io(&segment.path))?;
            return Ok(last);
        }
    }
    Ok(None)
}
