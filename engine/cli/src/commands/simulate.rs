//! `proprio simulate`: a virtual subject whose sensors, impairments and faults are set on the command line.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use indicatif::ProgressBar;
use proprio_core::control::Request;
use proprio_core::quantity::{Dimension, Duration};
use proprio_core::time::DAY_NS;
use proprio_core::{Kind, Packet, Rig, TimeNs};
use proprio_runtime::pipeline_file::SimulateFile;
use proprio_simulate::{Calibration, Count, Delivery, Layout, Options, Payload, PerSide, Placement, Simulation};
use proprio_zenoh::{Publisher, PublisherOptions, Session, Speed};

use super::connect::ConnectArgs;
use super::play::{duration, time};
use super::programme::{self, Programme};
use super::publishing::{PATIENCE, Sender, bar, change, running_rig};
use super::session::CarryArg;

/// Publishes a virtual subject's sensors over zenoh, with known truth as one more source, into a running pipeline.
///
/// At speed 1 the samples are stamped as they are sent; at any other speed, or with `--start`, event time begins at a fixed
/// instant, so that two runs give the same rows.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which sensors there are, and what the subject does.
    #[arg(long, default_value = "walking")]
    layout: LayoutName,
    /// How long.
    #[arg(long, default_value = "60 s", value_parser = duration)]
    duration: Duration,
    /// How fast time passes: `1`, `10`, or `max`.
    #[arg(long, default_value = "1")]
    speed: Speed,
    /// Seed of everything that chance decides: the same options give the same samples.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What is wrong with the subject, `NAME=VALUE:SIDE`, as often as needed: `gluteus-medius-delay=60ms:left`,
    /// `pelvic-drop=8deg:right`, `weak-hold=40%:both`, `gluteus-maximus-delay=100ms:left`; of both sides at once, in exercises,
    /// `lumbar-extension=15deg`, `tempo-error=20%` and `half-repetitions=20%`.
    #[arg(long = "impair", value_parser = impairment, value_name = "NAME=VALUE:SIDE")]
    impairments: Vec<Impairment>,
    /// Begin with the calibration procedure (standing still, squats, raising the toes), and how it goes: `good`, `few-repetitions`,
    /// `twisting`, `other-pose` or `swaying`. It takes about 24 s of the duration.
    #[arg(long, value_parser = calibration, value_name = "HOW")]
    calibration: Option<Calibration>,
    /// IMUs sit askew on their segments, turned about each axis by a random angle of this standard deviation.
    #[arg(long, value_parser = placement, value_name = "ANGLE")]
    placement: Option<Placement>,
    /// What is wrong on the way, `NAME=VALUE`, as often as needed: `dropout`, `duplicate`, `out-of-order` and `garbage` are
    /// shares of the packets such as `0.5%`; `jitter` is a spread such as `5ms`.
    #[arg(long = "fault", value_parser = fault, value_name = "NAME=VALUE")]
    faults: Vec<Fault>,
    /// Kinds of sensors that lose packets.
    #[arg(long, default_value = "imu", value_delimiter = ',', value_parser = super::play::kind)]
    dropout_kinds: Vec<Kind>,
    /// Each sensor's clock runs fast or slow by up to so many parts per million.
    #[arg(long, default_value_t = 5.0, value_name = "PPM")]
    drift: f64,
    /// Each sensor's clock starts off by up to so much.
    #[arg(long, default_value = "0 ms", value_parser = duration)]
    clock_offset: Duration,
    /// Factor on all noise and bias; 0 gives ideal sensors.
    #[arg(long, default_value_t = 1.0)]
    noise: f64,
    /// Steps a minute.
    #[arg(long, default_value_t = 110.0)]
    cadence: f64,
    /// Metres a second.
    #[arg(long, default_value_t = 1.25)]
    walking_speed: f64,
    /// How much time one packet covers; a long one makes fewer messages.
    #[arg(long, default_value = "20 ms", value_parser = duration)]
    packet: Duration,
    /// How many of each sensor's messages are kept, for an engine that restarts to fetch what it missed. Without, what is not
    /// acknowledged waits and is sent again.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000), value_name = "MESSAGES")]
    cache: Option<u32>,
    /// Event time of the first sample, RFC 3339.
    #[arg(long, value_parser = time, value_name = "TIME")]
    start: Option<TimeNs>,
    #[command(flatten)]
    carry: CarryArg,
    /// Pseudonym of the subject.
    #[arg(long, default_value = "virtual")]
    subject: String,
    /// Rig to publish into; by default the one that runs at the other end.
    #[arg(long)]
    rig: Option<String>,
    /// Weeks of training, three sessions each, of a virtual patient whose impairment responds to it, such as `8w`: what step `progression`
    /// proposes is approved and done. The layout is `hip-thrust`; time passes as fast as the computer can.
    #[arg(long, value_parser = programme::weeks, value_name = "WEEKS", conflicts_with_all = ["duration", "speed", "session", "calibration", "placement", "impairments"])]
    programme: Option<u32>,
    /// Week of a programme, from 1 on, in which no clinician is there to approve, so that nothing changes.
    #[arg(long, requires = "programme", value_name = "WEEK")]
    away: Option<u32>,
    /// Write the rig file of these sensors, and publish nothing.
    #[arg(long, value_name = "FILE")]
    write_rig: Option<PathBuf>,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    network: ConnectArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LayoutName {
    /// Walking: 8 IMUs, 8 EMG channels, 2 plates, 22 markers.
    Walking,
    /// Walking: 8 IMUs, 16 EMG channels, 2 plates, 40 markers.
    FullLab,
    /// Standing on one leg and the other in turn; sensors as for walking.
    Standing,
    /// Two sets of four hip thrusts: 8 IMUs and 8 EMG channels.
    HipThrust,
}

