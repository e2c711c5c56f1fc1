use http::{HeaderName, StatusCode};

use super::{Extension, Rejection};

/// Why a request was refused. Each variant has exactly one status: [`Error::status`].
///
/// What is shown to the client is the `Display` of the variant and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `Tus-Resumable` is missing, or names a version we do not speak.
    #[error("this server speaks tus 1.0.0: send Tus-Resumable: 1.0.0")]
    Version,
    /// A field has to be there and is not.
    #[error("{0} is missing")]
    MissingHeader(HeaderName),
    /// A field has a value that cannot be read.
    #[error("{0} {1}")]
    InvalidHeader(HeaderName, &'static str),
    /// A field that may stand once stands several times.
    #[error("{0} is repeated")]
    RepeatedHeader(HeaderName),
    /// Two fields contradict one another.
    #[error("{0} and {1} exclude one another")]
    ContradictingHeaders(HeaderName, HeaderName),
    /// The checksum algorithm is unknown, or not offered.
    #[error("the checksum algorithm is not supported")]
    UnsupportedAlgorithm,
    /// The announced trailer with the checksum did not come.
    #[error("the checksum that was announced as a trailer is missing")]
    MissingTrailer,
    /// A checksum came as a trailer that was not announced, when the bytes were stored already.
    #[error("a checksum trailer has to be announced by Trailer: Upload-Checksum")]
    UnannouncedTrailer,
    /// The upload's length is known and cannot change.
    #[error("the length of this upload is another one")]
    LengthMismatch,
    /// The declared length is below what is stored.
    #[error("the length is below the offset")]
    LengthBelowOffset,
    /// A part of a concatenation is no finished, or no partial upload, or not ours.
    #[error("a part of the final upload {0}")]
    Part(PartError),
    /// The key that the application chose is unusable.
    #[error("the name of the file cannot be used")]
    InvalidKey,
    /// The body ended before its end; what came is stored.
    #[error("the body ended early")]
    Interrupted,
    /// The upload is put together from parts and takes no bytes.
    #[error("a final upload takes no bytes of its own")]
    FinalUpload,
    /// There is no such upload.
    #[error("no such upload")]
    NotFound,
    /// The method means nothing here; the ones that do are named.
    #[error("the method is not allowed here")]
    MethodNotAllowed(&'static str),
    /// The body brought too few bytes for too long; what came is stored.
    #[error("the body stalled")]
    Stalled,
    /// `Upload-Offset` is not where the upload stands.
    #[error("the offset is another one")]
    OffsetMismatch,
    /// A newer request has taken over; what came is stored.
    #[error("a newer request continues this upload")]
    Superseded,
    /// There is an upload of this id already.
    #[error("an upload of this name exists already")]
    IdTaken,
    /// There is a file under the upload's key already.
    #[error("a file of this name exists already")]
    KeyTaken,
    /// The upload has expired.
    #[error("the upload has expired")]
    Gone,
    /// The upload or this request's body is longer than allowed.
    #[error("the {0} is too large")]
    TooLarge(Oversized),
    /// The body has another type than the protocol's.
    #[error("the body has to be application/offset+octet-stream")]
    ContentType,
    /// No byte of the range exists.
    #[error("the range is not satisfiable")]
    Range(u64),
    /// Another process writes to the upload.
    #[error("another process writes to this upload")]
    Locked,
    /// `Upload-Metadata` is longer than allowed.
    #[error("the metadata is too large")]
    MetadataTooLarge,
    /// The body has another checksum than the request says; nothing of it is stored.
    #[error("the checksum is another one")]
    ChecksumMismatch,
    /// The owner has as many unfinished uploads, or unfinished bytes, as allowed.
    #[error("too many unfinished uploads: finish or terminate some first")]
    TooManyUploads,
    /// The owner would have more bytes stored than allowed.
    #[error("there is no room left for this upload")]
    QuotaExceeded,
    /// What owners have is not known yet.
    #[error("the uploads there are have not been counted yet")]
    Uncounted,
    /// The application said no, in its own words.
    #[error("{0}")]
    Rejected(Box<Rejection>),
    /// The server failed, and its log says how.
    #[error("internal error")]
    Internal,
    /// An extension that is switched off.
    #[error("this server does not offer {}", .0.name())]
    NotOffered(Extension),
    /// The server is ending; what came is stored.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// As many writers as allowed are at work.
    #[error("too many uploads at this moment")]
    Overloaded,
    /// All bytes are there, but they are not in their final place yet.
    #[error("the upload is being finished")]
    Finishing,
    /// The device is full; what fitted is stored.
    #[error("no space is left")]
    NoSpace,
}

impl Error {
    /// The one table from refusals to HTTP.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::MissingHeader(_)
            | Self::InvalidHeader(..)
            | Self::RepeatedHeader(_)
            | Self::ContradictingHeaders(..)
            | Self::UnsupportedAlgorithm
            | Self::MissingTrailer
            | Self::UnannouncedTrailer
            | Self::LengthMismatch
            | Self::LengthBelowOffset
            | Self::Part(_)
            | Self::InvalidKey
            | Self::Interrupted => StatusCode::BAD_REQUEST,
            Self::FinalUpload => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Stalled => StatusCode::REQUEST_TIMEOUT,
            Self::OffsetMismatch | Self::Superseded | Self::IdTaken | Self::KeyTaken => {
                StatusCode::CONFLICT
            }
            Self::Gone => StatusCode::GONE,
            Self::Version => StatusCode::PRECONDITION_FAILED,
            Self::TooLarge(_) | Self::QuotaExceeded => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Range(_) => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Locked => StatusCode::LOCKED,
            Self::MetadataTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::ChecksumMismatch => {
                StatusCode::from_u16(460).expect("460 is between 100 and 999")
            }
            Self::TooManyUploads => StatusCode::TOO_MANY_REQUESTS,
            Self::Rejected(rejection) => rejection.effective_status(),
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotOffered(_) => StatusCode::NOT_IMPLEMENTED,
            Self::ShuttingDown | Self::Overloaded | Self::Finishing | Self::Uncounted => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::NoSpace => StatusCode::INSUFFICIENT_STORAGE,
        }
    }

    pub(crate) fn invalid(name: &HeaderName, reason: &'static str) -> Self {
        Self::InvalidHeader(name.clone(), reason)
    }
}

/// What is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Oversized {
    /// The upload, for this server.
    Upload,
    /// The body, for the upload's length.
    Body,
    /// The body, for one request.
    Request,
    /// The list of parts.
    Parts,
}

impl std::fmt::Display for Oversized {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Upload => "upload",
            Self::Body => "body",
            Self::Request => "body of one request",
            Self::Parts => "number of parts",
        })
    }
}

/// What is wrong with a part of a concatenation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartError {
    /// Its URL is none of ours.
    Foreign,
    /// There is no such upload.
    NotFound,
    /// It was not created as a part.
    NotPartial,
    /// It is not finished, and `concatenation-unfinished` is not offered.
    Unfinished,
}

impl std::fmt::Display for PartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Foreign => "is no upload of this server",
            Self::NotFound => "does not exist",
            Self::NotPartial => "is not a partial upload",
            Self::Unfinished => "is not finished",
        })
    }
}

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(Box::new(rejection))
    }
}
