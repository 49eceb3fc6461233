//! `proprio sql`: questions to the running engine, to one elsewhere, or to the tables on disk; a shell when none is given.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use proprio_serve::{Login, Remote, RemoteError};
use proprio_tables::{Format, is_subscription};

use super::connect::ConnectArgs;
use crate::password;
use crate::shell::{Asked, Shell, Show, follow};

/// What helps who is let in by no name.
const NOBODY: &str = "who asks there says `--user NAME`, or brings a token in PROPRIO_TOKEN";

/// Asks the tables in SQL: the running engine, with every row up to now, or the data directory when none runs.
///
/// SELECT, `DESCRIBE imu` (columns with units and frames), SHOW TABLES and EXPLAIN are answered; nothing is changed. `SUBSCRIBE SELECT …`
/// follows a running engine until Ctrl-C. Names are written as they stand, capitals included. Without a statement it is a shell: on a
/// terminal with history and completion, `\?` lists its commands; else the statements of standard input are asked, each ended by `;`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The statement, such as `SELECT * FROM imu_latest`; a shell when absent.
    query: Option<String>,
    /// Data directory.
    #[arg(long, default_value = "data", value_name = "DIR", conflicts_with = "remote")]
    data: PathBuf,
    /// How answers are written: table, csv, json, arrow (IPC stream) or parquet.
    #[arg(long, default_value = "table", value_name = "FORMAT")]
    format: Format,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Write answers into a file.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Rig to ask; by default the one that runs at the other end.
    #[arg(long, value_name = "NAME", conflicts_with = "remote")]
    rig: Option<String>,
    /// Seconds that an answer may take.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    timeout: u64,
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    network: ConnectArgs,
}

/// An engine elsewhere, which is asked through its doors.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "An engine elsewhere")]
struct RemoteArgs {
    /// Its address: `grpc+tls://lab.example:7341`, or `grpc://127.0.0.1:7341` on this machine; `https://` and `http://` name the same.
    #[arg(long, value_name = "URL", conflicts_with_all = ["connect", "zenoh_config"])]
    remote: Option<String>,
    /// Who asks. The password is `PROPRIO_PASSWORD` in the environment, or asked for; a token is `PROPRIO_TOKEN`, without a name.
    #[arg(long, value_name = "NAME", requires = "remote")]
    user: Option<String>,
    /// Certificates to trust in place of the system's, PEM.
    #[arg(long, value_name = "FILE", requires = "remote")]
    ca: Option<PathBuf>,
}

impl RemoteArgs {
    /// The engine that is named; none when none is.
    async fn connect(&self) -> anyhow::Result<Option<Remote>> {
        let Some(address) = &self.remote else { return Ok(None) };
        let address = address.parse()?;
        let login = self.login()?;
        let remote = Remote::connect(address, &login, self.ca.as_deref()).await?;
        if login == Login::Nobody
            && let Err(error @ RemoteError::Login { .. }) = remote.ask("SELECT 1").await
        {
            return Err(error).context(NOBODY);
        }
        Ok(Some(remote))
    }

    fn login(&self) -> anyhow::Result<Login> {
        let said = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Ok(match (&self.user, said("PROPRIO_TOKEN")) {
            (None, None) => Login::Nobody,
            (None, Some(token)) => Login::Token(token),
            (Some(user), _) => {
                let password = said("PROPRIO_PASSWORD").map_or_else(|| password::read(&format!("password of {user}: ")), Ok)?;
                Login::Password { user: user.clone(), password }
            }
        })
    }
}

/// Asks, and writes what is answered.
///
/// # Errors
/// When nothing answers, the query is refused, or the answer can't be written. In a shell these are told and end nothing.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut show = Show::new(if args.json { Format::Json } else { args.format });
    let patience = Duration::from_secs(args.timeout);
    let asked = match args.remote.connect().await? {
        Some(remote) => Asked::Remote { remote, patience },
        None => Asked::find(&args.network, args.rig.as_deref(), &args.data, patience).await?,
    };
    let Some(query) = &args.query else {
        show.output(args.output.as_deref())?;
        let shell = Shell::new(asked, show);
        if std::io::stdin().is_terminal() {
            shell.talk().await?;
            return Ok(ExitCode::SUCCESS);
        }
        return Ok(if shell.pipe().await? { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    };
    show.refuse_binary_screen(args.output.is_some())?;
    if is_subscription(query) {
        show.output(args.output.as_deref())?;
        let followed = follow(&asked, &mut show, query).await;
        asked.close().await;
        return followed.map(|()| ExitCode::SUCCESS);
    }
    let batches = asked.ask(query).await;
    asked.close().await;
    let batches = batches?;
    show.output(args.output.as_deref())?;
    show.answer(&batches)?;
    Ok(ExitCode::SUCCESS)
}
