//! Where do files lie, and which promises does everything here ask of that place?

use std::any::Any;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A writer's lock, held until it is dropped.
pub type Lock = Box<dyn Any + Send>;

/// The files under a data directory, by paths relative to it. [`Folder`](crate::Folder) is the real one; the fault bench has
/// one that fills up, fails, and loses what was not synced.
pub trait Disk: Send + Sync {
    /// Names of the files in a folder, in any order; none when the folder is not there.
    ///
    /// # Errors
    /// When the folder cannot be read.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Length of a file in bytes.
    ///
    /// # Errors
    /// When it is not there.
    fn length(&self, file: &Path) -> io::Result<u64>;

    /// A file's bytes from an offset on.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    fn read(&self, file: &Path, from: u64) -> io::Result<Box<dyn Read + Send>>;

    /// Opens a file for appending; creates it, and its folder, when it is not there.
    ///
    /// # Errors
    /// When it cannot be created or opened.
    fn open(&self, file: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name, replacing what had it. Durable after [`sync_folder`](Self::sync_folder).
    ///
    /// # Errors
    /// When the file is not there, or the disk refuses.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Durable after [`sync_folder`](Self::sync_folder).
    ///
    /// # Errors
    /// When the file is not there, or the disk refuses.
    fn remove(&self, file: &Path) -> io::Result<()>;

    /// Makes durable which names a folder holds.
    ///
    /// # Errors
    /// When the disk refuses.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Takes a lock file that no other process or holder has; none when another has it.
    ///
    /// # Errors
    /// When the lock file cannot be opened.
    fn lock(&self, file: &Path) -> io::Result<Option<Lock>>;

    /// Bytes that may still be written.
    ///
    /// # Errors
    /// When the file system does not say.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// A file opened for appending.
pub trait DiskFile: Send {
    /// Writes all bytes at the end. After an error some of them may stand there.
    ///
    /// # Errors
    /// When the disk refuses.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes content and length durable. After an error nothing since the last success counts as durable.
    ///
    /// # Errors
    /// When the disk refuses.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file to a length.
    ///
    /// # Errors
    /// When the disk refuses.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

/// Writes a file whole or not at all: beside its place, synced, and renamed over it.
pub(crate) fn write_whole(disk: &dyn Disk, file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = file.as_os_str().to_owned();
    name.push(TEMPORARY);
    let beside = PathBuf::from(name);
    let mut open = disk.open(&beside)?;
    open.truncate(0)?;
    open.append(bytes)?;
    open.sync()?;
    disk.rename(&beside, file)?;
    disk.sync_folder(file.parent().expect("our files lie in folders"))
}

/// How the name of a file ends that is not whole yet.
pub(crate) const TEMPORARY: &str = ".tmp";
