//! A disk in memory that fills up, fails and dies, and that loses in a power cut what was not synced.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proprio_recording::{Disk, DiskFile, Lock};

use super::chance::Chance;

/// The disk; clones are the same one.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// What a running process sees.
    names: BTreeMap<PathBuf, Arc<Mutex<Content>>>,
    /// What a power cut leaves.
    durable_names: BTreeMap<PathBuf, Arc<Mutex<Content>>>,
    locks: BTreeSet<PathBuf>,
    /// No byte more is taken.
    full: bool,
    /// Syncs fail.
    sync_fails: bool,
    /// Operations until every one fails, for ever.
    dies_after: Option<u64>,
}

#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    synced: usize,
    /// What a power cut brings back: the content before it was cut shorter than what is synced.
    before_cut: Option<Vec<u8>>,
}

impl SimDisk {
    /// From now on no byte more is taken, or again.
    pub fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    /// From now on syncs fail, or succeed again.
    pub fn set_sync_fails(&self, fails: bool) {
        self.state().sync_fails = fails;
    }

    /// After so many operations more, every one fails.
    pub fn dies_after(&self, operations: u64) {
        self.state().dies_after = Some(operations);
    }

    /// A power cut: what was not synced is lost, in whole or in part, and what was is there.
    pub fn lose_power(&self, chance: &mut Chance) {
        let mut state = self.state();
        // Names of a folder reach the disk together here; which ones do is the file system's choice.
        if chance.happens(0.5) {
            state.names = state.durable_names.clone();
        }
        for content in state.names.values() {
            content.lock().unwrap_or_else(PoisonError::into_inner).lose_power(chance);
        }
        state.durable_names = state.names.clone();
        state.locks.clear();
        (state.full, state.sync_fails, state.dies_after) = (false, false, None);
    }

    /// Turns bits of the newest file in a folder.
    pub fn damage_newest(&self, folder: &Path, chance: &mut Chance) {
        let state = self.state();
        let Some((_, content)) = state.names.iter().rfind(|(path, _)| path.parent() == Some(folder)) else { return };
        let mut content = content.lock().unwrap_or_else(PoisonError::into_inner);
        let length = content.bytes.len();
        if length > 0 {
            content.bytes[chance.index(length)] ^= 1 << chance.index(8);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation; refuses it when the disk is dead.
    fn operate(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        match &mut state.dies_after {
            Some(0) => return Err(io::Error::other("the disk is dead")),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(state)
    }

    fn content(&self, file: &Path) -> io::Result<Arc<Mutex<Content>>> {
        self.operate()?.names.get(file).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

impl Content {
    fn lose_power(&mut self, chance: &mut Chance) {
        if let Some(before) = self.before_cut.take() {
            self.bytes = before;
        } else {
            let lost = self.bytes.len() - self.synced;
            let kept = self.synced + if lost == 0 { 0 } else { chance.index(lost + 1) };
            self.bytes.truncate(kept);
            if kept > self.synced && chance.happens(0.3) {
                // Its length reached the disk, its content did not.
                let from = self.synced + chance.index(kept - self.synced);
                self.bytes[from..].fill(0);
            }
        }
        self.synced = self.bytes.len();
    }
}

impl Disk for SimDisk {
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let state = self.operate()?;
        let inside = state.names.keys().filter(|path| path.parent() == Some(folder));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn length(&self, file: &Path) -> io::Result<u64> {
        Ok(self.content(file)?.lock().unwrap_or_else(PoisonError::into_inner).bytes.len() as u64)
    }

    fn read(&self, file: &Path, from: u64) -> io::Result<Box<dyn Read + Send>> {
        let content = self.content(file)?;
        let bytes = content.lock().unwrap_or_else(PoisonError::into_inner).bytes.get(from as usize..).unwrap_or_default().to_vec();
        Ok(Box::new(Cursor::new(bytes)))
    }

    fn open(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.operate()?;
        let content = state.names.entry(file.to_owned()).or_default().clone();
        Ok(Box::new(SimFile { disk: self.clone(), content }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.operate()?;
        let content = state.names.remove(from).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        state.names.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        self.operate()?.names.remove(file).map(drop).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.operate()?;
        if state.sync_fails {
            return Err(io::Error::other("the folder can't be synced"));
        }
        state.durable_names.retain(|path, _| path.parent() != Some(folder));
        let inside: Vec<_> = state
            .names
            .iter()
            .filter(|(path, _)| path.parent() == Some(folder))
            .map(|(path, content)| (path.clone(), content.clone()))
            .collect();
        state.durable_names.extend(inside);
        Ok(())
    }

    fn lock(&self, file: &Path) -> io::Result<Option<Lock>> {
        if !self.operate()?.locks.insert(file.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Box::new(Held { disk: self.clone(), file: file.to_owned() })))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(if self.operate()?.full { 0 } else { 1 << 40 })
    }
}

struct Held {
    disk: SimDisk,
    file: PathBuf,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.disk.state().locks.remove(&self.file);
    }
}

struct SimFile {
    disk: SimDisk,
    content: Arc<Mutex<Content>>,
}

impl DiskFile for SimFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let state = self.disk.operate()?;
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        if state.full {
            // Some of it still fits, as on a real disk.
            content.bytes.extend_from_slice(&bytes[..bytes.len() / 2]);
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        content.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let state = self.disk.operate()?;
        if state.sync_fails || state.full {
            return Err(io::Error::other("what was written did not reach the disk"));
        }
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        (content.synced, content.before_cut) = (content.bytes.len(), None);
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        drop(self.disk.operate()?);
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let length = (length as usize).min(content.bytes.len());
        if length < content.synced && content.before_cut.is_none() {
            content.before_cut = Some(content.bytes[..content.synced].to_vec());
        }
        content.bytes.truncate(length);
        content.synced = content.synced.min(length);
        Ok(())
    }
}
