use std::{
    fmt::Debug,
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{
    Attributes, CopyMode, PutOptions, PutPayload, Result, UpdateVersion, path::Path,
};

use super::{
    profile::Profile,
    scope::{Scope, Session},
};

/// What [`ObjectStorage`](super::ObjectStorage) needs of a store: objects, and objects made of parts.
///
/// Each call is one attempt: nothing is repeated here, for only the caller knows what may be. Errors are
/// those of [`object_store`]: `NotFound`, `AlreadyExists` and `Precondition` of a condition that did not
/// hold, `NotSupported`; after any other the effect may have happened, or may happen yet.
///
/// # Parts
/// [`begin`](Self::begin) opens a session under a path, [`put_part`](Self::put_part) adds numbered parts
/// in any order and with gaps, and [`complete`](Self::complete) makes the object of those it names, in
/// ascending order. Parts that are not named vanish. Until then nothing is to be seen under the path.
#[async_trait]
pub trait Bucket: Debug + Send + Sync + 'static {
    /// What kind of store this is.
    fn profile(&self) -> Profile;

    /// The first `limit` bytes of an object, or all.
    async fn get(&self, path: &Path, limit: Option<u64>) -> Result<Object>;

    /// Writes an object as a whole. `PutMode::Create` and `PutMode::Update` are conditions, to be
    /// checked by the store.
    async fn put(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<UpdateVersion>;

    /// What is known of an object without its bytes.
    async fn stat(&self, path: &Path) -> Result<Stat>;

    /// The bytes of an object. `range` is not empty, and ends within it.
    async fn read(
        &self,
        path: &Path,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>>;

    /// Removes an object. There may be none.
    async fn delete(&self, path: &Path) -> Result<()>;

    /// All objects whose path starts with `prefix`, a whole number of names.
    fn list(&self, prefix: &Path) -> BoxStream<'static, Result<Listed>>;

    /// Makes `to` a copy of `from`, attributes included. Returns when it is whole.
    async fn copy(&self, from: &Path, to: &Path, mode: CopyMode) -> Result<()>;

    /// Makes `to` the bytes of whole objects, one after the other: at most
    /// [`Profile::max_sources`] of them. `options.mode` is a condition if it is `PutMode::Create`.
    async fn compose(&self, sources: &[Path], to: &Path, options: PutOptions) -> Result<()>;

    /// Opens a session. `attributes` are those of the object to be.
    async fn begin(&self, path: &Path, attributes: Attributes) -> Result<String>;

    /// Adds a part, and gives its tag. The caller uses each `number`, from 1 on, only once.
    async fn put_part(
        &self,
        path: &Path,
        session: &str,
        number: u32,
        payload: PutPayload,
    ) -> Result<String>;

    /// Adds a part that is a range of another object, and gives its tag. `NotSupported` where the store
    /// cannot: the caller puts the bytes then.
    async fn copy_part(
        &self,
        path: &Path,
        session: &str,
        number: u32,
        source: &Path,
        range: Range<u64>,
    ) -> Result<String>;

    /// The parts of an open session that are stored, in ascending order. `NotSupported` where a part is
    /// known by its number alone.
    async fn parts(&self, path: &Path, session: &str) -> Result<Vec<Part>>;

    /// Makes parts last ([`Profile::lasting_parts`]). The condition is that nobody else has done so since
    /// the call that gave `expected`; without it, that nobody has at all.
    async fn secure(
        &self,
        path: &Path,
        session: &str,
        parts: &[Part],
        expected: Option<&str>,
    ) -> Result<String>;

    /// Makes the object. `mode` is a condition if it is `PutMode::Create`. May be repeated: what a
    /// store answers to that is up to it. `Precondition` if what is stored under a number has another tag.
    async fn complete(
        &self,
        path: &Path,
        session: &str,
        parts: &[Part],
        options: PutOptions,
    ) -> Result<()>;

    /// Ends a session without an object. There may be none.
    async fn abort(&self, path: &Path, session: &str) -> Result<()>;

    /// The open sessions. Nothing where they vanish by themselves, or cannot be told.
    fn sessions(&self, scope: &Scope) -> BoxStream<'static, Result<Session>>;

    /// A URL under which anybody may read the object for the next `lifetime`; `None` if this store
    /// cannot sign.
    async fn signed_url(&self, path: &Path, lifetime: Duration) -> Result<Option<String>>;
}

/// So that a bucket can be chosen at run time.
#[async_trait]
impl<B: Bucket + ?Sized> Bucket for Arc<B> {
    fn profile(&self) -> Profile {
        (**self).profile()
    }

    async fn get(&self, path: &Path, limit: Option<u64>) -> Result<Object> {
        (**self).get(path, limit).await
    }

    async fn put(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<UpdateVersion> {
        (**self).put(path, payload, options).await
    }

    async fn stat(&self, path: &Path) -> Result<Stat> {
        (**self).stat(path).await
    }

    async fn read(
        &self,
        path: &Path,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        (**self).read(path, range).await
    }

    async fn delete(&self, path: &Path) -> Result<()> {
        (**self).delete(path).await
    }

    fn list(&self, prefix: &Path) -> BoxStream<'static, Result<Listed>> {
        (**self).list(prefix)
    }

    async fn copy(&self, from: &Path, to: &Path, mode: CopyMode) -> Result<()> {
        (**self).copy(from, to, mode).await
    }

    async fn compose(&self, sources: &[Path], to: &Path, options: PutOptions) -> Result<()> {
        (**self).compose(sources, to, options).await
    }

    async fn begin(&self, path: &Path, attributes: Attributes) -> Result<String> {
        (**self).begin(path, attributes).await
    }

    async fn put_part(
        &self,
        path: &Path,
        session: &str,
        number: u32,
        payload: PutPayload,
    ) -> Result<String> {
        (**self).put_part(path, session, number, payload).await
    }

    async fn copy_part(
        &self,
        path: &Path,
        session: &str,
        number: u32,
        source: &Path,
        range: Range<u64>,
    ) -> Result<String> {
        let copied = (**self).copy_part(path, session, number, source, range);
        copied.await
    }

    async fn parts(&self, path: &Path, session: &str) -> Result<Vec<Part>> {
        (**self).parts(path, session).await
    }

    async fn secure(
        &self,
        path: &Path,
        session: &str,
        parts: &[Part],
        expected: Option<&str>,
    ) -> Result<String> {
        (**self).secure(path, session, parts, expected).await
    }

    async fn complete(
        &self,
        path: &Path,
        session: &str,
        parts: &[Part],
        options: PutOptions,
    ) -> Result<()> {
        (**self).complete(path, session, parts, options).await
    }

    async fn abort(&self, path: &Path, session: &str) -> Result<()> {
        (**self).abort(path, session).await
    }

    fn sessions(&self, scope: &Scope) -> BoxStream<'static, Result<Session>> {
        (**self).sessions(scope)
    }

    async fn signed_url(&self, path: &Path, lifetime: Duration) -> Result<Option<String>> {
        (**self).signed_url(path, lifetime).await
    }
}

/// An object, or its beginning.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Object {
    /// Its bytes, as many as were asked for.
    pub bytes: Bytes,
    /// Its size, in bytes.
    pub size: u64,
    /// What `PutMode::Update` takes.
    pub version: UpdateVersion,
}

