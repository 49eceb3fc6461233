//! `proprio top`: how a running rig is, second by second: its sensors, and what each step waits for.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use proprio_core::TimeNs;
use proprio_core::control::{Reply, Request, SensorStatus, Status, StepStatusReply};

use super::connect::{Engine, EngineArgs};

/// How long the engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is asked.
const EVERY: Duration = Duration::from_secs(1);
/// Moves the cursor to the top left, and clears what is below it.
const REDRAW: &str = "\x1b[H\x1b[J";

/// Shows how a running rig is, each second until Ctrl-C: what its sensors send and lose, how their clocks run, and which source
/// each step waits for, since when.
///
/// A lag is how far a watermark is behind the engine's clock. Sessions whose event time is not now, such as recordings that are
/// played, show theirs in days or years.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Ask once.
    #[arg(long)]
    once: bool,
    /// Print each answer as a line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Asks and shows, until it is stopped.
///
/// # Errors
/// When no engine answers.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let engine = args.engine.find().await?;
    let mut every = tokio::time::interval(EVERY);
    loop {
        every.tick().await;
        let status = ask(&engine).await?;
        let text = if args.json { serde_json::to_string(&status)? + "\n" } else { screen(&status) };
        let mut out = std::io::stdout().lock();
        if !args.json && !args.once && out.is_terminal() {
            write!(out, "{REDRAW}")?;
        }
        write!(out, "{text}")?;
        out.flush()?;
        if args.once {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

async fn ask(engine: &Engine) -> anyhow::Result<Status> {
    match engine.ask(&Request::Status {}, PATIENCE).await? {
        Reply::Status(status) => Ok(status),
        other => bail!("the engine answered {other:?} to a request for its status"),
    }
}

/// What a person sees.
fn screen(status: &Status) -> String {
    let mut text = String::new();
    let Status { rig, session, position, durable_position, tables_position, tail_bytes, now_ns, .. } = status;
    let waiting = position - durable_position;
    let tail_kb = *tail_bytes as f64 / 1e3;
    // Writing into a string can't fail.
    let _ = writeln!(text, "rig {rig}, session {session}");
    let _ = writeln!(text, "recording: position {position}, {waiting} messages ({tail_kb:.0} kB) not on disk yet");
    let _ = writeln!(text, "tables: up to position {tables_position}");
    if let Some(trouble) = &status.trouble {
        let _ = writeln!(text, "TROUBLE: the disk takes nothing, and nothing is acknowledged: {trouble}");
    }
    let _ = writeln!(
        text,
        "\n{:<16} {:<7} {:>10} {:>9} {:>9} {:>7} {:>7} {:>8} {:>11} {:>10} {:>9} {:>9}",
        "sensor", "state", "rows", "rate", "declared", "lost", "late", "rejected", "offset", "drift", "±", "lag"
    );
    status.sensors.iter().for_each(|sensor| sensor_line(&mut text, sensor, *now_ns));
    let _ = writeln!(text, "\n{:<28} {:>9} {:>8}  waits for", "step", "lag", "waiting");
    status.steps.iter().for_each(|step| step_line(&mut text, step, *now_ns));
    text
}

fn sensor_line(text: &mut String, sensor: &SensorStatus, now_ns: TimeNs) {
    let state = match (sensor.present, sensor.idle) {
        (true, false) => "there",
        (true, true) => "silent",
        (false, _) => "gone",
    };
    let hertz = |rate: Option<f64>| rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1} Hz"));
    let signed = |ns: i64| format!("{}{}", if ns < 0 { "-" } else { "" }, length(ns.saturating_abs()));
    let clock = |of: &dyn Fn(&proprio_core::control::ClockStatus) -> String| sensor.clock.as_ref().map_or_else(|| "-".to_owned(), of);
    let _ = writeln!(
        text,
        "{:<16} {state:<7} {:>10} {:>9} {:>9} {:>7} {:>7} {:>8} {:>11} {:>10} {:>9} {:>9}",
        sensor.name,
        sensor.rows,
        hertz(sensor.rate_hz),
        hertz(sensor.declared_rate_hz),
        sensor.lost,
        sensor.late,
        sensor.rejected,
        clock(&|clock| signed(clock.offset_ns)),
        clock(&|clock| format!("{:.2} ppm", clock.drift_ppb as f64 / 1e3)),
        clock(&|clock| clock.uncertainty_ns.map_or_else(|| "-".to_owned(), length)),
        lag(sensor.watermark_ns, now_ns),
    );
}

fn step_line(text: &mut String, step: &StepStatusReply, now_ns: TimeNs) {
    let StepStatusReply { stream, watermark_ns, waiting_rows, waits_for, since_ns, .. } = step;
    let since = since_ns.map_or_else(String::new, |since_ns| format!(", for {}", length((now_ns - since_ns).max(0))));
    let waits = if waits_for.is_empty() { "-".to_owned() } else { waits_for.join(", ") + &since };
    let _ = writeln!(text, "{stream:<28} {:>9} {waiting_rows:>8}  {waits}", lag(*watermark_ns, now_ns));
}

/// How far a watermark is behind.
fn lag(watermark_ns: Option<TimeNs>, now_ns: TimeNs) -> String {
    watermark_ns.map_or_else(|| "-".to_owned(), |watermark_ns| length((now_ns - watermark_ns).max(0)))
}

/// A length of time as people say it.
fn length(ns: i64) -> String {
    const DAY_S: f64 = 86_400.0;
    let seconds = ns as f64 * 1e-9;
    match seconds {
        s if s < 1e-3 => format!("{:.0} µs", s * 1e6),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 2.0 * DAY_S => format!("{:.0} h", s / 3600.0),
        s if s < 730.0 * DAY_S => format!("{:.0} d", s / DAY_S),
        s => format!("{:.0} y", s / (365.25 * DAY_S)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proprio_core::control::ClockStatus;

    #[test]
    fn a_screen_says_what_is_amiss() {
        let clock = ClockStatus { offset_ns: -2_500_000, drift_ppb: 48_200, uncertainty_ns: Some(120_000) };
        let sensor = SensorStatus {
            name: "trunk".to_owned(),
            present: true,
            idle: true,
            declared_rate_hz: Some(100.0),
            rate_hz: Some(98.76),
            watermark_ns: Some(7_000_000_000),
            clock: Some(clock),
            ..SensorStatus::default()
        };
        let step = StepStatusReply {
            stream: "fused".to_owned(),
            waits_for: vec!["imu/trunk".to_owned()],
            since_ns: Some(8_500_000_000),
            ..StepStatusReply::default()
        };
        let trouble = Some("No space left on device".to_owned());
        let status = Status { now_ns: 10_000_000_000, sensors: vec![sensor], steps: vec![step], trouble, ..Status::default() };
        let screen = screen(&status);
        for said in ["silent", "98.8 Hz", "100.0 Hz", "-2 ms", "48.20 ppm", "120 µs", "3.0 s", "imu/trunk, for 1.5 s", "No space left"] {
            assert!(screen.contains(said), "no `{said}` in\n{screen}");
        }
    }

    #[test]
    fn lengths_of_time_are_said_as_people_do() {
        assert_eq!([950, 3_400_000, 61 * 1_000_000_000, 3_000 * 1_000_000_000].map(length), ["1 µs", "3 ms", "61.0 s", "50 min"]);
        assert_eq!(length(26 * 31_557_600 * 1_000_000_000), "26 y");
    }
}
