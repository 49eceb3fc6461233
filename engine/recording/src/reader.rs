//! How a recording is read back, over all its segments, as the messages the worker saw.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::vec;

use proprio_core::{Decision, Event, Recorded, Rig};

use crate::RecordingError;
use crate::recorder::decisions_topic;
use crate::segment::{ENCODING, HEAD, RawMessage, Segment, SegmentReader, TEXTS, segments};

/// What stands at the head of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Position of the segment's first message.
    pub first_position: i64,
    /// The rig's name.
    pub rig: String,
    /// Full texts by name, such as `rig.yaml` and `pipeline.yaml`.
    pub texts: BTreeMap<String, String>,
}

/// Every whole message of the recording in `<data>/recording/<rig>/`, in the order of positions.
///
/// A segment without a regular end gives its whole messages. After an error the iterator ends.
///
/// # Errors
/// When the folder cannot be listed; a folder that is not there is an empty recording.
pub fn read(data: &Path, rig: &Rig) -> Result<Recording, RecordingError> {
    let directory = crate::recorder::directory(data, &rig.name);
    let topics = rig.sensors.iter().enumerate().map(|(index, sensor)| (sensor.key.clone(), index)).collect();
    Ok(Recording { segments: segments(&directory)?.into_iter(), current: None, topics, decisions: decisions_topic(&rig.name), next: None })
}

/// The heads of a recording's segments, in the order of positions.
///
/// # Errors
/// When the folder or a segment cannot be read.
pub fn head(data: &Path, rig: &str) -> Result<Vec<Head>, RecordingError> {
    let read_one = |segment: Segment| {
        let mut reader = SegmentReader::open(&segment.path)?;
        reader.next()?;
        let rig = reader.metadata.get(HEAD).and_then(|fields| fields.get("rig")).cloned().unwrap_or_default();
        Ok(Head { first_position: segment.first, rig, texts: reader.metadata.remove(TEXTS).unwrap_or_default() })
    };
    segments(&crate::recorder::directory(data, rig))?.into_iter().map(read_one).collect()
}

/// The iterator of [`read`].
pub struct Recording {
    segments: vec::IntoIter<Segment>,
    current: Option<(PathBuf, SegmentReader)>,
    topics: HashMap<String, usize>,
    decisions: String,
    /// The position that is due; none before the first segment.
    next: Option<i64>,
}

impl Recording {
    fn advance(&mut self) -> Result<Option<Recorded>, RecordingError> {
        loop {
            let Some((path, reader)) = &mut self.current else {
                let Some(segment) = self.segments.next() else { return Ok(None) };
                let expected = self.next.unwrap_or(segment.first);
                if expected != segment.first {
                    return Err(RecordingError::Gap { path: segment.path, expected, found: segment.first });
                }
                self.next = Some(expected);
                self.current = Some((segment.path.clone(), SegmentReader::open(&segment.path)?));
                continue;
            };
            let position = self.next.unwrap_or_default();
            if let Some(message) = reader.next()? {
                self.next = Some(position + 1);
                return recorded(path, position, message, &self.topics, &self.decisions).map(Some);
            }
            self.current = None;
        }
    }
}

impl Iterator for Recording {
    type Item = Result<Recorded, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.advance().transpose();
        if !matches!(item, Some(Ok(_))) {
            self.current = None;
            self.segments = Vec::new().into_iter();
        }
        item
    }
}

fn recorded(
    path: &Path,
    position: i64,
    message: RawMessage<'_>,
    topics: &HashMap<String, usize>,
    decisions: &str,
) -> Result<Recorded, RecordingError> {
    let corrupt = |detail: String| RecordingError::Corrupt { path: path.to_owned(), position, detail };
    if message.header.sequence != position as u32 {
        return Err(corrupt(format!("its sequence is {}", message.header.sequence)));
    }
    let log_time_ns = i64::try_from(message.header.log_time).map_err(|_| corrupt("its log time is beyond the year 2262".to_owned()))?;
    let event = if message.channel.topic == decisions {
        let decision: Decision = serde_json::from_slice(&message.data).map_err(|error| corrupt(error.to_string()))?;
        Event::Decision(decision)
    } else {
        let topic = &message.channel.topic;
        let Some(&sensor) = topics.get(topic) else {
            return Err(RecordingError::UnknownTopic { path: path.to_owned(), position, topic: topic.clone() });
        };
        let encoding = message.channel.metadata.get(ENCODING).cloned().unwrap_or_default();
        Event::Payload { sensor, encoding, payload: message.data }
    };
    Ok(Recorded { position, log_time_ns, event })
}
