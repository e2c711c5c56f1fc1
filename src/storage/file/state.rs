//! What is stored of an upload, and opening it for more.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom},
};

use super::{
    Durability, Shared,
    info::{Info, Reach, identity, is_same, not_found, sync_directory},
    lock::LockedFile,
};
use crate::{
    protocol::{Stage, Upload, UploadId, Version},
    storage::{Collision, Error, Result, only_announces, record::has_name_of_its_own},
};

impl Shared {
    /// Data first, record last: without a record there is no upload.
    pub(super) fn create(&self, upload: &Upload, reach: Reach) -> Result<Version> {
        // Under a name of its own there is nothing, or `finish` finds it.
        if !has_name_of_its_own(upload) && self.is_taken(upload) {
            return Err(Error::AlreadyExists(upload.key.to_string()));
        }
        let data = self.create_data(&upload.id)?;
        let mut info = Info::new(upload, 1);
        if !has_name_of_its_own(upload) {
            info.identity = identity(&data.metadata()?);
        }
        let file = info.create(&self.layout, &upload.id)?;
        if reach == Reach::Device {
            file.sync_all()?;
            data.sync_all()?;
            sync_directory(self.layout.own())?;
        }
        Ok(info.version())
    }

    /// Whether there is something under the key that may not be replaced, or a file where a directory of
    /// it would have to be.
    fn is_taken(&self, upload: &Upload) -> bool {
        match self.layout.keyed(&upload.key).symlink_metadata() {
            Ok(metadata) => self.collision == Collision::Refuse || metadata.is_dir(),
            Err(error) => error.kind() == io::ErrorKind::NotADirectory,
        }
    }

    /// A new, empty file; or the one that a creation cut by a crash left behind.
    fn create_data(&self, id: &UploadId) -> Result<File> {
        let path = self.layout.data(id);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let file = OpenOptions::new().write(true).open(&path)?;
                match file.metadata()?.len() {
                    0 => Ok(file),
                    _ => Err(Error::AlreadyExists(id.to_string())),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A snapshot. Where every offset that is told has to be on the device, `reach` puts it there.
    pub(super) fn load(&self, id: &UploadId, reach: Reach) -> Result<Upload> {
        loop {
            let (info, file) = Info::open(&self.layout, id)?;
            let mut upload = info.upload(id)?;
            let path = self.layout.data(id);
            let data = match fs::metadata(&path) {
                Ok(data) => Some(data),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error.into()),
            };
            // A record that was replaced meanwhile may have had a fence that this one has not.
            let now = fs::metadata(self.layout.info(id)).map_err(|error| not_found(error, id))?;
            let then = file.metadata()?;
            if !is_same(&then, &now) {
                continue;
            }
            match data {
                Some(data) => {
                    if reach == Reach::Device && data.len() > 0 {
                        match File::open(&path) {
                            Ok(file) => file.sync_data()?,
                            // Finished or deleted since.
                            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                            Err(error) => return Err(error.into()),
                        }
                    }
                    upload.offset = data.len().min(info.fence.unwrap_or(u64::MAX));
                    upload.touched = data.modified()?;
                    if upload.is_complete() {
                        upload.stage = Stage::Finishing;
                    }
                }
                // Renaming the data file is what finishes an upload.
                None => {
                    upload.stage = Stage::Finished;
                    upload.offset = upload.length.known().unwrap_or_default();
                    upload.touched = match fs::metadata(self.layout.finished(&upload)) {
                        Ok(finished) => finished.modified()?,
                        // The application has moved it on.
                        Err(_) => then.modified()?,
                    };
                }
            }
            return Ok(upload);
        }
    }

    pub(super) fn update(&self, upload: &Upload, reach: Reach) -> Result<Version> {
        self.leases.exclusively(&upload.id, |writer| {
            let _lock = match writer.file {
                Some(_) => None,
                None if upload.is_finished() => return self.announce(upload, reach),
                None => Some(self.lock_data(&upload.id)?),
            };
            let old = self.current(upload)?;
            let mut info = Info::new(upload, old.revision + 1);
            info.fence = old.fence;
            info.identity = old.identity;
            info.replace(&self.layout, &upload.id, reach)?;
            Ok(info.version())
        })
    }

    /// Replaces the announcement of a finished upload.
    fn announce(&self, upload: &Upload, reach: Reach) -> Result<Version> {
        let _lock = self.lock_record(&upload.id)?;
        let mut info = self.current(upload)?;
        if !only_announces(upload, &info.upload(&upload.id)?) {
            return Err(Error::Conflict(upload.id.clone()));
        }
        info.announce(upload.announcement);
        info.replace(&self.layout, &upload.id, reach)?;
        Ok(info.version())
    }

    /// Makes `writer` the data file, locked and ready for the next byte; whatever is behind a fence is cut
    /// off. Nothing changes if the snapshot is not current; if the disk fails in the middle, the upload has
    /// no writer.
    pub(super) fn open(&self, upload: &Upload, writer: &mut Option<LockedFile>) -> Result<()> {
        let id = &upload.id;
        let opened = match writer {
            Some(_) => None,
            None => Some(self.lock_data(id)?),
        };
        let mut info = self.current(upload)?;
        let file = opened.as_ref().or(writer.as_ref());
        let length = file
            .expect("it is opened if there is no writer")
            .metadata()?
            .len();
        let counted = length.min(info.fence.unwrap_or(u64::MAX));
        if counted != upload.offset {
            return Err(Error::Conflict(id.clone()));
        }
        // From here on the file is nobody's until all is done: an earlier writer whose bytes were cut off
        // must not go on behind a hole.
        let file = opened.or_else(|| writer.take());
        let mut file = file.expect("it is opened if there is no writer");
        if counted < length {
            file.set_len(counted)?;
        }
        if info.fence.take().is_some() {
            info.replace(&self.layout, id, self.reach_of(Durability::Always))?;
        }
        file.seek(SeekFrom::Start(counted))?;
        *writer = Some(file);
        Ok(())
    }

    /// The data file of an unfinished upload, with the lock that every process respects.
    pub(super) fn lock_data(&self, id: &UploadId) -> Result<LockedFile> {
        let path = self.layout.data(id);
        let file = match OpenOptions::new().write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Finished, if there is a record.
                Info::read(&self.layout, id)?;
                return Err(Error::Conflict(id.clone()));
            }
            Err(error) => return Err(error.into()),
        };
        LockedFile::try_new(file)?.ok_or_else(|| Error::Locked(id.clone()))
    }

    /// The record of a finished upload, which has no data file to lock.
    pub(super) fn lock_record(&self, id: &UploadId) -> Result<Option<LockedFile>> {
        if cfg!(not(unix)) {
            // Whoever reads the record would be kept out too.
            return Ok(None);
        }
        let path = self.layout.info(id);
        let file = File::open(&path).map_err(|error| not_found(error, id))?;
        let file = LockedFile::try_new(file)?.ok_or_else(|| Error::Locked(id.clone()))?;
        // Removed or replaced before it was locked.
        let now = fs::metadata(&path).map_err(|error| not_found(error, id))?;
        match is_same(&file.metadata()?, &now) {
            true => Ok(Some(file)),
            false => Err(Error::Conflict(id.clone())),
        }
    }

    /// The record, if the snapshot is of it.
    pub(super) fn current(&self, upload: &Upload) -> Result<Info> {
        let info = Info::read(&self.layout, &upload.id)?;
        match info.version() == upload.version {
            true => Ok(info),
            false => Err(Error::Conflict(upload.id.clone())),
        }
    }
}
