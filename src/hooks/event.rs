use super::EventId;
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
    /// A client has removed it.
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
}
