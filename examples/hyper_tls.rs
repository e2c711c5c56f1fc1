//! Resumable uploads with hyper alone, over TLS: HTTP/1.1 and HTTP/2, as the client likes.
//!
//! `TLS_CERT=chain.pem TLS_KEY=key.pem cargo run --example hyper_tls`, and then
//!
//! ```sh
//! curl -i https://localhost:3000/files --cacert authority.pem -H 'Tus-Resumable: 1.0.0' -H 'Upload-Length: 5' \
//!     -H 'Content-Type: application/offset+octet-stream' --data-binary hello
//! ```

use std::{env, error::Error, pin::pin, sync::Arc, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{net::TcpListener, signal, time};
use tokio_rustls::TlsAcceptor;
use tower_tus::{TusService, storage::FileStorage};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let uploads = env::var("UPLOADS").unwrap_or_else(|_| "./uploads".into());
    let port = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let tls = tls(
        &env::var("TLS_CERT").map_err(|_| "TLS_CERT is not set")?,
        &env::var("TLS_KEY").map_err(|_| "TLS_KEY is not set")?,
    )?;

    let tus = TusService::new(FileStorage::open(uploads)?).base_path("/files");

    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new());
    // HTTP/2's own window lets an upload bring 1 MiB per round trip, whatever the line could carry.
    http.http2().adaptive_window(true).max_frame_size(1 << 20);

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on https://{}", listener.local_addr()?);

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
        let (tls, http, tus) = (tls.clone(), http.clone(), tus.clone());
        let watcher = connections.watcher();
        tokio::spawn(async move {
            // A client that never says hello keeps nobody waiting: this is a task of its own.
            let stream = match time::timeout(HANDSHAKE, tls.accept(stream)).await {
                Ok(Ok(stream)) => TokioIo::new(stream),
                Ok(Err(error)) => return eprintln!("TLS: {error}"),
                Err(_) => return eprintln!("TLS: no handshake within {HANDSHAKE:?}"),
            };
            let connection = http.serve_connection(stream, TowerToHyperService::new(tus));
            if let Err(error) = watcher.watch(connection.into_owned()).await {
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

/// With a chain of certificates and its key from files in PEM.
fn tls(chain: &str, key: &str) -> Result<TlsAcceptor, Box<dyn Error>> {
    let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    // Without it clients do not speak HTTP/2.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config).into())
}

/// Most time that a client has for it.
const HANDSHAKE: Duration = Duration::from_secs(10);
