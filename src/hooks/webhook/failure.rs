use std::time::Duration;

use http::StatusCode;
use hyper_util::client::legacy;
use tower::BoxError;

/// Why a hook server could not be asked, or was not understood.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("the hook server could not be asked")]
    Connection(#[source] legacy::Error),
    #[error("the hook server did not answer within {0:?}")]
    Timeout(Duration),
    #[error("the hook server answered {0}")]
    Status(StatusCode),
    #[error("the hook server's answer ended early")]
    Interrupted(#[source] BoxError),
    #[error("the hook server's answer is longer than {0} bytes")]
    TooLong(usize),
    #[error("the hook server's answer is not of the type application/json")]
    NotJson,
    #[error("the hook server's answer is no JSON")]
    Malformed(#[source] serde_json::Error),
    #[error("{0} in the hook server's answer is not what it has to be")]
    Field(&'static str),
}

impl Failure {
    /// Whether the same request may succeed when it is sent again. Whoever waited for an answer until the
    /// time was up has waited long enough.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Connection(_) | Self::Interrupted(_) => true,
            Self::Status(status) => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Timeout(_)
            | Self::TooLong(_)
            | Self::NotJson
            | Self::Malformed(_)
            | Self::Field(_) => false,
        }
    }
}
