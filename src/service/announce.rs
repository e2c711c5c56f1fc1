//! Finishes are told at least once: the mark that an upload carries until everybody was told.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;
use tracing::Instrument;

use super::TusService;
use crate::{
    hooks::{EventId, EventKind, Hook, Notice},
    protocol::{Announcement, Error, Upload, UploadId},
    storage,
};

/// Finishes that are not over with being told.
#[derive(Debug, Default)]
pub(super) struct Announcements {
    /// Those that subscribers have not dealt with yet.
    held: Mutex<HashSet<EventId>>,
    /// Those of parts that are to be removed once they are told.
    released: Mutex<HashMap<EventId, UploadId>>,
}

/// How often an upload may change between being read and being marked as announced.
const ATTEMPTS: usize = 5;

impl TusService {
    /// Whether anybody wants to know when an upload is finished.
    pub(super) fn announcement(&self) -> Announcement {
        let wanted = self.config.hooks.wants(Hook::PostFinish) || self.engine.bus.has_subscribers();
        match wanted {
            true => Announcement::Due,
            false => Announcement::None,
        }
    }

    /// Whether an upload has to stay until somebody is told that it is finished.
    pub(super) fn stays_untold(&self, upload: &Upload) -> bool {
        is_untold(upload) && self.announcement() == Announcement::Due
    }

    /// Tells of a finish again that a crash has kept from being told, or that nobody has heard.
    pub(super) async fn tell_again(&self, found: &Upload) {
        // Whoever finishes it just now tells of it.
        let Some(_claim) = self.engine.sessions.try_claim(&found.id) else {
            return;
        };
        let held = self.engine.announcements.held().contains(&finish_of(found));
        if held || self.engine.telling.is_at(&found.id) {
            return;
        }
        // It may have been told since it was found.
        if let Ok(upload) = self.load(&found.id).await
            && is_untold(&upload)
        {
            self.tell(EventKind::Finished, &upload);
        }
    }

    /// All hooks were told of a finish. Subscribers have dealt with it when the receipt comes.
    pub(super) async fn finish_told(&self, notice: Notice, receipt: Option<oneshot::Receiver<()>>) {
        if !is_untold(&notice.upload) {
            return;
        }
        let Some(receipt) = receipt else {
            return self.announced(&notice).await;
        };
        // What else there is to be told of the upload does not wait for whoever reads events.
        let held = Held::new(self.clone(), notice);
        let dealing = async move {
            let received = tokio::select! {
                biased;
                received = receipt => received.is_ok(),
                () = held.tus.engine.stop.cancelled() => false,
            };
            if received {
                held.tus.announced(&held.notice).await;
            }
        };
        self.engine.tasks.spawn(dealing.in_current_span());
    }

    /// All were told: takes the mark away, and the upload too if it is not needed any more.
    async fn announced(&self, notice: &Notice) {
        self.take_mark(notice).await;
        let announcements = &self.engine.announcements;
        let is_released = announcements.released().contains_key(&notice.id);
        if is_released {
            self.remove_released(&notice.upload.id, notice.id.clone())
                .await;
        }
    }

    async fn take_mark(&self, notice: &Notice) {
        let (storage, id) = (&self.engine.storage, &notice.upload.id);
        for _ in 0..ATTEMPTS {
            let marked = async {
                let mut upload = storage.load(id).await?;
                // An id may be another upload's by now.
                if !is_untold(&upload) || finish_of(&upload) != notice.id {
                    return Ok(());
                }
                upload.announcement = Announcement::None;
                storage.update(&upload).await.map(drop)
            };
            match marked.await {
                Err(storage::Error::Conflict(_) | storage::Error::Locked(_)) => {}
                Ok(()) | Err(storage::Error::NotFound(_)) => return,
                Err(error) => {
                    tracing::warn!(%id, %error, "it will be announced once more");
                    return;
                }
            }
        }
    }

    /// Removes a part that was joined; one whose finish is still to be told, after that.
    pub(super) async fn release(&self, part: &Upload) {
        let finish = finish_of(part);
        let announcements = &self.engine.announcements;
        announcements
            .released()
            .insert(finish.clone(), part.id.clone());
        self.remove_released(&part.id, finish).await;
    }

    /// Removes the parts that have been told meanwhile, be it by another node.
    pub(super) async fn remove_all_released(&self) {
        let released = self.engine.announcements.released().clone();
        for (finish, id) in released {
            self.remove_released(&id, finish).await;
        }
    }

    async fn remove_released(&self, id: &UploadId, finish: EventId) {
        // Who has it may have made another upload of its id; the next sweep looks at it again.
        let Some(_claim) = self.engine.sessions.try_claim(id) else {
            return;
        };
        let part = match self.load(id).await {
            Ok(part) if finish_of(&part) == finish => Some(part),
            Ok(_) | Err(Error::NotFound) => None,
            Err(_) => return,
        };
        let needed = self.engine.is_waited_for(id);
        if !needed && part.as_ref().is_some_and(|part| self.stays_untold(part)) {
            return;
        }
        self.engine.announcements.released().remove(&finish);
        if let Some(part) = part.filter(|_| !needed) {
            // What goes wrong is logged; it is removed when it expires.
            let _ = self.remove(&part, EventKind::Terminated).await;
        }
    }
}

impl Announcements {
    fn held(&self) -> MutexGuard<'_, HashSet<EventId>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn released(&self) -> MutexGuard<'_, HashMap<EventId, UploadId>> {
        self.released.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A finish that subscribers have, and that is told to nobody else until this is dropped.
struct Held {
    tus: TusService,
    notice: Notice,
}

impl Held {
    fn new(tus: TusService, notice: Notice) -> Self {
        tus.engine.announcements.held().insert(notice.id.clone());
        Self { tus, notice }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.tus.engine.announcements.held().remove(&self.notice.id);
    }
}

/// Whether an upload is finished, and that is still to be told.
pub(super) fn is_untold(upload: &Upload) -> bool {
    upload.is_finished() && upload.announcement == Announcement::Due
}

/// Whether two snapshots are of one upload: an id may be used again.
pub(super) fn is_same(one: &Upload, other: &Upload) -> bool {
    finish_of(one) == finish_of(other)
}

fn finish_of(upload: &Upload) -> EventId {
    EventId::new(EventKind::Finished, upload)
}
