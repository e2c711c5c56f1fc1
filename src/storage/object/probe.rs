//! Whether a store does what it should.

use object_store::{Error as StoreError, PutMode, PutPayload, path::Path};

use super::{
    Nodes,
    retry::{ANSWER, retry},
    shared::{Shared, backend, nonce},
};
use crate::storage::{Error, Result};

impl Shared {
    /// Tries what everything rests on: that a condition of a write is looked at.
    pub(super) async fn check(&self) -> Result<()> {
        let path = self.layout.probe(&nonce()?);
        let honoured = self.conditions_are_honoured(&path).await;
        let removed = self.remove(&path).await;
        let honoured = honoured?;
        removed?;
        match (honoured, self.settings.nodes) {
            (true, _) => Ok(()),
            (false, Nodes::One) => {
                tracing::warn!("the store ignores conditions: no other node may use the bucket");
                Ok(())
            }
            (false, Nodes::Many) => Err(Error::Unsupported(
                "the store ignores the conditions If-None-Match and If-Match of a write, so several \
                 nodes would overwrite each other's uploads; it can be used by a single node, if that \
                 is said explicitly"
                    .to_owned(),
            )),
        }
    }

    async fn conditions_are_honoured(&self, path: &Path) -> Result<bool> {
        if self.probe(path, "1", PutMode::Overwrite).await?.is_none() {
            return Ok(false);
        }
        if self.probe(path, "2", PutMode::Create).await?.is_some() {
            return Ok(false);
        }
        let stat = retry(ANSWER, || self.bucket().stat(path)).await;
        let version = stat.map_err(backend)?.version;
        let current = PutMode::Update(version.clone());
        if self.probe(path, "3", current).await?.is_none() {
            return Ok(false);
        }
        // The version that has just been replaced.
        let stale = PutMode::Update(version);
        Ok(self.probe(path, "4", stale).await?.is_none())
    }

    /// Writes, and tells whether the store did so.
    async fn probe(&self, path: &Path, text: &'static str, mode: PutMode) -> Result<Option<()>> {
        let payload = PutPayload::from_static(text.as_bytes());
        let put = retry(ANSWER, || {
            let options = mode.clone().into();
            self.bucket().put(path, payload.clone(), options)
        });
        match put.await {
            Ok(_) => Ok(Some(())),
            Err(
                StoreError::AlreadyExists { .. }
                | StoreError::Precondition { .. }
                | StoreError::NotSupported { .. }
                | StoreError::NotImplemented { .. },
            ) => Ok(None),
            Err(error) => Err(backend(error)),
        }
    }
}
