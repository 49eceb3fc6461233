//! How a command says where on the network the engine is: the options that every networked command shares.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use proprio_core::control::{Reply, Request};
use proprio_zenoh::{Session, SessionOptions, control, open_client};

use crate::running::Running;

/// How long an engine may take to be found.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the engine is; this machine's loopback by default.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Network")]
pub struct ConnectArgs {
    /// zenoh endpoint of the engine, such as `tcp/192.168.1.10:7447`; several may be given.
    #[arg(long, global = true, value_name = "ENDPOINT")]
    connect: Vec<String>,
    /// zenoh configuration file (JSON5), for access control and the like; it replaces the defaults.
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

/// Which running engine is meant: the one that the options name, else the one that has the data directory open, else the one
/// on this machine's loopback.
#[derive(Clone, Debug, clap::Args)]
pub struct EngineArgs {
    /// Data directory of the engine.
    #[arg(long, default_value = "data", value_name = "DIR")]
    pub data: PathBuf,
    /// Name of the rig; by default the one that runs at the other end.
    #[arg(long, value_name = "NAME")]
    rig: Option<String>,
    #[command(flatten)]
    network: ConnectArgs,
}

/// A running engine that was found.
pub struct Engine {
    session: Session,
    rig: String,
}

impl EngineArgs {
    /// Whether an engine is named, or has the data directory open.
    pub fn is_running(&self) -> bool {
        self.network.is_given() || Running::find(&self.data).is_some()
    }

    /// The engine that is meant.
    ///
    /// # Errors
    /// When none is there.
    pub async fn find(&self) -> anyhow::Result<Engine> {
        let running = Running::find(&self.data).filter(|_| !self.network.is_given());
        let options = match &running {
            Some(running) => SessionOptions { connect: vec![running.endpoint.clone()], ..SessionOptions::default() },
            None => self.network.options(),
        };
        let rig = self.rig.clone().or(running.map(|running| running.rig.clone())).unwrap_or_else(|| "*".to_owned());
        let session = open_client(&options, PATIENCE).await.context("no engine was found")?;
        Ok(Engine { session, rig })
    }
}

impl Engine {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn ask(&self, request: &Request, patience: Duration) -> anyhow::Result<Reply> {
        Ok(control::request(&self.session, &self.rig, request, patience).await?)
    }

    /// Data keys of the rig's publishers that say they are there.
    ///
    /// # Errors
    /// When the network refuses.
    pub async fn present(&self, rig: &str, patience: Duration) -> anyhow::Result<Vec<String>> {
        Ok(proprio_zenoh::present(&self.session, rig, patience).await?)
    }

    /// Ends the session. One that can't be closed any more is of no interest to who has the answer.
    pub async fn close(self) {
        let _ = self.session.close().await;
    }

    /// Asks one thing.
    ///
    /// # Errors
    /// When no answer comes in time.
    pub async fn ask_once(self, request: &Request, patience: Duration) -> anyhow::Result<Reply> {
        let reply = self.ask(request, patience).await;
        self.close().await;
        reply
    }
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

/// An endpoint on loopback that nobody listens on.
pub fn free_endpoint() -> anyhow::Result<String> {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).context("no free port on loopback")?.port();
    Ok(format!("tcp/127.0.0.1:{port}"))
}
