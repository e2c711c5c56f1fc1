//! Making bytes count.

use std::{mem, time::SystemTime};

use object_store::{PutMode, PutPayload};
use tokio::time::{Duration, Instant};

use super::{Hole, Sureness, Writer, parts::LAST_RESERVE};
use crate::storage::{
    AppendMode, Error, Result,
    object::{
        retry::{retry, transfer},
        seat::Held,
        shared::{backend, nonce},
        state::{Segment, State, Tail},
    },
};

/// How much of what was taken is to be saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage::object) enum Reach {
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

/// A tail of that many times the bytes that are new is written with the state again. A longer one would
/// cost many small requests too much, and becomes a segment.
const REWRITES: u64 = 4;

impl Writer {
    /// Whether a crash would cost too much by now.
    pub(in crate::storage::object) fn is_due(&self) -> bool {
        self.unsaved > CHECKPOINT_BYTES || self.saved.elapsed() >= CHECKPOINT
    }

    /// Makes what was taken count, as far as `reach` says.
    ///
    /// # Errors
    /// What was stored before the error counts then, if a state could be written at all.
    pub(in crate::storage::object) async fn save(&mut self, reach: Reach) -> Result<()> {
        let sent = self.send_rest(reach).await;
        if self.mode == AppendMode::Atomic && self.hole != Hole::None {
            // All of it or nothing.
            return sent.and_then(|()| Err(Error::Backend("a part was not stored".into())));
        }
        match self.compose(reach).await? {
            Some(state) => self.store(state).await?,
            None if reach == Reach::All && self.sureness == Sureness::Recalled => {
                self.look().await?;
            }
            None => {}
        }
        sent
    }

    /// Whether this is still the writer: nothing was written that would have told.
    async fn look(&mut self) -> Result<()> {
        let known = self.shared.fetch(self.base.id()).await?;
        match known.write == self.write {
            true => Ok(()),
            false => Err(Error::Superseded(self.base.id().clone())),
        }
    }

    /// Sends what has to be a part, and waits for all that are on their way.
    async fn send_rest(&mut self, reach: Reach) -> Result<()> {
        let sent = match reach {
            Reach::All => self.send_last().await,
            Reach::Parts | Reach::SoFar => Ok(()),
        };
        // A store that has to be told to keep parts forgets those that are not named then.
        let all = reach == Reach::All || !self.shared.profile.lasting_parts;
        while let Some(flight) = self.flights.front() {
            if !all && !flight.has_landed() {
                break;
            }
            self.land().await?;
        }
        sent
    }

    /// What is left of a complete upload is its last part.
    async fn send_last(&mut self) -> Result<()> {
        let last = self.is_complete() && self.session.is_some() && self.hole == Hole::None;
        while last && self.loose.size() > 0 {
            let size = self.loose.size().min(self.base.part_size);
            self.dispatch(size).await?;
        }
        Ok(())
    }

    /// The state that names what is stored; `None` if that is the one there is.
    pub(super) async fn compose(&mut self, reach: Reach) -> Result<Option<State>> {
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
            self.saving = memory;
            fresh
                .into_iter()
                .for_each(|piece| self.loose.tail.push(piece));
            state.segments = self.loose.segments.clone();
            state.tail = self.loose.tail.clone();
        }
        if state.offset() < self.base.offset() {
            // Only a beginning of what was loose has landed.
            return Ok(None);
        }
        self.name_session(&mut state);
        if self.base.session.is_some() && self.numbers.is_empty() {
            // Whoever goes on need not ask for them by a write of its own.
            self.granted = state.reserve_ahead(self.reserve, self.shared.profile.max_parts);
        }
        state.touch(SystemTime::now());
        Ok(Some(state))
    }

    /// Has the state name the session. From then on others may go on in it: numbers behind those that are
    /// reserved with that may be theirs, whether it is known or not that the state is stored.
    pub(super) fn name_session(&mut self, state: &mut State) {
        if state.session.is_none() && self.session.is_some() {
            state.number = self.numbers.start;
            let granted = state.reserve_ahead(LAST_RESERVE, self.shared.profile.max_parts);
            self.numbers.end = self.numbers.end.min(granted.end);
            self.granted = granted;
        }
        state.session.clone_from(&self.session);
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
    pub(super) fn inline_limit(&self, added: u64) -> u64 {
        let small = (64 << 10).min(self.base.part_size / 128);
        small.max(added.saturating_mul(REWRITES))
    }

    /// Stores the tail and all fresh bytes as a segment.
    pub(super) async fn spill(&mut self) -> Result<()> {
        let segment = Segment {
            name: nonce()?,
            size: self.loose.tail.size() + self.loose.fresh.size(),
        };
        let (fresh, memory) = self.loose.fresh.take(u64::MAX);
        let tail = self.loose.tail.pieces().iter().cloned();
        let payload: PutPayload = tail.chain(fresh.iter().cloned()).collect();
        let path = self.shared.layout.segment(self.base.id(), &segment);
        let limit = transfer(segment.size);
        // Nothing behind it counts if this is cut.
        self.hole = Hole::Torn;
        let bucket = self.shared.bucket();
        let stored = retry(limit, || {
            bucket.put(&path, payload.clone(), PutMode::Overwrite.into())
        });
        stored.await.map_err(backend)?;
        self.hole = Hole::None;
        drop(memory);
        self.loose.tail = Tail::default();
        self.loose.segments.push(segment.clone());
        self.spilled.push(segment);
        Ok(())
    }

    /// Replaces the state, under the condition that nobody else has.
    pub(super) async fn store(&mut self, state: State) -> Result<()> {
        let (offset, before) = (state.offset(), self.base.offset());
        if offset < before || !state.is_ordered() {
            return Err(Error::Backend("the state would be none".into()));
        }
        let last = state.parts.last().map_or(0, |part| part.number);
        let named = state.segments.clone();
        let id = state.id().clone();
        let granted = mem::take(&mut self.granted);
        let was_named = self.base.session.is_some();
        let mut turn = self.enter().await?;
        let replaced = self.replace(&mut turn.held, state).await;
        self.saving = None;
        self.leave(turn, replaced)?;
        if !granted.is_empty() {
            self.numbers = granted;
            if was_named {
                self.reserve = (self.reserve * 2).min(LAST_RESERVE);
            }
        }
        self.session = self.session.take().map(|session| {
            let stored = self.base.session.clone();
            stored.unwrap_or(session)
        });
        self.done.retain(|part| part.number > last);
        self.saved = Instant::now();
        self.unsaved -= offset - before;
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

    /// Under the turn: an earlier writer of this process does not come in between.
    async fn replace(&self, held: &mut Held, mut state: State) -> Result<()> {
        if state.parts.len() > self.base.parts.len() {
            self.shared.secure(&mut state, &self.write).await?;
        }
        self.shared.replace(held, state).await
    }

    pub(super) fn forget(&self, segments: Vec<Segment>) {
        let layout = &self.shared.layout;
        let paths = segments.iter();
        self.shared.discard(
            paths
                .map(|segment| layout.segment(self.base.id(), segment))
                .collect(),
        );
    }
}
