//! How is a recording read back, as the messages that the worker saw, for the rig that reads it?

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proprio_core::time::TimeNs;
use proprio_core::{Decision, Event, Recorded, Rig};

use crate::format;
use crate::segment::{Ending, RawMessage, Segment, SegmentReader, read_end, read_head, segments};
use crate::{Disk, Head, RecordingError, SessionEntry};

/// What stands at a position.
#[derive(Clone, Debug, PartialEq)]
pub enum Read {
    /// A message, with the sensor's index in the rig that was given.
    Message(Recorded),
    /// A message of a sensor that the rig does not declare.
    Undeclared {
        /// Its position.
        position: i64,
        /// Its arrival.
        log_time_ns: TimeNs,
        /// The sensor's key.
        key: String,
    },
}

/// Reads a rig's recording from a position on, one segment after the other, whole messages only.
///
/// It sees the segments that were there when it was opened. It ends after the last of them, and after an error.
pub struct Reader {
    disk: Arc<dyn Disk>,
    rig: String,
    decisions: String,
    segments: VecDeque<Segment>,
    current: Option<Current>,
    /// How the segment before the current one was torn, when it was.
    torn: Option<(PathBuf, String)>,
    /// The position that is due.
    due: i64,
    from_position: i64,
}

struct Current {
    path: PathBuf,
    head: Head,
    reader: SegmentReader,
    /// Where each of the segment's sensors was last found in a rig.
    known: Vec<Option<usize>>,
}

impl Reader {
    /// Opens the recording of a rig at a position; at its end when the position is beyond it.
    ///
    /// # Errors
    /// When the folder cannot be listed, or the recording begins after the position.
    pub fn open(disk: &Arc<dyn Disk>, rig: &str, from_position: i64) -> Result<Self, RecordingError> {
        let mut segments: VecDeque<_> = segments(&**disk, rig)?.into();
        while segments.get(1).is_some_and(|second| second.first <= from_position) {
            segments.pop_front();
        }
        let due = segments.front().map_or(0, |segment| segment.first);
        if let Some(Segment { path, .. }) = segments.front().filter(|_| due > from_position) {
            return Err(RecordingError::Gap { path: path.clone(), expected: from_position, found: due });
        }
        Ok(Self {
            disk: disk.clone(),
            rig: rig.to_owned(),
            decisions: format::decisions_topic(rig),
            segments,
            current: None,
            torn: None,
            due,
            from_position,
        })
    }

    /// The next message, with sensors by their index in `rig`, which need not be the rig that was recorded: they are matched
    /// by key. None at the end.
    ///
    /// # Errors
    /// When a segment cannot be read, is damaged, or is missing.
    pub fn next(&mut self, rig: &Rig) -> Result<Option<Read>, RecordingError> {
        let read = self.advance(rig);
        if read.is_err() {
            self.current = None;
            self.segments.clear();
        }
        read
    }

    /// The head of the segment that the last message came from: its texts say what was running.
    pub fn head(&self) -> Option<&Head> {
        self.current.as_ref().map(|current| &current.head)
    }

    fn advance(&mut self, rig: &Rig) -> Result<Option<Read>, RecordingError> {
        loop {
            let Some(current) = &mut self.current else {
                let Some(segment) = self.segments.pop_front() else { return Ok(None) };
                self.begin(segment)?;
                continue;
            };
            let Some(message) = current.reader.next()? else {
                self.end()?;
                continue;
            };
            let position = self.due;
            self.due += 1;
            check_sequence(&current.path, position, message.header.sequence)?;
            if position >= self.from_position {
                return translate(&current.path, &current.head, &mut current.known, rig, position, message, &self.decisions).map(Some);
            }
        }
    }

    fn begin(&mut self, segment: Segment) -> Result<(), RecordingError> {
        if segment.first != self.due {
            return Err(match self.torn.take() {
                Some((path, detail)) => RecordingError::Damaged { path, position: self.due, detail },
                None => RecordingError::Gap { path: segment.path, expected: self.due, found: segment.first },
            });
        }
        let mut reader = SegmentReader::open(&*self.disk, &self.rig, &segment)?;
        let Some(head) = reader.head.take() else { return self.end_of(&segment.path, &reader) };
        if head.gone.is_some() {
            let end = read_end(&*self.disk, &segment.path)?;
            let end = end.ok_or_else(|| RecordingError::Segment { path: segment.path, detail: "the stub has no end".to_owned() })?;
            self.due = end.last_position + 1;
            return Ok(());
        }
        let known = vec![None; head.sensors.len()];
        self.current = Some(Current { path: segment.path, head, reader, known });
        Ok(())
    }

    fn end(&mut self) -> Result<(), RecordingError> {
        let Current { path, reader, .. } = self.current.take().expect("what ends was begun");
        self.end_of(&path, &reader)
    }

