//! What was put right in a session after its end? Amendments: small segments beside the session's own, which rebuild sees.
//!
//! The amendment `n` of the session that begins at position `p` is the file `<p>.amendment.<n>.mcap`. It is written whole or not at
//! all, holds the texts that replace the session's (a corrected `rig.yaml`) and the decisions that were missing (a note, an
//! outcome of the day after), and is never changed; a later one adds to it. What the session's own segments hold stays as it is.

use std::path::{Path, PathBuf};

use mcap::records::MessageHeader;
use proprio_core::time::TimeNs;
use proprio_core::{Decision, Event, Rig};

use crate::disk::{TEMPORARY, write_whole};
use crate::encoder::Encoder;
use crate::format::{self, End, Head, SessionHead, Texts};
use crate::segment::{Ending, Segment, SegmentReader};
use crate::{Disk, Lock, RecordingError, SessionEntry};

/// Texts of an amendment that say who made it and why; the others replace those of the session.
const WHO: &str = "who";
const WHY: &str = "why";
/// What stands in an amendment's file name between the session's position and its number.
const INFIX: &str = ".amendment.";

/// What was put right at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Amendment {
    /// When it was entered.
    pub entered_ns: TimeNs,
    /// Who entered it.
    pub who: Option<String>,
    /// Why.
    pub why: Option<String>,
    /// Texts in place of the session's, by name.
    pub texts: Texts,
    /// What was missing, in the order in which the worker sees it, right before the session's stop.
    pub decisions: Vec<Decision>,
}

/// Adds an amendment to the ended session that begins at a position; returns its number, from 1. It is durable then.
///
/// # Errors
/// When the session is open or its recording is gone, another process is amending, or the disk refuses.
pub fn amend(disk: &dyn Disk, rig: &str, session_position: i64, amendment: &Amendment) -> Result<u32, RecordingError> {
    let _lock = lock(disk, rig)?;
    let session = crate::sessions(disk, rig)?.into_iter().find(|entry| entry.first_position == session_position);
    let session = session.filter(|session| session.gone.is_none()).ok_or(RecordingError::SessionGone { position: session_position })?;
    if session.last.is_none() {
        return Err(RecordingError::SessionOpen { session: session.id });
    }
    let before = files(disk, rig)?.into_iter().filter(|file| file.first == session_position).map(|file| file.number).max();
    let number = before.unwrap_or(0) + 1;
    let path = path(rig, session_position, number);
    write_whole(disk, &path, &encode(rig, &session, amendment)).map_err(RecordingError::io(&path))?;
    Ok(number)
}

/// The amendments of the session that begins at a position, in their order.
///
/// # Errors
/// When the folder or a file can't be read, or a file is damaged.
pub fn amendments(disk: &dyn Disk, rig: &str, session_position: i64) -> Result<Vec<Amendment>, RecordingError> {
    let files = files(disk, rig)?;
    files.iter().filter(|file| file.first == session_position).map(|file| read(disk, rig, file)).collect()
}

/// Removes the amendments of sessions, and what a crash left of any; under the [`lock`].
pub(crate) fn forget_amendments(disk: &dyn Disk, rig: &str, is_theirs: impl Fn(&Head) -> bool) -> Result<(), RecordingError> {
    let directory = format::directory(rig);
    let names = disk.list(&directory).map_err(RecordingError::io(&directory))?;
    let mut gone: Vec<PathBuf> =
        names.iter().filter(|name| name.contains(INFIX) && name.ends_with(TEMPORARY)).map(|name| directory.join(name)).collect();
    for file in files(disk, rig)? {
        let head = SegmentReader::open(disk, rig, &file.segment())?.head;
        if head.as_ref().is_some_and(&is_theirs) {
            gone.push(file.path);
        }
    }
    gone.iter().try_for_each(|path| disk.remove(path).map_err(RecordingError::io(path)))?;
    if gone.is_empty() { Ok(()) } else { disk.sync_folder(&directory).map_err(RecordingError::io(&directory)) }
}

