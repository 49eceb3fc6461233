//! `proprio reload`: a running engine takes its changed files up, without losing a sample.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use proprio_core::control::{Reply, Request};

use super::check::FINDINGS;
use super::connect::EngineArgs;

/// How long the engine may take to check its files and to declare new tables.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lets a running engine read its pipeline and rig files again, and go on by them.
///
/// Streams that did not change, and whose inputs did not, keep their state; what is new or changed begins at the position of
/// the reload, which is recorded. Files with mistakes change nothing: they are told here, and the exit code is 2. A rig may gain,
/// lose and change sensors, but not its name.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Asks, and prints what goes on and what began anew.
///
/// # Errors
/// When no engine answers.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let reply = args.engine.find().await?.ask_once(&Request::Reload {}, PATIENCE).await?;
    if args.json {
        println!("{}", serde_json::to_string(&reply)?);
    }
    match reply {
        Reply::Reloaded { position, run_id, kept, fresh } => {
            if !args.json {
                println!("run {run_id} from position {position}");
                println!("{:<10} stream", "state");
                kept.iter().for_each(|stream| println!("{:<10} {stream}", "kept"));
                fresh.iter().for_each(|stream| println!("{:<10} {stream}", "fresh"));
            }
            Ok(ExitCode::SUCCESS)
        }
        Reply::Refused { reason } => {
            eprintln!("{reason}\nnot reloaded: the pipeline goes on as it was");
            Ok(ExitCode::from(FINDINGS))
        }
        other => bail!("the engine answered {other:?} to a request to reload"),
    }
}
