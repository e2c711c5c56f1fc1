//! Uploads on local disk.

mod appender;
mod concat;
mod disk;
mod info;
mod layout;
mod lease;
mod read;
mod rename;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Seek, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};

use self::{
    appender::FileAppender,
    disk::Disk,
    info::{Info, Reach, identity, is_same, not_found, sync_directory},
    layout::Layout,
    lease::Leases,
};
use super::{AppendMode, Appender, ByteStream, Error, Result, Storage};
use crate::protocol::{Kind, Stage, Upload, UploadId, Version};

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

/// What happens to an upload whose key is another file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Collision {
    /// Its creation is refused; and if the file comes into being later, its finish.
    Refuse,
    /// It replaces the file when it is finished.
    Replace,
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
                disk: Disk::new(),
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
            disk: Disk::new(),
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
        self.finish(target).await
    }

    async fn read(&self, upload: &Upload, range: Range<u64>) -> Result<ByteStream> {
        read::read(Arc::clone(&self.shared), upload, range).await
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

    /// Data first, record last: without a record there is no upload.
    fn create(&self, upload: &Upload, reach: Reach) -> Result<Version> {
        if upload.kind != Kind::Partial && self.is_taken(upload) {
            return Err(Error::AlreadyExists(upload.key.to_string()));
        }
        let data = self.create_data(&upload.id)?;
        let mut info = Info::new(upload, 1);
        info.identity = identity(&data.metadata()?);
        let file = info.create(&self.layout, &upload.id)?;
        if reach == Reach::Device {
            file.sync_all()?;
            data.sync_all()?;
            sync_directory(self.layout.own())?;
        }
        Ok(info.version())
    }

    /// Whether there is something under the key that may not be replaced, or a file where a directory of
    /// it would have to be.
    fn is_taken(&self, upload: &Upload) -> bool {
        match self.layout.keyed(&upload.key).symlink_metadata() {
            Ok(metadata) => self.collision == Collision::Refuse || metadata.is_dir(),
            Err(error) => error.kind() == io::ErrorKind::NotADirectory,
        }
    }

    /// A new, empty file; or the one that a creation cut by a crash left behind.
    fn create_data(&self, id: &UploadId) -> Result<File> {
        let path = self.layout.data(id);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let file = OpenOptions::new().write(true).open(&path)?;
                match file.metadata()?.len() {
                    0 => Ok(file),
                    _ => Err(Error::AlreadyExists(id.to_string())),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A snapshot. Where every offset that is told has to be on the device, `reach` puts it there.
    fn load(&self, id: &UploadId, reach: Reach) -> Result<Upload> {
        loop {
            let (info, file) = Info::open(&self.layout, id)?;
            let mut upload = info.upload(id)?;
            let path = self.layout.data(id);
            let data = match fs::metadata(&path) {
                Ok(data) => Some(data),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error.into()),
            };
            // A record that was replaced meanwhile may have had a fence that this one has not.
            let now = fs::metadata(self.layout.info(id)).map_err(|error| not_found(error, id))?;
            let then = file.metadata()?;
            if !is_same(&then, &now) {
                continue;
            }
            match data {
                Some(data) => {
                    if reach == Reach::Device && data.len() > 0 {
                        match File::open(&path) {
                            Ok(file) => file.sync_data()?,
                            // Finished or deleted since.
                            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                            Err(error) => return Err(error.into()),
                        }
                    }
                    upload.offset = data.len().min(info.fence.unwrap_or(u64::MAX));
                    upload.touched = data.modified()?;
                    if upload.is_complete() {
                        upload.stage = Stage::Finishing;
                    }
                }
                // Renaming the data file is what finishes an upload.
                None => {
                    upload.stage = Stage::Finished;
                    upload.offset = upload.length.known().unwrap_or_default();
                    upload.touched = match fs::metadata(self.layout.finished(&upload)) {
                        Ok(finished) => finished.modified()?,
                        // The application has moved it on.
                        Err(_) => then.modified()?,
                    };
                }
            }
            return Ok(upload);
        }
    }

    fn update(&self, upload: &Upload, reach: Reach) -> Result<Version> {
        self.leases.exclusively(&upload.id, |writer| {
            let _lock = match writer.file {
                Some(_) => None,
                None => Some(self.lock_data(&upload.id)?),
            };
            let old = self.current(upload)?;
            let mut info = Info::new(upload, old.revision + 1);
            info.fence = old.fence;
            info.identity = old.identity;
            info.replace(&self.layout, &upload.id, reach)?;
            Ok(info.version())
        })
    }

    /// Makes `writer` the data file, locked and ready for the next byte; whatever is behind a fence is cut
    /// off. Nothing changes if the snapshot is not current.
    fn open(&self, upload: &Upload, writer: &mut Option<File>) -> Result<()> {
        let id = &upload.id;
        let mut opened = match writer {
            Some(_) => None,
            None => Some(self.lock_data(id)?),
        };
        let mut info = self.current(upload)?;
        let file = opened.as_mut().or(writer.as_mut());
        let file = file.expect("it is opened if there is no writer");
        let length = file.metadata()?.len();
        let counted = length.min(info.fence.unwrap_or(u64::MAX));
        if counted != upload.offset {
            return Err(Error::Conflict(id.clone()));
        }
        if counted < length {
            file.set_len(counted)?;
        }
        if info.fence.take().is_some() {
            info.replace(&self.layout, id, self.reach_of(Durability::Always))?;
        }
        file.seek(SeekFrom::Start(counted))?;
        if opened.is_some() {
            *writer = opened;
        }
        Ok(())
    }

    /// The data file of an unfinished upload, with the lock that every process respects.
    fn lock_data(&self, id: &UploadId) -> Result<File> {
        let path = self.layout.data(id);
        let file = match OpenOptions::new().write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Finished, if there is a record.
                Info::read(&self.layout, id)?;
                return Err(Error::Conflict(id.clone()));
            }
            Err(error) => return Err(error.into()),
        };
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(Error::Locked(id.clone())),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// The record, if the snapshot is of it.
    fn current(&self, upload: &Upload) -> Result<Info> {
        let info = Info::read(&self.layout, &upload.id)?;
        match info.version() == upload.version {
            true => Ok(info),
            false => Err(Error::Conflict(upload.id.clone())),
        }
    }

    fn finish(&self, upload: &Upload, reach: Reach) -> Result<()> {
        let id = &upload.id;
        let data = self.layout.data(id);
        let target = self.layout.finished(upload);
        let stored = match fs::metadata(&data) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.check_finished(id);
            }
            Err(error) => return Err(error.into()),
        };
        let fence = self.current(upload)?.fence;
        if upload.length.known() != Some(stored) || fence.is_some_and(|fence| fence < stored) {
            return Err(Error::Conflict(id.clone()));
        }
        if reach == Reach::Device {
            File::open(&data)?.sync_all()?;
            let info = File::open(self.layout.info(id));
            info.map_err(|error| not_found(error, id))?.sync_all()?;
        }
        match self.put_in_place(&data, &target, upload) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.check_finished(id)?,
            Err(error) if is_in_the_way(&error) => {
                return Err(Error::AlreadyExists(upload.key.to_string()));
            }
            Err(error) => return Err(error.into()),
        }
        if reach == Reach::Device {
            // The new name before the old one is gone. Each new directory is a name in the one above.
            let depth = upload.key.names().count();
            for directory in target.ancestors().skip(1).take(depth) {
                sync_directory(directory)?;
            }
            sync_directory(self.layout.own())?;
        }
        Ok(())
    }

    fn put_in_place(&self, data: &Path, target: &Path, upload: &Upload) -> io::Result<()> {
        if let Some(parent) = target
            .parent()
            .filter(|_| upload.key.as_str().contains('/'))
        {
            fs::create_dir_all(parent)?;
        }
        match self.collision {
            Collision::Refuse if upload.kind != Kind::Partial => {
                rename::rename_no_replace(data, target)
            }
            Collision::Refuse | Collision::Replace => fs::rename(data, target),
        }
    }

    /// The data file is gone: somebody else has finished the upload, or deleted it.
    fn check_finished(&self, id: &UploadId) -> Result<()> {
        Info::read(&self.layout, id).map(drop)
    }

    fn delete(&self, id: &UploadId) -> Result<()> {
        self.leases.exclusively(id, |writer| {
            let lock = match writer.file {
                Some(_) => None,
                None => match self.lock_data(id) {
                    Ok(file) => Some(file),
                    // Finished: there is no data file to lock.
                    Err(Error::Conflict(_)) => None,
                    Err(Error::NotFound(_)) => return Ok(()),
                    Err(error) => return Err(error),
                },
            };
            let loaded = self.load(id, Reach::Kernel);
            let record = Info::read(&self.layout, id);
            let (upload, info) = match (loaded, record) {
                (Ok(upload), Ok(info)) => (upload, info),
                (Err(Error::NotFound(_)), _) | (_, Err(Error::NotFound(_))) => return Ok(()),
                (Err(error), _) | (_, Err(error)) => return Err(error),
            };
            writer.revoke();
            if !upload.is_finished() {
                // Record first: without the data it would say that the upload is finished.
                remove(&self.layout.info(id))?;
                let removed = fs::remove_file(self.layout.data(id));
                drop(lock);
                return match removed {
                    // Another process has finished it at this moment.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        self.remove_finished(&upload, &info)
                    }
                    removed => Ok(removed?),
                };
            }
            // Data first: with the record the deletion can be repeated.
            self.remove_finished(&upload, &info)?;
            remove(&self.layout.info(id))
        })
    }

    /// Removes what is under the key, unless it is somebody else's by now.
    fn remove_finished(&self, upload: &Upload, info: &Info) -> Result<()> {
        let path = self.layout.finished(upload);
        match path.symlink_metadata() {
            Ok(metadata) if !info.owns(upload, &metadata) => Ok(()),
            _ => remove(&path),
        }
    }

    /// The uploads that have a record.
    fn ids(&self) -> Result<Vec<UploadId>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(self.layout.own())? {
            let name = entry?.file_name();
            if let Some((id, "info")) = name.to_str().and_then(Layout::owner) {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    fn reclaim(&self, before: SystemTime) -> Result<u64> {
        let mut bytes = 0;
        for entry in fs::read_dir(self.layout.own())? {
            let entry = entry?;
            let name = entry.file_name();
            let Some((id, role)) = name.to_str().and_then(Layout::owner) else {
                continue;
            };
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.modified()? >= before {
                continue;
            }
            let has_record = !matches!(Info::read(&self.layout, &id), Err(Error::NotFound(_)));
            // A record that cannot be read beside bytes that can: that is for people to decide.
            let is_torn = role == "info"
                && self
                    .layout
                    .data(&id)
                    .metadata()
                    .is_ok_and(|data| data.len() > 0);
            let has_torn = role == "data" && self.layout.info(&id).exists() && metadata.len() > 0;
            if role == "tmp" || !(has_record || is_torn || has_torn) {
                remove(&entry.path())?;
                bytes += metadata.len();
            }
        }
        Ok(bytes)
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Something is where a file, or a directory above it, was to be.
fn is_in_the_way(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::DirectoryNotEmpty
    )
}
