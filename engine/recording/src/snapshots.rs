//! How are snapshots of a worker kept, and which one still counts?

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

use crate::disk::{TEMPORARY, write_whole};
use crate::{Disk, RecordingError};

/// What a snapshot begins with: its kind, and the format's number.
const MAGIC: &[u8] = b"PRPRSNP1";
/// Length of the checksum at its end.
const CHECKSUM: usize = 16;

/// The state of a worker at a position, as its owner encoded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The run that it belongs to.
    pub run_id: String,
    /// The session that was open.
    pub session: String,
    /// The position of the last message in it.
    pub position: i64,
    /// The state.
    pub state: Vec<u8>,
}

/// A snapshot's head, before its state.
#[derive(Serialize, Deserialize)]
struct SnapshotHead {
    run_id: String,
    session: String,
    position: i64,
    state_bytes: usize,
}

/// The snapshots of a rig, `snapshots/<rig>/<position>.snapshot`.
pub struct Snapshots {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    /// The newest position whose snapshot is known to be whole and ours.
    known: Option<i64>,
}

impl Snapshots {
    /// The snapshots of a rig.
    pub fn new(disk: Arc<dyn Disk>, rig: &str) -> Self {
        Self { disk, directory: directory(rig), known: None }
    }

    /// Writes a snapshot, whole or not at all, and removes all but it and the one before it.
    ///
    /// # Errors
    /// When the disk refuses. Earlier snapshots are then still there.
    pub fn write(&mut self, snapshot: &Snapshot) -> Result<(), RecordingError> {
        let path = self.path(snapshot.position);
        write_whole(&*self.disk, &path, &encode(snapshot)).map_err(RecordingError::io(&path))?;
        let before = self.known.filter(|known| *known != snapshot.position);
        self.known = Some(snapshot.position);
        // One too many takes room and harms nobody.
        if let Err(error) = self.prune(snapshot.position, before) {
            tracing::warn!(%error, "an older snapshot stays");
        }
        Ok(())
    }

    /// The newest whole snapshot of a run. Others that stand in its way are named in the log, and passed over.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn newest(&mut self, run_id: &str) -> Result<Option<Snapshot>, RecordingError> {
        for position in self.positions()?.into_iter().rev() {
            let path = self.path(position);
            match self.read(position) {
                Ok(Snapshot { run_id: other, .. }) if other != run_id => {
                    tracing::warn!(snapshot = %path.display(), run = other, "passed over a snapshot: it is another run's");
                }
                Ok(snapshot) => {
                    self.known = Some(position);
                    return Ok(Some(snapshot));
                }
                Err(reason) => tracing::warn!(snapshot = %path.display(), "passed over a snapshot: {reason}"),
            }
        }
        Ok(None)
    }

    /// The position of the newest whole snapshot, whichever run's it is: up to there every table holds its rows.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn newest_position(&self) -> Result<Option<i64>, RecordingError> {
        Ok(self.positions()?.into_iter().rev().find(|position| self.read(*position).is_ok()))
    }

    /// Keeps the newest, and before it the one known to be whole, or else the next: what is neither is older, torn, or of a
    /// recording that went on otherwise.
    fn prune(&self, newest: i64, known: Option<i64>) -> Result<(), RecordingError> {
        let before = known.or(self.positions()?.into_iter().filter(|position| *position < newest).max());
        let names = self.disk.list(&self.directory).map_err(RecordingError::io(&self.directory))?;
        for name in names.into_iter().filter(|name| is_ours(name)) {
            let position = position_of(&name);
            if position.is_none() || (position != Some(newest) && position != before) {
                remove(&*self.disk, &self.directory.join(name))?;
            }
        }
        Ok(())
    }

    /// The snapshot of a position, when it is whole and named right.
    fn read(&self, position: i64) -> Result<Snapshot, String> {
        let snapshot = read(&*self.disk, &self.path(position)).and_then(|bytes| decode(&bytes))?;
        if snapshot.position == position { Ok(snapshot) } else { Err(format!("its name is wrong: it is of {}", snapshot.position)) }
    }

    /// The positions that files are named by, in order.
    fn positions(&self) -> Result<Vec<i64>, RecordingError> {
        let names = self.disk.list(&self.directory).map_err(RecordingError::io(&self.directory))?;
        let mut positions: Vec<i64> = names.iter().filter_map(|name| position_of(name)).collect();
        positions.sort_unstable();
        Ok(positions)
    }

    fn path(&self, position: i64) -> PathBuf {
        self.directory.join(format!("{position:020}.snapshot"))
    }
}

