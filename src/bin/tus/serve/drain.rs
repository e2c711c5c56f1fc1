//! The end of a server, which loses no byte.

use anyhow::{Result, bail};
use tokio::time;
use tower_tus::TusService;
use tracing::{info, warn};

use super::{Servers, admin::About, args::Serve, systemd};
use crate::signals::Signals;

/// Goes down in order, until all connections have ended or their time is over. A second signal ends it
/// at once.
pub(crate) async fn drain(
    signal: &str,
    mut signals: Signals,
    args: &Serve,
    tus: &TusService,
    mut servers: Servers,
    about: &About,
) -> Result<()> {
    info!(signal, "shutting down");
    systemd::stopping();
    about.draining.cancel();
    let again = tokio::select! {
        () = end(args, tus, &mut servers) => None,
        signal = signals.next() => Some(signal),
    };
    // What is still open would be left behind in the file system.
    servers.uploads.close().await;
    servers.admin.close().await;
    match again {
        None => Ok(()),
        Some(signal) => bail!("{signal} during shutdown: closed all connections"),
    }
}

async fn end(args: &Serve, tus: &TusService, servers: &mut Servers) {
    // Whoever watches `/readyz` sends requests elsewhere now, and those that come are served.
    time::sleep(args.operation.drain_delay).await;
    let end = async {
        servers.uploads.close().await;
        // At the same time: a client that is told 503 must not send the next request here, and hooks may
        // take long.
        tokio::join!(tus.shutdown(), servers.uploads.end_connections());
    };
    match time::timeout(args.operation.shutdown_timeout, end).await {
        Ok(()) => info!("all connections ended"),
        Err(_) => {
            warn!("connections are still open after the time for shutdown: closing them");
        }
    }
}
