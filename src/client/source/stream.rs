use std::{collections::VecDeque, io, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use futures::{StreamExt, stream::BoxStream};
use tokio::time::{Instant, timeout_at};

use super::PIECE;
use crate::client::{Error, error::Kind};

/// A stream, and what of it the server may not have stored yet.
pub(crate) struct Replay {
    stream: BoxStream<'static, io::Result<Bytes>>,
    /// What the stream gave beyond what fits.
    spare: Bytes,
    /// From `start` on without a gap, each at most one piece long.
    kept: VecDeque<Bytes>,
    start: u64,
    end: u64,
    capacity: usize,
    declared: Option<u64>,
    ended: bool,
    /// Whether any of it was read.
    given: bool,
}

impl Replay {
    pub(super) fn new(
        stream: BoxStream<'static, io::Result<Bytes>>,
        capacity: usize,
        declared: Option<u64>,
    ) -> Self {
        Self {
            stream,
            spare: Bytes::new(),
            kept: VecDeque::new(),
            start: 0,
            end: 0,
            capacity,
            declared,
            ended: false,
            given: false,
        }
    }

    /// How many bytes there are, once that is known.
    pub(super) fn length(&self) -> Option<u64> {
        match self.ended {
            true => Some(self.end),
            false => self.declared,
        }
    }

    /// Forgets what is stored: everything before `offset`.
    pub(super) fn release(&mut self, offset: u64) {
        while let Some(first) = self.kept.front() {
            let next = self.start + first.len() as u64;
            if next > offset {
                break;
            }
            self.start = next;
            self.kept.pop_front();
        }
    }

    /// Reads until `want` bytes from `offset` on are kept, the stream ends or is slow, or no more fits;
    /// how many there are. Waits for at least one, or the end. Cancel-safe.
    ///
    /// Before anything was read it may begin at any offset: an upload goes on that was interrupted.
    pub(super) async fn fill(&mut self, offset: u64, want: u64) -> Result<u64, Error> {
        if offset > self.end && !self.given {
            self.skip(offset).await?;
        }
        if offset < self.start || offset > self.end {
            return Err(Error::new(Kind::Source(
                "is a stream, and the bytes the server asks for are gone: keep more with \
                 Source::replay"
                    .to_owned(),
            )));
        }
        // A slow stream is sent piece by piece.
        let mut patience = None;
        while !self.ended && self.end - offset < want && self.room() > 0 {
            let deadline = patience.filter(|_| self.end > offset);
            if self.spare.is_empty() {
                let next = match deadline {
                    Some(deadline) => match timeout_at(deadline, self.stream.next()).await {
                        Ok(next) => next,
                        Err(_) => break,
                    },
                    None => self.stream.next().await,
                };
                patience.get_or_insert_with(|| Instant::now() + PATIENCE);
                match next.transpose().map_err(Error::read)? {
                    Some(piece) => self.spare = piece,
                    None => self.end()?,
                }
            }
            self.keep()?;
        }
        // The last bytes make the upload whole, so they wait for the end that was announced.
        while !self.ended
            && self.declared == Some(self.end)
            && offset.saturating_add(want) >= self.end
        {
            self.next().await?;
            if !self.spare.is_empty() {
                return Err(too_long(self.end));
            }
        }
        Ok((self.end - offset).min(want))
    }

    /// Drops everything before `offset`.
    async fn skip(&mut self, offset: u64) -> Result<(), Error> {
        self.kept.clear();
        self.start = self.end;
        while self.end < offset {
            self.next().await?;
            if self.ended {
                return Err(Error::new(Kind::Source(format!(
                    "ended after {} bytes, and the server has {offset}: it is not what was uploaded \
                     before",
                    self.end
                ))));
            }
            let count = (self.spare.len() as u64).min(offset - self.end);
            self.spare.advance(count as usize);
            self.end += count;
            self.start = self.end;
        }
        Ok(())
    }

    /// Has something to spare, unless the stream has ended or gave nothing.
    async fn next(&mut self) -> Result<(), Error> {
        if self.spare.is_empty() && !self.ended {
            match self.stream.next().await.transpose().map_err(Error::read)? {
                Some(piece) => self.spare = piece,
                None => self.end()?,
            }
        }
        Ok(())
    }

    /// Bytes from `offset` on that are kept, at most `max`.
    pub(super) fn read(&mut self, offset: u64, max: usize) -> Bytes {
        self.given = true;
        let mut at = self.start;
        for piece in &self.kept {
            let next = at + piece.len() as u64;
            if offset < next {
                let from = (offset.saturating_sub(at)) as usize;
                return piece.slice(from..piece.len().min(from.saturating_add(max)));
            }
            at = next;
        }
        Bytes::new()
    }

    fn room(&self) -> usize {
        self.capacity
            .saturating_sub((self.end - self.start) as usize)
    }

    /// Copies what fits: a frame of a stream may hold on to far more memory than it is long.
    fn keep(&mut self) -> Result<(), Error> {
        let count = self.spare.len().min(self.room()).min(PIECE);
        if count == 0 {
            return Ok(());
        }
        let piece = self.spare.split_to(count);
        self.end += count as u64;
        if let Some(declared) = self.declared
            && self.end > declared
        {
            return Err(too_long(declared));
        }
        if let Some(last) = self.kept.back_mut()
            && last.len() + count <= SMALL
        {
            let mut joined = BytesMut::with_capacity(SMALL);
            joined.extend_from_slice(last);
            joined.extend_from_slice(&piece);
            *last = joined.freeze();
            return Ok(());
        }
        self.kept.push_back(Bytes::copy_from_slice(&piece));
        Ok(())
    }

    fn end(&mut self) -> Result<(), Error> {
        self.ended = true;
        match self.declared {
            Some(declared) if declared != self.end => Err(Error::new(Kind::Source(format!(
                "ended after {} of the {declared} bytes it was said to be",
                self.end
            )))),
            _ => Ok(()),
        }
    }
}

fn too_long(declared: u64) -> Error {
    Error::new(Kind::Source(format!(
        "is longer than the {declared} bytes it was said to be"
    )))
}

/// How long to wait for more once there is something to send.
const PATIENCE: Duration = Duration::from_millis(500);

/// Pieces up to this size are joined.
const SMALL: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn replay(pieces: &'static [&'static str], capacity: usize) -> Replay {
        let pieces = stream::iter(pieces).map(|piece| Ok(Bytes::from_static(piece.as_bytes())));
        Replay::new(pieces.boxed(), capacity, None)
    }

    #[tokio::test]
    async fn what_is_not_released_can_be_read_again() {
        let mut replay = replay(&["abc", "def", "gh"], 6);
        assert_eq!(replay.fill(0, 100).await.unwrap(), 6);
        assert_eq!(replay.length(), None);
        assert_eq!(replay.read(2, 100), "cdef");
        assert_eq!(replay.read(2, 2), "cd");
        replay.release(6);
        assert_eq!(replay.fill(6, 100).await.unwrap(), 2);
        assert_eq!(replay.read(6, 100), "gh");
        assert_eq!(replay.length(), Some(8));
        assert!(replay.fill(0, 1).await.unwrap_err().is_source());
    }

    #[tokio::test]
    async fn a_declared_length_is_held() {
        for (declared, good) in [(2, false), (3, true), (4, false)] {
            let mut replay = replay(&["abc"], 64);
            replay.declared = Some(declared);
            assert_eq!(replay.fill(0, 10).await.is_ok(), good, "{declared}");
        }
    }

    #[tokio::test]
    async fn the_last_bytes_wait_for_the_end() {
        // All that was announced fits, and the stream goes on.
        for pieces in [&["abc", "def", "", "g"][..], &["abcdefg"]] {
            let mut replay = replay(pieces, 6);
            replay.declared = Some(6);
            assert_eq!(replay.fill(0, 4).await.unwrap(), 4);
            for _ in 0..2 {
                assert!(replay.fill(0, 6).await.unwrap_err().is_source());
            }
        }
        let mut replay = replay(&["abc", "def", ""], 6);
        replay.declared = Some(6);
        assert_eq!(replay.fill(0, 6).await.unwrap(), 6);
    }

    #[tokio::test]
    async fn what_was_uploaded_before_is_dropped() {
        let mut kept = replay(&["abc", "def", "ghi", "j"], 3);
        assert_eq!(kept.fill(0, 100).await.unwrap(), 3);
        kept.release(7);
        assert_eq!(kept.fill(7, 100).await.unwrap(), 3);
        assert_eq!(kept.read(7, 100), "hij");
        // Bytes were given away that nobody asked for.
        kept.release(20);
        assert!(kept.fill(20, 1).await.unwrap_err().is_source());
        let mut short = replay(&["abc"], 3);
        let error = short.fill(4, 1).await.unwrap_err();
        assert!(error.to_string().contains("ended after 3"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_stream_is_sent_as_it_comes() {
        let pieces = stream::iter([Ok(Bytes::from_static(b"a"))]).chain(stream::pending());
        let mut replay = Replay::new(pieces.boxed(), 64, None);
        assert_eq!(replay.fill(0, 10).await.unwrap(), 1);
    }
}
