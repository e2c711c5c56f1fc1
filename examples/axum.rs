//! Resumable uploads in an axum application.
//!
//! `cargo run --example axum --features axum`

use std::{env, error::Error, time::Duration};

use axum::{Router, routing::get};
use tokio::{net::TcpListener, signal};
use tower_tus::{TusService, storage::FileStorage};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let uploads = env::var("UPLOADS").unwrap_or_else(|_| "./uploads".into());
    let port = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;

    let tus = TusService::new(FileStorage::open(uploads)?)
        .max_size(8 << 30)
        .expires_after(Duration::from_secs(7 * 24 * 3600));
    let app = Router::new()
        .route("/", get(|| async { "Resumable uploads go to /files\n" }))
        .nest_service("/files", tus.clone());

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);

    // axum lets running requests end by themselves, and an upload can run for hours. `shutdown`
    // stops each one where it is: its bytes are kept, and its client goes on after the restart.
    let stop = async move {
        asked_to_end().await.expect("signals can be waited for");
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