impl LayoutName {
    fn layout(self) -> Layout {
        match self {
            Self::Walking => Layout::Walking,
            Self::FullLab => Layout::FullLab,
            Self::Standing => Layout::Standing,
            Self::HipThrust => Layout::HipThrust,
        }
    }
}

/// A change that one `--impair` makes.
#[derive(Clone, Copy, Debug)]
struct Impairment {
    what: Impaired,
    value: f64,
    left: bool,
    right: bool,
}

#[derive(Clone, Copy, Debug)]
enum Impaired {
    GluteusMediusDelayMs,
    PelvicDropDeg,
    WeakHold,
    GluteusMaximusDelayMs,
    LumbarExtensionDeg,
    TempoError,
    HalfRepetitions,
}

/// A change that one `--fault` makes.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Dropout(f64),
    Duplicate(f64),
    OutOfOrder(f64),
    Garbage(f64),
    JitterMs(f64),
}

/// Runs the simulation.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut options = args.options();
    if let Some(path) = &args.write_rig {
        options.rig = args.rig.clone().unwrap_or(options.rig);
        let text = proprio_runtime::rig_yaml(&proprio_simulate::rig_file(&options));
        std::fs::write(path, text).with_context(|| format!("{} can't be written", path.display()))?;
        eprintln!("wrote {}", path.display());
        return Ok(ExitCode::SUCCESS);
    }
    options.check()?;
    let session = proprio_zenoh::open_client(&args.network.options(), PATIENCE).await?;
    let rig = running_rig(&session, args.rig.as_deref()).await?;
    options.rig = rig.name.clone();
    if let Some(weeks) = args.programme {
        let programme = Programme { weeks, away: args.away, subject: &args.subject };
        let done = programme::run(&session, &rig, programme, &options).await;
        session.close().await.map_err(|error| anyhow::anyhow!("zenoh did not close: {error}"))?;
        return done;
    }
    let begun = Instant::now();
    // In step with the world, samples are stamped as they are taken; otherwise event time is the simulation's own.
    let paced = args.speed == Speed::Factor(1.0) && args.start.is_none();
    let (subject, task) = (Some(args.subject.clone()), Some(format!("{:?}", args.layout).to_lowercase()));
    let from_ns = (!paced).then_some(options.start_ns - 1);
    let id = change(&session, &rig.name, Request::SessionStart { subject, task, from_ns, carry: args.carry.session.clone() }).await?;
    if paced {
        options.start_ns = proprio_zenoh::ArrivalClock::start().now_ns();
    }
    let mut simulation = Simulation::new(options)?;
    let cache = args.cache.map(|messages| messages as usize);
    let publisher = Publisher::open(&session, &rig, PublisherOptions { paced, cache, ..PublisherOptions::default() }).await?;
    let bar = bar(args.duration.nanoseconds(), "publishing");
    deliver_with_garbage(&mut simulation, &publisher, &rig, args.speed, paced, &bar, Some(&session)).await?;
    let published = publisher.end().await?;
    bar.finish_and_clear();
    change(&session, &rig.name, Request::SessionStop {}).await?;

    let [made, dropped] =
        [|count: &Count| count.made, |count: &Count| count.dropped].map(|of| simulation.counts().iter().map(of).sum::<i64>());
    let took_s = begun.elapsed().as_secs_f64();
    let mut out = std::io::stdout().lock();
    if args.json {
        let outcome = serde_json::json!({
            "session": id, "rig": rig.name, "samples": published.samples, "messages": published.messages, "bytes": published.bytes,
            "made_samples": made, "dropped_samples": dropped, "simulated_s": args.duration.seconds(), "took_s": took_s,
        });
        writeln!(out, "{outcome:#}")?;
    } else {
        let (samples, megabytes) = (published.samples, published.bytes as f64 / 1e6);
        writeln!(
            out,
            "{samples} samples ({megabytes:.1} MB) published and durable in {took_s:.1} s, {dropped} dropped on the way as asked"
        )?;
        writeln!(out, "session {id} of rig {}", rig.name)?;
    }
    session.close().await.map_err(|error| anyhow::anyhow!("zenoh did not close: {error}"))?;
    Ok(ExitCode::SUCCESS)
}

