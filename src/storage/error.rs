use std::io;

use crate::protocol::UploadId;

/// What a storage gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a storage could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such upload.
    #[error("there is no upload {0}")]
    NotFound(UploadId),
    /// There is an upload of this id, or a file under its key.
    #[error("{0} exists already")]
    AlreadyExists(String),
    /// The snapshot is not the upload's current state any more: load it again.
    #[error("upload {0} has changed")]
    Conflict(UploadId),
    /// A later appender is in force.
    #[error("upload {0} has a newer writer")]
    Superseded(UploadId),
    /// Another process writes to the upload.
    #[error("upload {0} is locked by another process")]
    Locked(UploadId),
    /// The device is full, or a quota is exhausted.
    #[error("no space is left")]
    NoSpace(#[source] io::Error),
    /// More bytes than the storage can keep of one upload.
    #[error("an upload of more than {0} bytes cannot be kept")]
    TooLong(u64),
    /// The storage lacks something that it would need.
    #[error("the storage cannot do this: {0}")]
    Unsupported(String),
    /// What is stored cannot be read as what it should be.
    #[error("the record of upload {id} is damaged")]
    Damaged {
        /// The upload.
        id: UploadId,
        /// How.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Anything else, from below.
    #[error("the storage failed")]
    Backend(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::NoSpace(error),
            _ => Self::Backend(Box::new(error)),
        }
    }
}
