//! How do messages leave a recording, such that positions go on without them?

use std::collections::BTreeSet;

use proprio_core::time::TimeNs;

use crate::amendments;
use crate::disk::write_whole;
use crate::format::{self, End, Gone, Head, Texts};
use crate::segment::{Segment, SegmentReader, read_end, segments};
use crate::snapshots::forget_snapshots;
use crate::{Disk, RecordingError};

/// What was replaced by a stub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// The session, when the segment belonged to one.
    pub session: Option<String>,
    /// Position of the segment's first message.
    pub first_position: i64,
    /// Position of its last message.
    pub last_position: i64,
    /// How long the file was.
    pub bytes: u64,
}

/// Replaces the segments of sessions by stubs that hold positions and the last log time and nothing else, and removes their
/// amendments and the snapshots taken in them. Each segment is replaced whole or not at all; what a crash leaves, a second call ends.
///
/// # Errors
/// When one of the sessions is in the segment that a writer has open, or the disk refuses.
pub fn forget(disk: &dyn Disk, rig: &str, sessions: &BTreeSet<String>) -> Result<Vec<Forgotten>, RecordingError> {
    let is_theirs = |head: &Head| head.session.as_ref().is_some_and(|session| sessions.contains(&session.id));
    let path = format::lock_path(rig);
    // Held, so that no writer begins meanwhile; a writer that is there already has the last segment open.
    let lock = disk.lock(&path).map_err(RecordingError::io(&path))?;
    let (mut theirs, last) = (Vec::new(), segments(disk, rig)?.last().map(|segment| segment.first));
    for (segment, next, head) in headed(disk, rig)? {
        if is_theirs(&head) {
            if lock.is_none() && last == Some(segment.first) && read_end(disk, &segment.path)?.is_none() {
                let session = head.session.map(|session| session.id).unwrap_or_default();
                return Err(RecordingError::SessionOpen { session });
            }
            theirs.push((segment, next, head));
        }
    }
    // First, since a snapshot without its segments says more of a person than the reverse.
    forget_snapshots(disk, rig, sessions)?;
    let _amendments = amendments::lock(disk, rig)?;
    amendments::forget_amendments(disk, rig, is_theirs)?;
    let mut forgotten = Vec::new();
    for (segment, next, head) in theirs {
        let stub = Head { sensors: Vec::new(), session: None, texts: Texts::new(), gone: Some(Gone::Forgotten), ..head.clone() };
        let end = end_of(disk, rig, &segment, next)?;
        if end.last_position < segment.first {
            remove_empty(disk, rig, &segment)?;
        } else {
            forgotten.push(replace(disk, &segment, &head, &stub, end)?);
        }
    }
    Ok(forgotten)
}

/// Replaces regularly ended segments whose last message is older than a log time by stubs that keep the session, so that the
/// session is still listed. The last segment stays.
///
/// # Errors
/// When the disk refuses.
pub fn retain(disk: &dyn Disk, rig: &str, older_than_ns: TimeNs) -> Result<Vec<Forgotten>, RecordingError> {
    let mut forgotten = Vec::new();
    for (segment, next, head) in headed(disk, rig)? {
        let Some(end) = read_end(disk, &segment.path)?.filter(|end| end.last_log_time_ns < older_than_ns) else { continue };
        if head.gone.is_none() && next.is_some() {
            let stub = Head { texts: Texts::new(), gone: Some(Gone::Retention), ..head.clone() };
            forgotten.push(replace(disk, &segment, &head, &stub, end)?);
        }
    }
    Ok(forgotten)
}

/// Every segment with a whole head, with the first position of the next.
fn headed(disk: &dyn Disk, rig: &str) -> Result<Vec<(Segment, Option<i64>, Head)>, RecordingError> {
    let all = segments(disk, rig)?;
    let mut headed = Vec::new();
    for (index, segment) in all.iter().enumerate() {
        if let Some(head) = SegmentReader::open(disk, rig, segment)?.head {
            headed.push((segment.clone(), all.get(index + 1).map(|next| next.first), head));
        }
    }
    Ok(headed)
}

/// The end of a segment, be it torn or damaged: where the next one begins, the positions up to there are its own.
fn end_of(disk: &dyn Disk, rig: &str, segment: &Segment, next: Option<i64>) -> Result<End, RecordingError> {
    if let Some(end) = read_end(disk, &segment.path)? {
        return Ok(End { session_open: false, ..end });
    }
    let mut reader = SegmentReader::open(disk, rig, segment)?;
    let first_log_time_ns = reader.head.as_ref().map_or(0, |head| head.first_log_time_ns);
    let mut end = End { last_position: segment.first - 1, last_log_time_ns: first_log_time_ns, session_open: false };
    while let Some(message) = reader.next()? {
        end.last_position += 1;
        end.last_log_time_ns = i64::try_from(message.header.log_time).unwrap_or(i64::MAX);
    }
    end.last_position = next.map_or(end.last_position, |next| next - 1);
    Ok(end)
}

/// What a crash left of a first block names a person too, but no position: the next segment takes its name.
fn remove_empty(disk: &dyn Disk, rig: &str, segment: &Segment) -> Result<(), RecordingError> {
    disk.remove(&segment.path).and_then(|()| disk.sync_folder(&format::directory(rig))).map_err(RecordingError::io(&segment.path))
}

fn replace(disk: &dyn Disk, segment: &Segment, head: &Head, stub: &Head, end: End) -> Result<Forgotten, RecordingError> {
    let bytes = disk.length(&segment.path).map_err(RecordingError::io(&segment.path))?;
    write_whole(disk, &segment.path, &format::stub(stub, &end)).map_err(RecordingError::io(&segment.path))?;
    Ok(Forgotten {
        session: head.session.as_ref().map(|session| session.id.clone()),
        first_position: segment.first,
        last_position: end.last_position,
        bytes,
    })
}
