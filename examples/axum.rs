//! Resumable uploads in an axum application.
//!
//! `cargo run --example axum --features axum`

use std::{env, error::Error};

use axum::{Router, routing::get};
use tokio::{net::TcpListener, signal};
use tower_tus::{TusService, storage::FileStorage};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let uploads = env::var("UPLOADS").unwrap_or_else(|_| "./uploads".into());
    let port = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;

    let tus = TusService::new(FileStorage::open(uploads)?);
    let app = Router::new()
        .route("/", get(|| async { "Resumable uploads go to /files\n" }))
        .nest_service("/files", tus.clone());

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);

    // axum lets running requests end by themselves, and an upload can run for hours. `shutdown`
    // stops each one where it is: its bytes are kept, and its client goes on after the restart.
    let stop = async move {
        signal::ctrl_c().await.expect("Ctrl-C can be waited for");
        tus.shutdown().await;
    };
    axum::serve(listener, app)
        .with_graceful_shutdown(stop)
        .await?;
    Ok(())
}
