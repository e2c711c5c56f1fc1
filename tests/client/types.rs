//! What is known of the public types without running anything.

use std::{future::IntoFuture, time::UNIX_EPOCH};

use http::Uri;
use tower_tus::client::{
    Answer, Body, Chunk, Client, Controller, Download, Error, Fingerprint, Handle, MemoryUrlStore,
    NewUpload, Progress, Proxy, RateLimit, RetryPolicy, ServerInfo, Source, StoredPart,
    StoredUpload, Tls, Upload, UploadInfo, Uploaded,
    url_store::{Claim, Key},
};

fn shared<T: Send + Sync + std::fmt::Debug>() {}
fn sent<T: Send + std::fmt::Debug>() {}

#[test]
fn types_can_be_shared_where_that_means_something() {
    shared::<Client>();
    shared::<Claim>();
    shared::<Controller>();
    shared::<Download>();
    shared::<Error>();
    shared::<Fingerprint>();
    shared::<Handle>();
    shared::<MemoryUrlStore>();
    shared::<Progress>();
    shared::<Proxy>();
    shared::<RateLimit>();
    shared::<RetryPolicy>();
    shared::<ServerInfo>();
    shared::<StoredUpload>();
    shared::<Tls>();
    shared::<Uploaded>();
    shared::<UploadInfo>();
    sent::<Body>();
    sent::<Source>();
    sent::<Upload>();
}

#[test]
fn futures_can_be_spawned_and_are_small() {
    fn spawned<F: Future + Send>(future: F) -> usize {
        size_of_val(&future)
    }
    let client = || Client::new("http://localhost/files".parse().unwrap());
    let upload = client().upload(Source::bytes("x"));
    let boxed = upload.into_future();
    let inside = size_of_val(&*boxed);
    assert_eq!(spawned(boxed), 16);
    assert!(inside < 8192, "{inside}");
    let (client, url) = (client(), "http://localhost/files/a".parse().unwrap());
    for size in [
        spawned(client.options()),
        spawned(client.inspect(&url)),
        spawned(client.terminate(&url)),
        spawned(client.download(&url).bytes(1)),
    ] {
        assert!(size < 4096, "{size}");
    }
}

#[tokio::test]
async fn debug_shows_no_query_and_no_value_of_a_header() {
    let url: Uri = "http://localhost/files/a?sig=hidden".parse().unwrap();
    let mut stored = StoredUpload::new(Key::new("print", "http://localhost/files"), UNIX_EPOCH);
    stored.url = Some(url.clone());
    stored.parts.push(StoredPart::new(url.clone(), 0, 1));
    let shown = format!("{stored:?}");
    assert!(!shown.contains("hidden"), "{shown}");
    assert!(shown.contains("/files/a"), "{shown}");

    let server = tower::service_fn(|_: http::Request<Body>| async {
        let answer = http::Response::builder()
            .status(201)
            .header("location", "/files/a?sig=hidden")
            .header("set-cookie", "hidden")
            .header("upload-offset", "0");
        Ok::<_, std::convert::Infallible>(answer.body(String::new()).unwrap())
    });
    let (tell, told) = std::sync::mpsc::channel();
    let client = Client::with_service("http://localhost/files?key=hidden".parse().unwrap(), server)
        .on_response(move |answer: &Answer<'_>| tell.send(format!("{answer:?}")).unwrap());
    let created = client.create(NewUpload::new(7)).await.unwrap();
    assert_eq!(created.url, url);
    let uploaded = client.upload(Source::bytes("")).await.unwrap();
    assert_eq!(*uploaded.url(), url);
    let answers: Vec<_> = told.try_iter().collect();
    assert!(answers[0].contains("set-cookie"), "{answers:?}");
    for shown in answers
        .into_iter()
        .chain([format!("{created:?}"), format!("{uploaded:?}")])
    {
        assert!(!shown.contains("hidden"), "{shown}");
    }
}

#[tokio::test]
async fn debug_shows_no_content_and_no_query_of_a_part() {
    let new = NewUpload::new(6).content("hidden");
    let chunk = Chunk::new(0, "hidden");
    let server = tower::service_fn(|_: http::Request<Body>| async {
        let answer = http::Response::builder()
            .header("upload-length", "6")
            .header("upload-offset", "6")
            .header("upload-concat", "final;/a?sig=hidden http://me:hidden@h/b");
        Ok::<_, std::convert::Infallible>(answer.body(String::new()).unwrap())
    });
    let client = Client::with_service("http://localhost/files".parse().unwrap(), server);
    let url = "http://localhost/files/c".parse().unwrap();
    let info = client.inspect(&url).await.unwrap();
    let shown = format!("{new:?} {chunk:?} {info:?}");
    assert!(!shown.contains("hidden"), "{shown}");
    for kept in ["6 bytes", "/a?…", "http://h/b"] {
        assert!(shown.contains(kept), "{kept}: {shown}");
    }
}
