//! `proprio bench`: how fast is it, measured on this machine?

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use proprio_bench::{Limits, Standing, Wire, chosen, measure};
use proprio_zenoh::wire;
use serde::Serialize;

use super::connect::free_endpoint;
use super::test::ANSWERS_OFF;
use crate::latency::{self, Followers, Recording, Through};

/// The recording may slow an alert by so much.
const RATIO_MAX: f64 = 1.10;

/// Runs our work and other people's programs that do the same, in turn, and says how many times as long as we they take.
///
/// Their programs are installed, each in a Python environment of its own, under ~/.cache/proprio; what can't be had is named. Every program
/// has one thread, and processor time is what counts, so other load on the machine hardly shows. Exits with 3 when answers differ.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Works, such as `emg`; all by default.
    #[arg(value_name = "WORK")]
    works: Vec<String>,
    /// Rounds of a work, at most.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(3..))]
    rounds: u32,
    /// Seconds after which no further round of a work begins, once three are done.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Folder of the recordings; works whose recordings are not there are skipped, by name.
    #[arg(long, env = "PROPRIO_DATA", default_value = "../shared/data", value_name = "DIR")]
    recordings: PathBuf,
    /// Answer in JSON, with every round.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    bench: Option<Bench>,
}

#[derive(Debug, Subcommand)]
enum Bench {
    Recording(RecordingArgs),
    Live(LiveArgs),
}

/// From a sensor's sample, over zenoh on loopback, to its row in a live query, within the engine, over Flight SQL and over a WebSocket; and
/// what it does to alerts that many follow over Flight SQL, of whom some never read.
#[derive(Debug, clap::Args)]
struct LiveArgs {
    /// Live queries that read, each another.
    #[arg(long, default_value_t = 40)]
    reading: usize,
    /// Live queries that never read.
    #[arg(long, default_value_t = 10)]
    silent: usize,
    /// Seconds that a round lasts: one with nobody, one with a single live query through each way, one with all.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct LiveOutcome {
    reading: usize,
    silent: usize,
    /// What those who read follow through; none where nobody does.
    through: Option<Through>,
    /// To the alert, the path that nobody may slow down.
    alerts: Quantiles,
    /// To the row; none where nobody reads.
    rows: Option<Quantiles>,
    /// Rows that were dropped for those who never read.
    dropped: u64,
}

/// From a sensor's sample to the alert that it causes, over zenoh on loopback, with the recording on and off in turn.
///
/// Off means that the disk takes everything and keeps nothing: an engine always encodes what it records.
#[derive(Debug, clap::Args)]
struct RecordingArgs {
    /// Rounds of each, in turn.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds that a round lasts.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Where the recordings lie while they are needed; the disk that it is about. Default: the temporary folder.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Outcome {
    on: Quantiles,
    off: Quantiles,
    /// On over off.
    p50_ratio: f64,
    p95_ratio: f64,
    p99_ratio: f64,
    /// Whether p50 and p99 with the recording on are within 10 % of off.
    within: bool,
}

#[derive(Serialize)]
struct Quantiles {
    count: usize,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
}

/// Measures, and prints what was found; speed is no error.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match &args.bench {
        None => works(&args),
        Some(Bench::Recording(args)) => recording(args).await,
        Some(Bench::Live(args)) => live(args).await,
    }
}

fn works(args: &Args) -> anyhow::Result<ExitCode> {
    let works = chosen(&args.works)?;
    let bench = proprio_bench::Bench {
        wire: Wire { encoding: wire::PACKED, encode: wire::packed::encode, decode: wire::decode },
        recordings: args.recordings.clone(),
        cache: cache()?,
    };
    let limits = Limits { rounds: args.rounds as usize, time: Duration::from_secs(args.seconds) };
    let report = measure(&works, &bench, limits, crate::lineage::BUILD, |work| eprintln!("{}: {}", work.name, work.about))?;
    if args.json {
        writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        write!(std::io::stdout(), "{report}")?;
    }
    let differs = report.measured.iter().flat_map(|measured| &measured.compared).any(|compared| compared.stands == Standing::OtherAnswer);
    Ok(if differs { ExitCode::from(ANSWERS_OFF) } else { ExitCode::SUCCESS })
}

/// Where other people's programs stay from run to run.
fn cache() -> anyhow::Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME says where to keep other people's programs")?.join("proprio"))
}

