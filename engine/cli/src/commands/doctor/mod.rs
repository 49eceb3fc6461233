//! `proprio doctor`: is anything amiss with this machine, its data directory, the engine or its sensors, and what mends it?

mod machine;
mod rig;

use std::io::Write as _;
use std::process::ExitCode;

use serde::Serialize;

use super::check::FINDINGS;
use super::connect::EngineArgs;

/// Looks at the clock, the disk, the ports, the data directory, the engine and its sensors, and says what is amiss and what mends it.
///
/// Exits with 2 when something doesn't work, with 0 when all is well or there are warnings alone.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Count it as an error that no engine runs: the health check of a container.
    #[arg(long)]
    running: bool,
    /// Print a list of JSON objects.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

/// What was looked at, and what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was looked at.
    check: &'static str,
    state: State,
    /// What was found.
    says: String,
    /// What mends it.
    fix: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Fine,
    Warning,
    Error,
}

impl Finding {
    fn fine(check: &'static str, says: impl Into<String>) -> Self {
        Self { check, state: State::Fine, says: says.into(), fix: None }
    }

    fn warning(check: &'static str, says: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, state: State::Warning, says: says.into(), fix: Some(fix.into()) }
    }

    fn error(check: &'static str, says: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, state: State::Error, says: says.into(), fix: Some(fix.into()) }
    }
}

/// Looks, and prints what was found.
///
/// # Errors
/// When nothing can be printed.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut found = vec![machine::versions(), machine::clock(), machine::data(&args.engine.data)];
    found.extend(machine::disk(&args.engine.data));
    found.extend(machine::ports(&args.engine));
    found.extend(rig::look(&args.engine, args.running).await);
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&found)?)?;
    } else {
        write!(out, "{}", told(&found))?;
    }
    let is_broken = found.iter().any(|finding| finding.state == State::Error);
    Ok(if is_broken { ExitCode::from(FINDINGS) } else { ExitCode::SUCCESS })
}

/// What a person reads.
fn told(found: &[Finding]) -> String {
    let line = |Finding { check, state, says, fix }: &Finding| {
        let state = match state {
            State::Fine => "ok",
            State::Warning => "warning",
            State::Error => "ERROR",
        };
        let fix = fix.as_ref().map_or_else(String::new, |fix| format!("{:<20} fix: {fix}\n", ""));
        format!("{state:<8} {check:<11} {says}\n{fix}")
    };
    found.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_amiss_comes_with_what_mends_it() {
        let found = [Finding::fine("versions", "1"), Finding::error("disk", "full", "make room")];
        assert_eq!(told(&found), format!("ok       versions    1\nERROR    disk        full\n{:<20} fix: make room\n", ""));
    }
}
