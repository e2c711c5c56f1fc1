//! The way of bytes into the store.

mod parts;
mod save;

use std::{collections::VecDeque, mem, ops::Range, sync::Arc};

use object_store::PutPayload;
use tokio::{
    sync::{OwnedMutexGuard, OwnedSemaphorePermit},
    time::{Duration, Instant},
};

use self::parts::Flight;
pub(super) use self::{parts::FIRST_RESERVE, save::Reach};
use super::{
    bucket::Part,
    loose::{Loose, PIECE},
    retry::{once, transfer},
    seat::{Held, Seat},
    shared::Shared,
    state::{Phase, Segment, Session, State},
};
use crate::{
    protocol::{Length, UploadId},
    storage::{AppendMode, Error, Result},
};

/// Moves the bytes of one upload into parts, and what is left into its state.
///
/// Bytes are *loose* until there are enough for a part. A part is sent under a number that nobody uses
/// again; parts count once a state names them, and only those do of which all earlier ones are stored.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    seat: Arc<Seat>,
    epoch: u64,
    mode: AppendMode,
    /// What is stored, and by which write.
    base: State,
    write: String,
    /// How many bytes fit into the numbers that there are.
    longest: u64,
    /// Where parts go; not in the state yet, maybe.
    session: Option<Session>,
    /// Numbers that are ours, and how many more are reserved next.
    numbers: Range<u32>,
    reserve: u32,
    /// Numbers that the next state reserves.
    granted: Range<u32>,
    loose: Loose,
    /// Segments that no state names yet.
    spilled: Vec<Segment>,
    /// Segments whose bytes are in parts now.
    stale: Vec<Segment>,
    flights: VecDeque<Flight>,
    /// Parts that are stored, and in no state yet. There is no gap before them.
    done: Vec<Part>,
    hole: Hole,
    sureness: Sureness,
    /// The right to hold what is being saved.
    saving: Option<OwnedSemaphorePermit>,
    saved: Instant,
    unsaved: u64,
}

/// Whether bytes are missing between those that are stored and those that come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hole {
    None,
    /// A part could not be stored: nothing behind it counts.
    Torn,
    /// Somebody else writes.
    Superseded,
}

/// The right to replace the state.
#[must_use]
pub(super) struct Turn {
    pub(super) held: OwnedMutexGuard<Held>,
    /// What was sure before.
    sureness: Sureness,
}

/// All bytes of a small upload, and the right to hold them.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) payload: PutPayload,
    _memory: Option<OwnedSemaphorePermit>,
}

/// What the store has said since the writer was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sureness {
    /// Nothing: another node may have moved on.
    Recalled,
    Asked,
    /// A state was written, and it is not known whether it took effect, or will.
    Unclear,
}

impl Writer {
    /// A writer that goes on from what is held, in `session`. Numbers that are held for the process go with
    /// it.
    pub(super) fn new(
        shared: Arc<Shared>,
        seat: Arc<Seat>,
        held: &mut Held,
        (mode, session): (AppendMode, Option<Session>),
    ) -> Self {
        let known = held.known.as_ref().expect("it was looked at before");
        let base = known.state.clone();
        let longest = shared.longest(base.description(), base.part_size);
        Self {
            longest,
            epoch: seat.next_epoch(),
            mode,
            write: known.write.clone(),
            session,
            numbers: mem::take(&mut held.numbers),
            reserve: FIRST_RESERVE,
            granted: 0..0,
            loose: Loose {
                segments: base.segments.clone(),
                tail: base.tail.clone(),
                ..Loose::default()
            },
            spilled: Vec::new(),
            stale: Vec::new(),
            flights: VecDeque::new(),
            done: Vec::new(),
            hole: Hole::None,
            sureness: Sureness::Recalled,
            saving: None,
            saved: Instant::now(),
            unsaved: 0,
            base,
            shared,
            seat,
        }
    }

    pub(super) fn mode(&self) -> AppendMode {
        self.mode
    }

    pub(super) fn id(&self) -> &UploadId {
        self.base.id()
    }

    /// Bytes that a state names.
    pub(super) fn stored(&self) -> u64 {
        self.base.offset()
    }

