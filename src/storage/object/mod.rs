//! Uploads in a bucket of an object store.

mod bucket;

pub use self::bucket::{Bucket, Completion, Listed, OWNER, Object, Part, Profile, Session, Stat};

/// Keeps uploads in a bucket.
#[derive(Debug, Clone)]
pub struct ObjectStorage {
    bucket: std::sync::Arc<dyn Bucket>,
}

impl ObjectStorage {
    /// Uploads in `bucket`.
    #[must_use]
    pub fn new(bucket: impl Bucket) -> Self {
        Self {
            bucket: std::sync::Arc::new(bucket),
        }
    }

    /// How the bucket is.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.bucket.profile()
    }
}
