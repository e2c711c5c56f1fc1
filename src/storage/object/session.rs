//! Where parts go, and that they stay.

use object_store::{Error as StoreError, path::Path};

use super::{
    attributes::attributes,
    profile::Completion,
    retry::{ANSWER, ASSEMBLY, once, retry},
    shared::{Shared, backend, nonce},
    state::{Place, Session, State},
};
use crate::{
    protocol::Upload,
    storage::{Error, Result, record::has_name_of_its_own},
};

/// How often parts are secured against late requests of an earlier writer.
const ATTEMPTS: u32 = 4;

impl Shared {
    /// Opens a session for the parts of an upload.
    pub(super) async fn begin(&self, state: &State) -> Result<Session> {
        let upload = state.description();
        let place = match self.is_staged(upload) {
            true => Place::Stage(nonce()?),
            false => Place::Target,
        };
        let mut session = Session {
            id: String::new(),
            place,
            secured: None,
        };
        let path = self.path(&session, state);
        let bucket = self.bucket();
        // One whose name never arrives is found by a sweep.
        let begun = retry(ANSWER, || bucket.begin(&path, attributes(upload)));
        session.id = begun.await.map_err(backend)?;
        Ok(session)
    }

    /// Whether parts of an upload are put together elsewhere, and copied.
    pub(super) fn is_staged(&self, upload: &Upload) -> bool {
        match self.profile.completion {
            Completion::Conditional => false,
            Completion::Unconditional => !has_name_of_its_own(upload) && !self.may_replace(upload),
            Completion::Staged => true,
        }
    }

    /// Where the parts of a session are.
    pub(super) fn path(&self, session: &Session, state: &State) -> Path {
        match &session.place {
            Place::Target => self.layout.target(state.description()),
            Place::Stage(name) => self.layout.stage(state.id(), name),
        }
    }

    /// Ends a session that no state of the upload will ever name. Best effort: a sweep finds it too, as long
    /// as there is an upload whose id is in the key.
    pub(super) async fn abandon(&self, state: &State, session: &Session) {
        let named = match self.fetch(state.id()).await {
            Ok(known) => known
                .state
                .session
                .is_some_and(|named| named.id == session.id),
            Err(Error::NotFound(_)) => false,
            // It may be.
            Err(_) => true,
        };
        if !named {
            let path = self.path(session, state);
            let aborted = once(ANSWER, self.bucket().abort(&path, &session.id)).await;
            if let Err(error) = aborted {
                tracing::debug!(%error, "left for the sweep");
            }
        }
    }

    /// Makes the parts of a state last, before they count; and before others are sent, so that what an
    /// earlier writer still does about its own fails.
    ///
    /// A late request of an earlier writer may have come in between. It named all parts that count, so
    /// nothing of them is lost; but its answer has to be known before it can be replaced, and it may
    /// only be replaced by the one who writes now: as long as what is stored is still `write`.
    pub(super) async fn secure(&self, state: &mut State, write: &str) -> Result<()> {
        if self.profile.lasting_parts || state.parts.is_empty() {
            return Ok(());
        }
        let Some(mut session) = state.session.clone() else {
            return Ok(());
        };
        let path = self.path(&session, state);
        let bucket = self.bucket();
        let mut tried = 0;
        loop {
            tried += 1;
            let expected = session.secured.as_deref();
            let secured = bucket.secure(&path, &session.id, &state.parts, expected);
            match once(ASSEMBLY, secured).await {
                Ok(tag) => {
                    session.secured = Some(tag);
                    state.session = Some(session);
                    return Ok(());
                }
                Err(error) if tried == ATTEMPTS => return Err(backend(error)),
                Err(StoreError::NotSupported { source }) => {
                    return Err(Error::Unsupported(source.to_string()));
                }
                Err(error) => tracing::debug!(%error, tried, "parts are secured again"),
            }
            let found = retry(ANSWER, || bucket.stat(&path)).await;
            let found = match found {
                Ok(stat) => stat.version.e_tag,
                Err(StoreError::NotFound { .. }) => None,
                Err(error) => return Err(backend(error)),
            };
            // Looked at after the tag: if it is still ours now, nobody newer had secured before.
            if self.fetch(state.id()).await?.write != write {
                return Err(Error::Superseded(state.id().clone()));
            }
            session.secured = found;
        }
    }
}