/// A file of an amendment.
struct File {
    first: i64,
    number: u32,
    path: PathBuf,
}

impl File {
    fn segment(&self) -> Segment {
        Segment { first: self.first, path: self.path.clone() }
    }
}

fn path(rig: &str, first: i64, number: u32) -> PathBuf {
    format::directory(rig).join(format!("{first:020}{INFIX}{number:04}.mcap"))
}

/// Held while amendments are written or removed, so that each has a number of its own and none outlives its session.
pub(crate) fn lock(disk: &dyn Disk, rig: &str) -> Result<Lock, RecordingError> {
    let path: &Path = &format::directory(rig).join("amendments.lock");
    disk.lock(path).map_err(RecordingError::io(path))?.ok_or_else(|| RecordingError::Amending { directory: format::directory(rig) })
}

fn files(disk: &dyn Disk, rig: &str) -> Result<Vec<File>, RecordingError> {
    let directory = format::directory(rig);
    let names = disk.list(&directory).map_err(RecordingError::io(&directory))?;
    let file = |name: &String| {
        let (first, number) = name.strip_suffix(".mcap")?.split_once(INFIX)?;
        Some(File { first: first.parse().ok()?, number: number.parse().ok()?, path: directory.join(name) })
    };
    let mut files: Vec<File> = names.iter().filter_map(file).collect();
    files.sort_by_key(|file| (file.first, file.number));
    Ok(files)
}

fn encode(rig: &str, session: &SessionEntry, amendment: &Amendment) -> Vec<u8> {
    let Amendment { entered_ns, who, why, texts, decisions } = amendment;
    let said = [(WHO, who), (WHY, why)].into_iter().filter_map(|(name, text)| Some((name.to_owned(), text.clone()?)));
    let head = Head {
        first_position: session.first_position,
        first_log_time_ns: *entered_ns,
        rig: rig.to_owned(),
        sensors: Vec::new(),
        session: Some(SessionHead {
            id: session.id.clone(),
            subject: session.subject.clone(),
            task: session.task.clone(),
            from_ns: session.from_ns,
            start_position: session.first_position,
        }),
        texts: texts.clone().into_iter().chain(said).collect(),
        gone: None,
    };
    let mut encoder = Encoder::begin(PathBuf::new(), &Rig { name: rig.to_owned(), sensors: Vec::new() }, &head);
    let log_time = u64::try_from(*entered_ns).unwrap_or(0);
    for (decision, sequence) in decisions.iter().zip(0..) {
        let stamp = MessageHeader { channel_id: 0, sequence, log_time, publish_time: log_time };
        encoder.write(&mut Event::Decision(decision.clone()), stamp);
    }
    let last_position = session.first_position + decisions.len() as i64 - 1;
    let mut bytes = encoder.take();
    bytes.extend(encoder.end(&End { last_position, last_log_time_ns: *entered_ns, session_open: false }));
    bytes
}

fn read(disk: &dyn Disk, rig: &str, file: &File) -> Result<Amendment, RecordingError> {
    let damaged = |detail: String| RecordingError::Segment { path: file.path.clone(), detail };
    let mut reader = SegmentReader::open(disk, rig, &file.segment())?;
    let head = reader.head.take().ok_or_else(|| damaged("its head is damaged".to_owned()))?;
    let mut decisions = Vec::new();
    while let Some(message) = reader.next()? {
        decisions.push(serde_json::from_slice(&message.data).map_err(|error| damaged(error.to_string()))?);
    }
    if let Some(Ending::Torn { detail, .. }) = reader.ending {
        return Err(damaged(detail));
    }
    let mut texts = head.texts;
    let (who, why) = (texts.remove(WHO), texts.remove(WHY));
    Ok(Amendment { entered_ns: head.first_log_time_ns, who, why, texts, decisions })
}
