//! Whole objects.

use bytes::Bytes;
use futures::TryStreamExt;
use http::{
    Request,
    header::{CONTENT_DISPOSITION, CONTENT_TYPE},
};
use object_store::{
    ClientOptions, CopyMode, Error, PutMode, PutPayload,
    client::{HttpConnector, HttpRequestBody, HttpResponse},
    path::Path,
};
use tower_tus::storage::{
    ObjectStorage,
    object::{Connector, Listed},
};

use crate::support::{Place, attributes, options, skip};

pub(crate) async fn a_creation_happens_once(place: &Place) {
    let path = place.path("once");
    let create = |bytes| {
        let payload = PutPayload::from_static(bytes);
        place.bucket.put(&path, payload, PutMode::Create.into())
    };
    create(b"first").await.unwrap();
    let error = create(b"second").await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    assert_eq!(place.bytes(&path).await, "first");

    let racing = place.path("race");
    let racers = (0..8).map(|_| place.put(&racing, "racer", PutMode::Create));
    let winners = futures::future::join_all(racers).await;
    assert_eq!(winners.into_iter().filter(|won| *won).count(), 1);
}

pub(crate) async fn an_update_needs_the_last_version(place: &Place) {
    let path = place.path("updated");
    let put = |bytes, mode: PutMode| {
        let payload = PutPayload::from_static(bytes);
        place.bucket.put(&path, payload, mode.into())
    };
    let first = put(b"1", PutMode::Create).await.unwrap();
    let second = put(b"2", PutMode::Update(first.clone())).await.unwrap();
    let error = put(b"3", PutMode::Update(first)).await.unwrap_err();
    assert!(matches!(error, Error::Precondition { .. }), "{error:?}");

    let read = place.bucket.get(&path, None).await.unwrap();
    assert_eq!(read.bytes, "2");
    let stat = place.bucket.stat(&path).await.unwrap();
    put(b"4", PutMode::Update(second)).await.unwrap();
    let stale = put(b"5", PutMode::Update(read.version)).await;
    assert!(matches!(stale, Err(Error::Precondition { .. })));
    let stale = put(b"5", PutMode::Update(stat.version)).await;
    assert!(matches!(stale, Err(Error::Precondition { .. })));

    let read = place.bucket.get(&path, Some(1)).await.unwrap();
    put(b"6", PutMode::Update(read.version)).await.unwrap();
    let stat = place.bucket.stat(&path).await.unwrap();
    let update = PutMode::Update(stat.version);
    let racers = (0..8).map(|_| put(b"7", update.clone()));
    let winners = futures::future::join_all(racers).await;
    assert_eq!(winners.iter().filter(|won| won.is_ok()).count(), 1);

    place.bucket.delete(&path).await.unwrap();
    let gone = put(b"8", update).await.unwrap_err();
    assert!(matches!(gone, Error::Precondition { .. }), "{gone:?}");
}

/// Holds because whoever writes makes all bodies different. Here is what happens otherwise.
pub(crate) async fn a_version_does_not_come_back_with_the_same_bytes(place: &Place) {
    let path = place.path("version");
    let put = |bytes: &'static [u8]| {
        let payload = PutPayload::from_static(bytes);
        place.bucket.put(&path, payload, PutMode::Overwrite.into())
    };
    let first = put(b"a 1").await.unwrap();
    let second = put(b"a 2").await.unwrap();
    assert_ne!(first, second);
}

pub(crate) async fn attributes_come_back(place: &Place) {
    let path = place.path("attributes");
    let payload = PutPayload::from_static(b"bytes");
    let options = options(PutMode::Overwrite, "the-upload");
    place.bucket.put(&path, payload, options).await.unwrap();
    let stat = place.bucket.stat(&path).await.unwrap();
    assert_eq!((stat.size, stat.owner.as_deref()), (5, Some("the-upload")));

    let plain = place.path("plain");
    assert!(place.put(&plain, "bytes", PutMode::Overwrite).await);
    assert_eq!(place.bucket.stat(&plain).await.unwrap().owner, None);
}

pub(crate) async fn chunks_become_one_object(place: &Place) {
    let path = place.path("chunks");
    let chunks = (0..100u8).map(|fill| Bytes::from(vec![fill; usize::from(fill) * 100]));
    let whole: Vec<u8> = chunks.clone().flatten().collect();
    let payload: PutPayload = chunks.collect();
    let create = PutMode::Create.into();
    place.bucket.put(&path, payload, create).await.unwrap();
    assert!(place.bytes(&path).await == whole);
}

