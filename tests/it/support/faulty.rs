use std::{
    collections::HashSet,
    io,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::SystemTime,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use tokio::sync::watch;
use tower_tus::{
    protocol::{Upload, UploadId, Version},
    storage::{AppendMode, Appender, ByteStream, Error, Result, Storage},
};

/// A storage that fails where a test wants it to.
#[derive(Debug)]
pub(crate) struct Faulty<S> {
    storage: S,
    faults: Arc<Faults>,
}

/// What goes wrong.
#[derive(Debug)]
pub(crate) struct Faults {
    /// Bytes until the device is full.
    room: AtomicU64,
    /// Bytes of each download until it fails.
    readable: AtomicU64,
    /// Uploads on which everything that moves bytes stands still.
    stuck: Mutex<HashSet<UploadId>>,
    /// What becomes of lists.
    lists: Mutex<Lists>,
    /// How many times a finish fails when it is done.
    finishes: AtomicU64,
    changed: watch::Sender<()>,
    /// How many calls stand still.
    waiting: AtomicU64,
}

/// What becomes of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lists {
    Pass,
    Fail,
    StandStill,
}

impl<S: Storage> Faulty<S> {
    /// Nothing goes wrong at first.
    pub(crate) fn new(storage: S) -> (Self, Arc<Faults>) {
        let faults = Arc::new(Faults {
            room: AtomicU64::new(u64::MAX),
            readable: AtomicU64::new(u64::MAX),
            stuck: Mutex::default(),
            lists: Mutex::new(Lists::Pass),
            finishes: AtomicU64::new(0),
            changed: watch::Sender::default(),
            waiting: AtomicU64::new(0),
        });
        let faulty = Self {
            storage,
            faults: Arc::clone(&faults),
        };
        (faulty, faults)
    }
}

impl Faults {
    pub(crate) fn set_room(&self, bytes: u64) {
        self.room.store(bytes, SeqCst);
    }

    pub(crate) fn set_readable(&self, bytes: u64) {
        self.readable.store(bytes, SeqCst);
    }

    /// Everything that moves bytes of this upload stands still from now on.
    pub(crate) fn stick(&self, url: &str) {
        self.stuck.lock().unwrap().insert(id(url));
    }

    /// It goes on.
    pub(crate) fn release(&self, url: &str) {
        self.stuck.lock().unwrap().remove(&id(url));
        self.changed.send_replace(());
    }

    /// Uploads cannot be listed from now on.
    pub(crate) fn fail_lists(&self) {
        self.set_lists(Lists::Fail);
    }

    /// Lists stand still from now on.
    pub(crate) fn stick_lists(&self) {
        self.set_lists(Lists::StandStill);
    }

    /// Lists go on, and do not fail any more.
    pub(crate) fn pass_lists(&self) {
        self.set_lists(Lists::Pass);
    }

    /// The next finish takes effect, and fails all the same.
    pub(crate) fn fail_next_finish(&self) {
        self.finishes.store(1, SeqCst);
    }

    fn set_lists(&self, lists: Lists) {
        *self.lists.lock().unwrap() = lists;
        self.changed.send_replace(());
    }

    fn lists(&self) -> Lists {
        *self.lists.lock().unwrap()
    }

    /// How many calls stand still.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.load(SeqCst)
    }

    async fn pass(&self, id: &UploadId) {
        self.wait_while(|| self.stuck.lock().unwrap().contains(id))
            .await;
    }

    async fn wait_while(&self, is_stuck: impl Fn() -> bool) {
        let mut changed = self.changed.subscribe();
        if is_stuck() {
            self.waiting.fetch_add(1, SeqCst);
            // The sender lives as long as this borrow.
            while is_stuck() && changed.changed().await.is_ok() {}
            self.waiting.fetch_sub(1, SeqCst);
        }
    }
}

fn id(url: &str) -> UploadId {
    url.rsplit('/').next().unwrap().parse().unwrap()
}

#[async_trait]
impl<S: Storage> Storage for Faulty<S> {
    async fn create(&self, upload: &Upload) -> Result<Version> {
        self.storage.create(upload).await
    }

    async fn load(&self, id: &UploadId) -> Result<Upload> {
        self.storage.load(id).await
    }

    async fn update(&self, upload: &Upload) -> Result<Version> {
        self.storage.update(upload).await
    }

    async fn append(&self, upload: &Upload, mode: AppendMode) -> Result<Box<dyn Appender>> {
        Ok(Box::new(FaultyAppender {
            appender: self.storage.append(upload, mode).await?,
            id: upload.id.clone(),
            faults: Arc::clone(&self.faults),
        }))
    }

    async fn finish(&self, upload: &Upload) -> Result<()> {
        self.faults.pass(&upload.id).await;
        self.storage.finish(upload).await?;
        let take = |left: u64| left.checked_sub(1);
        match self.faults.finishes.fetch_update(SeqCst, SeqCst, take) {
            Ok(_) => Err(io::Error::other("the device is gone").into()),
            Err(_) => Ok(()),
        }
    }

    async fn concat(&self, target: &Upload, parts: &[Upload]) -> Result<()> {
        for part in parts {
            self.faults.pass(&part.id).await;
        }
        self.storage.concat(target, parts).await
    }

    async fn read(&self, upload: &Upload, range: Range<u64>) -> Result<ByteStream> {
        let readable = self.faults.readable.load(SeqCst);
        if range.end - range.start <= readable {
            return self.storage.read(upload, range).await;
        }
        let end = range.start + readable;
        let start = self.storage.read(upload, range.start..end).await?;
        let failure = stream::once(async { Err(io::Error::other("the device is gone").into()) });
        Ok(start.chain(failure).boxed())
    }

    async fn delete(&self, id: &UploadId) -> Result<()> {
        self.storage.delete(id).await
    }

    fn list(&self) -> BoxStream<'_, Result<Upload>> {
        let begun = async {
            let faults = &self.faults;
            faults
                .wait_while(|| faults.lists() == Lists::StandStill)
                .await;
            match faults.lists() {
                Lists::Fail => {
                    let failure = io::Error::other("the device is gone").into();
                    stream::once(async { Err(failure) }).boxed()
                }
                Lists::Pass | Lists::StandStill => self.storage.list(),
            }
        };
        stream::once(begun).flatten().boxed()
    }

    async fn reclaim(&self, before: SystemTime) -> Result<u64> {
        self.storage.reclaim(before).await
    }
}

#[derive(Debug)]
struct FaultyAppender {
    appender: Box<dyn Appender>,
    id: UploadId,
    faults: Arc<Faults>,
}

#[async_trait]
impl Appender for FaultyAppender {
    async fn write(&mut self, mut data: Bytes) -> Result<()> {
        self.faults.pass(&self.id).await;
        let wanted = data.len() as u64;
        let take = |room: u64| Some(room.saturating_sub(wanted));
        let room = self.faults.room.fetch_update(SeqCst, SeqCst, take).unwrap();
        if room >= wanted {
            return self.appender.write(data).await;
        }
        data.truncate(room as usize);
        self.appender.write(data).await?;
        Err(Error::NoSpace(io::ErrorKind::StorageFull.into()))
    }

    async fn flush(&mut self) -> Result<()> {
        self.appender.flush().await
    }

    fn visible(&self) -> u64 {
        self.appender.visible()
    }

    async fn commit(self: Box<Self>) -> Result<u64> {
        self.appender.commit().await
    }

    async fn discard(self: Box<Self>) -> Result<()> {
        self.appender.discard().await
    }
}
