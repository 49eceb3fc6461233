//! Which segments are there, and how are one's whole messages read?

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::{io, vec};

use mcap::records::{MessageHeader, Metadata, Record, op};
use mcap::sans_io::{LinearReadEvent, LinearReader, LinearReaderOptions};

use crate::committer::UNSYNCED_BYTES;
use crate::format::{self, ENCODING, End, HEAD, Head, TEXTS};
use crate::records::{Framed, Records};
use crate::{Disk, RecordingError};

/// A segment file.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub first: i64,
    pub path: PathBuf,
}

/// The segments of a rig, in the order of their positions; none when the folder is not there.
pub(crate) fn segments(disk: &dyn Disk, rig: &str) -> Result<Vec<Segment>, RecordingError> {
    let directory = format::directory(rig);
    let names = disk.list(&directory).map_err(RecordingError::io(&directory))?;
    let first = |name: &String| name.strip_suffix(".mcap")?.parse().ok();
    let mut found: Vec<_> = names.iter().filter_map(first).map(|first| Segment { first, path: path(rig, first) }).collect();
    found.sort_by_key(|segment| segment.first);
    Ok(found)
}

/// Where the segment that begins at `first` lies. Twenty digits, so that a listing sorts by position.
pub(crate) fn path(rig: &str, first: i64) -> PathBuf {
    format::directory(rig).join(format!("{first:020}.mcap"))
}

/// What stands at the end of a segment; none when it has no regular one. Reads only that.
pub(crate) fn read_end(disk: &dyn Disk, path: &Path) -> Result<Option<End>, RecordingError> {
    let length = disk.length(path).map_err(RecordingError::io(path))?;
    let expected = End { last_position: 0, last_log_time_ns: 0, session_open: false }.bytes().len();
    let Some(from) = length.checked_sub(expected as u64) else { return Ok(None) };
    let mut bytes = Vec::new();
    disk.read(path, from).and_then(|mut file| io::Read::read_to_end(&mut file, &mut bytes)).map_err(RecordingError::io(path))?;
    Ok(End::parse(&bytes))
}

/// The head of a segment with a message or a regular end, and that end; none for what a crash left of a first block.
pub(crate) fn read_head(disk: &dyn Disk, rig: &str, segment: &Segment) -> Result<Option<(Head, Option<End>)>, RecordingError> {
    let mut reader = SegmentReader::open(disk, rig, segment)?;
    let Some(head) = reader.head.take() else { return Ok(None) };
    let end = read_end(disk, &segment.path)?;
    let counts = end.is_some() || reader.next()?.is_some();
    Ok(counts.then_some((head, end)))
}

/// A message as it stands in the file.
pub(crate) struct RawMessage<'a> {
    pub header: MessageHeader,
    pub channel: &'a Channel,
    pub data: Vec<u8>,
}

/// What a channel of a segment carries.
pub(crate) struct Channel {
    pub topic: String,
    pub encoding: String,
}

/// How a segment ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As it should.
    Regular,
    /// Something else stands after its last whole chunk, or nothing.
    Torn {
        detail: String,
        /// Whether the file ended within a record.
        cut: bool,
    },
}

/// Reads a segment's whole messages from its start; a chunk counts whole or not at all.
pub(crate) struct SegmentReader {
    path: PathBuf,
    /// None when the file ends or is damaged before its head is whole.
    pub head: Option<Head>,
    records: Records,
    channels: HashMap<u16, Channel>,
    chunk: vec::IntoIter<(MessageHeader, Vec<u8>)>,
    /// Length up to the last whole chunk.
    pub whole_bytes: u64,
    /// Known once the messages are through.
    pub ending: Option<Ending>,
}

impl SegmentReader {
    /// Opens a segment and reads its head.
    ///
    /// # Errors
    /// When the file cannot be read, or its whole head is not of this rig and format.
    pub fn open(disk: &dyn Disk, rig: &str, segment: &Segment) -> Result<Self, RecordingError> {
        let path = segment.path.clone();
        let file = disk.read(&path, 0).map_err(RecordingError::io(&path))?;
        let mut reader = Self {
            head: None,
            records: Records::new(file),
            channels: HashMap::new(),
            chunk: Vec::new().into_iter(),
            whole_bytes: 0,
            ending: None,
            path,
        };
        let mut metadata: HashMap<String, BTreeMap<String, String>> = HashMap::new();
        while !metadata.contains_key(TEXTS) {
            match reader.record()? {
                None => return Ok(reader),
                Some(op::HEADER) => {}
                Some(op::METADATA) => match mcap::parse_record(op::METADATA, reader.records.body()) {
                    Ok(Record::Metadata(Metadata { name, metadata: fields })) => drop(metadata.insert(name, fields)),
                    _ => return Ok(reader.torn_head("a metadata record is damaged")),
                },
                Some(_) => return Ok(reader.torn_head("a record stands before the head")),
            }
        }
        let wrong = |detail| RecordingError::Segment { path: segment.path.clone(), detail };
        let fields = metadata.remove(HEAD).unwrap_or_default();
        let head = Head::parse(fields, metadata.remove(TEXTS).unwrap_or_default());
        let head = head.map_err(|format| wrong(format!("its format is `{format}`, which this build does not read")))?;
        let Some(head) = head else { return Ok(reader.torn_head("its head is damaged")) };
        if (head.rig.as_str(), head.first_position) != (rig, segment.first) {
            return Err(wrong(format!("it is segment {} of rig `{}`", head.first_position, head.rig)));
        }
        reader.head = Some(head);
        Ok(reader)
    }