pub(crate) async fn a_beginning_is_read(place: &Place) {
    let path = place.path("beginning");
    assert!(place.put(&path, "0123456789", PutMode::Overwrite).await);
    for (limit, bytes) in [
        (Some(1), "0"),
        (Some(10), "0123456789"),
        (Some(1 << 30), "0123456789"),
        (None, "0123456789"),
    ] {
        let object = place.bucket.get(&path, limit).await.unwrap();
        assert_eq!((&object.bytes[..], object.size), (bytes.as_bytes(), 10));
    }
}

pub(crate) async fn ranges_are_read(place: &Place) {
    let path = place.path("ranges");
    let whole: Bytes = (0..2 << 20).map(|at: u32| at.to_le_bytes()[1]).collect();
    let payload = PutPayload::from(whole.clone());
    let overwrite = PutMode::Overwrite.into();
    place.bucket.put(&path, payload, overwrite).await.unwrap();
    for range in [0..1, 0..2 << 20, 777..1_000_777, (2 << 20) - 1..2 << 20] {
        let (start, end) = (range.start as usize, range.end as usize);
        let stream = place.bucket.read(&path, range).await.unwrap();
        let read: Vec<Bytes> = stream.try_collect().await.unwrap();
        assert!(read.concat() == whole[start..end]);
    }
}

pub(crate) async fn an_object_of_no_bytes_is_one(place: &Place) {
    let path = place.path("empty");
    let create = || options(PutMode::Create, "nothing");
    let put = place.bucket.put(&path, PutPayload::new(), create());
    put.await.unwrap();
    let again = place.bucket.put(&path, PutPayload::new(), create()).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })));
    let stat = place.bucket.stat(&path).await.unwrap();
    assert_eq!((stat.size, stat.owner.as_deref()), (0, Some("nothing")));
    for limit in [None, Some(100)] {
        let object = place.bucket.get(&path, limit).await.unwrap();
        assert_eq!((object.bytes.len(), object.size), (0, 0));
    }
}

pub(crate) async fn what_is_not_there_is_not_found(place: &Place) {
    let path = place.path("nowhere");
    let not_found = |error| assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    not_found(place.bucket.get(&path, None).await.unwrap_err());
    not_found(place.bucket.get(&path, Some(9)).await.unwrap_err());
    not_found(place.bucket.stat(&path).await.unwrap_err());
    not_found(place.bucket.read(&path, 0..1).await.err().unwrap());
    let to = place.path("to");
    let copy = place.bucket.copy(&path, &to, CopyMode::Overwrite);
    not_found(copy.await.unwrap_err());
}

pub(crate) async fn a_listing_is_of_one_prefix(place: &Place) {
    for name in ["list/a", "list/b/c", "list-not", "lis"] {
        assert!(
            place
                .put(&place.path(name), "12345", PutMode::Overwrite)
                .await
        );
    }
    let found: Vec<Listed> = place
        .bucket
        .list(&place.path("list"))
        .try_collect()
        .await
        .unwrap();
    let mut found: Vec<_> = found.into_iter().map(|one| (one.path, one.size)).collect();
    found.sort();
    assert_eq!(
        found,
        [(place.path("list/a"), 5), (place.path("list/b/c"), 5)]
    );
    let none = place.bucket.list(&place.path("none"));
    assert!(none.try_collect::<Vec<_>>().await.unwrap().is_empty());
}

pub(crate) async fn a_removal_may_be_repeated(place: &Place) {
    let path = place.path("removed");
    assert!(place.put(&path, "bytes", PutMode::Create).await);
    place.bucket.delete(&path).await.unwrap();
    place.bucket.delete(&path).await.unwrap();
    let stat = place.bucket.stat(&path).await;
    assert!(matches!(stat, Err(Error::NotFound { .. })));
}

pub(crate) async fn a_copy_keeps_attributes(place: &Place) {
    let (from, to) = (place.path("from"), place.path("to"));
    let payload = PutPayload::from_static(b"bytes");
    let options = options(PutMode::Overwrite, "copied");
    place.bucket.put(&from, payload, options).await.unwrap();
    assert!(place.put(&to, "other", PutMode::Overwrite).await);
    for _ in 0..2 {
        let copy = place.bucket.copy(&from, &to, CopyMode::Overwrite);
        copy.await.unwrap();
        let stat = place.bucket.stat(&to).await.unwrap();
        assert_eq!((stat.size, stat.owner.as_deref()), (5, Some("copied")));
        assert_eq!(place.bytes(&to).await, "bytes");
    }
}

