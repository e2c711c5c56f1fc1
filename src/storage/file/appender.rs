use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Durability, Shared,
    disk::Disk,
    info::{Info, Reach},
    lease::Lease,
};
use crate::{
    protocol::UploadId,
    storage::{AppendMode, Appender, Error, Result},
};

/// Writes behind the bytes that are there.
///
/// Small pieces are put together in a buffer; large ones go to the file as they are. The buffer is
/// empty, and gone, while the body has nothing to give; under a checksum it is small then. So a
/// thousand idle writers hold next to no memory.
#[derive(Debug)]
pub(super) struct FileAppender {
    shared: Arc<Shared>,
    lease: Arc<Lease>,
    id: UploadId,
    mode: AppendMode,
    start: u64,
    /// Bytes in the file that count already.
    counted: u64,
    buffer: Vec<u8>,
    fence: Fence,
}

/// Whether bytes beyond the start are kept from counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fence {
    Down,
    Up,
}

/// The most that is held back; in [`AppendMode::Atomic`], up to which no fence is needed.
const BUFFER: usize = 256 << 10;

/// The most that an idle writer holds in [`AppendMode::Atomic`].
const HELD: usize = 16 << 10;

/// From this size on a piece is not worth a copy.
const DIRECT: usize = 32 << 10;

impl FileAppender {
    pub(super) fn new(
        shared: Arc<Shared>,
        lease: Lease,
        id: UploadId,
        mode: AppendMode,
        start: u64,
    ) -> Self {
        let lease = Arc::new(lease);
        Self {
            shared,
            lease,
            id,
            mode,
            start,
            counted: 0,
            buffer: Vec::new(),
            fence: Fence::Down,
        }
    }

    /// Runs an operation on the file, if this appender is in force.
    async fn with_file<T, F>(&self, place: Place, operation: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut File) -> Result<T> + Send + 'static,
    {
        let lease = Arc::clone(&self.lease);
        let operation = move || lease.with(operation);
        match place {
            Place::Adaptive => self.shared.disk.run(operation).await,
            Place::Pool => Disk::run_in_pool(operation).await,
        }
    }

    async fn write_out(&mut self, data: impl AsRef<[u8]> + Send + 'static) -> Result<()> {
        self.raise_fence().await?;
        let size = data.as_ref().len() as u64;
        self.with_file(Place::Adaptive, move |file| {
            Ok(file.write_all(data.as_ref())?)
        })
        .await?;
        if self.mode == AppendMode::Streaming {
            self.counted += size;
        }
        Ok(())
    }

    async fn write_buffer(&mut self) -> Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        if buffer.is_empty() {
            Ok(())
        } else {
            self.write_out(buffer).await
        }
    }

    /// Before the first byte that may have to go again.
    async fn raise_fence(&mut self) -> Result<()> {
        if self.mode == AppendMode::Atomic && self.fence == Fence::Down {
            self.set_fence(Some(self.start)).await?;
            self.fence = Fence::Up;
        }
        Ok(())
    }

    async fn set_fence(&self, fence: Option<u64>) -> Result<()> {
        let (shared, id) = (Arc::clone(&self.shared), self.id.clone());
        self.with_file(self.place(), move |_| {
            let mut info = Info::read(&shared.layout, &id)?;
            info.fence = fence;
            info.replace(&shared.layout, &id, shared.reach_of(Durability::Always))
        })
        .await
    }

    /// Cuts off everything this appender wrote.
    async fn roll_back(&self) -> Result<()> {
        let start = self.start;
        self.with_file(Place::Pool, move |file| {
            file.set_len(start)?;
            file.seek(SeekFrom::Start(start))?;
            Ok(())
        })
        .await
    }

    async fn commit_streaming(&mut self) -> Result<()> {
        // After a failed write what is in the file counts, and there is nothing left to write.
        self.write_buffer().await?;
        self.sync().await
    }

    /// All of it has been verified. What fits the buffer needs no fence; a crash or a full disk right
    /// here may leave some first bytes of it behind, which are as good as those before them.
    async fn commit_atomic(&mut self) -> Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        let written = self
            .with_file(Place::Adaptive, move |file| Ok(file.write_all(&buffer)?))
            .await;
        let durable = match written {
            Ok(()) => self.sync().await,
            Err(error) => Err(error),
        };
        if self.fence == Fence::Up {
            if durable.is_err() {
                self.roll_back().await?;
            }
            self.set_fence(None).await?;
        }
        durable
    }

    async fn sync(&self) -> Result<()> {
        match self.shared.reach_of(Durability::Always) {
            Reach::Kernel => Ok(()),
            Reach::Device => {
                self.with_file(Place::Pool, |file| Ok(file.sync_data()?))
                    .await
            }
        }
    }

    fn place(&self) -> Place {
        match self.shared.reach_of(Durability::Always) {
            Reach::Kernel => Place::Adaptive,
            Reach::Device => Place::Pool,
        }
    }
}

/// Where an operation runs.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// See [`Disk::run`].
    Adaptive,
    /// See [`Disk::run_in_pool`].
    Pool,
}

#[async_trait]
impl Appender for FileAppender {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        let may_go_out = self.mode == AppendMode::Streaming || self.fence == Fence::Up;
        if self.buffer.is_empty() && data.len() >= DIRECT && may_go_out {
            return self.write_out(data).await;
        }
        if self.buffer.len() + data.len() > BUFFER {
            self.write_buffer().await?;
            if data.len() >= DIRECT {
                return self.write_out(data).await;
            }
        }
        self.buffer.extend_from_slice(&data);
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        match self.mode {
            AppendMode::Streaming => self.write_buffer().await,
            // A little waits for its checksum in memory; more does so behind the fence.
            AppendMode::Atomic if self.buffer.len() <= HELD => Ok(()),
            AppendMode::Atomic => self.write_buffer().await,
        }
    }

    fn visible(&self) -> u64 {
        self.start + self.counted
    }

    async fn commit(mut self: Box<Self>) -> Result<u64> {
        let written = match self.mode {
            AppendMode::Streaming => self.commit_streaming().await,
            AppendMode::Atomic => self.commit_atomic().await,
        };
        let id = self.id.clone();
        let stored = self
            .with_file(Place::Adaptive, move |file| {
                let metadata = file.metadata()?;
                // Another process may have deleted the upload: an open file without a name.
                if is_unlinked(&metadata) {
                    Err(Error::NotFound(id))
                } else {
                    Ok(metadata.len())
                }
            })
            .await;
        written.and(stored)
    }

    async fn discard(self: Box<Self>) -> Result<()> {
        if self.fence == Fence::Up {
            self.roll_back().await?;
            self.set_fence(None).await?;
        }
        Ok(())
    }
}

#[cfg(unix)]
fn is_unlinked(metadata: &std::fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(metadata) == 0
}

#[cfg(not(unix))]
fn is_unlinked(_: &std::fs::Metadata) -> bool {
    // An open file cannot be deleted there.
    false
}
