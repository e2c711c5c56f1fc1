//! What cannot be brought about over a socket: bodies whose frames and errors come at chosen moments.

mod lazy;
mod left_behind;
mod runtimes;
#[cfg(feature = "metrics")]
mod takeovers;

use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body::Frame;
use http_body_util::{Empty, LengthLimitError, StreamBody};
use tokio::sync::mpsc;
use tower::{BoxError, Service};

use super::*;
use crate::{
    protocol::{
        Announcement,
        header::{TUS_RESUMABLE, UPLOAD_LENGTH, UPLOAD_OFFSET},
    },
    storage::{MemoryStorage, Storage},
};

async fn call<B>(tus: &TusService, request: Request<B>) -> Response<TusBody>
where
    B: Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    tus.clone().call(request).await.unwrap()
}

async fn created(tus: &TusService, length: u64) -> String {
    let request = Request::post("/files")
        .header(TUS_RESUMABLE, "1.0.0")
        .header(UPLOAD_LENGTH, length)
        .body(Empty::<Bytes>::new())
        .unwrap();
    let response = call(tus, request).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    response.headers()["location"].to_str().unwrap().to_owned()
}

type Pieces = StreamBody<stream::BoxStream<'static, Result<Frame<Bytes>, BoxError>>>;

fn patch<S>(url: &str, offset: u64, pieces: S) -> Request<Pieces>
where
    S: Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
{
    Request::patch(url)
        .header(TUS_RESUMABLE, "1.0.0")
        .header(CONTENT_TYPE, "application/offset+octet-stream")
        .header(UPLOAD_OFFSET, offset)
        .body(StreamBody::new(
            pieces.map(|piece| piece.map(Frame::data)).boxed(),
        ))
        .unwrap()
}

async fn offset(tus: &TusService, url: &str) -> String {
    let request = Request::head(url)
        .header(TUS_RESUMABLE, "1.0.0")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let response = call(tus, request).await;
    response.headers()[UPLOAD_OFFSET]
        .to_str()
        .unwrap()
        .to_owned()
}

#[cfg(feature = "file")]
fn storages() -> Vec<(TusService, Option<tempfile::TempDir>)> {
    let directory = tempfile::tempdir().unwrap();
    let file = crate::storage::FileStorage::open(directory.path()).unwrap();
    vec![
        (TusService::new(MemoryStorage::new()), None),
        (TusService::new(file), Some(directory)),
    ]
}

#[cfg(not(feature = "file"))]
fn storages() -> Vec<(TusService, Option<()>)> {
    vec![(TusService::new(MemoryStorage::new()), None)]
}

/// The last bytes and the error come at once: there is no pause in which anything is flushed.
#[tokio::test]
async fn bytes_right_before_an_error_are_kept() {
    for (tus, _directory) in storages() {
        let url = created(&tus, 9).await;
        let pieces = [
            Ok(Bytes::from_static(b"abc")),
            Err("connection reset".into()),
        ];
        let response = call(&tus, patch(&url, 0, stream::iter(pieces))).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.headers()[UPLOAD_OFFSET], "3");
        assert_eq!(offset(&tus, &url).await, "3");
    }
}

#[tokio::test]
async fn a_body_limit_in_front_is_413_and_keeps_what_came() {
    for (tus, _directory) in storages() {
        let url = created(&tus, 9).await;
        let limited = http_body_util::Limited::new(
            http_body_util::Full::new(Bytes::from_static(b"abcdef")),
            3,
        );
        let request = patch(&url, 0, stream::empty::<Result<Bytes, BoxError>>());
        let response = call(&tus, request.map(|_| limited)).await;
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);

        let wrapped: BoxError = Box::new(axum::Error::new(limit_error().await));
        let pieces = [Ok(Bytes::from_static(b"abc")), Err(wrapped)];
        let response = call(&tus, patch(&url, 0, stream::iter(pieces))).await;
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(offset(&tus, &url).await, "3");
    }
}

