use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};

use super::{AppendMode, Appender, ByteStream, Error, Result, Storage, only_announces};
use crate::protocol::{Key, Kind, Length, Stage, Upload, UploadId, Version};

/// Keeps uploads in memory, until the process ends.
///
/// For tests and small services. Clones share their uploads.
///
/// ```
/// use tower_tus::{TusService, storage::MemoryStorage};
///
/// let tus = TusService::new(MemoryStorage::new());
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemoryStorage {
    uploads: Arc<Mutex<Uploads>>,
}

#[derive(Debug, Default)]
struct Uploads {
    entries: HashMap<UploadId, Entry>,
    /// The keys of finished uploads.
    keys: HashMap<Key, UploadId>,
}

#[derive(Debug)]
struct Entry {
    upload: Upload,
    data: Vec<u8>,
    revision: u64,
    /// Counts appenders: only the latest may write.
    epoch: u64,
}

/// How much is copied out under the lock at once.
const READ_SIZE: u64 = 256 << 10;

impl MemoryStorage {
    /// A storage without uploads.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Uploads> {
        // No code that may panic runs under the lock, so what it guards is whole.
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_entry<T>(&self, id: &UploadId, f: impl FnOnce(&mut Entry) -> Result<T>) -> Result<T> {
        f(self.lock().get_mut(id)?)
    }
}

impl Uploads {
    fn get_mut(&mut self, id: &UploadId) -> Result<&mut Entry> {
        self.entries
            .get_mut(id)
            .ok_or_else(|| Error::NotFound(id.clone()))
    }
}

impl Entry {
    fn version(&self) -> Version {
        Version::new(self.revision.to_string())
    }

    fn snapshot(&self) -> Upload {
        let mut upload = self.upload.clone();
        upload.offset = self.data.len() as u64;
        if upload.stage == Stage::Receiving && upload.is_complete() {
            upload.stage = Stage::Finishing;
        }
        upload.version = self.version();
        upload
    }

