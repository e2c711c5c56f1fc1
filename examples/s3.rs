//! Resumable uploads into a bucket, from any number of nodes.
//!
//! `BUCKET=s3://my-bucket/uploads cargo run --example s3 --features aws,axum`, with the usual `AWS_*` variables.

use std::{env, error::Error, time::Duration};

use axum::{Router, routing::get};
use tokio::{net::TcpListener, signal};
use tower_tus::{TusService, protocol::KeyTemplate, service::Downloads, storage};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let bucket = env::var("BUCKET").map_err(|_| "BUCKET is not set")?;
    let port = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;

    // Fails now if the bucket cannot be written to, or its store does not keep several nodes apart.
    let tus = TusService::new(storage::open(&bucket).await?)
        .key(KeyTemplate::parse("{year}/{month}/{id}-{filename}")?)
        .expires_after(Duration::from_secs(7 * 24 * 3600))
        // Downloads go past this server, if the store can sign URLs.
        .downloads(Downloads::redirect(Duration::from_secs(300)));
    let app = Router::new()
        .route("/", get(|| async { "Resumable uploads go to /files\n" }))
        .nest_service("/files", tus.clone());

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let stop = async move {
        signal::ctrl_c().await.expect("Ctrl-C can be waited for");
        tus.shutdown().await;
    };
    axum::serve(listener, app)
        .with_graceful_shutdown(stop)
        .await?;
    Ok(())
}
