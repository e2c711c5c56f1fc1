use std::{
    collections::HashMap,
    fs::File,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::lock::LockedFile;
use crate::{
    protocol::UploadId,
    storage::{Error, Result},
};

/// The uploads this process writes to.
///
/// Between processes the lock of the operating system on the data file fences. Within this one, a new
/// writer takes the locked file from the old one, whose [`Lease`] is void from then on.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<HashMap<UploadId, Arc<Slot>>>);

/// The one place of an upload's writer. Everything that changes the upload is done under its lock.
#[derive(Debug, Default)]
pub(super) struct Slot(Mutex<Writer>);

#[derive(Debug, Default)]
pub(super) struct Writer {
    /// The data file, locked, while a lease is in force.
    pub(super) file: Option<LockedFile>,
    epoch: u64,
}

/// The right to write to an upload, until it is dropped or somebody else takes it.
#[derive(Debug)]
pub(super) struct Lease {
    leases: Arc<Leases>,
    slot: Arc<Slot>,
    id: UploadId,
    epoch: u64,
}

impl Leases {
    /// Runs `f` with nobody else changing the upload in this process.
    pub(super) fn exclusively<T>(
        self: &Arc<Self>,
        id: &UploadId,
        f: impl FnOnce(&mut Writer) -> Result<T>,
    ) -> Result<T> {
        let slot = self.slot(id);
        let result = f(&mut slot.lock());
        self.release(id, slot);
        result
    }

    /// Takes the upload. `open` gives its locked file, which is that of the earlier writer if there is
    /// one; if it fails and leaves that where it is, the earlier writer stays in force.
    pub(super) fn take(
        self: &Arc<Self>,
        id: &UploadId,
        open: impl FnOnce(&mut Option<LockedFile>) -> Result<()>,
    ) -> Result<Lease> {
        let slot = self.slot(id);
        let opened = {
            let mut writer = slot.lock();
            open(&mut writer.file).map(|()| {
                writer.epoch += 1;
                writer.epoch
            })
        };
        match opened {
            Ok(epoch) => Ok(Lease {
                leases: Arc::clone(self),
                slot,
                id: id.clone(),
                epoch,
            }),
            Err(error) => {
                self.release(id, slot);
                Err(error)
            }
        }
    }

    fn slot(&self, id: &UploadId) -> Arc<Slot> {
        Arc::clone(self.map().entry(id.clone()).or_default())
    }

    /// Forgets the slot if `slot` was the last use of it.
    fn release(&self, id: &UploadId, slot: Arc<Slot>) {
        let mut map = self.map();
        drop(slot);
        if map.get(id).is_some_and(|slot| Arc::strong_count(slot) == 1) {
            map.remove(id);
        }
    }

    fn map(&self) -> MutexGuard<'_, HashMap<UploadId, Arc<Slot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Writer> {
        // The file is as whole after a panic as before: all state is in the file system.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Ends the lease in force, if there is one.
    pub(super) fn revoke(&mut self) {
        self.epoch += 1;
        self.file = None;
    }
}

impl Lease {
    /// Runs `f` on the file, if the lease is in force.
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut File) -> Result<T>) -> Result<T> {
        let mut writer = self.slot.lock();
        match &mut *writer {
            Writer {
                file: Some(file),
                epoch,
            } if *epoch == self.epoch => f(file),
            _ => Err(Error::Superseded(self.id.clone())),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        {
            let mut writer = self.slot.lock();
            if writer.epoch == self.epoch {
                writer.file = None;
            }
        }
        let slot = std::mem::take(&mut self.slot);
        self.leases.release(&self.id, slot);
    }
}
