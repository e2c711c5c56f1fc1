//! The way of bytes into the store.

use std::{collections::VecDeque, mem, ops::Range, sync::Arc, time::SystemTime};

use futures::future::join_all;
use object_store::{Error as StoreError, PutMode, PutPayload, path::Path};
use tokio::{
    sync::{OwnedMutexGuard, OwnedSemaphorePermit, TryAcquireError},
    task::{JoinError, JoinHandle},
    time::{Duration, Instant, sleep},
};

use super::{
    bucket::Part,
    loose::{Loose, PIECE},
    retry::{ASSEMBLY, is_unclear, once, pause, retry, transfer},
    seat::{Held, Seat},
    shared::{Shared, backend, nonce},
    state::{Segment, Session, State, Tail},
};
use crate::{
    protocol::{Length, UploadId},
    storage::{Error, Result},
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
    /// What is stored, and by which write.
    base: State,
    write: String,
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
    saved: Instant,
    unsaved: u64,
}

/// A part on its way.
#[derive(Debug)]
struct Flight {
    number: u32,
    payload: PutPayload,
    /// `None` while it has to be sent again.
    task: Option<JoinHandle<object_store::Result<String>>>,
    _memory: Option<OwnedSemaphorePermit>,
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

impl Flight {
    fn has_landed(&self) -> bool {
        self.task.as_ref().is_some_and(JoinHandle::is_finished)
    }
}

/// How much of what was taken is to be saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Parts that are stored already.
    Parts,
    /// What is stored already, and loose bytes if there is nothing between.
    SoFar,
    /// All.
    All,
}

/// The longest time, and the most bytes, that a crash may cost a body that does not pause.
const CHECKPOINT: Duration = Duration::from_secs(30);
const CHECKPOINT_BYTES: u64 = 1 << 30;

/// How often a part is sent, each time under another number.
const ATTEMPTS: u32 = 5;

/// How many numbers are reserved first, and at most.
pub(super) const FIRST_RESERVE: u32 = 4;
const LAST_RESERVE: u32 = 64;

/// A tail of that many times the bytes that are new is written with the state again. A longer one would
/// cost many small requests too much, and becomes a segment.
const REWRITES: u64 = 4;

