//! Where the URLs of unfinished uploads are kept, so that they go on after a restart.
//!
//! [`FileUrlStore`] keeps them in a JSON file, `SqliteUrlStore` (feature `client-sqlite`) in a database,
//! each for any number of processes, and [`MemoryUrlStore`] for one.
//!
//! # A store of one's own
//!
//! It is a [`UrlStore`], and everything that it takes to write one is in this module. The functions of
//! `conformance` (a feature) say whether it does what it has to.
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use tower_tus::client::url_store::{
//!     BoxError, Claim, Key, StoredUpload, UrlStore, async_trait,
//! };
//!
//! /// The latest upload of one program, which uploads one after the other.
//! #[derive(Debug, Default)]
//! struct Latest {
//!     upload: Mutex<Option<StoredUpload>>,
//!     busy: Arc<tokio::sync::Mutex<()>>,
//! }
//!
//! #[async_trait]
//! impl UrlStore for Latest {
//!     async fn find(&self, key: &Key) -> Result<Option<StoredUpload>, BoxError> {
//!         let upload = self.upload.lock().unwrap();
//!         Ok(upload.clone().filter(|upload| upload.key == *key))
//!     }
//!
//!     async fn save(&self, upload: &StoredUpload) -> Result<(), BoxError> {
//!         *self.upload.lock().unwrap() = Some(upload.clone());
//!         Ok(())
//!     }
//!
//!     async fn remove(&self, key: &Key) -> Result<(), BoxError> {
//!         self.upload.lock().unwrap().take_if(|upload| upload.key == *key);
//!         Ok(())
//!     }
//!
//!     async fn list(&self) -> Result<Vec<StoredUpload>, BoxError> {
//!         Ok(self.upload.lock().unwrap().clone().into_iter().collect())
//!     }
//!
//!     async fn claim(&self, _: &Key) -> Result<Option<Claim>, BoxError> {
//!         Ok(self.busy.clone().try_lock_owned().ok().map(Claim::new))
//!     }
//! }
//! # use tower_tus::{TusService, client::{Client, Fingerprint, Source}, storage::MemoryStorage};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let tus = TusService::new(MemoryStorage::new());
//! # let client = Client::with_service("http://localhost/files".parse()?, tus);
//! # let store: Arc<dyn UrlStore> = Arc::new(Latest::default());
//! # let upload = || client
//! #     .upload(Source::bytes("hello"))
//! #     .fingerprint(Fingerprint::sha256())
//! #     .shared_store(store.clone());
//! # upload().stop_at(3).await?;
//! # assert_eq!(upload().await?.resumed_from(), 3);
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "conformance")]
pub mod conformance;
mod disk;
mod file;
mod memory;
#[cfg(feature = "client-sqlite")]
mod sqlite;
#[cfg(all(test, feature = "conformance"))]
mod tests;

use std::{
    any::Any,
    fmt::{self, Debug},
    time::SystemTime,
};

use http::Uri;

#[cfg(feature = "client-sqlite")]
pub use self::sqlite::SqliteUrlStore;
pub use self::{file::FileUrlStore, memory::MemoryUrlStore};
#[doc(no_inline)]
pub use {crate::protocol::Metadata, async_trait::async_trait, tower::BoxError};

use super::uri::Shown;

