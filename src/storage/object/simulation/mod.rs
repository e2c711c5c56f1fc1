//! A bucket in memory, as strict as a real one.

mod blocks;
mod chance;
mod parts;
mod requests;
mod rules;
mod store;
#[cfg(test)]
mod tests;

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use object_store::{
    Attributes, CopyMode, PutOptions, PutPayload, Result, UpdateVersion, path::Path,
};

pub(super) use self::chance::seeded_bits;
pub use self::{chance::seed_chance, requests::Requests};
use self::{
    rules::{Conditions, PartCopies, Rules, Tags},
    store::Store,
};
use super::{Bucket, Listed, Object, Part, Profile, Scope, Session, Stat};

/// A bucket in memory that is as strict as a real one, for tests. Clones share what is in it.
///
/// It keeps every rule by which a store can hurt who does not know it: parts that are too small are
/// noticed only when the object is completed, a part is known by the tag of what was last put under its
/// number, an object that is written back to what it was has its old tag again, and a session is gone
/// once it is completed. A completion whose condition does not hold leaves the session as it was.
///
/// ```
/// use tower_tus::storage::{ObjectStorage, object::Simulation};
///
/// let storage = ObjectStorage::new(Simulation::new());
/// ```
#[derive(Debug, Clone)]
pub struct Simulation {
    rules: Rules,
    store: Arc<Mutex<Store>>,
}

/// An object as a test sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredObject {
    /// All of its bytes.
    pub bytes: Bytes,
    /// Content type, metadata, and the like.
    pub attributes: Attributes,
}

/// In which pieces bytes are read.
const PIECE: usize = 64 << 10;

