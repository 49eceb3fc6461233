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
        if let Some(Found { end, session, last }) = find(disk, rig, &segment)? {
            let next_position = end.last_position + 1;
            if let Some(Segment { first, path }) = later.filter(|later| later.first != next_position) {
                return Err(RecordingError::Gap { path, expected: next_position, found: first });
            }
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

/// A segment with at least one whole message.
struct Found {
    end: End,
    session: Option<SessionHead>,
    last: LastSegment,
}

fn find(disk: &dyn Disk, rig: &str, segment: &Segment) -> Result<Option<Found>, RecordingError> {
    let reader = SegmentReader::open(disk, rig, segment)?;
    let last = |whole_bytes, end| LastSegment { path: segment.path.clone(), first_position: segment.first, whole_bytes, end };
    match (read_end(disk, &segment.path)?, &reader.head) {
        (Some(end), Some(head)) => {
            let whole_bytes = disk.length(&segment.path).map_err(RecordingError::io(&segment.path))?;
            Ok(Some(Found { end, session: head.session.clone(), last: last(whole_bytes, Vec::new()) }))
        }
        _ => Ok(scan(disk, rig, segment, reader)?.map(|(end, session, whole_bytes)| Found {
            end,
            session,
            last: last(whole_bytes, end.bytes()),
        })),
    }
}

/// Reads a segment without a regular end: the end it should have, its session, and the length up to there; none without a
/// whole message.
fn scan(
    disk: &dyn Disk,
    rig: &str,
    segment: &Segment,
    mut reader: SegmentReader,
) -> Result<Option<(End, Option<SessionHead>, u64)>, RecordingError> {
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
        let (segment, last_position) = (segment.path.display(), end.last_position);
        tracing::info!(%segment, torn_bytes, last_position, "no regular end: {detail}; the recording goes on after the last whole message");
    }
    Ok((reader.whole_bytes > 0).then_some((end, session, reader.whole_bytes)))
}
