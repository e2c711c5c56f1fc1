//! Joining whole objects within the store.

use std::sync::Arc;

use object_store::{PutMode, PutOptions, path::Path};

use super::{
    attributes::attributes,
    occupant::Occupant,
    retry::{ASSEMBLY, retry},
    seat::Held,
    shared::{Shared, backend, nonce},
    state::State,
};
use crate::storage::{
    Collision, Error, Result,
    record::{damaged, has_name_of_its_own},
};

impl Shared {
    /// Makes a final upload of its parts by a few requests, if the store can. `false` if it cannot.
    ///
    /// What comes of it is the same whoever does it, and how often.
    pub(super) async fn compose(self: &Arc<Self>, state: &State, parts: &[Path]) -> Result<bool> {
        let most = self.profile.max_sources;
        if most < 2 || parts.is_empty() || state.offset() > 0 || state.session.is_some() {
            return Ok(false);
        }
        let mut sources = parts.to_vec();
        let mut stages = Vec::new();
        while sources.len() > most {
            let mut joined = Vec::new();
            for group in sources.chunks(most) {
                let stage = self.layout.stage(state.id(), &nonce()?);
                let composed = retry(ASSEMBLY, || {
                    self.bucket().compose(group, &stage, PutOptions::default())
                });
                composed.await.map_err(backend)?;
                joined.push(stage.clone());
                stages.push(stage);
            }
            sources = joined;
        }
        self.compose_target(state, &sources).await?;
        let seat = self.desk.seat(state.id());
        let mut held = seat.turn.lock().await;
        let closed = self.close_composed(state, &mut held).await;
        seat.show(&held);
        self.discard(stages);
        closed.map(|()| true)
    }

    async fn compose_target(&self, state: &State, sources: &[Path]) -> Result<()> {
        let upload = state.description();
        let target = self.layout.target(upload);
        let replaces = self.settings.collision == Collision::Replace;
        let options = PutOptions {
            mode: match replaces && !has_name_of_its_own(upload) {
                true => PutMode::Overwrite,
                false => PutMode::Create,
            },
            attributes: attributes(upload),
            ..PutOptions::default()
        };
        let composed = retry(ASSEMBLY, || {
            self.bucket().compose(sources, &target, options.clone())
        });
        let composed = composed.await;
        match self.find(&target, upload).await? {
            Occupant::Itself(stat) if upload.length.known() == Some(stat.size) => Ok(()),
            Occupant::Itself(_) => Err(damaged(
                state.id(),
                "the object is not as long as its parts",
            )),
            Occupant::Another(_) => Err(Error::AlreadyExists(upload.key.to_string())),
            Occupant::Nobody => match composed {
                Err(error) => Err(backend(error)),
                Ok(()) => Err(damaged(state.id(), "the object is gone")),
            },
        }
    }

    async fn close_composed(self: &Arc<Self>, state: &State, held: &mut Held) -> Result<()> {
        let current = self.known(state.id(), held).await?.state.clone();
        if current.snapshot().is_finished() {
            return Ok(());
        }
        match self.close(held, current).await {
            // Somebody else was as far.
            Err(Error::Superseded(id)) => Err(Error::Locked(id)),
            closed => closed,
        }
    }
}