    /// Whether all bytes were taken.
    pub(super) fn is_complete(&self) -> bool {
        self.base.description().length == Length::Known(self.taken())
    }

    /// Bytes that were taken, saved or not.
    pub(super) fn taken(&self) -> u64 {
        self.base.offset() + self.unsaved
    }

    /// Whether a state names all bytes.
    pub(super) fn stored_is_complete(&self) -> bool {
        self.base.is_complete()
    }

    /// Whether bytes are there that are fewer than a part.
    pub(super) fn is_loose(&self) -> bool {
        self.loose.size() > 0
    }

    /// Size of a part, in bytes.
    pub(super) fn part_size(&self) -> u64 {
        self.base.part_size
    }

    /// Bytes that were taken and that no state names.
    pub(super) fn unsaved(&self) -> u64 {
        self.unsaved
    }

    /// How long ago a state was stored.
    pub(super) fn last_saved(&self) -> Duration {
        self.saved.elapsed()
    }

    /// Takes bytes. Returns when there is room for more.
    pub(super) async fn write(&mut self, mut data: &[u8]) -> Result<()> {
        match self.hole {
            Hole::None if self.seat.is_latest(self.epoch) => {}
            Hole::Torn => return Err(Error::Backend("a part was not stored".into())),
            Hole::None | Hole::Superseded => return Err(Error::Superseded(self.id().clone())),
        }
        if self.taken() + data.len() as u64 > self.longest {
            return Err(Error::TooLong(self.longest));
        }
        while !data.is_empty() {
            let (piece, rest) = data.split_at(data.len().min(PIECE));
            data = rest;
            let memory = self.memory(piece.len() as u64).await?;
            self.loose.fresh.push(piece, memory);
            self.unsaved += piece.len() as u64;
            while self.wants_parts() && self.loose.size() >= self.base.part_size {
                self.dispatch(self.base.part_size).await?;
            }
        }
        Ok(())
    }

    /// Holds next to nothing, while nothing comes.
    pub(super) async fn let_go(&mut self) -> Result<()> {
        while self.flights.front().is_some_and(Flight::has_landed) {
            self.land().await?;
        }
        match self.loose.fresh.size() > self.inline_limit(0) {
            true => self.spill().await,
            false => Ok(()),
        }
    }

    /// Ends without saving.
    pub(super) async fn give_up(self) {
        match self.mode {
            AppendMode::Streaming => self.close().await,
            AppendMode::Atomic => self.discard().await,
        }
    }

    /// What was not saved is not to be. Nothing of it was visible.
    async fn discard(mut self) {
        // Their numbers are used up; what becomes of the parts does not matter.
        self.flights.clear();
        if let Some(session) = self.session.take()
            && self.base.session.is_none()
        {
            let path = self.shared.path(&session, &self.base);
            let bucket = self.shared.bucket();
            let aborted = once(transfer(0), bucket.abort(&path, &session.id)).await;
            if let Err(error) = aborted {
                tracing::debug!(%error, "left for the sweep");
            }
            self.numbers = 0..0;
        }
        let spilled = mem::take(&mut self.spilled);
        self.forget(spilled);
        self.close().await;
    }

    /// Gives back what is of use to the next writer of this process.
    pub(super) async fn close(mut self) {
        self.flights.clear();
        if let Some(session) = &self.session
            && self.base.session.is_none()
            && self.base.phase != Phase::Finished
            && self.sureness != Sureness::Unclear
        {
            self.shared.abandon(&self.base, session).await;
        }
        let mut held = self.seat.turn.lock().await;
        let known = held.known.as_ref();
        if self.seat.is_latest(self.epoch) && known.is_some_and(|known| known.write == self.write) {
            held.numbers = match self.base.session {
                Some(_) => self.numbers,
                None => 0..0,
            };
        }
        held.trim();
    }

