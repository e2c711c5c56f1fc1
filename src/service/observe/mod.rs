//! What a service tells of itself: a span around each operation, an event for each turn in the life of
//! an upload, and, with the feature `metrics`, numbers.
//!
//! Nothing here shows what may be a secret: no field of the request but its id, no query, no metadata.

#[cfg(feature = "metrics")]
mod metrics;
#[cfg(not(feature = "metrics"))]
mod silent;

use http::{HeaderName, request};
use tracing::{Instrument, Span, debug, error_span, field};

#[cfg(feature = "metrics")]
pub(super) use self::metrics::{Received, Writer, described, hook, hook_failed, request};
#[cfg(not(feature = "metrics"))]
pub(super) use self::silent::{Received, Writer, described, hook, hook_failed, request};

#[cfg(feature = "metrics")]
use self::metrics as meters;
#[cfg(not(feature = "metrics"))]
use self::silent as meters;
use super::{Swept, TusBody, handle::Answer};
use crate::protocol::{Error, Operation, Upload, UploadId};

/// One request: a span that names its operation, its upload and itself, and its time.
#[derive(Debug)]
#[must_use]
pub(super) struct Watch {
    span: Span,
    /// Ends with this value, also if the client leaves before the answer.
    _timer: Option<meters::Timer>,
}

impl Watch {
    /// `None` is a request that makes no sense.
    pub(super) fn new(operation: Option<&Operation>, head: &request::Parts) -> Self {
        let name = operation.map(name);
        let upload = operation.and_then(subject);
        Self {
            span: span(name, upload, Some(head)),
            _timer: name.map(meters::Timer::start),
        }
    }

    /// Does the work of the request.
    pub(super) async fn over(
        self,
        work: impl Future<Output = (Answer, TusBody)>,
    ) -> (Answer, TusBody) {
        let watched = async {
            let (answer, body) = work.await;
            answered(&answer);
            (answer, body)
        };
        watched.instrument(self.span.clone()).await
    }
}

/// A span for what is done about an upload while no request waits for it. The request is the one it
/// goes back to.
pub(super) fn background(
    operation: &'static str,
    upload: &UploadId,
    request: Option<&request::Parts>,
) -> Span {
    span(Some(operation), Some(upload), request)
}

/// Of the level of errors: whatever is logged is to have it.
fn span(
    operation: Option<&'static str>,
    upload: Option<&UploadId>,
    request: Option<&request::Parts>,
) -> Span {
    error_span!(
        "tus",
        operation,
        upload = upload.map(field::display),
        request_id = request.and_then(request_id),
    )
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

/// An upload that is about to be created has its id, and keeps it.
pub(super) fn drafted(upload: &Upload) {
    Span::current().record("upload", field::display(&upload.id));
}

fn answered(answer: &Answer) {
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

/// A writer did not take all of its body: a newer request on this node may have ended it, or one on
/// another.
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
