//! What every operation needs: the bucket, the settings, and how a state is read and replaced.

use std::sync::Arc;

use object_store::{Error as StoreError, PutMode, path::Path};
use tokio::{sync::Semaphore, time::sleep};

use super::{
    Nodes, Profile,
    bucket::Bucket,
    layout::Layout,
    retry::{ANSWER, is_unclear, once, pause, random_bits, retry, transfer},
    seat::{Desk, Held, Known},
    settled::Settled,
    state::{Glance, Phase, State},
};
use crate::{
    protocol::{Upload, UploadId},
    storage::{Collision, Error, Result},
};

/// What the builder sets.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) bucket: Arc<dyn Bucket>,
    pub(super) prefix: Path,
    pub(super) part_size: u64,
    pub(super) parts_in_flight: usize,
    pub(super) memory: u64,
    pub(super) nodes: Nodes,
    pub(super) collision: Collision,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) profile: Profile,
    pub(super) layout: Layout,
    /// Names this process to the others.
    pub(super) process: String,
    pub(super) desk: Desk,
    /// Bytes that may be held of all uploads.
    pub(super) memory: Arc<Semaphore>,
    /// How many writers may fetch segments at a time.
    pub(super) folds: Semaphore,
    pub(super) settled: Settled,
}

/// How much of a state is read for a snapshot. A small state is there as a whole.
const GLANCE: u64 = 16 << 10;

/// How many writers may fetch segments at a time.
const FOLDS: usize = 4;

/// How often a state is written before its writer gives up.
const ATTEMPTS: u32 = 5;

