//! Telling the application what has happened, in the background.

use std::{
    collections::{HashMap, HashSet, VecDeque, hash_map::Entry},
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
    hooks::{EventId, EventKind, Hook, Notice},
    protocol::{Announcement, Upload, UploadId},
    storage,
};

/// What is still to be told. Each upload has its own order.
#[derive(Debug)]
pub(super) struct Telling {
    queues: Mutex<HashMap<UploadId, VecDeque<Item>>>,
    waiting: AtomicUsize,
    /// Finishes that subscribers have not dealt with yet.
    held: Mutex<HashSet<EventId>>,
    /// Finishes of parts that are to be removed once they are told.
    released: Mutex<HashSet<EventId>>,
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
            held: Mutex::default(),
            released: Mutex::default(),
            turns: Semaphore::new(TURNS),
        }
    }
}

impl TusService {
    /// Tells subscribers and hooks what has happened to an upload. Waits for nobody.
    pub(super) fn tell(&self, kind: EventKind, upload: &Upload) {
        let receipt = match kind == EventKind::Finished && is_due(upload) {
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
        let wanted = self.config.hooks.wants(Hook::PostFinish) || self.engine.bus.has_subscribers();
        match wanted {
            true => Announcement::Due,
            false => Announcement::None,
        }
    }

    /// Whether somebody is still to be told that an upload is finished.
    pub(super) fn is_untold(&self, upload: &Upload) -> bool {
        is_due(upload) && self.announcement() == Announcement::Due
    }

    /// Removes a part that was joined, unless another final upload waits for it; one whose finish is still to
    /// be told, after that.
    pub(super) async fn remove_joined(&self, part: &Upload) {
        if self.engine.is_waited_for(&part.id) {
            return;
        }
        let finish = finish_of(part);
        if self.is_untold(part) {
            self.engine.telling.released().insert(finish.clone());
            // It may have been told just now.
            let told = match self.load(&part.id).await {
                Ok(now) => !self.is_untold(&now),
                Err(_) => false,
            };
            if !told || !self.engine.telling.released().remove(&finish) {
                return;
            }
        }
        // What goes wrong is logged; it is removed when it expires.
        let _ = self.remove(part, EventKind::Terminated).await;
    }

    /// Tells of a finish again that a crash has kept from being told, or that nobody has heard.
    pub(super) async fn tell_again(&self, found: &Upload) {
        // Whoever finishes it just now tells of it.
        let Some(_claim) = self.engine.sessions.try_claim(&found.id) else {
            return;
        };
        if self.engine.telling.is_at(found) {
            return;
        }
        // It may have been told since it was found.
        if let Ok(upload) = self.load(&found.id).await
            && is_due(&upload)
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
        if kind != EventKind::Finished || !is_due(&notice.upload) || told != Told::All {
            return;
        }
        match receipt {
            None => self.announced(&notice).await,
            // What else there is to be told of the upload does not wait for whoever reads events.
            Some(receipt) => {
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
        }
    }

    /// All were told: takes the mark away, and the upload too if it is not needed any more.
    async fn announced(&self, notice: &Notice) {
        self.take_mark(notice).await;
        if self.engine.telling.released().remove(&notice.id) {
            self.remove_joined(&notice.upload).await;
        }
    }

    async fn take_mark(&self, notice: &Notice) {
        let (storage, id) = (&self.engine.storage, &notice.upload.id);
        for _ in 0..ATTEMPTS {
            let marked = async {
                let mut upload = storage.load(id).await?;
                // An id may be another upload's by now.
                if !is_due(&upload) || finish_of(&upload) != notice.id {
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

/// A finish that subscribers have, and that is told to nobody else until this is dropped.
struct Held {
    tus: TusService,
    notice: Notice,
}

impl Held {
    fn new(tus: TusService, notice: Notice) -> Self {
        tus.engine.telling.held().insert(notice.id.clone());
        Self { tus, notice }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.tus.engine.telling.held().remove(&self.notice.id);
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

    /// Whether the finish of an upload is being told, or dealt with.
    fn is_at(&self, upload: &Upload) -> bool {
        self.queues().contains_key(&upload.id) || self.held().contains(&finish_of(upload))
    }

    fn held(&self) -> MutexGuard<'_, HashSet<EventId>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn released(&self) -> MutexGuard<'_, HashSet<EventId>> {
        self.released.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<UploadId, VecDeque<Item>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an upload is finished, and that is still to be told.
fn is_due(upload: &Upload) -> bool {
    upload.is_finished() && upload.announcement == Announcement::Due
}

fn finish_of(upload: &Upload) -> EventId {
    EventId::new(EventKind::Finished, upload)
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
