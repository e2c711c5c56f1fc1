//! Making, reading and listing uploads.

use std::{ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future::ready, stream, stream::BoxStream};

use super::{
    Nodes,
    bucket::Listed,
    retry::{ANSWER, bounded, once},
    seat::Held,
    shared::{Shared, backend, not_found},
    state::State,
    writer::{FIRST_RESERVE, Writer},
};
use crate::{
    protocol::{Announcement, Kind, Upload, UploadId, Version},
    storage::{AppendMode, ByteStream, Error, Result, only_announces, record::has_name_of_its_own},
};

/// How many states are read at a time, for a list.
pub(super) const READS: usize = 8;

impl Shared {
    pub(super) async fn create_upload(&self, upload: &Upload) -> Result<Version> {
        let part_size = self.part_size(upload)?;
        if self.is_taken(upload).await? {
            return Err(Error::AlreadyExists(upload.key.to_string()));
        }
        let seat = self.desk.seat(&upload.id);
        let mut held = seat.turn.lock().await;
        self.settled.remove(&upload.id);
        // The store may not look at conditions.
        if self.settings.nodes == Nodes::One && self.exists(&upload.id).await? {
            return Err(Error::AlreadyExists(upload.id.to_string()));
        }
        let state = State::new(upload, &self.process, part_size);
        let version = state.version();
        let created = self.create(&mut held, state).await;
        if matches!(created, Err(Error::AlreadyExists(_))) {
            held.known = None;
        }
        seat.show(&held);
        created.map(|()| version)
    }

    pub(super) async fn load(&self, id: &UploadId) -> Result<Upload> {
        // What another node has done since would be missed.
        if self.settings.nodes == Nodes::One
            && let Some(upload) = self.desk.held(id)
        {
            return Ok(upload);
        }
        self.glance(id).await
    }

    pub(super) async fn update(&self, upload: &Upload) -> Result<Version> {
        let seat = self.desk.seat(&upload.id);
        let mut held = seat.turn.lock().await;
        let conflict = || Error::Conflict(upload.id.clone());
        let mut state = self.current(upload, &mut held).await?;
        let finished = state.snapshot().is_finished();
        let settled = (finished && !only_announces(upload, state.description()))
            || (state.session.is_some() && state.description().key != upload.key);
        if settled {
            return Err(conflict());
        }
        if finished {
            // No bytes come any more.
        } else if state.offset() == 0 && state.session.is_none() {
            state.part_size = self.part_size(upload)?;
        } else if upload.length.known() > Some(self.longest(upload, state.part_size)) {
            return Err(Error::TooLong(self.longest(upload, state.part_size)));
        }
        state.describe(upload);
        let version = state.version();
        let replaced = self.replace(&mut held, state).await;
        seat.show(&held);
        match replaced {
            Err(Error::Superseded(_)) => Err(conflict()),
            replaced => replaced.map(|()| version),
        }
    }

    /// Opens an upload for writing. On the node that wrote last this takes no request; on another it is
    /// a claim, which ends the writers of the one before.
    pub(super) async fn open(
        self: &Arc<Self>,
        upload: &Upload,
        mode: AppendMode,
    ) -> Result<Writer> {
        let seat = self.desk.seat(&upload.id);
        let mut held = seat.turn.lock().await;
        let conflict = || Error::Conflict(upload.id.clone());
        let mut state = self.current(upload, &mut held).await?;
        if state.offset() != upload.offset {
            // Another node may have moved on.
            held.known = None;
            state = self.current(upload, &mut held).await?;
        }
        if state.offset() != upload.offset || state.snapshot().is_finished() {
            return Err(conflict());
        }
        let mut secured = state.session.clone();
        if state.owner != self.process {
            // Whatever comes of the claim: the writers there were have ended.
            seat.next_epoch();
            state.claim(&self.process);
            held.numbers = match state.session {
                Some(_) => state.reserve_ahead(FIRST_RESERVE, self.profile.max_parts),
                None => 0..0,
            };
            if let Err(error) = self.replace(&mut held, state).await {
                held.numbers = 0..0;
                return Err(match error {
                    Error::Superseded(_) => conflict(),
                    error => error,
                });
            }
            let known = self.known(&upload.id, &mut held).await?.clone();
            let mut state = known.state;
            self.secure(&mut state, &known.write).await?;
            secured = state.session;
        }
        let writer = Writer::new(
            Arc::clone(self),
            Arc::clone(&seat),
            &mut held,
            (mode, secured),
        );
        seat.show(&held);
        Ok(writer)
    }

