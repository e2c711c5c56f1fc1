//! What each owner has, and may have.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures::StreamExt;
use tokio::sync::{RwLock, RwLockReadGuard};

use super::maintain::give_turns;
use crate::{
    protocol::{
        Error, Kind, Length, Limits, Oversized, Owner, Upload, UploadId, header::UPLOAD_LENGTH,
    },
    storage::Storage,
};

/// What one owner may have.
///
/// The uploads of an owner are counted once, before its first creation after a start, by listing the storage;
/// from then on each process counts what it does itself. Within one process the limits are exact, however many
/// requests race. Of several nodes each sees what was there when it started and what it did: together they may
/// let each owner have as much more as the others have let in since.
///
/// An unfinished upload counts with its whole length from its creation on; one whose length is not known yet
/// with the largest size it may have. Where the number of bytes is limited and no largest size is, such an
/// upload is refused with 400. A final upload counts as soon as the lengths of its parts are known, beside
/// the parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnerLimits {
    max_uploads: Option<usize>,
    max_unfinished_bytes: Option<u64>,
    max_stored_bytes: Option<u64>,
}

impl OwnerLimits {
    /// Most uploads of an owner that are unfinished at the same time, parts included; beyond it 429 with
    /// `Retry-After`. Default: no limit.
    #[must_use]
    pub fn max_uploads(mut self, uploads: usize) -> Self {
        self.max_uploads = Some(uploads);
        self
    }

    /// Most bytes of an owner's unfinished uploads together; beyond it 429 with `Retry-After`, and 413 for an
    /// upload that alone is larger. Default: no limit.
    #[must_use]
    pub fn max_unfinished_bytes(mut self, bytes: u64) -> Self {
        self.max_unfinished_bytes = Some(bytes);
        self
    }

    /// Most bytes of an owner's uploads together, unfinished or finished; beyond it 413. A finished upload
    /// counts until it is terminated, even if the application has moved its file. Default: no limit.
    #[must_use]
    pub fn max_stored_bytes(mut self, bytes: u64) -> Self {
        self.max_stored_bytes = Some(bytes);
        self
    }

    fn limits_bytes(&self) -> bool {
        self.max_unfinished_bytes.is_some() || self.max_stored_bytes.is_some()
    }
}

/// The uploads of all owners, as far as they count.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Whether the uploads have been counted. What changes them holds it for reading.
    counted: RwLock<Counted>,
    accounts: Mutex<HashMap<Owner, Account>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Counted {
    #[default]
    No,
    Yes,
}

#[derive(Debug, Default)]
struct Account {
    /// What each unfinished upload counts.
    unfinished: HashMap<UploadId, u64>,
    unfinished_bytes: u64,
    finished_bytes: u64,
}

/// Something about uploads is about to change; nobody counts them meanwhile.
#[derive(Debug)]
#[must_use]
pub(super) struct Change<'l> {
    ledger: &'l Ledger,
    counted: RwLockReadGuard<'l, Counted>,
}

impl Ledger {
    /// Waits while the uploads are counted.
    pub(super) async fn change(&self) -> Change<'_> {
        Change {
            ledger: self,
            counted: self.counted.read().await,
        }
    }

    /// As [`change`](Self::change), with the uploads counted.
    pub(super) async fn counted(&self, storage: &dyn Storage) -> Change<'_> {
        let change = self.change().await;
        if *change.counted == Counted::Yes {
            return change;
        }
        drop(change);
        let mut counted = self.counted.write().await;
        if *counted == Counted::No {
            self.count(storage).await;
            *counted = Counted::Yes;
        }
        Change {
            ledger: self,
            counted: counted.downgrade(),
        }
    }

    async fn count(&self, storage: &dyn Storage) {
        let mut accounts = HashMap::<Owner, Account>::new();
        let mut uploads = storage.list();
        let mut seen = 0;
        while let Some(upload) = uploads.next().await {
            give_turns(&mut seen).await;
            let upload = match upload {
                Ok(upload) => upload,
                Err(error) => {
                    tracing::error!(%error, "an upload is not counted for its owner");
                    continue;
                }
            };
            let Some(owner) = upload.owner.clone() else {
                continue;
            };
            let account = accounts.entry(owner).or_default();
            if upload.is_finished() {
                account.finished_bytes += upload.offset;
            } else {
                let charge = upload.length.known().or(upload.max_size);
                account.open(&upload.id, charge.unwrap_or(upload.offset));
            }
        }
        *self.accounts() = accounts;
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<Owner, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Change<'_> {
    /// Makes room for a new upload, if its owner may have it.
    pub(super) fn reserve(
        &self,
        upload: &Upload,
        own: &OwnerLimits,
        limits: &Limits,
    ) -> Result<(), Error> {
        let Some(owner) = &upload.owner else {
            return Ok(());
        };
        let charge = charge(upload, own, limits)?;
        let mut accounts = self.ledger.accounts();
        let account = accounts.entry(owner.clone()).or_default();
        let allowed = account.allows(charge, own);
        if allowed.is_ok() {
            account.open(&upload.id, charge);
        }
        account.is_empty().then(|| accounts.remove(owner));
        allowed
    }

    /// The length of an upload has become known.
    pub(super) fn declared(&self, upload: &Upload) {
        let Some(length) = upload.length.known() else {
            return;
        };
        self.with_account(upload, |account| {
            if account.close(&upload.id).is_some() {
                account.open(&upload.id, length);
            }
        });
    }

    /// An upload is finished.
    pub(super) fn finished(&self, upload: &Upload) {
        self.with_account(upload, |account| {
            if account.close(&upload.id).is_some() {
                account.finished_bytes += upload.offset;
            }
        });
    }

    /// An upload is removed, or was not made after all.
    pub(super) fn gone(&self, upload: &Upload) {
        self.with_account(upload, |account| {
            if account.close(&upload.id).is_none() && upload.is_finished() {
                account.finished_bytes = account.finished_bytes.saturating_sub(upload.offset);
            }
        });
    }

    fn with_account(&self, upload: &Upload, change: impl FnOnce(&mut Account)) {
        // What has not been counted yet will be counted as it is then.
        let Some(owner) = upload
            .owner
            .as_ref()
            .filter(|_| *self.counted == Counted::Yes)
        else {
            return;
        };
        let mut accounts = self.ledger.accounts();
        if let Some(account) = accounts.get_mut(owner) {
            change(account);
            account.is_empty().then(|| accounts.remove(owner));
        }
    }
}

