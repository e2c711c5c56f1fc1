//! Where the sinks put their bytes: one numbered file per upload, no more.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

pub(crate) struct Files {
    dir: PathBuf,
    count: AtomicU64,
}

impl Files {
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            count: AtomicU64::new(0),
        }
    }

    pub(crate) fn create(&self) -> io::Result<(u64, File)> {
        let id = self.count.fetch_add(1, Ordering::Relaxed);
        let file = File::create_new(self.dir.join(id.to_string()))?;
        Ok((id, file))
    }

    /// Opens the upload at `path`, a URL's, for writing from `offset` on.
    pub(crate) fn open(&self, path: &str, offset: u64) -> io::Result<File> {
        let mut file = OpenOptions::new().write(true).open(self.locate(path))?;
        if offset > 0 {
            file.seek(SeekFrom::Start(offset))?;
        }
        Ok(file)
    }

    pub(crate) fn len(&self, path: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.locate(path))?.len())
    }

    /// Copies the uploads at `paths`, separated by spaces, into a new one.
    pub(crate) fn concat(&self, paths: &str) -> io::Result<u64> {
        let (id, mut target) = self.create()?;
        for path in paths.split(' ') {
            io::copy(&mut File::open(self.locate(path))?, &mut target)?;
        }
        Ok(id)
    }

    fn locate(&self, path: &str) -> PathBuf {
        let id = path.rsplit('/').next().unwrap_or_default();
        self.dir.join(id)
    }
}
