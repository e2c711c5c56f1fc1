//! Resumable uploads with hyper alone: HTTP/1.1 and HTTP/2 on one port.
//!
//! `cargo run --example hyper`

use std::{env, error::Error, future, io, pin::pin, sync::Arc, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    signal,
    sync::{OwnedSemaphorePermit, Semaphore},
    time,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tower_tus::{TusService, storage::FileStorage};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let uploads = env::var("UPLOADS").unwrap_or_else(|_| "./uploads".into());
    let port = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;

    let tus = TusService::new(FileStorage::open(uploads)?)
        .base_path("/files")
        .max_size(8 << 30)
        .expires_after(Duration::from_secs(7 * 24 * 3600));
    let http = http();

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);

    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = GracefulShutdown::new();
    let mut stop = pin!(asked_to_end());
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            asked = &mut stop => break asked?,
        };
        let Ok((stream, place)) = accepted else {
            // Out of file descriptors, mostly. A pause gives connections time to end.
            time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let spoke = CancellationToken::new();
        let service = tus.clone().map_request({
            let spoke = spoke.clone();
            move |request| {
                spoke.cancel();
                request
            }
        });
        let service = TowerToHyperService::new(service);
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection.into_owned());
        tokio::spawn(async move {
            let _place = place;
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    eprintln!("connection: {error}");
                },
                () = silence(spoke) => eprintln!("connection: no request within {SILENCE:?}"),
            }
        });
    }

    // Whoever comes now finds the next server.
    drop(listener);
    // An upload can run for hours. `shutdown` stops each one where it is: its bytes are kept, and
    // its client goes on after the restart. A slow download can run as long, and is cut.
    tus.shutdown().await;
    if time::timeout(DRAIN, connections.shutdown()).await.is_err() {
        eprintln!("connections are still open after {DRAIN:?}: closing them");
    }
    Ok(())
}

/// Takes a connection for which there is room; others wait in the system's queue.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(room).acquire_owned().await;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place.map_err(io::Error::other)?))
}

/// HTTP/1.1, or HTTP/2 for clients that begin with it.
fn http() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    // With a timer the head of a request has 30 s.
    http.http1().timer(TokioTimer::new());
    http.http2()
        .timer(TokioTimer::new())
        // Finds clients that are gone without a word. A slow one is late with its answer, for it first
        // reads what it was sent before.
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(120))
        // Metadata and lists of parts may be longer than the 16 KiB it takes otherwise.
        .max_header_list_size(256 << 10)
        // What an upload may bring per round trip, by default 1 MiB whatever the line could carry, and what
        // all of a connection may. Windows that adapt themselves are the same for both, so one upload
        // that has to wait stops all others.
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .max_frame_size(1 << 20);
    http
}

/// Ends when a connection took too long to bring its first request: the timers above begin later.
async fn silence(spoke: CancellationToken) {
    if time::timeout(SILENCE, spoke.cancelled()).await.is_ok() {
        future::pending::<()>().await;
    }
}

/// Waits for Ctrl-C, or for SIGTERM, by which services and containers are stopped.
async fn asked_to_end() -> io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = signal::unix::signal(signal::unix::SignalKind::terminate())?;
        tokio::select! {
            interrupted = signal::ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    signal::ctrl_c().await
}

/// With a file for each they stay below 1,024 open files, a usual limit. Each may also hold 16 MiB that
/// uploads have yet to read.
const MAX_CONNECTIONS: usize = 400;
const SILENCE: Duration = Duration::from_secs(30);
const DRAIN: Duration = Duration::from_secs(10);
