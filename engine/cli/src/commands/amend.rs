//! `proprio amend`: what is put right in a session that has ended.

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::Context as _;
use proprio_core::table::system::audit_kind;
use proprio_core::{Decision, Instrument, Note, TimeNs};
use proprio_recording::{Amendment, Folder, Texts, amend, amendments};
use proprio_runtime::{RIG_TEXT, load_rig};
use proprio_zenoh::ArrivalClock;
use serde::Serialize;

use super::check::FINDINGS;
use crate::engine::audit::Audit;
use crate::plans::plan_of;
use crate::recorded::{Extent, all};
use crate::selection::instant;

/// Who commits the audit's row: Delta's name for it.
const APPLICATION: &str = "amend";

/// Puts something right in a session that has ended, or, with nothing to put right, lists what was.
///
/// What the session recorded stays as it is; the amendment lies beside it. `proprio rebuild --sessions ID` sees it, whichever pipeline
/// it runs, and `proprio adopt --sessions ID --recorded` shows what comes of it. It works beside a running engine. For a session that is
/// open, use `proprio session` and `proprio reload`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The session, or `last` for the newest that has ended.
    session: String,
    /// The rig file as it should have been, with left and right the right way round: in place of the recorded one, and of the pipeline's
    /// in a rebuild.
    #[arg(long, value_name = "FILE")]
    rig: Option<PathBuf>,
    /// A note.
    #[arg(long, value_name = "TEXT")]
    note: Vec<String>,
    /// An instant that was not marked; with --time.
    #[arg(long, value_name = "LABEL", requires = "time")]
    mark: Vec<String>,
    /// Answers to a questionnaire: `odi=3,2,1,-,4,2,0,5,3,1`, `-` for one that was not answered; `pain_nrs=6`.
    #[arg(long, value_name = "NAME=ITEMS")]
    outcome: Vec<Answers>,
    /// When notes, marks and answers belong to, such as `2026-03-02T09:00:00Z`; now when absent.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    time: Option<TimeNs>,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// Who does so.
    #[arg(long, env = "USER", default_value = "unknown", value_name = "NAME")]
    who: String,
    /// Data directory.
    #[arg(long, default_value = "data", value_name = "DIR")]
    data: PathBuf,
    /// Print the amendments as JSON.
    #[arg(long)]
    json: bool,
}

/// Answers to a questionnaire as a person writes them: `odi=3,2,1,-,4,2,0,5,3,1`.
#[derive(Clone, Debug)]
pub struct Answers {
    /// The questionnaire.
    pub instrument: Instrument,
    /// Item scores, none for one that was not answered.
    pub items: Vec<Option<u8>>,
}

impl FromStr for Answers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, items) = text.split_once('=').ok_or("expected NAME=ITEMS, such as pain_nrs=6")?;
        let instrument: Instrument = name.parse()?;
        let item = |item: &str| match item.trim() {
            "-" => Ok(None),
            item => item.parse().map(Some).map_err(|_| format!("`{item}` is no item score")),
        };
        let items: Vec<Option<u8>> = items.split(',').map(item).collect::<Result<_, _>>()?;
        instrument.score(&items).map_err(|error| error.to_string())?;
        Ok(Self { instrument, items })
    }
}

/// An amendment, for programs.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    number: usize,
    entered: String,
    who: Option<&'a str>,
    why: Option<&'a str>,
    texts: &'a Texts,
    decisions: &'a [Decision],
}

/// Amends, or lists.
///
/// # Errors
/// When there is no such session, it is open, or its recording is gone.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let disk = Folder::new(&args.data);
    let is_meant = |session: &Extent| match args.session.as_str() {
        "last" => session.last.is_some(),
        id => session.id == id,
    };
    let session = all(&disk)?.into_iter().filter(is_meant).max_by_key(|session| session.first_log_time_ns);
    let session = session.with_context(|| format!("{} holds no session {}", args.data.display(), args.session))?;
    if let Some(path) = &args.rig
        && let Err(findings) = load_rig(path)
    {
        findings.iter().for_each(|finding| eprintln!("{finding}"));
        return Ok(ExitCode::from(FINDINGS));
    }
    let amendment = amendment(&args)?;
    if !amendment.texts.is_empty() || !amendment.decisions.is_empty() {
        must_run(&session, &amendment)?;
        let number = amend(&disk, &session.rig, session.first_position, &amendment)?;
        audit(&args, &session, number, &amendment).await.context("it is amended, but the audit can't be written")?;
    }
    let all = amendments(&disk, &session.rig, session.first_position)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&all.iter().zip(1..).map(listed).collect::<Vec<_>>())?);
    } else {
        print(&session.id, &all);
    }
    Ok(ExitCode::SUCCESS)
}

