use std::{
    error::Error,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::{TryStreamExt, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use tower::BoxError;
use tower_tus::client::{Body, Client, Download, RetryPolicy};

use crate::support::{Instead, Server, bytes, quick};

const SIZE: usize = 3_000_000;

/// A server whose answers to GET end early as often as `cuts` says.
async fn cutting(cuts: usize) -> (Server, http::Uri) {
    disturbing(cuts, Instead::CutAnswer(500_000)).await
}

async fn disturbing(cuts: usize, instead: Instead) -> (Server, http::Uri) {
    let left = Arc::new(Mutex::new(cuts));
    let server = Server::disturbed(move |seen, _| {
        let mut left = left.lock().unwrap();
        if seen.method != "GET" || *left == 0 {
            return None;
        }
        *left -= 1;
        Some(instead.clone())
    })
    .await;
    let url = server
        .client()
        .upload(bytes(SIZE))
        .await
        .unwrap()
        .url()
        .clone();
    (server, url)
}

#[tokio::test]
async fn a_download_goes_on_where_it_was_cut() {
    let (server, url) = cutting(4).await;
    let pieces: Vec<_> = server
        .client()
        .download(&url)
        .stream()
        .try_collect()
        .await
        .unwrap();
    assert!(pieces.concat() == bytes(SIZE));
    let gets: Vec<_> = server
        .seen()
        .into_iter()
        .filter(|seen| seen.method == "GET")
        .collect();
    assert_eq!(gets.len(), 5);
    assert_eq!(gets[1].header("range"), "bytes=500000-");
    assert!(!gets[1].header("if-range").is_empty());
}

#[tokio::test]
async fn a_file_goes_on_in_the_next_download() {
    let (server, url) = cutting(1).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let download = || server.client().download(&url);
    let cut = download().retry(RetryPolicy::never()).to_path(&path).await;
    assert!(cut.unwrap_err().is_network());
    assert!(!path.exists());
    assert_eq!(download().to_path(&path).await.unwrap(), SIZE as u64);
    assert!(std::fs::read(&path).unwrap() == bytes(SIZE));
    let files = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(files, 1);
    let last = server.seen().pop().unwrap();
    assert_eq!(last.header("range"), "bytes=500000-");
}

#[tokio::test]
async fn a_server_that_falls_silent_is_asked_again() {
    let (server, url) = disturbing(2, Instead::StallAnswer(500_000)).await;
    let client = server.client().stall_timeout(Duration::from_millis(50));
    let content = client.download(&url).bytes(SIZE).await.unwrap();
    assert!(content == bytes(SIZE));
    assert_eq!(
        server.seen().pop().unwrap().header("range"),
        "bytes=1000000-"
    );
}

#[tokio::test]
async fn an_upload_that_is_gone_ends_its_download() {
    let (server, url) = cutting(1).await;
    let mut stream = Box::pin(server.client().download(&url).stream());
    stream.try_next().await.unwrap();
    server.client().terminate(&url).await.unwrap();
    let error = loop {
        match stream.try_next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the end of something that is gone"),
            Err(error) => break error,
        }
    };
    assert!(error.is_not_found(), "{error}");
}

/// Until the file beside the target has bytes.
async fn begun(directory: &Path) {
    loop {
        for file in std::fs::read_dir(directory).unwrap() {
            let file = file.unwrap();
            let part = file.path().extension().is_some_and(|name| name == "part");
            if part && file.metadata().unwrap().len() > 0 {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn two_downloads_to_one_file_are_no_mixture() {
    let (server, url) = disturbing(1, Instead::StallAnswer(500_000)).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let first = tokio::spawn({
        let (download, path) = (server.client().download(&url), path.clone());
        async move { download.to_path(path).await }
    });
    begun(directory.path()).await;
    let second = server.client().download(&url).to_path(&path).await;
    let error = second.unwrap_err();
    let reason = error.source().unwrap().to_string();
    assert!(reason.contains("another download"), "{error}: {reason}");
    assert!(!path.exists());
    first.abort();
    first.await.unwrap_err();
    let third = server.client().download(&url).to_path(&path).await;
    assert_eq!(third.unwrap(), SIZE as u64);
    assert!(std::fs::read(&path).unwrap() == bytes(SIZE));
    assert!(!server.seen().pop().unwrap().header("range").is_empty());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_part_that_is_whole_only_wants_its_name() {
    let (server, url) = cutting(1).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let download = || server.client().download(&url);
    let cut = download().retry(RetryPolicy::never()).to_path(&path).await;
    cut.unwrap_err();
    let part = std::fs::read_dir(directory.path()).unwrap().next();
    // Not what the server has, so that it is seen which of both is taken.
    std::fs::write(part.unwrap().unwrap().path(), vec![7; SIZE]).unwrap();
    assert_eq!(download().to_path(&path).await.unwrap(), SIZE as u64);
    assert!(std::fs::read(&path).unwrap() == vec![7; SIZE]);
}

#[cfg(unix)]
#[tokio::test]
async fn links_stay_and_what_they_name_is_replaced() {
    let (server, url) = cutting(0).await;
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("sub")).unwrap();
    for there in [true, false] {
        let real = directory.path().join("sub").join(format!("real-{there}"));
        if there {
            std::fs::write(&real, "old").unwrap();
        }
        let link = directory.path().join(format!("link-{there}"));
        let target = match there {
            true => Path::new("sub").join(real.file_name().unwrap()),
            false => real.clone(),
        };
        std::os::unix::fs::symlink(target, &link).unwrap();
        server.client().download(&url).to_path(&link).await.unwrap();
        assert!(link.is_symlink());
        assert!(std::fs::read(&real).unwrap() == bytes(SIZE));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_pipe_is_written_to() {
    use std::os::unix::fs::FileTypeExt;

    let (server, url) = cutting(2).await;
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let path = pipe.clone();
    let reading = tokio::task::spawn_blocking(move || std::fs::read(path).unwrap());
    let size = server.client().download(&url).to_path(&pipe).await;
    assert_eq!(size.unwrap(), SIZE as u64);
    let about = std::fs::metadata(&pipe).unwrap();
    assert!(about.file_type().is_fifo());
    assert!(reading.await.unwrap() == bytes(SIZE));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn more_bytes_than_are_wanted_are_an_error_of_their_own() {
    let (server, url) = cutting(0).await;
    let error = server.client().download(&url).bytes(10).await.unwrap_err();
    assert!(!error.is_setting(), "something was received: {error}");
    assert!(error.is_over_limit(), "{error}");
}

#[tokio::test]
async fn what_is_not_there_is_told() {
    let server = Server::start().await;
    let url = format!("{}/nothing", server.endpoint()).parse().unwrap();
    let error = server.client().download(&url).bytes(9).await.unwrap_err();
    assert!(error.is_not_found());
}

/// A download of ten bytes that are others in each answer, of which the first ends after four, from a server
/// that names no version of them and tells `length` of the whole.
fn changing(length: &'static str) -> Download {
    let asked = Arc::new(Mutex::new(0));
    let server = tower::service_fn(move |request: Request<Body>| {
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        let byte = [b'0' + *asked];
        let answer = Response::builder();
        let (answer, bytes) = match request.headers().contains_key("range") {
            true => {
                let range = format!("bytes 4-9/{length}");
                (answer.status(206).header("content-range", range), 6)
            }
            false => (answer, 10),
        };
        let mut frames = vec![Ok(Frame::data(Bytes::from(byte.repeat(bytes))))];
        if *asked == 1 {
            frames = vec![
                Ok(Frame::data(Bytes::from(byte.repeat(4)))),
                Err(BoxError::from("cut")),
            ];
        }
        let answer = match length {
            "*" => answer,
            _ => answer.header("content-length", bytes),
        };
        let answer = answer.body(StreamBody::new(stream::iter(frames)));
        async move { Ok::<_, BoxError>(answer.unwrap()) }
    });
    let client = Client::with_service("http://localhost/files".parse().unwrap(), server);
    quick(client).download(&"http://localhost/files/a".parse().unwrap())
}

/// Without an `ETag` or a date the rest may be that of other bytes.
#[tokio::test]
async fn what_has_no_version_begins_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    for length in ["10", "*"] {
        let all = changing(length).bytes(100).await.unwrap();
        assert_eq!(all, "2222222222", "{length}");
        assert_eq!(changing(length).to_path(&path).await.unwrap(), 10);
        assert_eq!(std::fs::read(&path).unwrap(), b"2222222222", "{length}");
    }
}

#[tokio::test]
async fn what_is_given_away_goes_on_if_it_is_as_long_as_before() {
    let all: Vec<_> = changing("10").stream().try_collect().await.unwrap();
    assert_eq!(all.concat(), b"1111222222");
    let all: Result<Vec<_>, _> = changing("*").stream().try_collect().await;
    assert!(all.unwrap_err().is_source());
}
