//! What of an upload is kept in a URL store.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use http::Uri;
use tokio::time::sleep;
use tower::BoxError;

use super::{AfterSuccess, QueryUrls, Resume, WhenClaimed};
use crate::client::{
    Error,
    error::Kind,
    source::Opened,
    uri::{Shown, split_userinfo},
    url_store::{Claim, Key, StoredPart, StoredUpload},
};
use crate::protocol::Metadata;

/// The entry of a running upload, if it has one.
pub(super) struct Record {
    resume: Resume,
    entry: Option<Entry>,
}

struct Entry {
    upload: Mutex<StoredUpload>,
    /// Held while something is saved.
    saving: tokio::sync::Mutex<()>,
    _claim: Claim,
}

impl Record {
    /// Of an upload that nobody finds again.
    pub(super) fn none() -> Self {
        Self {
            resume: Resume::default(),
            entry: None,
        }
    }

    /// The entry of the source, found or new, for nobody else to use at the same time.
    pub(super) async fn open(
        endpoint: String,
        resume: Resume,
        source: &mut Opened,
        metadata: Metadata,
    ) -> Result<Self, Error> {
        let Some(store) = resume.store.clone() else {
            return Ok(Self::none());
        };
        let Some(fingerprint) = resume.fingerprint.of(source).await.map_err(Error::read)? else {
            tracing::debug!("the source has no fingerprint: the upload is not stored");
            return Ok(Self::none());
        };
        let key = Key::new(fingerprint, endpoint);
        let claim = loop {
            match (store.claim(&key).await.map_err(failed)?, resume.claimed) {
                (Some(claim), _) => break claim,
                (None, WhenClaimed::Fail) => return Err(Error::new(Kind::Claimed)),
                (None, WhenClaimed::Wait) => sleep(POLL).await,
            }
        };
        let found = store.find(&key).await.map_err(failed)?;
        let upload = found.unwrap_or_else(|| StoredUpload {
            size: source.length(),
            metadata,
            ..StoredUpload::new(key, SystemTime::now())
        });
        Ok(Self {
            resume,
            entry: Some(Entry {
                upload: Mutex::new(upload),
                saving: tokio::sync::Mutex::default(),
                _claim: claim,
            }),
        })
    }

    /// Where the upload is, if it was begun before.
    pub(super) fn url(&self) -> Option<Uri> {
        self.upload()?.url.clone()
    }

    /// The parts that were begun before, perhaps of another division of the content.
    pub(super) fn parts(&self) -> Vec<StoredPart> {
        let upload = self.upload();
        upload.map_or_else(Vec::new, |upload| upload.parts.clone())
    }

    /// The upload was created.
    pub(super) async fn created(&self, url: &Uri) {
        let changed = self.changed(url, |upload| {
            upload.url = Some(url.clone());
            upload.created = SystemTime::now();
        });
        self.save(changed).await;
    }

    /// A part was created, perhaps in the place of one that is gone.
    pub(super) async fn part_created(&self, created: StoredPart, gone: Option<&Uri>) {
        let url = created.url.clone();
        let changed = self.changed(&url, |upload| {
            upload.parts.retain(|part| Some(&part.url) != gone);
            upload.parts.push(created);
            upload.parts.sort_by_key(|part| (part.start, part.length));
        });
        self.save(changed).await;
    }

    /// The upload is whole, and its parts are not needed any more.
    pub(super) async fn joined(&self, url: &Uri) {
        let changed = self.changed(url, |upload| {
            upload.url = Some(url.clone());
            upload.parts.clear();
        });
        self.save(changed).await;
    }

    /// The upload is done. Its entry goes or stays; nobody is told if that fails.
    pub(super) async fn finished(&self) {
        if self.resume.after == AfterSuccess::Remove {
            self.remove().await;
        }
    }

    pub(super) async fn remove(&self) {
        let key = match self.upload() {
            Some(upload) => upload.key.clone(),
            None => return,
        };
        if let Some(store) = &self.resume.store
            && let Err(error) = store.remove(&key).await
        {
            tracing::warn!(%error, "an entry stays in the URL store");
        }
    }

    /// Changes the entry, unless it must not have this URL.
    fn changed(&self, url: &Uri, change: impl FnOnce(&mut StoredUpload)) -> Changed {
        let Some(entry) = &self.entry else {
            return Changed::No;
        };
        let is_secret = url.query().is_some() && self.resume.queries == QueryUrls::Forgotten;
        if is_secret || split_userinfo(url).0.is_some() {
            tracing::warn!(
                url = %Shown(url),
                "the upload's URL may hold a secret: it is not stored, see Upload::store_queries"
            );
            return Changed::No;
        }
        let mut upload = entry.upload.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut upload);
        Changed::Yes
    }

    /// An upload that works does not end because its entry is not kept.
    async fn save(&self, changed: Changed) {
        let (Changed::Yes, Some(store), Some(entry)) = (changed, &self.resume.store, &self.entry)
        else {
            return;
        };
        // Parts are created at the same time: what is saved last has to be what was changed last.
        let _saving = entry.saving.lock().await;
        let newest = {
            let upload = entry.upload.lock().unwrap_or_else(PoisonError::into_inner);
            upload.clone()
        };
        if let Err(error) = store.save(&newest).await {
            tracing::warn!(%error, "the upload's entry is not in the URL store: it may not be resumed");
        }
    }

    fn upload(&self) -> Option<MutexGuard<'_, StoredUpload>> {
        let entry = self.entry.as_ref()?;
        Some(entry.upload.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether there is something to save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changed {
    Yes,
    No,
}

fn failed(error: BoxError) -> Error {
    Error::new(Kind::Store).because(error)
}

/// How often a claim is asked for that somebody else has.
const POLL: Duration = Duration::from_millis(500);

/// Shared by the parts of an upload.
pub(super) type SharedRecord = Arc<Record>;
