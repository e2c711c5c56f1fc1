use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use tower::ServiceExt;
use tower_tus::{
    TusService,
    client::{Body, Cancel, Client, Controller, Fingerprint, MemoryUrlStore, RateLimit, UrlStore},
    storage::MemoryStorage,
};

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

#[tokio::test]
async fn what_is_canceled_before_it_begins_goes_too() {
    let server = Server::start().await;
    let store = MemoryUrlStore::new();
    let content = bytes(2_000_000);
    let upload = || {
        server
            .client()
            .upload(content.clone())
            .store(store.clone())
            .fingerprint(Fingerprint::with(|_| Some("it".to_owned())))
    };
    let begun = upload().stop_at(1_000_000).await.unwrap();
    for known in [true, false] {
        let upload = match known {
            true => upload(),
            // A store is not asked.
            false => server
                .client()
                .upload(content.clone())
                .resume_at(begun.url().clone()),
        };
        let before = server.seen().len();
        let upload = upload.start();
        upload.cancel(Cancel::Terminate);
        assert!(upload.await.unwrap_err().is_canceled());
        let methods: Vec<_> = server.seen().into_iter().map(|seen| seen.method).collect();
        assert_eq!(methods[before..], ["DELETE"]);
    }
    assert!(
        server
            .client()
            .inspect(begun.url())
            .await
            .unwrap_err()
            .is_not_found()
    );
    assert!(store.list().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_end_is_not_put_off_by_what_cannot_be_removed() {
    let tus = TusService::new(MemoryStorage::new()).base_path("/files");
    let deleted = Arc::new(AtomicUsize::new(0));
    let counted = deleted.clone();
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let (tus, counted) = (tus.clone(), counted.clone());
        async move {
            match request.method().as_str() {
                "DELETE" => {
                    counted.fetch_add(1, Ordering::Relaxed);
                    std::future::pending().await
                }
                // The parts are there, and nothing gets on.
                "PATCH" => std::future::pending().await,
                _ => tus.oneshot(request).await,
            }
        }
    });
    let endpoint = "http://localhost/files".parse().unwrap();
    let upload = Client::with_service(endpoint, service)
        .upload(bytes(4_000_000))
        .parallel(4)
        .start();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let begin = tokio::time::Instant::now();
    upload.cancel(Cancel::Terminate);
    assert!(upload.await.unwrap_err().is_canceled());
    // Virtual time: it stands still while anything happens.
    assert!(begin.elapsed() < Duration::from_secs(15));
    assert_eq!(deleted.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn what_is_canceled_while_its_parts_are_joined_goes_too() {
    let steer = Arc::new(Mutex::new(None::<Controller>));
    let told = steer.clone();
    let server = Server::disturbed(move |seen, _| {
        if seen.header("upload-concat").starts_with("final") {
            let controller = told.lock().unwrap();
            controller.as_ref().unwrap().cancel(Cancel::Terminate);
        }
        None
    })
    .await;
    let upload = server.client().upload(bytes(2_000_000)).parallel(2);
    let upload = upload.start();
    *steer.lock().unwrap() = Some(upload.controller());
    assert!(upload.await.unwrap_err().is_canceled());
    let deleted = server.seen().into_iter();
    let deleted = deleted.filter(|seen| seen.method == "DELETE").count();
    assert_eq!(deleted, 3);
}
