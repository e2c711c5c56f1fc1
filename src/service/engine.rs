use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    TusService,
    announce::Announcements,
    joined::Joined,
    ledger::Ledger,
    observe,
    session::{Claim, Denied, Sessions, Takeover},
    tell::Telling,
};
use crate::{
    hooks::Bus,
    protocol::{Error, Extension, Kind, Oversized, Upload, UploadId},
    storage::{self, Storage},
};

/// What all clones of a service share, and what its detached tasks need.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) sessions: Arc<Sessions>,
    /// Everything that must not be cut.
    pub(super) tasks: TaskTracker,
    /// Ends all writers, and the sweeper.
    pub(super) stop: CancellationToken,
    pub(super) sweeper: Mutex<Option<JoinHandle<()>>>,
    /// All final uploads that wait for parts are known.
    pub(super) known: CancellationToken,
    /// Final uploads whose parts are no more.
    pub(super) joined: Joined,
    pub(super) bus: Bus,
    pub(super) telling: Telling,
    pub(super) announcements: Announcements,
    pub(super) ledger: Ledger,
    writers: AtomicUsize,
    /// The final uploads that wait for a part.
    waiting: Mutex<HashMap<UploadId, Vec<UploadId>>>,
    /// Uploads that a crash left behind, and that nobody has tried to put in place yet.
    unplaced: Mutex<HashSet<UploadId>>,
    /// The complete uploads whose finish the application has refused for good.
    vetoed: Mutex<HashSet<UploadId>>,
}

impl Engine {
    pub(super) fn new(storage: impl Storage) -> Self {
        Self {
            storage: Arc::new(storage),
            sessions: Arc::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            sweeper: Mutex::default(),
            known: CancellationToken::new(),
            joined: Joined::default(),
            bus: Bus::default(),
            telling: Telling::default(),
            announcements: Announcements::default(),
            unplaced: Mutex::default(),
            ledger: Ledger::default(),
            writers: AtomicUsize::new(0),
            waiting: Mutex::default(),
            vetoed: Mutex::default(),
        }
    }

    /// Notes that a final upload waits for its parts.
    pub(super) fn wait_for(&self, joined: &Upload) {
        let Kind::Final(concat) = &joined.kind else {
            return;
        };
        let mut waiting = self.waiting();
        for part in concat.parts() {
            let finals = waiting.entry(part.clone()).or_default();
            if !finals.contains(&joined.id) {
                finals.push(joined.id.clone());
            }
        }
    }

    /// The final uploads that wait for `part`.
    pub(super) fn waiting_for(&self, part: &UploadId) -> Vec<UploadId> {
        self.waiting().get(part).cloned().unwrap_or_default()
    }

    /// A final upload has its parts, or will never need them.
    pub(super) fn stop_waiting(&self, joined: &Upload) {
        let Kind::Final(concat) = &joined.kind else {
            return;
        };
        let mut waiting = self.waiting();
        for part in concat.parts() {
            if let Some(finals) = waiting.get_mut(part) {
                finals.retain(|id| *id != joined.id);
                if finals.is_empty() {
                    waiting.remove(part);
                }
            }
        }
    }

    /// Whether a final upload still waits for `part`.
    pub(super) fn is_waited_for(&self, part: &UploadId) -> bool {
        self.waiting().contains_key(part)
    }

    /// Whether nobody but a client should try to finish an upload.
    pub(super) fn is_vetoed(&self, id: &UploadId) -> bool {
        self.vetoed().contains(id)
    }

    pub(super) fn unplaced(&self) -> MutexGuard<'_, HashSet<UploadId>> {
        self.unplaced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All final uploads that wait for parts.
    pub(super) fn waiting_finals(&self) -> HashSet<UploadId> {
        self.waiting().values().flatten().cloned().collect()
    }

    /// A final upload is no more, or has its parts.
    pub(super) fn forget_waiting(&self, joined: &UploadId) {
        self.waiting().retain(|_, finals| {
            finals.retain(|id| id != joined);
            !finals.is_empty()
        });
    }

    pub(super) fn vetoed(&self) -> MutexGuard<'_, HashSet<UploadId>> {
        self.vetoed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<UploadId, Vec<UploadId>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the writers that are allowed at a time.
#[derive(Debug)]
#[must_use]
pub(super) struct Admission {
    engine: Arc<Engine>,
    _counted: observe::Writer,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.engine.writers.fetch_sub(1, Relaxed);
    }
}

impl TusService {
    /// Lets one more writer in, if there may be one.
    pub(super) fn admit(&self) -> Result<Admission, Error> {
        if self.engine.stop.is_cancelled() {
            return Err(Error::ShuttingDown);
        }
        let admission = Admission {
            engine: Arc::clone(&self.engine),
            _counted: observe::Writer::new(),
        };
        match self.engine.writers.fetch_add(1, Relaxed) < self.config.offer.limits.max_writers {
            true => Ok(admission),
            false => Err(Error::Overloaded),
        }
    }

    /// The upload, as it is stored.
    pub(super) async fn load(&self, id: &UploadId) -> Result<Upload, Error> {
        let upload = self.engine.storage.load(id).await.map_err(refusal)?;
        Ok(self.as_offered(upload))
    }

    /// The upload as the storage has it in mind, which may be old.
    pub(super) fn recall(&self, id: &UploadId) -> Option<Upload> {
        let upload = self.engine.storage.recall(id)?;
        Some(self.as_offered(upload))
    }

    pub(super) fn as_offered(&self, mut upload: Upload) -> Upload {
        if !self.config.offer.offers(Extension::Expiration) {
            // Nobody is told, so nothing expires.
            upload.lifetime = None;
        }
        upload
    }

    /// The service, for work that no request waits for.
    pub(super) fn unasked(&self) -> Self {
        Self {
            request: None,
            ..self.clone()
        }
    }

    /// Waits for the right to write to an upload.
    pub(super) async fn claim(&self, id: &UploadId, takeover: Takeover) -> Result<Claim, Error> {
        self.engine
            .sessions
            .claim(id, takeover)
            .await
            .map_err(|denied| match denied {
                Denied::Refused => Error::OffsetMismatch,
                Denied::Busy => Error::Finishing,
            })
    }
}

/// What a failure of the storage is to a client. What it is to us is logged, once, here.
pub(super) fn refusal(error: storage::Error) -> Error {
    use std::error::Error as _;

    match error {
        storage::Error::NotFound(_) => Error::NotFound,
        storage::Error::AlreadyExists(_) => Error::KeyTaken,
        storage::Error::Conflict(_) => Error::OffsetMismatch,
        storage::Error::Superseded(_) => Error::Superseded,
        storage::Error::Locked(_) => Error::Locked,
        storage::Error::TooLong(_) => Error::TooLarge(Oversized::Upload),
        storage::Error::NoSpace(source) => {
            tracing::error!(error = %source, "no space is left");
            Error::NoSpace
        }
        error => {
            let source = error.source().map(tracing::field::display);
            tracing::error!(%error, source, "the storage failed");
            Error::Internal
        }
    }
}
