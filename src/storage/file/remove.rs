//! Removing uploads, and what no upload refers to.

use std::{fs, io, path::Path, time::SystemTime};

use super::{
    Shared,
    info::{Info, Reach},
    layout::Layout,
};
use crate::{
    protocol::{Upload, UploadId},
    storage::{Error, Result},
};

impl Shared {
    pub(super) fn delete(&self, id: &UploadId) -> Result<()> {
        self.leases.exclusively(id, |writer| {
            let lock = match writer.file {
                Some(_) => None,
                None => match self.lock_data(id) {
                    Ok(file) => Some(file),
                    // Finished: there is no data file to lock.
                    Err(Error::Conflict(_)) => None,
                    Err(Error::NotFound(_)) => return Ok(()),
                    Err(error) => return Err(error),
                },
            };
            let loaded = self.load(id, Reach::Kernel);
            let record = Info::read(&self.layout, id);
            let (upload, info) = match (loaded, record) {
                (Ok(upload), Ok(info)) => (upload, info),
                (Err(Error::NotFound(_)), _) | (_, Err(Error::NotFound(_))) => return Ok(()),
                (Err(error), _) | (_, Err(error)) => return Err(error),
            };
            writer.revoke();
            if !upload.is_finished() {
                // Record first: without the data it would say that the upload is finished.
                remove(&self.layout.info(id))?;
                let removed = fs::remove_file(self.layout.data(id));
                drop(lock);
                return match removed {
                    // Another process has finished it at this moment.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        self.remove_finished(&upload, &info)
                    }
                    removed => Ok(removed?),
                };
            }
            let _record = match self.lock_record(id) {
                Ok(lock) => lock,
                Err(Error::NotFound(_)) => return Ok(()),
                // The record is being replaced at this moment.
                Err(Error::Conflict(_)) => return Err(Error::Locked(id.clone())),
                Err(error) => return Err(error),
            };
            // Data first: with the record the deletion can be repeated.
            self.remove_finished(&upload, &info)?;
            remove(&self.layout.info(id))
        })
    }

    /// Removes what is under the key, unless it is somebody else's by now.
    fn remove_finished(&self, upload: &Upload, info: &Info) -> Result<()> {
        let path = self.layout.finished(upload);
        match path.symlink_metadata() {
            Ok(metadata) if !info.owns(upload, &metadata) => Ok(()),
            _ => remove(&path),
        }
    }

    /// The uploads that have a record.
    pub(super) fn ids(&self) -> Result<Vec<UploadId>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(self.layout.own())? {
            let name = entry?.file_name();
            if let Some((id, "info")) = name.to_str().and_then(Layout::owner) {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    pub(super) fn reclaim(&self, before: SystemTime) -> Result<u64> {
        let mut bytes = 0;
        for entry in fs::read_dir(self.layout.own())? {
            let entry = entry?;
            let name = entry.file_name();
            let Some((id, role)) = name.to_str().and_then(Layout::owner) else {
                continue;
            };
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.modified()? >= before {
                continue;
            }
            if role == "tmp" || !self.is_needed(&id) {
                remove(&entry.path())?;
                bytes += metadata.len();
            }
        }
        Ok(bytes)
    }

    /// Whether there is an upload; or a record that cannot be read beside bytes that can, which is for
    /// people to decide.
    fn is_needed(&self, id: &UploadId) -> bool {
        match Info::read(&self.layout, id) {
            Err(Error::NotFound(_)) => {
                let stored = fs::metadata(self.layout.data(id)).map_or(0, |data| data.len());
                stored > 0 && self.layout.info(id).exists()
            }
            _ => true,
        }
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
