use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use tokio::sync::oneshot;

use super::{EventId, Hook};
use crate::protocol::Upload;

/// Something that happened to an upload.
///
/// A [`Finished`](EventKind::Finished) event counts as delivered when every subscriber of that time has received
/// it, and has dropped it and its clones: hold it until it is dealt with, and a crash or a panic in between tells
/// it again, to all.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// Names it: the same again if it has to be told again.
    pub id: EventId,
    /// The upload, as it was then.
    pub upload: Upload,
    receipt: Option<Receipt>,
}

/// What comes back of an event.
#[derive(Debug, Clone)]
enum Receipt {
    /// On its way to subscribers.
    Blank(Arc<Acknowledgement>),
    /// With one of them.
    Signed(#[expect(dead_code, reason = "it counts when it is dropped")] Arc<Signature>),
}

/// What one subscriber has, with all clones.
#[derive(Debug)]
struct Signature(Arc<Acknowledgement>);

/// What all subscribers share: it goes when the last of them has dropped the event, or will never have it.
#[derive(Debug)]
struct Acknowledgement {
    subscribers: usize,
    signed: AtomicUsize,
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

    /// An event for so many subscribers, and what tells when all of them have dealt with it.
    pub(crate) fn with_receipt(
        kind: EventKind,
        upload: &Upload,
        subscribers: usize,
    ) -> (Self, oneshot::Receiver<()>) {
        let (acknowledge, acknowledged) = oneshot::channel();
        let acknowledgement = Acknowledgement {
            subscribers,
            signed: AtomicUsize::new(0),
            acknowledge: Some(acknowledge),
        };
        let event = Self {
            receipt: Some(Receipt::Blank(Arc::new(acknowledgement))),
            ..Self::new(kind, upload)
        };
        (event, acknowledged)
    }

    /// The event of a subscriber who has it now.
    pub(crate) fn received(mut self) -> Self {
        if let Some(Receipt::Blank(shared)) = self.receipt {
            self.receipt = Some(Receipt::Signed(Arc::new(Signature(shared))));
        }
        self
    }
}

impl Drop for Signature {
    fn drop(&mut self) {
        // Who panics over it has not dealt with it.
        if !thread::panicking() {
            self.0.signed.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Acknowledgement {
    fn drop(&mut self) {
        if *self.signed.get_mut() >= self.subscribers
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
