use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tower_tus::{
    client::{
        AfterSuccess, Fingerprint, Leftovers, MemoryUrlStore, RetryPolicy, Role, Source, UrlStore,
    },
    service::ConcatParts,
};

use crate::support::{Instead, Seen, Server, bytes};

fn is_final(seen: &Seen) -> bool {
    seen.header("upload-concat").starts_with("final")
}

fn count(server: &Server, method: &str) -> usize {
    let seen = server.seen();
    seen.iter().filter(|seen| seen.method == method).count()
}

fn named() -> Fingerprint {
    Fingerprint::with(|_| Some("it".to_owned()))
}

/// A server that does not join parts the first time, and a store that has them then.
async fn parted(source: impl Fn() -> Source, parts: usize) -> (Server, MemoryUrlStore) {
    let refused = AtomicBool::new(false);
    let server = Server::disturbed(move |seen, _| {
        let refuse = is_final(seen) && !refused.swap(true, Ordering::Relaxed);
        refuse.then_some(Instead::Status(403))
    })
    .await;
    let store = MemoryUrlStore::new();
    let upload = server.client().upload(source()).parallel(parts);
    let upload = upload.store(store.clone()).fingerprint(named());
    let error = upload.await.unwrap_err();
    assert_eq!(error.status().unwrap(), 403);
    assert_eq!((error.upload_url(), error.part_url()), (None, None));
    (server, store)
}

#[tokio::test]
async fn ranges_become_one_upload() {
    let server = Server::start().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    for (size, parts) in [(3_000_000, 3), (1, 4), (7, 3), (0, 3), (2_000_001, 16)] {
        let content = bytes(size);
        std::fs::write(&path, &content).unwrap();
        for source in [Source::path(&path), Source::bytes(content.clone())] {
            let done = server
                .client()
                .upload(source)
                .metadata("filename", "x")
                .parallel(parts)
                .await
                .unwrap();
            assert!(server.content(done.url()).await == content, "{size}");
            let info = server.client().inspect(done.url()).await.unwrap();
            assert_eq!(info.metadata.get_str("filename").unwrap(), "x");
        }
    }
}

#[tokio::test]
async fn several_files_become_one_upload() {
    let server = Server::start().await;
    let sources = [4, 0, 900_000, 2].map(|size| Source::bytes(bytes(size)));
    let done = server
        .client()
        .upload(Source::concat(sources))
        .parallel(2)
        .await
        .unwrap();
    let expected = [4, 0, 900_000, 2].map(bytes).concat();
    assert!(server.content(done.url()).await == expected);
    let posts = server
        .seen()
        .iter()
        .filter(|seen| seen.method == "POST")
        .count();
    assert_eq!(posts, 5);
}

#[tokio::test]
async fn parts_go_on_where_they_were() {
    let server = Server::disturbed(|seen, number| {
        (seen.method == "PATCH" && number < 12).then_some(Instead::CutAfter(200_000))
    })
    .await;
    let store = MemoryUrlStore::new();
    let content = bytes(4_000_000);
    let upload = || {
        server
            .client()
            .upload(content.clone())
            .store(store.clone())
            .fingerprint(Fingerprint::with(|_| Some("it".to_owned())))
            .parallel(4)
    };
    let mut failures = 0;
    let done = loop {
        match upload().retry(RetryPolicy::never()).await {
            Ok(done) => break done,
            Err(error) => assert!(error.is_network(), "{error}"),
        }
        failures += 1;
        assert!(!store.list().await.unwrap()[0].parts.is_empty());
    };
    assert!(failures > 0);
    assert!(server.content(done.url()).await == content);
    let posts = server
        .seen()
        .iter()
        .filter(|seen| seen.method == "POST")
        .count();
    assert_eq!(posts, 5);
}

#[tokio::test]
async fn leftovers_are_removed_if_asked() {
    for (leftovers, left) in [(Leftovers::Keep, true), (Leftovers::Remove, false)] {
        let server = Server::disturbed(|seen, _| {
            (seen.header("upload-offset") == "100000").then_some(Instead::Status(400))
        })
        .await;
        let error = server
            .client()
            .upload(bytes(2_000_000))
            .parallel(2)
            .chunk_size(100_000)
            .leftovers(leftovers)
            .await
            .unwrap_err();
        assert_eq!(error.status().unwrap(), 400);
        let created = server
            .seen()
            .iter()
            .filter(|seen| seen.method == "POST")
            .count();
        let removed = server
            .seen()
            .iter()
            .filter(|seen| seen.method == "DELETE")
            .count();
        assert_eq!(removed, if left { 0 } else { created });
    }
}

#[tokio::test]
async fn what_cannot_be_split_is_refused() {
    let server = Server::start().await;
    let stream = Source::read_once(std::io::Cursor::new(bytes(9)));
    let error = server
        .client()
        .upload(stream)
        .parallel(2)
        .await
        .unwrap_err();
    assert!(error.is_setting(), "{error}");
}

