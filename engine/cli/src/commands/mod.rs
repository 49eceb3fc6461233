//! The commands, one file each, and what they share.

mod accuracy;
mod adopt;
mod amend;
mod bench;
mod check;
pub mod connect;
mod demo;
mod doctor;
mod earlier;
mod faults;
mod forget;
mod graph;
mod operators;
mod play;
mod programme;
mod publishing;
mod rebuild;
mod reload;
mod replay;
mod run;
mod schema;
mod serve;
mod session;
mod simulate;
mod sql;
mod tables;
mod test;
mod top;
mod user;

use std::future::Future;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use tokio::runtime::Runtime;

/// Streaming fusion of motion and muscle sensors for movement labs.
///
/// Exit codes: 0 done, 1 an error, 2 findings in a file or a wrong command line, 3 a test, a demo or an accuracy figure that is off.
#[derive(Debug, Parser)]
#[command(name = "proprio", version = crate::lineage::BUILD)]
pub struct Cli {
    /// What is logged, such as `info` or `proprio=debug,zenoh=warn`.
    #[arg(long, global = true, env = "PROPRIO_LOG", default_value = "proprio=info,warn,zenoh=error", value_name = "FILTER")]
    log: String,
    /// How it is logged.
    #[arg(long, global = true, default_value = "text", value_name = "FORM")]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Run(run::Args),
    Play(play::Args),
    Replay(replay::Args),
    Simulate(simulate::Args),
    Sql(sql::Args),
    Tables(tables::Args),
    Serve(serve::Args),
    User(user::Args),
    Session(session::Args),
    Top(top::Args),
    Doctor(doctor::Args),
    Reload(reload::Args),
    Rebuild(rebuild::Args),
    Adopt(adopt::Args),
    Amend(amend::Args),
    Forget(forget::Args),
    Faults(faults::Args),
    Bench(bench::Args),
    Accuracy(accuracy::Args),
    Check(check::Args),
    Test(test::Args),
    Graph(graph::Args),
    Operators(operators::Args),
    Schema(schema::Args),
}

/// Runs a command.
///
/// # Errors
/// What kept it from being done, for people.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    log(&cli)?;
    match cli.command {
        Command::Demo(args) => in_runtime(demo::run(args)),
        Command::Run(args) => in_runtime(run::run(args)),
        Command::Play(args) => in_runtime(play::run(args)),
        Command::Replay(args) => in_runtime(replay::run(args)),
        Command::Simulate(args) => in_runtime(simulate::run(args)),
        Command::Sql(args) => in_runtime(sql::run(args)),
        Command::Tables(args) => in_runtime(tables::run(args)),
        Command::Serve(args) => in_runtime(serve::run(args)),
        Command::User(args) => user::run(args),
        Command::Session(args) => in_runtime(session::run(args)),
        Command::Doctor(args) => in_runtime(doctor::run(args)),
        Command::Top(args) => in_runtime(top::run(args)),
        Command::Reload(args) => in_runtime(reload::run(args)),
        Command::Rebuild(args) => rebuild::run(args),
        Command::Amend(args) => in_runtime(amend::run(args)),
        Command::Adopt(args) => in_runtime(adopt::run(args)),
        Command::Forget(args) => in_runtime(forget::run(args)),
        Command::Faults(args) => faults::run(&args),
        Command::Accuracy(args) => accuracy::run(&args),
        Command::Bench(args) => in_runtime(bench::run(args)),
        Command::Check(args) => check::run(args),
        Command::Test(args) => test::run(args),
        Command::Graph(args) => graph::run(args),
        Command::Operators(args) => operators::run(args),
        Command::Schema(args) => schema::run(args),
    }
}

fn in_runtime(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(command)
}

/// The runtime that everything asynchronous runs in.
pub fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no tokio runtime")
}

fn log(cli: &Cli) -> anyhow::Result<()> {
    let mut filter = tracing_subscriber::EnvFilter::try_new(&cli.log).with_context(|| format!("`--log {}` is no filter", cli.log))?;
    if matches!(cli.command, Command::Bench(_)) {
        // Its alerts and its engines come by the thousand, and are no news.
        filter = filter.add_directive("proprio=warn".parse().expect("it is a directive"));
    }
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match cli.log_format {
        LogFormat::Text => builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).compact().init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
