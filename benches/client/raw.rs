//! `raw`: hyper's client with its defaults, but without Nagle's delay, sends the bytes by a POST and as many PATCHes as
//! this library needs.

use std::io;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use sha1::{Digest, Sha1};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
};

use crate::{
    process::{done, ready},
    scenarios::{CHUNK, Content, Http, Job, Sum},
};

pub(crate) async fn run(job: &Job) -> io::Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new())
        .http2_only(job.scenario.http == Http::Two)
        .build(connector);
    let raw = Raw {
        client,
        job,
        block: job.block(),
    };
    raw.upload(PIECE as u64).await?;
    ready()?;
    raw.upload(job.size).await?;
    done()
}

struct Raw<'j> {
    client: Client<HttpConnector, Body>,
    job: &'j Job,
    block: Bytes,
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

impl Raw<'_> {
    async fn upload(&self, size: u64) -> io::Result<()> {
        let create = Request::post(&self.job.endpoint)
            .header("upload-length", size)
            .body(body(stream::empty()));
        let created = self.send(create, StatusCode::CREATED).await?;
        let url = text(created.headers(), "location")?;
        let chunk = match self.job.scenario.sum {
            Sum::None => size,
            Sum::Sha1 => CHUNK,
        };
        let mut offset = 0;
        while offset < size {
            let length = chunk.min(size - offset);
            self.patch(url, offset, length).await?;
            offset += length;
        }
        Ok(())
    }

    async fn patch(&self, url: &str, offset: u64, length: u64) -> io::Result<()> {
        let patch = Request::patch(url)
            .header("content-type", "application/offset+octet-stream")
            .header("upload-offset", offset);
        let (patch, body) = match self.job.scenario.sum {
            Sum::None => {
                let patch = patch.header("content-length", length);
                (patch, body(self.data(offset, length).await?))
            }
            Sum::Sha1 => {
                let patch = patch.header("trailer", "upload-checksum");
                (patch, body(summed(self.data(offset, length).await?)))
            }
        };
        let answer = self.send(patch.body(body), StatusCode::NO_CONTENT).await?;
        match text(answer.headers(), "upload-offset")?.parse::<u64>() {
            Ok(stored) if offset + length == stored => Ok(()),
            _ => Err(io::Error::other("the sink counted other bytes")),
        }
    }

    async fn data(
        &self,
        offset: u64,
        length: u64,
    ) -> io::Result<stream::BoxStream<'static, Piece>> {
        Ok(match self.job.scenario.content {
            Content::Bytes => repeated(self.block.clone(), length).boxed(),
            Content::File => read(File::open(&self.job.file).await?, offset, length)
                .await?
                .boxed(),
        })
    }

    async fn send(
        &self,
        request: http::Result<Request<Body>>,
        expected: StatusCode,
    ) -> io::Result<Response<Incoming>> {
        let request = request.map_err(io::Error::other)?;
        let answer = self.client.request(request).await;
        let answer = answer.map_err(io::Error::other)?;
        match answer.status() {
            status if status == expected => Ok(answer),
            status => Err(io::Error::other(format!("{status} and not {expected}"))),
        }
    }
}

type Piece = io::Result<Frame<Bytes>>;

fn body(pieces: impl Stream<Item = Piece> + Send + 'static) -> Body {
    StreamBody::new(pieces).boxed_unsync()
}

/// Slices of the block.
fn repeated(block: Bytes, length: u64) -> impl Stream<Item = Piece> {
    let pieces = (0..length).step_by(PIECE).map(move |at| {
        let at = (at % block.len() as u64) as usize;
        Ok(Frame::data(block.slice(at..at + PIECE)))
    });
    stream::iter(pieces)
}

/// What everybody would write: tokio's file, read into a buffer that is used again where it can be.
async fn read(
    mut file: File,
    offset: u64,
    length: u64,
) -> io::Result<impl Stream<Item = Piece> + Send> {
    file.seek(io::SeekFrom::Start(offset)).await?;
    let file = file.take(length);
    Ok(stream::try_unfold(
        (file, BytesMut::new()),
        |(mut file, mut buffer)| async move {
            buffer.reserve(PIECE);
            let count = file.read_buf(&mut buffer).await?;
            let piece = buffer.split().freeze();
            Ok((count > 0).then(|| (Frame::data(piece), (file, buffer))))
        },
    ))
}

/// The same, and its sha1 in a trailer.
fn summed(pieces: stream::BoxStream<'static, Piece>) -> impl Stream<Item = Piece> {
    stream::try_unfold(
        (pieces, Some(Sha1::new())),
        |(mut pieces, sum)| async move {
            let Some(mut sum) = sum else { return Ok(None) };
            if let Some(piece) = pieces.next().await.transpose()? {
                sum.update(piece.data_ref().map_or(&[][..], |data| data));
                return Ok(Some((piece, (pieces, Some(sum)))));
            }
            let value = format!("sha1 {}", BASE64_STANDARD.encode(sum.finalize()));
            let value = HeaderValue::try_from(value).map_err(io::Error::other)?;
            let trailers = HeaderMap::from_iter([(UPLOAD_CHECKSUM, value)]);
            Ok(Some((Frame::trailers(trailers), (pieces, None))))
        },
    )
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> io::Result<&'h str> {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.ok_or_else(|| io::Error::other(format!("no {name}")))
}

const UPLOAD_CHECKSUM: http::HeaderName = http::HeaderName::from_static("upload-checksum");

/// As this library.
const PIECE: usize = 256 << 10;
