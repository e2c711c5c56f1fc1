//! Uploads in a bucket of an object store.
//!
//! [`ObjectStorage`] is a [`Storage`] over any [`Bucket`]: a small trait that says what is needed of a
//! store, with implementations for the clouds behind the features `aws`, `gcp` and `azure`.
//!
//! All that is known of an upload is in one object, its *state*, and nothing is true that is not written
//! there. It is replaced as a whole, and only under the condition that nobody else has replaced it; so
//! any number of nodes may share a bucket, without locks, and without comparing clocks.

mod appender;
mod assemble;
mod attributes;
mod bucket;
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
mod cloud;
mod compose;
mod concat;
#[cfg(feature = "conformance")]
mod faults;
mod finish;
mod layout;
mod loose;
mod occupant;
mod probe;
mod profile;
mod remove;
mod retry;
mod scope;
mod seat;
mod session;
mod settled;
mod shared;
#[cfg(feature = "conformance")]
mod simulation;
mod sizes;
mod state;
#[cfg(test)]
mod tests;
mod uploads;
mod writer;

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::path::Path;

pub use self::bucket::{Bucket, Listed, OWNER, Object, Part, Stat};
#[cfg(feature = "azure")]
pub use self::cloud::Azure;
#[cfg(feature = "gcp")]
pub use self::cloud::Gcs;
#[cfg(feature = "aws")]
pub use self::cloud::S3;
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
pub use self::cloud::{Connector, open_bucket};
use self::{
    appender::ObjectAppender,
    shared::{Settings, Shared},
};
#[cfg(feature = "conformance")]
pub use self::{
    faults::{Call, Fault, Faulty, Gate, Operation, dies_after, dies_before},
    simulation::{Requests, Simulation, StoredObject, seed_chance},
};
pub use self::{
    profile::{Completion, Profile},
    scope::{Scope, Session},
};
use super::{AppendMode, Appender, ByteStream, Collision, Result, Storage};
use crate::protocol::{Upload, UploadId, Version};

/// Keeps uploads in a bucket.
///
/// A finished upload is one object under its key, with the type, name and metadata that its client
/// declared; everything else is below `.tus`. Bytes go to the store while they arrive, in parts of one
/// size; no temporary file is ever made.
///
/// # Memory
/// A running upload holds at most (parts in flight + 1) × part size. All together hold no more than
/// [`memory`](Self::memory) of bytes that are on their way: above that, bodies are read only as fast as the
/// store takes them. Beside it each holds the end of what it has stored, if that is less than a part, until
/// its request ends.
///
/// ```
/// use tower_tus::{TusService, storage::{ObjectStorage, object::Bucket}};
///
/// fn service(bucket: impl Bucket) -> TusService {
///     TusService::new(ObjectStorage::new(bucket).prefix("uploads"))
/// }
/// ```
#[derive(Debug, Clone)]
pub struct ObjectStorage {
    shared: Arc<Shared>,
}

/// How many processes write to the uploads of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Nodes {
    /// Any number. Needs a store that looks at the conditions of a write.
    Many,
    /// Only this one, for as long as it lives. It need not ask the store what it has written itself.
    One,
}

/// Size of a part unless another is set.
const PART_SIZE: u64 = 8 << 20;

/// How many parts of an upload are on their way at a time unless something else is set.
const PARTS_IN_FLIGHT: usize = 4;

/// How many bytes of all uploads are held unless something else is set.
const MEMORY: u64 = 512 << 20;

/// The least memory with which anything moves.
const MIN_MEMORY: u64 = 1 << 20;

impl ObjectStorage {
    /// Uploads in `bucket`.
    #[must_use]
    pub fn new(bucket: impl Bucket) -> Self {
        Self::with_settings(Settings {
            bucket: Arc::new(bucket),
            prefix: Path::default(),
            part_size: PART_SIZE,
            parts_in_flight: PARTS_IN_FLIGHT,
            memory: MEMORY,
            nodes: Nodes::Many,
            collision: Collision::Refuse,
        })
    }

