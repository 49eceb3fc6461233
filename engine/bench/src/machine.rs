//! What was it measured on?

use serde::Serialize;

/// The machine and the build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Its threads.
    pub threads: usize,
    /// Whether the build is optimised; figures of one that isn't tell nothing.
    pub is_release: bool,
    /// The engine's build.
    pub build: String,
}

impl Machine {
    /// This one, and the build that runs.
    pub fn this(build: &str) -> Self {
        let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = about.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':')).map(|(_, name)| name.trim().to_owned());
        Self {
            processor: name.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            is_release: !cfg!(debug_assertions),
            build: build.to_owned(),
        }
    }
}
