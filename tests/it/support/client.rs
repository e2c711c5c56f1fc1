use std::{io, net::SocketAddr};

use super::{Connection, Request, Response};

/// Requests to one server, each on a connection of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    address: SocketAddr,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// The absolute URL of a path, for clients that want one.
    pub(crate) fn uri(self, path: &str) -> http::Uri {
        format!("http://{}{path}", self.address)
            .parse()
            .expect("a path makes a URL")
    }

    /// A connection of its own, for tests that choose the bytes.
    pub(crate) async fn connect(self) -> Connection {
        Connection::open(self.address).await
    }

    /// The same to a server that may be gone.
    pub(crate) async fn try_connect(self) -> Option<Connection> {
        Connection::try_open(self.address).await.ok()
    }

    /// Sends one request and reads its answer.
    pub(crate) async fn send(self, request: Request) -> Response {
        self.connect().await.send(&request).await
    }

    /// Sends one request to a server that may close the connection without an answer.
    pub(crate) async fn try_send(self, request: Request) -> io::Result<Response> {
        self.connect().await.try_send(&request).await
    }

    /// Sends one request to a server that may be killed; `None` if it did not answer.
    pub(crate) async fn attempt(self, request: Request) -> Option<Response> {
        self.try_connect().await?.try_send(&request).await.ok()
    }

    /// Makes an upload of `length` bytes and gives its URL.
    pub(crate) async fn create(self, length: u64) -> String {
        self.create_with(Request::create().header("Upload-Length", length.to_string()))
            .await
    }

    /// Makes an upload by this request and gives its URL.
    pub(crate) async fn create_with(self, request: Request) -> String {
        let response = self.send(request).await.expect(201);
        response
            .header("Location")
            .expect("a 201 has a Location")
            .to_owned()
    }

    /// Makes an upload and fills it.
    pub(crate) async fn upload(self, data: &[u8]) -> String {
        let url = self.create(data.len() as u64).await;
        let response = self.patch(&url, 0, data).await.expect(204);
        assert_eq!(response.offset(), Some(data.len() as u64));
        url
    }

    /// Makes a part of another upload and fills it.
    pub(crate) async fn part(self, data: &[u8]) -> String {
        let url = self.create_with(Request::partial(data.len() as u64)).await;
        self.patch(&url, 0, data).await.expect(204);
        url
    }

    /// Makes a final upload of these parts.
    pub(crate) async fn join(self, parts: &[impl AsRef<str>]) -> String {
        let parts: Vec<_> = parts.iter().map(AsRef::as_ref).collect();
        let concat = format!("final;{}", parts.join(" "));
        self.create_with(Request::create().header("Upload-Concat", concat))
            .await
    }

    pub(crate) async fn options(self, url: &str) -> Response {
        self.send(Request::new("OPTIONS", url)).await
    }

    pub(crate) async fn head(self, url: &str) -> Response {
        self.send(Request::new("HEAD", url)).await
    }

    /// The offset of an upload that has to be there.
    pub(crate) async fn offset(self, url: &str) -> u64 {
        let response = self.head(url).await.expect(200);
        response
            .offset()
            .expect("a HEAD's answer has an Upload-Offset")
    }

    pub(crate) async fn patch(self, url: &str, offset: u64, body: &[u8]) -> Response {
        self.send(Request::patch(url, offset).body(body)).await
    }

    pub(crate) async fn get(self, url: &str) -> Response {
        self.send(Request::new("GET", url)).await
    }

    pub(crate) async fn delete(self, url: &str) -> Response {
        self.send(Request::new("DELETE", url)).await
    }
}
