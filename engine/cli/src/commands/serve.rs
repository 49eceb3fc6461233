//! `proprio serve`: the doors over tables on disk, when no rig runs. And where any command opens its doors.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use proprio_serve::{Addresses, Doors, Options, Tables};

use crate::place::DataArgs;
use crate::running::Running;

/// Where the tables are asked by other people's programs; on this machine's loopback by default.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Doors")]
pub struct DoorArgs {
    /// Serve SQL here: HTTP and Arrow Flight SQL on one port, the PostgreSQL wire on another. Beyond loopback only with TLS and users.
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    serve: IpAddr,
    /// Port of HTTP and Flight SQL, 0 for any that is free; 7341, or any when that is taken.
    #[arg(long, value_name = "PORT")]
    http_port: Option<u16>,
    /// Port of the PostgreSQL wire, 0 for any that is free; 7342, or any when that is taken.
    #[arg(long, value_name = "PORT")]
    postgres_port: Option<u16>,
    /// Users, with the tables and sessions that each may see; `proprio user add` writes it.
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// Certificate, PEM, with those between it and its root.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl DoorArgs {
    /// As the doors take them.
    pub fn options(&self) -> Options {
        let options = Options {
            address: self.serve,
            http_port: self.http_port,
            postgres_port: self.postgres_port,
            users: self.users.clone(),
            ..Options::default()
        };
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => options.with_tls(certificate.clone(), key.clone()),
            _ => options,
        }
    }
}

/// Serves the tables of a data directory in which no rig runs, until Ctrl-C or SIGTERM; a running rig serves them itself.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    doors: DoorArgs,
}

/// Serves until it is told to stop.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    if args.data.is_of_data()
        && let Some(Running { pid, doors: Some(doors), .. }) = &Running::find(&args.data.data)
    {
        bail!("process {pid} runs a rig in {} and serves its tables already, at {}", args.data.data.display(), doors.http);
    }
    let tables = Tables::resting(args.data.place()?).await?;
    let doors = Doors::open(&args.doors.options(), tables)?;
    print(doors.addresses());
    super::run::wait_for_signal().await?;
    Ok(ExitCode::SUCCESS)
}

/// Says on standard output where the doors are.
pub fn print(addresses: &Addresses) {
    let Addresses { http, flight, postgres } = addresses;
    println!("SQL over HTTP       {http}/v1/sql");
    println!("Arrow Flight SQL    {flight}");
    println!("PostgreSQL wire     {postgres}");
}

#[cfg(test)]
mod tests {
    use proprio_serve::{HTTP_PORT, POSTGRES_PORT};

    #[test]
    fn the_help_names_the_ports_that_are_tried_first() {
        assert_eq!((HTTP_PORT, POSTGRES_PORT), (7341, 7342));
    }
}
