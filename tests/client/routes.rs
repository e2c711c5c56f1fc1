//! TLS and proxies: how a request gets to a server.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::Uri;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tower_tus::client::{Client, HttpVersion, Proxy, RetryPolicy, Tls};

use crate::support::{Server, bytes};

const AUTHORITY: &[u8] = include_bytes!("certificates/authority.pem");
const SERVER: &[u8] = include_bytes!("certificates/server.pem");
const CLIENT: &[u8] = include_bytes!("certificates/client.pem");

/// TLS before a server; its port.
async fn tls_before(server: &Server, clients: Clients) -> u16 {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        Clients::Anybody => builder.with_no_client_auth(),
        Clients::Known => {
            let mut roots = RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_slice(AUTHORITY).unwrap())
                .unwrap();
            let provider = Arc::new(ring::default_provider());
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(SERVER).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(SERVER).unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let address = server.address;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust us ends here.
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut behind = TcpStream::connect(address).await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut behind).await;
            });
        }
    });
    port
}

enum Clients {
    Anybody,
    Known,
}

/// A proxy that tunnels, and the first lines it was sent.
async fn tunnel() -> (u16, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = std::sync::mpsc::channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let target = head.split(' ').nth(1).unwrap().to_owned();
            tell.send(head).unwrap();
            let mut behind = TcpStream::connect(target).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut stream, &mut behind).await });
        }
    });
    (port, told)
}

fn client(port: u16, tls: Tls) -> Client {
    let endpoint = format!("https://localhost:{port}/files");
    Client::new(endpoint.parse().unwrap())
        .proxy(Proxy::none())
        .retry(RetryPolicy::never())
        .tls(tls)
}

fn trusting() -> Tls {
    Tls::new().only_own_roots().root_pem(AUTHORITY).unwrap()
}

fn pin(pem: &[u8]) -> [u8; 32] {
    Sha256::digest(CertificateDer::from_pem_slice(pem).unwrap()).into()
}

#[tokio::test]
async fn certificates_are_verified_unless_told_otherwise() {
    let server = Server::start().await;
    let port = tls_before(&server, Clients::Anybody).await;
    let any = || Tls::new().accept_any_certificate();
    for (what, tls, good) in [
        ("the system's roots", Tls::new(), false),
        ("our authority", trusting(), true),
        (
            "our authority and the pin",
            trusting().pin_sha256(pin(SERVER)),
            true,
        ),
        (
            "our authority and another pin",
            trusting().pin_sha256(pin(CLIENT)),
            false,
        ),
        (
            "one of two pins",
            trusting().pin_sha256([0; 32]).pin_sha256(pin(SERVER)),
            true,
        ),
        (
            "the pin without an authority",
            Tls::new().pin_sha256(pin(SERVER)),
            false,
        ),
        ("any", any(), true),
        ("any with the pin", any().pin_sha256(pin(SERVER)), true),
        ("any with another pin", any().pin_sha256(pin(CLIENT)), false),
    ] {
        let done = client(port, tls).upload(bytes(2_000_000)).await;
        match done {
            Ok(_) => assert!(good, "{what}"),
            Err(error) => {
                assert!(!good && error.is_certificate(), "{what}: {error:?}");
                assert!(error.is_connect() && !error.is_retryable(), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn a_client_shows_who_it_is() {
    let server = Server::start().await;
    let port = tls_before(&server, Clients::Known).await;
    client(port, trusting()).upload(bytes(9)).await.unwrap_err();
    let known = trusting().identity_pem(CLIENT).unwrap();
    client(port, known).upload(bytes(9)).await.unwrap();
    assert!(trusting().identity_pem(AUTHORITY).unwrap_err().is_setting());
    assert!(trusting().root_pem(b"nothing").unwrap_err().is_setting());
}

#[tokio::test]
async fn every_version_is_spoken_over_tls() {
    let server = Server::start().await;
    let port = tls_before(&server, Clients::Anybody).await;
    let content = bytes(3_000_000);
    for version in [HttpVersion::Http1, HttpVersion::Http2, HttpVersion::Auto] {
        let client = client(port, trusting()).version(version);
        let done = client.upload(content.clone()).await.unwrap();
        assert!(server.content(done.url()).await == content, "{version:?}");
    }
}

#[tokio::test]
async fn a_proxy_forwards_http_and_tunnels_https() {
    let server = Server::start().await;
    let url = |port: u16| -> Uri { format!("http://me:word@127.0.0.1:{port}").parse().unwrap() };
    let far = Client::new(Uri::from_static("http://far.invalid/files"));
    let far = far.proxy(Proxy::url(url(server.address.port())));
    far.upload(bytes(2_000_000)).await.unwrap();
    for seen in server.seen() {
        assert_eq!(seen.header("proxy-authorization"), "Basic bWU6d29yZA==");
        assert_eq!(seen.header("host"), "far.invalid");
    }

    let port = tls_before(&server, Clients::Anybody).await;
    let (proxy, told) = tunnel().await;
    let client = client(port, trusting()).proxy(Proxy::url(url(proxy)));
    client.upload(bytes(2_000_000)).await.unwrap();
    let head = told.try_recv().unwrap();
    assert!(
        head.starts_with(&format!("CONNECT localhost:{port} ")),
        "{head}"
    );
    assert!(
        head.to_lowercase()
            .contains("proxy-authorization: basic bwu6d29yza=="),
        "{head}"
    );
    let last = server.seen().pop().unwrap();
    assert_eq!(last.header("proxy-authorization"), "");
    assert!(!format!("{client:?}").contains("word"));
}

#[tokio::test]
async fn nothing_goes_past_a_proxy_that_cannot_be_used() {
    let server = Server::start().await;
    for url in [
        "socks://127.0.0.1:1",
        "https://127.0.0.1:1",
        "/proxy",
        "socks4://127.0.0.1:1",
    ] {
        let client = server.client().proxy(Proxy::url(url.parse().unwrap()));
        let error = client.upload(bytes(9)).await.unwrap_err();
        assert!(error.is_setting(), "{url}: {error}");
        assert_eq!(server.methods(), "", "{url}");
    }
}

#[tokio::test]
async fn a_proxy_that_wants_a_password_is_not_asked_again() {
    let server = Server::start().await;
    let port = tls_before(&server, Clients::Anybody).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
            stream.write_all(refusal).await.unwrap();
        }
    });
    let client = client(port, trusting()).retry(RetryPolicy::default());
    let client = client.proxy(Proxy::url(url.parse().unwrap()));
    let error = client.upload(bytes(9)).await.unwrap_err();
    assert!(error.is_setting(), "{error:?}");
    // By OPTIONS, and by the creation.
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn https_does_not_become_http() {
    use crate::support::Instead;
    for status in [201, 307] {
        let server = Server::disturbed(move |_, _| {
            let location = "http://localhost:1/files/a".to_owned();
            Some(Instead::Answer(status, vec![("location", location)]))
        })
        .await;
        let port = tls_before(&server, Clients::Anybody).await;
        let error = client(port, trusting())
            .upload(bytes(2_000_000))
            .await
            .unwrap_err();
        assert!(
            error.is_protocol() && error.to_string().contains("https"),
            "{error}"
        );
    }
}
