//! What does a disk in memory do that fills up, refuses, and forgets what was not synced?

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::{Disk, DiskFile, Lock};

/// A disk in memory.
#[derive(Default)]
pub struct Memory(Mutex<State>);

#[derive(Default)]
pub struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Bytes that may stand in files; none is without bound.
    pub capacity: Option<usize>,
    /// Syncs that fail from now on, losing what they should have written.
    pub failing_syncs: usize,
    pub syncs: usize,
    /// How long a sync takes.
    pub sync_takes: Duration,
}

#[derive(Clone, Default)]
struct Inode {
    content: Vec<u8>,
    synced: Vec<u8>,
}

impl Memory {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics with the disk in hand")
    }

    /// A power cut: unsynced names are gone, and of each file's unsynced bytes the first `kept` thousandths are left.
    pub fn cut_power(&self, kept: usize) {
        let mut state = self.state();
        state.names = state.durable_names.clone();
        for inode in &mut state.inodes {
            let common = inode.content.iter().zip(&inode.synced).take_while(|(now, synced)| now == synced).count();
            if common == inode.synced.len() {
                let unsynced = inode.content.len() - common;
                inode.content.truncate(common + unsynced * kept / 1000);
            } else {
                inode.content.clone_from(&inode.synced);
            }
            inode.synced.clone_from(&inode.content);
        }
    }

    pub fn content(&self, path: &Path) -> Vec<u8> {
        let state = self.state();
        state.inodes[state.names[path]].content.clone()
    }

    pub fn put(&self, path: &Path, content: &[u8]) {
        let mut state = self.state();
        let inode = state.inodes.len();
        state.inodes.push(Inode { content: content.to_vec(), synced: content.to_vec() });
        state.names.insert(path.to_owned(), inode);
        state.durable_names.insert(path.to_owned(), inode);
    }

    pub fn paths(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }
}

impl State {
    fn used(&self) -> usize {
        self.names.values().map(|inode| self.inodes[*inode].content.len()).sum()
    }

    fn inode(&mut self, path: &Path) -> io::Result<&mut Inode> {
        let inode = *self.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(&mut self.inodes[inode])
    }
}

impl Disk for Arc<Memory> {
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let name = |path: &PathBuf| {
            let name = path.file_name().expect("files have names").to_str().expect("as text").to_owned();
            (path.parent() == Some(folder)).then_some(name)
        };
        Ok(self.state().names.keys().filter_map(name).collect())
    }

    fn length(&self, file: &Path) -> io::Result<u64> {
        Ok(self.state().inode(file)?.content.len() as u64)
    }

    fn read(&self, file: &Path, from: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut content = Cursor::new(self.state().inode(file)?.content.clone());
        content.set_position(from);
        Ok(Box::new(content))
    }

    fn open(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        if !state.names.contains_key(file) {
            let inode = state.inodes.len();
            state.inodes.push(Inode::default());
            state.names.insert(file.to_owned(), inode);
        }
        Ok(Box::new(MemoryFile { disk: self.clone(), inode: state.names[file] }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let inode = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        self.state().names.remove(file).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.state();
        let here: Vec<_> =
            state.names.iter().filter(|(path, _)| path.parent() == Some(folder)).map(|(path, inode)| (path.clone(), *inode)).collect();
        state.durable_names.retain(|path, _| path.parent() != Some(folder));
        state.durable_names.extend(here);
        Ok(())
    }

    fn lock(&self, _: &Path) -> io::Result<Option<Lock>> {
        Ok(Some(Box::new(())))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.state();
        Ok(state.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(state.used()) as u64))
    }
}

struct MemoryFile {
    disk: Arc<Memory>,
    inode: usize,
}

impl DiskFile for MemoryFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let room = state.capacity.map_or(usize::MAX, |capacity| capacity.saturating_sub(state.used()));
        // As a real one, it takes what it can before it says no.
        state.inodes[self.inode].content.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        std::thread::sleep(state.sync_takes);
        if state.failing_syncs > 0 {
            // As Linux does: the pages are dropped, marked clean, and the next sync has nothing to complain of.
            state.failing_syncs -= 1;
            let inode = &mut state.inodes[self.inode];
            let garbage = inode.content.len() - inode.synced.len().min(inode.content.len());
            inode.content.truncate(inode.synced.len());
            inode.content.resize(inode.synced.len() + garbage, 0);
            return Err(io::Error::other("input/output error"));
        }
        state.syncs += 1;
        let inode = &mut state.inodes[self.inode];
        inode.synced.clone_from(&inode.content);
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let content = &mut self.disk.state().inodes[self.inode].content;
        assert!(content.len() as u64 >= length, "what was synced is there");
        content.truncate(length as usize);
        Ok(())
    }
}
