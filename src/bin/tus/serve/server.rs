//! Connections: HTTP/1.1 and HTTP/2 on one port, with TLS or without.

use std::{convert::Infallible, future, io, sync::Arc, time::Duration};

use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
    time,
};
use tokio_util::sync::CancellationToken;
use tower_tus::hooks::RemoteAddr;
use tracing::{debug, error};

use super::{
    listen::{Listener, Stream},
    metrics::Connection,
    site::Site,
    tls::Tls,
};

/// What takes connections, and those that it took.
#[derive(Debug, Default)]
pub(crate) struct Server {
    listeners: JoinSet<()>,
    closed: CancellationToken,
    connections: Arc<GracefulShutdown>,
}

impl Server {
    /// Takes connections from one more listener. TLS is for those over a network.
    pub(crate) fn listen(&mut self, listener: Listener, site: Site, tls: Option<Tls>) {
        let (closed, connections) = (self.closed.clone(), Arc::clone(&self.connections));
        self.listeners.spawn(async move {
            let accepting = accept(&listener, &site, tls.as_ref(), &connections, &closed);
            closed.run_until_cancelled(accepting).await;
        });
    }

    /// Takes no more connections, and gives those that are open.
    pub(crate) async fn close(mut self) -> GracefulShutdown {
        self.closed.cancel();
        while self.listeners.join_next().await.is_some() {}
        Arc::into_inner(self.connections).unwrap_or_default()
    }
}

async fn accept(
    listener: &Listener,
    site: &Site,
    tls: Option<&Tls>,
    connections: &GracefulShutdown,
    closed: &CancellationToken,
) -> Infallible {
    let http = http();
    loop {
        let stream = match listener.accept().await {
            Ok(stream) => stream,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                // Out of file descriptors, mostly: those of ending connections come back.
                error!(%error, "cannot take connections");
                time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let served = Served {
            http: http.clone(),
            site: site.clone(),
            watcher: connections.watcher(),
            peer: stream.peer(),
        };
        match (stream, tls) {
            (Stream::Tcp(stream), tls) => {
                if let Err(error) = stream.set_nodelay(true) {
                    debug!(%error, "cannot set TCP_NODELAY");
                }
                match tls {
                    None => served.spawn(future::ready(Ok(stream))),
                    Some(tls) => {
                        let handshake = tls.acceptor.accept(stream);
                        let closed = closed.clone();
                        served.spawn(async move {
                            // What has not begun when the end begins does not.
                            let ended = closed.run_until_cancelled(handshake).await;
                            ended.unwrap_or_else(|| Err(io::ErrorKind::ConnectionAborted.into()))
                        });
                    }
                }
            }
            #[cfg(unix)]
            (Stream::Unix(stream), _) => served.spawn(future::ready(Ok(stream))),
        }
    }
}

/// One connection, and what it is served with.
struct Served {
    http: auto::Builder<TokioExecutor>,
    site: Site,
    watcher: Watcher,
    peer: Option<RemoteAddr>,
}

impl Served {
    /// In a task of its own.
    fn spawn<S>(self, stream: impl Future<Output = io::Result<S>> + Send + 'static)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            http,
            site,
            watcher,
            peer,
        } = self;
        let spoke = CancellationToken::new();
        let service = {
            let (spoke, site) = (spoke.clone(), site.clone());
            service_fn(move |mut request: Request<Incoming>| {
                spoke.cancel();
                if let Some(peer) = peer {
                    request.extensions_mut().insert(peer);
                }
                let site = site.clone();
                async move { site.answer(request).await }
            })
        };
        let connection = async move {
            let stream = TokioIo::new(stream.await?);
            let connection = http.serve_connection(stream, service).into_owned();
            watcher.watch(connection).await
        };
        let open = Connection::open();
        tokio::spawn(async move {
            let _open = open;
            tokio::select! {
                result = connection => if let Err(error) = result {
                    debug!(error, "connection failed");
                },
                () = silence(spoke) => debug!("connection without a request"),
            }
        });
    }
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

const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