/// Publishes everything that a simulation delivers, each packet when it is due, and garbage left out.
///
/// # Errors
/// When the rig lacks a simulated sensor or has another in its place, zenoh refuses, or no acknowledgement comes.
pub async fn deliver(
    simulation: &mut Simulation,
    publisher: &Publisher,
    rig: &Rig,
    speed: Speed,
    paced: bool,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    deliver_with_garbage(simulation, publisher, rig, speed, paced, bar, None).await
}

async fn deliver_with_garbage(
    simulation: &mut Simulation,
    publisher: &Publisher,
    rig: &Rig,
    speed: Speed,
    paced: bool,
    bar: &ProgressBar,
    garbage: Option<&Session>,
) -> anyhow::Result<()> {
    let sensors = matching_sensors(simulation.rig(), rig)?;
    let start_ns = simulation.options().start_ns;
    let spread_ns = stamp_spread_ns(simulation.options());
    let mut pacer = proprio_zenoh::Pacer::new(speed);
    let mut sender = Sender::new(publisher, rig, &sensors, Speed::Max, paced, spread_ns);
    while let Some(Delivery { at_ns, sensor, payload }) = simulation.next_delivery() {
        pacer.wait_until(at_ns).await;
        bar.set_position(((at_ns - start_ns) / 1_000_000).max(0) as u64);
        let sensor = sensors[sensor];
        match payload {
            Payload::Packet(packet) => sender.send(Packet { sensor, ..packet }).await?,
            Payload::Garbage(bytes) => {
                let Some(session) = garbage else { continue };
                let sent = session.put(rig.sensors[sensor].key.clone(), bytes).await;
                sent.map_err(|error| anyhow::anyhow!("garbage can't be published: {error}"))?;
            }
        }
    }
    Ok(())
}

/// The packets of a pipeline's test, so many days after the first of its sessions, with the time where its session begins.
///
/// # Errors
/// When a figure can't be read or simulated, or the rig doesn't fit.
pub fn packets(file: &SimulateFile, rig: &Rig, day: usize) -> anyhow::Result<(Vec<Packet>, TimeNs)> {
    let layout = LayoutName::from_str(&file.layout, false).map_err(anyhow::Error::msg)?;
    let mut options =
        Options { seed: file.seed, duration_s: file.duration.seconds(), rig: rig.name.clone(), ..Options::of(layout.layout()) };
    for text in &file.impair {
        impairment(text).map_err(anyhow::Error::msg)?.apply(&mut options);
    }
    options.calibration = file.calibration.as_deref().map(calibration).transpose().map_err(anyhow::Error::msg)?;
    options.placement = file.placement.map_or(options.placement, |error| Placement::Error { sd_deg: error.degrees() });
    options.start_ns += day as i64 * DAY_NS;
    let from_ns = options.start_ns - 1;
    let mut simulation = Simulation::new(options)?;
    let sensors = matching_sensors(simulation.rig(), rig)?;
    let mut packets = Vec::new();
    while let Some(delivery) = simulation.next_delivery() {
        if let Payload::Packet(packet) = delivery.payload {
            packets.push(Packet { sensor: sensors[packet.sensor], ..packet });
        }
    }
    Ok((packets, from_ns))
}

