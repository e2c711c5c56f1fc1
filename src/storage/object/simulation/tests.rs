use futures::TryStreamExt;
use object_store::{Attribute, Error, PutMode};

use super::*;
use crate::storage::object::OWNER;

/// A path for as long as the test goes.
fn path(path: &str) -> &'static Path {
    Box::leak(Box::new(Path::from(path)))
}

fn payload(size: usize) -> PutPayload {
    vec![b'x'; size].into()
}

fn owned(by: &str) -> Attributes {
    [
        (Attribute::ContentType, "text/plain".to_owned()),
        (Attribute::Metadata(OWNER.into()), by.to_owned()),
    ]
    .into_iter()
    .collect()
}

fn update(version: &UpdateVersion) -> PutOptions {
    PutMode::Update(version.clone()).into()
}

/// Why the store refused.
fn code<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error = result.unwrap_err();
    let (Error::Generic { source, .. } | Error::Precondition { source, .. }) = error else {
        panic!("{error:?}");
    };
    source.to_string().split(':').next().unwrap().to_owned()
}

async fn part(bucket: &Simulation, session: &str, number: u32, size: usize) -> Part {
    let tag = bucket.put_part(path("a"), session, number, payload(size));
    Part::new(number, tag.await.unwrap(), size as u64)
}

async fn complete(bucket: &Simulation, session: &str, parts: &[Part]) -> Result<()> {
    let create = PutOptions {
        mode: PutMode::Create,
        attributes: owned("me"),
        ..PutOptions::default()
    };
    bucket.complete(path("a"), session, parts, create).await
}

fn size(bucket: &Simulation, at: &str) -> Option<usize> {
    bucket.object(path(at)).map(|object| object.bytes.len())
}

#[tokio::test]
async fn objects_are_put_under_conditions() {
    let bucket = Simulation::new();
    let create = || PutOptions::from(PutMode::Create);
    let first = bucket.put(path("a"), "1".into(), create()).await.unwrap();
    let again = bucket.put(path("a"), "2".into(), create()).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })));
    let second = bucket.put(path("a"), "2".into(), update(&first)).await;
    let stale = bucket.put(path("a"), "3".into(), update(&first)).await;
    assert!(matches!(stale, Err(Error::Precondition { .. })));
    let gone = bucket.put(path("b"), "3".into(), update(&first)).await;
    assert!(matches!(gone, Err(Error::Precondition { .. })));
    // The tag of what it was once is good again.
    let third = bucket.put(path("a"), "1".into(), update(&second.unwrap()));
    assert_eq!(third.await.unwrap(), first);
    let object = bucket.clone().get(path("a"), Some(9)).await.unwrap();
    assert_eq!(
        (object.bytes, object.size, object.version),
        ("1".into(), 1, first)
    );
}

#[tokio::test]
async fn a_generation_is_never_had_again() {
    let bucket = Simulation::gcs();
    let put = |bytes: &'static str, options: PutOptions| {
        let bucket = bucket.clone();
        async move { bucket.put(path("a"), bytes.into(), options).await }
    };
    let first = put("1", PutMode::Create.into()).await.unwrap();
    let second = put("2", update(&first)).await.unwrap();
    put("1", update(&second)).await.unwrap();
    let aba = put("3", update(&first)).await;
    assert!(matches!(aba, Err(Error::Precondition { .. })));
    let tag_only = UpdateVersion {
        version: None,
        ..second
    };
    assert_eq!(code(put("3", update(&tag_only)).await), "InvalidArgument");
}

#[tokio::test]
async fn a_store_may_ignore_conditions() {
    let bucket = Simulation::new().without_conditions();
    let create = || PutOptions::from(PutMode::Create);
    let first = bucket.put(path("a"), "1".into(), create()).await.unwrap();
    bucket.put(path("a"), "2".into(), create()).await.unwrap();
    let stale = bucket.put(path("a"), "3".into(), update(&first));
    stale.await.unwrap();
    let session = bucket.begin(path("a"), Attributes::new()).await.unwrap();
    let parts = [part(&bucket, &session, 1, 5).await];
    complete(&bucket, &session, &parts).await.unwrap();
    assert_eq!(size(&bucket, "a"), Some(5));
}

