//! WEBHOOK: hook servers that are known by an authority of one's own.

use std::{sync::Arc, time::Duration};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::json;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tower_tus::hooks::{Hook, webhook::Webhook};

use crate::support::{HookServer, Request, Saying, Server};

const AUTHORITY: &[u8] = include_bytes!("../client/certificates/authority.pem");
const SERVER: &[u8] = include_bytes!("../client/certificates/server.pem");
const CLIENT: &[u8] = include_bytes!("../client/certificates/client.pem");

/// TLS before a hook server; its port.
async fn tls_before(hooks: &HookServer) -> u16 {
    let chain = vec![CertificateDer::from_pem_slice(SERVER).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(SERVER).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let behind = hooks.url().port_u16().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Who does not trust us ends here.
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut behind = TcpStream::connect(("127.0.0.1", behind)).await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut behind).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn a_hook_server_is_asked_if_its_authority_is_trusted_and_not_otherwise() {
    let hooks = HookServer::saying(Saying::Json(json!({})));
    let port = tls_before(&hooks).await;
    let at = |host: &str| {
        Webhook::new(format!("https://{host}:{port}/hooks").parse().unwrap())
            .unwrap()
            .events([Hook::PreCreate])
            .attempts(2)
            .backoff(Duration::from_millis(1))
    };
    for (what, webhook, status) in [
        ("the system's authorities", at("localhost"), 500),
        (
            "another authority",
            at("localhost").only_roots_pem(CLIENT).unwrap(),
            500,
        ),
        (
            "our authority",
            at("localhost").only_roots_pem(AUTHORITY).unwrap(),
            201,
        ),
        (
            "another name",
            at("localhost.localdomain")
                .only_roots_pem(AUTHORITY)
                .unwrap(),
            500,
        ),
    ] {
        let before = hooks.asked().len();
        let server = Server::with(move |tus| tus.hooks(webhook.clone()));
        let create = Request::create().header("Upload-Length", "3");
        let answer = server.client().send(create).await;
        assert_eq!(answer.status, status, "{what}");
        let asked = hooks.asked().len() - before;
        assert_eq!(asked, usize::from(status == 201), "{what}");
    }
}