    /// Everything is below this path. Default: the bucket's root.
    #[must_use]
    pub fn prefix(self, prefix: impl AsRef<str>) -> Self {
        self.with(|settings| settings.prefix = Path::from(prefix.as_ref()))
    }

    /// Size of a part, in bytes: what an upload is sent to the store in, and what is held of it for that.
    /// Larger for uploads that would have too many parts; never smaller than the store wants. Default: 8
    /// MiB.
    ///
    /// An upload whose length is not known at its creation may have 9,000 parts of this size: 70 GiB by
    /// default.
    #[must_use]
    pub fn part_size(self, bytes: u64) -> Self {
        self.with(|settings| settings.part_size = bytes)
    }

    /// How many parts of an upload are on their way to the store at a time; at least 1. Default: 4.
    #[must_use]
    pub fn parts_in_flight(self, parts: usize) -> Self {
        self.with(|settings| settings.parts_in_flight = parts.max(1))
    }

    /// How many bytes of all uploads are held at a time; at least 1 MiB. Default: 512 MiB.
    #[must_use]
    pub fn memory(self, bytes: u64) -> Self {
        self.with(|settings| settings.memory = bytes.max(MIN_MEMORY))
    }

    /// Whether other processes use the same uploads. Default: [`Nodes::Many`].
    #[must_use]
    pub fn nodes(self, nodes: Nodes) -> Self {
        self.with(|settings| settings.nodes = nodes)
    }

    /// What happens to an upload whose key is another object's. Default: [`Collision::Refuse`].
    #[must_use]
    pub fn collision(self, collision: Collision) -> Self {
        self.with(|settings| settings.collision = collision)
    }

    /// How the store is.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.shared.profile
    }

    /// Tries whether the bucket can be written to, and whether the store looks at the conditions of a
    /// write: six small requests. To be called at the start of a program.
    ///
    /// # Errors
    /// [`Error::Unsupported`](super::Error::Unsupported) if the store ignores conditions and there may be
    /// [many nodes](Nodes::Many); others of the store.
    pub async fn check(&self) -> Result<()> {
        self.shared.check().await
    }

    fn with(self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.shared.settings.clone();
        change(&mut settings);
        Self::with_settings(settings)
    }

    fn with_settings(settings: Settings) -> Self {
        Self {
            shared: Arc::new(Shared::new(settings)),
        }
    }
}

#[async_trait]
impl Storage for ObjectStorage {
    async fn create(&self, upload: &Upload) -> Result<Version> {
        self.shared.create_upload(upload).await
    }

    async fn load(&self, id: &UploadId) -> Result<Upload> {
        self.shared.load(id).await
    }

    fn recall(&self, id: &UploadId) -> Option<Upload> {
        self.shared.desk.recall(id)
    }

    async fn update(&self, upload: &Upload) -> Result<Version> {
        self.shared.update(upload).await
    }

    async fn append(&self, upload: &Upload, mode: AppendMode) -> Result<Box<dyn Appender>> {
        let writer = self.shared.open(upload, mode).await?;
        Ok(Box::new(ObjectAppender::new(writer, mode)))
    }

    async fn finish(&self, upload: &Upload) -> Result<()> {
        self.shared.finish(&upload.id).await
    }

    async fn concat(&self, target: &Upload, parts: &[Upload]) -> Result<()> {
        self.shared.concat(target, parts).await
    }

    async fn read(&self, upload: &Upload, range: Range<u64>) -> Result<ByteStream> {
        self.shared.read(upload, range).await
    }

    async fn signed_url(&self, upload: &Upload, lifetime: Duration) -> Result<Option<String>> {
        self.shared.signed_url(upload, lifetime).await
    }

    async fn delete(&self, id: &UploadId) -> Result<()> {
        self.shared.delete(id).await
    }

    fn list(&self) -> BoxStream<'_, Result<Upload>> {
        self.shared.list()
    }

    fn pending(&self) -> BoxStream<'_, Result<Upload>> {
        self.shared.pending()
    }

    async fn reclaim(&self, before: SystemTime) -> Result<u64> {
        self.shared.reclaim(before).await
    }
}
