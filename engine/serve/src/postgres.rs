//! x
use crate::desk::Desk;
use std::sync::Arc;
#[derive(Clone)]
pub struct Door;
impl Door {
    pub fn new(_desk: Arc<Desk>, _tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        Self
    }
    pub async fn serve(self, _s: tokio::net::TcpStream, _f: std::net::SocketAddr, _p: tokio::sync::OwnedSemaphorePermit) {}
}
