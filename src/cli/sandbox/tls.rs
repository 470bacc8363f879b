//! Gateways behind TLS, as `envoy/tls.yaml` expects them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// Who must have signed the clients' certificates.
const AUTHORITY: &str = "gateway_ca.pem";

/// Certificates as `envoy/certs.sh` makes them: `NAME.pem` and `NAME.key` for each gateway, and
/// `gateway_ca.pem`.
#[derive(Debug)]
pub(super) struct Certificates(PathBuf);

impl Certificates {
    pub(super) fn of(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    /// How the gateway of this name speaks: TLS 1.2 or 1.3, with its own certificate, and with nobody
    /// whose certificate is of another authority.
    ///
    /// # Errors
    ///
    /// Which file is not what it should be.
    pub(super) fn of_gateway(&self, name: &str) -> Result<Arc<ServerConfig>, String> {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        for certificate in self.chain(AUTHORITY)? {
            roots.add(certificate).map_err(|error| self.wrong(AUTHORITY, error))?;
        }
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| self.wrong(AUTHORITY, error))?;
        let (chain, key) = (format!("{name}.pem"), format!("{name}.key"));
        let private = PrivateKeyDer::from_pem_file(self.0.join(&key))
            .map_err(|error| self.wrong(&key, error))?;
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_client_cert_verifier(clients)
            .with_single_cert(self.chain(&chain)?, private)
            .map(Arc::new)
            .map_err(|error| self.wrong(&chain, error))
    }

    fn chain(&self, file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
        CertificateDer::pem_file_iter(self.0.join(file))
            .and_then(Iterator::collect)
            .map_err(|error| self.wrong(file, error))
    }

    fn wrong(&self, file: &str, error: impl std::fmt::Display) -> String {
        format!("{}: {error}", self.0.join(file).display())
    }
}
