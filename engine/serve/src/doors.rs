//! Where are the doors, and how are they opened and closed?

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::desk::Desk;
use crate::error::ServeError;
use crate::source::Tables;
use crate::users::Users;
use crate::{flight, http, postgres, tls};

/// Where HTTP and Flight SQL are served when nothing else is said.
pub const HTTP_PORT: u16 = 7341;
/// Where the PostgreSQL wire is served when nothing else is said.
pub const POSTGRES_PORT: u16 = 7342;
/// Connections that are open at a door at a time.
const CONNECTIONS: usize = 256;
/// How long a client may take to shake hands, and to send a request's head.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Stack of the doors' threads. Statements are planned by recursion: the longest that is read must not overflow it.
const STACK_BYTES: usize = 512 << 20;

/// How the doors are opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen.
    pub address: IpAddr,
    /// Port of HTTP and Flight SQL; 0 for any that is free, none for [`HTTP_PORT`] or, when that is taken, any.
    pub http_port: Option<u16>,
    /// Port of the PostgreSQL wire, likewise.
    pub postgres_port: Option<u16>,
    /// The users file; without it everybody on this machine may see all.
    pub users: Option<PathBuf>,
    /// Certificate and key.
    pub tls: Option<tls::Files>,
}

impl Default for Options {
    fn default() -> Self {
        Self { address: IpAddr::V4(Ipv4Addr::LOCALHOST), http_port: None, postgres_port: None, users: None, tls: None }
    }
}

impl Options {
    /// With a certificate and its key, both PEM.
    #[must_use]
    pub fn with_tls(mut self, certificate: PathBuf, key: PathBuf) -> Self {
        self.tls = Some(tls::Files { certificate, key });
        self
    }
}

/// Where the doors are, as clients write it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// `http://…` or `https://…`.
    pub http: String,
    /// `grpc://…` or `grpc+tls://…`, the same port.
    pub flight: String,
    /// `postgresql://…`.
    pub postgres: String,
}

/// Open doors; dropping them closes them and stops what is being answered.
#[derive(Debug)]
pub struct Doors {
    addresses: Addresses,
    closing: watch::Sender<bool>,
    /// The doors' threads, and those of their queries.
    runtimes: [Option<Runtime>; 2],
}

impl Doors {
    /// Opens the doors over tables.
    ///
    /// # Errors
    /// [`ServeError`]: an address beyond this machine without TLS and users, a mistake in a file, or a port that is taken.
    pub fn open(options: &Options, tables: Tables) -> Result<Self, ServeError> {
        let users = options.users.as_deref().map_or_else(|| Ok(Users::anonymous()), Users::read)?;
        let missing = match (&options.tls, &options.users) {
            (None, None) => Some("TLS (`--tls-cert`, `--tls-key`) and users (`--users`)"),
            (None, Some(_)) => Some("TLS (`--tls-cert`, `--tls-key`)"),
            (Some(_), None) => Some("users (`--users`)"),
            (Some(_), Some(_)) => None,
        };
        if let Some(missing) = missing.filter(|_| !options.address.is_loopback()) {
            return Err(ServeError::Beyond { address: options.address, missing });
        }
        let acceptor = |protocols: &[&[u8]]| options.tls.as_ref().map(|files| files.acceptor(protocols)).transpose();
        let (http_tls, postgres_tls) = (acceptor(&[b"h2", b"http/1.1"])?, acceptor(&[b"postgresql"])?);
        let http = listen(options.address, options.http_port, HTTP_PORT)?;
        let wire = listen(options.address, options.postgres_port, POSTGRES_PORT)?;
        let addresses = addresses(&http, &wire, options.tls.is_some())?;

        let (runtime, queries) = (threads("doors")?, threads("queries")?);
        let (closing, closed) = watch::channel(false);
        let desk = Arc::new(Desk::new(tables, users, queries.handle().clone(), closed));
        let router = http::router(desk.clone()).merge(flight::router(desk.clone()));
        let handle = runtime.handle().clone();
        // From here on its end closes what was opened.
        let doors = Self { addresses, closing, runtimes: [Some(runtime), Some(queries)] };
        let entered = handle.enter();
        let bind = |listener: std::net::TcpListener, address| {
            TcpListener::from_std(listener).map_err(|source| ServeError::Bind { address, source })
        };
        let (http_at, wire_at) = (http.1, wire.1);
        let (http, wire) = (bind(http.0, http_at)?, bind(wire.0, wire_at)?);
        drop(entered);
        handle.spawn(accept(http, move |stream, from, permit| serve_http(stream, from, http_tls.clone(), router.clone(), permit)));
        let wire_door = postgres::Door::new(desk, postgres_tls);
        handle.spawn(accept(wire, move |stream, from, permit| wire_door.clone().serve(stream, from, permit)));
        Ok(doors)
    }

