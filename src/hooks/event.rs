use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use tokio::sync::oneshot;

use super::{EventId, Hook};
use crate::protocol::Upload;

/// Something that happened to an upload.
///
/// A [`Finished`](EventKind::Finished) event counts as delivered when whoever received it has dropped it and
/// its clones: hold it until it is dealt with, and a crash in between tells it again.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// Names it: the same again if it has to be told again.
    pub id: EventId,
    /// The upload, as it was then.
    pub upload: Upload,
    receipt: Option<Arc<Receipt>>,
}

/// What all clones of an event share: it goes when the last of them does.
#[derive(Debug)]
struct Receipt {
    received: AtomicBool,
    acknowledge: Option<oneshot::Sender<()>>,
}

impl Event {
    pub(crate) fn new(kind: EventKind, upload: &Upload) -> Self {
        Self {
            kind,
            id: EventId::new(kind, upload),
            upload: upload.clone(),
            receipt: None,
        }
    }

    /// An event, and what tells when it was dealt with.
    pub(crate) fn with_receipt(kind: EventKind, upload: &Upload) -> (Self, oneshot::Receiver<()>) {
        let (acknowledge, acknowledged) = oneshot::channel();
        let receipt = Receipt {
            received: AtomicBool::new(false),
            acknowledge: Some(acknowledge),
        };
        let event = Self {
            receipt: Some(Arc::new(receipt)),
            ..Self::new(kind, upload)
        };
        (event, acknowledged)
    }

    /// Somebody has it now.
    pub(crate) fn received(&self) {
        if let Some(receipt) = &self.receipt {
            receipt.received.store(true, Relaxed);
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if self.received.load(Relaxed)
            && let Some(acknowledge) = self.acknowledge.take()
        {
            // Whoever waited for it may have ended.
            let _ = acknowledge.send(());
        }
    }
}

/// What happened to an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// It was made.
    Created,
    /// Bytes have come. The offset is that of what was received, be it stored already or not.
    Progress,
    /// Its bytes are under its key.
    Finished,
    /// It was removed: by a client, or by the service because its creation failed or it was joined with others.
    Terminated,
    /// It was removed because nobody went on with it.
    Expired,
}

impl EventKind {
    /// Its name, e.g. `finished`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Progress => "progress",
            Self::Finished => "finished",
            Self::Terminated => "terminated",
            Self::Expired => "expired",
        }
    }

    /// The hook that is told of it, if there is one.
    pub(crate) fn hook(self) -> Option<Hook> {
        match self {
            Self::Created => Some(Hook::PostCreate),
            Self::Progress => Some(Hook::PostReceive),
            Self::Finished => Some(Hook::PostFinish),
            Self::Terminated => Some(Hook::PostTerminate),
            Self::Expired => None,
        }
    }
}
