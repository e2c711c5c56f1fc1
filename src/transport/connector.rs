use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::RootCertStore;

use super::{tcp, tls};

/// Makes the connections of a [`hyper_util::client::legacy::Client`], over HTTP/1.1.
pub(crate) type Connector = HttpsConnector<HttpConnector>;

/// Which URLs are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schemes {
    #[cfg_attr(not(feature = "_cloud"), allow(dead_code))]
    Https,
    HttpAndHttps,
}

/// Connects to servers that one of these authorities knows, within this time, or as long as the operating
/// system tries.
pub(crate) fn connector(
    roots: RootCertStore,
    schemes: Schemes,
    connect_timeout: Option<Duration>,
) -> Connector {
    let mut tcp = tcp();
    tcp.set_connect_timeout(connect_timeout);
    let tls = tls().with_root_certificates(roots).with_no_client_auth();
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls);
    let builder = match schemes {
        Schemes::Https => builder.https_only(),
        Schemes::HttpAndHttps => builder.https_or_http(),
    };
    builder.enable_http1().wrap_connector(tcp)
}
