use std::{
    collections::HashSet,
    sync::{Arc, TryLockError, Weak},
    time::{Duration, SystemTime},
};

use futures::{StreamExt, stream};
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::{TusService, announce::is_untold, config::Config, engine::Engine, observe};
use crate::{
    hooks::EventKind,
    protocol::{Extension, Stage, Upload, UploadId},
    storage::{self, Result},
};

/// What a sweep removed, or would remove.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swept {
    /// Expired uploads.
    pub uploads: u64,
    /// Their bytes, and those that no upload referred to any more.
    pub bytes: u64,
}

/// Whether a sweep removes what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sweep {
    Real,
    Dry,
}

/// What no upload refers to is left alone for that long: it may be in the making.
const RECLAIM_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// How many uploads are put in place at once.
const AT_ONCE: usize = 64;

/// After how many uploads others get a turn.
const YIELD_EVERY: usize = 64;

impl TusService {
    /// Removes all uploads that have expired, and what crashes left behind. Runs by itself in the
    /// background; finished uploads are never touched.
    ///
    /// # Errors
    /// If the uploads cannot be listed. What fails for a single upload is logged, and tried again next
    /// time.
    pub async fn sweep(&self) -> Result<Swept> {
        self.sweep_by(Sweep::Real).await.inspect(observe::swept)
    }

    /// What [`sweep`](Self::sweep) would remove of expired uploads.
    ///
    /// # Errors
    /// If the uploads cannot be listed.
    pub async fn sweep_dry_run(&self) -> Result<Swept> {
        self.sweep_by(Sweep::Dry).await
    }

    /// Ends what a crash interrupted: uploads of which all bytes are stored are put in place, final uploads whose
    /// parts are finished are joined, and finishes that are still to be announced are. Runs by itself with the
    /// first request and with each sweep, and each of these uploads also does it when it is asked for.
    ///
    /// # Errors
    /// If the uploads cannot be listed.
    pub async fn recover(&self) -> Result<()> {
        let unfinished = self.survey().await?;
        self.put_in_place(unfinished).await;
        Ok(())
    }

    /// Finds what is still to be put in place, and to be told.
    async fn survey(&self) -> Result<Vec<Upload>> {
        let mut unfinished = Vec::new();
        let mut waiting = self.engine.waiting_finals();
        let mut uploads = self.engine.storage.pending();
        let mut seen = 0;
        while let Some(upload) = uploads.next().await {
            give_turns(&mut seen).await;
            let Ok(upload) = upload.inspect_err(log) else {
                continue;
            };
            if upload.is_pending_final() {
                self.engine.wait_for(&upload);
                waiting.remove(&upload.id);
                unfinished.push(upload);
            } else if upload.stage == Stage::Finishing {
                unfinished.push(upload);
            } else if is_untold(&upload) {
                self.tell_again(&upload).await;
            }
        }
        // Only now parts may be released that a final upload has used.
        self.engine.known.cancel();
        let left: HashSet<_> = unfinished.iter().map(|upload| &upload.id).collect();
        self.engine.vetoed().retain(|id| left.contains(id));
        let ids = unfinished.iter().map(|upload| upload.id.clone());
        self.engine.unplaced().extend(ids);
        self.forget_joined(waiting).await;
        self.remove_all_released().await;
        Ok(unfinished)
    }

    /// Final uploads that were not found: another node may have joined or removed them.
    async fn forget_joined(&self, finals: HashSet<UploadId>) {
        for id in finals {
            // One that is being made, or joined, just now needs its parts.
            let Some(_claim) = self.engine.sessions.try_claim(&id) else {
                continue;
            };
            match self.engine.storage.load(&id).await {
                Ok(upload) if upload.is_pending_final() => {}
                Ok(_) | Err(storage::Error::NotFound(_)) => self.engine.forget_waiting(&id),
                Err(error) => log(&error),
            }
        }
    }

    /// Several at once: each may wait for the application.
    async fn put_in_place(&self, unfinished: Vec<Upload>) {
        let stop = self.engine.stop.clone().cancelled_owned();
        let unfinished = stream::iter(unfinished).take_until(stop);
        let placing = unfinished.for_each_concurrent(AT_ONCE, async |upload| {
            let id = upload.id.clone();
            if !self.engine.is_vetoed(&id) {
                let span = observe::background("recover", &id, None);
                self.end(upload).instrument(span).await;
            }
            self.engine.unplaced().remove(&id);
        });
        placing.await;
    }

    /// Ends one upload that was interrupted.
    async fn end(&self, upload: Upload) {
        if upload.is_pending_final() {
            // Why it is not joined is logged where it is tried.
            let _ = self.inspect_final(upload).await;
        } else if let Err(refusal) = self.settle_unclaimed(upload).await {
            tracing::warn!(error = %refusal.error, "an upload could not be finished");
        }
    }

