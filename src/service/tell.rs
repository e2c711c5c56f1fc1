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

use super::{TusService, announce::is_untold, chain::Told, observe};
use crate::{
    hooks::{EventKind, Hook, Notice},
    protocol::{Upload, UploadId},
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
    /// Comes when all subscribers have dealt with the event.
    receipt: Option<oneshot::Receiver<()>>,
}

/// How many `post_` hooks run at once.
const TURNS: usize = 1_024;

/// How many notices wait at most. More are not told, but those that are kept with their upload are told
/// later.
const WAITING: usize = 1 << 16;

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
        let receipt = match kind == EventKind::Finished && is_untold(upload) {
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
        // Made before the task is: a runtime that ends may drop it before it has begun.
        let queue = Queue::new(self.clone(), id);
        self.engine
            .tasks
            .spawn(async move { queue.tell_all().await });
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
        match told {
            Told::Stop(rejection) => self.stop(&notice.upload, rejection).await,
            Told::All if kind == EventKind::Finished => self.finish_told(notice, receipt).await,
            Told::All | Told::NotAll => {}
        }
    }
}

/// The queue of one upload, while it is worked on.
///
/// A runtime that ends drops the task that does. What it has not told is forgotten then, so that the next
/// thing starts another task; what is kept with the upload is told by that.
struct Queue {
    tus: TusService,
    id: UploadId,
    ended: bool,
}

impl Queue {
    fn new(tus: TusService, id: UploadId) -> Self {
        Self {
            tus,
            id,
            ended: false,
        }
    }

    /// Tells of one upload what there is to be told, in its order.
    async fn tell_all(mut self) {
        while let Some(item) = self.next() {
            let span = observe::background("tell", &self.id, item.notice.request.as_deref());
            self.tus.deliver(item).instrument(span).await;
        }
    }

    /// The next thing to be told; when there is none, the queue ends.
    fn next(&mut self) -> Option<Item> {
        let telling = &self.tus.engine.telling;
        let mut queues = telling.queues();
        let item = queues.get_mut(&self.id)?.pop_front();
        match item {
            Some(_) => {
                telling.waiting.fetch_sub(1, Relaxed);
            }
            None => {
                queues.remove(&self.id);
                self.ended = true;
            }
        }
        item
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // One that has ended may be another task's by now.
        if !self.ended
            && let telling = &self.tus.engine.telling
            && let Some(untold) = telling.queues().remove(&self.id)
        {
            telling.waiting.fetch_sub(untold.len(), Relaxed);
        }
    }
}

impl Telling {
    /// Whether something is being told of an upload.
    pub(super) fn is_at(&self, id: &UploadId) -> bool {
        self.queues().contains_key(id)
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
