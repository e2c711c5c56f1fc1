//! What is known of the public types without running anything.

use std::future::IntoFuture;

use tower_tus::client::{
    Body, Client, Controller, Download, Error, Fingerprint, Handle, MemoryUrlStore, Progress,
    Proxy, RateLimit, RetryPolicy, ServerInfo, Source, Tls, Upload, UploadInfo, Uploaded,
    url_store::{Claim, StoredUpload},
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
    assert!(spawned(upload.into_future()) <= 16);
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
