//! What is special in actix-web. All else, `fronts` has.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use actix_web::{HttpMessage, dev::Service, error::ErrorRequestTimeout, web};
use futures::StreamExt;
use tower_tus::{
    TusService,
    actix::scope,
    hooks::{Rejection, RemoteAddr},
    service::FinishedUpload,
    storage::{FileStorage, MemoryStorage, Storage},
};

use crate::support::{Request, Site, content, sha1, wait};

fn tus() -> TusService {
    TusService::new(MemoryStorage::new())
}

fn served(tus: TusService) -> Site {
    Site::actix(move |app| {
        app.service(scope("/files", tus.clone()));
    })
}

#[tokio::test]
async fn checksums_behind_the_body_are_not_offered_and_refused() {
    let site = served(tus());
    let client = site.client();
    let offer = client.options("/files").await.expect(204);
    let extensions = offer.list("Tus-Extension");
    assert!(extensions.contains(&"checksum"), "{extensions:?}");
    assert!(!extensions.contains(&"checksum-trailer"), "{extensions:?}");

    let url = client.create(4).await;
    let patch = Request::patch(&url, 0)
        .header("Trailer", "Upload-Checksum")
        .chunked("data", 2)
        .trailer("Upload-Checksum", sha1(b"data"));
    client.send(patch).await.expect(501);
    assert_eq!(client.offset(&url).await, 0);
    let patch = Request::patch(&url, 0).header("Upload-Checksum", sha1(b"data"));
    client.send(patch.body("data")).await.expect(204);
}

#[tokio::test]
async fn what_a_middleware_has_found_reaches_the_request() {
    #[derive(Clone, Debug, PartialEq)]
    struct Account(u32);

    let seen = Arc::new(Mutex::new(Vec::new()));
    let found = Arc::clone(&seen);
    let tus = tus();
    let site = Site::actix(move |app| {
        let found = Arc::clone(&found);
        let files = scope("/files", tus.clone())
            .forward::<Account>()
            .forward::<String>()
            .forward_with(move |request, extensions| {
                let account = extensions.get::<Account>().cloned();
                let peer = request.peer_addr().map(|peer| peer.ip().to_string());
                let more = extensions.get::<String>().cloned();
                found.lock().unwrap().push((account, peer, more));
            });
        let known = web::scope("").wrap_fn(|request, service| {
            request.extensions_mut().insert(Account(7));
            service.call(request)
        });
        app.service(known.service(files));
    });
    site.client().create(4).await;
    let localhost = Some("127.0.0.1".to_owned());
    assert_eq!(*seen.lock().unwrap(), [(Some(Account(7)), localhost, None)]);
}

#[tokio::test]
async fn the_address_of_the_connection_is_there_for_hooks() {
    let tus = tus().authorize(|access| match access.request.extensions.get() {
        Some(RemoteAddr(peer)) if peer.ip().is_loopback() => Ok(()),
        _ => Err(Rejection::forbidden()),
    });
    served(tus).client().create(4).await;
}

/// Its workers have runtimes of their own, which end with it.
#[tokio::test]
async fn the_sweeper_goes_on_in_the_next_server() {
    let storage = MemoryStorage::new();
    let tus = TusService::new(storage.clone())
        .expires_after(Duration::from_millis(100))
        .sweep_every(Duration::from_millis(20));
    for _ in 0..2 {
        let site = served(tus.clone());
        site.client().create(4).await;
        wait::until_true("it to be swept", async || {
            storage.list().next().await.is_none()
        })
        .await;
    }
}

#[tokio::test]
async fn a_middleware_finds_the_finished_upload_with_the_answer() {
    let tus = tus();
    let site = Site::actix(move |app| {
        let told = web::scope("").wrap_fn(|request, service| {
            let answer = service.call(request);
            async move {
                let mut answer = answer.await?;
                let finished = answer.response().extensions().get().cloned();
                if let Some(FinishedUpload(upload)) = finished {
                    let name = "x-finished".try_into().expect("a name");
                    let fields = answer.response_mut().headers_mut();
                    fields.insert(name, upload.offset.into());
                }
                Ok(answer)
            }
        });
        app.service(told.service(scope("/files", tus.clone())));
    });
    let client = site.client();
    let url = client.create(10).await;
    let first = client.patch(&url, 0, b"01234").await.expect(204);
    assert_eq!(first.header("X-Finished"), None);
    let last = client.patch(&url, 5, b"56789").await.expect(204);
    assert_eq!(last.header("X-Finished"), Some("10"));
}

#[tokio::test]
async fn a_middleware_that_gives_up_keeps_the_bytes() {
    let root = tempfile::tempdir().unwrap();
    let tus = TusService::new(FileStorage::open(root.path()).unwrap());
    let site = Site::actix(move |app| {
        let hasty = web::scope("").wrap_fn(|request, service| {
            let is_patch = request.method() == "PATCH";
            let answer = service.call(request);
            async move {
                let limit = Duration::from_secs(if is_patch { 1 } else { 30 });
                let answer = tokio::time::timeout(limit, answer).await;
                answer.map_err(ErrorRequestTimeout)?
            }
        });
        app.service(hasty.service(scope("/files", tus.clone())));
    });
    let client = site.client();
    let data = content(300_000, 1);
    let url = client.create(300_000).await;
    let patch = Request::patch(&url, 0).body(&data);
    let mut connection = client.connect().await;
    connection.write(patch.head_bytes()).await;
    connection.write(&data[..123_456]).await;
    connection.response("PATCH").await.expect(408);
    wait::until_true("what was sent", async || {
        client.offset(&url).await == 123_456
    })
    .await;
    wait::until_true("the rest to be taken", async || {
        let answer = client.patch(&url, 123_456, &data[123_456..]).await;
        answer.expect_any(&[204, 409]).status == 204
    })
    .await;
    assert!(client.get(&url).await.expect(200).body == data);
}

#[tokio::test]
async fn after_a_refusal_of_a_short_body_the_connection_goes_on() {
    let site = served(tus());
    let client = site.client();
    let url = client.create(10).await;
    let mut connection = client.connect().await;
    for _ in 0..3 {
        let early = Request::patch(&url, 5).body("56789");
        let refused = connection.send(&early).await.expect(409);
        assert_eq!(refused.header("Connection"), None, "{refused:?}");
    }
    let patch = Request::patch(&url, 0).body("0123456789");
    connection.send(&patch).await.expect(204);
}

#[tokio::test]
async fn a_long_body_that_is_refused_does_not_hide_the_answer() {
    let site = served(tus());
    let client = site.client();
    let url = client.create(64 << 20).await;
    let patch = Request::patch(&url, 1).body(vec![0; 32 << 20]);
    let refused = client.send(patch).await.expect(409);
    assert_eq!(refused.offset(), Some(0));
}

#[tokio::test]
async fn a_download_has_the_length_that_head_tells() {
    let site = served(tus());
    let client = site.client();
    let data = content(300_000, 3);
    let url = client.upload(&data).await;
    let head = Request::new("HEAD", &url).without("Tus-Resumable");
    let told = client.send(head).await.expect(200);
    assert_eq!(told.header("Content-Length"), Some("300000"));
    let got = client.get(&url).await.expect(200);
    assert_eq!(got.header("Content-Length"), Some("300000"));
    assert_eq!(got.header("Transfer-Encoding"), None);
    assert!(got.body == data);
    let of_tus = client.head(&url).await.expect(200);
    assert_eq!(of_tus.header("Content-Length"), None, "{of_tus:?}");
}
