//! Holding owners to their limits.

use std::time::{Duration, SystemTime};

use futures::{StreamExt, stream};
use tokio::{task::JoinHandle, time::timeout};

use super::{
    OwnerLimits, TusService,
    ledger::{Holding, Reservation, Survey, Which},
    maintain::give_turns,
    turn::Taken,
};
use crate::{
    protocol::{Error, Owner, Upload},
    storage,
};

/// How long a request waits for a look. One that takes longer goes on afterwards.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often the uploads of an owner who would be refused are looked at, at most.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// How often all uploads are counted, while there are creations.
const COUNT_EVERY: Duration = Duration::from_secs(10 * 60);

/// When counting is tried again that has failed.
const RETRY: Duration = Duration::from_secs(1);

/// How many uploads are looked at at a time.
const READS: usize = 8;

impl TusService {
    /// Makes room for an upload, if its owner may have it. `None` if nothing is limited.
    pub(super) async fn reserve(&self, upload: &Upload) -> Result<Option<Reservation<'_>>, Error> {
        let (Some(owner), Some(own)) = (&upload.owner, &self.config.owner_limits) else {
            return Ok(None);
        };
        let charge = own.charge(upload, &self.config.offer.limits)?;
        self.counted().await?;
        let ledger = &self.engine.ledger;
        let reserve = || ledger.reserve((owner, &upload.id), charge, own).map(Some);
        // Somebody else may have made room.
        match reserve() {
            Err(Error::TooManyUploads) => self.check(owner, Which::Unfinished).await,
            Err(Error::QuotaExceeded) => self.check(owner, Which::All).await,
            reserved => return reserved,
        }
        reserve()
    }

    /// As [`reserve`](Self::reserve), for a final upload whose length is known now. A refusal is remembered:
    /// who asks for the upload may not be so patient as to hear it.
    pub(super) async fn reserve_final(
        &self,
        upload: &Upload,
    ) -> Result<Option<Reservation<'_>>, Error> {
        let reserved = self.reserve(upload).await;
        if let (Some(owner), Err(error)) = (&upload.owner, &reserved)
            && *error != Error::Uncounted
        {
            let ledger = &self.engine.ledger;
            ledger.refuse(owner, &upload.id, error.clone());
        }
        reserved
    }

    /// Why there was no room for a final upload when it was last to be joined.
    pub(super) fn refused(&self, upload: &Upload) -> Option<Error> {
        let owner = upload.owner.as_ref()?;
        self.engine.ledger.refusal(owner, &upload.id)
    }

    /// An upload is stored like this.
    pub(super) fn note(&self, upload: &Upload) {
        if let (Some(owner), Some(own)) = (&upload.owner, &self.config.owner_limits) {
            let holding = self.holding(upload.clone(), own);
            self.engine.ledger.note(owner, &upload.id, holding);
        }
    }

    /// An upload is no more.
    pub(super) fn note_gone(&self, upload: &Upload) {
        if let (Some(owner), Some(_)) = (&upload.owner, &self.config.owner_limits) {
            self.engine.ledger.note(owner, &upload.id, None);
        }
    }

    /// Waits until all uploads have been counted once, and has them counted again if that is long ago.
    async fn counted(&self) -> Result<(), Error> {
        let ledger = &self.engine.ledger;
        if ledger.is_counted() {
            if let Some(turn) = ledger.counts.try_take(COUNT_EVERY) {
                drop(self.look(turn, self.unasked().count()));
            }
            return Ok(());
        }
        let counting = async {
            if let Some(turn) = ledger.counts.take(RETRY).await {
                let _ = self.look(turn, self.unasked().count()).await;
            }
        };
        // A count that takes longer goes on; who waits for its turn leaves nothing behind.
        let _ = timeout(PATIENCE, counting).await;
        match ledger.is_counted() {
            true => Ok(()),
            false => Err(Error::Uncounted),
        }
    }

    async fn count(self) -> storage::Result<()> {
        if let Some(own) = &self.config.owner_limits {
            let survey = self.engine.ledger.survey();
            self.see_all(&survey, own).await?;
            survey.complete();
        }
        Ok(())
    }

    async fn see_all(&self, survey: &Survey<'_>, own: &OwnerLimits) -> storage::Result<()> {
        let mut uploads = self.engine.storage.list();
        let mut seen = 0;
        while let Some(upload) = uploads.next().await {
            give_turns(&mut seen).await;
            match upload {
                Ok(upload) => {
                    if let Some(owner) = upload.owner.clone() {
                        let id = upload.id.clone();
                        survey.see(&owner, &id, self.holding(upload, own));
                    }
                }
                // Nobody knows whose it is, and nobody ever will.
                Err(error @ storage::Error::Damaged { .. }) => {
                    tracing::error!(%error, "an upload is not counted for its owner");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Looks up what has become of uploads of an owner.
    async fn check(&self, owner: &Owner, which: Which) {
        let Some(turn) = self.engine.ledger.checks(owner) else {
            return;
        };
        let (tus, owner) = (self.unasked(), owner.clone());
        let checking = async {
            if let Some(turn) = turn.take(CHECK_EVERY).await {
                let check = async move { tus.see_each(&owner, which).await };
                let _ = self.look(turn, check).await;
            }
        };
        let _ = timeout(PATIENCE, checking).await;
    }

    async fn see_each(&self, owner: &Owner, which: Which) -> storage::Result<()> {
        let Some(own) = &self.config.owner_limits else {
            return Ok(());
        };
        let survey = &self.engine.ledger.survey();
        let uploads = self.engine.ledger.uploads(owner, which);
        let see = |id| async move {
            match self.engine.storage.load(&id).await {
                Ok(upload) if upload.owner.as_ref() == Some(owner) => {
                    survey.see(owner, &id, self.holding(upload, own));
                }
                // The id may be somebody else's by now.
                Ok(_) | Err(storage::Error::NotFound(_)) => survey.see(owner, &id, None),
                Err(error) => {
                    tracing::warn!(%error, %id, "what an upload counts was not looked up");
                }
            }
        };
        stream::iter(uploads).for_each_concurrent(READS, see).await;
        Ok(())
    }

    /// Looks at what is stored, in a task of its own. What it finds is in the books.
    fn look(
        &self,
        turn: Taken,
        look: impl Future<Output = storage::Result<()>> + Send + 'static,
    ) -> JoinHandle<Option<()>> {
        let stop = self.engine.stop.clone();
        let looking = async move { stop.run_until_cancelled(turn.look(look)).await };
        self.engine.tasks.spawn(looking)
    }

    /// What an upload counts, if it does: not once it has expired.
    fn holding(&self, upload: Upload, own: &OwnerLimits) -> Option<Holding> {
        let upload = self.as_offered(upload);
        match upload.is_expired(SystemTime::now()) {
            true => None,
            false => own.holding(&upload, &self.config.offer.limits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        protocol::{Concat, Kind, Length, header::UPLOAD_LENGTH},
        service::session::Takeover,
        storage::{AppendMode, MemoryStorage, Storage},
    };

    fn upload(id: &str, length: Length) -> Upload {
        let mut upload = Upload::new(id.parse().unwrap(), length, SystemTime::now());
        upload.owner = Some("me".into());
        upload
    }

    fn node(storage: &MemoryStorage) -> TusService {
        let own = OwnerLimits::default().max_stored_bytes(10);
        TusService::new(storage.clone()).owner_limits(own)
    }

    async fn register(tus: &TusService, id: &str, length: u64) -> Result<(), Error> {
        tus.register(&mut upload(id, Length::Known(length))).await
    }

    #[tokio::test(start_paused = true)]
    async fn what_other_nodes_let_in_is_counted_after_a_while() {
        let storage = MemoryStorage::new();
        let (one, two) = (node(&storage), node(&storage));
        register(&one, "a", 2).await.unwrap();
        register(&two, "b", 6).await.unwrap();
        tokio::time::advance(COUNT_EVERY).await;
        // Nobody waits for it.
        register(&one, "c", 1).await.unwrap();
        one.engine.tasks.close();
        one.engine.tasks.wait().await;
        assert_eq!(register(&one, "d", 2).await, Err(Error::QuotaExceeded));
        register(&one, "d", 1).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_would_be_refused_has_the_uploads_looked_up_now_and_then() {
        let storage = MemoryStorage::new();
        let tus = node(&storage);
        for id in ["a", "b"] {
            register(&tus, id, 5).await.unwrap();
        }
        assert_eq!(register(&tus, "c", 5).await, Err(Error::QuotaExceeded));
        storage.delete(&"a".parse().unwrap()).await.unwrap();
        assert_eq!(register(&tus, "c", 5).await, Err(Error::QuotaExceeded));
        tokio::time::advance(CHECK_EVERY).await;
        register(&tus, "c", 5).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_count_that_takes_long_is_waited_for_only_so_long() {
        let tus = node(&MemoryStorage::new());
        let ledger = &tus.engine.ledger;
        let turn = ledger.counts.take(RETRY).await.unwrap();
        let mut counting = Box::pin(turn.look(std::future::pending()));
        assert!(futures::poll!(&mut counting).is_pending());
        assert_eq!(register(&tus, "a", 1).await, Err(Error::Uncounted));
        // Nobody is left who waits for it.
        assert!(tus.engine.tasks.is_empty());
        drop(counting);
        register(&tus, "a", 1).await.unwrap();
    }

    #[tokio::test]
    async fn a_length_that_could_be_anything_is_refused() {
        let tus = node(&MemoryStorage::new());
        let mut deferred = upload("a", Length::Deferred);
        let refused = tus.register(&mut deferred).await;
        assert_eq!(refused, Err(Error::MissingHeader(UPLOAD_LENGTH)));
        deferred.max_size = Some(7);
        tus.register(&mut deferred).await.unwrap();
        assert_eq!(register(&tus, "b", 4).await, Err(Error::QuotaExceeded));
        register(&tus, "b", 3).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_final_without_room_says_so_even_while_somebody_tries_to_join_it() {
        let storage = MemoryStorage::new();
        let tus = node(&storage);
        let mut part = upload("part", Length::Deferred);
        part.kind = Kind::Partial;
        part.max_size = Some(4);
        tus.register(&mut part).await.unwrap();
        let mut joined = upload("final", Length::Deferred);
        joined.kind = Kind::Final(Concat::new("final;part", vec![part.id.clone()]));
        let (joined, _) = tus.create_final(joined).await.unwrap();
        register(&tus, "other", 6).await.unwrap();

        part.length = Length::Known(4);
        part.version = storage.update(&part).await.unwrap();
        let mut appender = storage.append(&part, AppendMode::Streaming).await.unwrap();
        appender.write("abcd".into()).await.unwrap();
        part.offset = appender.commit().await.unwrap();
        storage.finish(&part).await.unwrap();
        let refused = tus.inspect_final(joined.clone()).await.unwrap_err();
        assert_eq!(refused.error, Error::QuotaExceeded);

        let claim = tus.claim(&joined.id, Takeover::Never).await.unwrap();
        let refused = tus.inspect_final(joined.clone()).await.unwrap_err();
        assert_eq!(refused.error, Error::QuotaExceeded);
        drop(claim);
        storage.delete(&"other".parse().unwrap()).await.unwrap();
        tokio::time::advance(CHECK_EVERY).await;
        let inspected = tus.inspect_final(joined.clone()).await.unwrap();
        assert_eq!((inspected.offset, inspected.is_finished()), (4, true));
        assert_eq!(tus.refused(&joined), None);
    }

    #[tokio::test]
    async fn what_belongs_to_nobody_is_not_in_the_books() {
        let tus = node(&MemoryStorage::new());
        let mut upload = upload("a", Length::Known(11));
        upload.owner = None;
        tus.register(&mut upload).await.unwrap();
        assert!(!tus.engine.ledger.is_counted());
    }
}
