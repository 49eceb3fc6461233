//! What a segment file is called, and how its raw messages are read, whole ones only.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use mcap::records::{Channel, MessageHeader, Metadata, Record, op};
use mcap::sans_io::{LinearReadEvent, LinearReader, LinearReaderOptions};

use crate::RecordingError;

/// Name of the metadata record at a segment's head: format, rig and first position.
pub(crate) const HEAD: &str = "proprio.segment";
/// Name of the metadata record with the full texts.
pub(crate) const TEXTS: &str = "proprio.texts";
/// Key of the channel metadata that holds the zenoh encoding.
pub(crate) const ENCODING: &str = "encoding";
/// The format of a segment.
pub(crate) const FORMAT: &str = "1";
/// No record of ours is longer; what claims to be is a torn tail, and must not be allocated.
const LONGEST_RECORD: usize = 256 << 20;

/// A segment file.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub first: i64,
    pub path: PathBuf,
}

/// The segments of a rig's folder, in the order of their positions; none when the folder is not there.
pub(crate) fn segments(directory: &Path) -> Result<Vec<Segment>, RecordingError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(RecordingError::Io { path: directory.to_owned(), source }),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(RecordingError::io(directory))?.path();
        let first = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<i64>().ok());
        if let (Some(first), Some("mcap")) = (first, path.extension().and_then(|extension| extension.to_str())) {
            found.push(Segment { first, path });
        }
    }
    found.sort_by_key(|segment| segment.first);
    Ok(found)
}

/// Where the segment that begins at `first` lies. Twenty digits, so that a listing sorts by position.
pub(crate) fn path(directory: &Path, first: i64) -> PathBuf {
    directory.join(format!("{first:020}.mcap"))
}

/// A message as it stands in the file.
pub(crate) struct RawMessage<'a> {
    pub header: MessageHeader,
    pub channel: &'a Channel,
    pub data: Vec<u8>,
}

/// Reads a segment's whole messages from its start. The end of the file, a torn tail and a damaged chunk all end it.
pub(crate) struct SegmentReader {
    path: PathBuf,
    file: File,
    reader: LinearReader,
    channels: HashMap<u16, Channel>,
    /// Metadata records seen so far, by name.
    pub metadata: HashMap<String, BTreeMap<String, String>>,
    done: bool,
}

impl SegmentReader {
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        // Chunks are checked as a whole, so a torn one gives none of its messages: every reader sees the same end.
        let options = LinearReaderOptions::default()
            .with_skip_end_magic(true)
            .with_prevalidate_chunk_crcs(true)
            .with_record_length_limit(LONGEST_RECORD);
        Ok(Self {
            path: path.to_owned(),
            file: File::open(path).map_err(RecordingError::io(path))?,
            reader: LinearReader::new_with_options(options),
            channels: HashMap::new(),
            metadata: HashMap::new(),
            done: false,
        })
    }

    /// The next whole message.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next(&mut self) -> Result<Option<RawMessage<'_>>, RecordingError> {
        let found = self.advance()?;
        Ok(found.and_then(|(header, data)| self.channels.get(&header.channel_id).map(|channel| RawMessage { header, channel, data })))
    }

    fn advance(&mut self) -> Result<Option<(MessageHeader, Vec<u8>)>, RecordingError> {
        while !self.done {
            match self.reader.next_event() {
                None => self.done = true,
                Some(Err(end)) => self.end(&end),
                Some(Ok(LinearReadEvent::ReadRequest(bytes))) => {
                    let read = self.file.read(self.reader.insert(bytes)).map_err(RecordingError::io(&self.path))?;
                    self.reader.notify_read(read);
                }
                // Beyond the data section stands nothing that we need.
                Some(Ok(LinearReadEvent::Record { opcode: op::DATA_END, .. })) => self.done = true,
                Some(Ok(LinearReadEvent::Record { opcode, data })) if matches!(opcode, op::CHANNEL | op::MESSAGE | op::METADATA) => {
                    match mcap::parse_record(opcode, data) {
                        Ok(Record::Message { header, data }) if self.channels.contains_key(&header.channel_id) => {
                            return Ok(Some((header, data.into_owned())));
                        }
                        Ok(Record::Channel(channel)) => drop(self.channels.insert(channel.id, channel)),
                        Ok(Record::Metadata(Metadata { name, metadata })) => drop(self.metadata.insert(name, metadata)),
                        Ok(_) => self.done = true,
                        Err(end) => self.end(&end),
                    }
                }
                Some(Ok(LinearReadEvent::Record { .. })) => {}
            }
        }
        Ok(None)
    }

    fn end(&mut self, reason: &mcap::McapError) {
        tracing::info!(segment = %self.path.display(), %reason, "the segment has no regular end; its whole messages count");
        self.done = true;
    }
}
