use std::{
    fs,
    path::{Path, PathBuf},
};

use object_store::path::Path as ObjectPath;
use tempfile::TempDir;
use tower_tus::{
    TusService,
    storage::{FileStorage, MemoryStorage, ObjectStorage, object::Simulation},
};

/// Which storage a server stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Memory,
    Object,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::File, Self::Memory, Self::Object];
}

/// Where a server keeps its uploads: outlives the server, and can have several.
#[derive(Debug)]
pub(crate) enum Place {
    Directory(TempDir),
    Memory(MemoryStorage),
    Bucket(Simulation),
}

impl Place {
    pub(crate) fn new(kind: Kind) -> Self {
        match kind {
            Kind::File => Self::Directory(TempDir::new().expect("a temporary directory")),
            Kind::Memory => Self::Memory(MemoryStorage::new()),
            Kind::Object => Self::Bucket(Simulation::new().min_part(SMALLEST_PART)),
        }
    }

    /// A service of its own, as after a crash of the one before, on `/files`.
    pub(crate) fn service(&self) -> TusService {
        let tus = match self {
            Self::Directory(directory) => {
                TusService::new(FileStorage::open(directory.path()).expect("open the storage"))
            }
            Self::Memory(storage) => TusService::new(storage.clone()),
            Self::Bucket(bucket) => {
                TusService::new(ObjectStorage::new(bucket.clone()).part_size(PART))
            }
        };
        tus.base_path("/files")
    }

    /// The storage's directory; only files have one.
    pub(crate) fn root(&self) -> &Path {
        match self {
            Self::Directory(directory) => directory.path(),
            _ => panic!("{self:?} has no directory"),
        }
    }

    /// Everything that is stored, sorted, relative to the root; nothing in memory.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        match self {
            Self::Directory(directory) => collect(directory.path(), directory.path(), &mut files),
            Self::Memory(_) => {}
            Self::Bucket(bucket) => {
                files.extend(bucket.paths().iter().map(|path| path.as_ref().into()));
            }
        }
        files.sort();
        files
    }

    /// What lies under the default key of a finished upload; `None` in memory.
    pub(crate) fn stored(&self, url: &str) -> Option<Vec<u8>> {
        let key = key_of(url);
        match self {
            Self::Directory(directory) => {
                Some(fs::read(directory.path().join(key)).expect("a finished file"))
            }
            Self::Memory(_) => None,
            Self::Bucket(bucket) => {
                let found = bucket.object(&ObjectPath::from(key));
                Some(found.expect("a finished object").bytes.to_vec())
            }
        }
    }
}

/// The key that an upload has if nobody chose one.
pub(crate) fn key_of(url: &str) -> &str {
    url.rsplit('/').next().expect("rsplit gives one piece")
}

fn collect(root: &Path, directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a readable directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            files.push(path.strip_prefix(root).expect("below the root").to_owned());
        }
    }
}

/// Small, so that the uploads of the tests have many parts.
const PART: u64 = 64 << 10;

const SMALLEST_PART: u64 = 16 << 10;
