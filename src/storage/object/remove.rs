//! Removing uploads, and what nothing refers to any more.

use std::{collections::HashSet, pin::pin, sync::Arc, time::SystemTime};

use futures::{StreamExt, TryStreamExt, future::ready};
use object_store::{Error as StoreError, path::Path};

use super::{
    bucket::Listed,
    retry::{ANSWER, bounded, retry},
    scope::{Scope, Session},
    seat::{Held, Known},
    shared::{Shared, backend},
    state::{Phase, Place, State},
    uploads::READS,
};
use crate::{
    protocol::UploadId,
    storage::{
        Error, Result,
        record::{has_name_of_its_own, is_in},
    },
};

/// How often an upload may change while it is being removed.
const ATTEMPTS: u32 = 5;

/// Which uploads there are, and what they name.
#[derive(Default)]
struct Census {
    ids: HashSet<UploadId>,
    sessions: HashSet<String>,
    /// Of one that cannot be read nobody knows what it names.
    unread: usize,
}

impl Shared {
    /// Removes an upload. First its state says so, which ends every writer; it goes last, so that
    /// whatever cuts this, somebody else can go on.
    pub(super) async fn delete(self: &Arc<Self>, id: &UploadId) -> Result<()> {
        let seat = self.desk.seat(id);
        let mut held = seat.turn.lock().await;
        seat.next_epoch();
        self.settled.remove(id);
        held.known = None;
        let marked = self.mark_deleted(id, &mut held).await;
        held.known = None;
        seat.show(&held);
        let state = match marked {
            Ok(state) => state,
            Err(Error::NotFound(_)) => return Ok(()),
            // Nothing is known of its bytes; a sweep finds what is in our own corner.
            Err(Error::Damaged { .. }) => return self.remove(&self.layout.state(id)).await,
            Err(error) => return Err(error),
        };
        self.remove_bytes(&state).await?;
        self.remove(&self.layout.state(id)).await?;
        drop(held);
        self.desk.leave(id);
        Ok(())
    }

    async fn mark_deleted(&self, id: &UploadId, held: &mut Held) -> Result<State> {
        for _ in 0..ATTEMPTS {
            let known = self.fetch(id).await?;
            let state = known.state.clone();
            if state.phase == Phase::Deleted {
                return Ok(state);
            }
            let mut deleted = state.clone();
            deleted.phase = Phase::Deleted;
            held.known = Some(known);
            match self.replace(held, deleted.clone()).await {
                Err(Error::Superseded(_)) => {}
                replaced => {
                    replaced?;
                    return Ok(deleted);
                }
            }
        }
        Err(Error::Conflict(id.clone()))
    }

    async fn remove_bytes(&self, state: &State) -> Result<()> {
        let upload = state.description();
        if let Some(session) = &state.session {
            let path = self.path(session, state);
            self.abort(&path, &session.id).await?;
            if let Place::Stage(_) = session.place {
                self.remove(&path).await?;
            }
        }
        let target = self.layout.target(upload);
        if state.wants_parts() && has_name_of_its_own(upload) {
            self.abort_all(&target).await?;
        }
        // Also of an unfinished upload something may be there: a crash came before the state knew.
        if has_name_of_its_own(upload) || self.is_own(&target, upload).await? {
            self.remove(&target).await?;
        }
        for segment in self.segment_paths(state) {
            self.remove(&segment).await?;
        }
        Ok(())
    }

    /// Ends all sessions under a path: a writer may have begun one that no state named.
    async fn abort_all(&self, path: &Path) -> Result<()> {
        let mut sessions = bounded(self.bucket().sessions(&Scope::At(path.clone())));
        loop {
            match sessions.try_next().await {
                Ok(Some(session)) => self.abort(path, &session.id).await?,
                Ok(None)
                | Err(StoreError::NotSupported { .. } | StoreError::NotImplemented { .. }) => break,
                Err(error) => return Err(backend(error)),
            }
        }
        Ok(())
    }