#[tokio::test]
async fn leftovers_of_an_earlier_attempt_are_removed_too() {
    let sources = || Source::concat([7, 8, 9, 10].map(|size| Source::bytes(bytes(size))));
    let server = Server::disturbed(|seen, _| {
        // The first to be asked for, and before that the joining.
        let fails = is_final(seen) || seen.method == "HEAD";
        fails.then_some(Instead::Status(403))
    })
    .await;
    let store = MemoryUrlStore::new();
    for (leftovers, left, removed) in [(Leftovers::Keep, 1, 0), (Leftovers::Remove, 0, 4)] {
        // Two at once: the last ones are never looked at.
        let upload = server.client().upload(sources()).parallel(2);
        let upload = upload.store(store.clone()).fingerprint(named());
        let error = upload.leftovers(leftovers).await.unwrap_err();
        assert_eq!(error.status().unwrap(), 403);
        assert_eq!(store.list().await.unwrap().len(), left);
        assert_eq!(
            (count(&server, "DELETE"), count(&server, "POST")),
            (removed, 5)
        );
    }
}

#[tokio::test]
async fn sources_without_content_are_parts_of_their_own() {
    let source = || Source::concat([0, 900_000, 0, 0, 5].map(|size| Source::bytes(bytes(size))));
    let (server, store) = parted(source, 2).await;
    let parts = &store.list().await.unwrap()[0].parts;
    let mut urls: Vec<_> = parts.iter().map(|part| &part.url).collect();
    urls.sort_by_key(|url| url.path());
    urls.dedup();
    assert_eq!(urls.len(), 5);
    let upload = server.client().upload(source()).parallel(2);
    let upload = upload.store(store.clone()).fingerprint(named());
    let done = upload.await.unwrap();
    assert!(server.content(done.url()).await == [bytes(900_000), bytes(5)].concat());
    // Five parts, and the final upload twice.
    assert_eq!((count(&server, "POST"), count(&server, "DELETE")), (7, 0));
}

#[tokio::test]
async fn parts_of_another_division_are_removed_at_the_end() {
    for parts in [3, 1] {
        let content = bytes(4_000_000);
        let (server, store) = parted(|| Source::bytes(content.clone()), 4).await;
        let old = store.list().await.unwrap()[0].parts.clone();
        let upload = server.client().upload(content.clone()).parallel(parts);
        let upload = upload.store(store.clone()).fingerprint(named());
        let done = upload.after_success(AfterSuccess::Keep).await.unwrap();
        assert!(server.content(done.url()).await == content);
        assert_eq!((old.len(), count(&server, "DELETE")), (4, 4));
        for part in old {
            let error = server.client().inspect(&part.url).await.unwrap_err();
            assert!(error.is_not_found(), "{error}");
        }
        let kept = &store.list().await.unwrap()[0];
        assert_eq!(
            (&kept.url, kept.parts.len()),
            (&Some(done.url().clone()), 0)
        );
    }
}

#[tokio::test]
async fn a_failed_part_is_not_taken_for_the_upload() {
    let server =
        Server::disturbed(|seen, _| (seen.method == "PATCH").then_some(Instead::Status(400))).await;
    let upload = server.client().upload(bytes(2_000_000)).parallel(2);
    let error = upload.await.unwrap_err();
    assert_eq!(error.upload_url(), None);
    let part = error.part_url().unwrap();
    let info = server.client().inspect(part).await.unwrap();
    assert_eq!(info.role, Role::Partial);
    assert!(
        error.to_string().contains(&format!("(part {part})")),
        "{error}"
    );
}

#[tokio::test]
async fn parts_that_are_joined_only_once_are_explained() {
    let joined = AtomicBool::new(false);
    let server = Server::disturbed(move |seen, _| {
        is_final(seen).then(|| match joined.swap(true, Ordering::Relaxed) {
            false => Instead::LoseAnswer,
            true => Instead::Status(410),
        })
    })
    .await;
    let upload = server.client().upload(bytes(2_000_000)).parallel(2);
    let error = upload.await.unwrap_err();
    assert_eq!(error.status().unwrap(), 410);
    assert!(error.to_string().contains("answer was lost"), "{error}");
}

/// What a server says of a final upload whose parts it is still joining.
fn pending() -> Instead {
    let concat = ("upload-concat", "final;/files/a /files/b".to_owned());
    Instead::Answer(200, vec![concat])
}

