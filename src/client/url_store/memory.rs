use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use tower::BoxError;

use super::{Claim, Key, StoredUpload, UrlStore};

/// Upload URLs in memory: they end with the process. Clones are one store.
#[derive(Debug, Clone, Default)]
pub struct MemoryUrlStore {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    uploads: HashMap<Key, StoredUpload>,
    claimed: HashSet<Key>,
}

impl MemoryUrlStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl UrlStore for MemoryUrlStore {
    async fn find(&self, key: &Key) -> Result<Option<StoredUpload>, BoxError> {
        Ok(self.state().uploads.get(key).cloned())
    }

    async fn save(&self, upload: &StoredUpload) -> Result<(), BoxError> {
        let upload = upload.clone();
        self.state().uploads.insert(upload.key.clone(), upload);
        Ok(())
    }

    async fn remove(&self, key: &Key) -> Result<(), BoxError> {
        self.state().uploads.remove(key);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<StoredUpload>, BoxError> {
        let mut uploads: Vec<_> = self.state().uploads.values().cloned().collect();
        uploads.sort_by_key(|upload| upload.created);
        Ok(uploads)
    }

    async fn claim(&self, key: &Key) -> Result<Option<Claim>, BoxError> {
        if !self.state().claimed.insert(key.clone()) {
            return Ok(None);
        }
        Ok(Some(Claim::new(Claimed {
            store: self.clone(),
            key: key.clone(),
        })))
    }
}

struct Claimed {
    store: MemoryUrlStore,
    key: Key,
}

impl Drop for Claimed {
    fn drop(&mut self) {
        self.store.state().claimed.remove(&self.key);
    }
}
