//! How this crate connects to servers that are no tus servers: stores, and those that are asked for hooks.
//! TCP, and rustls where the URL says `https`; HTTP/1.1.

use std::{sync::Arc, time::Duration};

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{ClientConfig, RootCertStore, crypto::ring};

/// Makes the connections of a [`hyper_util::client::legacy::Client`].
pub(crate) type Connector = HttpsConnector<HttpConnector>;

/// Which URLs are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schemes {
    #[cfg_attr(not(feature = "_cloud"), allow(dead_code))]
    Https,
    HttpAndHttps,
}

/// Connects within this time, or as long as the operating system tries.
pub(crate) fn connector(
    tls: ClientConfig,
    schemes: Schemes,
    connect_timeout: Option<Duration>,
) -> Connector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(connect_timeout);
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls);
    let builder = match schemes {
        Schemes::Https => builder.https_only(),
        Schemes::HttpAndHttps => builder.https_or_http(),
    };
    builder.enable_http1().wrap_connector(tcp)
}

/// TLS 1.2 and 1.3 with servers that one of these authorities knows.
pub(crate) fn tls(roots: RootCertStore) -> ClientConfig {
    // Named, for a program may have more than one provider.
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Whom the operating system trusts, or the file in `SSL_CERT_FILE`. Reads files; none may be found.
pub(crate) fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::debug!(errors = ?found.errors, "the system trusts no certificate");
    }
    roots
}
