use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tower_tus::client::{Client, Fingerprint, MemoryUrlStore, NewUpload, Proxy};

use crate::support::{Server, bytes, quick};

/// Tenants of one server, as many have them.
#[tokio::test]
async fn endpoints_that_differ_by_query_have_uploads_of_their_own() {
    let server = Server::start().await;
    let store = MemoryUrlStore::new();
    let upload = |tenant: &str| {
        let endpoint = format!("{}?tenant={tenant}", server.endpoint());
        let client = Client::new(endpoint.parse().unwrap()).proxy(Proxy::none());
        let upload = quick(client).upload(bytes(2_000_000));
        let upload = upload.fingerprint(Fingerprint::sha256());
        upload.store(store.clone())
    };
    let a = upload("a").stop_at(1_000_000).await.unwrap();
    let b = upload("b").await.unwrap();
    assert_ne!(a.url(), b.url());
    assert_eq!(b.resumed_from(), 0);
    let again = upload("a").await.unwrap();
    assert_eq!((again.url(), again.resumed_from()), (a.url(), 1_000_000));
}

#[tokio::test(start_paused = true)]
async fn a_header_source_that_hangs_is_an_error() {
    let service = tower::service_fn(|_: http::Request<tower_tus::client::Body>| async {
        Ok::<_, tower::BoxError>(http::Response::new(String::new()))
    });
    let client = Client::with_service("http://localhost/files".parse().unwrap(), service)
        .answer_timeout(Duration::from_secs(5))
        .header_source(std::future::pending);
    let asked = tokio::time::timeout(Duration::from_secs(60), client.create(NewUpload::new(1)));
    let error = asked.await.expect("it ends").unwrap_err();
    assert!(error.to_string().contains("headers"), "{error}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn all_values_of_a_header_are_sent() {
    const COLOR: HeaderName = HeaderName::from_static("x-color");
    const SIZE: HeaderName = HeaderName::from_static("x-size");
    let several = |name: HeaderName| {
        let mut headers = HeaderMap::new();
        headers.append(name.clone(), HeaderValue::from_static("1"));
        headers.append(name, HeaderValue::from_static("2"));
        headers
    };
    let server = Server::start().await;
    let client = server
        .client()
        .header(COLOR, HeaderValue::from_static("0"))
        .header(SIZE, HeaderValue::from_static("0"))
        .headers(several(COLOR))
        .header_source(move || async move { Ok(several(SIZE)) });
    client.create(NewUpload::new(1)).await.unwrap();
    let seen = server.seen().pop().unwrap();
    for name in [COLOR, SIZE] {
        let values: Vec<_> = seen.headers.get_all(&name).iter().collect();
        assert_eq!(values, ["1", "2"], "{name}");
    }
}
