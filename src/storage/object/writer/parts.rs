//! Sending bytes as parts.

use std::{ops::Range, sync::Arc};

use futures::future::join_all;
use object_store::{Error as StoreError, PutPayload, path::Path};
use tokio::{
    sync::OwnedSemaphorePermit,
    task::{JoinError, JoinHandle},
    time::sleep,
};

use super::{Hole, Reach, Writer};
use crate::storage::{
    AppendMode, Error, Result,
    object::{
        bucket::Part,
        retry::{ASSEMBLY, is_unclear, once, pause, transfer},
        shared::backend,
        state::Session,
    },
};

/// A part on its way.
#[derive(Debug)]
pub(super) struct Flight {
    number: u32,
    payload: PutPayload,
    /// `None` while it has to be sent again.
    pub(super) task: Option<JoinHandle<object_store::Result<String>>>,
    _memory: Option<OwnedSemaphorePermit>,
}

/// Nobody waits for it any more.
impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// How often a part is sent, each time under another number.
const ATTEMPTS: u32 = 5;

/// How many numbers are reserved first, and at most.
pub(in crate::storage::object) const FIRST_RESERVE: u32 = 4;
pub(super) const LAST_RESERVE: u32 = 64;

impl Flight {
    pub(super) fn has_landed(&self) -> bool {
        self.task.as_ref().is_some_and(JoinHandle::is_finished)
    }
}

impl Writer {
    /// Adds parts that are ranges of other objects, as long as parts are. Gives how many, from the first
    /// on: none if the store cannot, or loose bytes come first.
    pub(in crate::storage::object) async fn copy(
        &mut self,
        sources: &[(Path, Range<u64>)],
    ) -> Result<usize> {
        if self.loose.size() > 0 || !self.wants_parts() {
            return Ok(0);
        }
        while !self.flights.is_empty() {
            self.land().await?;
        }
        let session = self.session().await?;
        let path = self.shared.path(&session, &self.base);
        let mut copies = Vec::with_capacity(sources.len());
        for (source, range) in sources {
            copies.push((self.number().await?, source, range));
        }
        let bucket = self.shared.bucket();
        let copied = copies.iter().map(|(number, source, range)| {
            let copied = bucket.copy_part(&path, &session.id, *number, source, (*range).clone());
            once(ASSEMBLY, copied)
        });
        let copied = join_all(copied).await;
        let mut added = 0;
        for ((number, _, range), tag) in copies.iter().zip(copied) {
            match tag {
                Ok(tag) => {
                    let size = range.end - range.start;
                    self.done.push(Part::new(*number, tag, size));
                    self.unsaved += size;
                    added += 1;
                }
                Err(error) => {
                    tracing::debug!(%error, "the bytes of a part are sent instead of copied");
                    break;
                }
            }
        }
        Ok(added)
    }

    /// Sends the first `size` loose bytes as a part.
    pub(super) async fn dispatch(&mut self, size: u64) -> Result<()> {
        while self.flights.len() >= self.shared.settings.parts_in_flight {
            self.land().await?;
        }
        let session = self.session().await?;
        let old = self.loose.size() - self.loose.fresh.size();
        let mut held = match old.min(size) {
            0 => None,
            old => Some(self.memory_for_old(old, size).await?),
        };
        // Not before parts that may be sent again, under later numbers.
        let number = self.number().await?;
        let segments = self.loose.segments.clone();
        let (payload, memory) = self.loose.take(size, &self.shared, self.base.id()).await?;
        self.stale.extend(segments);
        match (&mut held, memory) {
            (Some(held), Some(memory)) => held.merge(memory),
            (None, memory) => held = memory,
            (Some(_), None) => {}
        }
        self.flights.push_back(Flight {
            number,
            task: Some(tokio::spawn(self.put_part(
                &session,
                number,
                payload.clone(),
            ))),
            payload,
            _memory: held,
        });
        Ok(())
    }