    /// The next whole message.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next(&mut self) -> Result<Option<RawMessage<'_>>, RecordingError> {
        while self.ending.is_none() {
            if let Some((header, data)) = self.chunk.next() {
                let channel = self.channels.get(&header.channel_id).expect("a chunk's messages have channels, or it is not whole");
                return Ok(Some(RawMessage { header, channel, data }));
            }
            match self.record()? {
                None => {}
                Some(op::CHUNK) => match self.read_chunk() {
                    Ok(messages) => {
                        self.chunk = messages.into_iter();
                        self.whole_bytes = self.records.offset();
                    }
                    Err(detail) => self.end_torn(detail, false),
                },
                Some(op::METADATA) => {}
                // Beyond the data section stands nothing that we need.
                Some(op::DATA_END) => self.ending = Some(Ending::Regular),
                Some(other) => self.end_torn(format!("a record of kind {other:#04x} stands there"), false),
            }
        }
        Ok(None)
    }

    /// Whether the file ends as a crash leaves it: within a record, or with less after the last whole one than may lack a sync.
    /// Else what stands there was durable once and is damaged.
    ///
    /// # Errors
    /// When the file's length cannot be read.
    pub fn is_tail(&self, disk: &dyn Disk) -> Result<bool, RecordingError> {
        let length = disk.length(&self.path).map_err(RecordingError::io(&self.path))?;
        let cut = matches!(self.ending, Some(Ending::Torn { cut: true, .. }));
        Ok(cut || length.saturating_sub(self.records.offset()) <= UNSYNCED_BYTES)
    }

    /// Kind of the next record; none when the file is through.
    fn record(&mut self) -> Result<Option<u8>, RecordingError> {
        match self.records.next().map_err(RecordingError::io(&self.path))? {
            Framed::Record(kind) => return Ok(Some(kind)),
            Framed::Cut { sure } => self.end_torn("the file ends there".to_owned(), sure),
            Framed::Bad(detail) => self.end_torn(detail, false),
        }
        Ok(None)
    }

    fn end_torn(&mut self, detail: String, cut: bool) {
        self.ending = Some(Ending::Torn { detail, cut });
    }

    fn torn_head(mut self, detail: &str) -> Self {
        self.end_torn(detail.to_owned(), false);
        self
    }

    /// The messages of the chunk that was just read, after its checksum.
    fn read_chunk(&mut self) -> Result<Vec<(MessageHeader, Vec<u8>)>, String> {
        let options = LinearReaderOptions::default()
            .with_skip_start_magic(true)
            .with_skip_end_magic(true)
            .with_prevalidate_chunk_crcs(true)
            .with_record_length_limit(self.records.frame().len());
        let mut reader = LinearReader::new_with_options(options);
        let mut rest = self.records.frame();
        let mut messages = Vec::new();
        while let Some(event) = reader.next_event() {
            match event.map_err(|error| error.to_string())? {
                LinearReadEvent::ReadRequest(bytes) => {
                    let (now, later) = rest.split_at(bytes.min(rest.len()));
                    reader.insert(now.len()).copy_from_slice(now);
                    reader.notify_read(now.len());
                    rest = later;
                }
                LinearReadEvent::Record { opcode: opcode @ (op::CHANNEL | op::MESSAGE), data } => {
                    match mcap::parse_record(opcode, data).map_err(|error| error.to_string())? {
                        Record::Channel(mut channel) => {
                            let encoding = channel.metadata.remove(ENCODING).unwrap_or_default();
                            self.channels.insert(channel.id, Channel { topic: channel.topic, encoding });
                        }
                        Record::Message { header, data } if self.channels.contains_key(&header.channel_id) => {
                            messages.push((header, data.into_owned()));
                        }
                        _ => return Err("a message has no channel".to_owned()),
                    }
                }
                LinearReadEvent::Record { .. } => {}
            }
        }
        Ok(messages)
    }
}