    /// A torn segment before the last one ended in a crash, and the next start went on after its whole messages: whether the
    /// positions fit shows when that one begins.
    fn end_of(&mut self, path: &Path, reader: &SegmentReader) -> Result<(), RecordingError> {
        self.torn = None;
        let Some(Ending::Torn { detail, .. }) = &reader.ending else { return Ok(()) };
        if self.segments.is_empty() && !reader.is_tail(&*self.disk)? {
            return Err(RecordingError::Damaged { path: path.to_owned(), position: self.due, detail: detail.clone() });
        }
        self.torn = Some((path.to_owned(), detail.clone()));
        Ok(())
    }
}

/// The heads of a recording's segments, in the order of positions.
///
/// # Errors
/// When the folder or a segment cannot be read, or a head is damaged.
pub fn heads(disk: &dyn Disk, rig: &str) -> Result<Vec<Head>, RecordingError> {
    read_heads(disk, rig, &segments(disk, rig)?)
}

/// The heads of a session's segments, in the order of positions. No other segment is opened.
///
/// # Errors
/// When the folder or a segment cannot be read, or a head is damaged.
pub fn heads_of(disk: &dyn Disk, rig: &str, session: &SessionEntry) -> Result<Vec<Head>, RecordingError> {
    // A crash may have left a head right after the last message.
    let end = session.last.map_or(i64::MAX, |last| last.position + 1);
    let mut segments = segments(disk, rig)?;
    segments.retain(|segment| (session.first_position..=end).contains(&segment.first));
    let mut heads = read_heads(disk, rig, &segments)?;
    heads.retain(|head| head.session.as_ref().is_some_and(|of| of.start_position == session.first_position));
    Ok(heads)
}

fn read_heads(disk: &dyn Disk, rig: &str, segments: &[Segment]) -> Result<Vec<Head>, RecordingError> {
    let head = |segment: &Segment| read_head(disk, rig, segment).map(|found| found.map(|(head, _)| head)).transpose();
    segments.iter().filter_map(head).collect()
}

fn check_sequence(path: &Path, position: i64, sequence: u32) -> Result<(), RecordingError> {
    if sequence == position as u32 {
        return Ok(());
    }
    Err(RecordingError::Corrupt { path: path.to_owned(), position, detail: format!("its sequence is {sequence}") })
}

/// A message with its sensor's index in the rig that reads.
fn translate(
    path: &Path,
    head: &Head,
    known: &mut [Option<usize>],
    rig: &Rig,
    position: i64,
    message: RawMessage<'_>,
    decisions: &str,
) -> Result<Read, RecordingError> {
    let corrupt = |detail: String| RecordingError::Corrupt { path: path.to_owned(), position, detail };
    let log_time_ns = i64::try_from(message.header.log_time).map_err(|_| corrupt("its log time is beyond the year 2262".to_owned()))?;
    let recorded = |event| Ok(Read::Message(Recorded { position, log_time_ns, event }));
    let mut event = if message.channel.topic == decisions {
        Event::Decision(serde_json::from_slice(&message.data).map_err(|error| corrupt(error.to_string()))?)
    } else {
        let topic = &message.channel.topic;
        let sensor = head.sensors.iter().position(|key| key == topic);
        let sensor = sensor.ok_or_else(|| corrupt(format!("`{topic}` is no sensor of the segment's rig")))?;
        Event::Payload { sensor, encoding: message.channel.encoding.clone(), payload: message.data }
    };
    let Some(sensor) = sensor_of(&mut event) else { return recorded(event) };
    let Some(key) = head.sensors.get(*sensor) else { return Err(corrupt(format!("the segment's rig has no sensor {sensor}"))) };
    let place = &mut known[*sensor];
    if place.and_then(|index| rig.sensors.get(index)).is_none_or(|found| found.key != *key) {
        *place = rig.sensors.iter().position(|declared| declared.key == *key);
    }
    let Some(index) = *place else { return Ok(Read::Undeclared { position, log_time_ns, key: key.clone() }) };
    *sensor = index;
    recorded(event)
}

/// The index of the sensor that a message is about.
pub(crate) fn sensor_of(event: &mut Event) -> Option<&mut usize> {
    match event {
        Event::Payload { sensor, .. }
        | Event::Decision(
            Decision::Idle { sensor }
            | Decision::Back { sensor }
            | Decision::Heartbeat { sensor }
            | Decision::Overflow { sensor, .. }
            | Decision::RoundTrip { sensor, .. },
        ) => Some(sensor),
        Event::Decision(
            Decision::SessionStart { .. }
            | Decision::SessionStop
            | Decision::Trial { .. }
            | Decision::Mark { .. }
            | Decision::Note { .. }
            | Decision::Outcome { .. }
            | Decision::Acknowledge { .. }
            | Decision::EngineStart { .. }
            | Decision::Reload { .. },
        ) => None,
    }
}
