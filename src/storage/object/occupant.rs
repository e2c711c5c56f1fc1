//! Whose object is under a key.

use object_store::{Error as StoreError, path::Path};

use super::{
    bucket::Stat,
    retry::{ANSWER, retry},
    shared::{Shared, backend},
};
use crate::{
    protocol::{Kind, Upload},
    storage::{Collision, Error, Result, record::has_name_of_its_own},
};

/// Whose object is where an upload is to be.
pub(super) enum Occupant {
    Nobody,
    Itself(Stat),
    Another(Stat),
}

impl Shared {
    /// What is under a path.
    pub(super) async fn find(&self, path: &Path, upload: &Upload) -> Result<Occupant> {
        match retry(ANSWER, || self.bucket().stat(path)).await {
            Ok(stat) => Ok(match &stat.owner {
                Some(owner) if owner == upload.id.as_str() => Occupant::Itself(stat),
                None if has_name_of_its_own(upload) => Occupant::Itself(stat),
                _ => Occupant::Another(stat),
            }),
            Err(StoreError::NotFound { .. }) => Ok(Occupant::Nobody),
            Err(error) => Err(backend(error)),
        }
    }

    /// Whether there is something under the key of a new upload that may not be replaced.
    pub(super) async fn is_taken(&self, upload: &Upload) -> Result<bool> {
        if has_name_of_its_own(upload) || self.may_replace(upload) {
            return Ok(false);
        }
        let target = self.layout.target(upload);
        Ok(!matches!(
            self.find(&target, upload).await?,
            Occupant::Nobody
        ))
    }

    /// Whether an object is the upload's own.
    pub(super) async fn is_own(&self, path: &Path, upload: &Upload) -> Result<bool> {
        Ok(matches!(
            self.find(path, upload).await?,
            Occupant::Itself(_)
        ))
    }

    pub(super) fn may_replace(&self, upload: &Upload) -> bool {
        self.settings.collision == Collision::Replace || upload.kind == Kind::Partial
    }
}

pub(super) fn taken(upload: &Upload) -> Error {
    Error::AlreadyExists(upload.key.to_string())
}
