//! How are the tables asked over PostgreSQL's wire? A connection is a [`session`](connection::Connection) of its own: logged in by
//! SCRAM, with its cursors and settings; each statement is answered over the tables as they stand when it runs.

mod catalog;
mod command;
mod connection;
mod copy;
mod cursor;
mod login;
mod query;
mod send;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pgwire::api::auth::StartupHandler;
use pgwire::api::cancel::CancelHandler;
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use pgwire::api::{PgWireServerHandlers, RandomPidSecretKeyGenerator};
use pgwire::error::{ErrorInfo, PgWireError};
use pgwire::messages::cancel::CancelRequest;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_rustls::TlsAcceptor;

use crate::desk::Desk;
use crate::error::AskError;
use connection::Connection;

/// The door; cloned for each connection.
#[derive(Clone)]
pub struct Door {
    desk: Arc<Desk>,
    tls: Option<TlsAcceptor>,
    keys: Arc<RandomPidSecretKeyGenerator>,
    cancels: Arc<Cancels>,
}

impl Door {
    /// In front of a desk, with TLS alone where there is a certificate.
    pub fn new(desk: Arc<Desk>, tls: Option<TlsAcceptor>) -> Self {
        Self { desk, tls, keys: Arc::default(), cancels: Arc::default() }
    }

    /// Serves a client until it leaves.
    pub async fn serve(self, stream: TcpStream, from: SocketAddr, permit: OwnedSemaphorePermit) {
        let _permit = permit;
        let (tls, cancels) = (self.tls.clone(), self.cancels.clone());
        let connection = Connection::new(self, from);
        if let Err(error) = pgwire::tokio::process_socket(stream, tls, Handlers { connection, cancels }).await {
            tracing::debug!(%from, %error, "a connection has broken");
        }
    }
}

/// What the protocol's parts are answered by.
struct Handlers {
    connection: Arc<Connection>,
    cancels: Arc<Cancels>,
}

impl PgWireServerHandlers for Handlers {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        self.connection.clone()
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        self.connection.clone()
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        self.connection.clone()
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        self.cancels.clone()
    }
}

/// Which connection does a request to cancel mean? Each has a number and a secret.
#[derive(Default)]
struct Cancels(Mutex<Open>);

/// How a connection is told, by its number and its secret.
type Open = HashMap<(i32, Vec<u8>), watch::Sender<u64>>;

impl Cancels {
    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.0.lock().expect("nothing panics while it holds the connections")
    }
}

#[async_trait]
impl CancelHandler for Cancels {
    async fn on_cancel_request(&self, request: CancelRequest) {
        if let Some(connection) = self.lock().get(&(request.pid, request.secret_key.to_bytes().to_vec())) {
            connection.send_modify(|cancelled| *cancelled += 1);
        }
    }
}

/// A refusal in the protocol's words.
fn refusal(error: &AskError) -> PgWireError {
    error_of("ERROR", error.kind().sqlstate(), error.to_string())
}

fn error_of(severity: &str, sqlstate: &str, message: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new(severity.to_owned(), sqlstate.to_owned(), message)))
}
