use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use http::Uri;
use sha2::{Digest, Sha256};

/// What a path of the user's names.
pub(super) enum Target {
    /// A regular file, there or not, behind all links.
    File(PathBuf),
    /// A pipe, a terminal, a device: nothing takes its place.
    Straight(File),
}

impl Target {
    /// Waits for the reader of a pipe.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        match fs::metadata(path) {
            Ok(about) if about.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(about) if !about.is_file() => {
                Ok(Self::Straight(OpenOptions::new().write(true).open(path)?))
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => follow(path).map(Self::File),
        }
    }
}

/// What a link names, even if there is nothing yet.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match fs::read_link(&path) {
            Ok(next) => path = path.with_file_name(next),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many links"))
}

/// The name until the file is whole: of this content, so that no other is ever continued.
pub(super) fn beside(path: &Path, url: &Uri, tag: &[u8]) -> PathBuf {
    let mut hash = Sha256::new();
    let port = url.port_u16().map(u16::to_be_bytes);
    for text in [
        url.scheme_str().unwrap_or_default().as_bytes(),
        url.host().unwrap_or_default().as_bytes(),
        port.as_ref().map_or(&[][..], |port| &port[..]),
        url.path().as_bytes(),
        url.query().unwrap_or_default().as_bytes(),
        tag,
    ] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    let digest = hash.finalize();
    let name: String = digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    named(path, &format!(".{name}.part"))
}

fn named(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}

/// A file that a download is written to.
pub(super) struct Out {
    file: File,
    kind: Kind,
}

enum Kind {
    /// Kept for the next download, and locked: two would mix their bytes.
    Part(PathBuf),
    /// Nobody else knows it, so it goes with this.
    Fresh(PathBuf),
    Straight,
    /// It has its name, or none any more.
    Done,
}

impl Out {
    pub(super) fn straight(file: File) -> Self {
        let kind = Kind::Straight;
        Self { file, kind }
    }

    /// A new file beside `path`.
    pub(super) fn fresh(path: &Path) -> io::Result<Self> {
        let random = getrandom::u64().map_err(io::Error::other)?;
        let path = named(path, &format!(".{random:016x}.new"));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)?;
        let kind = Kind::Fresh(path);
        Ok(Self { file, kind })
    }

    /// The file with a part of content of this length, and how much of it is there; `None` if another
    /// download writes to it. Where files have no locks it is a [`fresh`](Self::fresh) one.
    pub(super) fn part(
        path: &Path,
        part: PathBuf,
        length: Option<u64>,
    ) -> io::Result<Option<(Self, u64)>> {
        for _ in 0..TRIES {
            let mut options = OpenOptions::new();
            let file = options
                .write(true)
                .create(true)
                .truncate(false)
                .open(&part)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => {
                    tracing::debug!(%error, "no locks: the download cannot go on later");
                    break;
                }
            }
            let there = file.metadata()?.len();
            let kind = Kind::Part(part.clone());
            let out = Self { file, kind };
            // Whoever had it may have given it its name by now.
            if !names(&part, &out.file)? {
                continue;
            }
            if length.is_some_and(|length| there <= length) {
                return Ok(Some((out, there)));
            }
            out.file.set_len(0)?;
            return Ok(Some((out, 0)));
        }
        Ok(Some((Self::fresh(path)?, 0)))
    }

    pub(super) fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if !matches!(self.kind, Kind::Straight) {
            self.file.seek(SeekFrom::Start(at))?;
        }
        self.file.write_all(bytes)
    }

    /// Gives it its name, if it has so many bytes.
    pub(super) fn finish(mut self, path: &Path, size: u64) -> io::Result<()> {
        let (Kind::Part(named) | Kind::Fresh(named)) = &self.kind else {
            return Ok(());
        };
        let there = self.file.metadata()?.len();
        if there != size {
            let error = format!("it has {there} bytes and not {size}: something else changed it");
            self.remove()?;
            return Err(io::Error::other(error));
        }
        self.file.sync_all()?;
        fs::rename(named, path)?;
        self.kind = Kind::Done;
        Ok(())
    }

    pub(super) fn remove(mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.kind, Kind::Done) {
            Kind::Part(path) | Kind::Fresh(path) => fs::remove_file(path),
            Kind::Straight | Kind::Done => Ok(()),
        }
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        if let Kind::Fresh(path) = &self.kind {
            let _ = fs::remove_file(path);
        }
        // Closing alone does not give it back while a process that is just being started has the file.
        let _ = self.file.unlock();
    }
}

/// Whether the path names this very file, and no link to it.
#[cfg(unix)]
fn names(path: &Path, file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;

    let about = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (about.dev(), about.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
fn names(path: &Path, _: &File) -> io::Result<bool> {
    Ok(fs::symlink_metadata(path).is_ok_and(|about| about.is_file()))
}

/// As many as Linux follows.
const LINKS: usize = 40;

/// Each time another download has finished the file meanwhile.
const TRIES: usize = 10;