impl Account {
    fn allows(&self, charge: u64, limits: &OwnerLimits) -> Result<(), Error> {
        let unfinished = self.unfinished_bytes.saturating_add(charge);
        let stored = self.finished_bytes.saturating_add(unfinished);
        if limits.max_stored_bytes.is_some_and(|max| stored > max) {
            return Err(Error::QuotaExceeded);
        }
        if limits.max_unfinished_bytes.is_some_and(|max| charge > max) {
            return Err(Error::TooLarge(Oversized::Upload));
        }
        let crowded = limits
            .max_uploads
            .is_some_and(|max| self.unfinished.len() >= max);
        if crowded
            || limits
                .max_unfinished_bytes
                .is_some_and(|max| unfinished > max)
        {
            return Err(Error::TooManyUploads);
        }
        Ok(())
    }

    fn open(&mut self, id: &UploadId, charge: u64) {
        self.unfinished_bytes = self.unfinished_bytes.saturating_add(charge);
        self.unfinished.insert(id.clone(), charge);
    }

    fn close(&mut self, id: &UploadId) -> Option<u64> {
        let charge = self.unfinished.remove(id)?;
        self.unfinished_bytes = self.unfinished_bytes.saturating_sub(charge);
        Some(charge)
    }

    fn is_empty(&self) -> bool {
        self.unfinished.is_empty() && self.finished_bytes == 0
    }
}

/// What a new upload counts.
fn charge(upload: &Upload, own: &OwnerLimits, limits: &Limits) -> Result<u64, Error> {
    match (upload.length, &upload.kind) {
        (Length::Known(length), _) => Ok(length),
        (Length::Deferred, Kind::Final(_)) => Ok(0),
        (Length::Deferred, _) if !own.limits_bytes() => Ok(0),
        (Length::Deferred, _) => match limits.of(upload).max_size {
            Some(largest) => Ok(largest),
            None => Err(Error::MissingHeader(UPLOAD_LENGTH)),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::storage::MemoryStorage;

    fn upload(id: &str, length: Length) -> Upload {
        let mut upload = Upload::new(id.parse().unwrap(), length, SystemTime::now());
        upload.owner = Some("me".into());
        upload
    }

    #[tokio::test]
    async fn what_is_there_counts_and_what_goes_makes_room() {
        let (storage, ledger) = (MemoryStorage::new(), Ledger::default());
        let first = upload("a", Length::Known(6));
        storage.create(&first).await.unwrap();
        let own = OwnerLimits::default().max_stored_bytes(10).max_uploads(2);
        let limits = Limits::default();
        let books = ledger.counted(&storage).await;
        let reserve = |upload: &Upload| books.reserve(upload, &own, &limits);
        assert_eq!(
            reserve(&upload("b", Length::Known(5))),
            Err(Error::QuotaExceeded)
        );
        let second = upload("c", Length::Known(4));
        assert_eq!(reserve(&second), Ok(()));
        assert_eq!(
            reserve(&upload("d", Length::Known(0))),
            Err(Error::TooManyUploads)
        );
        let mut done = second.clone();
        done.offset = 4;
        books.finished(&done);
        assert_eq!(
            reserve(&upload("e", Length::Known(1))),
            Err(Error::QuotaExceeded)
        );
        books.gone(&first);
        assert_eq!(reserve(&upload("f", Length::Known(6))), Ok(()));
        assert_eq!(
            reserve(&upload("g", Length::Deferred)),
            Err(Error::MissingHeader(UPLOAD_LENGTH))
        );
    }
}
