//! How is the real engine started, killed and stopped? A process of its own, reaped whatever happens.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::commands::connect::free_endpoint;
use crate::running::Running;

/// How long an engine may take to come up, or to end.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);
/// How often rows are committed, so that kills meet commits.
const COMMIT_INTERVAL: &str = "400 ms";
/// What of the log is shown when something is wrong.
const LOG_BYTES: usize = 3_000;

/// `proprio run` over a folder of its own; killed when it is dropped.
pub struct Engine {
    folder: PathBuf,
    endpoint: String,
    process: Option<Child>,
}

impl Engine {
    /// Writes the files, and finds a free port.
    pub fn new(folder: &Path, pipeline: &str, rig: &str) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("{} can't be made", folder.display()))?;
        for (name, text) in [("pipeline.yaml", pipeline), ("rig.yaml", rig)] {
            std::fs::write(folder.join(name), text).with_context(|| format!("{name} can't be written"))?;
        }
        Ok(Self { folder: folder.to_owned(), endpoint: free_endpoint()?, process: None })
    }

    /// Where it listens.
    pub fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    /// What it runs.
    pub fn pipeline(&self) -> PathBuf {
        self.folder.join("pipeline.yaml")
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts it, and waits for nothing.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.folder.join("log")).context("no log file")?;
        let child = Command::new(std::env::current_exe().context("this binary can't be found")?)
            .arg("run")
            .arg(self.pipeline())
            .arg("--data")
            .arg(self.data())
            .args(["--listen", &self.endpoint, "--commit-interval", COMMIT_INTERVAL])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("the engine does not start")?;
        self.process = Some(child);
        Ok(())
    }

    /// Whether the process that was started last says that it runs.
    pub fn is_up(&self) -> bool {
        let pid = self.process.as_ref().map(Child::id);
        Running::find(&self.data()).is_some_and(|running| Some(running.pid) == pid)
    }

    /// Until it runs.
    pub async fn wait_until_up(&mut self) -> anyhow::Result<()> {
        let give_up = Instant::now() + PATIENCE;
        while !self.is_up() {
            if let Some(status) = self.child()?.try_wait()? {
                bail!("the engine ended with {status}:\n{}", self.log_end());
            }
            ensure!(Instant::now() < give_up, "the engine does not come up:\n{}", self.log_end());
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// `kill -9`. An engine that had ended by itself is an error.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child()?.try_wait()? {
            bail!("the engine ended with {status} before it was killed:\n{}", self.log_end());
        }
        self.child()?.kill().context("the engine can't be killed")?;
        self.child()?.wait().context("the engine can't be waited for")?;
        self.process = None;
        Ok(())
    }

    /// Ends it as an operator would, and waits until every row is committed.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let pid = self.child()?.id().to_string();
        ensure!(Command::new("kill").args(["-TERM", &pid]).status()?.success(), "the engine can't be told to stop");
        let give_up = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child()?.try_wait()? {
                self.process = None;
                ensure!(status.success(), "the engine ended with {status}:\n{}", self.log_end());
                return Ok(());
            }
            ensure!(Instant::now() < give_up, "the engine does not end:\n{}", self.log_end());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The last of what it logged.
    pub fn log_end(&self) -> String {
        let log = std::fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_BYTES)..]).into_owned()
    }

    fn child(&mut self) -> anyhow::Result<&mut Child> {
        self.process.as_mut().context("the engine was not started")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
