use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::TryStreamExt;
use tower_tus::client::RetryPolicy;

use crate::support::{Instead, Server, bytes};

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
async fn content_that_changes_is_no_mixture() {
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

#[tokio::test]
async fn what_is_not_there_is_told() {
    let server = Server::start().await;
    let url = format!("{}/nothing", server.endpoint()).parse().unwrap();
    let error = server.client().download(&url).bytes(9).await.unwrap_err();
    assert!(error.is_not_found());
}