impl Writer {
    /// A writer that goes on from what is held, in `session`. Numbers that are held for the process go with
    /// it.
    pub(super) fn new(
        shared: Arc<Shared>,
        seat: Arc<Seat>,
        held: &mut Held,
        session: Option<Session>,
    ) -> Self {
        let known = held.known.as_ref().expect("it was looked at before");
        let base = known.state.clone();
        Self {
            epoch: seat.next_epoch(),
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
            saved: Instant::now(),
            unsaved: 0,
            base,
            shared,
            seat,
        }
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

    /// Whether something was taken that is not saved.
    pub(super) fn is_dirty(&self) -> bool {
        self.unsaved > 0
    }

    /// Takes bytes. Returns when there is room for more.
    pub(super) async fn write(&mut self, mut data: &[u8]) -> Result<()> {
        match self.hole {
            Hole::None if self.seat.is_latest(self.epoch) => {}
            Hole::Torn => return Err(Error::Backend("a part was not stored".into())),
            Hole::None | Hole::Superseded => return Err(Error::Superseded(self.id().clone())),
        }
        while !data.is_empty() {
            let (piece, rest) = data.split_at(data.len().min(PIECE));
            data = rest;
            let memory = self.memory(piece.len()).await?;
            self.loose.fresh.push(piece, memory);
            self.unsaved += piece.len() as u64;
            while self.wants_parts() && self.loose.size() >= self.base.part_size {
                self.dispatch(self.base.part_size).await?;
            }
        }
        Ok(())
    }

    /// Whether a crash would cost too much by now.
    pub(super) fn is_due(&self) -> bool {
        self.unsaved >= CHECKPOINT_BYTES || self.saved.elapsed() >= CHECKPOINT
    }

    /// Adds parts that are ranges of other objects, as long as parts are. Gives how many, from the first
    /// on: none if the store cannot, or loose bytes come first.
    pub(super) async fn copy(&mut self, sources: &[(Path, Range<u64>)]) -> Result<usize> {
        if self.loose.size() > 0 || !self.wants_parts() {
            return Ok(0);
        }
        while !self.flights.is_empty() {
            self.land().await?;
        }
        let session = self.session().await?;
        let path = self.shared.path(&session, &self.base);
        let mut copies = Vec::with_capacity(sources.len());
        for (source, range) in sources {
            copies.push((self.number().await?, source, range));
        }
        let bucket = self.shared.bucket();
        let copied = copies.iter().map(|(number, source, range)| {
            let copied = bucket.copy_part(&path, &session.id, *number, source, (*range).clone());
            once(ASSEMBLY, copied)
        });
        let copied = join_all(copied).await;
        let mut added = 0;
        for ((number, _, range), tag) in copies.iter().zip(copied) {
            match tag {
                Ok(tag) => {
                    let size = range.end - range.start;
                    self.done.push(Part::new(*number, tag, size));
                    self.unsaved += size;
                    added += 1;
                }
                Err(error) => {
                    tracing::debug!(%error, "the bytes of a part are sent instead of copied");
                    break;
                }
            }
        }
        Ok(added)
    }

    /// Makes what was taken count, as far as `reach` says.
    ///
    /// # Errors
    /// What was stored before the error counts then, if a state could be written at all.
    pub(super) async fn save(&mut self, reach: Reach) -> Result<()> {
        let sent = self.send_rest(reach).await;
        let state = self.compose(reach).await?;
        if let Some(state) = state {
            self.store(state).await?;
        }
        sent
    }

    /// What was not saved is not to be. Nothing of it was visible.
    pub(super) async fn discard(mut self) {
        for flight in self.flights.drain(..) {
            // The number is used up; what becomes of the part does not matter.
            if let Some(task) = flight.task {
                task.abort();
            }
        }
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
    pub(super) async fn close(self) {
        let mut held = self.seat.turn.lock().await;
        if self.seat.is_latest(self.epoch) && self.base.session.is_some() {
            held.numbers = self.numbers;
        }
        held.trim();
    }

    /// Takes the turn, if this is still the latest writer and the state is still the one it goes on from.
    /// Whoever is done with it [leaves](Self::leave).
    pub(super) async fn enter(&mut self) -> Result<OwnedMutexGuard<Held>> {
        let mut held = Arc::clone(&self.seat.turn).lock_owned().await;
        let current = self.seat.is_latest(self.epoch)
            && self.shared.known(self.base.id(), &mut held).await?.write == self.write;
        match current {
            true => Ok(held),
            false => {
                self.hole = Hole::Superseded;
                Err(Error::Superseded(self.id().clone()))
            }
        }
    }

    /// Goes on from what is held now, whatever came of the turn.
    pub(super) fn leave<T>(&mut self, held: OwnedMutexGuard<Held>, done: Result<T>) -> Result<T> {
        match (&done, &held.known) {
            (Err(Error::Superseded(_)), _) => self.hole = Hole::Superseded,
            (_, Some(known)) => {
                self.base = known.state.clone();
                self.write = known.write.clone();
            }
            (_, None) => {}
        }
        self.seat.show(&held);
        done
    }

    /// All bytes of the upload, if no part was ever begun and all are here.
    pub(super) async fn take_whole(&mut self) -> Result<Option<PutPayload>> {
        if self.session.is_some() || self.hole != Hole::None || !self.is_complete() {
            return Ok(None);
        }
        let (payload, _) = self
            .loose
            .take(u64::MAX, &self.shared, self.base.id())
            .await?;
        Ok(Some(payload))
    }

    /// Gives back what was taken as a whole.
    pub(super) fn put_back(&mut self, payload: PutPayload) {
        self.loose.tail = payload.into_iter().collect();
    }

    /// The right to hold bytes. While it is not to be had, none are held for long.
    async fn memory(&mut self, size: usize) -> Result<OwnedSemaphorePermit> {
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let memory = Arc::clone(&self.shared.memory);
        match Arc::clone(&memory).try_acquire_many_owned(size) {
            Ok(permit) => return Ok(permit),
            Err(TryAcquireError::NoPermits) => {}
            Err(TryAcquireError::Closed) => unreachable!("it is never closed"),
        }
        if self.loose.fresh.size() > self.inline_limit(0) {
            self.spill().await?;
        }
        let permit = memory.acquire_many_owned(size).await;
        permit.map_err(|error| Error::Backend(Box::new(error)))
    }

    /// Small uploads are written as a whole.
    fn wants_parts(&self) -> bool {
        self.session.is_some()
            || match self.base.description().length {
                Length::Known(length) => length > self.base.part_size,
                Length::Deferred => true,
            }
    }

    /// Sends the first `size` loose bytes as a part.
    async fn dispatch(&mut self, size: u64) -> Result<()> {
        while self.flights.len() >= self.shared.settings.parts_in_flight {
            self.land().await?;
        }
        let session = self.session().await?;
        let number = self.number().await?;
        let segments = self.loose.segments.clone();
        let (payload, memory) = self.loose.take(size, &self.shared, self.base.id()).await?;
        self.stale.extend(segments);
        self.flights.push_back(Flight {
            number,
            task: Some(tokio::spawn(self.put_part(
                &session,
                number,
                payload.clone(),
            ))),
            payload,
            _memory: memory,
        });
        Ok(())
    }

    fn put_part(
        &self,
        session: &Session,
        number: u32,
        payload: PutPayload,
    ) -> impl Future<Output = object_store::Result<String>> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        let path = shared.path(session, &self.base);
        let id = session.id.clone();
        async move {
            let limit = transfer(payload.content_length() as u64);
            once(limit, shared.bucket().put_part(&path, &id, number, payload)).await
        }
    }

    /// Waits for the first part on its way. One that may have arrived or not is sent again under
    /// another number, for what is late must not replace what counts.
    async fn land(&mut self) -> Result<()> {
        for tried in 1.. {
            let Some(flight) = self.flights.front_mut() else {
                break;
            };
            let landed = match &mut flight.task {
                Some(task) => task.await.unwrap_or_else(|error| Err(panicked(error))),
                None => break,
            };
            flight.task = None;
            let error = match landed {
                Ok(tag) => {
                    let size = flight.payload.content_length() as u64;
                    self.done.push(Part::new(flight.number, tag, size));
                    self.flights.pop_front();
                    break;
                }
                Err(error) => error,
            };
            if !is_unclear(&error) || tried == ATTEMPTS {
                return Err(self.tear(backend(error)));
            }
            tracing::debug!(%error, tried, "a part is sent again");
            sleep(pause(tried)).await;
            self.send_again().await.map_err(|error| self.tear(error))?;
        }
        Ok(())
    }

    /// Sends all parts on their way again: their numbers have to stay in their order.
    async fn send_again(&mut self) -> Result<()> {
        let session = self.session().await?;
        for index in 0..self.flights.len() {
            let number = self.number().await?;
            let payload = self.flights[index].payload.clone();
            let task = tokio::spawn(self.put_part(&session, number, payload));
            let flight = &mut self.flights[index];
            flight.number = number;
            if let Some(late) = flight.task.replace(task) {
                late.abort();
            }
        }
        Ok(())
    }

    /// Nothing behind the first part on its way will ever count.
    fn tear(&mut self, error: Error) -> Error {
        self.flights.clear();
        if self.hole == Hole::None {
            self.hole = Hole::Torn;
        }
        error
    }

    /// The session, which is opened for the first part. Before a state names it nobody else knows of it,
    /// and all numbers are ours.
    async fn session(&mut self) -> Result<Session> {
        if let Some(session) = &self.session {
            return Ok(session.clone());
        }
        let session = self.shared.begin(&self.base).await?;
        self.numbers = 1..self.shared.profile.max_parts + 1;
        Ok(self.session.insert(session).clone())
    }

    async fn number(&mut self) -> Result<u32> {
        if self.numbers.is_empty() {
            self.reserve_numbers().await?;
        }
        self.numbers
            .next()
            .ok_or(Error::TooLong(self.base.offset()))
    }

    /// Has the store know that more numbers are ours. What is stored by now is saved with that.
    async fn reserve_numbers(&mut self) -> Result<()> {
        if self.base.session.is_none() {
            return Ok(());
        }
        let composed = Box::pin(self.compose(Reach::Parts)).await?;
        let mut state = composed.unwrap_or_else(|| self.base.clone());
        if self.granted.is_empty() {
            self.granted = state.reserve(self.reserve, self.shared.profile.max_parts);
        }
        self.store(state).await
    }

    /// Sends what has to be a part, and waits for all that are on their way.
    async fn send_rest(&mut self, reach: Reach) -> Result<()> {
        if reach == Reach::All && self.hole == Hole::None {
            let last = self.is_complete() && self.session.is_some();
            if last && self.loose.size() > 0 {
                self.dispatch(self.loose.size()).await?;
            }
        }
        while let Some(flight) = self.flights.front() {
            if reach != Reach::All && !flight.has_landed() {
                break;
            }
            self.land().await?;
        }
        Ok(())
    }

    /// The state that names what is stored; `None` if that is the one there is.
    async fn compose(&mut self, reach: Reach) -> Result<Option<State>> {
        let whole = reach != Reach::Parts && self.flights.is_empty() && self.hole == Hole::None;
        let in_parts = self.base.parts_size() + self.done.iter().map(|part| part.size).sum::<u64>();
        let grown = whole && self.taken() > in_parts.max(self.base.offset());
        if self.done.is_empty() && !grown {
            return Ok(None);
        }
        if grown && self.is_long(reach) {
            self.spill().await?;
        }
        let mut state = self.base.clone();
        if !self.done.is_empty() {
            // Whatever was loose is in the first of them.
            state.parts.extend(self.done.iter().cloned());
            state.segments.clear();
            state.tail = Tail::default();
        }
        if whole {
            let (fresh, memory) = self.loose.fresh.take(u64::MAX);
            // Few enough to be held without counting.
            drop(memory);
            fresh
                .into_iter()
                .for_each(|piece| self.loose.tail.push(piece));
            state.segments = self.loose.segments.clone();
            state.tail = self.loose.tail.clone();
        }
        if state.session.is_none() && self.session.is_some() {
            let reserve = self.numbers.start.saturating_add(LAST_RESERVE);
            self.numbers.end = self.numbers.end.min(reserve);
            state.number = self.numbers.end;
        }
        state.session = self.session.clone();
        if self.base.session.is_some() && self.numbers.is_empty() {
            // Whoever goes on need not ask for them by a write of its own.
            self.granted = state.reserve(self.reserve, self.shared.profile.max_parts);
        }
        state.touch(SystemTime::now());
        Ok(Some(state))
    }

    /// Whether the tail would be too long to be written with the state.
    fn is_long(&self, reach: Reach) -> bool {
        let fresh = self.loose.fresh.size();
        let added = match reach {
            // A body that goes on does not hold what it has saved.
            Reach::Parts | Reach::SoFar => 0,
            Reach::All => self.unsaved,
        };
        self.loose.tail.size() + fresh > self.inline_limit(added)
    }

    /// Up to how many bytes are written with the state, when that many are new.
    fn inline_limit(&self, added: u64) -> u64 {
        let small = (64 << 10).min(self.base.part_size / 128);
        small.max(added.saturating_mul(REWRITES))
    }

    /// Stores the tail and all fresh bytes as a segment.
    async fn spill(&mut self) -> Result<()> {
        let segment = Segment {
            name: nonce()?,
            size: self.loose.tail.size() + self.loose.fresh.size(),
        };
        let (fresh, memory) = self.loose.fresh.take(u64::MAX);
        let tail = self.loose.tail.pieces().iter().cloned();
        let payload: PutPayload = tail.chain(fresh.iter().cloned()).collect();
        let path = self.shared.layout.segment(self.base.id(), &segment);
        let limit = transfer(segment.size);
        let bucket = self.shared.bucket();
        let stored = retry(limit, || {
            bucket.put(&path, payload.clone(), PutMode::Overwrite.into())
        });
        if let Err(error) = stored.await {
            self.hole = Hole::Torn;
            return Err(backend(error));
        }
        drop(memory);
        self.loose.tail = Tail::default();
        self.loose.segments.push(segment.clone());
        self.spilled.push(segment);
        Ok(())
    }

    /// Replaces the state, under the condition that nobody else has.
    async fn store(&mut self, mut state: State) -> Result<()> {
        self.shared.secure(&mut state).await?;
        let offset = state.offset();
        let before = self.base.offset();
        let named = state.segments.clone();
        let id = state.id().clone();
        let granted = mem::take(&mut self.granted);
        let mut held = self.enter().await?;
        let replaced = self.shared.replace(&mut held, state).await;
        self.leave(held, replaced)?;
        if !granted.is_empty() {
            self.numbers = granted;
            self.reserve = (self.reserve * 2).min(LAST_RESERVE);
        }
        self.session = self.session.take().map(|session| {
            let stored = self.base.session.clone();
            stored.unwrap_or(session)
        });
        self.done.clear();
        self.saved = Instant::now();
        self.unsaved = self.unsaved.saturating_sub(offset - before);
        self.spilled.retain(|segment| !named.contains(segment));
        let stale = mem::take(&mut self.stale);
        let (kept, gone) = stale
            .into_iter()
            .partition::<Vec<_>, _>(|segment| named.contains(segment));
        self.stale = kept;
        tracing::trace!(%id, offset, "saved");
        self.forget(gone);
        Ok(())
    }

    fn forget(&self, segments: Vec<Segment>) {
        let layout = &self.shared.layout;
        let paths = segments.iter();
        self.shared.discard(
            paths
                .map(|segment| layout.segment(self.base.id(), segment))
                .collect(),
        );
    }
}

fn panicked(error: JoinError) -> StoreError {
    StoreError::Generic {
        store: "bucket",
        source: Box::new(error),
    }
}