/// Where it cannot be asked for, nothing is replaced either.
pub(crate) async fn a_copy_does_not_replace(place: &Place) {
    let (from, to) = (place.path("from"), place.path("to"));
    assert!(place.put(&from, "bytes", PutMode::Overwrite).await);
    let copy = || place.bucket.copy(&from, &to, CopyMode::Create);
    match copy().await {
        // Of those who speak like S3 only some have it.
        Err(Error::NotSupported { .. }) => {
            assert!(["s3", "minio"].contains(&place.store));
            assert!(place.put(&to, "bytes", PutMode::Overwrite).await);
        }
        copied => {
            copied.unwrap();
            let error = copy().await.unwrap_err();
            assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
        }
    }
    assert_eq!(place.bytes(&to).await, "bytes");
}

pub(crate) async fn objects_are_joined(place: &Place) {
    let sources = [place.path("1"), place.path("2 & <3>")];
    for (source, bytes) in sources.iter().zip(["first ", "second"]) {
        assert!(place.put(source, bytes, PutMode::Overwrite).await);
    }
    let to = place.path("joined");
    let join = || {
        let options = options(PutMode::Create, "joined");
        place.bucket.compose(&sources, &to, options)
    };
    if place.bucket.profile().max_sources == 0 {
        let error = join().await.unwrap_err();
        assert!(matches!(error, Error::NotSupported { .. }), "{error:?}");
        return;
    }
    join().await.unwrap();
    assert_eq!(place.bytes(&to).await, "first second");
    let stat = place.bucket.stat(&to).await.unwrap();
    assert_eq!((stat.size, stat.owner.as_deref()), (12, Some("joined")));
    let error = join().await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");

    // Over one of those it is made of.
    let again = [sources[1].clone(), sources[0].clone()];
    let options = || options(PutMode::Overwrite, "joined");
    let joined = place.bucket.compose(&again, &sources[1], options());
    joined.await.unwrap();
    assert_eq!(place.bytes(&sources[1]).await, "secondfirst ");

    let missing = [sources[0].clone(), place.path("missing")];
    let joined = place.bucket.compose(&missing, &to, options());
    let error = joined.await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
}

pub(crate) async fn a_signed_url_is_read_by_anybody(place: &Place) {
    if place.store == "gcs" {
        skip("signed URLs of gcs because its double has no key to sign with");
        return;
    }
    let path = place.path("signed");
    let payload = PutPayload::from_static(b"for all");
    let options = options(PutMode::Overwrite, "signed");
    place.bucket.put(&path, payload, options).await.unwrap();
    let minute = std::time::Duration::from_secs(60);
    let url = place
        .bucket
        .signed_url(&path, minute)
        .await
        .unwrap()
        .unwrap();
    let answer = get(&url).await;
    assert_eq!(answer.status(), 200);
    let expected = attributes("signed");
    for (name, attribute) in [
        (CONTENT_TYPE, object_store::Attribute::ContentType),
        (
            CONTENT_DISPOSITION,
            object_store::Attribute::ContentDisposition,
        ),
    ] {
        let value = expected.get(&attribute).unwrap().as_ref();
        assert_eq!(answer.headers()[name], value);
    }
    assert_eq!(answer.into_body().bytes().await.unwrap(), "for all");
    let other = url.replace("signed?", "other?");
    assert!(!get(&other).await.status().is_success());
}

/// Without any credentials.
async fn get(url: &str) -> HttpResponse {
    let options = ClientOptions::new().with_allow_http(true);
    let client = Connector::default().connect(&options).unwrap();
    let request = Request::get(url).body(HttpRequestBody::empty());
    client.execute(request.unwrap()).await.unwrap()
}

pub(crate) async fn odd_names_are_names(place: &Place) {
    let path = place.path("space and +plus/ünïcödé/100%/a=b&c");
    assert!(place.put(&path, "odd", PutMode::Create).await);
    assert_eq!(place.bytes(&path).await, "odd");
    assert_eq!(place.bucket.stat(&path).await.unwrap().size, 3);
    let listed = place.bucket.list(&place.root).try_collect::<Vec<_>>().await;
    let paths: Vec<Path> = listed.unwrap().into_iter().map(|one| one.path).collect();
    assert_eq!(paths, std::slice::from_ref(&path));
    let copy = place.path("odd copy");
    place
        .bucket
        .copy(&path, &copy, CopyMode::Overwrite)
        .await
        .unwrap();
    assert_eq!(place.bytes(&copy).await, "odd");
    place.bucket.delete(&path).await.unwrap();
    let stat = place.bucket.stat(&path).await;
    assert!(matches!(stat, Err(Error::NotFound { .. })));
}

pub(crate) async fn the_check_is_passed(place: &Place) {
    let storage = ObjectStorage::new(place.bucket.clone()).prefix(&place.root);
    storage.check().await.unwrap();
    let left = place.bucket.list(&place.root).try_collect::<Vec<_>>();
    assert!(left.await.unwrap().is_empty());
}
