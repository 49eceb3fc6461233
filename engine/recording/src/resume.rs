//! Where does a recording go on after a stop or a crash?

use std::path::PathBuf;

use proprio_core::time::TimeNs;
use proprio_core::{Decision, Event};

use crate::format::{self, End, SessionHead};
use crate::segment::{Ending, Segment, SegmentReader, read_end, segments};
use crate::{Disk, RecordingError};

/// What a recorder takes over.
#[derive(Default)]
pub(crate) struct Resume {
    pub next_position: i64,
    pub last_log_time_ns: TimeNs,
    /// The session that was open.
    pub session: Option<SessionHead>,
    /// The segment with the last message.
    pub last: Option<LastSegment>,
}

/// A segment that may need an end.
pub(crate) struct LastSegment {
    pub path: PathBuf,
    pub first_position: i64,
    /// Length that counts.
    pub whole_bytes: u64,
    /// What must be appended there.
    pub end: Vec<u8>,
}

/// Finds the last whole message of a rig's recording. Nothing is changed.
///
/// # Errors
/// When the folder or a segment cannot be read, or what was durable once is damaged.
pub(crate) fn resume(disk: &dyn Disk, rig: &str) -> Result<Resume, RecordingError> {
    let mut later: Option<Segment> = None;
    for segment in segments(disk, rig)?.into_iter().rev() {
        let mut reader = SegmentReader::open(disk, rig, &segment)?;
        let found = match read_end(disk, &segment.path)? {
            Some(end) => reader.head.take().map(|head| (end, head.session, None)),
            None => scan(disk, rig, &segment, reader)?,
        };
        if let Some((end, session, whole_bytes)) = found {
            let next_position = end.last_position + 1;
            if let Some(Segment { first, path }) = later.filter(|later| later.first != next_position) {
                return Err(RecordingError::Gap { path, expected: next_position, found: first });
            }
            let (whole_bytes, bytes) = match whole_bytes {
                Some(whole_bytes) => (whole_bytes, end.bytes()),
                None => (disk.length(&segment.path).map_err(RecordingError::io(&segment.path))?, Vec::new()),
            };
            let last = LastSegment { path: segment.path, first_position: segment.first, whole_bytes, end: bytes };
            let session = session.filter(|_| end.session_open);
            return Ok(Resume { next_position, last_log_time_ns: end.last_log_time_ns, session, last: Some(last) });
        }
        // Without a whole message nothing of it was ever durable, and the next segment takes its name.
        later = Some(segment);
    }
    match later {
        Some(Segment { first, path }) if first != 0 => Err(RecordingError::Gap { path, expected: 0, found: first }),
        _ => Ok(Resume::default()),
    }
}

/// Reads a segment without a regular end: the end it should have, its session, and the length up to it; none without a message.
#[expect(clippy::type_complexity, reason = "a tuple that one caller takes apart")]
fn scan(
    disk: &dyn Disk,
    rig: &str,
    segment: &Segment,
    mut reader: SegmentReader,
) -> Result<Option<(End, Option<SessionHead>, Option<u64>)>, RecordingError> {
    let decisions = format::decisions_topic(rig);
    let mut session = reader.head.as_ref().and_then(|head| head.session.clone());
    let mut end = End { last_position: segment.first - 1, last_log_time_ns: 0, session_open: session.is_some() };
    while let Some(message) = reader.next()? {
        end.last_position += 1;
        end.last_log_time_ns = i64::try_from(message.header.log_time).unwrap_or(i64::MAX);
        if message.channel.topic == decisions {
            let decision = serde_json::from_slice::<Decision>(&message.data).map_err(|error| RecordingError::Corrupt {
                path: segment.path.clone(),
                position: end.last_position,
                detail: error.to_string(),
            })?;
            end.session_open &= decision != Decision::SessionStop;
            if let Some(begun) = SessionHead::of(&Event::Decision(decision), end.last_position) {
                session = Some(begun);
            }
        }
    }
    if let Some(Ending::Torn { detail, .. }) = &reader.ending {
        if !reader.is_tail(disk)? {
            let detail = detail.clone();
            return Err(RecordingError::Damaged { path: segment.path.clone(), position: end.last_position + 1, detail });
        }
        let torn_bytes = disk.length(&segment.path).map_err(RecordingError::io(&segment.path))? - reader.whole_bytes;
        tracing::warn!(segment = %segment.path.display(), torn_bytes, last_position = end.last_position, "the last segment has no regular end: {detail}; it goes on after its last whole message");
    }
    Ok((reader.whole_bytes > 0).then_some((end, session, Some(reader.whole_bytes))))
}
