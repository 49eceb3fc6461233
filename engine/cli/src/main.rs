//! The binary: reads the command line and wires the engine's parts together.

#![allow(clippy::print_stdout, reason = "what a command answers is its standard output")]

mod again;
mod ask;
mod commands;
mod engine;
mod faults;
mod forget;
mod latency;
mod lineage;
mod password;
mod place;
mod plans;
mod rebuild;
mod recorded;
mod running;
mod selection;
mod shell;
mod verify;
mod watch;

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = commands::Cli::parse();
    match commands::run(cli) {
        Ok(code) => code,
        // A reader that has seen enough, such as `head`, is no error.
        Err(error) if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
