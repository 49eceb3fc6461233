//! How does a program of ours ask an engine elsewhere? Through its Flight SQL door, as anybody's program does.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_flight::HandshakeRequest;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_schema::SchemaRef;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Status};

use crate::doors::HTTP_PORT;

/// How long an engine may take to take a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How often an engine that says nothing is asked whether it is there, and how long it may take to say so.
const ALIVE: Duration = Duration::from_secs(20);
/// Largest message that is taken: a batch of an answer.
const MESSAGE_BYTES: usize = 256 << 20;

/// Why an engine elsewhere has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// An address that isn't one.
    #[error("`{address}` is no address of an engine; write grpc://HOST:PORT, or grpc+tls://HOST:PORT with TLS")]
    Address {
        /// What was given.
        address: String,
    },
    /// A password or token would go out for all to read.
    #[error("{host} is another machine, and grpc:// sends passwords and tokens for all to read; write grpc+tls://")]
    Plain {
        /// The other machine.
        host: String,
    },
    /// Certificates that can't be used.
    #[error("{}: {reason}", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No connection.
    #[error("{address} can't be reached: {reason}")]
    Connect {
        /// Where.
        address: Address,
        /// Why not.
        reason: String,
    },
    /// The engine doesn't know who asks.
    #[error("{address} does not let you in: {reason}")]
    Login {
        /// Which.
        address: Address,
        /// What it says.
        reason: String,
    },
    /// The engine refuses, or fails.
    #[error("{reason}")]
    Refused {
        /// What it says.
        reason: String,
    },
}

/// Where an engine's door is: `grpc://` or, with TLS, `grpc+tls://`; `http://` and `https://` name the same port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    tls: bool,
}

impl FromStr for Address {
    type Err = RemoteError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || RemoteError::Address { address: text.to_owned() };
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let tls = match scheme {
            "grpc" | "grpc+tcp" | "http" => false,
            "grpc+tls" | "https" => true,
            _ => return Err(wrong()),
        };
        let rest = rest.trim_end_matches('/');
        // An IPv6 address stands in brackets, for its colons.
        let end = if rest.starts_with('[') { rest.find(']').ok_or_else(wrong)? + 1 } else { rest.find(':').unwrap_or(rest.len()) };
        let (host, port) = rest.split_at(end);
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().map_err(|_| wrong())?,
            None if port.is_empty() => HTTP_PORT,
            None => return Err(wrong()),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_host = !host.is_empty() && !host.contains(['/', '@', '?', '#', ' ']);
        is_host.then(|| Self { host: host.to_owned(), port, tls }).ok_or_else(wrong)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "grpc+tls" } else { "grpc" }, self.authority())
    }
}

impl Address {
    fn authority(&self) -> String {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    fn is_this_machine(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost") || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// Nobody in particular, where no users are known.
    Nobody,
    /// By a name and a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// By a token.
    Token(String),
}

/// An engine elsewhere.
#[derive(Clone)]
pub struct Remote {
    address: Address,
    client: FlightSqlServiceClient<Channel>,
}

/// What an engine elsewhere answers. Dropping it cancels the query there.
pub struct RemoteAnswer {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows, as they come.
    pub batches: BoxStream<'static, Result<RecordBatch, RemoteError>>,
}

impl Remote {
    /// Connects and logs in. With TLS the engine's certificate must lead to one of `roots`, PEM, or else of the system's.
    ///
    /// # Errors
    /// [`RemoteError`]: nothing answers there, its certificate is not trusted, or it doesn't let the caller in.
    pub async fn connect(address: Address, login: &Login, roots: Option<&Path>) -> Result<Self, RemoteError> {
        if !address.tls && !address.is_this_machine() && *login != Login::Nobody {
            return Err(RemoteError::Plain { host: address.host });
        }
        let tls = address.tls.then(|| connector(roots)).transpose()?;
        let unreachable = |reason: String| RemoteError::Connect { address: address.clone(), reason };
        // The scheme is of no matter: whether there is TLS is the connection's.
        let endpoint = Endpoint::from_shared(format!("http://{}", address.authority())).map_err(|error| unreachable(error.to_string()))?;
        let endpoint = endpoint.connect_timeout(CONNECT).http2_keep_alive_interval(ALIVE).keep_alive_timeout(ALIVE);
        let to = address.clone();
        let connect = tower::service_fn(move |_: Uri| connected(to.clone(), tls.clone()));
        let channel = endpoint.connect_with_connector(connect).await.map_err(|error| unreachable(innermost(&error)))?;
        let inner = FlightServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES);
        let mut remote = Self { address, client: FlightSqlServiceClient::new_from_inner(inner) };
        match login {
            Login::Nobody => {}
            Login::Token(token) => remote.client.set_token(token.clone()),
            Login::Password { user, password } => remote.log_in(user, password).await?,
        }
        Ok(remote)
    }

    /// The engine gives a token for a password, which the calls after this bring.
    async fn log_in(&mut self, user: &str, password: &str) -> Result<(), RemoteError> {
        let mut request = Request::new(futures::stream::iter([HandshakeRequest::default()]));
        let basic = format!("Basic {}", BASE64.encode(format!("{user}:{password}")));
        let header = basic.parse().map_err(|_| RemoteError::Refused { reason: "the name or password can't be sent".to_owned() })?;
        request.metadata_mut().insert("authorization", header);
        let response = self.client.inner_mut().handshake(request).await.map_err(|status| self.refused(&status))?;
        let given = response.metadata().get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let token = given.ok_or_else(|| RemoteError::Login { address: self.address.clone(), reason: "it gives no token".to_owned() })?;
        self.client.set_token(token.to_owned());
        Ok(())
    }

    /// Asks one statement, which may be a `SUBSCRIBE`.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn ask(&self, sql: &str) -> Result<RemoteAnswer, RemoteError> {
        let mut client = self.client.clone();
        let info = client.execute(sql.to_owned(), None).await.map_err(|error| self.failed(error))?;
        let ticket = info.endpoint.first().and_then(|endpoint| endpoint.ticket.clone());
        let ticket = ticket.ok_or_else(|| RemoteError::Refused { reason: "the engine gave no ticket for the answer".to_owned() })?;
        let schema = info.try_decode_schema().map_err(|error| RemoteError::Refused { reason: error.to_string() })?;
        let rows = client.do_get(ticket).await.map_err(|error| self.failed(error))?;
        let remote = self.clone();
        Ok(RemoteAnswer { schema: Arc::new(schema), batches: rows.map_err(move |error| remote.failed(error)).boxed() })
    }