/// The error of a body that is longer than it may be, which only such a body makes.
async fn limit_error() -> LengthLimitError {
    use http_body_util::BodyExt;

    let body =
        http_body_util::Limited::new(http_body_util::Full::new(Bytes::from_static(b"ab")), 1);
    *body.collect().await.unwrap_err().downcast().unwrap()
}

/// A proxy or an adapter may end a body cleanly that was longer.
#[tokio::test]
async fn a_body_shorter_than_it_said_is_not_acknowledged() {
    for (tus, _directory) in storages() {
        let url = created(&tus, 9).await;
        let mut request = patch(&url, 0, stream::iter([Ok(Bytes::from_static(b"abc"))]));
        request.headers_mut().insert("content-length", 9.into());
        let response = call(&tus, request).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(offset(&tus, &url).await, "3");
    }
}

/// What hyper does when a client goes away, and every timeout layer: the future is dropped.
#[tokio::test]
async fn dropping_the_future_keeps_what_the_body_has_ready() {
    for (tus, _directory) in storages() {
        let url = created(&tus, 1 << 20).await;
        let (sender, receiver) = mpsc::unbounded_channel::<Result<Bytes, BoxError>>();
        let pieces = stream::unfold(receiver, async |mut receiver| {
            receiver.recv().await.map(|piece| (piece, receiver))
        });
        let mut response = Box::pin(tus.clone().call(patch(&url, 0, pieces)));
        assert!(futures::poll!(&mut response).is_pending());
        for _ in 0..100 {
            sender.send(Ok(Bytes::from(vec![b'x'; 1000]))).unwrap();
        }
        drop(response);
        tus.shutdown().await;
        assert_eq!(offset(&tus, &url).await, "100000");
    }
}

#[tokio::test]
async fn a_service_that_shut_down_refuses_writers_and_serves_readers() {
    let tus = TusService::new(MemoryStorage::new());
    let url = created(&tus, 9).await;
    tus.shutdown().await;
    let response = call(&tus, patch(&url, 0, stream::empty())).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(offset(&tus, &url).await, "0");
}

/// Nobody waits forever for a task that panicked, and the upload is free again.
#[tokio::test]
async fn a_panic_in_a_body_is_a_500_of_its_own_request() {
    let tus = TusService::new(MemoryStorage::new());
    let url = created(&tus, 3).await;
    let panicking = stream::poll_fn(|_| -> Poll<Option<Result<Bytes, BoxError>>> {
        panic!("this body panics")
    });
    let response = call(&tus, patch(&url, 0, panicking)).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let pieces = [Ok(Bytes::from_static(b"abc"))];
    let response = call(&tus, patch(&url, 0, stream::iter(pieces))).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
}

/// A pass of `recover` takes its time, and what it has read may be old by then.
#[tokio::test]
async fn a_finish_that_was_told_since_it_was_found_is_not_told_again() {
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    let storage = MemoryStorage::new();
    let tus = TusService::new(storage.clone()).on_finish(move |_| {
        count.fetch_add(1, Relaxed);
        std::future::ready(Ok(()))
    });
    let url = created(&tus, 3).await;
    let pieces = [Ok(Bytes::from_static(b"abc"))];
    let response = call(&tus, patch(&url, 0, stream::iter(pieces))).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let id = url.rsplit('/').next().unwrap().parse().unwrap();
    let found = loop {
        let mut upload = storage.load(&id).await.unwrap();
        if upload.announcement == Announcement::None {
            upload.announcement = Announcement::Due;
            break upload;
        }
        tokio::task::yield_now().await;
    };
    tus.tell_again(&found).await;
    tus.shutdown().await;
    assert_eq!(told.load(Relaxed), 1);
}

#[test]
fn public_types_go_anywhere() {
    fn goes_anywhere<T: Send + Sync + Clone + std::fmt::Debug + 'static>() {}
    goes_anywhere::<TusService>();
    goes_anywhere::<Cors>();
    goes_anywhere::<Downloads>();
    fn is_sent<T: Send + 'static>() {}
    is_sent::<ResponseFuture>();
    is_sent::<TusBody>();
    fn is_a_service<T: Service<Request<Empty<Bytes>>, Error = Infallible>>() {}
    is_a_service::<TusService>();
}
