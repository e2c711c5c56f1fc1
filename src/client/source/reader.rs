use std::io::{self, SeekFrom};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt};

use super::PIECE;

/// What can be read from any place.
pub(super) trait Seekable: AsyncRead + AsyncSeek + Send + Unpin {}

impl<R: AsyncRead + AsyncSeek + Send + Unpin> Seekable for R {}

/// A reader, its length, and where it stands.
pub(super) struct Reader {
    reader: Box<dyn Seekable>,
    pub(super) length: u64,
    /// `None` after an operation that was not carried to its end.
    position: Option<u64>,
    buffer: BytesMut,
}

impl Reader {
    pub(super) async fn open(mut reader: Box<dyn Seekable>) -> io::Result<Self> {
        let length = reader.seek(SeekFrom::End(0)).await?;
        Ok(Self {
            reader,
            length,
            position: Some(length),
            buffer: BytesMut::new(),
        })
    }

    /// Bytes from `offset` on, at most `max` and none at the end. Cancel-safe.
    pub(super) async fn read(&mut self, offset: u64, max: usize) -> io::Result<Bytes> {
        let position = self.position.take();
        if position != Some(offset) {
            self.reader.seek(SeekFrom::Start(offset)).await?;
        }
        let size = max.min(PIECE);
        self.buffer.clear();
        // Takes the old memory again once nobody has a piece of it.
        self.buffer.reserve(size);
        let mut limited = (&mut self.reader).take(size as u64);
        while self.buffer.len() < size {
            if limited.read_buf(&mut self.buffer).await? == 0 {
                break;
            }
        }
        let piece = self.buffer.split().freeze();
        self.position = Some(offset + piece.len() as u64);
        Ok(piece)
    }
}
