//! How a test runs the real engine: the binary as a process of its own, on loopback, over a data directory of its own.

use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// No command of a test takes longer than this.
const LIMIT: Duration = Duration::from_secs(240);

/// A folder for a test's files, with the rig of `pipelines/walking` in it.
pub struct Files {
    folder: tempfile::TempDir,
    /// The rig's text.
    pub rig: String,
}

impl Files {
    /// With the rig alone.
    pub fn new() -> Self {
        let rig = std::fs::read_to_string(super::architecture::root().join("pipelines/walking/rig.yaml")).expect("the rig is there");
        let files = Self { folder: tempfile::tempdir().expect("a temporary folder"), rig };
        files.write("rig.yaml", &files.rig);
        files
    }

    /// Where they lie.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("it is written");
        path
    }
}

/// A running `proprio run`; ended when it is dropped.
pub struct Engine {
    process: Child,
    endpoint: String,
    data: tempfile::TempDir,
    /// Of every command over it.
    environment: Vec<(String, String)>,
}

impl Engine {
    /// Runs a pipeline file, and waits until it listens.
    pub fn run(pipeline: &Path) -> Self {
        Self::run_with(pipeline, &[])
    }

    /// The same, with further options.
    pub fn run_with(pipeline: &Path, options: &[&str]) -> Self {
        Self::run_in(pipeline, options, Vec::new())
    }

    /// The same, in an environment of its own.
    pub fn run_in(pipeline: &Path, options: &[&str], environment: Vec<(String, String)>) -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
        let endpoint = format!("tcp/127.0.0.1:{port}");
        let process = spawn(pipeline, options, &endpoint, data.path(), &environment);
        let mut engine = Self { process, endpoint, data, environment };
        engine.wait_until_it_runs();
        engine
    }

    /// Kills it as a power cut would, and runs it again over what is left.
    pub fn run_again(&mut self, pipeline: &Path, options: &[&str]) {
        self.process.kill().expect("the process is ours");
        self.process.wait().expect("it ends");
        std::fs::remove_file(self.data().join("running.json")).expect("it said that it ran");
        self.process = spawn(pipeline, options, &self.endpoint, self.data.path(), &self.environment);
        self.wait_until_it_runs();
    }

    fn wait_until_it_runs(&mut self) {
        let give_up = Instant::now() + Duration::from_secs(60);
        while !self.data().join("running.json").exists() {
            let ended = self.process.try_wait().expect("the process is ours");
            assert!(ended.is_none() && Instant::now() < give_up, "proprio run did not come up: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.data.path().join("data")
    }

    /// What the engine logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data.path().join("log")).unwrap_or_default()
    }

    /// Where it listens.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Runs another command against this engine, and gives its standard output.
    pub fn command(&self, args: &[&str]) -> String {
        let output = self.over_network(args);
        assert!(output.status.success(), "proprio {args:?}: {}\n{}", String::from_utf8_lossy(&output.stderr), self.log());
        String::from_utf8(output.stdout).expect("text")
    }

    /// Publishes a walk of a subject as fast as it goes, and gives its session's id.
    pub fn walk(&self, subject: &str, duration: &str) -> String {
        let args = ["simulate", "--layout", "walking", "--duration", duration, "--speed", "max", "--json", "--subject", subject];
        let simulated: serde_json::Value = serde_json::from_str(&self.command(&args)).expect("JSON");
        simulated["session"].as_str().expect("a name").to_owned()
    }

    /// Runs another command against this engine, whatever comes of it.
    pub fn over_network(&self, args: &[&str]) -> Output {
        finish(proprio().args(args).args(["--connect", &self.endpoint]))
    }

    /// Runs another command over this engine's data directory, which says where the engine is while it runs.
    pub fn over_data(&self, args: &[&str]) -> Output {
        finish(proprio().args(args).args(["--data", path(&self.data())]).envs(self.environment.clone()))
    }

    /// Waits until the log holds a text so often.
    pub fn wait_for_log(&self, text: &str, times: usize) {
        let give_up = Instant::now() + LIMIT;
        while self.log().matches(text).count() < times {
            assert!(Instant::now() < give_up, "no `{text}` for the {times}. time: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends the engine a signal, such as `HUP`.
    pub fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().expect("kill runs").success());
    }

    /// Runs another command on this machine, without telling it where the engine is.
    pub fn local(&self, args: &[&str]) {
        let output = finish(proprio().args(args));
        assert!(output.status.success(), "proprio {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A command over the data directory that must succeed: its standard output.
    pub fn done(&self, args: &[&str]) -> String {
        let output = self.over_data(args);
        assert!(output.status.success(), "proprio {args:?}: {}\n{}", String::from_utf8_lossy(&output.stderr), self.log());
        String::from_utf8(output.stdout).expect("text")
    }

    /// Rows of a query, as text, without the header.
    pub fn sql(&self, query: &str) -> Vec<Vec<String>> {
        let output = self.over_data(&["sql", query, "--format", "csv"]);
        assert!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
        rows(&String::from_utf8(output.stdout).expect("text"))
    }

    /// One number.
    pub fn number(&self, query: &str) -> f64 {
        let rows = self.sql(query);
        let value = rows.first().and_then(|row| row.first()).unwrap_or_else(|| panic!("{query} gives a row"));
        value.parse().unwrap_or_else(|_| panic!("{query} gives a number, not `{value}`"))
    }

    /// Ends the engine as an operator would, and waits for its tables; queries go to Delta from here on.
    pub fn stop(&mut self) {
        self.signal("TERM");
        let give_up = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.process.try_wait().expect("the process is ours") {
                assert!(status.success(), "proprio run ended with {status}: {}", self.log());
                return;
            }
            assert!(Instant::now() < give_up, "proprio run did not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(pipeline: &Path, options: &[&str], endpoint: &str, folder: &Path, environment: &[(String, String)]) -> Child {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).expect("a log file");
    let mut command = proprio();
    command.args(["run", path(pipeline), "--data", path(&folder.join("data")), "--listen", endpoint]).args(options);
    command.envs(environment.iter().cloned()).stderr(log).stdout(Stdio::null()).spawn().expect("the binary starts")
}

/// The binary under test.
pub fn proprio() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proprio"));
    command.stdin(Stdio::null()).current_dir(super::architecture::root());
    command
}

/// Runs a command to its end, within the limit.
pub fn finish(command: &mut Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let out = read_all(child.stdout.take().expect("it is piped"));
    let err = read_all(child.stderr.take().expect("it is piped"));
    let give_up = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().expect("the process is ours") {
            break status;
        }
        if Instant::now() > give_up {
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    Output { status, stdout: out.join().expect("a reader ends"), stderr: err.join().expect("a reader ends") }
}

fn read_all(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("a pipe can be read");
        bytes
    })
}

/// A file of the lab's recordings; `None`, with a word, where they are not on this machine.
pub fn recording(test: &str, name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("PROPRIO_DATA").map_or_else(|| super::architecture::root().join("../shared/data"), PathBuf::from);
    let file = folder.join(name);
    if !file.exists() {
        println!("skipped: {test}: no {}", file.display());
    }
    file.exists().then_some(file)
}

/// A path as an argument.
pub fn path(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}

fn rows(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.records().map(|record| record.expect("CSV").iter().map(str::to_owned).collect()).collect()
}
