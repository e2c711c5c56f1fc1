//! The server: hyper on one thread, which counts the bytes of uploads and forgets them. It verifies no checksum.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::{Ipv4Addr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};

/// Until the parent is gone.
pub(crate) fn serve() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?.port());
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(accept(listener))
}

async fn accept(listener: TcpListener) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let uploads = Uploads::default();
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http2().adaptive_window(true);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (server, uploads) = (server.clone(), uploads.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let uploads = uploads.clone();
                async move { Ok::<_, Infallible>(uploads.answer(request).await) }
            });
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Offset and length of each upload, by its path.
#[derive(Clone, Default)]
struct Uploads(Arc<Mutex<HashMap<String, (u64, u64)>>>);

impl Uploads {
    async fn answer(&self, request: Request<Incoming>) -> Response<Empty<Bytes>> {
        let mut response = Response::new(Empty::new());
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let fields = response.headers_mut();
        fields.insert("tus-resumable", HeaderValue::from_static("1.0.0"));
        let (status, fields) = match head.method {
            Method::OPTIONS => (
                StatusCode::NO_CONTENT,
                vec![
                    ("tus-version", "1.0.0".to_owned()),
                    (
                        "tus-extension",
                        "creation,checksum,checksum-trailer".to_owned(),
                    ),
                    ("tus-checksum-algorithm", "sha1".to_owned()),
                ],
            ),
            Method::POST => {
                // aiotus takes absolute URLs only.
                let host = host(&head.headers, &head.uri);
                let path = self.create(number(&head.headers, "upload-length"));
                let url = format!("http://{host}{path}");
                (StatusCode::CREATED, vec![("location", url)])
            }
            Method::HEAD => {
                let (offset, length) = self.at(&path, 0);
                let (offset, length) = (offset.to_string(), length.to_string());
                let fields = vec![("upload-offset", offset), ("upload-length", length)];
                (StatusCode::OK, fields)
            }
            _ => {
                let count = counted(body).await;
                let (offset, _) = self.at(&path, count);
                let fields = vec![("upload-offset", offset.to_string())];
                (StatusCode::NO_CONTENT, fields)
            }
        };
        *response.status_mut() = status;
        for (name, value) in fields {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }

    fn create(&self, length: u64) -> String {
        let mut uploads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let path = format!("/files/{}", uploads.len());
        uploads.insert(path.clone(), (0, length));
        path
    }

    /// Offset and length after `more` bytes.
    fn at(&self, path: &str, more: u64) -> (u64, u64) {
        let mut uploads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let upload = uploads.entry(path.to_owned()).or_default();
        upload.0 += more;
        *upload
    }
}

async fn counted(mut body: Incoming) -> u64 {
    let mut count = 0;
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            count += data.len() as u64;
        }
    }
    count
}

fn host(headers: &HeaderMap, uri: &http::Uri) -> String {
    let field = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let authority = uri.authority().map(http::uri::Authority::as_str);
    field.or(authority).unwrap_or_default().to_owned()
}

fn number(headers: &HeaderMap, name: &str) -> u64 {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}
