use std::{
    future::IntoFuture,
    io::{self, Cursor},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio::io::ReadBuf;
use tower_tus::{
    TusService,
    client::{Cancel, Client, HttpVersion, RateLimit, Source},
    protocol::{Algorithm, Extension, Extensions},
    storage::MemoryStorage,
};

use crate::support::{Instead, Server, bytes, content_of};

/// Sizes around every limit there is: nothing, a piece, the bytes that go with a creation.
const SIZES: [usize; 8] = [
    0,
    1,
    65_536,
    (256 << 10) - 1,
    256 << 10,
    (256 << 10) + 1,
    1 << 20,
    3_000_000,
];

#[tokio::test]
async fn every_source_of_every_size_arrives() {
    let server = Server::start().await;
    let client = server.client();
    let directory = tempfile::tempdir().unwrap();
    for size in SIZES {
        let content = bytes(size);
        let path = directory.path().join(size.to_string());
        std::fs::write(&path, &content).unwrap();
        let pieces: Vec<_> = content
            .chunks(10_007)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        let half = size / 2;
        for source in [
            Source::path(&path),
            Source::bytes(content.clone()),
            Source::reader(Cursor::new(content.clone())),
            Source::stream(stream::iter(pieces)),
            Source::read_once(Cursor::new(content.clone())).length(size as u64),
            Source::read_once(Cursor::new(content.clone())).replay(100_000),
            Source::concat([
                Source::bytes(content[..half].to_vec()),
                Source::bytes(content[half..].to_vec()),
            ]),
        ] {
            let what = format!("{size} bytes of {source:?}");
            let done = client.upload(source).await.unwrap();
            assert_eq!(done.size(), size as u64, "{what}");
            assert!(server.content(done.url()).await == content, "{what}");
        }
    }
}

#[tokio::test]
async fn a_service_in_process_needs_no_socket() {
    let tus = TusService::new(MemoryStorage::new());
    let client = Client::with_service("http://localhost/files".parse().unwrap(), tus.clone());
    let content = bytes(5_000_000);
    let done = client
        .upload(content.clone())
        .metadata("filename", "a.bin")
        .await
        .unwrap();
    assert!(content_of(&tus, done.url()).await == content);
    let info = client.inspect(done.url()).await.unwrap();
    assert_eq!(info.metadata.get_str("filename").unwrap(), "a.bin");
}

#[tokio::test]
async fn http_2_works_without_tls() {
    let server = Server::start().await;
    let client = server.client().version(HttpVersion::Http2);
    let content = bytes(10_000_000);
    let done = client.upload(content.clone()).await.unwrap();
    assert!(server.content(done.url()).await == content);
}

#[tokio::test]
async fn every_algorithm_is_verified_before_and_behind_the_bytes() {
    let without_trailers = Extensions::all().without(Extension::ChecksumTrailer);
    for extensions in [Extensions::all(), without_trailers] {
        let server = Server::with(|tus| tus.extensions(extensions), |_, _| None).await;
        let client = server.client();
        let content = bytes(700_000);
        for algorithm in Algorithm::ALL {
            for source in [
                Source::reader(Cursor::new(content.clone())),
                Source::read_once(Cursor::new(content.clone())),
            ] {
                let upload = client.upload(source).chunk_size(300_000);
                let done = upload.checksum(algorithm).await.unwrap();
                assert!(server.content(done.url()).await == content, "{algorithm}");
            }
        }
        let patches = server
            .seen()
            .into_iter()
            .filter(|seen| seen.method == "PATCH");
        for patch in patches {
            let empty = patch.header("content-length") == "0";
            let announced = patch
                .header("trailer")
                .eq_ignore_ascii_case("upload-checksum");
            let before = !patch.header("upload-checksum").is_empty();
            assert!(empty || announced != before, "{patch:?}");
        }
    }
}

#[tokio::test]
async fn an_algorithm_the_server_lacks_is_refused_before_anything_is_created() {
    let server = Server::with(|tus| tus.checksums([Algorithm::Sha1]), |_, _| None).await;
    let upload = server.client().upload("hello".as_bytes().to_vec());
    let error = upload.checksum(Algorithm::Md5).await.unwrap_err();
    assert!(error.is_not_offered(), "{error}");
    let text = error.to_string();
    assert!(text.ends_with("checksums by md5, only sha1"), "{text}");
    assert_eq!(server.methods(), "OPTIONS");
}

#[tokio::test]
async fn content_that_is_too_large_is_told_so() {
    let server = Server::with(|tus| tus.max_size(1000), |_, _| None).await;
    let client = server.client();
    // Without a reason to ask what the server takes, it says so itself.
    let refused = client.upload(bytes(2_000_000)).await.unwrap_err();
    assert_eq!(refused.status().unwrap(), 413);
    let known = client.upload(bytes(1001)).parallel(2).await.unwrap_err();
    assert_eq!(known.status(), None);
    assert!(known.to_string().contains("1001"), "{known}");
    for error in [refused, known] {
        assert!(error.is_too_large() && !error.is_setting(), "{error}");
    }
    assert_eq!(server.methods(), "POST OPTIONS");
}

#[tokio::test]
async fn small_content_goes_with_the_creation_where_that_is_offered() {
    let server = Server::start().await;
    server.client().upload(bytes(1000)).await.unwrap();
    assert_eq!(server.methods(), "OPTIONS POST");

    let server = Server::start().await;
    server
        .client()
        .upload(bytes(1000))
        .create_first()
        .await
        .unwrap();
    assert_eq!(server.methods(), "POST PATCH");

    let extensions = Extensions::all().without(Extension::CreationWithUpload);
    let server = Server::with(|tus| tus.extensions(extensions), |_, _| None).await;
    server.client().upload(bytes(1000)).await.unwrap();
    assert_eq!(server.methods(), "OPTIONS POST PATCH");
}

#[tokio::test]
async fn large_content_is_one_request_unless_it_is_limited() {
    let server = Server::start().await;
    let client = server.client();
    client.upload(bytes(2 << 20)).await.unwrap();
    assert_eq!(server.methods(), "POST PATCH");
    client
        .upload(bytes(2 << 20))
        .chunk_size(1 << 20)
        .await
        .unwrap();
    assert_eq!(server.methods(), "POST PATCH POST PATCH PATCH");
}

#[tokio::test]
async fn a_stream_without_an_end_in_sight_is_deferred() {
    let server = Server::start().await;
    let content = bytes(500_000);
    let source = Source::read_once(Cursor::new(content.clone())).replay(200_000);
    let done = server.client().upload(source).await.unwrap();
    assert!(server.content(done.url()).await == content);
    let seen = server.seen();
    let post = seen.iter().find(|seen| seen.method == "POST").unwrap();
    assert_eq!(post.header("upload-defer-length"), "1");
    assert_eq!(seen.last().unwrap().header("upload-length"), "500000");
}

#[tokio::test]
async fn sources_that_are_not_what_they_were_said_to_be_are_errors() {
    let server = Server::start().await;
    let client = server.client();
    let read = || Source::read_once(Cursor::new(bytes(100_000)));
    for source in [
        Source::bytes(bytes(9)).length(10),
        read().length(99_999),
        read().length(1 << 16).replay(1 << 16),
        read().length(100_001),
        Source::path("/does/not/exist"),
        Source::path("/"),
        Source::stream(stream::iter([Err(io::Error::other("broken"))]).boxed()),
    ] {
        let what = format!("{source:?}");
        let error = client.upload(source).await.unwrap_err();
        assert!(error.is_source(), "{what}: {error:?}");
    }
}

#[tokio::test]
async fn metadata_is_checked_before_anything_is_sent() {
    let server = Server::start().await;
    for (key, other) in [
        ("", "x"),
        ("a b", "x"),
        ("a,b", "x"),
        ("ä", "x"),
        ("x", "x"),
    ] {
        let upload = server.client().upload(bytes(1));
        let error = upload
            .metadata(key, "1")
            .metadata(other, "2")
            .await
            .unwrap_err();
        assert!(error.is_setting(), "{key:?}: {error}");
    }
    assert_eq!(server.methods(), "");
}

#[tokio::test]
async fn a_rate_is_held_over_all_uploads() {
    let server = Server::start().await;
    let client = server.client().rate_limit(RateLimit::per_second(1_000_000));
    let started = std::time::Instant::now();
    let upload = || client.upload(bytes(400_000)).create_first();
    tokio::try_join!(upload().into_future(), upload().into_future()).unwrap();
    // A quarter of a second's worth goes at once. Nothing is said of the longest time.
    assert!(started.elapsed().as_millis() >= 500);
}

#[tokio::test]
async fn a_checksum_goes_before_the_bytes_where_trailers_get_lost() {
    let server =
        Server::disturbed(|seen, _| (seen.method == "PATCH").then_some(Instead::DropTrailers))
            .await;
    let content = bytes(300_000);
    let upload = server.client().upload(content.clone());
    let upload = upload.checksum(Algorithm::Sha1).chunk_size(100_000);
    let done = upload.await.unwrap();
    assert!(server.content(done.url()).await == content);
    let patches: Vec<_> = server
        .seen()
        .into_iter()
        .filter(|seen| seen.method == "PATCH")
        .collect();
    let sums = patches
        .iter()
        .map(|seen| seen.header("upload-checksum").len());
    // One was refused, and nobody tried again.
    assert_eq!(sums.collect::<Vec<_>>(), [0, 33, 33, 33]);
}

/// A reader that stands still.
struct Still;

impl tokio::io::AsyncRead for Still {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl tokio::io::AsyncSeek for Still {
    fn start_seek(self: Pin<&mut Self>, _: io::SeekFrom) -> io::Result<()> {
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(Ok(1 << 20))
    }
}

#[tokio::test]
async fn hashing_can_be_canceled() {
    let server = Server::with(
        |tus| tus.extensions(Extensions::all().without(Extension::ChecksumTrailer)),
        |_, _| None,
    )
    .await;
    let upload = server.client().upload(Source::reader(Still));
    let handle = upload.checksum(Algorithm::Sha1).start();
    while !server.methods().ends_with("POST") {
        tokio::task::yield_now().await;
    }
    handle.cancel(Cancel::Keep);
    let ended = tokio::time::timeout(Duration::from_secs(30), handle).await;
    assert!(ended.unwrap().unwrap_err().is_canceled());
}
