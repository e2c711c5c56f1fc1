//! Resumable uploads in an actix-web application.
//!
//! `cargo run --example actix --features actix`

use std::{env, error::Error};

use actix_web::{App, HttpServer, web};
use tokio::signal;
use tower_tus::{TusService, actix, storage::FileStorage};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let uploads = env::var("UPLOADS").unwrap_or_else(|_| "./uploads".into());
    let port: u16 = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;

    let tus = TusService::new(FileStorage::open(uploads)?);
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
        signal::ctrl_c().await.expect("Ctrl-C can be waited for");
        tus.shutdown().await;
        handle.stop(true).await;
    });
    server.await?;
    Ok(())
}
