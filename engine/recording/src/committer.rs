//! How do encoded blocks reach the disk, such that what is published as durable is?

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Disk, DiskFile, Lock};

/// What is written between two syncs at most, unless one block is longer: long texts at a head or in a reload. Damage further
/// than [`UNSYNCED_BYTES`] from a file's end is then no torn tail, unless the file ends within the record.
pub(crate) const GROUP_BYTES: usize = 1 << 20;
/// More than a group can have.
pub(crate) const UNSYNCED_BYTES: u64 = 4 << 20;

/// Whole chunks on their way to a segment.
pub(crate) struct Block {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    /// Position of the last message in it, or before it.
    pub last_position: i64,
}

/// Why the disk does not take what is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The file, and what the disk said.
    pub text: String,
}

/// What the committer tells the recorder.
#[derive(Default)]
pub(crate) struct Shared {
    pub durable_position: AtomicI64,
    /// Bytes handed over and not yet durable.
    pub waiting_bytes: AtomicUsize,
    trouble: Mutex<Option<Trouble>>,
}

impl Shared {
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_trouble(&self, trouble: Option<Trouble>) -> Option<Trouble> {
        std::mem::replace(&mut *self.trouble.lock().unwrap_or_else(PoisonError::into_inner), trouble)
    }
}

/// Appends blocks to segments in order, and keeps each until it is synced.
pub(crate) struct Committer {
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    blocks: VecDeque<Block>,
    current: Option<Current>,
    /// Here, since a lock must last as long as something may still be written.
    _lock: Lock,
}

/// The segment that the last block went to.
struct Current {
    path: PathBuf,
    /// None before the first use and after a failure.
    file: Option<Box<dyn DiskFile>>,
    /// Length up to which the content is durable.
    good_bytes: u64,
    /// Whether the folder is known to hold its name durably.
    named: bool,
}

impl Committer {
    pub fn new(disk: Arc<dyn Disk>, shared: Arc<Shared>, lock: Lock) -> Self {
        Self { disk, shared, blocks: VecDeque::new(), current: None, _lock: lock }
    }

    /// Goes on in a segment whose first `good_bytes` count.
    pub fn resume(&mut self, path: PathBuf, good_bytes: u64) {
        self.current = Some(Current { path, file: None, good_bytes, named: false });
    }

    pub fn push(&mut self, block: Block) {
        self.blocks.push_back(block);
    }

    pub fn has_work(&self) -> bool {
        !self.blocks.is_empty()
    }

    /// Writes and syncs what waits, and publishes it; on a failure the rest is kept, and the trouble told.
    pub fn commit(&mut self) {
        while let Some(block) = self.blocks.front() {
            let path = block.path.clone();
            match self.commit_group(&path) {
                Ok(()) => self.healed(),
                Err(error) => return self.failed(&path, &error),
            }
        }
    }

    /// Writes the next blocks, all of one segment, with one sync.
    fn commit_group(&mut self, path: &Path) -> io::Result<()> {
        let mut current = match self.current.take() {
            Some(current) if current.path == path => current,
            // What came before is synced. A segment of this name can only be one without a whole message.
            _ => Current { path: path.to_owned(), file: None, good_bytes: 0, named: false },
        };
        let written = current.write(&*self.disk, &self.blocks);
        if written.is_err() {
            current.file = None;
        }
        self.current = Some(current);
        for block in self.blocks.drain(..written?) {
            self.shared.durable_position.store(block.last_position, Ordering::Release);
            self.shared.waiting_bytes.fetch_sub(block.bytes.len(), Ordering::AcqRel);
        }
        Ok(())
    }

    fn failed(&self, path: &Path, error: &io::Error) {
        let text = format!("{}: {error}", path.display());
        if self.shared.set_trouble(Some(Trouble { text: text.clone() })).is_none() {
            tracing::error!("the recording fails: {text}; nothing more is acknowledged until the disk takes it");
        }
    }

    fn healed(&self) {
        if self.shared.set_trouble(None).is_some() {
            let durable_position = self.shared.durable_position.load(Ordering::Acquire);
            tracing::info!(durable_position, "the disk takes the recording again");
        }
    }
}

impl Current {
    /// Appends the first group of blocks, and returns how many are durable now.
    fn write(&mut self, disk: &dyn Disk, blocks: &VecDeque<Block>) -> io::Result<usize> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                // After a failed write or sync nothing beyond the last good one counts: the kernel may have dropped it, so
                // that a later sync would prove nothing.
                let file = none.insert(disk.open(&self.path)?);
                file.truncate(self.good_bytes)?;
                file
            }
        };
        let (mut count, mut bytes) = (0, 0);
        for block in blocks.iter().take_while(|block| block.path == self.path) {
            if count > 0 && bytes + block.bytes.len() > GROUP_BYTES {
                break;
            }
            file.append(&block.bytes)?;
            (count, bytes) = (count + 1, bytes + block.bytes.len());
        }
        file.sync()?;
        if !self.named {
            disk.sync_folder(self.path.parent().expect("a segment lies in its rig's folder"))?;
            self.named = true;
        }
        self.good_bytes += bytes as u64;
        Ok(count)
    }
}
