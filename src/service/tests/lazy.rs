//! Storages that do as little as the contract lets them, as object storage does: they show bytes only
//! once they are committed, recall uploads without a look, and finish them with the commit.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::SystemTime,
};

use async_trait::async_trait;
use futures::stream::BoxStream;
use tokio::time::sleep;

use super::*;
use crate::{
    protocol::{
        Stage, Upload, UploadId, Version,
        header::{UPLOAD_CONCAT, UPLOAD_DEFER_LENGTH},
    },
    storage::{AppendMode, Appender, ByteStream, Error, Result},
};

/// One node of several on one memory.
#[derive(Debug, Clone)]
struct Lazy {
    memory: MemoryStorage,
    node: Arc<Node>,
}

#[derive(Debug)]
struct Node {
    fence: Fence,
    recalled: Mutex<HashMap<UploadId, Upload>>,
    loads: AtomicUsize,
    finishes: AtomicUsize,
}

/// When a node notices that another has gone on.
#[derive(Debug, Clone, Copy)]
enum Fence {
    Append,
    Commit,
}

/// The longest upload.
const MAX: u64 = 1000;

impl Lazy {
    fn new(memory: &MemoryStorage, fence: Fence) -> Self {
        let node = Node {
            fence,
            recalled: Mutex::default(),
            loads: AtomicUsize::new(0),
            finishes: AtomicUsize::new(0),
        };
        Self {
            memory: memory.clone(),
            node: Arc::new(node),
        }
    }

    fn recalled(&self, change: impl FnOnce(&mut HashMap<UploadId, Upload>)) {
        change(&mut self.node.recalled.lock().unwrap());
    }

    async fn remember(&self, id: &UploadId) {
        let upload = self.memory.load(id).await.unwrap();
        self.recalled(|recalled| {
            recalled.insert(id.clone(), upload);
        });
    }

    fn loads(&self) -> usize {
        self.node.loads.swap(0, Relaxed)
    }
}

#[async_trait]
impl Storage for Lazy {
    async fn create(&self, upload: &Upload) -> Result<Version> {
        if upload.length.known() > Some(MAX) {
            return Err(Error::TooLong(MAX));
        }
        let version = self.memory.create(upload).await?;
        self.remember(&upload.id).await;
        Ok(version)
    }

    async fn load(&self, id: &UploadId) -> Result<Upload> {
        self.node.loads.fetch_add(1, Relaxed);
        self.memory.load(id).await
    }

    fn recall(&self, id: &UploadId) -> Option<Upload> {
        self.node.recalled.lock().unwrap().get(id).cloned()
    }

    async fn update(&self, upload: &Upload) -> Result<Version> {
        self.memory.update(upload).await
    }

    async fn append(&self, upload: &Upload, mode: AppendMode) -> Result<Box<dyn Appender>> {
        if let Fence::Append = self.node.fence {
            self.memory.append(upload, mode).await?;
        }
        Ok(Box::new(LazyAppender {
            storage: self.clone(),
            upload: upload.clone(),
            held: Vec::new(),
        }))
    }

    async fn finish(&self, upload: &Upload) -> Result<()> {
        self.node.finishes.fetch_add(1, Relaxed);
        self.memory.finish(upload).await
    }

    async fn concat(&self, target: &Upload, parts: &[Upload]) -> Result<()> {
        self.memory.concat(target, parts).await
    }

    async fn read(&self, upload: &Upload, range: Range<u64>) -> Result<ByteStream> {
        self.memory.read(upload, range).await
    }

    async fn delete(&self, id: &UploadId) -> Result<()> {
        self.memory.delete(id).await
    }

    fn list(&self) -> BoxStream<'_, Result<Upload>> {
        self.memory.list()
    }

    async fn reclaim(&self, before: SystemTime) -> Result<u64> {
        self.memory.reclaim(before).await
    }
}

#[derive(Debug)]
struct LazyAppender {
    storage: Lazy,
    upload: Upload,
    held: Vec<u8>,
}

#[async_trait]
impl Appender for LazyAppender {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.held.extend_from_slice(&data);
        match self.upload.offset + self.held.len() as u64 {
            0..=MAX => Ok(()),
            _ => Err(Error::TooLong(MAX)),
        }
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn visible(&self) -> u64 {
        self.upload.offset
    }

