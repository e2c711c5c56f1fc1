use std::{error::Error, fmt, sync::Arc, time::UNIX_EPOCH};

use http::request;

use super::EventKind;
use crate::protocol::Upload;

/// What a `post_` hook is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Notice {
    /// Names what happened: the same again if it has to be told again.
    pub id: EventId,
    /// The upload, as it was then.
    pub upload: Upload,
    /// The head of the request that did it; `None` if none did, or that is not known any more.
    pub request: Option<Arc<request::Parts>>,
}

impl Notice {
    pub(crate) fn new(
        kind: EventKind,
        upload: &Upload,
        request: Option<Arc<request::Parts>>,
    ) -> Self {
        Self {
            id: EventId::new(kind, upload),
            upload: upload.clone(),
            request,
        }
    }
}

/// Names one event of one upload: visible ASCII, the same whenever and by whichever process it is told.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Arc<str>);

impl EventId {
    pub(crate) fn new(kind: EventKind, upload: &Upload) -> Self {
        // An id may be used again once its upload is gone.
        let created = upload.created.duration_since(UNIX_EPOCH);
        let created = created.unwrap_or_default().as_millis();
        let (id, name) = (&upload.id, kind.name());
        Self(match kind {
            EventKind::Progress => format!("{id}.{created}.{name}.{}", upload.offset).into(),
            _ => format!("{id}.{created}.{name}").into(),
        })
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A notice did not reach whom it is for: it will be told again.
#[derive(Debug)]
pub struct Undelivered(Box<dyn Error + Send + Sync>);

impl Undelivered {
    /// Because of `source`, which is logged.
    #[must_use]
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the notice was not delivered")
    }
}

impl Error for Undelivered {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.0.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Length;

    #[test]
    fn an_event_has_the_same_id_after_a_restart_and_another_for_a_later_upload() {
        let at = |nanoseconds: u64| {
            let created = UNIX_EPOCH + std::time::Duration::from_nanos(nanoseconds);
            Upload::new("a".parse().unwrap(), Length::Known(7), created)
        };
        let id = |upload: &Upload| EventId::new(EventKind::Finished, upload);
        assert_eq!(id(&at(5_000_001)), id(&at(5_000_000)));
        assert_ne!(id(&at(5_000_000)), id(&at(6_000_000)));
        assert_eq!(id(&at(5_000_000)).as_str(), "a.5.finished");
    }
}
