//! HTTPS.

use std::{fs, io::Read, net::TcpStream, path::Path, sync::Arc};

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tempfile::tempdir;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    h2c,
    support::{self, Output, Program, Request, tus},
};

pub(crate) const SERVER: &str = include_str!("../client/certificates/server.pem");
const OTHER: &str = include_str!("../client/certificates/client.pem");

/// Takes any certificate: the tests look at it themselves.
#[derive(Debug)]
struct Any(CryptoProvider);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn config(alpn: &[&str]) -> Arc<ClientConfig> {
    let provider = ring::default_provider();
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider.clone()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Any(provider)))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

pub(crate) fn connect(server: &Program, alpn: &[&str]) -> StreamOwned<ClientConnection, TcpStream> {
    let name = "localhost".try_into().unwrap();
    let connection = ClientConnection::new(config(alpn), name).unwrap();
    StreamOwned::new(connection, support::connect(server.address))
}

pub(crate) async fn connect_h2(server: &Program) -> TlsStream<tokio::net::TcpStream> {
    let stream = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    let name = "localhost".try_into().unwrap();
    let connector = TlsConnector::from(config(&["h2"]));
    connector.connect(name, stream).await.unwrap()
}

/// What the server shows, and the protocol it has chosen.
fn greeting(server: &Program, alpn: &[&str]) -> (CertificateDer<'static>, Option<String>) {
    let mut stream = connect(server, alpn);
    stream.conn.complete_io(&mut stream.sock).unwrap();
    let shown = stream.conn.peer_certificates().unwrap()[0]
        .clone()
        .into_owned();
    let chosen = stream.conn.alpn_protocol();
    (
        shown,
        chosen.map(|name| String::from_utf8(name.to_vec()).unwrap()),
    )
}

fn serve(pem: &Path, storage: &Path, args: &[&str]) -> Program {
    let mut command = tus(["serve", "--listen", "127.0.0.1:0"]);
    command.arg("--tls-cert").arg(pem).arg("--tls-key").arg(pem);
    command.arg("--storage").arg(storage).args(args);
    Program::start(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_come_over_https_by_either_version_of_http() {
    let dir = tempdir().unwrap();
    let (pem, storage) = (dir.path().join("server.pem"), dir.path().join("uploads"));
    fs::write(&pem, SERVER).unwrap();
    let server = serve(&pem, &storage, &[]);
    server.line(&format!("https://{}/files", server.address));

    for (offered, chosen) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let (shown, found) = greeting(&server, offered);
        assert_eq!(
            shown,
            CertificateDer::from_pem_slice(SERVER.as_bytes()).unwrap()
        );
        assert_eq!(found.as_deref(), chosen);
    }

    let created = Request::create(5)
        .body(b"hello")
        .send_over(connect(&server, &["http/1.1"]));
    assert_eq!((created.status, created.offset()), (201, 5));

    let stream = connect_h2(&server).await;
    let origin = format!("https://{}", server.address);
    h2c::uploads_over(stream, &origin, &storage).await;
}

#[test]
fn who_does_not_begin_a_handshake_holds_nobody_up_and_is_let_go() {
    let dir = tempdir().unwrap();
    let pem = dir.path().join("server.pem");
    fs::write(&pem, SERVER).unwrap();
    let server = serve(&pem, dir.path(), &["--keep-alive-timeout", "2s"]);
    let silent: Vec<_> = (0..20).map(|_| support::connect(server.address)).collect();
    let created = Request::create(5).send_over(connect(&server, &[]));
    assert_eq!(created.status, 201);
    for mut stream in silent {
        assert_eq!(stream.read(&mut [0; 64]).unwrap(), 0, "closed");
    }
}

#[cfg(unix)]
#[test]
fn a_new_certificate_is_taken_on_sighup_and_a_bad_one_is_not() {
    use crate::support::eventually;

    let dir = tempdir().unwrap();
    let pem = dir.path().join("server.pem");
    fs::write(&pem, SERVER).unwrap();
    let server = serve(&pem, dir.path(), &[]);
    let shown = || greeting(&server, &[]).0;
    let of = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    assert_eq!(shown(), of(SERVER));
    let upload = Request::create(5)
        .send_over(connect(&server, &[]))
        .location();

    fs::write(&pem, OTHER).unwrap();
    assert_eq!(shown(), of(SERVER), "nobody has asked to read it");
    server.signal("HUP");
    server.line("read anew: the certificate");
    eventually("the new certificate", || {
        (shown() == of(OTHER)).then_some(())
    });

    let refusals = || {
        let lines = server.output();
        let is_refusal = |line: &&String| line.contains("kept as before: the certificate");
        lines.iter().filter(is_refusal).count()
    };
    for (refused, bad) in [
        "",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(&pem, bad).unwrap();
        server.signal("HUP");
        eventually("a refusal", || (refusals() > refused).then_some(()));
        assert_eq!(shown(), of(OTHER));
    }
    let head = Request::new("HEAD", &upload).send_over(connect(&server, &[]));
    assert_eq!(head.status, 200);
}

#[test]
fn a_certificate_that_cannot_be_used_ends_with_1_and_one_line() {
    let dir = tempdir().unwrap();
    let (chain, key) = (dir.path().join("chain.pem"), dir.path().join("key.pem"));
    fs::write(&chain, SERVER).unwrap();
    fs::write(&key, OTHER).unwrap();
    let mut command = tus(["serve", "--listen", "127.0.0.1:0", "--storage", "memory://"]);
    command
        .arg("--tls-cert")
        .arg(&chain)
        .arg("--tls-key")
        .arg(&key);
    let output = Output::of(command);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(
        output.stderr.starts_with("error: cannot use "),
        "{}",
        output.stderr
    );
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);

    let mut command = tus(["serve", "--tls-cert"]);
    command.arg(&chain);
    let output = Output::of(command);
    assert_eq!(output.code, Some(2));
    assert_eq!(
        output.stderr,
        "error: --tls-cert has no use without --tls-key\n"
    );
}
