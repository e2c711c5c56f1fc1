use std::time::Duration;

use async_trait::async_trait;
use tokio::{task::spawn_blocking, time::timeout};

use crate::{
    client::{
        Error, RateLimit,
        append::{Sum, trailer},
        body::{BodySender, Pulse},
        error::Kind,
        exchange::Outgoing,
        progress::Share,
        source::{Opened, PIECE},
    },
    protocol::{Algorithm, Checksum, Hasher},
};

/// A range of a source, on its way through one request.
pub(super) struct Content<'a> {
    pub(super) source: &'a mut Opened,
    pub(super) offset: u64,
    pub(super) length: u64,
    /// The checksum that follows the bytes.
    pub(super) trailer: Option<Algorithm>,
    pub(super) rate: Option<&'a RateLimit>,
    pub(super) share: &'a mut Share,
}

#[async_trait]
impl Outgoing for Content<'_> {
    fn length(&self) -> Option<u64> {
        match self.trailer {
            Some(_) => None,
            None => Some(self.length),
        }
    }

    async fn send(&mut self, to: &BodySender) -> Result<(), Error> {
        let end = self.offset + self.length;
        let mut at = self.offset;
        let mut hasher = self.trailer.map(Hasher::new);
        while at < end {
            let mut piece = read(self.source, at, end - at).await?;
            if let Some(hasher) = &mut hasher {
                hasher.update(&piece);
            }
            while !piece.is_empty() {
                let part = match self.rate {
                    None => std::mem::take(&mut piece),
                    Some(rate) => {
                        let most = rate.piece().min(PIECE as u64) as usize;
                        let part = piece.split_to(most.min(piece.len()));
                        paid(rate, part.len() as u64, to.pulse()).await;
                        part
                    }
                };
                let length = part.len() as u64;
                self.share.handing(at + length);
                if to.data(part).await.is_err() {
                    // The answer says why.
                    return Ok(());
                }
                at += length;
                self.share.sending(at);
            }
        }
        if let Some(hasher) = hasher {
            let _ = to.trailers(trailer(&hasher.finish())).await;
        }
        Ok(())
    }
}

/// Reads the range once more than it is sent, for a checksum that goes before it.
pub(super) async fn checksum(
    source: &mut Opened,
    offset: u64,
    length: u64,
    algorithm: Algorithm,
) -> Result<Sum, Error> {
    let end = offset + length;
    let mut at = offset;
    let mut hasher = Hasher::new(algorithm);
    while at < end {
        let piece = read(source, at, end - at).await?;
        at += piece.len() as u64;
        // Bytes in memory would never let anybody else run.
        let hashing = spawn_blocking(move || {
            hasher.update(&piece);
            hasher
        });
        hasher = hashing.await.map_err(|lost| Error::read(lost.into()))?;
    }
    let checksum: Checksum = hasher.finish();
    Ok(Sum::Known(checksum))
}

/// The next piece, which has to be there.
async fn read(source: &mut Opened, at: u64, left: u64) -> Result<bytes::Bytes, Error> {
    let piece = source.read(at, left).await.map_err(Error::read)?;
    match piece.is_empty() {
        false => Ok(piece),
        true => Err(Error::new(Kind::Source(format!(
            "ended after {at} bytes, {left} too early: it was changed while it was uploaded"
        )))),
    }
}

/// Waits for the limit, which is no fault of the connection's.
async fn paid(rate: &RateLimit, bytes: u64, pulse: &Pulse) {
    let mut wait = std::pin::pin!(rate.take(bytes));
    while timeout(BEAT, &mut wait).await.is_err() {
        pulse.beat();
    }
}

/// Far below any limit for silence.
const BEAT: Duration = Duration::from_millis(200);
