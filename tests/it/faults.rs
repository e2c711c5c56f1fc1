//! A storage that is full, stands still or fails: what the client is told, and that nobody else
//! suffers. Named by the peers whose users did.

use std::{convert::Infallible, fs, sync::Arc};

use bytes::Bytes;
use futures::{channel::mpsc, future::join_all};
use http_body::Frame;
use http_body_util::StreamBody;
use tempfile::TempDir;
use tower::ServiceExt;
use tower_tus::{
    TusService,
    storage::{FileStorage, MemoryStorage, Storage},
};

use crate::support::{Client, Faults, Faulty, OCTETS, Request, Site, content, sha1, wait};

/// A server on a storage that fails on demand, once on files and once in memory.
async fn on_each_faulty_storage(test: impl AsyncFn(Client, Arc<Faults>)) {
    let directory = TempDir::new().unwrap();
    faulty(FileStorage::open(directory.path()).unwrap(), &test).await;
    faulty(MemoryStorage::new(), &test).await;
}

async fn faulty(storage: impl Storage, test: impl AsyncFn(Client, Arc<Faults>)) {
    let (storage, faults) = Faulty::new(storage);
    let site = Site::tus(TusService::new(storage).base_path("/files"));
    test(site.client(), faults).await;
}

#[tokio::test]
async fn a_full_disk_is_507_and_the_upload_goes_on_when_there_is_room() {
    on_each_faulty_storage(async |client, faults| {
        let data = content(300_000, 1);
        for chunk in [300_000, 7_000] {
            faults.set_room(100_001);
            let url = client.create(300_000).await;
            let full = Request::patch(&url, 0).chunked(&data, chunk);
            let answer = client.send(full).await.expect(507);
            assert_eq!(answer.offset(), Some(100_001));
            assert_eq!(client.offset(&url).await, 100_001);
            let again = client.patch(&url, 100_001, &data[100_001..]).await;
            assert_eq!(again.expect(507).offset(), Some(100_001));
            faults.set_room(u64::MAX);
            let rest = client.patch(&url, 100_001, &data[100_001..]).await;
            rest.expect(204);
            assert!(client.get(&url).await.expect(200).body == data);
        }
    })
    .await;
}

#[tokio::test]
async fn fileloft_a_checksummed_chunk_that_did_not_fit_leaves_nothing() {
    on_each_faulty_storage(async |client, faults| {
        let data = content(700_000, 2);
        let url = client.create(700_000).await;
        let patch = Request::patch(&url, 0)
            .header("Upload-Checksum", sha1(&data))
            .body(&data);
        faults.set_room(400_000);
        assert_eq!(
            client.send(patch.clone()).await.expect(507).offset(),
            Some(0)
        );
        assert_eq!(client.offset(&url).await, 0);
        faults.set_room(u64::MAX);
        client.send(patch).await.expect(204);
        assert!(client.get(&url).await.expect(200).body == data);
    })
    .await;
}

#[tokio::test]
async fn a_creation_on_a_full_disk_leaves_no_upload_behind() {
    let root = TempDir::new().unwrap();
    let (storage, faults) = Faulty::new(FileStorage::open(root.path()).unwrap());
    let site = Site::tus(TusService::new(storage).base_path("/files"));
    faults.set_room(10);
    let create = Request::create()
        .header("Upload-Length", "100")
        .header("Content-Type", OCTETS)
        .body([b'x'; 100]);
    let answer = site.client().send(create).await.expect(507);
    assert_eq!(answer.header("Location"), None);
    let left: Vec<_> = fs::read_dir(root.path().join(".tus")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn tuspyserver_82_a_slow_storage_stalls_nobody_else() {
    on_each_faulty_storage(async |client, faults| {
        let data = content(50_000, 3);
        let slow = client.create(50_000).await;
        faults.stick(&slow);
        let patch = client.patch(&slow, 0, &data);
        let others = async {
            wait::until_true("the write to stand still", async || faults.waiting() == 1).await;
            // All of these are served while it does.
            let urls = join_all((0..30).map(|_| client.upload(&data))).await;
            for url in urls {
                assert!(client.get(&url).await.expect(200).body == data);
            }
            assert_eq!(client.offset(&slow).await, 0);
            assert_eq!(faults.waiting(), 1);
            faults.release(&slow);
        };
        let (answer, ()) = tokio::join!(patch, others);
        answer.expect(204);
        assert!(client.get(&slow).await.expect(200).body == data);
    })
    .await;
}

#[tokio::test]
async fn tus_node_a_failed_download_takes_nothing_else_down() {
    on_each_faulty_storage(async |client, faults| {
        let data = content(2_000_000, 4);
        let url = client.upload(&data).await;
        faults.set_readable(1_000_000);
        for _ in 0..10 {
            // The answer is cut off; it never looks complete.
            let failed = client.try_send(Request::new("GET", &url)).await;
            assert!(failed.is_err(), "{failed:?}");
        }
        assert_eq!(client.offset(&url).await, 2_000_000);
        faults.set_readable(u64::MAX);
        assert!(client.get(&url).await.expect(200).body == data);
    })
    .await;
}

#[tokio::test]
async fn tusd_429_a_final_upload_that_takes_long_is_answered_and_made_afterwards() {
    faulty(
        MemoryStorage::new(),
        async |client: Client, faults: Arc<Faults>| {
            let part = client.part(b"part").await;
            faults.stick(&part);
            // The answer does not wait for the bytes, however many there are.
            let joined = client.join(&[&part]).await;
            let head = client.head(&joined).await.expect(200);
            assert_eq!((head.offset(), head.length()), (None, Some(4)));
            client.get(&joined).await.expect_any(&[404, 503]);
            client.patch(&joined, 0, b"x").await.expect(403);
            faults.release(&part);
            wait::until_true("the final upload", async || {
                client.head(&joined).await.expect(200).offset() == Some(4)
            })
            .await;
            assert_eq!(client.get(&joined).await.expect(200).body, b"part");
        },
    )
    .await;
}

#[tokio::test]
async fn hyper_what_had_come_before_a_dropped_request_was_noticed_is_kept() {
    let (storage, faults) = Faulty::new(MemoryStorage::new());
    let tus = TusService::new(storage).base_path("/files");
    let site = Site::tus(tus.clone());
    let client = site.client();
    let data = content(500_000, 9);
    let url = client.create(600_000).await;
    faults.stick(&url);

    // What an HTTP server has read of a body that goes on.
    let (frames, body) = mpsc::unbounded();
    for frame in data.chunks(10_000) {
        let frame = Frame::data(Bytes::copy_from_slice(frame));
        frames.unbounded_send(Ok::<_, Infallible>(frame)).unwrap();
    }
    let patch = http::Request::patch(&url)
        .header("Tus-Resumable", "1.0.0")
        .header("Content-Type", OCTETS)
        .header("Upload-Offset", "0")
        .body(StreamBody::new(body))
        .unwrap();
    let request = tokio::spawn(tus.oneshot(patch));
    wait::until_true("the write to stand still", async || faults.waiting() == 1).await;
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    faults.release(&url);
    wait::until_true("all that had come", async || {
        client.offset(&url).await == 500_000
    })
    .await;
    // The body is let go, not waited for.
    wait::until_true("the body to be dropped", async || frames.is_closed()).await;
}
