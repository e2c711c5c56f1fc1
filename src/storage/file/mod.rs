//! Uploads on local disk.

mod appender;
mod concat;
mod disk;
mod finish;
mod info;
mod layout;
mod lease;
mod lock;
mod read;
mod remove;
mod rename;
mod state;
#[cfg(test)]
mod tests;

use std::{fs, ops::Range, path::PathBuf, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};

use self::{appender::FileAppender, disk::Disk, info::Reach, layout::Layout, lease::Leases};
use super::{AppendMode, Appender, ByteStream, Collision, Error, Result, Storage};
use crate::protocol::{Upload, UploadId, Version};

/// Keeps uploads in a directory of the local disk.
///
/// Finished uploads are plain files under their keys; everything else is below `.tus`. Bytes are
/// appended to one file per upload whose length *is* the offset, so a crash can neither lose an
/// acknowledged byte nor make one up. Several processes may share the directory: the operating
/// system's file locks keep them apart, and vanish with the process.
///
/// ```no_run
/// use tower_tus::storage::{Collision, Durability, FileStorage};
///
/// let storage = FileStorage::open("./uploads")?
///     .durability(Durability::Always)
///     .collision(Collision::Replace);
/// # Ok::<_, tower_tus::storage::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FileStorage {
    shared: Arc<Shared>,
}

/// When bytes are on the device, and not only with the kernel.
///
/// Whatever is set, acknowledged bytes survive a crash of the process. This is about power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Durability {
    /// When the kernel likes.
    None,
    /// When an upload is finished.
    Finish,
    /// Before an offset is told, and when an upload is created.
    Always,
}

/// What every operation needs.
#[derive(Debug)]
struct Shared {
    layout: Layout,
    durability: Durability,
    collision: Collision,
    leases: Arc<Leases>,
    disk: Disk,
}

impl FileStorage {
    /// Uploads in the directory `root`, which is made if it does not exist.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        fs::create_dir_all(&root)?;
        // The working directory may change.
        let layout = Layout::new(root.canonicalize()?);
        fs::create_dir_all(layout.own())?;
        Ok(Self {
            shared: Arc::new(Shared {
                layout,
                durability: Durability::Finish,
                collision: Collision::Refuse,
                leases: Arc::default(),
                disk: Disk::default(),
            }),
        })
    }

    /// When bytes are on the device. Default: [`Durability::Finish`].
    #[must_use]
    pub fn durability(self, durability: Durability) -> Self {
        self.with(|shared| shared.durability = durability)
    }

    /// What happens to an upload whose key is another file's. Default: [`Collision::Refuse`].
    #[must_use]
    pub fn collision(self, collision: Collision) -> Self {
        self.with(|shared| shared.collision = collision)
    }

    fn with(self, change: impl FnOnce(&mut Shared)) -> Self {
        let old = &self.shared;
        let mut shared = Shared {
            layout: old.layout.clone(),
            durability: old.durability,
            collision: old.collision,
            leases: Arc::clone(&old.leases),
            disk: Disk::default(),
        };
        change(&mut shared);
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Runs `operation` where the disk's state allows it.
    async fn run<T, F>(&self, operation: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Arc<Shared>) -> Result<T> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        self.shared.disk.run(move || operation(&shared)).await
    }

    /// Runs `operation` in the blocking pool if it waits for the device, else as [`run`](Self::run).
    async fn run_and_sync<T, F>(&self, at_least: Durability, operation: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Arc<Shared>, Reach) -> Result<T> + Send + 'static,
    {
        let reach = self.shared.reach_of(at_least);
        let shared = Arc::clone(&self.shared);
        let operation = move || operation(&shared, reach);
        match reach {
            Reach::Kernel => self.shared.disk.run(operation).await,
            Reach::Device => Disk::run_in_pool(operation).await,
        }
    }
}

#[async_trait]
impl Storage for FileStorage {
    async fn create(&self, upload: &Upload) -> Result<Version> {
        let upload = upload.clone();
        self.run_and_sync(Durability::Always, move |shared, reach| {
            shared.create(&upload, reach)
        })
        .await
    }

    async fn load(&self, id: &UploadId) -> Result<Upload> {
        let id = id.clone();
        self.run_and_sync(Durability::Always, move |shared, reach| {
            shared.load(&id, reach)
        })
        .await
    }

    async fn update(&self, upload: &Upload) -> Result<Version> {
        let upload = upload.clone();
        self.run_and_sync(Durability::Finish, move |shared, reach| {
            shared.update(&upload, reach)
        })
        .await
    }

    async fn append(&self, upload: &Upload, mode: AppendMode) -> Result<Box<dyn Appender>> {
        let upload = upload.clone();
        self.run(move |shared| {
            let lease = shared
                .leases
                .take(&upload.id, |writer| shared.open(&upload, writer))?;
            let shared = Arc::clone(shared);
            Ok(Box::new(FileAppender::new(
                shared,
                lease,
                upload.id,
                mode,
                upload.offset,
            )) as _)
        })
        .await
    }

    async fn finish(&self, upload: &Upload) -> Result<()> {
        let upload = upload.clone();
        self.run_and_sync(Durability::Finish, move |shared, reach| {
            shared.finish(&upload, reach)
        })
        .await
    }

    async fn concat(&self, target: &Upload, parts: &[Upload]) -> Result<()> {
        concat::concat(&self.shared, target, parts).await?;
        let mut joined = target.clone();
        joined.offset = joined.length.known().unwrap_or_default();
        self.finish(&joined).await
    }

    async fn read(&self, upload: &Upload, range: Range<u64>) -> Result<ByteStream> {
        read::read(Arc::clone(&self.shared), upload, range).await
    }

    async fn read_unfinished(&self, upload: &Upload, range: Range<u64>) -> Result<ByteStream> {
        read::read_unfinished(Arc::clone(&self.shared), upload, range).await
    }

    async fn delete(&self, id: &UploadId) -> Result<()> {
        let id = id.clone();
        // To remove a large file takes long.
        let shared = Arc::clone(&self.shared);
        Disk::run_in_pool(move || shared.delete(&id)).await
    }

    fn list(&self) -> BoxStream<'_, Result<Upload>> {
        let ids = Disk::run_in_pool({
            let shared = Arc::clone(&self.shared);
            move || shared.ids()
        });
        stream::once(ids)
            .map_ok(|ids| stream::iter(ids).map(Ok))
            .try_flatten()
            .and_then(|id| self.run(move |shared| Ok((shared.load(&id, Reach::Kernel), id))))
            .filter_map(async |loaded| match loaded {
                // Gone since the names were read.
                Ok((Err(Error::NotFound(_)), _)) => None,
                Ok((upload, _)) => Some(upload),
                Err(error) => Some(Err(error)),
            })
            .boxed()
    }

    async fn reclaim(&self, before: SystemTime) -> Result<u64> {
        let shared = Arc::clone(&self.shared);
        Disk::run_in_pool(move || shared.reclaim(before)).await
    }
}

impl Shared {
    /// Whether something that is to be durable from `at_least` on has to wait for the device.
    fn reach_of(&self, at_least: Durability) -> Reach {
        if self.durability >= at_least {
            Reach::Device
        } else {
            Reach::Kernel
        }
    }
}