/// Keeps the URLs of uploads.
///
/// Entries are found by their [`Key`]; there is at most one of a key. A store may be shared by any
/// number of clients, tasks and, where it says so, processes. Nothing of it is called while the body of an
/// upload is sent; of one in parts, bodies of other parts may be.
///
/// The client decides what is kept: no header, no userinfo, and no URL with a query unless asked.
#[async_trait]
pub trait UrlStore: Debug + Send + Sync + 'static {
    /// The entry of `key`, if there is one.
    async fn find(&self, key: &Key) -> Result<Option<StoredUpload>, BoxError>;

    /// Keeps the entry and replaces the one of the same key. Afterwards a crash does not lose it,
    /// unless the store says so; during a crash either the old or the new one stays.
    async fn save(&self, upload: &StoredUpload) -> Result<(), BoxError>;

    /// Removes the entry of `key`; none is fine.
    async fn remove(&self, key: &Key) -> Result<(), BoxError>;

    /// All entries, oldest first.
    async fn list(&self) -> Result<Vec<StoredUpload>, BoxError>;

    /// Makes the caller the only one who uploads what `key` names, until the claim is dropped or its
    /// process ends. `None` while somebody else is. Does not wait.
    async fn claim(&self, key: &Key) -> Result<Option<Claim>, BoxError>;

    /// Removes the entries that were created before `time`, except those that are claimed; the number
    /// of them.
    async fn prune(&self, time: SystemTime) -> Result<usize, BoxError> {
        let mut removed = 0;
        for upload in self.list().await? {
            if upload.created >= time {
                continue;
            }
            let Some(_claim) = self.claim(&upload.key).await? else {
                continue;
            };
            // Somebody may have begun anew and stopped since the list was read.
            let found = self.find(&upload.key).await?;
            if found.is_some_and(|upload| upload.created < time) {
                self.remove(&upload.key).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// What an entry is found by: the content, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Key {
    /// What the [`Fingerprint`](super::Fingerprint) said.
    pub fingerprint: String,
    /// The endpoint, without userinfo, and with a short hash in the place of a query.
    pub endpoint: String,
}

impl Key {
    /// A key.
    #[must_use]
    pub fn new(fingerprint: impl Into<String>, endpoint: impl Into<String>) -> Self {
        Self {
            fingerprint: fingerprint.into(),
            endpoint: endpoint.into(),
        }
    }
}

/// One upload that may go on.
///
/// `Debug` shows no query: there may be a token in it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredUpload {
    /// What it is found by.
    pub key: Key,
    /// The upload's URL. `None` while only the parts of a parallel upload have one.
    pub url: Option<Uri>,
    /// Size of the content in bytes, where it was known.
    pub size: Option<u64>,
    /// What was attached.
    pub metadata: Metadata,
    /// When the upload was created; stores keep whole seconds at least.
    pub created: SystemTime,
    /// The parts of a parallel upload, in their order. Empty for others.
    pub parts: Vec<StoredPart>,
}

impl StoredUpload {
    /// An entry without a URL, size, metadata and parts.
    #[must_use]
    pub fn new(key: Key, created: SystemTime) -> Self {
        Self {
            key,
            url: None,
            size: None,
            metadata: Metadata::default(),
            created,
            parts: Vec::new(),
        }
    }
}

impl Debug for StoredUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredUpload")
            .field("key", &self.key)
            .field("url", &self.url.as_ref().map(Shown))
            .field("size", &self.size)
            .field("metadata", &self.metadata)
            .field("created", &self.created)
            .field("parts", &self.parts)
            .finish()
    }
}

/// A part of a parallel upload.
///
/// `Debug` shows no query: there may be a token in it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredPart {
    /// Where it is.
    pub url: Uri,
    /// The first of its bytes in the whole.
    pub start: u64,
    /// How many they are.
    pub length: u64,
}

impl StoredPart {
    /// A part of `length` bytes from `start` on.
    #[must_use]
    pub fn new(url: Uri, start: u64, length: u64) -> Self {
        Self { url, start, length }
    }
}

impl Debug for StoredPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredPart")
            .field("url", &Shown(&self.url))
            .field("start", &self.start)
            .field("length", &self.length)
            .finish()
    }
}

/// Whoever has it is the only one who uploads a key's content. Dropping it gives it back.
#[must_use = "a claim that is dropped is given back"]
pub struct Claim(
    #[expect(dead_code, reason = "it is there to be dropped")] Box<dyn Any + Send + Sync>,
);

impl Claim {
    /// A claim that is given back by dropping `guard`.
    pub fn new(guard: impl Send + Sync + 'static) -> Self {
        Self(Box::new(guard))
    }
}

impl Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claim")
    }
}