#[tokio::test]
async fn parts_become_an_object() {
    let bucket = Simulation::new().min_part(4).max_parts(9);
    let session = bucket.begin(path("a"), owned("me")).await.unwrap();
    let last = part(&bucket, &session, 9, 1).await;
    let _unnamed = part(&bucket, &session, 4, 100).await;
    let first = part(&bucket, &session, 2, 4).await;
    assert_eq!(bucket.loose_bytes(), 105);
    assert_eq!(bucket.paths(), []);
    let [open] = bucket.open_sessions().try_into().unwrap();
    assert_eq!((&open.path, &open.id), (path("a"), &session));

    complete(&bucket, &session, &[first.clone(), last.clone()])
        .await
        .unwrap();
    assert_eq!(size(&bucket, "a"), Some(5));
    assert_eq!(bucket.object(path("a")).unwrap().attributes, owned("me"));
    let stat = bucket.stat(path("a")).await.unwrap();
    assert_eq!((stat.size, stat.owner.as_deref()), (5, Some("me")));
    assert_eq!((bucket.loose_bytes(), bucket.open_sessions().len()), (0, 0));
    let again = complete(&bucket, &session, &[first, last]).await;
    assert!(matches!(again, Err(Error::NotFound { .. })));
    let late = bucket.put_part(path("a"), &session, 3, payload(1)).await;
    assert!(matches!(late, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn what_is_wrong_with_parts_shows_when_they_are_completed() {
    let bucket = Simulation::new().min_part(4).max_parts(9);
    let session = bucket.begin(path("a"), owned("me")).await.unwrap();
    let [one, two] = [
        part(&bucket, &session, 1, 3).await,
        part(&bucket, &session, 2, 4).await,
    ];
    let parts = [one.clone(), two.clone()];
    let small = complete(&bucket, &session, &parts).await;
    assert_eq!(code(small), "EntityTooSmall");
    let twice = complete(&bucket, &session, &[two.clone(), two.clone()]).await;
    assert_eq!(code(twice), "InvalidPartOrder");
    assert_eq!(code(complete(&bucket, &session, &[]).await), "MalformedXML");
    let unknown = Part::new(3, two.tag.clone(), 4);
    assert_eq!(
        code(complete(&bucket, &session, &[unknown]).await),
        "InvalidPart"
    );
    for number in [0, 10] {
        let put = bucket.put_part(path("a"), &session, number, payload(1));
        assert_eq!(code(put.await), "InvalidArgument");
    }
    // The last one put under a number counts.
    let larger = part(&bucket, &session, 1, 4).await;
    let old = complete(&bucket, &session, &parts).await;
    assert_eq!(code(old), "InvalidPart");
    complete(&bucket, &session, &[larger, two]).await.unwrap();
    assert_eq!(size(&bucket, "a"), Some(8));
}

#[tokio::test]
async fn tags_may_be_unique() {
    let bucket = Simulation::new();
    let session = bucket.begin(path("a"), owned("me")).await.unwrap();
    let first = part(&bucket, &session, 1, 4).await;
    assert_eq!(part(&bucket, &session, 1, 4).await, first);
    let bucket = bucket.unique_tags();
    let second = part(&bucket, &session, 1, 4).await;
    assert_ne!(second, first);
    let old = complete(&bucket, &session, &[first]).await;
    assert_eq!(code(old), "InvalidPart");
}

#[tokio::test]
async fn a_completion_whose_condition_does_not_hold_can_be_repeated() {
    let bucket = Simulation::new();
    let session = bucket.begin(path("a"), owned("me")).await.unwrap();
    let parts = [part(&bucket, &session, 1, 4).await];
    let other = bucket.put(path("a"), "other".into(), PutOptions::default());
    other.await.unwrap();
    let refused = complete(&bucket, &session, &parts).await;
    assert!(matches!(refused, Err(Error::AlreadyExists { .. })));
    bucket.delete(path("a")).await.unwrap();
    complete(&bucket, &session, &parts).await.unwrap();
    assert_eq!(size(&bucket, "a"), Some(4));
}

#[tokio::test]
async fn gcs_completes_whatever_is_there() {
    let bucket = Simulation::gcs();
    let session = bucket.begin(path("a"), owned("me")).await.unwrap();
    let parts = [part(&bucket, &session, 1, 4).await];
    let other = bucket.put(path("a"), "other".into(), PutOptions::default());
    other.await.unwrap();
    complete(&bucket, &session, &parts).await.unwrap();
    assert_eq!(size(&bucket, "a"), Some(4));
}

#[tokio::test]
async fn r2_wants_equal_parts() {
    let bucket = Simulation::r2().min_part(4);
    let session = bucket.begin(path("a"), owned("me")).await.unwrap();
    let mut parts = vec![
        part(&bucket, &session, 1, 5).await,
        part(&bucket, &session, 2, 6).await,
        part(&bucket, &session, 3, 5).await,
    ];
    assert_eq!(
        code(complete(&bucket, &session, &parts).await),
        "InvalidPart"
    );
    parts.remove(1);
    parts.push(part(&bucket, &session, 4, 6).await);
    assert_eq!(
        code(complete(&bucket, &session, &parts).await),
        "InvalidPart"
    );
    parts.pop();
    complete(&bucket, &session, &parts).await.unwrap();
}

#[tokio::test]
async fn a_session_can_be_aborted_again_and_again() {
    let bucket = Simulation::new();
    let session = bucket.begin(path("a"), owned("me")).await.unwrap();
    part(&bucket, &session, 1, 4).await;
    // One of another path is another one.
    bucket.abort(path("b"), &session).await.unwrap();
    assert_eq!(bucket.loose_bytes(), 4);
    bucket.abort(path("a"), &session).await.unwrap();
    bucket.abort(path("a"), &session).await.unwrap();
    assert_eq!(bucket.loose_bytes(), 0);
}

#[tokio::test]
async fn azure_loses_blocks_that_are_not_listed() {
    let bucket = Simulation::azure();
    let session = bucket.begin(path("a"), owned("me")).await.unwrap();
    let one = part(&bucket, &session, 1, 1).await;
    let first = bucket
        .secure(path("a"), &session, std::slice::from_ref(&one), None)
        .await
        .unwrap();
    let two = part(&bucket, &session, 2, 2).await;
    bucket.expire_parts();
    let parts = [one.clone(), two];
    let secure = bucket.secure(path("a"), &session, &parts, Some(&first));
    assert_eq!(code(secure.await), "InvalidBlockList");
    let parts = [one.clone(), part(&bucket, &session, 2, 2).await];
    let unlisted = part(&bucket, &session, 3, 3).await;
    let secure = |parts: Vec<Part>, tag: String| {
        let (bucket, session) = (bucket.clone(), session.clone());
        async move { bucket.secure(path("a"), &session, &parts, Some(&tag)).await }
    };
    let second = secure(parts.to_vec(), first.clone()).await.unwrap();
    let stale = secure(vec![one.clone()], first).await;
    assert!(matches!(stale, Err(Error::Precondition { .. })));
    let dropped = secure(vec![one.clone(), unlisted], second.clone()).await;
    assert_eq!(code(dropped), "InvalidBlockList");
    bucket.expire_parts();
    assert_eq!(size(&bucket, "a"), Some(3));

    secure(vec![one], second).await.unwrap();
    let overwrite = PutOptions {
        attributes: owned("me"),
        ..PutOptions::default()
    };
    let completed = bucket.complete(path("a"), &session, &parts, overwrite.clone());
    assert_eq!(code(completed.await), "InvalidBlockList");
    let completed = bucket.complete(path("a"), &session, &parts[..1], overwrite);
    completed.await.unwrap();
    let copied = bucket.copy(path("a"), path("b"), CopyMode::Create);
    copied.await.unwrap();
    let stat = bucket.stat(path("b")).await.unwrap();
    assert_eq!((stat.size, stat.owner.as_deref()), (1, Some("me")));
}

#[tokio::test]
async fn objects_are_copied_whole_and_as_parts() {
    let bucket = Simulation::new().min_part(4);
    let put = |at: &'static str, bytes: &'static str| {
        let bucket = bucket.clone();
        let options = owned("me").into();
        async move { bucket.put(path(at), bytes.into(), options).await }
    };
    put("large", "0123456789").await.unwrap();
    put("small", "ab").await.unwrap();
    let taken = bucket
        .copy(path("large"), path("small"), CopyMode::Create)
        .await;
    assert!(matches!(taken, Err(Error::AlreadyExists { .. })));
    let copied = bucket.copy(path("small"), path("b"), CopyMode::Create);
    copied.await.unwrap();
    assert_eq!(bucket.object(path("b")), bucket.object(path("small")));

    let session = bucket.begin(path("a"), owned("me")).await.unwrap();
    let copy = |number, from: &'static str, range: Range<u64>| {
        let (bucket, session) = (bucket.clone(), session.clone());
        async move {
            let size = range.end - range.start;
            let tag = bucket.copy_part(path("a"), &session, number, path(from), range);
            tag.await.map(|tag| Part::new(number, tag, size))
        }
    };
    assert_eq!(code(copy(1, "large", 5..11).await), "InvalidRange");
    assert_eq!(code(copy(1, "small", 0..1).await), "InvalidRequest");
    let parts = [
        copy(1, "large", 5..9).await.unwrap(),
        copy(2, "small", 0..2).await.unwrap(),
    ];
    complete(&bucket, &session, &parts).await.unwrap();
    assert_eq!(bucket.object(path("a")).unwrap().bytes, "5678ab");

    let bucket = bucket.without_copy();
    let tag = bucket.copy_part(path("a"), &session, 1, path("large"), 0..4);
    assert!(matches!(tag.await, Err(Error::NotSupported { .. })));
}

#[tokio::test]
async fn ranges_are_read_in_pieces() {
    let bucket = Simulation::new();
    let put = bucket.put(path("a"), payload(PIECE + 10), PutOptions::default());
    put.await.unwrap();
    let pieces: Vec<Bytes> = bucket
        .read(path("a"), 5..PIECE as u64 + 10)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(
        pieces.iter().map(Bytes::len).collect::<Vec<_>>(),
        [PIECE, 5]
    );
}

#[tokio::test]
async fn listings_have_times_and_whole_names() {
    let bucket = Simulation::new();
    let put = |at: String| {
        let bucket = bucket.clone();
        async move {
            bucket
                .put(path(&at), "1".into(), PutOptions::default())
                .await
        }
    };
    for number in 0..1001 {
        put(format!("p/{number}")).await.unwrap();
    }
    bucket.advance(Duration::from_secs(3600));
    let later = bucket.now();
    put("p/new".to_owned()).await.unwrap();
    put("p2/other".to_owned()).await.unwrap();
    bucket.reset_requests();
    let listed: Vec<_> = bucket.list(path("p")).try_collect().await.unwrap();
    assert_eq!(listed.len(), 1002);
    assert_eq!(bucket.requests().list, 2);
    let new: Vec<_> = listed.iter().filter(|l| l.modified >= later).collect();
    assert_eq!((new.len(), new[0].path.as_ref()), (1, "p/new"));
    let all: Vec<_> = bucket.list(path("")).try_collect().await.unwrap();
    assert_eq!(all.len(), 1003);

    bucket.begin(path("p/x"), owned("me")).await.unwrap();
    let below = |prefix| Scope::Below(Path::from(prefix));
    let found: Vec<_> = bucket.sessions(&below("p")).try_collect().await.unwrap();
    assert!(found.len() == 1 && found[0].started >= later);
    let at = |path| bucket.sessions(&Scope::At(Path::from(path))).try_collect();
    let found: (Vec<_>, Vec<_>) = (at("p/x").await.unwrap(), at("p").await.unwrap());
    assert_eq!((found.0.len(), found.1.len()), (1, 0));
    let beside: Vec<_> = bucket.sessions(&below("p2")).try_collect().await.unwrap();
    assert_eq!(beside, []);
}

#[tokio::test]
async fn requests_are_counted() {
    let bucket = Simulation::new();
    let put = bucket.put(path("a"), "123".into(), PutOptions::default());
    put.await.unwrap();
    bucket.get(path("a"), Some(2)).await.unwrap();
    bucket.get(path("b"), None).await.unwrap_err();
    let requests = bucket.requests();
    let expected = Requests {
        put: 1,
        get: 2,
        sent: 3,
        received: 2,
        ..Requests::default()
    };
    assert_eq!((requests, requests.total()), (expected, 3));
    bucket.reset_requests();
    assert_eq!(bucket.requests(), Requests::default());
    let url = bucket.signed_url(path("a"), Duration::ZERO).await;
    assert!(url.unwrap().is_none());
}
