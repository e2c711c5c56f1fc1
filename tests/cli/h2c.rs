//! HTTP/2 without TLS, by prior knowledge.

use std::{net::SocketAddr, path::Path};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::tempdir;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use crate::support::{Program, sample};

#[tokio::test]
async fn uploads_over_http2() {
    let dir = tempdir().unwrap();
    let server = Program::serve(dir.path(), &[]);
    uploads(server.address, dir.path()).await;
}

pub(crate) async fn uploads(address: SocketAddr, storage: &Path) {
    let stream = TcpStream::connect(address).await.unwrap();
    uploads_over(stream, &format!("http://{address}"), storage).await;
}

/// Creates, sends in two requests over one connection, reads back.
pub(crate) async fn uploads_over<S>(stream: S, origin: &str, storage: &Path)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let data = sample(3_000_000);

    let create = tus("POST", &format!("{origin}/files"))
        .header("Upload-Length", data.len())
        .header("Content-Type", "application/offset+octet-stream")
        // The longest metadata that the service takes.
        .header("Upload-Metadata", format!("note {}", "YWFh".repeat(4_090)))
        .body(Full::<Bytes>::from(data[..1_000_000].to_vec()))
        .unwrap();
    let created = client.send_request(create).await.unwrap();
    assert_eq!(created.status(), 201, "{created:?}");
    assert_eq!(header(&created, "Upload-Offset"), "1000000");
    let upload = header(&created, "Location").to_owned();

    let patch = tus("PATCH", &format!("{origin}{upload}"))
        .header("Upload-Offset", 1_000_000)
        .header("Content-Type", "application/offset+octet-stream")
        .body(Full::<Bytes>::from(data[1_000_000..].to_vec()))
        .unwrap();
    let patched = client.send_request(patch).await.unwrap();
    assert_eq!(patched.status(), 204, "{patched:?}");

    let get = tus("GET", &format!("{origin}{upload}"))
        .body(Full::default())
        .unwrap();
    let download = client.send_request(get).await.unwrap();
    assert_eq!(download.status(), 200);
    assert_eq!(
        download.into_body().collect().await.unwrap().to_bytes(),
        data
    );
    let id = upload.rsplit('/').next().unwrap();
    assert_eq!(std::fs::read(storage.join(id)).unwrap(), data);
}

fn tus(method: &str, url: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(url)
        .header("Tus-Resumable", "1.0.0")
}

fn header<'r>(response: &'r Response<Incoming>, name: &str) -> &'r str {
    response.headers()[name].to_str().unwrap()
}
