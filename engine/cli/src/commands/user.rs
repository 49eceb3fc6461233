//! `proprio user`: who may ask the tables from elsewhere.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use proprio_serve::Verifier;
use proprio_serve::users::{self, Entry, Limits};

use crate::password;

/// Shorter passwords are guessed.
const SHORTEST: usize = 8;

/// Users of the doors, in a file that holds no password.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Adds a user. The password is asked for at a terminal, where it isn't shown; else it is the first line of standard input.
    Add(Add),
}

#[derive(Debug, clap::Args)]
struct Add {
    /// Name.
    name: String,
    /// Users file; made when it isn't there.
    #[arg(long, default_value = "users.yaml", value_name = "FILE")]
    users: PathBuf,
    /// A table that the user may see, `*` stands for any text; several may be given.
    #[arg(long, default_value = "*", value_name = "PATTERN")]
    table: Vec<String>,
    /// A session that the user may see, `*` stands for any text; several may be given.
    #[arg(long, default_value = "*", value_name = "PATTERN")]
    session: Vec<String>,
    /// Make a token, which is printed once, in place of a password.
    #[arg(long)]
    token: bool,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Command::Add(add) = args.command;
    let (token, kept) = add.token.then(users::new_token).unzip();
    let password = if add.token { None } else { Some(Verifier::of(&new_password(&add.name)?).to_string()) };
    let entry = Entry { password, tokens: kept.into_iter().collect(), tables: add.table, sessions: add.session, limits: Limits::default() };
    users::add(&add.users, &add.name, entry)?;
    eprintln!("user {} is in {}; a running engine reads it when it starts", add.name, add.users.display());
    if let Some(token) = token {
        println!("{token}");
    }
    Ok(ExitCode::SUCCESS)
}

fn new_password(name: &str) -> anyhow::Result<String> {
    let given = password::read(&format!("password of {name}: "))?;
    ensure!(given.chars().count() >= SHORTEST, "a password has at least {SHORTEST} characters");
    // What nobody saw being typed may be mistyped.
    ensure!(!password::is_typed() || password::read("once more: ")? == given, "the two are not the same");
    Ok(given)
}
