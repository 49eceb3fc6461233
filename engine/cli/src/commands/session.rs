//! `proprio session`: how a person opens and ends sessions, names trials, marks instants and writes notes while a rig runs.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use proprio_core::control::{Reply, Request};
use proprio_core::time::TimeNs;
use proprio_zenoh::{control, open_client};

use super::connect::Network;

/// How long a running rig may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens and ends sessions, names trials, marks instants and writes notes in a running rig.
#[derive(Args, Debug)]
pub struct SessionArgs {
    /// What to do
    #[command(subcommand)]
    action: Action,
    /// Name of the rig
    #[arg(long, global = true, value_name = "NAME", default_value = "lab-1")]
    rig: String,
    /// Print the answer as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    network: Network,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Open a session; the one that is open ends first
    Start {
        /// Pseudonym of the subject
        #[arg(long)]
        subject: Option<String>,
        /// What is being done
        #[arg(long)]
        task: Option<String>,
        /// Event time where it begins, in nanoseconds since 1970; now when absent
        #[arg(long, value_name = "NANOSECONDS")]
        from_ns: Option<TimeNs>,
    },
    /// End the open session; an unnamed one follows
    Stop,
    /// Begin a trial in the open session
    Trial {
        /// Its name
        name: String,
    },
    /// Mark an instant
    Mark {
        /// What it marks
        label: String,
        /// Event time, in nanoseconds since 1970; now when absent
        #[arg(long, value_name = "NANOSECONDS")]
        time_ns: Option<TimeNs>,
    },
    /// Write a note
    Note {
        /// What it says
        text: String,
        /// Who writes
        #[arg(long, default_value = "unknown")]
        author: String,
        /// Event time, in nanoseconds since 1970; now when absent
        #[arg(long, value_name = "NANOSECONDS")]
        time_ns: Option<TimeNs>,
    },
}

/// Sends the request and prints the answer; exit code 1 when the rig refuses.
#[expect(clippy::print_stdout, reason = "the answer is the command's output")]
pub async fn run(args: SessionArgs) -> Result<ExitCode> {
    let session = open_client(&args.network.options(), PATIENCE).await?;
    let answer = control::request(&session, &args.rig, &args.action.into(), PATIENCE).await;
    // A session that can't be closed any more is of no interest to who has the answer.
    let _ = session.close().await;
    let reply = answer?;
    if args.json {
        println!("{}", serde_json::to_string(&reply)?);
    }
    match reply {
        Reply::Done { session, position } => {
            if !args.json {
                println!("recorded in session {session} at position {position}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Reply::Refused { .. } if args.json => Ok(ExitCode::FAILURE),
        Reply::Refused { reason } => bail!("the rig refused: {reason}"),
        _ => bail!("the rig answered something else than asked"),
    }
}

impl From<Action> for Request {
    fn from(action: Action) -> Self {
        match action {
            Action::Start { subject, task, from_ns } => Self::SessionStart { subject, task, from_ns },
            Action::Stop => Self::SessionStop,
            Action::Trial { name } => Self::Trial { name },
            Action::Mark { label, time_ns } => Self::Mark { label, time_ns },
            Action::Note { text, author, time_ns } => Self::Note { author, text, time_ns },
        }
    }
}
