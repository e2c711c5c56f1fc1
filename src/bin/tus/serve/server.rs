//! Connections: HTTP/1.1 and HTTP/2 on one port, with TLS or without.

use std::{convert::Infallible, future, io, pin::pin, sync::Arc, time::Duration};

use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::BoxError;
use tower_tus::hooks::RemoteAddr;
use tracing::{debug, error};

use super::{
    activity::{Activity, Line},
    listen::{Listener, Stream},
    metrics::Connection,
    site::Site,
    tls::Tls,
};

/// What takes connections, and those that it took.
#[derive(Debug)]
pub(crate) struct Server {
    listeners: JoinSet<()>,
    closed: CancellationToken,
    shared: Shared,
}

/// What all connections have in common.
#[derive(Debug, Clone)]
struct Shared {
    connections: TaskTracker,
    /// Connections are to end with what they are at.
    ending: CancellationToken,
    room: Option<Arc<Semaphore>>,
    patience: Option<Duration>,
}

impl Server {
    /// For any number of connections. Those whose clients do nothing for `patience` are ended; `None` waits
    /// for ever.
    pub(crate) fn new(patience: Option<Duration>) -> Self {
        Self {
            listeners: JoinSet::new(),
            closed: CancellationToken::new(),
            shared: Shared {
                connections: TaskTracker::new(),
                ending: CancellationToken::new(),
                room: None,
                patience,
            },
        }
    }

    /// Takes no more than so many connections at a time: others wait where the system keeps them.
    pub(crate) fn max_connections(mut self, most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS / 2);
        self.shared.room = Some(Arc::new(Semaphore::new(most)));
        self
    }

    /// Takes connections from one more listener. TLS is for those over a network.
    pub(crate) fn listen(&mut self, listener: Listener, site: Site, tls: Option<Tls>) {
        if let Some(room) = &self.shared.room
            && !self.listeners.is_empty()
        {
            // Each listener holds a place for the connection it waits for, and must not hold another's.
            room.add_permits(1);
        }
        let (closed, shared) = (self.closed.clone(), self.shared.clone());
        self.listeners.spawn(async move {
            let accepting = accept(&listener, &site, tls.as_ref(), &shared);
            closed.run_until_cancelled(accepting).await;
        });
    }

    /// Takes no more connections, and gives its sockets back.
    pub(crate) async fn close(&mut self) {
        self.closed.cancel();
        while self.listeners.join_next().await.is_some() {}
    }

    /// Has each connection end with what it is at, and waits for that. Cancel-safe.
    pub(crate) async fn end_connections(&self) {
        self.shared.ending.cancel();
        self.shared.connections.close();
        self.shared.connections.wait().await;
    }
}

async fn accept(
    listener: &Listener,
    site: &Site,
    tls: Option<&Tls>,
    shared: &Shared,
) -> Infallible {
    let http = http();
    loop {
        // First, so that a connection for which there is no room is none yet.
        let room = shared.room().await;
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
        let activity = Activity::start();
        let served = Served {
            http: http.clone(),
            site: site.clone(),
            peer: stream.peer(),
            activity: activity.clone(),
            shared: shared.clone(),
            _room: room,
        };
        match (stream, tls) {
            (Stream::Tcp(stream), tls) => {
                if let Err(error) = stream.set_nodelay(true) {
                    debug!(%error, "cannot set TCP_NODELAY");
                }
                let stream = Line::new(stream, &activity);
                match tls {
                    None => served.spawn(future::ready(Ok(stream))),
                    Some(tls) => served.spawn(tls.acceptor.accept(stream)),
                }
            }
            #[cfg(unix)]
            (Stream::Unix(stream), _) => {
                served.spawn(future::ready(Ok(Line::new(stream, &activity))));
            }
        }
    }
}

impl Shared {
    /// Waits for a place, if there is an end of them.
    async fn room(&self) -> Option<OwnedSemaphorePermit> {
        let room = Arc::clone(self.room.as_ref()?);
        room.acquire_owned().await.ok()
    }
}

/// One connection, and what it is served with.
struct Served {
    http: auto::Builder<TokioExecutor>,
    site: Site,
    peer: Option<RemoteAddr>,
    activity: Activity,
    shared: Shared,
    _room: Option<OwnedSemaphorePermit>,
}

impl Served {
    /// In a task of its own.
    fn spawn<S>(self, stream: impl Future<Output = io::Result<S>> + Send + 'static)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let open = Connection::open();
        let connections = self.shared.connections.clone();
        connections.spawn(async move {
            let _open = open;
            if let Err(error) = self.run(stream).await {
                debug!(error, "connection failed");
            }
        });
    }

    async fn run<S>(&self, stream: impl Future<Output = io::Result<S>>) -> Result<(), BoxError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Shared {
            ending, patience, ..
        } = &self.shared;
        let stream = tokio::select! {
            stream = stream => stream?,
            // What has not begun when the end begins does not.
            () = ending.cancelled() => return Ok(()),
            () = self.activity.idle_for(*patience) => return Err("no handshake".into()),
        };
        let (site, activity, peer) = (self.site.clone(), self.activity.clone(), self.peer);
        let service = service_fn(move |mut request: Request<Incoming>| {
            let busy = activity.busy();
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
            let site = site.clone();
            async move {
                let answered = site.answer(request).await;
                answered.map(|response| response.map(|body| busy.answer(body)))
            }
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = ending.cancelled() => {}
            () = self.activity.idle_for(*patience) => debug!("an idle connection"),
        }
        connection.as_mut().graceful_shutdown();
        let patience = patience.map(|patience| patience.saturating_add(FAREWELL));
        tokio::select! {
            ended = connection => ended,
            () = self.activity.idle_for(patience) => Err("the client does nothing".into()),
        }
    }
}

fn http() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    // No PINGs: their answers wait behind all that a slow client has not read yet, so they end clients that
    // are there. What is idle has an end in `Activity`, a body that stops in the service.
    http.http2()
        // A window is what is on its way, and what this process holds if it is slow to read. By
        // default an upload brings 1 MiB per round trip. TCP itself has about 3 MiB on its way by Linux'
        // defaults (`tcp_rmem`), so with 4 MiB an upload is no slower than over HTTP/1.1. Three that
        // are held back leave the others of the connection as much; of windows that adapt themselves
        // one takes all.
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(4 * STREAM_WINDOW)
        // With the protocol's own frame of 16 KiB an upload costs twice the CPU time.
        .max_frame_size(1 << 20)
        // Metadata and lists of parts may be longer than the 16 KiB it takes otherwise.
        .max_header_list_size(256 << 10);
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
const STREAM_WINDOW: u32 = 4 << 20;

/// How long an idle client may take to agree with the end of a connection. A request that was on its way
/// is served.
const FAREWELL: Duration = Duration::from_secs(5);
