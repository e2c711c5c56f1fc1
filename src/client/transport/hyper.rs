use std::{
    io,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{Extensions, Request, Uri, header::PROXY_AUTHORIZATION};
use http_body_util::BodyExt;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{CaptureConnection, capture_connection},
    },
    rt::{TokioExecutor, TokioTimer},
};
use rustls::AlertDescription;
use tokio::time::timeout;
use tower::{BoxError, Service};

use super::{
    Answered, Transport,
    io::Patient,
    line::{Line, Written},
    proxy::{Proxy, Routes, Unusable},
    tls::Tls,
};
use crate::{
    client::{Body, Error, HttpVersion, error::Kind},
    transport,
};

/// How connections are made and kept.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    pub(crate) tls: Tls,
    pub(crate) proxy: Proxy,
    pub(crate) version: HttpVersion,
    pub(crate) connect_timeout: Duration,
    pub(crate) idle_timeout: Duration,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            tls: Tls::default(),
            proxy: Proxy::default(),
            version: HttpVersion::Http1,
            connect_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
        }
    }
}

/// hyper's pool of connections.
pub(crate) struct Hyper {
    client: Client<Connector, Body>,
    routes: Routes,
    version: HttpVersion,
}

impl Hyper {
    /// Reads the operating system's certificates: not for a thread of the runtime.
    pub(crate) fn new(connections: &Connections) -> Result<Self, Error> {
        let mut tcp = transport::tcp();
        tcp.set_keepalive(Some(KEEPALIVE));
        let routes = Routes::new(tcp, &connections.proxy);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(connections.tls.config()?)
            .https_or_http();
        let https = match connections.version {
            HttpVersion::Http1 => https.enable_http1().wrap_connector(routes.clone()),
            HttpVersion::Http2 => https.enable_http2().wrap_connector(routes.clone()),
            HttpVersion::Auto => https.enable_all_versions().wrap_connector(routes.clone()),
        };
        let connector = Connector {
            https,
            routes: routes.clone(),
            limit: connections.connect_timeout,
        };
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(connections.idle_timeout)
            .http2_only(connections.version == HttpVersion::Http2)
            .http2_adaptive_window(true)
            .http2_max_frame_size(1 << 20)
            .http2_max_send_buf_size(BUFFERED)
            .http2_keep_alive_interval(KEEPALIVE)
            .http2_keep_alive_timeout(PONG)
            .build(connector);
        Ok(Self {
            client,
            routes,
            version: connections.version,
        })
    }
}

impl Hyper {
    /// Has the request's pulse beat as long as bytes get through.
    fn watch(&self, request: &mut Request<Body>) {
        if self.version != HttpVersion::Http2 {
            let connection = capture_connection(request);
            let pulse = request.body().pulse();
            pulse.follow(move || written(&connection).unwrap_or(0));
        }
        if self.version != HttpVersion::Http1 {
            // What the connection writes may be another request's, or a ping.
            request.body_mut().frames_of(SHARED);
        }
    }
}

impl Transport for Hyper {
    fn send(&self, mut request: Request<Body>) -> BoxFuture<'static, Result<Answered, Error>> {
        if let Some(authorization) = self.routes.authorization(request.uri()) {
            let headers = request.headers_mut();
            headers.entry(PROXY_AUTHORIZATION).or_insert(authorization);
        }
        self.watch(&mut request);
        let answer = self.client.request(request);
        Box::pin(async move {
            let answer = answer.await.map_err(|error| {
                let kind = if is_of::<Unusable>(&error, |_| true) {
                    Kind::Setting("the proxy cannot be used".to_owned())
                } else if is_of(&error, refuses_certificate) {
                    Kind::Certificate
                } else if error.is_connect() {
                    Kind::Connect
                } else {
                    Kind::Interrupted
                };
                Error::new(kind).because(error)
            })?;
            Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
        })
    }
}

/// Whether there is such an error behind this one.
fn is_of<E: std::error::Error + 'static>(
    error: &(dyn std::error::Error + 'static),
    such: impl Fn(&E) -> bool,
) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref() {
            return such(error);
        }
        // What it carries is not its source.
        let carried = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = match carried {
            Some(carried) => Some(carried),
            None => error.source(),
        };
    }
    false
}

/// Whether a certificate is what is wrong, on either side. It will be the next time, too.
fn refuses_certificate(error: &rustls::Error) -> bool {
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => true,
        rustls::Error::AlertReceived(alert) => REFUSALS.contains(alert),
        _ => false,
    }
}

/// What a server says of a client's certificate, or of the lack of one.
const REFUSALS: [AlertDescription; 10] = [
    AlertDescription::AccessDenied,
    AlertDescription::BadCertificate,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateRequired,
    AlertDescription::CertificateRevoked,
    AlertDescription::CertificateUnknown,
    AlertDescription::HandshakeFailure,
    AlertDescription::NoCertificate,
    AlertDescription::UnknownCA,
    AlertDescription::UnsupportedCertificate,
];

/// TCP, perhaps a proxy, perhaps TLS, within one limit of time.
#[derive(Clone)]
struct Connector {
    https: HttpsConnector<Routes>,
    routes: Routes,
    limit: Duration,
}

impl Service<Uri> for Connector {
    type Response = Patient<MaybeHttpsStream<Line>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let route = self.routes.route(&destination);
        let limit = self.limit;
        let connecting = self.https.call(destination);
        Box::pin(async move {
            match timeout(limit, connecting).await {
                Ok(stream) => Ok(Patient::new(stream?, route)),
                Err(_) => Err(format!("no connection within {limit:?}").into()),
            }
        })
    }
}

/// How often the request's connection wrote something; `None` if it is not the request's alone.
fn written(connection: &CaptureConnection) -> Option<u64> {
    let connection = connection.connection_metadata();
    let connected = connection
        .as_ref()
        .filter(|connected| !connected.is_negotiated_h2())?;
    let mut extras = Extensions::new();
    connected.get_extras(&mut extras);
    Some(extras.get::<Written>()?.0.count())
}

/// What a line has to take of a request within the limit for silence, if others share its connection.
const SHARED: usize = 64 << 10;

/// What HTTP/2 takes of a request before the line does. It is on nobody's clock.
const BUFFERED: usize = 256 << 10;

/// Tells a peer that is gone from one that is silent.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A ping waits behind all that a slow line has not let through.
const PONG: Duration = Duration::from_secs(120);
