//! How a command says where on the network the engine is: the options that every networked command shares.

use std::path::PathBuf;

use proprio_zenoh::SessionOptions;

/// Where the engine is; this machine's loopback by default.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Network")]
pub struct ConnectArgs {
    /// zenoh endpoint of the engine, such as `tcp/192.168.1.10:7447`; several may be given.
    #[arg(long, global = true, value_name = "ENDPOINT")]
    connect: Vec<String>,
    /// zenoh configuration file (JSON5), for TLS, access control and the like; it replaces the defaults.
    #[arg(long, global = true, value_name = "FILE")]
    zenoh_config: Option<PathBuf>,
}

/// Where the engine listens; on this machine's loopback by default.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Network")]
pub struct ListenArgs {
    /// zenoh endpoint to listen on, such as `tcp/0.0.0.0:7447`; several may be given.
    #[arg(long, value_name = "ENDPOINT")]
    listen: Vec<String>,
    #[command(flatten)]
    connect: ConnectArgs,
}

impl ConnectArgs {
    /// Whether the command line names an engine.
    pub fn is_given(&self) -> bool {
        !self.connect.is_empty() || self.zenoh_config.is_some()
    }

    /// As the options of a zenoh session.
    pub fn options(&self) -> SessionOptions {
        SessionOptions { connect: self.connect.clone(), listen: Vec::new(), config: self.zenoh_config.clone() }
    }
}

impl ListenArgs {
    /// As the options of a zenoh session.
    pub fn options(&self) -> SessionOptions {
        SessionOptions { listen: self.listen.clone(), ..self.connect.options() }
    }
}
