//! The end of a server, which loses no byte.

use anyhow::{Result, bail};
use tokio::time;
use tower_tus::TusService;
use tracing::{info, warn};

use super::{admin::About, args::Serve, server::Server, systemd};
use crate::signals::Signals;

/// Goes down in order, until all connections have ended or their time is over. A second signal ends it
/// at once.
pub(crate) async fn drain(
    signal: &str,
    mut signals: Signals,
    args: &Serve,
    tus: &TusService,
    server: Server,
    about: &About,
) -> Result<()> {
    info!(signal, "shutting down");
    systemd::stopping();
    about.draining.cancel();
    tokio::select! {
        () = end(args, tus, server) => Ok(()),
        signal = signals.next() => bail!("{signal} during shutdown: closed all connections"),
    }
}

async fn end(args: &Serve, tus: &TusService, mut server: Server) {
    // Whoever watches `/readyz` sends requests elsewhere now, and those that come are served.
    time::sleep(args.operation.drain_delay).await;
    let end = async {
        server.close().await;
        tus.shutdown().await;
        server.end_connections().await;
    };
    match time::timeout(args.operation.shutdown_timeout, end).await {
        Ok(()) => info!("all connections ended"),
        Err(_) => {
            warn!("connections are still open after the time for shutdown: closing them");
        }
    }
}
