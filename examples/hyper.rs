//! Resumable uploads with hyper alone: HTTP/1.1 and HTTP/2 on one port.
//!
//! `cargo run --example hyper`

use std::{env, error::Error, pin::pin, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, signal, time};
use tower_tus::{TusService, storage::FileStorage};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let uploads = env::var("UPLOADS").unwrap_or_else(|_| "./uploads".into());
    let port = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;

    let tus = TusService::new(FileStorage::open(uploads)?).base_path("/files");

    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new());
    // HTTP/2's own window lets an upload bring 1 MiB per round trip, whatever the line could carry.
    http.http2().adaptive_window(true).max_frame_size(1 << 20);

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);

    let connections = GracefulShutdown::new();
    let mut stop = pin!(signal::ctrl_c());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stop => break,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, mostly. A pause gives connections time to end.
            time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let service = TowerToHyperService::new(tus.clone());
        let connection = http
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("connection: {error}");
            }
        });
    }

    // An upload can run for hours. `shutdown` stops each one where it is: its bytes are kept, and
    // its client goes on after the restart.
    tus.shutdown().await;
    connections.shutdown().await;
    Ok(())
}
