use tower_tus::client::{Fingerprint, Leftovers, MemoryUrlStore, RetryPolicy, Source, UrlStore};

use crate::support::{Instead, Server, bytes};

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