async fn recording(args: &RecordingArgs) -> anyhow::Result<ExitCode> {
    let data = args.data.clone().unwrap_or_else(std::env::temp_dir);
    let bar = ProgressBar::new(u64::from(args.rounds) * 2);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} rounds, {eta} left").expect("the template is right"));
    let (mut on, mut off) = (Vec::new(), Vec::new());
    for round in 0..args.rounds {
        // Each comes first as often as the other, so that a drift of the machine favours neither.
        let order = if round % 2 == 0 { [Recording::On, Recording::Off] } else { [Recording::Off, Recording::On] };
        for recording in order {
            let measured = latency::round(recording, Followers::default(), args.seconds, &data, &free_endpoint()?).await?.alerts;
            if recording == Recording::On {
                on.extend(measured)
            } else {
                off.extend(measured)
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let outcome = Outcome::of(on, off)?;
    if args.json {
        writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&outcome)?)?;
    } else {
        outcome.print()?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn live(args: &LiveArgs) -> anyhow::Result<ExitCode> {
    let crowd = (args.reading.max(1), args.silent, Through::Flight);
    let single = [Through::Engine, Through::Flight, Through::WebSocket].map(|through| (1, 0, through));
    let mut outcomes = Vec::new();
    for (reading, silent, through) in [(0, 0, Through::Engine)].into_iter().chain(single).chain([crowd]) {
        let followers = Followers { reading, silent, through };
        let measured = latency::round(Recording::On, followers, args.seconds, &std::env::temp_dir(), &free_endpoint()?).await?;
        let rows = (reading > 0).then(|| Quantiles::of(measured.rows)).transpose()?;
        let through = (reading > 0).then_some(through);
        outcomes.push(LiveOutcome { reading, silent, through, alerts: Quantiles::of(measured.alerts)?, rows, dropped: measured.dropped });
    }
    if args.json {
        writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&outcomes)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(std::io::stdout(), "reading silent through     alerts p50 ms   p99 ms    rows p50 ms   p99 ms  dropped")?;
    for LiveOutcome { reading, silent, through, alerts, rows, dropped } in outcomes {
        let rows = rows.map_or_else(|| format!("{:>14} {:>8}", "–", "–"), |rows| format!("{:>14.3} {:>8.3}", rows.p50_ms, rows.p99_ms));
        let through = through.map_or_else(|| "–".to_owned(), |through| format!("{through:?}"));
        writeln!(
            std::io::stdout(),
            "{reading:>7} {silent:>6} {through:<9} {:>16.3} {:>8.3} {rows} {dropped:>8}",
            alerts.p50_ms,
            alerts.p99_ms
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Outcome {
    fn of(on: Vec<f64>, off: Vec<f64>) -> anyhow::Result<Self> {
        let (on, off) = (Quantiles::of(on)?, Quantiles::of(off)?);
        let [p50_ratio, p95_ratio, p99_ratio] = [on.p50_ms / off.p50_ms, on.p95_ms / off.p95_ms, on.p99_ms / off.p99_ms];
        Ok(Self { within: p50_ratio <= RATIO_MAX && p99_ratio <= RATIO_MAX, on, off, p50_ratio, p95_ratio, p99_ratio })
    }

    fn print(&self) -> std::io::Result<()> {
        writeln!(std::io::stdout(), "recording     count   p50 ms   p95 ms   p99 ms")?;
        for (name, Quantiles { count, p50_ms, p95_ms, p99_ms }) in [("on", &self.on), ("off", &self.off)] {
            writeln!(std::io::stdout(), "{name:<9} {count:>9} {p50_ms:>8.3} {p95_ms:>8.3} {p99_ms:>8.3}")?;
        }
        let Self { p50_ratio, p95_ratio, p99_ratio, .. } = self;
        writeln!(std::io::stdout(), "on / off            {p50_ratio:>8.3} {p95_ratio:>8.3} {p99_ratio:>8.3}")?;
        writeln!(std::io::stdout(), "{}", if self.within { "p50 and p99 are within 10 %" } else { "NOT WITHIN 10 %" })
    }
}

impl Quantiles {
    /// By nearest rank.
    fn of(mut milliseconds: Vec<f64>) -> anyhow::Result<Self> {
        anyhow::ensure!(!milliseconds.is_empty(), "nothing came");
        milliseconds.sort_by(f64::total_cmp);
        let at = |share: f64| milliseconds[((milliseconds.len() as f64 * share).ceil() as usize).clamp(1, milliseconds.len()) - 1];
        Ok(Self { count: milliseconds.len(), p50_ms: at(0.50), p95_ms: at(0.95), p99_ms: at(0.99) })
    }
}