impl Object {
    /// An object of `size` bytes, of which these are the first.
    #[must_use]
    pub fn new(bytes: Bytes, size: u64, version: UpdateVersion) -> Self {
        Self {
            bytes,
            size,
            version,
        }
    }
}

/// What is known of an object without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stat {
    /// Its size, in bytes.
    pub size: u64,
    /// The attribute [`OWNER`], by which an upload knows its object again.
    pub owner: Option<String>,
    /// What `PutMode::Update` takes.
    pub version: UpdateVersion,
}

impl Stat {
    /// Size, owner, version.
    #[must_use]
    pub fn new(size: u64, owner: Option<String>, version: UpdateVersion) -> Self {
        Self {
            size,
            owner,
            version,
        }
    }
}

/// The user-defined attribute that names the upload an object was made by.
///
/// Letters only: no store takes every other name.
pub const OWNER: &str = "tusid";

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// Where it is.
    pub path: Path,
    /// Its size, in bytes.
    pub size: u64,
    /// When it was written, by the store's clock.
    pub modified: SystemTime,
    /// The store's name for its content, an ETag, if the listing has it.
    pub tag: Option<String>,
}

impl Listed {
    /// Path, size, time; no tag.
    #[must_use]
    pub fn new(path: Path, size: u64, modified: SystemTime) -> Self {
        Self {
            path,
            size,
            modified,
            tag: None,
        }
    }

    /// With the store's name for its content. Without one, what is written twice within one tick of the
    /// store's clock looks the same in a listing. Default: none.
    ///
    /// ```
    /// use std::time::SystemTime;
    /// use object_store::path::Path;
    /// use tower_tus::storage::object::Listed;
    ///
    /// let listed = Listed::new(Path::from("a"), 5, SystemTime::UNIX_EPOCH).tag("\"5d41\"");
    /// assert_eq!(listed.tag.as_deref(), Some("\"5d41\""));
    /// ```
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }
}

/// A part that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// From 1 on.
    pub number: u32,
    /// The store's name for its content: an ETag, and behind spaces whatever checksums it has, as
    /// `NAME=value`.
    pub tag: String,
    /// In bytes.
    pub size: u64,
}

impl Part {
    /// This part by the tag that it has in the store by now, if that is another and the content is the
    /// same: its size is, and each checksum that both have.
    pub(super) fn renewed(&self, stored: &Self) -> Option<Self> {
        let mut words = self.tag.split(' ');
        let old = words.next()?;
        let checksums: Vec<_> = words.collect();
        let mut words = stored.tag.split(' ');
        let new = words.next()?;
        let differs = words.any(|checksum| {
            let name = checksum.split_once('=').map(|(name, _)| name);
            let known = checksums.iter().filter_map(|known| known.split_once('='));
            known
                .filter(|(known, _)| Some(*known) == name)
                .any(|(name, value)| checksum != format!("{name}={value}"))
        });
        if new == old || differs || self.size != stored.size {
            return None;
        }
        let tag = [&[new], &checksums[..]].concat().join(" ");
        Some(Self::new(self.number, tag, self.size))
    }

    /// Number, tag, size.
    #[must_use]
    pub fn new(number: u32, tag: impl Into<String>, size: u64) -> Self {
        Self {
            number,
            tag: tag.into(),
            size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_renewed_if_its_content_is_the_same() {
        let part = |tag| Part::new(1, tag, 5);
        let renewed = |old, new| part(old).renewed(&part(new)).map(|part| part.tag);
        assert_eq!(renewed("a", "b").unwrap(), "b");
        assert_eq!(renewed("a SUM=1", "b").unwrap(), "b SUM=1");
        assert_eq!(renewed("a SUM=1", "b SUM=1 MORE=2").unwrap(), "b SUM=1");
        assert_eq!(renewed("a SUM=1", "b SUM=2"), None);
        assert_eq!(renewed("a SUM=1", "a"), None);
        assert_eq!(part("a").renewed(&Part::new(1, "b", 6)), None);
    }
}
