//! Telling the application what has happened, in the background.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::{
    sync::{Semaphore, oneshot},
    time::{Duration, Instant},
};
use tracing::Instrument;

use super::{TusService, chain::Told, observe};
use crate::{
    hooks::{EventKind, Hook, Notice},
    protocol::{Announcement, Upload, UploadId},
    storage,
};

/// What is still to be told. Each upload has its own order.
#[derive(Debug)]
pub(super) struct Telling {
    queues: Mutex<HashMap<UploadId, VecDeque<Item>>>,
    waiting: AtomicUsize,
    /// How many hooks are told at once.
    turns: Semaphore,
}

#[derive(Debug)]
struct Item {
    kind: EventKind,
    notice: Notice,
    /// Comes when a subscriber has dealt with the event.
    receipt: Option<oneshot::Receiver<()>>,
}

/// How many `post_` hooks run at once.
const TURNS: usize = 1_024;

/// How many notices wait at most. More are not told, but those that are kept with their upload are told
/// later.
const WAITING: usize = 1 << 16;

/// How often an upload may change between being read and being marked as announced.
const ATTEMPTS: usize = 5;

impl Default for Telling {
    fn default() -> Self {
        Self {
            queues: Mutex::default(),
            waiting: AtomicUsize::new(0),
            turns: Semaphore::new(TURNS),
        }
    }
}

impl TusService {
    /// Tells subscribers and hooks what has happened to an upload. Waits for nobody.
    pub(super) fn tell(&self, kind: EventKind, upload: &Upload) {
        let due = kind == EventKind::Finished && upload.announcement == Announcement::Due;
        let receipt = match due {
            true => self.engine.bus.send_for_receipt(kind, upload),
            false => {
                self.engine.bus.send(kind, upload);
                None
            }
        };
        let wanted = kind
            .hook()
            .is_some_and(|hook| self.config.hooks.wants(hook));
        if wanted || receipt.is_some() {
            let notice = Notice::new(kind, upload, self.request.clone());
            self.enqueue(Item {
                kind,
                notice,
                receipt,
            });
        }
    }

    /// Whether anybody wants to know when an upload is finished.
    pub(super) fn announcement(&self) -> Announcement {
        let wanted = self.config.hooks.wants(Hook::PostFinish) || self.engine.bus.is_used();
        match wanted {
            true => Announcement::Due,
            false => Announcement::None,
        }
    }

    /// Tells of a finish again that a crash has kept from being told, or that nobody has heard.
    pub(super) async fn tell_again(&self, id: &UploadId) {
        // Whoever finishes it just now tells of it.
        let Some(_claim) = self.engine.sessions.try_claim(id) else {
            return;
        };
        if self.engine.telling.queues().contains_key(id) {
            return;
        }
        // It may have been told since it was found.
        if let Ok(upload) = self.load(id).await
            && upload.announcement == Announcement::Due
        {
            self.tell(EventKind::Finished, &upload);
        }
    }

    /// What tells of the progress of a body, if anybody wants to know.
    pub(super) fn progress(&self) -> Option<Progress<'_>> {
        let wanted =
            self.config.hooks.wants(Hook::PostReceive) || self.engine.bus.has_subscribers();
        wanted.then(|| Progress {
            tus: self,
            every: self.config.progress_interval,
            last: Instant::now(),
        })
    }

    fn enqueue(&self, item: Item) {
        let telling = &self.engine.telling;
        if telling.waiting.load(Relaxed) >= WAITING {
            tracing::warn!(event = %item.notice.id, "too much is still to be told");
            return;
        }
        let id = item.notice.upload.id.clone();
        match telling.queues().entry(id.clone()) {
            Entry::Occupied(mut queue) => {
                let queue = queue.get_mut();
                // What was not told yet of the progress is old.
                if item.kind == EventKind::Progress
                    && let Some(last) = queue.back_mut()
                    && last.kind == EventKind::Progress
                {
                    *last = item;
                    return;
                }
                queue.push_back(item);
                telling.waiting.fetch_add(1, Relaxed);
                return;
            }
            Entry::Vacant(queue) => {
                queue.insert(VecDeque::from([item]));
                telling.waiting.fetch_add(1, Relaxed);
            }
        }
        let tus = self.clone();
        self.engine
            .tasks
            .spawn(async move { tus.tell_all(id).await });
    }

    /// Tells of one upload what there is to be told, in its order.
    async fn tell_all(&self, id: UploadId) {
        let mut queue = self.engine.telling.queue(id);
        while let Some(item) = queue.next() {
            let span = observe::background("tell", &queue.id, item.notice.request.as_deref());
            self.deliver(item).instrument(span).await;
        }
    }

    async fn deliver(&self, item: Item) {
        let Item {
            kind,
            notice,
            receipt,
        } = item;
        let Some(hook) = kind.hook() else { return };
        let turn = self.engine.telling.turns.acquire().await;
        let told = self.config.hooks.tell(hook, &notice).await;
        drop(turn);
        if let Told::Stop(rejection) = told {
            self.stop(&notice.upload.id, rejection).await;
            return;
        }
        let received = match receipt {
            Some(receipt) => tokio::select! {
                biased;
                received = receipt => received.is_ok(),
                () = self.engine.stop.cancelled() => false,
            },
            None => true,
        };
        let due = kind == EventKind::Finished && notice.upload.announcement == Announcement::Due;
        if due && received && told == Told::All {
            self.announced(&notice.upload.id).await;
        }
    }

    /// Takes the mark away: all were told.
    async fn announced(&self, id: &UploadId) {
        let storage = &self.engine.storage;
        for _ in 0..ATTEMPTS {
            let marked = async {
                let mut upload = storage.load(id).await?;
                if upload.announcement == Announcement::None {
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
}

/// The queue of one upload, while it is worked on.
///
/// A runtime that ends drops the task that does. What it has not told is forgotten then, so that the next
/// thing starts another task; what is kept with the upload is told by that.
struct Queue<'t> {
    telling: &'t Telling,
    id: UploadId,
    ended: bool,
}

impl Queue<'_> {
    /// The next thing to be told; when there is none, the queue ends.
    fn next(&mut self) -> Option<Item> {
        let mut queues = self.telling.queues();
        let item = queues.get_mut(&self.id)?.pop_front();
        match item {
            Some(_) => {
                self.telling.waiting.fetch_sub(1, Relaxed);
            }
            None => {
                queues.remove(&self.id);
                self.ended = true;
            }
        }
        item
    }
}

impl Drop for Queue<'_> {
    fn drop(&mut self) {
        // One that has ended may be another task's by now.
        if !self.ended
            && let Some(untold) = self.telling.queues().remove(&self.id)
        {
            self.telling.waiting.fetch_sub(untold.len(), Relaxed);
        }
    }
}

impl Telling {
    fn queue(&self, id: UploadId) -> Queue<'_> {
        Queue {
            telling: self,
            id,
            ended: false,
        }
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<UploadId, VecDeque<Item>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells now and then how much of a body has come.
#[derive(Debug)]
pub(super) struct Progress<'s> {
    tus: &'s TusService,
    every: Duration,
    last: Instant,
}

impl Progress<'_> {
    /// The upload has received everything before `offset`.
    pub(super) fn received(&mut self, upload: &Upload, offset: u64) {
        let now = Instant::now();
        if now.duration_since(self.last) < self.every {
            return;
        }
        self.last = now;
        let mut upload = upload.clone();
        upload.offset = offset;
        self.tus.tell(EventKind::Progress, &upload);
    }
}
