//! `sink-hyper-inline`: hyper 1 on tokio, files opened and every frame written on the async threads.
//!
//! What HTTP costs when a real HTTP server does it and nothing else happens.

use std::{
    convert::Infallible,
    io::{self, Write},
    net::TcpListener,
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header::LOCATION,
};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;

use crate::files::Files;

const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

pub(crate) async fn serve(listener: TcpListener, dir: &Path) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let files = Arc::new(Files::new(dir));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let files = Arc::clone(&files);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let files = Arc::clone(&files);
                async move { Ok::<_, Infallible>(handle(&files, request).await) }
            });
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn handle(files: &Files, request: Request<Incoming>) -> Response<Empty<Bytes>> {
    answer(files, request).await.unwrap_or_else(|_| {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

async fn answer(files: &Files, request: Request<Incoming>) -> io::Result<Response<Empty<Bytes>>> {
    let path = request.uri().path();
    let mut response = Response::default();
    let offset = if request.method() == Method::HEAD {
        files.len(path)?
    } else if request.method() == Method::POST {
        let (id, mut file) = files.create()?;
        *response.status_mut() = StatusCode::CREATED;
        let location = HeaderValue::try_from(format!("/files/{id}")).map_err(io::Error::other)?;
        response.headers_mut().insert(LOCATION, location);
        store(request.into_body(), &mut file).await?
    } else {
        let from = offset_of(request.headers());
        let mut file = files.open(path, from)?;
        *response.status_mut() = StatusCode::NO_CONTENT;
        from + store(request.into_body(), &mut file).await?
    };
    let headers = response.headers_mut();
    headers.insert(TUS_RESUMABLE, HeaderValue::from_static("1.0.0"));
    headers.insert(UPLOAD_OFFSET, offset.into());
    Ok(response)
}

async fn store(mut body: Incoming, file: &mut std::fs::File) -> io::Result<u64> {
    let mut stored = 0;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
            file.write_all(&data)?;
            stored += data.len() as u64;
        }
    }
    Ok(stored)
}

fn offset_of(headers: &HeaderMap) -> u64 {
    headers
        .get(UPLOAD_OFFSET)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .unwrap_or(0)
}
