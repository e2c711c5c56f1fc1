//! Bytes that are in no part yet.

use std::{collections::VecDeque, mem};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{Error as StoreError, PutPayload, path::Path};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    retry::{retry, transfer},
    shared::{Shared, backend},
    state::{Segment, Tail},
};
use crate::{
    protocol::UploadId,
    storage::{Error, Result, record::damaged},
};

/// The last bytes of an upload, in their order: segments, the tail as it is stored, and what has come
/// since.
#[derive(Debug, Default)]
pub(super) struct Loose {
    pub(super) segments: Vec<Segment>,
    pub(super) tail: Tail,
    pub(super) fresh: Fresh,
}

/// Bytes that are only in memory, and the right to hold that many.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    pieces: VecDeque<Bytes>,
    /// The piece that is being filled.
    open: BytesMut,
    size: u64,
    permit: Option<OwnedSemaphorePermit>,
}

/// Size of a piece in memory, in bytes. What comes is copied: the frames of a connection are parts of
/// larger buffers, that would be held as a whole.
pub(super) const PIECE: usize = 256 << 10;

/// Size of the first piece.
const SMALL: usize = 4 << 10;

/// How many segments are fetched at a time.
const FETCHES: usize = 4;

impl Loose {
    pub(super) fn size(&self) -> u64 {
        let segments: u64 = self.segments.iter().map(|segment| segment.size).sum();
        segments + self.tail.size() + self.fresh.size
    }

    /// Takes the first `size` bytes out, or all there are.
    ///
    /// On an error nothing has been taken.
    pub(super) async fn take(
        &mut self,
        size: u64,
        shared: &Shared,
        id: &UploadId,
    ) -> Result<(PutPayload, Option<OwnedSemaphorePermit>)> {
        let mut old = VecDeque::from(fetch(&self.segments, shared, id).await?);
        self.segments.clear();
        old.extend(mem::take(&mut self.tail).pieces().iter().cloned());
        let mut pieces = split(&mut old, size);
        // Almost never: old bytes are fewer than a part, unless one could not be sent.
        self.tail = old.into_iter().collect();
        let taken: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        let (fresh, permit) = self.fresh.take(size - taken);
        pieces.extend(fresh);
        Ok((pieces.into_iter().collect(), permit))
    }
}

impl Fresh {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Adds a copy of `data`. There is a permit for each byte.
    pub(super) fn push(&mut self, mut data: &[u8], permit: OwnedSemaphorePermit) {
        while !data.is_empty() {
            if self.open.len() == self.open.capacity() {
                self.close();
                // A body that trickles must not hold a large buffer for each byte.
                let size = usize::try_from(self.size).unwrap_or(PIECE);
                self.open = BytesMut::with_capacity(size.max(data.len()).clamp(SMALL, PIECE));
            }
            let room = self.open.capacity() - self.open.len();
            let (fits, rest) = data.split_at(room.min(data.len()));
            self.open.extend_from_slice(fits);
            self.size += fits.len() as u64;
            data = rest;
        }
        match &mut self.permit {
            Some(all) => all.merge(permit),
            none => *none = Some(permit),
        }
    }

    /// Takes the first `size` bytes, or all there are.
    pub(super) fn take(&mut self, size: u64) -> (Vec<Bytes>, Option<OwnedSemaphorePermit>) {
        self.close();
        let size = size.min(self.size);
        let taken = split(&mut self.pieces, size);
        self.size -= size;
        let permit = match self.size {
            0 => self.permit.take(),
            _ => self.split_permit(size),
        };
        (taken, permit)
    }

    fn split_permit(&mut self, size: u64) -> Option<OwnedSemaphorePermit> {
        let permit = self.permit.as_mut()?;
        permit.split(usize::try_from(size).ok()?)
    }

    fn close(&mut self) {
        let open = mem::take(&mut self.open);
        if open.is_empty() {
            return;
        }
        self.pieces
            .push_back(match open.len() < open.capacity() / 4 {
                true => Bytes::copy_from_slice(&open),
                false => open.freeze(),
            });
    }
}

/// Takes the first `size` bytes out of pieces, or all there are.
pub(super) fn split(pieces: &mut VecDeque<Bytes>, size: u64) -> Vec<Bytes> {
    let mut left = usize::try_from(size).unwrap_or(usize::MAX);
    let mut taken = Vec::new();
    while left > 0
        && let Some(mut piece) = pieces.pop_front()
    {
        if piece.len() > left {
            pieces.push_front(piece.split_off(left));
        }
        left -= piece.len();
        taken.push(piece);
    }
    taken
}

/// The bytes of segments.
pub(super) async fn fetch(
    segments: &[Segment],
    shared: &Shared,
    id: &UploadId,
) -> Result<Vec<Bytes>> {
    if segments.is_empty() {
        return Ok(Vec::new());
    }
    let _turn = shared.folds.acquire().await;
    let one = |segment: &Segment| {
        let (path, size) = (shared.layout.segment(id, segment), segment.size);
        fetch_one(path, size, shared, id)
    };
    // Collected first: a stream over a closure with references is not `Send` in sight of the compiler.
    let fetches: Vec<_> = segments.iter().map(one).collect();
    stream::iter(fetches).buffered(FETCHES).try_collect().await
}

async fn fetch_one(path: Path, size: u64, shared: &Shared, id: &UploadId) -> Result<Bytes> {
    let bucket = shared.bucket();
    let object = match retry(transfer(size), || bucket.get(&path, None)).await {
        Ok(object) => object,
        Err(StoreError::NotFound { .. }) => return Err(missing(&path, shared, id).await),
        Err(error) => return Err(backend(error)),
    };
    match object.bytes.len() as u64 == size {
        true => Ok(object.bytes),
        false => Err(damaged(id, "a segment is not as long as it should be")),
    }
}

/// Why a segment is not there: its bytes are in a part by now, or it should be.
async fn missing(path: &Path, shared: &Shared, id: &UploadId) -> Error {
    match shared.fetch(id).await {
        Ok(known) if shared.segment_paths(&known.state).contains(path) => {
            damaged(id, "a segment is gone")
        }
        Ok(_) => Error::Superseded(id.clone()),
        Err(error) => error,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    #[test]
    fn bytes_leave_with_their_permits_in_the_order_in_which_they_came() {
        let memory = Arc::new(Semaphore::new(1000));
        let mut fresh = Fresh::default();
        for data in [b"abc".as_slice(), b"", b"defg"] {
            let permits = u32::try_from(data.len()).unwrap();
            let permit = Arc::clone(&memory).try_acquire_many_owned(permits);
            fresh.push(data, permit.unwrap());
        }
        assert_eq!((fresh.size(), memory.available_permits()), (7, 993));
        let (taken, permit) = fresh.take(5);
        assert_eq!(taken.concat(), b"abcde");
        drop(permit);
        assert_eq!(memory.available_permits(), 998);
        let (taken, permit) = fresh.take(9);
        assert_eq!(taken.concat(), b"fg");
        drop(permit);
        assert_eq!((fresh.size(), memory.available_permits()), (0, 1000));
    }
}
