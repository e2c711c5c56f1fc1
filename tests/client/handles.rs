use std::time::Duration;

use futures::StreamExt;
use tower_tus::client::{Cancel, Fingerprint, MemoryUrlStore, RateLimit, UrlStore};

use crate::support::{Server, bytes};

#[tokio::test]
async fn a_paused_upload_goes_on() {
    let server = Server::start().await;
    let content = bytes(2_000_000);
    let limit = RateLimit::per_second(2_000_000);
    let upload = server
        .client()
        .upload(content.clone())
        .rate_limit(limit.clone());
    let upload = upload.start();
    let mut progress = upload.progress();
    while progress.next().await.unwrap().sent < 500_000 {}
    upload.pause();
    // The request ends, and what it brought is kept.
    let patch = server.seen().pop().unwrap();
    let url = format!("http://{}{}", server.address, patch.path);
    let url = url.parse().unwrap();
    let mut offsets = Vec::new();
    // No longer than the pieces that are on their way, each time; the limit lets go on after 130 ms.
    while offsets.len() < 3 || offsets[offsets.len() - 3..] != [offsets[offsets.len() - 1]; 3] {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let info = server.client().inspect(&url).await.unwrap();
        offsets.push(info.offset.unwrap());
        assert!(
            *offsets.last().unwrap() < 2_000_000,
            "it goes on: {offsets:?}"
        );
    }
    assert!(offsets[0] > 0);
    let asked = server.seen().len();
    limit.set(u64::MAX);
    upload.resume();
    let done = upload.await.unwrap();
    let after: Vec<_> = server.seen()[asked..]
        .iter()
        .map(|seen| seen.method.clone())
        .collect();
    assert_eq!(after, ["HEAD", "PATCH"]);
    assert!(server.content(done.url()).await == content);
    let last = progress.collect::<Vec<_>>().await.pop().unwrap();
    assert_eq!((last.sent, last.stored), (2_000_000, 2_000_000));
    assert_eq!(last.fraction(), 1.0);
}

#[tokio::test]
async fn a_canceled_upload_stays_or_goes() {
    for cancel in [Cancel::Keep, Cancel::Terminate] {
        let server = Server::start().await;
        let store = MemoryUrlStore::new();
        let upload = server
            .client()
            .upload(bytes(5_000_000))
            .rate_limit(RateLimit::per_second(1_000_000))
            .store(store.clone())
            .fingerprint(Fingerprint::with(|_| Some("it".to_owned())))
            .start();
        let mut progress = upload.progress();
        while progress.next().await.unwrap().sent == 0 {}
        upload.controller().cancel(cancel);
        upload.resume();
        let error = upload.await.unwrap_err();
        assert!(error.is_canceled(), "{error}");
        let url = error.upload_url().unwrap();
        let there = server.client().inspect(url).await.is_ok();
        assert_eq!(there, cancel == Cancel::Keep);
        let entries = store.list().await.unwrap().len();
        assert_eq!(entries, usize::from(cancel == Cancel::Keep));
    }
}

#[tokio::test]
async fn a_dropped_handle_stops_its_upload() {
    let server = Server::start().await;
    let (tell, told) = std::sync::mpsc::channel();
    let upload = server
        .client()
        .upload(bytes(5_000_000))
        .rate_limit(RateLimit::per_second(1_000_000))
        .on_url(move |url| tell.send(url.clone()).unwrap())
        .start();
    let mut progress = upload.progress();
    while progress.next().await.unwrap().sent == 0 {}
    drop(upload);
    // The stream ends with the upload.
    while progress.next().await.is_some() {}
    let url = told.recv().unwrap();
    let stored = async || {
        let info = server.client().inspect(&url).await.unwrap();
        info.offset.unwrap()
    };
    // What is on its way may still come.
    let mut before = stored().await;
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = stored().await;
        assert!(now < 5_000_000, "it was not stopped");
        if now == before {
            break;
        }
        before = now;
    }
    assert_eq!(server.methods().matches("PATCH").count(), 1);
}