    /// The state that `upload` shows, but for the bytes.
    async fn current(&self, upload: &Upload, held: &mut Held) -> Result<State> {
        let known = self.known(&upload.id, held).await?;
        if known.state.version() == upload.version {
            return Ok(known.state.clone());
        }
        // Another node may have changed it since it was remembered.
        held.known = None;
        let known = self.known(&upload.id, held).await?;
        match known.state.version() == upload.version {
            true => Ok(known.state.clone()),
            false => Err(Error::Conflict(upload.id.clone())),
        }
    }

    pub(super) async fn read(&self, upload: &Upload, range: Range<u64>) -> Result<ByteStream> {
        let path = self.layout.target(upload);
        let gone = || Error::NotFound(upload.id.clone());
        if !upload.is_finished() {
            return Err(gone());
        }
        if !has_name_of_its_own(upload) && !self.is_own(&path, upload).await? {
            return Err(gone());
        }
        let range = range.start..range.end.min(upload.offset);
        if range.is_empty() {
            return match once(ANSWER, self.bucket().stat(&path)).await {
                Ok(_) => Ok(stream::empty::<Result<Bytes>>().boxed()),
                Err(error) => Err(not_found(error, &upload.id)),
            };
        }
        let bytes = once(ANSWER, self.bucket().read(&path, range)).await;
        let bytes = bytes.map_err(|error| not_found(error, &upload.id))?;
        Ok(bytes.map_err(backend).boxed())
    }

    pub(super) async fn signed_url(
        &self,
        upload: &Upload,
        lifetime: Duration,
    ) -> Result<Option<String>> {
        let path = self.layout.target(upload);
        let is_readable = upload.is_finished()
            && (has_name_of_its_own(upload) || self.is_own(&path, upload).await?);
        if !is_readable {
            return Err(Error::NotFound(upload.id.clone()));
        }
        match once(ANSWER, self.bucket().signed_url(&path, lifetime)).await {
            Ok(url) => Ok(url),
            // The bytes can be had all the same.
            Err(error) => {
                tracing::warn!(%error, "the store signs no URL");
                Ok(None)
            }
        }
    }

    pub(super) fn list(&self) -> BoxStream<'_, Result<Upload>> {
        let states = self.states();
        self.uploads(states).map_ok(|(_, upload)| upload).boxed()
    }

    /// Those that are finished need no care any more, and are remembered: a sweep does not read them
    /// again.
    pub(super) fn pending(&self) -> BoxStream<'_, Result<Upload>> {
        let is_new = |(listed, id): &(Listed, UploadId)| !self.settled.contains(id, listed);
        let states = self.states().try_filter(move |state| ready(is_new(state)));
        let pending = |(listed, upload): (Listed, Upload)| {
            let is_settled = upload.is_finished()
                && upload.kind != Kind::Partial
                && upload.announcement == Announcement::None;
            if is_settled {
                self.settled.insert(upload.id, &listed);
                return ready(Ok(None));
            }
            ready(Ok(Some(upload)))
        };
        let uploads = self.uploads(states.boxed());
        uploads.try_filter_map(pending).boxed()
    }

    /// The states there are, and of which uploads they are.
    pub(super) fn states(&self) -> BoxStream<'_, Result<(Listed, UploadId)>> {
        let listed = self.bucket().list(&self.layout.uploads());
        let with_id = |listed: Listed| self.layout.owner(&listed.path).map(|id| (listed, id));
        bounded(listed)
            .map_err(backend)
            .try_filter_map(move |listed| ready(Ok(with_id(listed))))
            .boxed()
    }

    fn uploads<'s>(
        &'s self,
        states: BoxStream<'s, Result<(Listed, UploadId)>>,
    ) -> BoxStream<'s, Result<(Listed, Upload)>> {
        let read = move |state: Result<(Listed, UploadId)>| async move {
            let (listed, id) = state?;
            Ok((listed, self.glance(&id).await?))
        };
        let uploads = states.map(read).buffer_unordered(READS);
        // One that is gone by now is no error.
        uploads
            .filter(|upload| ready(!matches!(upload, Err(Error::NotFound(_)))))
            .boxed()
    }
}