/// Empties the snapshots of sessions, and those taken between sessions, which may still hold what the last one left: only their
/// position stays, which says up to where the tables are whole. Removes those that do not say whose they are.
pub(crate) fn forget_snapshots(disk: &dyn Disk, rig: &str, sessions: &BTreeSet<String>) -> Result<(), RecordingError> {
    let directory = directory(rig);
    let names = disk.list(&directory).map_err(RecordingError::io(&directory))?;
    let mut removed = false;
    for name in names.into_iter().filter(|name| is_ours(name)) {
        let path = directory.join(name);
        match read(disk, &path).and_then(|bytes| decode(&bytes)) {
            Ok(snapshot) if sessions.contains(&snapshot.session) || snapshot.session.is_empty() => {
                let empty = Snapshot { run_id: String::new(), session: String::new(), position: snapshot.position, state: Vec::new() };
                write_whole(disk, &path, &encode(&empty)).map_err(RecordingError::io(&path))?;
            }
            Ok(_) => {}
            Err(_) => {
                remove(disk, &path)?;
                removed = true;
            }
        }
    }
    if removed { disk.sync_folder(&directory).map_err(RecordingError::io(&directory)) } else { Ok(()) }
}

fn directory(rig: &str) -> PathBuf {
    Path::new("snapshots").join(rig)
}

fn is_ours(name: &str) -> bool {
    name.ends_with(".snapshot") || name.ends_with(TEMPORARY)
}

fn position_of(name: &str) -> Option<i64> {
    name.strip_suffix(".snapshot")?.parse().ok()
}

fn remove(disk: &dyn Disk, path: &Path) -> Result<(), RecordingError> {
    match disk.remove(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(RecordingError::Io { path: path.to_owned(), source }),
        _ => Ok(()),
    }
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = disk.read(path, 0).and_then(|mut file| file.read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| format!("it cannot be read: {error}"))
}

/// Magic, length of the head, head as JSON, state, and XXH3-128 over all of these.
fn encode(snapshot: &Snapshot) -> Vec<u8> {
    let head = SnapshotHead {
        run_id: snapshot.run_id.clone(),
        session: snapshot.session.clone(),
        position: snapshot.position,
        state_bytes: snapshot.state.len(),
    };
    let head = serde_json::to_vec(&head).expect("texts and numbers are JSON");
    let mut bytes = Vec::with_capacity(MAGIC.len() + 4 + head.len() + snapshot.state.len() + CHECKSUM);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&u32::try_from(head.len()).expect("a head is short").to_le_bytes());
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(&snapshot.state);
    bytes.extend_from_slice(&XxHash3_128::oneshot(&bytes).to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Result<Snapshot, String> {
    let torn = || "it is torn".to_owned();
    let rest = bytes.strip_prefix(MAGIC).ok_or("it is no snapshot of this format")?;
    let (checked, checksum) = bytes.split_last_chunk::<CHECKSUM>().ok_or_else(torn)?;
    if XxHash3_128::oneshot(checked) != u128::from_le_bytes(*checksum) {
        return Err("its checksum is wrong: it is torn or damaged".to_owned());
    }
    let (length, rest) = rest[..rest.len() - CHECKSUM].split_first_chunk::<4>().ok_or_else(torn)?;
    let (head, state) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(torn)?;
    let head: SnapshotHead = serde_json::from_slice(head).map_err(|error| format!("its head cannot be read: {error}"))?;
    if head.state_bytes != state.len() {
        return Err(torn());
    }
    Ok(Snapshot { run_id: head.run_id, session: head.session, position: head.position, state: state.to_vec() })
}
