//! Putting an upload under its key.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use super::{
    Shared,
    info::{Info, Reach, not_found, sync_directory},
    rename::rename_no_replace,
};
use crate::{
    protocol::{Kind, Upload, UploadId},
    storage::{Collision, Error, Result},
};

impl Shared {
    pub(super) fn finish(&self, upload: &Upload, reach: Reach) -> Result<()> {
        let id = &upload.id;
        let data = self.layout.data(id);
        let target = self.layout.finished(upload);
        let stored = match fs::metadata(&data) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.check_finished(id);
            }
            Err(error) => return Err(error.into()),
        };
        // Nothing can be behind a fence: a snapshot that was complete once is complete for good.
        if !upload.is_complete() || upload.offset != stored {
            return Err(Error::Conflict(id.clone()));
        }
        if reach == Reach::Device {
            File::open(&data)?.sync_all()?;
            let info = File::open(self.layout.info(id));
            info.map_err(|error| not_found(error, id))?.sync_all()?;
        }
        match self.put_in_place(&data, &target, upload) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.check_finished(id)?,
            Err(error) if is_in_the_way(&error) => {
                return Err(Error::AlreadyExists(upload.key.to_string()));
            }
            Err(error) => return Err(error.into()),
        }
        if reach == Reach::Device {
            // The new name before the old one is gone. Each new directory is a name in the one above.
            let depth = upload.key.names().count();
            for directory in target.ancestors().skip(1).take(depth) {
                sync_directory(directory)?;
            }
            sync_directory(self.layout.own())?;
        }
        Ok(())
    }

    fn put_in_place(&self, data: &Path, target: &Path, upload: &Upload) -> io::Result<()> {
        if let Some(parent) = target
            .parent()
            .filter(|_| upload.key.as_str().contains('/'))
        {
            fs::create_dir_all(parent)?;
        }
        match self.collision {
            Collision::Refuse if upload.kind != Kind::Partial => rename_no_replace(data, target),
            Collision::Refuse | Collision::Replace => fs::rename(data, target),
        }
    }

    /// The data file is gone: somebody else has finished the upload, or deleted it.
    fn check_finished(&self, id: &UploadId) -> Result<()> {
        Info::read(&self.layout, id).map(drop)
    }
}

/// Something is where a file, or a directory above it, was to be.
fn is_in_the_way(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::DirectoryNotEmpty
    )
}
