//! How this crate connects to servers: stores, those that are asked for hooks, and those of the client. TCP, and
//! rustls where the URL says `https`.

#[cfg(any(feature = "_cloud", feature = "webhook"))]
mod connector;

use std::sync::Arc;

use hyper_util::client::legacy::connect::HttpConnector;
#[cfg(any(feature = "client", feature = "webhook"))]
use rustls::pki_types::{
    CertificateDer,
    pem::{self, PemObject},
};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier, crypto::ring};

#[cfg(any(feature = "_cloud", feature = "webhook"))]
pub(crate) use self::connector::{Connector, Schemes, connector};

/// TCP below TLS, or alone; a small request goes out at once.
pub(crate) fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp
}

/// TLS 1.2 and 1.3 by ring, which is named, for a program may have more than one provider.
pub(crate) fn tls() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
}

/// Whom the operating system trusts, or the file in `SSL_CERT_FILE`. Reads files; none may be found.
pub(crate) fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        // A container without certificates, and perhaps a server without TLS.
        tracing::debug!(errors = ?found.errors, "the system trusts no certificate");
    }
    roots
}

/// The certificates in a PEM, of which there is at least one.
#[cfg(any(feature = "client", feature = "webhook"))]
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>()?;
    match found.is_empty() {
        true => Err(pem::Error::NoItemsFound),
        false => Ok(found),
    }
}
