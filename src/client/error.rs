use std::{error, fmt, io, time::Duration};

use http::{StatusCode, Uri};
use tower::BoxError;

use super::uri::Shown;
use crate::protocol::Extension;

/// Why a request or an upload failed, and what to do about it.
///
/// What happened is asked with the `is_` methods. `Display` is one level; [`source`] has the next.
/// Neither it nor `Debug` shows credentials or the query of a URL.
///
/// [`source`]: std::error::Error::source
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    url: Option<Uri>,
    source: Option<BoxError>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// No connection, by TCP, TLS or a proxy.
    Connect,
    /// The connection ended before the answer.
    Interrupted,
    /// Nothing moved for this long.
    Stalled(Duration),
    /// A status that is no success.
    Status(Refusal),
    /// The server's answer breaks the protocol, in this way.
    Protocol(String),
    /// The source cannot be read, or is not what it was said to be.
    Source(String),
    /// A setting or an argument that cannot be used.
    Setting(String),
    /// An extension that the server does not offer.
    NotOffered(&'static str),
    /// The upload was canceled.
    Canceled,
    /// Another upload of the same content to the same endpoint is at work.
    Claimed,
    /// The URL store failed.
    Store,
    /// Something of the user's that is asked for each request failed.
    Headers,
    /// The file that a download is written to.
    Target,
}

/// A status that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// How long the server asks to wait.
    pub(crate) retry_after: Option<Duration>,
    /// The first line of the answer, if it is text.
    pub(crate) text: String,
}

impl Error {
    pub(crate) fn new(kind: Kind) -> Self {
        Self(Box::new(Inner {
            kind,
            url: None,
            source: None,
        }))
    }

    pub(crate) fn protocol(what: impl Into<String>) -> Self {
        Self::new(Kind::Protocol(what.into()))
    }

    pub(crate) fn setting(what: impl Into<String>) -> Self {
        Self::new(Kind::Setting(what.into()))
    }

    pub(crate) fn not_offered(extension: Extension) -> Self {
        Self::new(Kind::NotOffered(extension.name()))
    }

    pub(crate) fn read(error: io::Error) -> Self {
        Self::new(Kind::Source("could not be read".to_owned())).because(error)
    }

