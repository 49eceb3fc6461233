//! `proprio play`: a lab's recording, published over zenoh as its sensors.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, bail};
use proprio_core::control::Request;
use proprio_core::quantity::Duration;
use proprio_core::{Kind, Rate, Rig, TimeNs};
use proprio_files::{OpenOptions, PACKET_NS, Recording};
use proprio_zenoh::{Publisher, PublisherOptions, Speed};

use super::connect::ConnectArgs;
use super::publishing::{PATIENCE, Sender, bar, change, running_rig};
use super::session::CarryArg;

/// Event time of a recording's first sample, so that two runs agree.
pub const START: &str = "2000-01-01T00:00:00Z";

/// Publishes a recording (C3D, Parquet, CSV) over zenoh as its sensors, each at its own rate, into a running pipeline.
///
/// Opens a session, sends every sample, waits until all are durable, and ends the session.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Recording.
    file: PathBuf,
    /// How fast: `1`, `10`, or `max`.
    #[arg(long, default_value = "1")]
    speed: Speed,
    /// Event time of the first sample, RFC 3339.
    #[arg(long, default_value = START, value_parser = time, value_name = "TIME")]
    start: TimeNs,
    #[command(flatten)]
    carry: CarryArg,
    /// Pseudonym of the subject.
    #[arg(long)]
    subject: Option<String>,
    /// What was done; by default the file's name.
    #[arg(long)]
    task: Option<String>,
    /// Rig to play into; by default the one that runs at the other end.
    #[arg(long)]
    rig: Option<String>,
    /// Write the rig file of this recording, and play nothing.
    #[arg(long, value_name = "FILE")]
    write_rig: Option<PathBuf>,
    /// Parquet and CSV: kind of the sensor, where the columns don't tell.
    #[arg(long, value_parser = kind)]
    kind: Option<Kind>,
    /// Parquet and CSV: name of the sensor; by default the file's.
    #[arg(long)]
    sensor: Option<String>,
    /// Parquet and CSV: rate, where no time column tells.
    #[arg(long)]
    rate: Option<Rate>,
    /// Parquet and CSV: a column under another name, `OURS=THEIRS`.
    #[arg(long = "column", value_parser = pair, value_name = "OURS=THEIRS")]
    columns: Vec<(String, String)>,
    /// Parquet and CSV: a column's unit in the file, `OURS=UNIT`, such as `accel_x_m_per_s2=g`.
    #[arg(long = "unit", value_parser = pair, value_name = "OURS=UNIT")]
    units: Vec<(String, String)>,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    network: ConnectArgs,
}

/// Plays the file.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let options = OpenOptions {
        kind: args.kind,
        sensor: args.sensor.clone(),
        rate: args.rate,
        columns: args.columns.iter().cloned().collect(),
        units: args.units.iter().cloned().collect(),
    };
    let recording = proprio_files::open(&args.file, &options)?;
    recording.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    if let Some(path) = &args.write_rig {
        return write_rig(&recording, path);
    }
    let session = proprio_zenoh::open_client(&args.network.options(), PATIENCE).await?;
    let rig = running_rig(&session, args.rig.as_deref()).await?;
    let begun = Instant::now();

    let task = args.task.clone().unwrap_or_else(|| recording.name.clone());
    let start = Request::SessionStart {
        subject: args.subject.clone(),
        task: Some(task),
        from_ns: Some(args.start - 1),
        carry: args.carry.session.clone(),
    };
    let id = change(&session, &rig.name, start).await?;
    let published = publish(&session, &rig, &recording, &args).await?;
    change(&session, &rig.name, Request::SessionStop {}).await?;

    let outcome = serde_json::json!({
        "session": id,
        "rig": rig.name,
        "samples": published.samples,
        "messages": published.messages,
        "bytes": published.bytes,
        "recorded_s": recording.duration_ns as f64 / 1e9,
        "took_s": begun.elapsed().as_secs_f64(),
        "parameters": recording.parameters.iter().map(|parameter| serde_json::json!({
            "name": parameter.name, "value": parameter.value, "unit": parameter.unit, "side": parameter.side,
        })).collect::<Vec<_>>(),
    });
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{outcome:#}")?;
    } else {
        let (samples, bytes) = (published.samples, published.bytes as f64 / 1e6);
        let took = begun.elapsed().as_secs_f64();
        writeln!(out, "{samples} samples ({bytes:.1} MB) published and durable in {took:.1} s, as session {id} of rig {}", rig.name)?;
        print_parameters(&recording, &mut out)?;
    }
    session.close().await.map_err(|error| anyhow::anyhow!("zenoh did not close: {error}"))?;
    Ok(ExitCode::SUCCESS)
}

