//! Resumable uploads into a bucket, from any number of nodes behind a load balancer.
//!
//! `BUCKET=s3://my-bucket/uploads cargo run --example s3 --features aws,axum`, with the usual `AWS_*` variables.
//! Nodes share nothing but the bucket: each request of an upload may go to another one.
//!
//! ```sh
//! curl -i http://127.0.0.1:3000/files -H 'Tus-Resumable: 1.0.0' -H 'Upload-Length: 5' \
//!     -H 'Content-Type: application/offset+octet-stream' --data-binary hello
//! curl -i http://127.0.0.1:3000/readyz
//! ```

use std::{env, error::Error, future::ready, time::Duration};

use axum::{Router, http::StatusCode, routing::get};
use tokio::{net::TcpListener, signal, time};
use tokio_util::sync::CancellationToken;
use tower_tus::{TusService, protocol::KeyTemplate, service::Downloads, storage};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let bucket = env::var("BUCKET").map_err(|_| "BUCKET is not set")?;
    let host = env::var("HOST").unwrap_or_else(|_| "127.0.0.1".into());
    let port = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    // As long as the balancer takes to see that a node is not ready any more.
    let drain = env::var("DRAIN_SECONDS").map_or(Ok(10), |seconds| seconds.parse())?;

    // Fails now if the bucket cannot be written to, or its store does not keep several nodes apart.
    let tus = TusService::new(storage::open(&bucket).await?)
        .key(KeyTemplate::parse("{year}/{month}/{id}-{filename}")?)
        .max_size(100 << 30)
        .expires_after(Duration::from_secs(7 * 24 * 3600))
        // Downloads go past this server, if the store can sign URLs.
        .downloads(Downloads::redirect(Duration::from_secs(300)));
    // What a crash has interrupted is done without waiting for the first request.
    tus.start();

    let draining = CancellationToken::new();
    // It does not ask the bucket: if that is away, so are all nodes, and clients try again by themselves.
    let is_ready = {
        let draining = draining.clone();
        move || {
            ready(match draining.is_cancelled() {
                false => (StatusCode::OK, "ready\n"),
                true => (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n"),
            })
        }
    };
    let app = Router::new()
        .route("/", get(|| async { "Resumable uploads go to /files\n" }))
        .route("/readyz", get(is_ready))
        .nest_service("/files", tus.clone());

    let listener = TcpListener::bind((host, port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let stop = async move {
        asked_to_end().await.expect("signals can be waited for");
        // Requests that still come are served.
        draining.cancel();
        time::sleep(Duration::from_secs(drain)).await;
        tus.shutdown().await;
    };
    axum::serve(listener, app)
        .with_graceful_shutdown(stop)
        .await?;
    Ok(())
}

/// Waits for Ctrl-C, or for SIGTERM, by which services and containers are stopped.
async fn asked_to_end() -> std::io::Result<()> {
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
