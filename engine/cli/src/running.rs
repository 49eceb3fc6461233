//! How `proprio sql` and others find the process that has a data directory open.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use proprio_serve::Addresses;
use serde::{Deserialize, Serialize};

/// Version of the data directory's layout.
const FORMAT: &str = "1\n";

/// A process that runs a rig; the file `running.json` in its data directory, as long as it runs.
#[derive(Debug, Serialize, Deserialize)]
pub struct Running {
    /// Rig.
    pub rig: String,
    /// zenoh endpoint that it listens on.
    pub endpoint: String,
    /// Process.
    pub pid: u32,
    /// Where its tables are asked by other people's programs.
    #[serde(default)]
    pub doors: Option<Addresses>,
    #[serde(skip)]
    path: Option<PathBuf>,
}

impl Running {
    /// Makes sure that the directory is there and laid out by this version, before anything is written into it.
    ///
    /// # Errors
    /// When it can't be made, or was laid out by another version.
    pub fn check_format(data: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(data).with_context(|| format!("{} can't be made", data.display()))?;
        let format = data.join("format");
        match std::fs::read_to_string(&format) {
            Ok(text) if text != FORMAT => {
                anyhow::bail!("{} says {:?}; this build writes {:?}", format.display(), text.trim(), FORMAT.trim())
            }
            Ok(_) => {}
            Err(_) => std::fs::write(&format, FORMAT).with_context(|| format!("{} can't be written", format.display()))?,
        }
        Ok(())
    }

    /// Says that this process has the directory open, until it is dropped.
    ///
    /// # Errors
    /// When the directory can't be written.
    pub fn announce(data: &Path, rig: &str, endpoint: &str, doors: Option<Addresses>) -> anyhow::Result<Self> {
        let path = data.join("running.json");
        let pid = std::process::id();
        let running = Self { rig: rig.to_owned(), endpoint: endpoint.to_owned(), pid, doors, path: Some(path.clone()) };
        std::fs::write(&path, serde_json::to_vec(&running)?).with_context(|| format!("{} can't be written", path.display()))?;
        Ok(running)
    }

    /// The process that says it has the directory open and is still there.
    pub fn find(data: &Path) -> Option<Self> {
        let running: Self = serde_json::from_slice(&std::fs::read(data.join("running.json")).ok()?).ok()?;
        Path::new("/proc").join(running.pid.to_string()).exists().then_some(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // A stale file is told by its process; leaving it is no harm.
            let _ = std::fs::remove_file(path);
        }
    }
}
