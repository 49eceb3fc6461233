//! `proprio run`: a pipeline over a rig's live sensors, until it is told to stop.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use proprio_operators::REGISTRY;
use proprio_runtime::Loaded;

use super::check::FINDINGS;
use super::connect::ListenArgs;
use super::serve::DoorArgs;
use crate::engine::{Engine, Options};
use crate::watch::Watch;

/// Runs a pipeline over a rig's live sensors: records, computes, keeps tables, answers SQL. Ends on Ctrl-C or SIGTERM; takes its
/// changed files up on SIGHUP.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Pipeline file.
    #[arg(value_name = "PIPELINE")]
    pipeline: PathBuf,
    /// Data directory: recording and tables.
    #[arg(long, default_value = "data", value_name = "DIR")]
    data: PathBuf,
    /// Keep the tables elsewhere: in a folder, or at `s3://<bucket>/<prefix>` of a store that speaks S3, which AWS_ACCESS_KEY_ID,
    /// AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL and their like open. The data directory remembers it.
    #[arg(long, value_name = "PLACE", env = "PROPRIO_TABLES")]
    tables: Option<String>,
    /// Serve Prometheus metrics and a health check here.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "127.0.0.1:9464")]
    metrics: Option<SocketAddr>,
    /// Bound of the ingress queue in MiB; what comes beyond it is dropped, counted and recorded as such.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096), value_name = "MIB")]
    queue: u32,
    /// Take the pipeline file and its rig file up whenever they change. Files with mistakes leave the old ones running, and are
    /// told in the log.
    #[arg(long)]
    watch: bool,
    /// How long rows wait in memory before they are committed to the tables on disk; the recording has them at once.
    #[arg(long, default_value = "10 s", value_parser = super::play::duration, value_name = "DURATION")]
    commit_interval: proprio_core::quantity::Duration,
    #[command(flatten)]
    network: ListenArgs,
    #[command(flatten)]
    doors: DoorArgs,
    /// Open no doors: only zenoh answers SQL.
    #[arg(long, help_heading = "Doors", conflicts_with_all = ["users", "tls_cert"])]
    no_serve: bool,
}

/// Runs until a signal comes or the disk refuses.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let watch = args.watch.then(|| Watch::new(&args.pipeline));
    let loaded = match load(&args.pipeline) {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    let name = loaded.plan.pipeline.clone();
    let rig = loaded.plan.rig.name.clone();
    let options = Options {
        pipeline: args.pipeline.clone(),
        data: args.data.clone(),
        tables: args.tables.clone(),
        disk: None,
        zenoh: args.network.options(),
        metrics: args.metrics,
        queue_bytes: (args.queue as usize) << 20,
        commit_every: Duration::from_nanos(args.commit_interval.nanoseconds().max(0).cast_unsigned()),
        doors: (!args.no_serve).then(|| args.doors.options()),
    };
    let engine = Engine::start(loaded, options).await?;
    tracing::info!("pipeline {name} runs on rig {rig}; data in {}", args.data.display());
    if let Some(doors) = engine.doors() {
        tracing::info!("SQL at {}, {} and {}", doors.http, doors.flight, doors.postgres);
    }
    tokio::select! {
        ended = wait_for_end(&engine) => ended?,
        never = reload_on_hangup(&engine) => match never? {},
        never = reload_on_change(&engine, watch) => match never {},
    }
    tracing::info!("stopping: the session ends and its rows are committed");
    engine.stop().await?;
    Ok(ExitCode::SUCCESS)
}

/// A pipeline, or the exit code after its findings were printed.
pub fn load(pipeline: &std::path::Path) -> Result<Loaded, ExitCode> {
    match proprio_runtime::load(pipeline, REGISTRY) {
        Ok(loaded) => {
            loaded.warnings.iter().for_each(|warning| eprintln!("{warning}"));
            Ok(loaded)
        }
        Err(findings) => {
            findings.iter().for_each(|finding| eprintln!("{finding}"));
            Err(ExitCode::from(FINDINGS))
        }
    }
}

async fn reload_on_hangup(engine: &Engine) -> anyhow::Result<Infallible> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup()).context("SIGHUP can't be heard")?;
    while hangup.recv().await.is_some() {
        engine.reload();
    }
    Ok(std::future::pending().await)
}

async fn reload_on_change(engine: &Engine, watch: Option<Watch>) -> Infallible {
    let Some(mut watch) = watch else { return std::future::pending().await };
    loop {
        watch.changed().await;
        engine.reload();
    }
}

/// Returns when a signal asks for the end, or when the engine has stopped by itself.
pub async fn wait_for_end(engine: &Engine) -> anyhow::Result<()> {
    let stopped = async {
        while !engine.has_stopped() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        result = wait_for_signal() => result,
        () = stopped => Ok(()),
    }
}

/// Returns when a signal asks for the end.
pub async fn wait_for_signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM can't be heard")?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.context("Ctrl-C can't be heard")?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