    async fn commit(self: Box<Self>) -> Result<u64> {
        if self.held.is_empty() {
            return Ok(self.upload.offset);
        }
        let memory = &self.storage.memory;
        let appended = memory.append(&self.upload, AppendMode::Atomic).await;
        let mut appender = appended.map_err(|error| match error {
            Error::Conflict(id) => Error::Superseded(id),
            error => error,
        })?;
        let fits = self.held.len().min((MAX - self.upload.offset) as usize);
        let data = Bytes::copy_from_slice(&self.held[..fits]);
        appender.write(data).await?;
        let offset = appender.commit().await?;
        self.storage.remember(&self.upload.id).await;
        Ok(offset)
    }

    async fn commit_and_finish(self: Box<Self>, upload: &Upload) -> Result<(u64, Stage)> {
        let storage = self.storage.clone();
        let offset = self.commit().await?;
        if upload.length.known() != Some(offset) {
            return Ok((offset, Stage::Receiving));
        }
        storage.memory.finish(upload).await?;
        storage.remember(&upload.id).await;
        Ok((offset, Stage::Finished))
    }

    async fn discard(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// A node, and another on the same memory.
fn nodes(fence: Fence) -> [(TusService, Lazy); 2] {
    let memory = MemoryStorage::new();
    [(); 2].map(|()| {
        let storage = Lazy::new(&memory, fence);
        (TusService::new(storage.clone()), storage)
    })
}

fn bytes(pieces: &'static [u8]) -> stream::Iter<std::array::IntoIter<Result<Bytes, BoxError>, 1>> {
    stream::iter([Ok(Bytes::from_static(pieces))])
}

/// Status and offset.
fn said(response: &Response<TusBody>) -> (u16, &str) {
    let offset = response.headers().get(UPLOAD_OFFSET);
    let offset = offset.map_or("", |offset| offset.to_str().unwrap());
    (response.status().as_u16(), offset)
}

#[tokio::test]
async fn what_is_recalled_is_not_loaded_and_what_is_finished_not_finished_again() {
    let [(tus, storage), _] = nodes(Fence::Append);
    let url = created(&tus, 9).await;
    // The sweeper looks on its own.
    let upload = storage.memory.list().next().await.unwrap().unwrap();
    storage.loads();
    for (offset, piece, now) in [(0, &b"abc"[..], "3"), (3, b"def", "6"), (6, b"ghi", "9")] {
        let response = call(&tus, patch(&url, offset, bytes(piece))).await;
        assert_eq!(said(&response), (204, now));
    }
    assert_eq!(storage.loads(), 0);
    assert_eq!(storage.node.finishes.load(Relaxed), 0);
    assert!(storage.memory.load(&upload.id).await.unwrap().is_finished());
}

#[tokio::test]
async fn what_is_recalled_refuses_nothing() {
    let [(here, storage), (there, _)] = nodes(Fence::Append);
    let here = here.expires_after(Duration::from_secs(60));
    let url = created(&here, 9).await;
    // Another node has gone on.
    assert_eq!(
        call(&there, patch(&url, 0, bytes(b"abc"))).await.status(),
        204
    );
    let response = call(&here, patch(&url, 3, bytes(b"def"))).await;
    assert_eq!(said(&response), (204, "6"));
    // Long ago, as far as this node knows.
    storage.recalled(|recalled| {
        for upload in recalled.values_mut() {
            upload.touched = SystemTime::UNIX_EPOCH;
        }
    });
    let response = call(&here, patch(&url, 6, bytes(b"ghi"))).await;
    assert_eq!(said(&response), (204, "9"));
}

#[tokio::test]
async fn what_is_recalled_and_old_is_noticed() {
    for fence in [Fence::Append, Fence::Commit] {
        let [(here, _), (there, _)] = nodes(fence);
        let url = created(&here, 9).await;
        assert_eq!(
            call(&there, patch(&url, 0, bytes(b"abc"))).await.status(),
            204
        );
        let response = call(&here, patch(&url, 0, bytes(b"xyz"))).await;
        assert_eq!(said(&response), (409, "3"), "{fence:?}");
    }
}

#[tokio::test]
async fn an_empty_body_is_no_reason_to_trust_what_is_recalled() {
    let [(tus, storage), _] = nodes(Fence::Commit);
    let url = created(&tus, 9).await;
    let id = url.rsplit('/').next().unwrap().parse().unwrap();
    storage.memory.delete(&id).await.unwrap();
    let mut empty = patch(&url, 0, stream::empty());
    empty.headers_mut().insert("content-length", 0.into());
    assert_eq!(call(&tus, empty).await.status(), 404);
}

/// The old connection is dead, but has brought more than readers are shown.
#[tokio::test]
async fn a_silent_writer_goes_for_whoever_goes_on_from_what_is_shown() {
    let [(tus, _), _] = nodes(Fence::Append);
    let url = created(&tus, 9).await;
    let silent = bytes(b"abc").chain(stream::pending());
    let mut old = Box::pin(call(&tus, patch(&url, 0, silent)));
    assert!(futures::poll!(&mut old).is_pending());
    assert_eq!(offset(&tus, &url).await, "0");

    // Neither further back nor further on.
    let response = call(&tus, patch(&url, 4, bytes(b"x"))).await;
    assert_eq!(said(&response), (409, "0"));

    let new = call(&tus, patch(&url, 0, bytes(b"abcdef")));
    let (old, new) = tokio::join!(old, new);
    assert_eq!((said(&old), said(&new)), ((409, "3"), (409, "3")));
    let response = call(&tus, patch(&url, 3, bytes(b"defghi"))).await;
    assert_eq!(said(&response), (204, "9"));
}

/// Of two clients at one offset the one whose bytes come wins.
#[tokio::test(start_paused = true)]
async fn a_writer_whose_body_goes_on_stays() {
    let [(tus, _), _] = nodes(Fence::Append);
    let url = created(&tus, 100).await;
    let steady = stream::iter(0..100).then(async |_| {
        sleep(Duration::from_millis(10)).await;
        Ok(Bytes::from_static(b"x"))
    });
    let newcomer = async {
        sleep(Duration::from_millis(300)).await;
        call(&tus, patch(&url, 0, bytes(b"y"))).await
    };
    let (old, new) = tokio::join!(call(&tus, patch(&url, 0, steady)), newcomer);
    assert_eq!((said(&old), said(&new)), ((204, "100"), (409, "0")));
}

#[tokio::test]
async fn a_part_that_is_finished_with_its_commit_lets_its_final_be_joined() {
    let [(tus, storage), _] = nodes(Fence::Append);
    let create = |headers: &[(http::HeaderName, String)]| {
        let mut request = Request::post("/files").header(TUS_RESUMABLE, "1.0.0");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        call(&tus, request.body(Empty::<Bytes>::new()).unwrap())
    };
    let part = create(&[
        (UPLOAD_LENGTH, "3".into()),
        (UPLOAD_CONCAT, "partial".into()),
    ])
    .await;
    let part = part.headers()["location"].to_str().unwrap().to_owned();
    let joined = create(&[(UPLOAD_CONCAT, format!("final;{part}"))]).await;
    let joined = joined.headers()["location"].to_str().unwrap();
    let id: UploadId = joined.rsplit('/').next().unwrap().parse().unwrap();
    assert_eq!(
        call(&tus, patch(&part, 0, bytes(b"abc"))).await.status(),
        204
    );
    let is_joined = async {
        while !storage.memory.load(&id).await.unwrap().is_finished() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, is_joined).await.unwrap();
}

#[tokio::test]
async fn what_the_storage_cannot_keep_is_413() {
    let [(tus, _), _] = nodes(Fence::Append);
    let create = |name, value| {
        let request = Request::post("/files").header(TUS_RESUMABLE, "1.0.0");
        let request = request.header(name, value).body(Empty::<Bytes>::new());
        call(&tus, request.unwrap())
    };
    let response = create(UPLOAD_LENGTH, MAX + 1).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(response.headers().get("location"), None);

    let response = create(UPLOAD_DEFER_LENGTH, 1).await;
    let url = response.headers()["location"].to_str().unwrap();
    let longer = stream::iter([Ok(Bytes::from(vec![b'x'; 1 + MAX as usize]))]);
    let response = call(&tus, patch(url, 0, longer)).await;
    assert_eq!(said(&response), (413, "1000"));
}
