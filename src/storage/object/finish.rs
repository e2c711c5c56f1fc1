//! Putting an upload under its key.

use std::{collections::VecDeque, sync::Arc, time::SystemTime};

use object_store::{PutPayload, path::Path};

use super::{
    bucket::Part,
    loose::{fetch, split},
    retry::{once, transfer},
    seat::Held,
    shared::{Shared, backend},
    state::{Phase, Place, State},
    writer::{Reach, Writer},
};
use crate::{
    protocol::{Stage, UploadId},
    storage::{Error, Result},
};

impl Writer {
    /// Saves everything, and finishes the upload if all of it is there. What only hinders the finish
    /// leaves it to somebody else.
    pub(super) async fn save_and_finish(&mut self) -> Result<(u64, Stage)> {
        let finished = match self.take_whole().await {
            Ok(Some(whole)) => {
                let placed = self.place_whole(whole.payload.clone()).await;
                if placed.is_err() {
                    self.put_back(whole.payload);
                }
                placed.map(|()| true)
            }
            Ok(None) => Ok(false),
            Err(error) => Err(error),
        };
        match finished {
            Ok(true) => return Ok((self.stored(), Stage::Finished)),
            Ok(false) => {}
            Err(error @ (Error::Superseded(_) | Error::NotFound(_))) => return Err(error),
            Err(error) => tracing::debug!(%error, id = %self.id(), "saved instead of finished"),
        }
        self.save(Reach::All).await?;
        if !self.stored_is_complete() {
            return Ok((self.stored(), Stage::Receiving));
        }
        if let Err(error) = self.finish_held().await {
            tracing::debug!(%error, id = %self.id(), "not finished yet");
            return Ok((self.stored(), Stage::Finishing));
        }
        Ok((self.stored(), Stage::Finished))
    }

    async fn place_whole(&mut self, payload: PutPayload) -> Result<()> {
        let mut turn = self.enter().await?;
        let shared = Arc::clone(&self.shared);
        let placed = shared.finish_whole(&mut turn.held, payload).await;
        self.leave(turn, placed)
    }

    async fn finish_held(&mut self) -> Result<()> {
        let mut turn = self.enter().await?;
        let shared = Arc::clone(&self.shared);
        let finished = shared.finish_held(&mut turn.held).await;
        self.leave(turn, finished)
    }
}

impl Shared {
    pub(super) async fn finish(self: &Arc<Self>, id: &UploadId) -> Result<()> {
        let seat = self.desk.seat(id);
        let mut held = seat.turn.lock().await;
        // Another node may have completed it since.
        held.known.take_if(|known| !known.state.is_complete());
        let finished = loop {
            let known = self.known(id, &mut held).await?;
            match known.state.phase {
                Phase::Finished => break Ok(()),
                _ if !known.state.is_complete() => break Err(Error::Conflict(id.clone())),
                _ => {}
            }
            match self.finish_held(&mut held).await {
                // Somebody else was faster, or it is not the state it was: look again.
                Err(Error::Superseded(_)) => held.known = None,
                finished => break finished,
            }
        };
        seat.show(&held);
        finished
    }

    /// Finishes an upload of which all bytes are stored, as the held state says. Their order and place
    /// cannot change any more, so it does no harm if several do this.
    pub(super) async fn finish_held(self: &Arc<Self>, held: &mut Held) -> Result<()> {
        let mut state = held_state(held)?;
        let write = held.known.as_ref().map(|known| known.write.clone());
        match &state.session {
            None => {
                let mut pieces = fetch(&state.segments, self, state.id()).await?;
                pieces.extend(state.tail.pieces().iter().cloned());
                self.put_whole(&state, pieces.into_iter().collect(), write.as_deref())
                    .await?;
            }
            Some(_) => {
                while state.loose_size() > 0 {
                    self.put_loose_part(held).await?;
                    state = held_state(held)?;
                }
                self.assemble(&state).await?;
            }
        }
        self.close(held, state).await
    }

    /// Finishes an upload of which these are all the bytes, some of them in no state yet.
    async fn finish_whole(self: &Arc<Self>, held: &mut Held, payload: PutPayload) -> Result<()> {
        let known = held.known.as_ref();
        let write = known.map(|known| known.write.clone());
        let mut state = held_state(held)?;
        self.put_whole(&state, payload, write.as_deref()).await?;
        state.touch(SystemTime::now());
        self.close(held, state).await
    }

    /// All is in place: the state says so, and nothing else is kept.
    pub(super) async fn close(self: &Arc<Self>, held: &mut Held, mut state: State) -> Result<()> {
        let mut rest = self.segment_paths(&state);
        if let Some(Place::Stage(name)) = state.session.as_ref().map(|session| &session.place) {
            rest.push(self.layout.stage(state.id(), name));
        }
        let upload = state.description().clone();
        state.finish();
        let closed = self.replace(held, state).await;
        if closed.is_err() && self.is_gone(&upload.id).await {
            // Deleted meanwhile, and nobody knows of the object.
            let target = self.layout.target(&upload);
            if self.is_own(&target, &upload).await? {
                self.remove(&target).await?;
            }
        }
        closed?;
        self.discard(rest);
        Ok(())
    }

    /// Whether an upload is surely deleted, or about to be.
    async fn is_gone(&self, id: &UploadId) -> bool {
        match self.fetch(id).await {
            Ok(known) => known.state.phase == Phase::Deleted,
            Err(error) => matches!(error, Error::NotFound(_)),
        }
    }

    /// Sends loose bytes, of which there will be no more, as a part.
    async fn put_loose_part(self: &Arc<Self>, held: &mut Held) -> Result<()> {
        let mut state = held_state(held)?;
        let number = state.number;
        if number > self.profile.max_parts {
            return Err(Error::TooLong(state.parts_size()));
        }
        state.owner.clone_from(&self.process);
        state.number += 1;
        self.replace(held, state).await?;
        let mut state = held_state(held)?;
        let Some(session) = state.session.clone() else {
            return Err(Error::Conflict(state.id().clone()));
        };
        let mut pieces = VecDeque::from(fetch(&state.segments, self, state.id()).await?);
        pieces.extend(state.tail.pieces().iter().cloned());
        let payload: PutPayload = split(&mut pieces, state.part_size).into_iter().collect();
        let size = payload.content_length() as u64;
        let path = self.path(&session, &state);
        let put = self.bucket().put_part(&path, &session.id, number, payload);
        let tag = once(transfer(size), put).await.map_err(backend)?;
        let stale = self.segment_paths(&state);
        state.parts.push(Part::new(number, tag, size));
        state.segments.clear();
        state.tail = pieces.into_iter().collect();
        let write = held.known.as_ref().map(|known| known.write.clone());
        self.secure(&mut state, &write.unwrap_or_default()).await?;
        self.replace(held, state).await?;
        self.discard(stale);
        Ok(())
    }

    pub(super) fn segment_paths(&self, state: &State) -> Vec<Path> {
        let segments = state.segments.iter();
        segments
            .map(|segment| self.layout.segment(state.id(), segment))
            .collect()
    }
}

fn held_state(held: &Held) -> Result<State> {
    match &held.known {
        Some(known) => Ok(known.state.clone()),
        None => Err(Error::Backend("no state is held".into())),
    }
}