    pub(crate) fn because(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The error with the upload's URL, unless it has one.
    pub(crate) fn of_upload(mut self, url: Option<&Uri>) -> Self {
        if self.0.url.is_none() {
            self.0.url = url.cloned();
        }
        self
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.0.kind
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match &self.0.kind {
            Kind::Status(refusal) => refusal.retry_after,
            _ => None,
        }
    }

    /// Whether the same may succeed later: the network failed, or the server said so.
    ///
    /// That is the statuses 408, 409, 423, 425, 429, 460 and 5xx without 501 and 505.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match &self.0.kind {
            Kind::Connect | Kind::Interrupted | Kind::Stalled(_) => true,
            Kind::Status(refusal) => match refusal.status.as_u16() {
                408 | 409 | 423 | 425 | 429 | 460 => true,
                501 | 505 => false,
                status => (500..600).contains(&status),
            },
            _ => false,
        }
    }

    /// Whether the network failed: no connection, or one that ended early or stood still.
    #[must_use]
    pub fn is_network(&self) -> bool {
        matches!(
            self.0.kind,
            Kind::Connect | Kind::Interrupted | Kind::Stalled(_)
        )
    }

    /// Whether no connection could be made.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.0.kind == Kind::Connect
    }

    /// Whether something took too long.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        match &self.0.kind {
            Kind::Stalled(_) => true,
            Kind::Status(refusal) => refusal.status == StatusCode::REQUEST_TIMEOUT,
            _ => false,
        }
    }

    /// Whether the server does not know the upload (any more): 404 or 410.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(
            self.status(),
            Some(StatusCode::NOT_FOUND | StatusCode::GONE)
        )
    }

    /// Whether the upload was canceled by its handle.
    #[must_use]
    pub fn is_canceled(&self) -> bool {
        self.0.kind == Kind::Canceled
    }

    /// Whether another upload of the same content to the same endpoint is at work.
    #[must_use]
    pub fn is_claimed(&self) -> bool {
        self.0.kind == Kind::Claimed
    }

    /// Whether the server broke the protocol, or is no tus server.
    #[must_use]
    pub fn is_protocol(&self) -> bool {
        matches!(self.0.kind, Kind::Protocol(_))
    }

    /// Whether the source could not be read, or is not what it was said to be.
    #[must_use]
    pub fn is_source(&self) -> bool {
        matches!(self.0.kind, Kind::Source(_))
    }

    /// Whether a setting or an argument cannot be used. Nothing was sent.
    #[must_use]
    pub fn is_setting(&self) -> bool {
        matches!(self.0.kind, Kind::Setting(_))
    }

    /// Whether the server lacks an extension that was asked for.
    #[must_use]
    pub fn is_not_offered(&self) -> bool {
        matches!(self.0.kind, Kind::NotOffered(_))
    }

    /// The status of the answer, if it was one that failed.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match &self.0.kind {
            Kind::Status(refusal) => Some(refusal.status),
            _ => None,
        }
    }

    /// Where the upload is, if it was created: what it needs to go on later.
    #[must_use]
    pub fn upload_url(&self) -> Option<&Uri> {
        self.0.url.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.kind {
            Kind::Connect => f.write_str(
                "no connection to the server: check the URL, the network, the proxy and the \
                 certificates",
            ),
            Kind::Interrupted => f.write_str("the connection ended before the answer came"),
            Kind::Stalled(limit) => write!(f, "nothing was sent or received for {limit:?}"),
            Kind::Status(refusal) => fmt::Display::fmt(refusal, f),
            Kind::Protocol(what) => write!(
                f,
                "the server {what}: is this the URL of a tus 1.0.0 server, and does no proxy \
                 before it drop headers?"
            ),
            Kind::Source(what) => write!(f, "the content {what}"),
            Kind::Setting(what) => f.write_str(what),
            Kind::NotOffered(extension) => {
                write!(f, "the server does not offer the extension {extension}")
            }
            Kind::Canceled => f.write_str("the upload was canceled"),
            Kind::Claimed => f.write_str(
                "another upload of the same content to this server is at work: wait for it, or \
                 upload without a URL store",
            ),
            Kind::Store => f.write_str("the store of upload URLs failed"),
            Kind::Headers => f.write_str("the source of the request's headers failed"),
            Kind::Target => f.write_str("the file could not be written"),
        }?;
        match &self.0.url {
            Some(url) => write!(f, " (upload {})", Shown(url)),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("url", &self.0.url.as_ref().map(Shown))
            .field("source", &self.0.source)
            .finish()
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn error::Error + 'static))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered {}", self.status)?;
        if !self.text.is_empty() {
            write!(f, " ({})", self.text)?;
        }
        f.write_str(match self.status.as_u16() {
            401 | 407 => ": send credentials that are valid",
            403 => ": these credentials may not do this",
            404 => ": check the URL; the upload may have been removed",
            405 => ": this URL takes no uploads",
            409 => ": another client writes to the upload",
            410 => ": the upload has expired",
            412 => ": it speaks another version of tus",
            413 => ": it takes no upload or no request that large",
            423 => ": another client holds the upload",
            429 => ": it asks for fewer requests",
            460 => ": the bytes changed on their way",
            501 => ": it lacks an extension",
            507 => ": it has no space left",
            500..600 => ": its log says why",
            _ => "",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16) -> Error {
        Error::new(Kind::Status(Refusal {
            status: StatusCode::from_u16(code).unwrap(),
            retry_after: None,
            text: String::new(),
        }))
    }

    #[test]
    fn what_is_retried_is_a_table() {
        for (code, retried) in [
            (400, false),
            (401, false),
            (404, false),
            (408, true),
            (409, true),
            (413, false),
            (423, true),
            (425, true),
            (429, true),
            (460, true),
            (500, true),
            (501, false),
            (503, true),
            (505, false),
            (507, true),
        ] {
            assert_eq!(status(code).is_retryable(), retried, "{code}");
        }
    }

    #[test]
    fn no_secret_of_the_url_is_shown() {
        let url = Uri::from_static("https://me:word@example.org/files/1?token=hidden");
        let error = status(404).of_upload(Some(&url));
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(text.contains("https://example.org/files/1"), "{text}");
            assert!(!text.contains("word") && !text.contains("hidden"), "{text}");
        }
        assert_eq!(error.upload_url(), Some(&url));
    }
}
