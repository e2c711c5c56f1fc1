//! Resumable uploads in an actix-web application.
//!
//! `cargo run --example actix --features actix`

use std::{env, error::Error, time::Duration};

use actix_web::{App, HttpServer, web};
use tokio::signal;
use tower_tus::{TusService, actix, storage::FileStorage};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let uploads = env::var("UPLOADS").unwrap_or_else(|_| "./uploads".into());
    let port: u16 = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;

    let tus = TusService::new(FileStorage::open(uploads)?)
        .max_size(8 << 30)
        .expires_after(Duration::from_secs(7 * 24 * 3600));
    let app = {
        // Once for all workers: each of them makes an application of its own.
        let tus = tus.clone();
        move || {
            App::new()
                .route(
                    "/",
                    web::get().to(|| async { "Resumable uploads go to /files\n" }),
                )
                .service(actix::scope("/files", tus.clone()))
        }
    };

    let server = HttpServer::new(app)
        .bind_auto_h2c(("127.0.0.1", port))?
        .disable_signals();
    for address in server.addrs() {
        println!("listening on http://{address}");
    }
    let server = server.run();

    // actix-web lets running requests end by themselves, and an upload can run for hours. `shutdown`
    // stops each one where it is: its bytes are kept, and its client goes on after the restart.
    let handle = server.handle();
    tokio::spawn(async move {
        asked_to_end().await.expect("signals can be waited for");
        tus.shutdown().await;
        handle.stop(true).await;
    });
    server.await?;
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
