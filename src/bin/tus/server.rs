//! Connections: HTTP/1.1 and HTTP/2 without TLS on one port.

use std::{convert::Infallible, future, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{Either, Full};
use hyper::{
    body::Incoming,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time,
};
use tokio_util::sync::CancellationToken;
use tower_tus::{TusService, hooks::webhook::RemoteAddr};
use tracing::{debug, error};

use crate::access::Exchange;

/// Answers requests: uploads below the base path, and two pages about the server itself.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    uploads: TowerToHyperService<TusService>,
    base_path: Arc<str>,
}

impl Site {
    /// Uploads live below `base_path`, which has no slash at its end.
    pub(crate) fn new(uploads: TusService, base_path: &str) -> Self {
        Self {
            uploads: TowerToHyperService::new(uploads),
            base_path: base_path.into(),
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<impl Body<Data = Bytes, Error: Into<BoxError>> + use<>>, Infallible> {
        let (exchange, request) = Exchange::begin(request);
        let response = match request.uri().path() {
            _ if lacks_host(&request) => text(StatusCode::BAD_REQUEST, "Host is missing\n".into()),
            "/healthz" => text(StatusCode::OK, "ok".into()),
            path if self.is_upload(path) => self.uploads.call(request).await?.map(Either::Left),
            "/" => {
                let files = &self.base_path;
                text(
                    StatusCode::OK,
                    format!("Resumable uploads (tus 1.0.0) go to {files}\n"),
                )
            }
            _ => text(StatusCode::NOT_FOUND, "not found\n".into()),
        };
        Ok(exchange.answer(response))
    }

    fn is_upload(&self, path: &str) -> bool {
        path.strip_prefix(&*self.base_path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// HTTP/1.1 demands the field, and leaves it to the server to refuse a request without (RFC 9112,
/// 3.2). hyper does not.
fn lacks_host<B>(request: &Request<B>) -> bool {
    request.version() == http::Version::HTTP_11
        && !request.headers().contains_key(http::header::HOST)
}

/// Takes connections until it is dropped.
pub(crate) async fn accept(
    listener: TcpListener,
    site: Site,
    connections: &GracefulShutdown,
) -> Infallible {
    let http = http();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                // Out of file descriptors, mostly: those of ending connections come back.
                error!(%error, "cannot take connections");
                time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        spawn(stream, RemoteAddr(peer), &http, site.clone(), connections);
    }
}

fn spawn(
    stream: TcpStream,
    peer: RemoteAddr,
    http: &auto::Builder<TokioExecutor>,
    site: Site,
    connections: &GracefulShutdown,
) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "cannot set TCP_NODELAY");
    }
    let spoke = CancellationToken::new();
    let service = {
        let spoke = spoke.clone();
        service_fn(move |mut request: Request<Incoming>| {
            spoke.cancel();
            request.extensions_mut().insert(peer);
            let site = site.clone();
            async move { site.answer(request).await }
        })
    };
    let connection = http
        .serve_connection(TokioIo::new(stream), service)
        .into_owned();
    let connection = connections.watch(connection);

    tokio::spawn(async move {
        tokio::select! {
            result = connection => if let Err(error) = result {
                debug!(error, "connection failed");
            },
            () = silence(spoke) => debug!("connection without a request"),
        }
    });
}

/// Ends when a connection took too long to bring its first request.
///
/// hyper's own timer for heads only starts once the version of HTTP is known, which takes a byte.
async fn silence(spoke: CancellationToken) {
    if time::timeout(HEAD_TIMEOUT, spoke.cancelled()).await.is_ok() {
        future::pending::<()>().await;
    }
}

fn http() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    // With the protocol's own window an upload brings 1 MiB per round trip at most, and with its
    // own frame of 16 KiB it costs twice the CPU time.
    http.http2()
        .timer(TokioTimer::new())
        .adaptive_window(true)
        .max_frame_size(1 << 20)
        // Metadata and lists of parts may be longer than the 16 KiB it takes otherwise.
        .max_header_list_size(256 << 10)
        .keep_alive_interval(KEEP_ALIVE);
    http
}

/// Errors that say nothing about the next connection.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

fn text<B>(status: StatusCode, text: String) -> Response<Either<B, Full<Bytes>>> {
    let mut response = Response::new(Either::Right(Full::from(text)));
    *response.status_mut() = status;
    let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, plain);
    response
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
