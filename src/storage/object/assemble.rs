//! Making the object of an upload.

use std::{borrow::Cow, collections::HashMap};

use object_store::{CopyMode, Error as StoreError, PutMode, PutOptions, PutPayload, path::Path};
use tokio::time::sleep;

use super::{
    Nodes,
    attributes::attributes,
    bucket::Part,
    occupant::{Occupant, taken},
    profile::Completion,
    retry::{ASSEMBLY, is_unclear, once, pause, retry, transfer},
    shared::{Shared, backend, is_condition},
    state::{Phase, Place, Session, State},
};
use crate::storage::{
    Error, Result,
    record::{damaged, has_name_of_its_own},
};

/// How often an object is asked for that should be there.
const ATTEMPTS: u32 = 5;

impl Shared {
    /// Makes the object of its parts.
    pub(super) async fn assemble(&self, state: &State) -> Result<()> {
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
        if guarded && let Occupant::Another(_) = self.find(path, upload).await? {
            return Err(taken(upload));
        }
        let mut parts = Cow::Borrowed(&state.parts[..]);
        let mut tried = 0;
        loop {
            tried += 1;
            let bucket = self.bucket();
            let completed = bucket.complete(path, &session.id, &parts, options.clone());
            let error = once(ASSEMBLY, completed).await.err();
            // Whatever was answered: what counts is what is there.
            match self.find(path, upload).await? {
                Occupant::Itself(stat) if stat.size == state.offset() => return Ok(()),
                Occupant::Another(_) if guarded => return Err(taken(upload)),
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
            let is_other_tag = matches!(error, StoreError::Precondition { .. });
            if tried == ATTEMPTS || !(is_unclear(&error) || is_other_tag) {
                return Err(backend(error));
            }
            if is_other_tag && !self.renew(path, session, parts.to_mut()).await? {
                return Err(backend(error));
            }
            sleep(pause(tried)).await;
        }
    }

    /// Asks for the tags that parts have by now, and whether any is another than it was.
    ///
    /// Whatever is between here and the store may have sent a part a second time. Its content is the same,
    /// for nobody else uses its number; its tag need not be.
    async fn renew(&self, path: &Path, session: &Session, parts: &mut [Part]) -> Result<bool> {
        let bucket = self.bucket();
        let stored = match retry(ASSEMBLY, || bucket.parts(path, &session.id)).await {
            Ok(stored) => stored,
            Err(StoreError::NotSupported { .. }) => return Ok(false),
            Err(error) => return Err(backend(error)),
        };
        let stored: HashMap<_, _> = stored.iter().map(|part| (part.number, part)).collect();
        let mut renewed = 0;
        for part in parts {
            let stored = stored.get(&part.number);
            if let Some(new) = stored.and_then(|stored| part.renewed(stored)) {
                *part = new;
                renewed += 1;
            }
        }
        if renewed > 0 {
            tracing::warn!(%path, renewed, "parts were sent twice on their way to the store");
        }
        Ok(renewed > 0)
    }

    /// Copies what was put together elsewhere to its key.
    async fn copy(&self, state: &State, from: &Path, to: &Path) -> Result<()> {
        let upload = state.description();
        let mode = match self.may_replace(upload) && !has_name_of_its_own(upload) {
            true => CopyMode::Overwrite,
            false => CopyMode::Create,
        };
        let mut tried = 0;
        loop {
            tried += 1;
            let copied = once(ASSEMBLY, self.bucket().copy(from, to, mode)).await;
            match self.find(to, upload).await? {
                Occupant::Itself(stat) if stat.size == state.offset() => return Ok(()),
                Occupant::Another(_) if mode == CopyMode::Create => return Err(taken(upload)),
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
    }

    /// Writes a small upload as a whole.
    ///
    /// Each write is conditional, so one that is late can never replace what came later. What stands
    /// there already may be what an earlier writer of the same upload left; it is replaced, as long as
    /// the state is still the one of the write `fence`, if there is one.
    pub(super) async fn put_whole(
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
            if let Occupant::Another(_) = self.find(&path, upload).await? {
                return Err(taken(upload));
            }
        }
        let mut tried = 0;
        loop {
            tried += 1;
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
                Occupant::Nobody => PutMode::Create,
                Occupant::Another(_) if !self.may_replace(upload) => return Err(taken(upload)),
                Occupant::Itself(stat) | Occupant::Another(stat) => PutMode::Update(stat.version),
            };
            if let Some(write) = fence
                && self.fetch(state.id()).await?.write != write
            {
                return Err(Error::Superseded(state.id().clone()));
            }
        }
    }

    /// Why something is not there: somebody else has finished the upload meanwhile, or it is lost.
    async fn lost(&self, state: &State, what: &'static str) -> Error {
        match self.fetch(state.id()).await {
            Ok(known) if known.state.phase == Phase::Deleted => Error::NotFound(state.id().clone()),
            Ok(known) if known.state.session == state.session => damaged(state.id(), what),
            Ok(_) => Error::Superseded(state.id().clone()),
            Err(error) => error,
        }
    }
}
