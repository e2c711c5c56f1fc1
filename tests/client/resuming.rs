use futures::StreamExt;
use tower::BoxError;
use tower_tus::client::{
    AfterSuccess, Fingerprint, MemoryUrlStore, RateLimit, RetryPolicy, Source, UrlStore,
    WhenClaimed,
    url_store::{Claim, Key, StoredUpload},
};

use crate::support::{Instead, Server, bytes};

fn named() -> Fingerprint {
    Fingerprint::with(|_| Some("the same".to_owned()))
}

#[tokio::test]
async fn the_same_content_goes_on_where_it_was() {
    let server =
        Server::disturbed(|_, number| (number == 1).then_some(Instead::CutAfter(500_000))).await;
    let store = MemoryUrlStore::new();
    let content = bytes(2_000_000);
    let upload = || {
        server
            .client()
            .upload(content.clone())
            .store(store.clone())
            .fingerprint(named())
    };
    let error = upload().retry(RetryPolicy::never()).await.unwrap_err();
    assert!(error.is_network(), "{error}");
    let kept = store.list().await.unwrap();
    assert_eq!(kept[0].url.as_ref(), error.upload_url());
    assert_eq!(kept[0].size, Some(2_000_000));

    let done = upload().await.unwrap();
    assert!(done.resumed_from() > 0);
    assert!(server.content(done.url()).await == content);
    assert_eq!(server.methods(), "POST PATCH HEAD PATCH");
    assert!(store.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_stream_with_a_name_goes_on_beyond_what_is_kept_of_it() {
    let server = Server::disturbed(|_, number| (number == 5).then_some(Instead::Status(500))).await;
    let store = MemoryUrlStore::new();
    let content = bytes(2_000_000);
    let upload = || {
        let source = Source::read_once(std::io::Cursor::new(content.clone())).replay(200_000);
        let upload = server.client().upload(source).store(store.clone());
        upload.fingerprint(named())
    };
    let error = upload().retry(RetryPolicy::never()).await.unwrap_err();
    assert_eq!(error.status().unwrap(), 500);
    let done = upload().await.unwrap();
    assert!(done.resumed_from() > 200_000, "{}", done.resumed_from());
    assert!(server.content(done.url()).await == content);
}

#[tokio::test]
async fn what_is_gone_or_other_content_is_begun_anew() {
    let server = Server::start().await;
    let store = MemoryUrlStore::new();
    let upload = |size: usize| {
        server
            .client()
            .upload(bytes(size))
            .create_first()
            .store(store.clone())
            .fingerprint(named())
            .after_success(AfterSuccess::Keep)
    };
    let first = upload(10).await.unwrap();
    // Finished and kept: asked for, and that is all.
    let again = upload(10).await.unwrap();
    assert_eq!((again.url(), again.resumed_from()), (first.url(), 10));
    // Another length cannot be the same content.
    let other = upload(11).await.unwrap();
    assert_ne!(other.url(), first.url());
    server.client().terminate(other.url()).await.unwrap();
    let new = upload(11).await.unwrap();
    assert_ne!(new.url(), other.url());
    assert!(server.content(new.url()).await == bytes(11));
}

#[tokio::test]
async fn an_upload_that_stops_at_its_end_is_whole() {
    let server = Server::start().await;
    for (stop, after, left) in [
        (5, AfterSuccess::Remove, 1),
        (10, AfterSuccess::Remove, 0),
        (11, AfterSuccess::Remove, 0),
        (11, AfterSuccess::Keep, 1),
    ] {
        let store = MemoryUrlStore::new();
        let upload = server.client().upload(bytes(10)).store(store.clone());
        let upload = upload.fingerprint(named()).after_success(after);
        let done = upload.stop_at(stop).await.unwrap();
        assert_eq!(done.size(), stop.min(10));
        assert_eq!(store.list().await.unwrap().len(), left, "{stop} {after:?}");
    }
}

#[tokio::test]
async fn a_url_by_hand_has_to_be_right() {
    let server = Server::start().await;
    let client = server.client();
    let content = bytes(2_000_000);
    let half = client
        .upload(content.clone())
        .stop_at(1_000_000)
        .await
        .unwrap();
    assert_eq!(half.size(), 1_000_000);
    let upload = |content| {
        client
            .upload(Source::bytes(content))
            .resume_at(half.url().clone())
    };
    assert!(upload(bytes(5)).await.unwrap_err().is_source());
    let done = upload(content.clone()).await.unwrap();
    assert_eq!(done.resumed_from(), 1_000_000);
    assert!(server.content(done.url()).await == content);
    client.terminate(done.url()).await.unwrap();
    assert!(upload(content).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn two_uploads_of_the_same_do_not_meet() {
    let server = Server::start().await;
    let store = MemoryUrlStore::new();
    let limit = RateLimit::per_second(1_000_000);
    let upload = || {
        server
            .client()
            .upload(bytes(2_000_000))
            .rate_limit(limit.clone())
            .store(store.clone())
            .fingerprint(named())
            .after_success(AfterSuccess::Keep)
    };
    let first = upload().start();
    let mut progress = first.progress();
    while progress.next().await.unwrap().sent == 0 {}
    assert!(upload().await.unwrap_err().is_claimed());
    let second = upload().when_claimed(WhenClaimed::Wait).start();
    limit.set(u64::MAX);
    let first = first.await.unwrap();
    assert_eq!(second.await.unwrap().url(), first.url());
}

#[tokio::test]
async fn urls_that_may_hold_a_token_are_stored_only_if_asked() {
    for asked in [false, true] {
        let server = Server::disturbed(|seen, _| {
            (seen.method == "POST").then(|| {
                let location = "/files/a?token=hidden".to_owned();
                Instead::Answer(201, vec![("location", location)])
            })
        })
        .await;
        let store = MemoryUrlStore::new();
        let mut upload = server
            .client()
            .upload(bytes(2_000_000))
            .store(store.clone())
            .fingerprint(named());
        if asked {
            upload = upload.store_queries();
        }
        // There is no such upload.
        upload.await.unwrap_err();
        assert_eq!(store.list().await.unwrap().len(), usize::from(asked));
    }
}

#[tokio::test]
async fn a_file_that_changes_on_the_way_is_no_success() {
    for (parts, range) in [(1, None), (3, None), (1, Some(0..2_000_000))] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, bytes(3_000_000)).unwrap();
        let grown = path.clone();
        let server = Server::disturbed(move |seen, _| {
            if seen.method == "PATCH" {
                let file = std::fs::File::options().append(true).open(&grown).unwrap();
                // At the same length, which the time tells.
                file.set_modified(std::time::SystemTime::UNIX_EPOCH)
                    .unwrap();
            }
            None
        })
        .await;
        let store = MemoryUrlStore::new();
        let mut source = Source::path(&path);
        let is_range = range.is_some();
        if let Some(range) = range {
            source = source.range(range);
        }
        let done = server
            .client()
            .upload(source)
            .parallel(parts)
            .store(store.clone())
            .fingerprint(named())
            .await;
        if is_range {
            assert_eq!(done.unwrap().size(), 2_000_000);
            continue;
        }
        let error = done.unwrap_err();
        assert!(error.is_source(), "{error}");
        assert!(error.to_string().contains("file was changed"), "{error}");
        // It is not gone on with when it has the same name.
        assert!(store.list().await.unwrap().is_empty());
    }
}

/// Finds, claims and removes, and keeps nothing.
#[derive(Debug, Default)]
struct Full(MemoryUrlStore);

#[async_trait::async_trait]
impl UrlStore for Full {
    async fn find(&self, key: &Key) -> Result<Option<StoredUpload>, BoxError> {
        self.0.find(key).await
    }

    async fn save(&self, _: &StoredUpload) -> Result<(), BoxError> {
        Err("no space left on device".into())
    }

    async fn remove(&self, key: &Key) -> Result<(), BoxError> {
        self.0.remove(key).await
    }

    async fn list(&self) -> Result<Vec<StoredUpload>, BoxError> {
        self.0.list().await
    }

    async fn claim(&self, key: &Key) -> Result<Option<Claim>, BoxError> {
        self.0.claim(key).await
    }
}

#[tokio::test]
async fn a_store_that_fails_ends_no_upload() {
    let server = Server::start().await;
    let content = bytes(2_000_000);
    for parts in [1, 3] {
        let upload = server.client().upload(content.clone()).parallel(parts);
        let done = upload.store(Full::default()).await.unwrap();
        assert!(server.content(done.url()).await == content);
    }
}

#[tokio::test]
async fn a_url_by_hand_is_above_the_store() {
    let server = Server::start().await;
    let store = MemoryUrlStore::new();
    let upload = || {
        let upload = server.client().upload(bytes(2_000_000));
        upload.store(store.clone()).fingerprint(named())
    };
    let stored = upload().stop_at(1_000).await.unwrap();
    let other = server.client().upload(bytes(2_000_000)).stop_at(2_000);
    let other = other.await.unwrap();
    let done = upload().resume_at(other.url().clone()).await.unwrap();
    assert_eq!((done.url(), done.resumed_from()), (other.url(), 2_000));
    let kept = store.list().await.unwrap();
    assert_eq!(kept[0].url.as_ref(), Some(stored.url()));
}

#[tokio::test]
async fn a_stream_that_is_too_short_for_its_upload_is_told_so() {
    let server = Server::start().await;
    let half = server.client().upload(bytes(2_000_000)).stop_at(65_536);
    let half = half.await.unwrap();
    let short = bytes(2_000_000)[..65_536].to_vec();
    // Its end is seen when it is asked for more, not before.
    let stream = Source::read_once(std::io::Cursor::new(short)).replay(65_536);
    let upload = server.client().upload(stream).resume_at(half.url().clone());
    let error = upload.await.unwrap_err();
    assert!(error.is_source(), "{error}");
    let patches = server
        .seen()
        .into_iter()
        .filter(|seen| seen.method == "PATCH");
    assert_eq!(patches.count(), 1);
}
