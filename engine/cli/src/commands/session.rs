//! `proprio session`: how a person opens and ends sessions, names trials, marks instants and writes notes while a rig runs.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Subcommand;
use proprio_core::control::{Reply, Request, SensorStatus, Status};
use proprio_core::note::{self, Note};
use proprio_core::time::TimeNs;
use proprio_zenoh::{control, open_client};

use super::amend::Answers;
use super::connect::ConnectArgs;

/// How long a running rig may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens and ends sessions, names trials, marks instants and writes notes in a running rig.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    action: Action,
    /// Name of the rig; by default the one that runs at the other end.
    #[arg(long, global = true, value_name = "NAME", default_value = "*")]
    rig: String,
    /// Print the answer as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    network: ConnectArgs,
}

/// What a session that begins takes over from an earlier one.
#[derive(Debug, clap::Args)]
pub struct CarryArg {
    /// Carry calibrations and references over from an earlier session: `last`, the subject's newest, or its id
    #[arg(long = "carry", value_name = "SESSION", num_args = 0..=1, default_missing_value = "last")]
    pub session: Option<String>,
}

/// What a clinician says for steps to obey.
#[derive(Debug, clap::Args)]
struct Words {
    /// What it is about, as the pipeline names it
    about: String,
    /// Why
    text: String,
    /// Who says so
    #[arg(long, default_value = "unknown")]
    author: String,
}

impl Words {
    fn note(self, action: note::Action, value: Option<f64>) -> Request {
        let Self { about, text, author } = self;
        Request::Note { note: Note { author, text, action, about: Some(about), value }, time_ns: None }
    }
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
        #[command(flatten)]
        carry: CarryArg,
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
    /// Let something wait: feedback, an exercise; steps that read `notes` obey
    Hold(Words),
    /// Let what was held go on
    Release(Words),
    /// Put a value in place of the computed one
    Override {
        #[command(flatten)]
        words: Words,
        /// The value, in the unit of what it is about
        #[arg(long)]
        value: f64,
    },
    /// Let what was proposed take effect
    Approve(Words),
    /// Say that an alert of the open session was seen
    Acknowledge {
        /// The alert's id, or the name of its step, whose newest one is meant
        alert: String,
        /// What there is to say to it
        text: Option<String>,
        /// Who has seen it
        #[arg(long, default_value = "unknown")]
        author: String,
    },
    /// Enter a person's answers to a questionnaire
    Outcome {
        /// The questionnaire and the item scores: `odi=3,2,1,-,4,2,0,5,3,1`, `-` for one that was not answered; `pain_nrs=6`
        answers: Answers,
        /// Who enters them
        #[arg(long, default_value = "unknown")]
        author: String,
        /// When they were given, in nanoseconds since 1970; now when absent
        #[arg(long, value_name = "NANOSECONDS")]
        time_ns: Option<TimeNs>,
    },
    /// Say how the rig is: positions, and every sensor's counts.
    Status,
}

/// Sends the request and prints the answer; exit code 1 when the rig refuses.
pub async fn run(args: Args) -> Result<ExitCode> {
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
        Reply::Status(_) if args.json => Ok(ExitCode::SUCCESS),
        Reply::Status(status) => {
            print_status(&status);
            Ok(ExitCode::SUCCESS)
        }
        Reply::Rig(_) | Reply::Reloaded { .. } | Reply::Files(_) | Reply::Checked { .. } | Reply::Forgotten(_) => {
            bail!("the rig answered something else than asked")
        }
    }
}

fn print_status(status: &Status) {
    println!("rig {}, session {}", status.rig, status.session);
    println!("position {}, durable {}, in the tables {}", status.position, status.durable_position, status.tables_position);
    if let Some(trouble) = &status.trouble {
        println!("trouble: {trouble}");
    }
    println!("{:<16} {:<6} {:>12} {:>8} {:>8} {:>8} {:>10}", "sensor", "there", "rows", "lost", "late", "rejected", "duplicates");
    for sensor in &status.sensors {
        let there = if sensor.present { "yes" } else { "no" };
        let SensorStatus { name, rows, lost, late, rejected, duplicates, .. } = sensor;
        println!("{name:<16} {there:<6} {rows:>12} {lost:>8} {late:>8} {rejected:>8} {duplicates:>10}");
    }
}

impl From<Action> for Request {
    fn from(action: Action) -> Self {
        match action {
            Action::Start { subject, task, from_ns, carry } => Self::SessionStart { subject, task, from_ns, carry: carry.session },
            Action::Stop => Self::SessionStop {},
            Action::Trial { name } => Self::Trial { name },
            Action::Mark { label, time_ns } => Self::Mark { label, time_ns },
            Action::Status => Self::Status {},
            Action::Acknowledge { alert, text, author } => Self::Acknowledge { alert, author, text },
            Action::Note { text, author, time_ns } => Self::Note { note: Note::plain(author, text), time_ns },
            Action::Hold(words) => words.note(note::Action::Hold, None),
            Action::Release(words) => words.note(note::Action::Release, None),
            Action::Approve(words) => words.note(note::Action::Approve, None),
            Action::Override { words, value } => words.note(note::Action::Override, Some(value)),
            Action::Outcome { answers: Answers { instrument, items }, author, time_ns } => {
                Self::Outcome { author, instrument, items, time_ns }
            }
        }
    }
}