#[tokio::test]
async fn an_upload_is_done_when_its_parts_are_joined() {
    let asked = AtomicUsize::new(0);
    let server = Server::disturbed(move |seen, _| {
        let first = seen.method == "HEAD" && asked.fetch_add(1, Ordering::Relaxed) < 3;
        first.then(pending)
    })
    .await;
    let content = bytes(2_000_000);
    let done = server.client().upload(content.clone()).parallel(2).await;
    assert!(server.content(done.unwrap().url()).await == content);
    assert_eq!(count(&server, "HEAD"), 4);
}

#[tokio::test]
async fn parts_that_are_never_joined_are_no_success() {
    let server = Server::disturbed(|seen, _| (seen.method == "HEAD").then(pending)).await;
    let store = MemoryUrlStore::new();
    let upload = server.client().upload(bytes(2_000_000)).parallel(2);
    let upload = upload.store(store.clone()).fingerprint(named());
    let error = upload.await.unwrap_err();
    assert!(error.is_protocol(), "{error}");
    assert!(error.to_string().contains("has not joined"), "{error}");
    // The next attempt asks the same upload.
    assert_eq!(
        store.list().await.unwrap()[0].url.as_ref(),
        error.upload_url()
    );
}

#[tokio::test]
async fn an_upload_of_another_length_is_not_what_was_joined() {
    let server = Server::disturbed(|seen, _| {
        let fields = ["upload-offset", "upload-length"].map(|name| (name, "5".to_owned()));
        (seen.method == "HEAD").then(|| Instead::Answer(200, fields.into()))
    })
    .await;
    let error = server.client().upload(bytes(2_000_000)).parallel(2).await;
    assert!(error.unwrap_err().to_string().contains("another one"));
}

#[tokio::test]
async fn nothing_is_sent_to_an_upload_whose_parts_are_being_joined() {
    let content = bytes(2_000_000);
    let asked = AtomicUsize::new(0);
    let server = Server::disturbed(move |seen, _| {
        let some = (2..5).contains(&asked.load(Ordering::Relaxed));
        let asks = seen.method == "HEAD" && asked.fetch_add(1, Ordering::Relaxed) > 0;
        (asks && some).then(pending)
    })
    .await;
    let upload = || server.client().upload(content.clone());
    let done = upload().parallel(2).await.unwrap();
    let sent = count(&server, "PATCH");
    let again = upload().resume_at(done.url().clone()).await.unwrap();
    assert_eq!(again.url(), done.url());
    assert_eq!(count(&server, "PATCH"), sent);
}

#[tokio::test]
async fn a_lost_answer_to_the_joining_of_parts_that_are_removed_costs_nothing() {
    let joined = AtomicBool::new(false);
    let server = Server::with(
        |tus| tus.concat_parts(ConcatParts::Remove),
        move |seen, _| {
            let lost = is_final(seen) && !joined.swap(true, Ordering::Relaxed);
            lost.then_some(Instead::LoseAnswer)
        },
    )
    .await;
    let content = bytes(2_000_000);
    let upload = server.client().upload(content.clone()).parallel(2);
    let done = upload.metadata("filename", "a").await.unwrap();
    assert!(server.content(done.url()).await == content);
    assert_eq!((count(&server, "POST"), count(&server, "PATCH")), (4, 2));
}

#[tokio::test]
async fn what_is_being_created_when_another_part_fails_is_removed_too() {
    let created = AtomicUsize::new(0);
    let server = Server::disturbed(move |seen, _| match &*seen.method {
        "POST" if created.fetch_add(1, Ordering::Relaxed) == 1 => {
            Some(Instead::Late(Duration::from_millis(300)))
        }
        "PATCH" => Some(Instead::Status(400)),
        _ => None,
    })
    .await;
    let upload = server.client().upload(bytes(2_000_000)).parallel(2);
    let error = upload.leftovers(Leftovers::Remove).await.unwrap_err();
    assert_eq!(error.status().unwrap(), 400);
    assert_eq!((count(&server, "POST"), count(&server, "DELETE")), (2, 2));
}

/// More files than a process may have open: on most systems 1024.
#[tokio::test]
async fn of_many_files_only_those_are_open_that_are_read() {
    let server = Server::start().await;
    let directory = tempfile::tempdir().unwrap();
    let open = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let before = open();
    let most = Arc::new(AtomicUsize::new(0));
    let sources = (0..300).map(|number: u32| {
        let path = directory.path().join(number.to_string());
        std::fs::write(&path, number.to_le_bytes()).unwrap();
        Source::path(path)
    });
    let seen = most.clone();
    let upload = server.client().upload(Source::concat(sources));
    let upload = upload.chunk_size(64).on_progress(move |_| {
        seen.fetch_max(open(), Ordering::Relaxed);
    });
    let done = upload.await.unwrap();
    let expected: Vec<_> = (0..300u32).flat_map(u32::to_le_bytes).collect();
    assert!(server.content(done.url()).await == expected);
    // Other tests open some, too.
    assert!(most.load(Ordering::Relaxed) < before + 250);
}
