//! The binary: reads the command line and wires the engine's parts together.

#![allow(clippy::print_stdout, reason = "what a command answers is its standard output")]

mod commands;
mod engine;
mod lineage;
mod running;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = commands::Cli::parse();
    match commands::run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
