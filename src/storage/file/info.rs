use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

use super::layout::Layout;
use crate::{
    protocol::{Announcement, Upload, UploadId, Version},
    storage::{
        Error, Result,
        record::{Record, damaged, has_name_of_its_own},
    },
};

/// The record of an upload: a small JSON file that is written when the upload is created and replaced
/// as a whole on the rare changes. The offset is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Info {
    /// The format.
    v: u32,
    /// Counts the changes an [`Upload::version`] names.
    pub(super) revision: u64,
    #[serde(flatten)]
    record: Record,
    /// While this is set, bytes beyond it are not verified and do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fence: Option<u64>,
    /// Which file the data file is, by which the one under the key is known as our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) identity: Option<String>,
}

const FORMAT: u32 = 1;

impl Info {
    pub(super) fn new(upload: &Upload, revision: u64) -> Self {
        Self {
            v: FORMAT,
            revision,
            record: Record::new(upload),
            fence: None,
            identity: None,
        }
    }

    /// The upload, as far as its record tells: at offset 0 and receiving.
    pub(super) fn upload(&self, id: &UploadId) -> Result<Upload> {
        if self.v != FORMAT {
            return Err(damaged(id, format!("format {} is not known", self.v)));
        }
        let mut upload = self.record.upload(id)?;
        upload.version = self.version();
        Ok(upload)
    }

    pub(super) fn announce(&mut self, announcement: Announcement) {
        self.record.announce(announcement);
        self.revision += 1;
    }

    /// Whether the file under the upload's key is the one that was uploaded.
    ///
    /// A key that has a random id in it is nobody else's, wherever the directory was copied to. Under
    /// any other there may be a later upload by now.
    pub(super) fn owns(&self, upload: &Upload, metadata: &fs::Metadata) -> bool {
        has_name_of_its_own(upload) || self.identity == identity(metadata)
    }

    pub(super) fn version(&self) -> Version {
        Version::new(self.revision.to_string())
    }

    /// Reads the record.
    pub(super) fn read(layout: &Layout, id: &UploadId) -> Result<Self> {
        Self::open(layout, id).map(|(info, _)| info)
    }

    /// Reads the record, and gives the file it stands in. While that is open, no other file can have
    /// its identity.
    pub(super) fn open(layout: &Layout, id: &UploadId) -> Result<(Self, File)> {
        let mut file = File::open(layout.info(id)).map_err(|error| not_found(error, id))?;
        let text = read_all(&mut file)?;
        match serde_json::from_slice(&text) {
            Ok(info) => Ok((info, file)),
            // Cut by a crash before its creation was acknowledged.
            Err(error) if error.is_eof() => Err(Error::NotFound(id.clone())),
            Err(error) => Err(damaged(id, error)),
        }
    }

    /// Writes the first record of an upload, by a single write.
    pub(super) fn create(&self, layout: &Layout, id: &UploadId) -> Result<File> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(layout.info(id));
        let mut file = file.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::AlreadyExists(id.to_string()),
            _ => Error::from(error),
        })?;
        if let Err(error) = file.write_all(&self.encode()?) {
            // A full disk: what is half written was never acknowledged.
            fs::remove_file(layout.info(id))?;
            return Err(error.into());
        }
        Ok(file)
    }

    /// Replaces the record at once: whoever reads sees the old or the new one.
    pub(super) fn replace(&self, layout: &Layout, id: &UploadId, reach: Reach) -> Result<()> {
        let temporary = layout.temporary(id);
        let mut file = File::create(&temporary)?;
        file.write_all(&self.encode()?)?;
        if reach == Reach::Device {
            file.sync_all()?;
        }
        fs::rename(&temporary, layout.info(id))?;
        if reach == Reach::Device {
            sync_directory(layout.own())?;
        }
        Ok(())
    }

    fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::Backend(Box::new(error)))
    }
}

/// How far a change of a file has to get before it is taken as made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Into the kernel: it survives the process.
    Kernel,
    /// Onto the device: it survives the power.
    Device,
}

/// All of a small file, by a single read where it is as small as records are.
fn read_all(file: &mut File) -> io::Result<Vec<u8>> {
    let mut text = vec![0; 2048];
    let read = file.read(&mut text)?;
    let whole = read < text.len();
    text.truncate(read);
    if !whole {
        file.read_to_end(&mut text)?;
    }
    Ok(text)
}

/// What no other file has that exists, or existed before under the same number.
pub(super) fn identity(metadata: &fs::Metadata) -> Option<String> {
    let born = metadata.created().ok()?;
    let since = born.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(format!("{}-{}", number(metadata), since.as_nanos()))
}

#[cfg(unix)]
fn number(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn number(_: &fs::Metadata) -> u64 {
    // Only the time of birth is to be had.
    0
}

/// Whether both are of one file, of which one is still open.
pub(super) fn is_same(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    if cfg!(unix) {
        number(a) == number(b)
    } else {
        a.len() == b.len() && a.modified().ok() == b.modified().ok()
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    // Elsewhere directories cannot be opened, and need not be synced.
    if cfg!(unix) {
        File::open(path)?.sync_all()
    } else {
        Ok(())
    }
}

pub(super) fn not_found(error: io::Error, id: &UploadId) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::NotFound(id.clone()),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::protocol::{Concat, Kind, Length};

    #[test]
    fn a_record_tells_all_of_an_upload() {
        let created = SystemTime::UNIX_EPOCH + Duration::from_millis(1_234);
        let mut upload = Upload::new("a".parse().unwrap(), Length::Known(7), created);
        upload.metadata = "k dg==,z".parse().unwrap();
        upload.lifetime = Some(Duration::from_millis(99));
        upload.key = "x/y".parse().unwrap();
        upload.owner = Some("someone".into());
        upload.max_size = Some(9);
        upload.announcement = Announcement::Due;
        upload.version = Version::new("3");
        for kind in [
            Kind::Regular,
            Kind::Partial,
            Kind::Final(Concat::new("final;/b /b", vec!["b".parse().unwrap(); 2])),
        ] {
            upload.kind = kind;
            let text = Info::new(&upload, 3).encode().unwrap();
            let info: Info = serde_json::from_slice(&text).unwrap();
            assert_eq!(info.upload(&upload.id).unwrap(), upload);
        }
    }

    #[test]
    fn a_record_cut_by_a_crash_does_not_exist_and_a_damaged_one_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().to_owned());
        fs::create_dir(layout.own()).unwrap();
        let id: UploadId = "a".parse().unwrap();
        let text = Info::new(
            &Upload::new(id.clone(), Length::Known(7), SystemTime::now()),
            1,
        )
        .encode()
        .unwrap();
        for cut in 0..text.len() {
            fs::write(layout.info(&id), &text[..cut]).unwrap();
            assert!(
                matches!(Info::read(&layout, &id), Err(Error::NotFound(_))),
                "{cut}"
            );
        }
        fs::write(layout.info(&id), b"{\"v\":\"x\"}").unwrap();
        assert!(matches!(
            Info::read(&layout, &id),
            Err(Error::Damaged { .. })
        ));
    }
}
