use std::{collections::VecDeque, io, time::Duration};

use bytes::{Bytes, BytesMut};
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
    pub(super) async fn fill(&mut self, offset: u64, want: u64) -> Result<u64, Error> {
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
        Ok((self.end - offset).min(want))
    }

    /// Bytes from `offset` on that are kept, at most `max`.
    pub(super) fn read(&self, offset: u64, max: usize) -> Bytes {
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
            return Err(Error::new(Kind::Source(format!(
                "is longer than the {declared} bytes it was said to be"
            ))));
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

    #[tokio::test(start_paused = true)]
    async fn a_slow_stream_is_sent_as_it_comes() {
        let pieces = stream::iter([Ok(Bytes::from_static(b"a"))]).chain(stream::pending());
        let mut replay = Replay::new(pieces.boxed(), 64, None);
        assert_eq!(replay.fill(0, 10).await.unwrap(), 1);
    }
}
