//! Removing uploads, and what nothing refers to any more.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::SystemTime,
};

use futures::{StreamExt, TryStreamExt, future::ready};
use object_store::{Error as StoreError, path::Path};

use super::{
    bucket::{Listed, Session as Begun},
    retry::{ANSWER, bounded, retry},
    seat::Held,
    shared::{Shared, backend},
    state::{Phase, Place, State},
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

/// What unfinished uploads refer to.
#[derive(Default)]
struct Known {
    sessions: HashSet<String>,
    targets: HashSet<Path>,
}

/// What the states say.
struct Census {
    states: HashMap<UploadId, Option<State>>,
}

impl Shared {
    /// Removes an upload. First its state says so, which ends every writer; it goes last, so that
    /// whatever cuts this, somebody else can go on.
    pub(super) async fn delete(self: &Arc<Self>, id: &UploadId) -> Result<()> {
        let seat = self.desk.seat(id);
        let mut held = seat.turn.lock().await;
        seat.next_epoch();
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
        let mut sessions = bounded(self.bucket().sessions(self.layout.root()));
        loop {
            match sessions.try_next().await {
                Ok(Some(session)) if session.path == *path => {
                    self.abort(path, &session.id).await?;
                }
                Ok(Some(_)) => {}
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
        let sessions = self.bucket().sessions(self.layout.root());
        let sessions = bounded(sessions)
            .try_filter(|session| ready(session.started < before))
            .try_collect::<Vec<_>>();
        let sessions = match sessions.await {
            Err(StoreError::NotSupported { .. } | StoreError::NotImplemented { .. }) => Vec::new(),
            sessions => sessions.map_err(backend)?,
        };
        let mut bytes = 0;
        let data = self.old(&self.layout.all_data(), before).await?;
        let segments = self.old(&self.layout.all_segments(), before).await?;
        let probes = self.old(&self.layout.probes(), before).await?;
        let mut census = self.census(before).await?;
        for listed in data {
            if !census.names_data(self, &listed).await? {
                bytes += self.reclaim_one(&listed).await?;
            }
        }
        for listed in segments {
            if !census.names_segment(self, &listed).await? {
                bytes += self.reclaim_one(&listed).await?;
            }
        }
        for listed in probes {
            bytes += self.reclaim_one(&listed).await?;
        }
        if !sessions.is_empty() {
            let known = census.sessions(self).await?;
            for session in sessions {
                if census.is_orphan(self, &known, &session) {
                    tracing::debug!(path = %session.path, "parts without an upload");
                    self.abort(&session.path, &session.id).await?;
                }
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

    /// Whether an object in our own corner is where the bytes of an upload are.
    fn is_data_of(&self, path: &Path, state: &State) -> bool {
        let session = state.session.as_ref();
        session.is_some_and(|session| self.path(session, state) == *path)
            || self.layout.target(state.description()) == *path
    }

    /// Which uploads there are. Ends the removal of those that were being removed.
    async fn census(self: &Arc<Self>, before: SystemTime) -> Result<Census> {
        let mut census = Census {
            states: HashMap::new(),
        };
        let mut listed = bounded(self.bucket().list(&self.layout.uploads()));
        while let Some(listed) = listed.next().await {
            let listed = listed.map_err(backend)?;
            let Some(id) = self.layout.owner(&listed.path) else {
                continue;
            };
            if self.is_settled(&id) {
                census.states.insert(id, None);
                continue;
            }
            let state = match self.fetch(&id).await {
                Ok(known) => Some(known.state),
                Err(Error::NotFound(_)) => continue,
                // Nothing of it is touched.
                Err(_) => None,
            };
            let deleted = state
                .as_ref()
                .is_some_and(|state| state.phase == Phase::Deleted);
            if deleted && listed.modified < before {
                self.delete(&id).await?;
            } else {
                census.states.insert(id, state);
            }
        }
        Ok(census)
    }
}

impl Census {
    async fn names_data(&mut self, shared: &Shared, listed: &Listed) -> Result<bool> {
        let Some(id) = shared.layout.owner(&listed.path) else {
            return Ok(true);
        };
        Ok(match self.states.get(&id) {
            None => shared.exists(&id).await?,
            Some(None) => true,
            // Read again: it may have come into the state since.
            Some(Some(_)) => match shared.fetch(&id).await {
                Ok(known) => shared.is_data_of(&listed.path, &known.state),
                Err(Error::NotFound(_)) => false,
                Err(error) => return Err(error),
            },
        })
    }

    async fn names_segment(&mut self, shared: &Shared, listed: &Listed) -> Result<bool> {
        let Some(id) = shared.layout.owner(&listed.path) else {
            return Ok(true);
        };
        Ok(match self.states.get(&id) {
            None => shared.exists(&id).await?,
            Some(None) => true,
            // Read again: it may have come into the state since.
            Some(Some(_)) => match shared.fetch(&id).await {
                Ok(known) => shared.segment_paths(&known.state).contains(&listed.path),
                Err(Error::NotFound(_)) => false,
                Err(error) => return Err(error),
            },
        })
    }

    /// The sessions that states name now, and where objects are to be. An error if one cannot be read: it
    /// may name any.
    async fn sessions(&self, shared: &Shared) -> Result<Known> {
        let mut found = Known::default();
        for id in self.states.keys() {
            if shared.is_settled(id) {
                continue;
            }
            match shared.fetch(id).await {
                Ok(known) => {
                    let target = shared.layout.target(known.state.description());
                    found.targets.insert(target);
                    let session = known.state.session;
                    found.sessions.extend(session.map(|session| session.id));
                }
                Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Whether a session was begun by us, and no state names it. The bucket may have other users.
    fn is_orphan(&self, shared: &Shared, known: &Known, session: &Begun) -> bool {
        let own = || {
            shared.layout.is_own(&session.path)
                || known.targets.contains(&session.path)
                || self.states.keys().any(|id| is_in(id, &session.path))
        };
        !known.sessions.contains(&session.id) && own()
    }
}
