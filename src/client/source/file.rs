use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use bytes::{Bytes, BytesMut};
use tokio::task::{JoinHandle, spawn_blocking};

/// A file, read ahead by one piece on the pool of blocking threads.
pub(super) struct FileReader {
    /// Opened when it is read.
    file: Option<Arc<File>>,
    pub(super) path: Arc<Path>,
    pub(super) modified: Option<SystemTime>,
    pub(super) length: u64,
    changes: Changes,
    /// The piece that is being read, and where it begins.
    ahead: Option<(u64, JoinHandle<io::Result<BytesMut>>)>,
    buffers: Buffers,
}

impl FileReader {
    pub(super) async fn open(path: PathBuf) -> io::Result<Self> {
        let opened = spawn_blocking(move || {
            let file = File::open(&path)?;
            let about = file.metadata()?;
            if about.is_dir() {
                return Err(io::Error::from(io::ErrorKind::IsADirectory));
            }
            // One file has one name, whatever the working directory of the next process is.
            let path = std::path::absolute(&path)?;
            Ok((file, path, about.len(), about.modified().ok()))
        });
        let (file, path, length, modified) = opened.await.map_err(io::Error::other)??;
        Ok(Self {
            file: Some(Arc::new(file)),
            path: path.into(),
            modified,
            length,
            changes: Changes::Noticed,
            ahead: None,
            buffers: Buffers::default(),
        })
    }

    /// Another reader of the same file.
    pub(super) fn again(&self) -> Self {
        Self {
            file: self.file.clone(),
            path: Arc::clone(&self.path),
            modified: self.modified,
            length: self.length,
            changes: self.changes,
            ahead: None,
            buffers: Buffers::default(),
        }
    }

    /// Gives the file back until it is read again: a process may have only so many.
    pub(super) fn close(&mut self) {
        self.file = None;
        self.ahead = None;
    }

    async fn opened(&mut self) -> io::Result<Arc<File>> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let path = Arc::clone(&self.path);
        let file = spawn_blocking(move || File::open(path));
        let file = Arc::new(file.await.map_err(io::Error::other)??);
        Ok(Arc::clone(self.file.insert(file)))
    }

    /// What others write to it is of no interest: only a range of it is wanted.
    pub(super) fn may_change(&mut self) {
        self.changes = Changes::Ignored;
    }

    /// Whether its size and its time of change are those of the beginning. Not its time of change of
    /// status (ctime), which a new name or no name at all changes as well.
    pub(super) async fn is_unchanged(&self) -> io::Result<bool> {
        if self.changes == Changes::Ignored {
            return Ok(true);
        }
        let (file, path) = (self.file.clone(), Arc::clone(&self.path));
        let about = spawn_blocking(move || match file {
            Some(file) => file.metadata(),
            None => fs::metadata(path),
        });
        let about = about.await.map_err(io::Error::other)??;
        Ok(about.len() == self.length && about.modified().ok() == self.modified)
    }

    /// Bytes from `offset` on, of `left` that will be asked for, at most a `piece` and none at the end.
    /// While they are used, the next piece is read. Cancel-safe.
    pub(super) async fn read(&mut self, offset: u64, piece: usize, left: u64) -> io::Result<Bytes> {
        let most = |left: u64| left.min(piece as u64) as usize;
        let size = most(left);
        let file = self.opened().await?;
        let fits = self.ahead.as_ref().is_some_and(|(at, _)| *at == offset);
        if !fits {
            self.ahead = Some((offset, self.start(&file, offset, size)));
        }
        let (_, reading) = self.ahead.as_mut().expect("it was just made sure of");
        let read = reading.await;
        self.ahead = None;
        let mut bytes = read.map_err(io::Error::other)??;
        // Read ahead for a longer request than the one that asks now.
        bytes.truncate(size);
        let bytes = bytes.freeze();
        let count = bytes.len() as u64;
        let ahead = most(left.saturating_sub(count));
        if ahead > 0 && count > 0 {
            let next = offset + count;
            self.ahead = Some((next, self.start(&file, next, ahead)));
        }
        self.buffers.lend(&bytes);
        Ok(bytes)
    }

    fn start(
        &mut self,
        file: &Arc<File>,
        offset: u64,
        size: usize,
    ) -> JoinHandle<io::Result<BytesMut>> {
        let file = Arc::clone(file);
        let mut buffer = self.buffers.take(size);
        spawn_blocking(move || {
            let count = read_at(&file, &mut buffer, offset)?;
            buffer.truncate(count);
            Ok(buffer)
        })
    }
}

/// Whether somebody else may write to the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changes {
    Noticed,
    Ignored,
}

/// Pieces that were handed out. The oldest is used again when nobody has it any more.
#[derive(Default)]
struct Buffers(VecDeque<Bytes>);

impl Buffers {
    fn take(&mut self, size: usize) -> BytesMut {
        let reused = self.0.pop_front().map(Bytes::try_into_mut);
        let mut buffer = match reused {
            Some(Ok(buffer)) if buffer.capacity() >= size => buffer,
            Some(Err(in_use)) if self.0.len() < KEPT => {
                self.0.push_front(in_use);
                BytesMut::with_capacity(size)
            }
            _ => BytesMut::with_capacity(size),
        };
        buffer.resize(size, 0);
        buffer
    }

    fn lend(&mut self, piece: &Bytes) {
        self.0.push_back(piece.clone());
    }
}

/// Fills the buffer as far as the file goes.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read_some(file, &mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(unix)]
fn read_some(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_some(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

/// A few pieces are on their way at any moment: in the channel, in the connection's queue.
const KEPT: usize = 16;
