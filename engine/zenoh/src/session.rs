//! How a zenoh session is opened: on loopback only, unless someone says otherwise.

use std::path::PathBuf;
use std::time::Duration;

use zenoh::{Config, Session};

use crate::WireError;

/// Where `proprio run` listens, and where everything else connects.
pub const DEFAULT_ENDPOINT: &str = "tcp/127.0.0.1:7447";

/// What the command line says about the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionOptions {
    /// Endpoints to connect to, such as `tcp/192.168.1.10:7447`.
    pub connect: Vec<String>,
    /// Endpoints to listen on; port 0 takes a free one.
    pub listen: Vec<String>,
    /// A zenoh configuration file (JSON5). It replaces every default here; `connect` and `listen` come on top.
    pub config: Option<PathBuf>,
}

impl SessionOptions {
    /// Where commands on this machine find an engine with these options: the first endpoint over TCP that it listens on.
    pub fn endpoint(&self) -> String {
        let configured = || {
            let json = Config::from_file(self.config.as_ref()?).ok()?.get_json("listen/endpoints").ok()?;
            tcp(&serde_json::from_str(&json).ok()?)
        };
        self.listen.first().cloned().or_else(configured).unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned())
    }
}

/// The first TCP endpoint of a list, or of one of the lists that a configuration has for each mode.
fn tcp(endpoints: &serde_json::Value) -> Option<String> {
    match endpoints {
        serde_json::Value::String(endpoint) => endpoint.starts_with("tcp/").then(|| endpoint.clone()),
        serde_json::Value::Array(all) => all.iter().find_map(tcp),
        serde_json::Value::Object(modes) => modes.values().find_map(tcp),
        _ => None,
    }
}

/// Opens the session of a running engine: a zenoh router, so that publishers and clients need no other. Listens on
/// [`DEFAULT_ENDPOINT`] unless the options name another.
///
/// # Errors
/// When the configuration is wrong, or an endpoint is taken.
pub async fn open_router(options: &SessionOptions) -> Result<Session, WireError> {
    let mut settings = Settings::new(options, "router")?;
    if options.config.is_none() && options.listen.is_empty() {
        settings.set_list("listen/endpoints", &[DEFAULT_ENDPOINT.to_owned()])?;
    }
    settings.open().await
}

/// Opens the session of a publisher or a client of a running engine. Connects to [`DEFAULT_ENDPOINT`] unless the options
/// name another, trying again until `patience` is over.
///
/// # Errors
/// When the configuration is wrong, or nothing answers.
pub async fn open_client(options: &SessionOptions, patience: Duration) -> Result<Session, WireError> {
    let mode = if options.listen.is_empty() { "client" } else { "peer" };
    let mut settings = Settings::new(options, mode)?;
    if options.config.is_none() && options.connect.is_empty() && options.listen.is_empty() {
        settings.set_list("connect/endpoints", &[DEFAULT_ENDPOINT.to_owned()])?;
    }
    if options.config.is_none() {
        settings.set("connect/timeout_ms", &patience.as_millis().to_string())?;
        settings.set("connect/exit_on_failure", "true")?;
        settings.set("connect/retry", r#"{"period_init_ms": 50, "period_max_ms": 500, "period_increase_factor": 2}"#)?;
    }
    settings.open().await
}

struct Settings {
    config: Config,
    endpoints: Vec<String>,
}

impl Settings {
    fn new(options: &SessionOptions, mode: &str) -> Result<Self, WireError> {
        let config = match &options.config {
            Some(path) => {
                Config::from_file(path).map_err(|error| WireError::Configuration { path: path.clone(), detail: error.to_string() })?
            }
            None => Config::default(),
        };
        let mut settings = Self { config, endpoints: Vec::new() };
        if options.config.is_none() {
            settings.set("mode", &format!("\"{mode}\""))?;
            // The default would join everything on the lab's network.
            settings.set("scouting/multicast/enabled", "false")?;
            settings.set("scouting/gossip/enabled", "false")?;
            settings.set_list("listen/endpoints", &[])?;
        }
        if !options.connect.is_empty() {
            settings.set_list("connect/endpoints", &options.connect)?;
        }
        if !options.listen.is_empty() {
            settings.set_list("listen/endpoints", &options.listen)?;
        }
        Ok(settings)
    }

    fn set(&mut self, key: &str, json: &str) -> Result<(), WireError> {
        self.config.insert_json5(key, json).map_err(WireError::zenoh(format!("setting {key} to {json}")))
    }

    fn set_list(&mut self, key: &str, endpoints: &[String]) -> Result<(), WireError> {
        self.endpoints.extend_from_slice(endpoints);
        self.set(key, &serde_json::Value::from(endpoints).to_string())
    }

    async fn open(self) -> Result<Session, WireError> {
        let endpoints = if self.endpoints.is_empty() { "as configured".to_owned() } else { self.endpoints.join(", ") };
        zenoh::open(self.config).await.map_err(|error| WireError::Open { endpoints, detail: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_found_where_its_configuration_says() {
        let of = |json: &str| tcp(&serde_json::from_str(json).expect("JSON"));
        assert_eq!(of(r#"["tls/0.0.0.0:7447", "tcp/127.0.0.1:7448"]"#).as_deref(), Some("tcp/127.0.0.1:7448"));
        assert_eq!(of(r#"{"router": ["tcp/[::]:7447"], "peer": null}"#).as_deref(), Some("tcp/[::]:7447"));
        assert_eq!(of("[]"), None);
        let listening = SessionOptions { listen: vec!["tcp/127.0.0.1:1".to_owned()], ..SessionOptions::default() };
        assert_eq!([listening, SessionOptions::default()].map(|options| options.endpoint()), ["tcp/127.0.0.1:1", DEFAULT_ENDPOINT]);
    }
}