    /// Takes the turn, if this is still the latest writer and the state is still the one it goes on from.
    /// Whoever is done with it [leaves](Self::leave).
    ///
    /// If what follows is cut, it is not known whether a state was written.
    pub(super) async fn enter(&mut self) -> Result<Turn> {
        let mut held = Arc::clone(&self.seat.turn).lock_owned().await;
        if held
            .known
            .as_ref()
            .is_some_and(|known| known.write != self.write)
        {
            // It may be one that was read long ago.
            held.known = None;
        }
        let current = match self.seat.is_latest(self.epoch) {
            true => self.shared.known(self.base.id(), &mut held).await,
            false => Err(Error::Superseded(self.id().clone())),
        };
        match current {
            Ok(known) if known.write == self.write => Ok(Turn {
                held,
                sureness: mem::replace(&mut self.sureness, Sureness::Unclear),
            }),
            Ok(_) => {
                self.hole = Hole::Superseded;
                Err(Error::Superseded(self.id().clone()))
            }
            Err(error) => {
                if matches!(error, Error::Superseded(_) | Error::NotFound(_)) {
                    self.hole = Hole::Superseded;
                }
                Err(error)
            }
        }
    }

    /// Goes on from what is held now, whatever came of the turn.
    pub(super) fn leave<T>(&mut self, turn: Turn, done: Result<T>) -> Result<T> {
        let Turn { held, sureness } = turn;
        match &done {
            Ok(_) => self.sureness = Sureness::Asked,
            Err(Error::Superseded(_) | Error::NotFound(_)) => {
                self.hole = Hole::Superseded;
                self.sureness = sureness;
            }
            Err(_) => {}
        }
        match &held.known {
            Some(known) if self.hole != Hole::Superseded => {
                self.base = known.state.clone();
                self.write = known.write.clone();
            }
            _ => {}
        }
        self.seat.show(&held);
        done
    }

    /// All bytes of the upload, if no part was ever begun and all are here.
    pub(super) async fn take_whole(&mut self) -> Result<Option<Whole>> {
        if self.session.is_some() || self.hole != Hole::None || !self.is_complete() {
            return Ok(None);
        }
        let taken = self.loose.take(u64::MAX, &self.shared, self.base.id());
        let (payload, memory) = taken.await?;
        Ok(Some(Whole {
            payload,
            _memory: memory,
        }))
    }

    /// Gives back what was taken as a whole.
    pub(super) fn put_back(&mut self, payload: PutPayload) {
        self.loose.tail = payload.into_iter().collect();
    }

    /// The right to hold that many more bytes. Whoever has to wait for it holds next to nothing meanwhile.
    async fn memory(&mut self, size: u64) -> Result<OwnedSemaphorePermit> {
        if let Some(memory) = self.spare_memory(size).await? {
            return Ok(memory);
        }
        if self.loose.fresh.size() > 0 {
            self.spill().await?;
        }
        self.wait_for_memory(size).await
    }

    /// The right to hold `size` bytes of the upload, of which the `old` ones are in the store. If that is
    /// not to be had, the others go there too, and it is the right to hold all of them.
    async fn memory_for_old(&mut self, old: u64, size: u64) -> Result<OwnedSemaphorePermit> {
        if let Some(memory) = self.spare_memory(old).await? {
            return Ok(memory);
        }
        self.spill().await?;
        self.wait_for_memory(size).await
    }

    /// The right to hold bytes, if there is room, or this writer can make some.
    async fn spare_memory(&mut self, size: u64) -> Result<Option<OwnedSemaphorePermit>> {
        loop {
            let memory = Arc::clone(&self.shared.memory);
            match memory.try_acquire_many_owned(permits(size)) {
                Ok(memory) => return Ok(Some(memory)),
                Err(_) if self.flights.is_empty() => return Ok(None),
                // A part is held until it is known to be stored.
                Err(_) => self.land().await?,
            }
        }
    }

    async fn wait_for_memory(&self, size: u64) -> Result<OwnedSemaphorePermit> {
        let memory = Arc::clone(&self.shared.memory);
        // A part may be larger than all there is.
        let size = size.min(self.shared.settings.memory);
        let memory = memory.acquire_many_owned(permits(size)).await;
        memory.map_err(|error| Error::Backend(Box::new(error)))
    }

    /// Small uploads are written as a whole.
    fn wants_parts(&self) -> bool {
        self.session.is_some() || self.base.wants_parts()
    }
}

/// One for each byte.
fn permits(size: u64) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