    fn put_part(
        &self,
        session: &Session,
        number: u32,
        payload: PutPayload,
    ) -> impl Future<Output = object_store::Result<String>> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        let path = shared.path(session, &self.base);
        let id = session.id.clone();
        async move {
            let limit = transfer(payload.content_length() as u64);
            once(limit, shared.bucket().put_part(&path, &id, number, payload)).await
        }
    }

    /// Waits for the first part on its way. One that may have arrived or not is sent again under
    /// another number, for what is late must not replace what counts.
    pub(super) async fn land(&mut self) -> Result<()> {
        let mut tried = 0;
        loop {
            tried += 1;
            let Some(flight) = self.flights.front_mut() else {
                return Ok(());
            };
            let landed = match &mut flight.task {
                Some(task) => task.await.unwrap_or_else(|error| Err(panicked(error))),
                // It was cut while it was about to be sent again.
                None => return Err(self.tear(Error::Backend("a part was not sent".into()))),
            };
            flight.task = None;
            let error = match landed {
                Ok(tag) => {
                    let size = flight.payload.content_length() as u64;
                    self.done.push(Part::new(flight.number, tag, size));
                    self.flights.pop_front();
                    return Ok(());
                }
                Err(error) => error,
            };
            if matches!(error, StoreError::NotFound { .. }) {
                // The session is gone, with all parts that no state names.
                self.done.clear();
            }
            if !is_unclear(&error) || tried == ATTEMPTS {
                return Err(self.tear(backend(error)));
            }
            tracing::debug!(%error, tried, "a part is sent again");
            sleep(pause(tried)).await;
            self.send_again().await.map_err(|error| self.tear(error))?;
        }
    }

    /// Sends all parts on their way again: their numbers have to stay in their order.
    async fn send_again(&mut self) -> Result<()> {
        let session = self.session().await?;
        for index in 0..self.flights.len() {
            let number = self.number().await?;
            let payload = self.flights[index].payload.clone();
            let task = tokio::spawn(self.put_part(&session, number, payload));
            let flight = &mut self.flights[index];
            flight.number = number;
            if let Some(late) = flight.task.replace(task) {
                late.abort();
            }
        }
        Ok(())
    }

    /// Nothing behind the first part on its way will ever count.
    fn tear(&mut self, error: Error) -> Error {
        self.flights.clear();
        if self.hole == Hole::None {
            self.hole = Hole::Torn;
        }
        error
    }

    /// The session, which is opened for the first part. Before a state names it nobody else knows of it,
    /// and all numbers are ours.
    async fn session(&mut self) -> Result<Session> {
        if let Some(session) = &self.session {
            return Ok(session.clone());
        }
        let session = self.shared.begin(&self.base).await?;
        self.numbers = 1..self.shared.profile.max_parts + 1;
        Ok(self.session.insert(session).clone())
    }

    async fn number(&mut self) -> Result<u32> {
        if self.numbers.is_empty() {
            self.reserve_numbers().await?;
        }
        self.numbers
            .next()
            .ok_or(Error::TooLong(self.base.offset()))
    }

    /// Has the store know that more numbers are ours. What is stored by now is saved with that.
    async fn reserve_numbers(&mut self) -> Result<()> {
        let composed = match self.mode {
            AppendMode::Streaming if self.shared.profile.lasting_parts => {
                Box::pin(self.compose(Reach::Parts)).await?
            }
            // Nothing counts before all of it does, or other parts would be forgotten.
            AppendMode::Streaming | AppendMode::Atomic => None,
        };
        let mut state = composed.unwrap_or_else(|| self.base.clone());
        self.name_session(&mut state);
        if self.granted.is_empty() {
            self.granted = state.reserve(self.reserve, self.shared.profile.max_parts);
        }
        self.store(state).await
    }
}

fn panicked(error: JoinError) -> StoreError {
    StoreError::Generic {
        store: "bucket",
        source: Box::new(error),
    }
}
