//! Putting an upload under its key.

use std::{collections::VecDeque, sync::Arc, time::SystemTime};

use object_store::{CopyMode, Error as StoreError, PutMode, PutOptions, PutPayload, path::Path};
use tokio::time::sleep;

use super::{
    Nodes,
    attributes::attributes,
    bucket::{Completion, Part, Stat},
    loose::{fetch, split},
    retry::{ANSWER, ASSEMBLY, is_unclear, once, pause, retry, transfer},
    seat::Held,
    shared::{Shared, backend, is_condition},
    state::{Phase, Place, Session, State},
    writer::{Reach, Writer},
};
use crate::{
    protocol::{Kind, Stage, Upload, UploadId},
    storage::{
        Collision, Error, Result,
        record::{damaged, has_name_of_its_own},
    },
};

/// How often an object is asked for that should be there.
const ATTEMPTS: u32 = 5;

/// Whose object it is that stands in the way.
pub(super) enum Found {
    Nothing,
    Own(Stat),
    Foreign(Stat),
}

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
        let mut held = self.enter().await?;
        let shared = Arc::clone(&self.shared);
        let placed = shared.finish_whole(&mut held, payload).await;
        self.leave(held, placed)
    }

    async fn finish_held(&mut self) -> Result<()> {
        let mut held = self.enter().await?;
        let shared = Arc::clone(&self.shared);
        let finished = shared.finish_held(&mut held).await;
        self.leave(held, finished)
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

    /// Makes the object of its parts.
    async fn assemble(&self, state: &State) -> Result<()> {
        let Some(session) = &state.session else {
            return Ok(());
        };
        let path = self.path(session, state);
        self.complete(state, session, &path).await?;
        let target = self.layout.target(state.description());
        if path != target {
            self.copy(state, &path, &target).await?;
        }
        Ok(())
    }

    async fn complete(&self, state: &State, session: &Session, path: &Path) -> Result<()> {
        let upload = state.description();
        let guarded = session.place == Place::Target
            && self.profile.completion == Completion::Conditional
            && !self.may_replace(upload)
            && !has_name_of_its_own(upload);
        let options = PutOptions {
            mode: if guarded {
                PutMode::Create
            } else {
                PutMode::Overwrite
            },
            attributes: attributes(upload),
            ..PutOptions::default()
        };
        // Not every store that looks at this condition of a write does so here.
        if guarded && let Found::Foreign(_) = self.find(path, upload).await? {
            return Err(taken(upload));
        }
        for tried in 1.. {
            let bucket = self.bucket();
            let completed = bucket.complete(path, &session.id, &state.parts, options.clone());
            let error = once(ASSEMBLY, completed).await.err();
            // Whatever was answered: what counts is what is there.
            match self.find(path, upload).await? {
                Found::Own(stat) if stat.size == state.offset() => return Ok(()),
                Found::Foreign(_) if guarded => return Err(taken(upload)),
                _ => {}
            }
            let error = match error {
                Some(StoreError::NotFound { .. }) => {
                    return Err(self.lost(state, "the store has lost the parts").await);
                }
                Some(error) => error,
                None => {
                    let what = "the object is not as long as its parts";
                    return Err(self.lost(state, what).await);
                }
            };
            if !is_unclear(&error) || tried == ATTEMPTS {
                return Err(backend(error));
            }
            sleep(pause(tried)).await;
        }
        Ok(())
    }

    /// Copies what was put together elsewhere to its key.
    async fn copy(&self, state: &State, from: &Path, to: &Path) -> Result<()> {
        let upload = state.description();
        let mode = match self.may_replace(upload) && !has_name_of_its_own(upload) {
            true => CopyMode::Overwrite,
            false => CopyMode::Create,
        };
        for tried in 1.. {
            let copied = once(ASSEMBLY, self.bucket().copy(from, to, mode)).await;
            match self.find(to, upload).await? {
                Found::Own(stat) if stat.size == state.offset() => return Ok(()),
                Found::Foreign(_) if mode == CopyMode::Create => return Err(taken(upload)),
                _ => {}
            }
            let error = match copied {
                Err(StoreError::NotFound { .. }) => {
                    return Err(self.lost(state, "the store has lost the object").await);
                }
                Err(error) => error,
                Ok(()) => {
                    let what = "the copy is not as long as its source";
                    return Err(self.lost(state, what).await);
                }
            };
            if !is_unclear(&error) || tried == ATTEMPTS {
                return Err(backend(error));
            }
            sleep(pause(tried)).await;
        }
        Ok(())
    }

    /// Writes a small upload as a whole.
    ///
    /// Each write is conditional, so one that is late can never replace what came later. What stands
    /// there already may be what an earlier writer of the same upload left; it is replaced, as long as
    /// the state is still the one of the write `fence`, if there is one.
    async fn put_whole(
        &self,
        state: &State,
        payload: PutPayload,
        fence: Option<&str>,
    ) -> Result<()> {
        let upload = state.description();
        let path = self.layout.target(upload);
        let limit = transfer(payload.content_length() as u64);
        let mut mode = PutMode::Create;
        if self.settings.nodes == Nodes::One && !self.may_replace(upload) {
            // The store may not look at conditions.
            if let Found::Foreign(_) = self.find(&path, upload).await? {
                return Err(taken(upload));
            }
        }
        for tried in 1.. {
            let options = PutOptions {
                mode,
                attributes: attributes(upload),
                ..PutOptions::default()
            };
            let put = self.bucket().put(&path, payload.clone(), options);
            let Err(error) = once(limit, put).await else {
                return Ok(());
            };
            let clear = !is_unclear(&error);
            if (clear && !is_condition(&error)) || tried == ATTEMPTS {
                return Err(backend(error));
            }
            if !clear {
                sleep(pause(tried)).await;
            }
            mode = match self.find(&path, upload).await? {
                Found::Nothing => PutMode::Create,
                Found::Foreign(_) if !self.may_replace(upload) => return Err(taken(upload)),
                Found::Own(stat) | Found::Foreign(stat) => PutMode::Update(stat.version),
            };
            if let Some(write) = fence
                && self.fetch(state.id()).await?.write != write
            {
                return Err(Error::Superseded(state.id().clone()));
            }
        }
        Ok(())
    }

    /// Why something is not there: somebody else has finished the upload meanwhile, or it is lost.
    async fn lost(&self, state: &State, what: &'static str) -> Error {
        match self.fetch(state.id()).await {
            Ok(known) if known.state.session == state.session => damaged(state.id(), what),
            Ok(_) => Error::Superseded(state.id().clone()),
            Err(error) => error,
        }
    }

    /// What is under a path.
    pub(super) async fn find(&self, path: &Path, upload: &Upload) -> Result<Found> {
        match retry(ANSWER, || self.bucket().stat(path)).await {
            Ok(stat) => Ok(match &stat.owner {
                Some(owner) if owner == upload.id.as_str() => Found::Own(stat),
                None if has_name_of_its_own(upload) => Found::Own(stat),
                _ => Found::Foreign(stat),
            }),
            Err(StoreError::NotFound { .. }) => Ok(Found::Nothing),
            Err(error) => Err(backend(error)),
        }
    }

    /// Whether there is something under the key of a new upload that may not be replaced.
    pub(super) async fn is_taken(&self, upload: &Upload) -> Result<bool> {
        if has_name_of_its_own(upload) || self.may_replace(upload) {
            return Ok(false);
        }
        let target = self.layout.target(upload);
        Ok(!matches!(self.find(&target, upload).await?, Found::Nothing))
    }

    /// Whether an object is the upload's own.
    pub(super) async fn is_own(&self, path: &Path, upload: &Upload) -> Result<bool> {
        Ok(matches!(self.find(path, upload).await?, Found::Own(_)))
    }

    pub(super) fn may_replace(&self, upload: &Upload) -> bool {
        self.settings.collision == Collision::Replace || upload.kind == Kind::Partial
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

fn taken(upload: &Upload) -> Error {
    Error::AlreadyExists(upload.key.to_string())
}
