//! A socket in the file system.

use std::{
    fs::{self, File, Metadata, Permissions, TryLockError},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use socket2::{Domain, SockAddr, Socket as RawSocket, Type};
use tokio::{net::UnixListener, time::sleep};

use super::args::Mode;

/// A listening socket and its file, which is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    file: Identity,
}

impl Socket {
    /// Listens at `path`, with access for those whom `mode` lets in from the first moment on.
    ///
    /// A socket there that nobody listens at was left behind, and is replaced. Nothing else is.
    pub(crate) async fn bind(path: &Path, mode: Mode) -> io::Result<Self> {
        // Of two that start at the same moment both would see the same leftover.
        let _alone = lock(path).await?;
        remove_leftover(path)?;
        let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(path)?)?;
        // Nobody can connect before the next line but one.
        fs::set_permissions(path, Permissions::from_mode(mode.0))?;
        socket.listen(BACKLOG)?;
        Ok(Self {
            listener: UnixListener::from_std(socket.into())?,
            path: path.into(),
            file: Identity::of(&fs::symlink_metadata(path)?),
        })
    }

    pub(crate) fn listener(&self) -> &UnixListener {
        &self.listener
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    /// As long as we listen nobody takes the file for a leftover, so it is ours or somebody removed it.
    fn drop(&mut self) {
        let file = fs::symlink_metadata(&self.path);
        if file.is_ok_and(|file| Identity::of(&file) == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// One file, whatever its name.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
        }
    }
}

/// Keeps others that are about to bind out, until it is dropped. The lock is on the directory: a file
/// for it would have to stay.
async fn lock(path: &Path) -> io::Result<File> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let directory = File::open(parent.unwrap_or_else(|| Path::new(".")))?;
    for _ in 0..LOCK_ATTEMPTS {
        match directory.try_lock() {
            Ok(()) => return Ok(directory),
            Err(TryLockError::WouldBlock) => sleep(LOCK_PAUSE).await,
            // Without locks there is nothing better than to go on.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                return Ok(directory);
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::ResourceBusy,
        "its directory is locked by another process",
    ))
}

fn remove_leftover(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "there is a file, and it is no socket",
            ));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    let probe = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    // With a full backlog this would wait for a server that may hang.
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Ok(()) => Err(in_use()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(in_use()),
        Err(error) => Err(error),
    }
}

fn in_use() -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")
}

/// How many connections may wait to be taken.
const BACKLOG: i32 = 1024;

const LOCK_ATTEMPTS: usize = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(100);