    fn check_current(&self, upload: &Upload) -> Result<()> {
        match upload.version == self.version() {
            true => Ok(()),
            false => Err(Error::Conflict(upload.id.clone())),
        }
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    async fn create(&self, upload: &Upload) -> Result<Version> {
        let mut uploads = self.lock();
        if uploads.entries.contains_key(&upload.id) {
            return Err(Error::AlreadyExists(upload.id.to_string()));
        }
        if upload.kind != Kind::Partial && uploads.keys.contains_key(&upload.key) {
            return Err(Error::AlreadyExists(upload.key.to_string()));
        }
        let entry = Entry {
            upload: upload.clone(),
            data: Vec::new(),
            revision: 1,
            epoch: 0,
        };
        let version = entry.version();
        uploads.entries.insert(upload.id.clone(), entry);
        Ok(version)
    }

    async fn load(&self, id: &UploadId) -> Result<Upload> {
        self.with_entry(id, |entry| Ok(entry.snapshot()))
    }

    async fn update(&self, upload: &Upload) -> Result<Version> {
        self.with_entry(&upload.id, |entry| {
            entry.check_current(upload)?;
            if entry.upload.stage == Stage::Finished {
                if !only_announces(upload, &entry.upload) {
                    return Err(Error::Conflict(upload.id.clone()));
                }
            } else {
                entry.upload.length = upload.length;
                entry.upload.metadata = upload.metadata.clone();
                entry.upload.lifetime = upload.lifetime;
                entry.upload.key = upload.key.clone();
            }
            entry.upload.announcement = upload.announcement;
            entry.revision += 1;
            Ok(entry.version())
        })
    }

    async fn append(&self, upload: &Upload, mode: AppendMode) -> Result<Box<dyn Appender>> {
        let (epoch, visible) = self.with_entry(&upload.id, |entry| {
            entry.check_current(upload)?;
            if entry.data.len() as u64 != upload.offset || entry.upload.stage == Stage::Finished {
                return Err(Error::Conflict(upload.id.clone()));
            }
            entry.epoch += 1;
            Ok((entry.epoch, upload.offset))
        })?;
        let storage = self.clone();
        Ok(Box::new(MemoryAppender {
            storage,
            id: upload.id.clone(),
            mode,
            epoch,
            visible,
            held: Vec::new(),
        }))
    }

    async fn finish(&self, upload: &Upload) -> Result<()> {
        let mut uploads = self.lock();
        let Uploads { entries, keys } = &mut *uploads;
        let entry = entries
            .get_mut(&upload.id)
            .ok_or_else(|| Error::NotFound(upload.id.clone()))?;
        if entry.upload.stage == Stage::Finished {
            return Ok(());
        }
        if !entry.snapshot().is_complete() {
            return Err(Error::Conflict(upload.id.clone()));
        }
        if entry.upload.kind != Kind::Partial {
            let key = &entry.upload.key;
            if keys.contains_key(key) {
                return Err(Error::AlreadyExists(key.to_string()));
            }
            keys.insert(key.clone(), upload.id.clone());
        }
        entry.upload.stage = Stage::Finished;
        entry.revision += 1;
        Ok(())
    }

    async fn concat(&self, target: &Upload, parts: &[Upload]) -> Result<()> {
        let mut joined = Vec::new();
        for part in parts {
            self.with_entry(&part.id, |entry| match entry.upload.stage {
                Stage::Finished => {
                    joined.extend_from_slice(&entry.data);
                    Ok(())
                }
                _ => Err(Error::Conflict(part.id.clone())),
            })?;
        }
        self.with_entry(&target.id, |entry| {
            if entry.upload.stage == Stage::Finished {
                return Ok(());
            }
            if entry.upload.length != Length::Known(joined.len() as u64) {
                return Err(Error::Conflict(target.id.clone()));
            }
            entry.epoch += 1;
            entry.data = joined;
            Ok(())
        })?;
        self.finish(target).await
    }

    async fn read(&self, upload: &Upload, range: Range<u64>) -> Result<ByteStream> {
        self.with_entry(&upload.id, |entry| match entry.upload.stage {
            Stage::Finished => Ok(()),
            _ => Err(Error::NotFound(upload.id.clone())),
        })?;
        self.read_unfinished(upload, range).await
    }

    async fn read_unfinished(&self, upload: &Upload, range: Range<u64>) -> Result<ByteStream> {
        self.with_entry(&upload.id, |_| Ok(()))?;
        let end = range.end.min(upload.offset);
        let source = (self.clone(), upload.id.clone());
        let pieces = stream::try_unfold((source, range.start), move |(source, at)| async move {
            if at >= end {
                return Ok(None);
            }
            let next = end.min(at.saturating_add(READ_SIZE));
            let piece = source.0.with_entry(&source.1, |entry| {
                entry
                    .data
                    .get(at as usize..next as usize)
                    .map(Bytes::copy_from_slice)
                    .ok_or_else(|| Error::NotFound(source.1.clone()))
            })?;
            Ok(Some((piece, (source, next))))
        });
        Ok(pieces.boxed())
    }

    async fn delete(&self, id: &UploadId) -> Result<()> {
        let mut uploads = self.lock();
        uploads.entries.remove(id);
        uploads.keys.retain(|_, owner| owner != id);
        Ok(())
    }

    fn list(&self) -> BoxStream<'_, Result<Upload>> {
        let uploads: Vec<_> = self
            .lock()
            .entries
            .values()
            .map(|entry| Ok(entry.snapshot()))
            .collect();
        stream::iter(uploads).boxed()
    }

    async fn reclaim(&self, _before: SystemTime) -> Result<u64> {
        Ok(0)
    }
}

#[derive(Debug)]
struct MemoryAppender {
    storage: MemoryStorage,
    id: UploadId,
    mode: AppendMode,
    epoch: u64,
    /// What the upload held when this appender last touched it.
    visible: u64,
    /// What is not visible yet, in [`AppendMode::Atomic`].
    held: Vec<u8>,
}

impl MemoryAppender {
    /// Adds bytes to the upload, if this appender is still in force, and gives the new offset.
    fn store(&self, data: &[u8]) -> Result<u64> {
        self.storage.with_entry(&self.id, |entry| {
            if entry.epoch != self.epoch {
                return Err(Error::Superseded(self.id.clone()));
            }
            if !data.is_empty() {
                entry.data.extend_from_slice(data);
                entry.upload.touched = SystemTime::now();
            }
            Ok(entry.data.len() as u64)
        })
    }
}

#[async_trait]
impl Appender for MemoryAppender {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        match self.mode {
            AppendMode::Streaming => {
                self.visible = self.store(&data)?;
                Ok(())
            }
            AppendMode::Atomic => {
                self.held.extend_from_slice(&data);
                Ok(())
            }
        }
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn visible(&self) -> u64 {
        self.visible
    }

    async fn commit(self: Box<Self>) -> Result<u64> {
        self.store(&self.held)
    }

    async fn discard(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

#[cfg(all(test, feature = "conformance"))]
mod tests {
    use super::*;
    use crate::storage::conformance;

    #[tokio::test]
    async fn conforms() {
        conformance::all(&MemoryStorage::new()).await;
    }
}
