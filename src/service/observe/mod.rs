//! What a service tells of itself: a span around each operation, an event for each turn in the life of
//! an upload, and, with the feature `metrics`, numbers.
//!
//! Nothing here shows what may be a secret: no field of the request but its id, no query, no metadata.

#[cfg(feature = "metrics")]
mod metrics;
#[cfg(not(feature = "metrics"))]
mod silent;

use http::{HeaderName, request};
use tracing::{Instrument, Span, debug, field, info_span};

#[cfg(feature = "metrics")]
pub(super) use self::metrics::{Received, Writer, described, hook, hook_failed, request};
#[cfg(not(feature = "metrics"))]
pub(super) use self::silent::{Received, Writer, described, hook, hook_failed, request};

#[cfg(feature = "metrics")]
use self::metrics as meters;
#[cfg(not(feature = "metrics"))]
use self::silent as meters;
use super::{Swept, handle::Answer};
use crate::protocol::{Error, Operation, Upload, UploadId};

/// One operation: a span that names it, its upload and its request, and its time.
#[derive(Debug)]
#[must_use]
pub(super) struct Watch {
    span: Span,
    /// Ends with this value, also if the client leaves before the answer.
    _timer: meters::Timer,
}

impl Watch {
    pub(super) fn new(operation: &Operation, head: &request::Parts) -> Self {
        let name = name(operation);
        Self {
            span: info_span!(
                "tus",
                operation = name,
                upload = subject(operation).map(field::display),
                request_id = request_id(head),
            ),
            _timer: meters::Timer::start(name),
        }
    }

    /// Does the work of the operation.
    pub(super) async fn over<T>(self, work: impl Future<Output = T>) -> T {
        work.instrument(self.span.clone()).await
    }
}

/// What an operation is called in spans and labels.
fn name(operation: &Operation) -> &'static str {
    match operation {
        Operation::Discover => "discover",
        Operation::Create(_) => "create",
        Operation::Inspect(_) => "inspect",
        Operation::Append(_) => "append",
        Operation::Terminate(_) => "terminate",
        Operation::Download(_) => "download",
    }
}

/// The upload that an operation is about, if there is one already.
fn subject(operation: &Operation) -> Option<&UploadId> {
    match operation {
        Operation::Discover | Operation::Create(_) => None,
        Operation::Inspect(id) | Operation::Terminate(id) => Some(id),
        Operation::Append(append) => Some(&append.id),
        Operation::Download(download) => Some(&download.id),
    }
}

/// An upload that is about to be created has its id now.
pub(super) fn drafted(upload: &Upload) {
    Span::current().record("upload", field::display(&upload.id));
}

/// A request was answered.
pub(super) fn answered(answer: &Answer) {
    if let Err(refusal) = answer {
        meters::refused(&refusal.error);
        debug!(error = %refusal.error, "refused");
    }
}

pub(super) fn created(upload: &Upload) {
    meters::created();
    debug!(id = %upload.id, length = ?upload.length, "upload created");
}

pub(super) fn finished(upload: &Upload) {
    meters::finished();
    debug!(id = %upload.id, length = upload.offset, "upload finished");
}

pub(super) fn terminated(id: &UploadId) {
    meters::terminated();
    debug!(%id, "upload terminated");
}

/// A writer was ended by something other than its body.
pub(super) fn ended(error: &Error) {
    if *error == Error::Superseded {
        meters::takeover();
    }
}

pub(super) fn swept(swept: &Swept) {
    meters::swept(*swept);
    if *swept != Swept::default() {
        tracing::info!(uploads = swept.uploads, bytes = swept.bytes, "swept");
    }
}

/// The name that a proxy, or the client, gave the request; as much of it as may stand in a log.
fn request_id(head: &request::Parts) -> Option<&str> {
    let id = head.headers.get(REQUEST_ID)?.to_str().ok()?;
    (id.len() <= LONGEST_REQUEST_ID).then_some(id)
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longer than any UUID or trace, in bytes.
const LONGEST_REQUEST_ID: usize = 128;
