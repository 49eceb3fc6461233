//! How a command says where on the network the engine is: the options that every networked command shares.

use std::path::PathBuf;

use clap::Args;
use proprio_zenoh::SessionOptions;

/// Where the engine is on the network; this machine alone by default.
#[derive(Args, Clone, Debug, Default)]
pub struct Network {
    /// zenoh endpoint to connect to, such as tcp/192.168.1.10:7447; may be given several times
    #[arg(long, value_name = "ENDPOINT", help_heading = "Network")]
    pub connect: Vec<String>,
    /// zenoh endpoint to listen on, such as tcp/0.0.0.0:7447; may be given several times
    #[arg(long, value_name = "ENDPOINT", help_heading = "Network")]
    pub listen: Vec<String>,
    /// zenoh configuration file (JSON5), for TLS, access control and the like; it replaces the defaults
    #[arg(long, value_name = "FILE", help_heading = "Network")]
    pub zenoh_config: Option<PathBuf>,
}

impl Network {
    /// The same, for opening a session.
    pub fn options(&self) -> SessionOptions {
        SessionOptions { connect: self.connect.clone(), listen: self.listen.clone(), config: self.zenoh_config.clone() }
    }
}
