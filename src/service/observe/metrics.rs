//! Numbers, told to whatever recorder the program has installed for the facade [`metrics`].
//!
//! Where tusd has a name for something, it has that name here: dashboards for tusd go on working.

use std::time::Instant;

use ::metrics::{
    Counter, Gauge, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use http::Method;

use crate::{
    hooks::Hook,
    protocol::{
        Error, Oversized, PartError,
        header::{UPLOAD_CONCAT, UPLOAD_DEFER_LENGTH, UPLOAD_LENGTH, UPLOAD_OFFSET},
    },
    service::Swept,
};

const REQUESTS: &str = "tusd_requests_total";
const ERRORS: &str = "tusd_errors_total";
const BYTES_RECEIVED: &str = "tusd_bytes_received";
const CREATED: &str = "tusd_uploads_created";
const FINISHED: &str = "tusd_uploads_finished";
const TERMINATED: &str = "tusd_uploads_terminated";
const DURATION: &str = "tus_request_duration_seconds";
const WRITERS: &str = "tus_writers";
const TAKEOVERS: &str = "tus_takeovers_total";
const SWEEPS: &str = "tus_sweeps_total";
const EXPIRED: &str = "tus_uploads_expired_total";
const BYTES_RECLAIMED: &str = "tus_bytes_reclaimed_total";
const HOOK_INVOCATIONS: &str = "tusd_hook_invocations_total";
const HOOK_ERRORS: &str = "tusd_hook_errors_total";

/// Says what the numbers mean, and puts those without labels at nought, so that they are there before
/// anything happens.
pub(in crate::service) fn described() {
    describe_counter!(REQUESTS, Unit::Count, "Requests, by method.");
    describe_counter!(
        ERRORS,
        Unit::Count,
        "Refused requests, by status and tusd's code of the reason."
    );
    describe_counter!(BYTES_RECEIVED, Unit::Bytes, "Bytes taken for uploads.");
    describe_counter!(CREATED, Unit::Count, "Uploads created.");
    describe_counter!(FINISHED, Unit::Count, "Uploads finished.");
    describe_counter!(
        TERMINATED,
        Unit::Count,
        "Uploads terminated by their clients, or stopped by a hook."
    );
    describe_histogram!(
        DURATION,
        Unit::Seconds,
        "From a request's head to its answer, or to its client's leaving, by operation."
    );
    describe_gauge!(WRITERS, Unit::Count, "Requests that write at this moment.");
    describe_counter!(
        TAKEOVERS,
        Unit::Count,
        "Writers that ended for a newer request."
    );
    describe_counter!(SWEEPS, Unit::Count, "Sweeps for expired uploads.");
    describe_counter!(EXPIRED, Unit::Count, "Expired uploads that were removed.");
    describe_counter!(
        BYTES_RECLAIMED,
        Unit::Bytes,
        "Bytes that sweeps have removed."
    );
    describe_counter!(HOOK_INVOCATIONS, Unit::Count, "Calls of hooks, by hook.");
    describe_counter!(
        HOOK_ERRORS,
        Unit::Count,
        "Calls of hooks that failed, took too long, panicked or refused with 5xx, by hook."
    );
    for name in [
        BYTES_RECEIVED,
        CREATED,
        FINISHED,
        TERMINATED,
        TAKEOVERS,
        SWEEPS,
        EXPIRED,
        BYTES_RECLAIMED,
    ] {
        counter!(name).increment(0);
    }
    gauge!(WRITERS).increment(0.0);
}

pub(in crate::service) fn request(method: &Method) {
    let method = METHODS
        .iter()
        .find(|known| **known == method.as_str())
        .unwrap_or(&"other");
    counter!(REQUESTS, "method" => *method).increment(1);
}

pub(super) fn refused(error: &Error) {
    let status = error.status().as_u16().to_string();
    counter!(ERRORS, "status" => status, "code" => code(error)).increment(1);
}

pub(super) fn created() {
    counter!(CREATED).increment(1);
}

pub(super) fn finished() {
    counter!(FINISHED).increment(1);
}

pub(super) fn terminated() {
    counter!(TERMINATED).increment(1);
}

pub(super) fn swept(swept: Swept) {
    counter!(SWEEPS).increment(1);
    counter!(EXPIRED).increment(swept.uploads);
    counter!(BYTES_RECLAIMED).increment(swept.bytes);
}

/// A hook is called.
pub(in crate::service) fn hook(hook: Hook) {
    counter!(HOOK_INVOCATIONS, "hooktype" => hook.name()).increment(1);
}

/// A hook has failed.
pub(in crate::service) fn hook_failed(hook: Hook) {
    counter!(HOOK_ERRORS, "hooktype" => hook.name()).increment(1);
}

/// A writer has handed over.
pub(super) fn takeover() {
    counter!(TAKEOVERS).increment(1);
}

/// A writer more, until this is dropped.
#[derive(Debug)]
#[must_use]
pub(in crate::service) struct Writer(Gauge);

impl Writer {
    pub(in crate::service) fn new() -> Self {
        let writers = gauge!(WRITERS);
        writers.increment(1.0);
        Self(writers)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Measures until it is dropped: also requests whose client leaves.
#[derive(Debug)]
#[must_use]
pub(super) struct Timer {
    started: Instant,
    operation: &'static str,
}

impl Timer {
    pub(super) fn start(operation: &'static str) -> Self {
        Self {
            started: Instant::now(),
            operation,
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        histogram!(DURATION, "operation" => self.operation).record(self.started.elapsed());
    }
}

/// Counts bytes while they come; looked up once per body.
#[derive(Debug)]
pub(in crate::service) struct Received(Counter);

impl Received {
    pub(in crate::service) fn new() -> Self {
        Self(counter!(BYTES_RECEIVED))
    }

    pub(in crate::service) fn add(&self, bytes: usize) {
        self.0.increment(bytes as u64);
    }
}

/// What may be a label: a stranger's method would be a new number each.
const METHODS: [&str; 7] = ["OPTIONS", "POST", "HEAD", "PATCH", "DELETE", "GET", "PUT"];

/// The reason as tusd names it, or in its way where it has no name.
fn code(error: &Error) -> &'static str {
    match error {
        Error::Version => "ERR_UNSUPPORTED_VERSION",
        Error::MissingHeader(name)
        | Error::InvalidHeader(name, _)
        | Error::RepeatedHeader(name) => match name {
            name if name == UPLOAD_LENGTH => "ERR_INVALID_UPLOAD_LENGTH",
            name if name == UPLOAD_OFFSET => "ERR_INVALID_OFFSET",
            name if name == UPLOAD_CONCAT => "ERR_INVALID_CONCAT",
            name if name == UPLOAD_DEFER_LENGTH => "ERR_INVALID_UPLOAD_LENGTH_DEFER",
            _ => "ERR_INVALID_HEADER",
        },
        Error::ContradictingHeaders(..) => "ERR_AMBIGUOUS_UPLOAD_LENGTH",
        Error::UnsupportedAlgorithm => "ERR_UNSUPPORTED_CHECKSUM_ALGORITHM",
        Error::MissingTrailer | Error::UnannouncedTrailer => "ERR_INVALID_TRAILER",
        Error::LengthMismatch | Error::LengthBelowOffset => "ERR_INVALID_UPLOAD_LENGTH",
        Error::Part(PartError::Unfinished) => "ERR_UPLOAD_NOT_FINISHED",
        Error::Part(_) => "ERR_INVALID_CONCAT",
        Error::InvalidKey => "ERR_INVALID_KEY",
        Error::Interrupted => "ERR_UNEXPECTED_EOF",
        Error::FinalUpload => "ERR_MODIFY_FINAL",
        Error::NotFound => "ERR_UPLOAD_NOT_FOUND",
        Error::MethodNotAllowed(_) => "ERR_METHOD_NOT_ALLOWED",
        Error::Stalled => "ERR_READ_TIMEOUT",
        Error::OffsetMismatch => "ERR_MISMATCHED_OFFSET",
        Error::Superseded => "ERR_UPLOAD_INTERRUPTED",
        Error::IdTaken => "ERR_ID_TAKEN",
        Error::KeyTaken => "ERR_KEY_TAKEN",
        Error::TooManyUploads => "ERR_TOO_MANY_UPLOADS",
        Error::Uncounted => "ERR_UPLOADS_NOT_COUNTED",
        Error::QuotaExceeded => "ERR_QUOTA_EXCEEDED",
        Error::Rejected(_) => "ERR_UPLOAD_REJECTED",
        Error::Gone => "ERR_UPLOAD_EXPIRED",
        Error::TooLarge(Oversized::Upload) => "ERR_MAX_SIZE_EXCEEDED",
        Error::TooLarge(Oversized::Body) => "ERR_UPLOAD_SIZE_EXCEEDED",
        Error::TooLarge(Oversized::Request) => "ERR_MAX_BODY_EXCEEDED",
        Error::TooLarge(Oversized::Parts) => "ERR_MAX_PARTS_EXCEEDED",
        Error::ContentType => "ERR_INVALID_CONTENT_TYPE",
        Error::Range(_) => "ERR_INVALID_RANGE",
        Error::Locked => "ERR_UPLOAD_LOCKED",
        Error::MetadataTooLarge => "ERR_METADATA_TOO_LARGE",
        Error::ChecksumMismatch => "ERR_CHECKSUM_MISMATCH",
        Error::Internal => "ERR_INTERNAL_SERVER_ERROR",
        Error::NotOffered(_) => "ERR_NOT_IMPLEMENTED",
        Error::ShuttingDown => "ERR_SERVER_SHUTDOWN",
        Error::Overloaded => "ERR_OVERLOADED",
        Error::Finishing => "ERR_UPLOAD_FINISHING",
        Error::NoSpace => "ERR_NO_SPACE",
    }
}
