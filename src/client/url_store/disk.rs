//! What stores on disk share: where their files are, who may read them, and claims.

use std::{
    fmt::Write,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sha2::{Digest, Sha256};

use super::{Claim, Key};

/// A store's file and those beside it: `NAME.lock`, and `NAME.claims/` while something is claimed.
#[derive(Debug)]
pub(super) struct Place {
    /// The file itself, by the one name it has for everybody.
    pub(super) path: PathBuf,
    /// Locked by whoever changes the store. It is never removed: who waits for it would wait for another
    /// file than who comes next.
    lock: PathBuf,
    /// A file for each claim, locked by whoever has it.
    claims: PathBuf,
}

impl Place {
    /// Creates the directory if there is none, and follows links: one file has one lock.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let path = resolve(path).map_err(|error| named(path, &error))?;
        Ok(Self {
            lock: beside(&path, ".lock"),
            claims: beside(&path, ".claims"),
            path,
        })
    }

    /// Keeps everybody else out until it is dropped. Waits for them: they hold it for one change.
    pub(super) fn lock(&self) -> io::Result<Locked> {
        let locked = lock_file(&self.lock).and_then(|file| {
            file.lock()?;
            Ok(Locked(file))
        });
        locked.map_err(|error| named(&self.lock, &error))
    }

    /// See [`UrlStore::claim`](super::UrlStore::claim). Blocks as [`lock`](Self::lock) does.
    pub(super) fn claim(self: &Arc<Self>, key: &Key) -> io::Result<Option<Claim>> {
        let _locked = self.lock()?;
        let claimed = self.try_claim(key);
        let claimed = claimed.map_err(|error| named(&self.claims, &error))?;
        Ok(claimed.map(|locked| {
            Claim::new(Claimed {
                locked: Some(locked),
                place: Arc::clone(self),
            })
        }))
    }

    fn try_claim(&self, key: &Key) -> io::Result<Option<Locked>> {
        private_directory(&self.claims)?;
        try_lock(lock_file(&self.claims.join(name(key)))?)
    }

    /// Removes the files of claims that nobody has, unless the store is busy. Then a later one does.
    fn tidy(&self) -> io::Result<()> {
        let lock = OpenOptions::new().write(true).open(&self.lock)?;
        let Some(_locked) = try_lock(lock)? else {
            return Ok(());
        };
        for file in fs::read_dir(&self.claims)? {
            let path = file?.path();
            let file = OpenOptions::new().write(true).open(&path)?;
            if let Some(unclaimed) = try_lock(file)? {
                fs::remove_file(&path)?;
                drop(unclaimed);
            }
        }
        // Fails while something is claimed.
        fs::remove_dir(&self.claims)
    }
}

/// A file that is locked until this is dropped.
pub(super) struct Locked(File);

impl Drop for Locked {
    fn drop(&mut self) {
        // Closing alone does not give it back while a process that is just being started has the file.
        let _ = self.0.unlock();
    }
}

struct Claimed {
    locked: Option<Locked>,
    place: Arc<Place>,
}

impl Drop for Claimed {
    fn drop(&mut self) {
        self.locked = None;
        let _ = self.place.tidy();
    }
}

fn try_lock(file: File) -> io::Result<Option<Locked>> {
    match file.try_lock() {
        Ok(()) => Ok(Some(Locked(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The file of a key's claim: any text becomes a name, and none of it can be read there.
fn name(key: &Key) -> String {
    let mut hasher = Sha256::new();
    hasher.update(&key.fingerprint);
    hasher.update([0]);
    hasher.update(&key.endpoint);
    let mut name = String::new();
    for byte in hasher.finalize() {
        write!(name, "{byte:02x}").expect("a string takes everything");
    }
    name
}

fn resolve(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        resolved => return resolved,
    }
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::IsADirectory.into());
    };
    if !directory.exists() {
        private_directory(directory)?;
    }
    Ok(directory.canonicalize()?.join(name))
}

pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// A new file is its owner's alone: who knows an upload's URL may change it.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn private_directory(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

/// A file that is there to be locked, opened or created.
fn lock_file(path: &Path) -> io::Result<File> {
    let mut options = private();
    options.create(true).truncate(false).write(true).open(path)
}

/// The error with the name of the file it is about.
pub(super) fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Milliseconds since 1970; a time before that is 1970.
pub(super) fn to_millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn from_millis(millis: i64) -> SystemTime {
    let since = Duration::from_millis(u64::try_from(millis).unwrap_or_default());
    UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
}