impl Shared {
    pub(super) fn new(settings: Settings) -> Self {
        let profile = settings.bucket.profile();
        let permits = usize::try_from(settings.memory).unwrap_or(usize::MAX);
        Self {
            profile,
            layout: Layout::new(settings.prefix.clone()),
            // Without random numbers no state is ever written.
            process: nonce().unwrap_or_default(),
            desk: Desk::default(),
            memory: Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))),
            folds: Semaphore::new(FOLDS),
            settled: Settled::default(),
            settings,
        }
    }

    pub(super) fn bucket(&self) -> &dyn Bucket {
        &*self.settings.bucket
    }

    /// A snapshot, by the first bytes of the state.
    pub(super) async fn glance(&self, id: &UploadId) -> Result<Upload> {
        match self.look(id).await? {
            glance if glance.phase == Phase::Deleted => Err(Error::NotFound(id.clone())),
            glance => Ok(glance.upload),
        }
    }

    /// What the first bytes of the state tell. A state that is small enough to come as a whole is
    /// remembered.
    pub(super) async fn look(&self, id: &UploadId) -> Result<Glance> {
        let path = self.layout.state(id);
        let object = retry(ANSWER, || self.bucket().get(&path, Some(GLANCE)))
            .await
            .map_err(|error| not_found(error, id))?;
        if object.bytes.len() as u64 == object.size {
            let known = known(id, object)?;
            let glance = known.state.glance();
            // It may be older than what was written since it was asked for. Among many nodes nothing is
            // taken for the truth that was read like this; the only one does without.
            if self.settings.nodes == Nodes::Many
                && let Ok(mut held) = self.desk.seat(id).turn.try_lock()
            {
                held.compare(known);
            }
            return Ok(glance);
        }
        match Glance::decode(id, &object.bytes)? {
            Some(glance) => Ok(glance),
            // Much metadata.
            None => Ok(self.fetch(id).await?.state.glance()),
        }
    }

    /// The whole state.
    pub(super) async fn fetch(&self, id: &UploadId) -> Result<Known> {
        let path = self.layout.state(id);
        let object = retry(ANSWER, || self.bucket().get(&path, None))
            .await
            .map_err(|error| not_found(error, id))?;
        known(id, object)
    }

    /// What is held of an upload; fetched if nothing is.
    pub(super) async fn known<'h>(&self, id: &UploadId, held: &'h mut Held) -> Result<&'h Known> {
        let known = match held.known.take() {
            Some(known) => known,
            None => self.fetch(id).await?,
        };
        if known.state.phase == Phase::Deleted {
            return Err(Error::NotFound(id.clone()));
        }
        Ok(held.known.insert(known))
    }

    /// Makes the first state of an upload.
    pub(super) async fn create(&self, held: &mut Held, state: State) -> Result<()> {
        held.known = None;
        let id = state.id().clone();
        match self.put(held, state, PutMode::Create, None).await {
            Err(Error::Superseded(_)) => Err(Error::AlreadyExists(id.to_string())),
            stored => stored,
        }
    }

    /// Replaces the state that is held by another. That is held then.
    ///
    /// # Errors
    /// `Superseded` if somebody else has replaced it.
    pub(super) async fn replace(&self, held: &mut Held, state: State) -> Result<()> {
        let known = held.known.take();
        let known = known.ok_or_else(|| Error::Conflict(state.id().clone()))?;
        let mode = PutMode::Update(known.version);
        self.put(held, state, mode, Some(&known.write)).await
    }

    /// Writes a state. If the answer is lost, or is a condition that did not hold, whether this very
    /// write has taken effect is looked up, and not guessed.
    async fn put(
        &self,
        held: &mut Held,
        state: State,
        mode: PutMode,
        before: Option<&str>,
    ) -> Result<()> {
        let id = state.id().clone();
        let path = self.layout.state(&id);
        let write = nonce()?;
        let payload = state.encode(&write)?;
        let limit = transfer(payload.content_length() as u64);
        let mut tried = 1;
        loop {
            let options = mode.clone().into();
            let put = self.bucket().put(&path, payload.clone(), options);
            let error = match once(limit, put).await {
                Ok(version) if is_named(&version) => {
                    held.known = Some(Known {
                        state,
                        write,
                        version,
                    });
                    return Ok(());
                }
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            if !is_condition(&error) && !is_unclear(&error) {
                return Err(backend(error));
            }
            match self.stored_write(&id).await? {
                Some(known) if known.write == write => {
                    held.known = Some(known);
                    return Ok(());
                }
                // It has not taken effect, or not yet: then the same write again does no harm.
                Some(known) if Some(known.write.as_str()) == before => {}
                None if before.is_none() => {}
                None => return Err(Error::NotFound(id)),
                Some(_) => return Err(Error::Superseded(id)),
            }
            if tried == ATTEMPTS {
                return Err(backend(error));
            }
            sleep(pause(tried)).await;
            tried += 1;
        }
    }

    async fn stored_write(&self, id: &UploadId) -> Result<Option<Known>> {
        match self.fetch(id).await {
            Ok(known) => Ok(Some(known)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes objects that nothing refers to any more, without waiting for it. What stays behind is
    /// found by a sweep.
    pub(super) fn discard(self: &Arc<Self>, paths: Vec<Path>) {
        if paths.is_empty() {
            return;
        }
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            for path in paths {
                let removed = shared.remove(&path).await;
                if let Err(error) = removed {
                    tracing::debug!(%error, %path, "left for the sweep");
                }
            }
        });
    }

    /// Whether an upload has a state.
    pub(super) async fn exists(&self, id: &UploadId) -> Result<bool> {
        let path = self.layout.state(id);
        match retry(ANSWER, || self.bucket().stat(&path)).await {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(backend(error)),
        }
    }

    /// Removes an object, if there is one.
    pub(super) async fn remove(&self, path: &Path) -> Result<()> {
        match retry(ANSWER, || self.bucket().delete(path)).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(backend(error)),
        }
    }
}

/// A name that nobody else has, nor will have.
pub(super) fn nonce() -> Result<String> {
    let bits = random_bits().map_err(|error| Error::Backend(Box::new(error)))?;
    Ok(UploadId::from_random(bits).to_string())
}

/// An error of the store, as one of a storage.
pub(super) fn backend(error: StoreError) -> Error {
    match error {
        StoreError::NotSupported { source } => Error::Unsupported(source.to_string()),
        error => Error::Backend(Box::new(error)),
    }
}

pub(super) fn not_found(error: StoreError, id: &UploadId) -> Error {
    match error {
        StoreError::NotFound { .. } => Error::NotFound(id.clone()),
        error => backend(error),
    }
}

/// Whether a condition did not hold, as far as the store says. It may have been this very request that
/// made it so, when it was first sent.
pub(super) fn is_condition(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::AlreadyExists { .. }
            | StoreError::Precondition { .. }
            | StoreError::NotFound { .. }
    )
}

fn is_named(version: &object_store::UpdateVersion) -> bool {
    version.e_tag.is_some() || version.version.is_some()
}

fn known(id: &UploadId, object: super::bucket::Object) -> Result<Known> {
    let (state, write) = State::decode(id, &object.bytes)?;
    Ok(Known {
        state,
        write,
        version: object.version,
    })
}