async fn publish(
    session: &proprio_zenoh::Session,
    rig: &Rig,
    recording: &Recording,
    args: &Args,
) -> anyhow::Result<proprio_zenoh::publisher::Published> {
    let packets = recording.packets(rig, args.start, PACKET_NS)?;
    let sensors: BTreeSet<usize> = recording.sensors.iter().filter_map(|sensor| rig.sensor(&sensor.name)).collect();
    if sensors.is_empty() {
        bail!("rig {} has none of the sensors of {}", rig.name, args.file.display());
    }
    let sensors: Vec<usize> = sensors.into_iter().collect();
    let options = PublisherOptions { paced: false, sensors: Some(sensors.clone()), ..PublisherOptions::default() };
    let publisher = Publisher::open(session, rig, options).await?;
    let bar = bar(recording.duration_ns, &recording.name);
    let mut sender = Sender::new(&publisher, rig, &sensors, args.speed, false, PACKET_NS);
    for packet in packets {
        let packet = packet?;
        if let Some(last) = proprio_core::rows::times(&packet.rows).last() {
            bar.set_position(((last - args.start) / 1_000_000).max(0) as u64);
        }
        sender.send(packet).await?;
    }
    let published = publisher.end().await?;
    bar.finish_and_clear();
    Ok(published)
}

fn write_rig(recording: &Recording, path: &std::path::Path) -> anyhow::Result<ExitCode> {
    let name: String = recording.name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let text = proprio_runtime::rig_yaml(&recording.rig(name.trim_matches('-')));
    std::fs::write(path, text).with_context(|| format!("{} can't be written", path.display()))?;
    eprintln!("wrote {}: {} sensors", path.display(), recording.sensors.len());
    Ok(ExitCode::SUCCESS)
}

fn print_parameters(recording: &Recording, out: &mut impl std::io::Write) -> anyhow::Result<()> {
    if recording.parameters.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nWhat the file says of itself:")?;
    for parameter in &recording.parameters {
        let side = parameter.side.map_or("", proprio_core::rig::Side::name);
        writeln!(out, "  {:<24} {side:<6} {:>10.4} {}", parameter.name, parameter.value, parameter.unit)?;
    }
    Ok(())
}

/// An instant in RFC 3339, as nanoseconds since the Unix epoch.
pub fn time(text: &str) -> Result<TimeNs, String> {
    let time = chrono::DateTime::parse_from_rfc3339(text).map_err(|error| format!("{error}; a time is written 2000-01-01T00:00:00Z"))?;
    time.timestamp_nanos_opt().filter(|time| *time > 0).ok_or_else(|| "expected a time between 1970 and 2262".to_owned())
}

/// A kind of sensor by its name.
pub fn kind(text: &str) -> Result<Kind, String> {
    let names = Kind::ALL.map(Kind::name).join(", ");
    Kind::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| format!("expected one of {names}"))
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (ours, theirs) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((ours.to_owned(), theirs.to_owned()))
}

/// A duration on the command line, such as `30 s`.
pub fn duration(text: &str) -> Result<Duration, String> {
    proprio_core::quantity::Dimension::DURATION.parse(text).map(Duration::new).map_err(|error| error.to_string())
}
