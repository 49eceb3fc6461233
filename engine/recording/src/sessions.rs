//! Which sessions does a recording hold, and where?

use proprio_core::time::TimeNs;

use crate::format::{Gone, Texts};
use crate::segment::{read_head, segments};
use crate::{Disk, RecordingError};

/// A session of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionEntry {
    /// Identifier, unique in the rig.
    pub id: String,
    /// Pseudonym of the subject.
    pub subject: Option<String>,
    /// What was done.
    pub task: Option<String>,
    /// Where every watermark begins.
    pub from_ns: TimeNs,
    /// Position of its start.
    pub first_position: i64,
    /// Log time of its start.
    pub first_log_time_ns: TimeNs,
    /// Its last message, which is its stop when it was stopped; none while it is open.
    pub last: Option<Last>,
    /// How many segments it has.
    pub segments: usize,
    /// Texts of its first segment, by name; none when that is a stub.
    pub texts: Texts,
    /// Whether messages of it are gone, so that it no longer replays.
    pub gone: Option<Gone>,
}

/// The last message of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    /// Its position.
    pub position: i64,
    /// Its log time.
    pub log_time_ns: TimeNs,
}

/// The sessions of a recording in the order of their starts. Reads heads and ends, hardly a message.
///
/// # Errors
/// When the folder or a segment cannot be read, or a head is damaged.
pub fn sessions(disk: &dyn Disk, rig: &str) -> Result<Vec<SessionEntry>, RecordingError> {
    let mut found: Vec<SessionEntry> = Vec::new();
    // Whether the newest session goes on after the newest segment.
    let mut open = false;
    for segment in segments(disk, rig)? {
        let Some((head, end)) = read_head(disk, rig, &segment)? else { continue };
        let Some(session) = head.session else { continue };
        if found.last().is_none_or(|entry| entry.first_position != session.start_position) {
            found.push(SessionEntry {
                id: session.id,
                subject: session.subject,
                task: session.task,
                from_ns: session.from_ns,
                first_position: session.start_position,
                first_log_time_ns: head.first_log_time_ns,
                last: None,
                segments: 0,
                texts: head.texts,
                gone: None,
            });
        }
        let entry = found.last_mut().expect("it was just made sure of");
        entry.segments += 1;
        entry.gone = entry.gone.or(head.gone);
        entry.last = end.map(|end| Last { position: end.last_position, log_time_ns: end.last_log_time_ns });
        open = end.is_none_or(|end| end.session_open);
    }
    // Any earlier one ended at the latest where the next began.
    if let Some(newest) = found.last_mut().filter(|_| open) {
        newest.last = None;
    }
    Ok(found)
}
