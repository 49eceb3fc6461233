//! How does another program run our work? It is made ready once (a Python environment with pinned packages), loads its data, and then
//! waits for orders on its standard input, so that neither its start nor the loading counts.
//!
//! # The orders
//! A program is started in a folder that holds `inputs/<name>.f64`. It writes `ready`. To each line `run` it does the work once and
//! writes the seconds of processor time that it took; to `answer` it writes what it found last into `answer/<name>.f64`, and then `written`. `peers/bench_peer.py` is
//! that for Python. Every program may use one thread.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use tempfile::TempDir;

use crate::answer::Answer;
use crate::error::BenchError;
use crate::work::Bench;

/// The longest that a program may be silent.
const PATIENCE: Duration = Duration::from_secs(600);
/// What the stamp of a Python environment is called: the packages that it holds.
const STAMP: &str = "packages.txt";
/// What keeps numerical libraries to one thread.
const ONE_THREAD: [&str; 5] = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS"];

/// Another program that does a work.
#[derive(Debug)]
pub struct Peer {
    /// Its name, as people know it.
    pub name: &'static str,
    /// Packages that it needs, each with its version.
    pub packages: &'static [&'static str],
    /// Its text, in Python.
    pub script: &'static str,
    /// How near its answer (the second) is to ours (the first), or what is wrong with it.
    pub agree: fn(&Answer, &Answer) -> Result<String, String>,
    /// How many times as long as we it must take,
    pub at_least: f64,
    /// and should.
    pub aim: f64,
}

/// A program that waits for orders.
pub struct Running {
    name: &'static str,
    child: Child,
    orders: ChildStdin,
    lines: Receiver<String>,
    folder: TempDir,
}

impl Peer {
    /// Makes the program ready, and starts it on its data.
    ///
    /// # Errors
    /// When its packages can't be had, or it ends before it is ready.
    pub fn start(&self, bench: &Bench, inputs: &Answer) -> Result<Running, BenchError> {
        let python = self.environment(&bench.cache)?;
        let folder = TempDir::with_prefix("proprio-bench-").map_err(|error| self.failed(error))?;
        for (name, text) in [("bench_peer.py", include_str!("peers/bench_peer.py")), ("peer.py", self.script)] {
            fs::write(folder.path().join(name), text).map_err(|error| self.failed(error))?;
        }
        for name in ["inputs", "answer"] {
            fs::create_dir(folder.path().join(name)).map_err(|error| self.failed(error))?;
        }
        inputs.write(&folder.path().join("inputs"))?;
        let recordings = bench.recordings.canonicalize().unwrap_or_else(|_| bench.recordings.clone());
        let mut command = Command::new(python);
        command.args(["-W", "ignore", "peer.py"]).current_dir(folder.path()).env("PROPRIO_DATA", recordings);
        command.envs(ONE_THREAD.map(|name| (name, "1"))).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| self.failed(error))?;
        let (Some(orders), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(self.failed("it has no standard input or output"));
        };
        let (sender, lines) = channel();
        std::thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut running = Running { name: self.name, child, orders, lines, folder };
        running.expect("ready")?;
        Ok(running)
    }

    /// The Python of an environment with the packages, made where there is none yet.
    fn environment(&self, cache: &Path) -> Result<PathBuf, BenchError> {
        let packages = self.packages.join("\n");
        let name: String = self.name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
        let folder = cache.join(format!("bench-{name}"));
        let python = folder.join("bin/python");
        if fs::read_to_string(folder.join(STAMP)).is_ok_and(|stamp| stamp == packages) {
            return Ok(python);
        }
        self.done(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
        self.done(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(self.packages))?;
        fs::write(folder.join(STAMP), packages).map_err(|error| self.failed(error))?;
        Ok(python)
    }

    fn done(&self, command: &mut Command) -> Result<(), BenchError> {
        let output = command.output().map_err(|error| self.failed(error))?;
        if output.status.success() { Ok(()) } else { Err(self.failed(String::from_utf8_lossy(&output.stderr).trim())) }
    }

    fn failed(&self, what: impl ToString) -> BenchError {
        BenchError::Peer { program: self.name.to_owned(), what: what.to_string() }
    }
}

impl Running {
    /// Runs the work once; how long it took, by the program's own account.
    ///
    /// # Errors
    /// When the program ends, or is silent for ten minutes.
    pub fn run(&mut self) -> Result<Duration, BenchError> {
        self.order("run")?;
        let line = self.line()?;
        let seconds = line.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        seconds.ok_or_else(|| self.failed(format!("`{line}` are no seconds")))
    }

    /// What it found last.
    ///
    /// # Errors
    /// As [`run`](Self::run), or when its files can't be read.
    pub fn answer(&mut self) -> Result<Answer, BenchError> {
        self.order("answer")?;
        self.expect("written")?;
        Answer::read(&self.folder.path().join("answer"))
    }

    fn order(&mut self, order: &str) -> Result<(), BenchError> {
        writeln!(self.orders, "{order}").map_err(|error| self.failed(error.to_string()))
    }

    fn expect(&mut self, due: &str) -> Result<(), BenchError> {
        let line = self.line()?;
        if line == due { Ok(()) } else { Err(self.failed(format!("it says `{line}` in place of `{due}`"))) }
    }

    fn line(&mut self) -> Result<String, BenchError> {
        self.lines.recv_timeout(PATIENCE).map_err(|error| match error {
            RecvTimeoutError::Timeout => self.failed(format!("it was silent for {} s", PATIENCE.as_secs())),
            RecvTimeoutError::Disconnected => self.failed("it has ended; what it said of it stands above".to_owned()),
        })
    }

    fn failed(&self, what: String) -> BenchError {
        BenchError::Peer { program: self.name.to_owned(), what }
    }
}

impl Drop for Running {
    /// Nothing is left running; a program that has ended already is no error.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