/// For each simulated sensor, its index in the rig that runs.
fn matching_sensors(simulated: &Rig, running: &Rig) -> anyhow::Result<Vec<usize>> {
    let find = |sensor: &proprio_core::Sensor| {
        let Some(index) = running.sensor(&sensor.name) else {
            bail!("rig {} has no sensor {}; `proprio simulate --write-rig FILE` writes a rig that fits", running.name, sensor.name);
        };
        let other = &running.sensors[index];
        if other.kind != sensor.kind || other.wire_schema() != sensor.wire_schema() {
            bail!(
                "sensor {} of rig {} differs from the simulated one; `--write-rig FILE` writes a rig that fits",
                sensor.name,
                running.name
            );
        }
        Ok(index)
    };
    simulated.sensors.iter().map(find).collect()
}

/// How much older than the newest sample's stamp a sample may be that is still to come.
fn stamp_spread_ns(options: &Options) -> i64 {
    let jitter_ms = 3.5 * options.faults.jitter_ms;
    let drift_ms = 2e-3 * options.clocks.drift_ppm * options.duration_s;
    ((options.packet_ms + jitter_ms + drift_ms + 2.0 * options.clocks.offset_ms + 1.0) * 1e6) as i64
}

impl Args {
    fn options(&self) -> Options {
        let mut options = Options {
            seed: self.seed,
            duration_s: self.duration.seconds(),
            noise: self.noise,
            cadence_steps_per_min: self.cadence,
            walking_speed_m_per_s: self.walking_speed,
            packet_ms: self.packet.seconds() * 1000.0,
            calibration: self.calibration.clone(),
            placement: self.placement.unwrap_or_default(),
            ..Options::of(self.layout.layout())
        };
        options.clocks.drift_ppm = self.drift;
        options.clocks.offset_ms = self.clock_offset.seconds() * 1000.0;
        options.start_ns = self.start.unwrap_or(options.start_ns);
        self.impairments.iter().for_each(|impairment| impairment.apply(&mut options));
        options.faults.dropout_kinds.clone_from(&self.dropout_kinds);
        for fault in &self.faults {
            match *fault {
                Fault::Dropout(share) => options.faults.dropout = share,
                Fault::Duplicate(share) => options.faults.duplicate = share,
                Fault::OutOfOrder(share) => options.faults.out_of_order = share,
                Fault::Garbage(share) => options.faults.garbage = share,
                Fault::JitterMs(spread) => options.faults.jitter_ms = spread,
            }
        }
        options
    }
}

impl Impairment {
    fn apply(self, options: &mut Options) {
        let impairments = &mut options.impairments;
        let sides: &mut PerSide = match self.what {
            Impaired::GluteusMediusDelayMs => &mut impairments.gluteus_medius_delay_ms,
            Impaired::PelvicDropDeg => &mut impairments.pelvic_drop_deg,
            Impaired::WeakHold => &mut impairments.weak_hold,
            Impaired::GluteusMaximusDelayMs => &mut impairments.gluteus_maximus_delay_ms,
            Impaired::LumbarExtensionDeg => return impairments.lumbar_extension_deg = self.value,
            Impaired::TempoError => return options.training.tempo_error = self.value,
            Impaired::HalfRepetitions => return options.training.half = self.value,
        };
        if self.left {
            sides.left = self.value;
        }
        if self.right {
            sides.right = self.value;
        }
    }
}

