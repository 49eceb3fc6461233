//! How is the data directory of a real file system used as a [`Disk`]?

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::{Disk, DiskFile, Lock};

/// A data directory on a file system.
#[derive(Clone, Debug)]
pub struct Folder {
    data: PathBuf,
}

impl Folder {
    /// The disk under a data directory, which need not exist yet.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self { data: data.into() }
    }

    /// Creates a folder with every folder above it, and makes their names durable.
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        let whole = self.data.join(folder);
        if whole.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(&whole)?;
        for above in folder.ancestors().skip(1) {
            File::open(self.data.join(above))?.sync_all()?;
        }
        match self.data.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    }
}

impl Disk for Folder {
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.data.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        // A name that is no text is none of ours.
        entries.map(|entry| Ok(entry?.file_name().into_string().ok())).filter_map(Result::transpose).collect()
    }

    fn length(&self, file: &Path) -> io::Result<u64> {
        Ok(fs::metadata(self.data.join(file))?.len())
    }

    fn read(&self, file: &Path, from: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut open = File::open(self.data.join(file))?;
        open.seek(SeekFrom::Start(from))?;
        Ok(Box::new(open))
    }

    fn open(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.create_folder(file.parent().expect("our files lie in folders"))?;
        Ok(Box::new(FolderFile(File::options().create(true).append(true).open(self.data.join(file))?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(self.data.join(from), self.data.join(to))
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        fs::remove_file(self.data.join(file))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(self.data.join(folder))?.sync_all()
    }

    fn lock(&self, file: &Path) -> io::Result<Option<Lock>> {
        self.create_folder(file.parent().expect("our files lie in folders"))?;
        let open = File::options().create(true).truncate(false).write(true).open(self.data.join(file))?;
        match open.try_lock() {
            Ok(()) => Ok(Some(Box::new(open))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn free_bytes(&self) -> io::Result<u64> {
        fs4::available_space(&self.data)
    }
}

struct FolderFile(File);

impl DiskFile for FolderFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        // The length is part of what must survive, and `fdatasync` makes it durable too.
        self.0.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let now = self.0.metadata()?.len();
        if now < length {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{length} bytes were synced, and {now} are there")));
        }
        if now == length { Ok(()) } else { self.0.set_len(length) }
    }
}
