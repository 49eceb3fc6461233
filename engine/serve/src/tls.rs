//! With which certificate do the doors speak TLS?

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::error::ServeError;

/// Where a certificate and its key lie, both PEM.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate, and those between it and its root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Files {
    /// Takes the files into use for the application protocols named.
    ///
    /// # Errors
    /// When they can't be read, or don't belong together.
    pub fn acceptor(&self, protocols: &[&[u8]]) -> Result<TlsAcceptor, ServeError> {
        let wrong = |path: &Path, reason: String| ServeError::Tls { path: path.to_owned(), reason };
        let certificates = CertificateDer::pem_file_iter(&self.certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let certificates = certificates.map_err(|error| wrong(&self.certificate, error.to_string()))?;
        if certificates.is_empty() {
            return Err(wrong(&self.certificate, "no certificate is in it".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| wrong(&self.key, error.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|error| wrong(&self.key, error.to_string()))?.with_no_client_auth();
        let mut config = config.with_single_cert(certificates, key).map_err(|error| wrong(&self.key, error.to_string()))?;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