impl Simulation {
    /// Amazon S3: [`Profile::s3`], tags made of the content.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Rules::s3())
    }

    /// Cloud Storage: objects are updated by generation, and completed without a condition.
    #[must_use]
    pub fn gcs() -> Self {
        Self::with(Rules::gcs())
    }

    /// Azure block blobs, completed elsewhere and copied to their key: up to 50,000 blocks of any size
    /// up to 4000 MiB. Blocks are known by their names alone, whichever session they came with.
    /// [`expire_parts`](Self::expire_parts) takes away what is not
    /// [secured](super::Bucket::secure).
    #[must_use]
    pub fn azure() -> Self {
        Self::with(Rules::azure())
    }

    /// Cloudflare R2: as S3, but all parts except the last are of one size, and objects are completed without
    /// a condition.
    #[must_use]
    pub fn r2() -> Self {
        Self::with(Rules::r2())
    }

    /// A store with this profile, and otherwise like the one it was.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.rules.profile = profile;
        self
    }

    /// Size of the smallest part that is not the last, in bytes. Defaults to what the real store asks.
    #[must_use]
    pub fn min_part(mut self, bytes: u64) -> Self {
        self.rules.profile.min_part = bytes;
        self
    }

    /// How many parts an object may have; also the largest number. Defaults to what the real store allows.
    #[must_use]
    pub fn max_parts(mut self, parts: u32) -> Self {
        self.rules.profile.max_parts = parts;
        self
    }

    /// Gives each part a tag of its own, also if it is put again with the same content, as S3 does under
    /// SSE-KMS.
    #[must_use]
    pub fn unique_tags(mut self) -> Self {
        self.rules.tags = Tags::Unique;
        self
    }

    /// Takes every condition for fulfilled, as Garage and s3rver do.
    #[must_use]
    pub fn without_conditions(mut self) -> Self {
        self.rules.conditions = Conditions::Ignored;
        self
    }

    /// Cannot make parts of other objects.
    #[must_use]
    pub fn without_copy(mut self) -> Self {
        self.rules.part_copies = PartCopies::None;
        self
    }

    /// An object; not counted as a request.
    #[must_use]
    pub fn object(&self, path: &Path) -> Option<StoredObject> {
        self.lock().object(path)
    }

    /// Where there are objects, in order; not counted as a request.
    #[must_use]
    pub fn paths(&self) -> Vec<Path> {
        self.lock().paths()
    }

    /// The sessions that were neither completed nor aborted; not counted as a request. None on
    /// [`azure`](Self::azure), which has no such thing.
    #[must_use]
    pub fn open_sessions(&self) -> Vec<Session> {
        self.lock().parts.sessions(&Scope::Below(Path::default()))
    }

    /// How many bytes there are in parts that no object has (yet).
    #[must_use]
    pub fn loose_bytes(&self) -> u64 {
        let store = self.lock();
        store.parts.bytes() + store.blocks.bytes()
    }

    /// What was asked of the bucket since the last [`reset_requests`](Self::reset_requests).
    #[must_use]
    pub fn requests(&self) -> Requests {
        self.lock().requests
    }

    /// Counts from zero again.
    pub fn reset_requests(&self) {
        self.lock().requests = Requests::default();
    }

    /// Sets the bucket's clock forward. It goes with the system's otherwise.
    pub fn advance(&self, by: Duration) {
        self.lock().ahead += by;
    }

    /// What the bucket's clock says.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.lock().now()
    }

    /// A week goes by: parts that were not secured are gone, where they do not
    /// [last](Profile::lasting_parts).
    pub fn expire_parts(&self) {
        if !self.rules.profile.lasting_parts {
            self.lock().blocks.clear();
        }
    }

    fn with(rules: Rules) -> Self {
        Self {
            rules,
            store: Arc::new(Mutex::new(Store::new())),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        // A panic under the lock is one of a test, which fails anyway.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Simulation {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Bucket for Simulation {
    fn profile(&self) -> Profile {
        self.rules.profile.clone()
    }

    async fn get(&self, path: &Path, limit: Option<u64>) -> Result<Object> {
        let mut store = self.lock();
        store.requests.get += 1;
        let object = store.get(&self.rules, path, limit)?;
        store.requests.received += object.bytes.len() as u64;
        Ok(object)
    }

    async fn put(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<UpdateVersion> {
        let bytes = Bytes::from(payload);
        let mut store = self.lock();
        store.requests.put += 1;
        store.requests.sent += bytes.len() as u64;
        store.put(&self.rules, path, bytes, options)
    }

    async fn stat(&self, path: &Path) -> Result<Stat> {
        let mut store = self.lock();
        store.requests.stat += 1;
        store.stat(&self.rules, path)
    }

    async fn read(
        &self,
        path: &Path,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        let mut store = self.lock();
        store.requests.read += 1;
        let mut bytes = store.slice(path, range)?;
        store.requests.received += bytes.len() as u64;
        let pieces = std::iter::from_fn(move || {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            (!piece.is_empty()).then_some(Ok(piece))
        });
        Ok(stream::iter(pieces).boxed())
    }

    async fn delete(&self, path: &Path) -> Result<()> {
        let mut store = self.lock();
        store.requests.delete += 1;
        store.delete(path);
        Ok(())
    }

    /// One request for each 1000 objects, and each sees the bucket as it is then.
    fn list(&self, prefix: &Path) -> BoxStream<'static, Result<Listed>> {
        let start = Some((self.clone(), prefix.clone(), None));
        stream::unfold(start, |state| async {
            let (bucket, prefix, after) = state?;
            let (page, last) = {
                let mut store = bucket.lock();
                store.requests.list += 1;
                store.page(&prefix, after.as_ref())
            };
            let rest = last.map(|last| (bucket, prefix, Some(last)));
            Some((stream::iter(page.into_iter().map(Ok)), rest))
        })
        .flatten()
        .boxed()
    }

    async fn copy(&self, from: &Path, to: &Path, mode: CopyMode) -> Result<()> {
        let mut store = self.lock();
        store.requests.copy += 1;
        store.copy(&self.rules, from, to, mode)
    }

    async fn compose(&self, sources: &[Path], to: &Path, options: PutOptions) -> Result<()> {
        let mut store = self.lock();
        store.requests.compose += 1;
        if sources.len() > self.rules.profile.max_sources {
            return Err(store::not_supported("so many objects are not composed"));
        }
        let mut bytes = Vec::new();
        for source in sources {
            bytes.extend_from_slice(&store.find(source)?.bytes);
        }
        store.put(&self.rules, to, bytes.into(), options)?;
        Ok(())
    }

    async fn begin(&self, path: &Path, attributes: Attributes) -> Result<String> {
        let mut store = self.lock();
        store.requests.begin += 1;
        let (id, now) = (store.next_id("session"), store.now());
        if !self.rules.is_staged() {
            store.parts.begin(&id, path, attributes, now);
        }
        Ok(id)
    }

    async fn put_part(
        &self,
        path: &Path,
        session: &str,
        number: u32,
        payload: PutPayload,
    ) -> Result<String> {
        let bytes = Bytes::from(payload);
        let mut store = self.lock();
        store.requests.put_part += 1;
        store.requests.sent += bytes.len() as u64;
        store.add_part(&self.rules, (path, session), number, bytes)
    }

    async fn copy_part(
        &self,
        path: &Path,
        session: &str,
        number: u32,
        source: &Path,
        range: Range<u64>,
    ) -> Result<String> {
        let mut store = self.lock();
        store.requests.copy_part += 1;
        let bytes = store.copyable(&self.rules, source, range)?;
        store.add_part(&self.rules, (path, session), number, bytes)
    }

    async fn parts(&self, path: &Path, session: &str) -> Result<Vec<Part>> {
        let mut store = self.lock();
        store.requests.parts += 1;
        match self.rules.is_staged() {
            true => Err(store::not_supported("blocks have no tag")),
            false => store.parts.list((path, session)),
        }
    }

    async fn secure(
        &self,
        path: &Path,
        _session: &str,
        parts: &[Part],
        expected: Option<&str>,
    ) -> Result<String> {
        let mut store = self.lock();
        store.requests.secure += 1;
        store.secure(&self.rules, path, parts, expected)
    }

    async fn complete(
        &self,
        path: &Path,
        session: &str,
        parts: &[Part],
        options: PutOptions,
    ) -> Result<()> {
        let mut store = self.lock();
        store.requests.complete += 1;
        match self.rules.is_staged() {
            true => store.commit_blocks(&self.rules, path, parts, options),
            false => store.complete(&self.rules, (path, session), parts, options),
        }
    }

    async fn abort(&self, path: &Path, session: &str) -> Result<()> {
        let mut store = self.lock();
        store.requests.abort += 1;
        store.abort((path, session));
        Ok(())
    }

    fn sessions(&self, scope: &Scope) -> BoxStream<'static, Result<Session>> {
        let mut store = self.lock();
        store.requests.sessions += 1;
        let sessions = store.parts.sessions(scope);
        stream::iter(sessions.into_iter().map(Ok)).boxed()
    }

    async fn signed_url(&self, _path: &Path, _lifetime: Duration) -> Result<Option<String>> {
        self.lock().requests.signed_url += 1;
        Ok(None)
    }
}
