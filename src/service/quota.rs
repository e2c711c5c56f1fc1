//! Holding owners to their limits.

use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::time::timeout;

use super::{
    OwnerLimits, TusService,
    ledger::{Reservation, Survey, Which},
    maintain::give_turns,
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

    /// An upload is stored like this.
    pub(super) fn note(&self, upload: &Upload) {
        if let (Some(owner), Some(own)) = (&upload.owner, &self.config.owner_limits) {
            let holding = own.holding(upload, &self.config.offer.limits);
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
        if ledger.is_counted() && !ledger.counts.is_due(COUNT_EVERY) {
            return Ok(());
        }
        let tus = self.unasked();
        let counting = self.look(async move { tus.count().await });
        if !ledger.is_counted() {
            counting.await;
        }
        match ledger.is_counted() {
            true => Ok(()),
            false => Err(Error::Uncounted),
        }
    }

    async fn count(&self) {
        let Some(own) = &self.config.owner_limits else {
            return;
        };
        let ledger = &self.engine.ledger;
        let every = match ledger.is_counted() {
            true => COUNT_EVERY,
            false => RETRY,
        };
        let count = async {
            let survey = ledger.survey();
            self.see_all(&survey, own).await?;
            survey.complete();
            Ok(())
        };
        ledger.counts.take(every, count).await;
    }

    async fn see_all(&self, survey: &Survey<'_>, own: &OwnerLimits) -> storage::Result<()> {
        let limits = &self.config.offer.limits;
        let mut uploads = self.engine.storage.list();
        let mut seen = 0;
        while let Some(upload) = uploads.next().await {
            give_turns(&mut seen).await;
            match upload {
                Ok(upload) => {
                    if let Some(owner) = &upload.owner {
                        survey.see(owner, &upload.id, own.holding(&upload, limits));
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
        let check = async move { turn.take(CHECK_EVERY, tus.see_each(&owner, which)).await };
        self.look(check).await;
    }

    async fn see_each(&self, owner: &Owner, which: Which) -> storage::Result<()> {
        let Some(own) = &self.config.owner_limits else {
            return Ok(());
        };
        let limits = &self.config.offer.limits;
        let survey = &self.engine.ledger.survey();
        let uploads = self.engine.ledger.uploads(owner, which);
        let see = |id| async move {
            match self.engine.storage.load(&id).await {
                Ok(upload) if upload.owner.as_ref() == Some(owner) => {
                    survey.see(owner, &id, own.holding(&upload, limits));
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

    /// Looks at what is stored, in a task of its own. Gives up waiting for it after a while.
    fn look(&self, look: impl Future<Output = ()> + Send + 'static) -> impl Future<Output = ()> {
        let stop = self.engine.stop.clone();
        let looking = self
            .engine
            .tasks
            .spawn(async move { stop.run_until_cancelled(look).await });
        async {
            // It shows in the books.
            let _ = timeout(PATIENCE, looking).await;
        }
    }
}