/// Reads `gluteus-medius-delay=60ms:left`.
fn impairment(text: &str) -> Result<Impairment, String> {
    let form = "expected NAME=VALUE:SIDE, such as gluteus-medius-delay=60ms:left";
    let (name, rest) = text.split_once('=').ok_or(form)?;
    let has_no_side = ["lumbar-extension", "tempo-error", "half-repetitions"].contains(&name);
    let (value, side) = if has_no_side { (rest, "both") } else { rest.split_once(':').ok_or(form)? };
    let of = |dimension: &Dimension, factor: f64| dimension.parse(value).map(|value| value * factor).map_err(|error| error.to_string());
    let (what, value) = match name {
        "gluteus-medius-delay" => (Impaired::GluteusMediusDelayMs, of(&Dimension::DURATION, 1000.0)?),
        "pelvic-drop" => (Impaired::PelvicDropDeg, of(&Dimension::ANGLE, 1.0)?),
        "weak-hold" => (Impaired::WeakHold, share(value)?),
        "gluteus-maximus-delay" => (Impaired::GluteusMaximusDelayMs, of(&Dimension::DURATION, 1000.0)?),
        "lumbar-extension" => (Impaired::LumbarExtensionDeg, of(&Dimension::ANGLE, 1.0)?),
        "tempo-error" => (Impaired::TempoError, share(value)?),
        "half-repetitions" => (Impaired::HalfRepetitions, share(value)?),
        _ => {
            let known =
                "gluteus-medius-delay, gluteus-maximus-delay, pelvic-drop, weak-hold, lumbar-extension, tempo-error or half-repetitions";
            return Err(format!("`{name}` is no impairment: expected {known}"));
        }
    };
    let (left, right) = match side {
        "left" => (true, false),
        "right" => (false, true),
        "both" => (true, true),
        _ => return Err(format!("`{side}` is no side: expected left, right or both")),
    };
    Ok(Impairment { what, value, left, right })
}

/// Reads how a calibration procedure goes.
fn calibration(text: &str) -> Result<Calibration, String> {
    Calibration::named(text).ok_or_else(|| format!("`{text}` is no calibration: expected {}", Calibration::NAMES.join(", ")))
}

/// Reads `10deg` as a placement error.
fn placement(text: &str) -> Result<Placement, String> {
    Dimension::ANGLE.parse(text).map(|sd_deg| Placement::Error { sd_deg }).map_err(|error| error.to_string())
}

/// Reads `dropout=0.5%` or `jitter=5ms`.
fn fault(text: &str) -> Result<Fault, String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE, such as dropout=0.5%")?;
    match name {
        "dropout" => share(value).map(Fault::Dropout),
        "duplicate" => share(value).map(Fault::Duplicate),
        "out-of-order" => share(value).map(Fault::OutOfOrder),
        "garbage" => share(value).map(Fault::Garbage),
        "jitter" => Dimension::DURATION.parse(value).map(|spread_s| Fault::JitterMs(spread_s * 1000.0)).map_err(|error| error.to_string()),
        _ => Err(format!("`{name}` is no fault: expected dropout, duplicate, out-of-order, garbage or jitter")),
    }
}

/// Reads `40%` or `0.4` as a share.
fn share(text: &str) -> Result<f64, String> {
    let (number, scale) = text.strip_suffix('%').map_or((text, 1.0), |percent| (percent, 0.01));
    let share = number.trim().parse::<f64>().map(|number| number * scale).ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| format!("`{text}` is no share: expected 0% to 100%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impairments_are_read_with_their_units_and_sides() {
        let mut options = Options::default();
        for text in ["gluteus-medius-delay=0.06 s:left", "pelvic-drop=8deg:both", "weak-hold=40%:right", "lumbar-extension=15deg"] {
            impairment(text).expect(text).apply(&mut options);
        }
        let expected = proprio_simulate::Impairments {
            gluteus_medius_delay_ms: PerSide { left: 60.0, right: 0.0 },
            pelvic_drop_deg: PerSide { left: 8.0, right: 8.0 },
            weak_hold: PerSide { left: 0.0, right: 0.4 },
            lumbar_extension_deg: 15.0,
            ..proprio_simulate::Impairments::default()
        };
        assert_eq!(options.impairments, expected);
        for wrong in [
            "pelvic-drop=8deg",
            "pelvic-drop=8ms:left",
            "pelvic-drop=8deg:up",
            "limp=1:left",
            "weak-hold=140%:left",
            "lumbar-extension=15deg:left",
            "x",
        ] {
            assert!(impairment(wrong).is_err(), "{wrong}");
        }
        assert!(matches!(fault("jitter=5ms"), Ok(Fault::JitterMs(spread)) if (spread - 5.0).abs() < 1e-12));
        assert!(fault("dropout=-1%").is_err() && fault("dropout").is_err());
    }
}
