use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::bucket::Listed;
use crate::protocol::UploadId;

/// The uploads that need no care any more: a sweep does not read their states again.
///
/// An id may be used again, here or on another node. So what is settled is not the upload, but its state as
/// a listing shows it; a listing that shows another one is of an upload to be looked at.
#[derive(Debug, Default)]
pub(super) struct Settled {
    seen: Mutex<HashMap<UploadId, u64>>,
    hashes: RandomState,
}

/// How many are known at most.
const MOST: usize = 1 << 20;

impl Settled {
    /// The state that was listed like this needs no care.
    pub(super) fn insert(&self, id: UploadId, listed: &Listed) {
        let look = self.look(listed);
        let mut seen = self.seen();
        if seen.len() < MOST || seen.contains_key(&id) {
            seen.insert(id, look);
        }
    }

    pub(super) fn contains(&self, id: &UploadId, listed: &Listed) -> bool {
        let look = self.look(listed);
        self.seen().get(id) == Some(&look)
    }

    /// The upload is no more, or a new one.
    pub(super) fn remove(&self, id: &UploadId) {
        self.seen().remove(id);
    }

    fn look(&self, listed: &Listed) -> u64 {
        let Listed {
            path: _,
            size,
            modified,
            tag,
        } = listed;
        self.hashes.hash_one((size, modified, tag))
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<UploadId, u64>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