    async fn abort(&self, path: &Path, session: &str) -> Result<()> {
        let bucket = self.bucket();
        match retry(ANSWER, || bucket.abort(path, session)).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(backend(error)),
        }
    }

    /// Removes what is older than `before` and no state names. Any number of nodes may do so at once.
    pub(super) async fn reclaim(self: &Arc<Self>, before: SystemTime) -> Result<u64> {
        // Sessions first: whatever a state names later than this is not among them.
        let sessions = self
            .bucket()
            .sessions(&Scope::Below(self.layout.root().clone()));
        let sessions = bounded(sessions)
            .try_filter(|session| ready(session.started < before))
            .try_collect::<Vec<_>>();
        let sessions = match sessions.await {
            Err(StoreError::NotSupported { .. } | StoreError::NotImplemented { .. }) => Vec::new(),
            sessions => sessions.map_err(backend)?,
        };
        let mut bytes = 0;
        for prefix in [self.layout.all_data(), self.layout.all_segments()] {
            for listed in self.old(&prefix, before).await? {
                if !self.is_named(&listed.path).await? {
                    bytes += self.reclaim_one(&listed).await?;
                }
            }
        }
        for listed in self.old(&self.layout.probes(), before).await? {
            bytes += self.reclaim_one(&listed).await?;
        }
        let census = self.census(before).await?;
        for session in sessions {
            if census.is_orphan(self, &session) {
                tracing::debug!(path = %session.path, "parts without an upload");
                self.abort(&session.path, &session.id).await?;
            }
        }
        Ok(bytes)
    }

    async fn old(&self, prefix: &Path, before: SystemTime) -> Result<Vec<Listed>> {
        let listed = self.bucket().list(prefix);
        bounded(listed)
            .try_filter(|listed| ready(listed.modified < before))
            .try_collect()
            .await
            .map_err(backend)
    }

    async fn reclaim_one(&self, listed: &Listed) -> Result<u64> {
        tracing::debug!(path = %listed.path, "nothing refers to it");
        self.remove(&listed.path).await?;
        Ok(listed.size)
    }

    /// Whether an object in our own corner holds bytes of an upload.
    async fn is_named(&self, path: &Path) -> Result<bool> {
        let Some(id) = self.layout.owner(path) else {
            return Ok(true);
        };
        match self.fetch(&id).await {
            Ok(Known { state, .. }) => {
                let session = state.session.as_ref();
                Ok(
                    session.is_some_and(|session| self.path(session, &state) == *path)
                        || self.layout.target(state.description()) == *path
                        || self.segment_paths(&state).contains(path),
                )
            }
            Err(Error::NotFound(_)) => Ok(false),
            Err(Error::Damaged { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Which uploads there are. Ends the removal of those that were being removed.
    async fn census(self: &Arc<Self>, before: SystemTime) -> Result<Census> {
        let mut census = Census::default();
        let looks = self.states().map(|state| async {
            let (listed, id) = state?;
            let look = match self.settled.contains(&id, &listed) {
                true => None,
                false => Some(self.look(&id).await),
            };
            Ok::<_, Error>((listed, id, look))
        });
        let mut looks = pin!(looks.buffer_unordered(READS));
        while let Some((listed, id, look)) = looks.try_next().await? {
            match look {
                Some(Err(Error::NotFound(_))) => continue,
                Some(Err(_)) => census.unread += 1,
                Some(Ok(glance)) if glance.phase == Phase::Deleted && listed.modified < before => {
                    self.delete(&id).await?;
                    continue;
                }
                Some(Ok(glance)) => census
                    .sessions
                    .extend(glance.session.map(|session| session.id)),
                None => {}
            }
            census.ids.insert(id);
        }
        Ok(census)
    }
}

impl Census {
    /// Whether a session was begun by us, and no state names it. The bucket may have other users: what is
    /// not in our own corner is ours only if it bears the id of an upload.
    fn is_orphan(&self, shared: &Shared, session: &Session) -> bool {
        let is_ours = || {
            shared.layout.is_own(&session.path)
                || self.ids.iter().any(|id| is_in(id, &session.path))
        };
        self.unread == 0 && !self.sessions.contains(&session.id) && is_ours()
    }
}