    /// Starts what runs in the background now, and not only with the first request: [`recover`] and
    /// [`sweep`], again and again. It ends with the last clone of the service, or its shutdown.
    ///
    /// It runs in the runtime of whoever starts it, and ends with that: a worker of actix-web has one of
    /// its own. The next request, or call of this, starts it again. Once is enough, and more do nothing.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    ///
    /// [`recover`]: Self::recover
    /// [`sweep`]: Self::sweep
    pub fn start(&self) {
        let mut sweeper = match self.engine.sweeper.try_lock() {
            Ok(sweeper) => sweeper,
            // Somebody called this outside of a runtime.
            Err(TryLockError::Poisoned(sweeper)) => sweeper.into_inner(),
            // Somebody else is here just now.
            Err(TryLockError::WouldBlock) => return,
        };
        let runs = sweeper.as_ref().is_some_and(|task| !task.is_finished());
        if runs || self.engine.stop.is_cancelled() {
            return;
        }
        observe::described();
        let (engine, config) = (Arc::downgrade(&self.engine), Arc::clone(&self.config));
        *sweeper = Some(tokio::spawn(maintain(engine, config)));
    }

    /// Ends all writers, whose clients are told 503 and where to go on, and waits until everything that
    /// was received is stored. New requests that write are refused.
    pub async fn shutdown(&self) {
        self.engine.stop.cancel();
        self.engine.tasks.close();
        self.engine.tasks.wait().await;
    }

    async fn sweep_by(&self, sweep: Sweep) -> Result<Swept> {
        let mut swept = Swept::default();
        let mut uploads = self.engine.storage.pending();
        let mut seen = 0;
        while let Some(upload) = uploads.next().await {
            give_turns(&mut seen).await;
            let Ok(upload) = upload.inspect_err(log) else {
                continue;
            };
            if self.may_expire(&upload) && self.expire(&upload, sweep).await {
                swept.uploads += 1;
                swept.bytes += upload.offset;
            }
        }
        drop(uploads);
        if sweep == Sweep::Real {
            let before = SystemTime::now() - RECLAIM_AGE;
            swept.bytes += self.engine.storage.reclaim(before).await?;
        }
        Ok(swept)
    }

    /// Parts that a final upload waits for stay, for as long as it does; what is to be told, until it is; and
    /// what a crash left behind, until somebody has tried to put it in place.
    fn may_expire(&self, upload: &Upload) -> bool {
        self.config.offer.offers(Extension::Expiration)
            && upload.is_expired(SystemTime::now())
            && !self.engine.is_waited_for(&upload.id)
            && !self.stays_untold(upload)
            && !self.engine.unplaced().contains(&upload.id)
    }

    /// Removes an expired upload, unless somebody writes to it, or has just done so.
    async fn expire(&self, upload: &Upload, sweep: Sweep) -> bool {
        let Some(_claim) = self.engine.sessions.try_claim(&upload.id) else {
            return false;
        };
        match self.engine.storage.load(&upload.id).await {
            Ok(now) if self.may_expire(&now) => {
                if sweep == Sweep::Dry {
                    return true;
                }
                tracing::debug!(id = %now.id, "upload expired");
                self.remove(&now, EventKind::Expired).await.is_ok()
            }
            _ => false,
        }
    }
}

/// Recovers, and then sweeps again and again, as long as there is a service.
async fn maintain(engine: Weak<Engine>, config: Arc<Config>) {
    let service = || {
        let engine = engine
            .upgrade()
            .filter(|engine| !engine.stop.is_cancelled())?;
        Some(TusService {
            engine,
            config: Arc::clone(&config),
            request: None,
        })
    };
    let mut placing: Option<JoinHandle<()>> = None;
    while let Some(tus) = service() {
        // Again and again: another node may have died, or the storage could not do it the last time.
        if let Ok(unfinished) = tus.survey().await.inspect_err(log) {
            // The application may take its time over it: nothing else waits for that.
            if placing.as_ref().is_none_or(JoinHandle::is_finished) {
                let tus = tus.clone();
                placing = Some(tokio::spawn(async move {
                    tus.put_in_place(unfinished).await;
                }));
            }
            let _ = tus.sweep().await.inspect_err(log);
        }
        let stop = tus.engine.stop.clone();
        drop(tus);
        let pause = tokio::time::sleep(config.sweep_every);
        if stop.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}

/// Lets others run now and then.
pub(super) async fn give_turns(seen: &mut usize) {
    *seen += 1;
    if seen.is_multiple_of(YIELD_EVERY) {
        tokio::task::yield_now().await;
    }
}

fn log(error: &storage::Error) {
    tracing::error!(%error, "the storage failed");
}