/// What was asked for.
fn amendment(args: &Args) -> anyhow::Result<Amendment> {
    let entered_ns = ArrivalClock::start().now_ns();
    let time_ns = args.time.unwrap_or(entered_ns);
    let mut amendment = Amendment { entered_ns, who: Some(args.who.clone()), why: args.why.clone(), ..Amendment::default() };
    if let Some(path) = &args.rig {
        let text = std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
        amendment.texts.insert(RIG_TEXT.to_owned(), text);
    }
    let author = || args.who.clone();
    let notes = args.note.iter().map(|text| Decision::Note { time_ns, note: Note::plain(author(), text) });
    let marks = args.mark.iter().map(|label| Decision::Mark { time_ns, label: label.clone() });
    let outcome = |Answers { instrument, items }: &Answers| Decision::Outcome {
        time_ns,
        author: author(),
        instrument: *instrument,
        items: items.clone(),
    };
    amendment.decisions = notes.chain(marks).chain(args.outcome.iter().map(outcome)).collect();
    Ok(amendment)
}

/// Refuses a rig file under which the session could not run again.
fn must_run(session: &Extent, amendment: &Amendment) -> anyhow::Result<()> {
    let Some(rig) = amendment.texts.get(RIG_TEXT) else { return Ok(()) };
    let mut texts = session.texts.clone();
    texts.insert(RIG_TEXT.to_owned(), rig.clone());
    let plan = plan_of(&texts).context("the session's pipeline can't run with this rig file")?;
    anyhow::ensure!(plan.rig.name == session.rig, "the session is of rig {}, and the file of rig {}", session.rig, plan.rig.name);
    Ok(())
}

/// Who did it, in the audit.
async fn audit(args: &Args, session: &Extent, number: u32, amendment: &Amendment) -> anyhow::Result<()> {
    let what = Some(session.id.as_str());
    let detail = Some(format!("amendment {number}: {}", summary(amendment)));
    let row = Audit { kind: audit_kind::AMEND, who: Some(&args.who), subject: session.subject.as_deref(), what, detail };
    crate::engine::audit::write(&args.data, &session.rig, APPLICATION, &row.chunk(amendment.entered_ns, &session.id, "", 0)).await
}

fn listed((amendment, number): (&Amendment, usize)) -> Listed<'_> {
    let Amendment { entered_ns, who, why, texts, decisions } = amendment;
    Listed { number, entered: entered(*entered_ns), who: who.as_deref(), why: why.as_deref(), texts, decisions }
}

fn entered(entered_ns: TimeNs) -> String {
    chrono::DateTime::from_timestamp_nanos(entered_ns).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// What it puts right, in a line.
fn summary(amendment: &Amendment) -> String {
    let decision = |decision: &Decision| match decision {
        Decision::Note { note, .. } => format!("note \"{}\"", note.text),
        Decision::Mark { label, .. } => format!("mark \"{label}\""),
        Decision::Outcome { instrument, .. } => instrument.name().to_owned(),
        other => format!("{other:?}"),
    };
    amendment.texts.keys().cloned().chain(amendment.decisions.iter().map(decision)).collect::<Vec<_>>().join(", ")
}

fn print(session: &str, amendments: &[Amendment]) {
    if amendments.is_empty() {
        println!("nothing was put right in session {session}");
        return;
    }
    println!("{:<3} {:<20} {:<12} what", "", "entered", "by");
    for (amendment, number) in amendments.iter().zip(1..) {
        let why = amendment.why.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
        let who = amendment.who.as_deref().unwrap_or_default();
        println!("{number:<3} {:<20} {who:<12} {}{why}", entered(amendment.entered_ns), summary(amendment));
    }
    println!(
        "`proprio rebuild --sessions {session}` runs it again with all of these; `proprio adopt --sessions {session} --recorded` shows that"
    );
}