    fn failed(&self, error: FlightError) -> RemoteError {
        match error {
            FlightError::Tonic(status) => self.refused(&status),
            other => RemoteError::Refused { reason: other.to_string() },
        }
    }

    fn refused(&self, status: &Status) -> RemoteError {
        let reason = status.message().to_owned();
        match status.code() {
            Code::Unauthenticated => RemoteError::Login { address: self.address.clone(), reason },
            // With a source, it is the connection that says so and not the engine: plain text to a door with TLS may end like this.
            Code::Internal if std::error::Error::source(status).is_some() => RemoteError::Connect { address: self.address.clone(), reason },
            Code::Unavailable | Code::Unknown => RemoteError::Connect { address: self.address.clone(), reason },
            _ => RemoteError::Refused { reason },
        }
    }
}

/// One connection, with TLS where it is spoken.
async fn connected(to: Address, tls: Option<TlsConnector>) -> std::io::Result<TokioIo<Box<dyn Stream>>> {
    let stream = TcpStream::connect((to.host.as_str(), to.port)).await?;
    // A question is small, and is to go at once.
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(TokioIo::new(Box::new(stream))) };
    let name = ServerName::try_from(to.host).map_err(std::io::Error::other)?;
    Ok(TokioIo::new(Box::new(tls.connect(name, stream).await?)))
}

/// A connection, whatever it is made of.
trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> Stream for T {}

fn connector(roots: Option<&Path>) -> Result<TlsConnector, RemoteError> {
    let mut store = RootCertStore::empty();
    match roots {
        Some(path) => {
            let wrong = |reason: String| RemoteError::Roots { path: path.to_owned(), reason };
            let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            for certificate in certificates.map_err(|error| wrong(error.to_string()))? {
                store.add(certificate).map_err(|error| wrong(error.to_string()))?;
            }
            if store.is_empty() {
                return Err(wrong("no certificate is in it".to_owned()));
            }
        }
        // One of the system's that can't be read is one that is not trusted.
        None => drop(store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = versions.expect("the provider speaks TLS 1.2 and 1.3").with_root_certificates(store).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The reason behind all others, which says most.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_in_each_of_its_forms() {
        for (text, shown) in [
            ("grpc://127.0.0.1:7341", "grpc://127.0.0.1:7341"),
            ("http://localhost:80/", "grpc://localhost:80"),
            ("https://lab.example", "grpc+tls://lab.example:7341"),
            ("grpc+tls://[2001:db8::1]:9", "grpc+tls://[2001:db8::1]:9"),
        ] {
            assert_eq!(text.parse::<Address>().expect(text).to_string(), shown);
        }
        for text in
            ["lab.example:7341", "ftp://lab", "grpc://", "grpc://a:b", "grpc://a:1/sql", "grpc://u@a", "grpc://[::1", "grpc://[::1]x"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn no_password_leaves_this_machine_in_plain_text() {
        let login = Login::Password { user: "anna".to_owned(), password: "an apple".to_owned() };
        let address = "grpc://192.0.2.1:7341".parse().expect("an address");
        assert!(matches!(Remote::connect(address, &login, None).await, Err(RemoteError::Plain { .. })));
    }
}