    /// Ends what is being answered, and takes no further questions.
    pub fn close(&self) {
        // Without a listener nothing is being answered.
        let _ = self.closing.send(true);
    }

    /// Where they are.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        self.close();
        for runtime in self.runtimes.iter_mut().filter_map(Option::take) {
            // Where a query is in the midst of a batch, its thread goes on until the batch is done.
            runtime.shutdown_background();
        }
    }
}

fn threads(name: &str) -> Result<Runtime, ServeError> {
    let threads = tokio::runtime::Builder::new_multi_thread().thread_name(name).thread_stack_size(STACK_BYTES).enable_all().build();
    threads.map_err(|source| ServeError::Threads { source })
}

fn listen(address: IpAddr, port: Option<u16>, usual: u16) -> Result<(std::net::TcpListener, SocketAddr), ServeError> {
    let at = SocketAddr::new(address, port.unwrap_or(usual));
    let bound = std::net::TcpListener::bind(at).or_else(|error| match port {
        // A second engine on this machine; who needs to know the port names it.
        None => std::net::TcpListener::bind(SocketAddr::new(address, 0)),
        Some(_) => Err(error),
    });
    let listener = bound.and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    let listener = listener.map_err(|source| ServeError::Bind { address: at, source })?;
    let bound = listener.local_addr().map_err(|source| ServeError::Bind { address: at, source })?;
    Ok((listener, bound))
}

fn addresses(
    http: &(std::net::TcpListener, SocketAddr),
    wire: &(std::net::TcpListener, SocketAddr),
    tls: bool,
) -> Result<Addresses, ServeError> {
    let (http, wire) = (http.1, wire.1);
    let (web, grpc, mode) = if tls { ("https", "grpc+tls", "?sslmode=verify-full") } else { ("http", "grpc", "") };
    Ok(Addresses {
        http: format!("{web}://{http}"),
        flight: format!("{grpc}://{http}"),
        postgres: format!("postgresql://{wire}/proprio{mode}"),
    })
}

/// Takes connections, each in a task of its own, as many as may be open at a time.
async fn accept<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    serve: impl Fn(TcpStream, SocketAddr, OwnedSemaphorePermit) -> F,
) {
    let open = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(permit) = open.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, from)) => {
                // What is small is to go at once; without it answers only come later.
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve(stream, from, permit));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve_http(stream: TcpStream, from: SocketAddr, tls: Option<TlsAcceptor>, router: axum::Router, permit: OwnedSemaphorePermit) {
    let _permit = permit;
    let served = match tls {
        None => speak_http(stream, from, router).await,
        Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => speak_http(stream, from, router).await,
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no TLS within 10 s".to_owned()),
        },
    };
    if let Err(error) = served {
        tracing::debug!(%from, error, "a connection has broken");
    }
}

async fn speak_http(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    from: SocketAddr,
    router: axum::Router,
) -> Result<(), String> {
    let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(http::From(from));
        router.clone().oneshot(request.map(axum::body::Body::new))
    });
    let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Some(Duration::from_secs(30))).max_concurrent_streams(64);
    builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await.map_err(|error| error.to_string())
}
