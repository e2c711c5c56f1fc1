use std::{error, fmt, io, time::Duration};

use http::{StatusCode, Uri};
use tower::BoxError;

use super::uri::{Shown, split_userinfo};
use crate::protocol::{Algorithm, Extension};

/// Why a request or an upload failed, and what to do about it.
///
/// What happened is asked with the `is_` methods. `Display` is one level; [`source`] has the next.
/// Neither it nor `Debug` shows credentials or the query of a URL.
///
/// [`source`]: std::error::Error::source
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    asked: Asked,
    url: Option<Uri>,
    part_url: Option<Uri>,
    source: Option<BoxError>,
}

/// What a server was asked for: the same status means different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Anything,
    /// To make one upload of parts.
    Join,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// No connection, by TCP, TLS or a proxy.
    Connect,
    /// A certificate that one of the two sides does not take.
    Certificate,
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
    /// The source is not any more what it was when the upload began.
    Changed(String),
    /// More bytes than the server takes at most.
    TooLarge { length: u64, most: u64 },
    /// A download has more bytes than are wanted at most.
    OverLimit(usize),
    /// A setting or an argument that cannot be used.
    Setting(String),
    /// Something optional that the server does not offer.
    NotOffered(String),
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
    /// What the answer says, in a line; empty if that cannot be shown.
    pub(crate) text: String,
}

impl Error {
    pub(crate) fn new(kind: Kind) -> Self {
        Self(Box::new(Inner {
            kind,
            asked: Asked::Anything,
            url: None,
            part_url: None,
            source: None,
        }))
    }

    pub(crate) fn protocol(what: impl Into<String>) -> Self {
        Self::new(Kind::Protocol(what.into()))
    }

    /// It is perhaps no tus server at all, or something on the way drops its headers.
    pub(crate) fn no_tus(what: impl fmt::Display) -> Self {
        Self::protocol(format!(
            "{what}: is this the URL of a tus 1.0.0 server, and does no proxy before it drop headers?"
        ))
    }

    pub(crate) fn setting(what: impl Into<String>) -> Self {
        Self::new(Kind::Setting(what.into()))
    }

    pub(crate) fn not_offered(extension: Extension) -> Self {
        Self::new(Kind::NotOffered(format!(
            "the extension {}",
            extension.name()
        )))
    }

    /// The server verifies no such checksums, but these.
    pub(crate) fn not_verified(algorithm: Algorithm, offered: &[String]) -> Self {
        let offered = match offered {
            [] => "none at all".to_owned(),
            names => format!("only {}", names.join(", ")),
        };
        Self::new(Kind::NotOffered(format!(
            "checksums by {algorithm}, {offered}"
        )))
    }

    pub(crate) fn read(error: io::Error) -> Self {
        Self::new(Kind::Source("could not be read".to_owned())).because(error)
    }

    /// The source has `here` bytes, and the upload on the server `there`.
    pub(crate) fn other_content(here: u64, there: u64) -> Self {
        Self::new(Kind::Source(format!(
            "has {here} bytes, and the upload on the server {there}: it is another one"
        )))
    }

    pub(crate) fn because(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The error with the upload's URL, unless it has one.
    pub(crate) fn of_upload(mut self, url: Option<&Uri>) -> Self {
        if self.0.url.is_none() {
            self.0.url = url.map(|url| split_userinfo(url).1);
        }
        self
    }

    /// The error of an upload that is a part of another one.
    pub(crate) fn of_part(mut self) -> Self {
        self.0.part_url = self.0.url.take();
        self
    }

    /// The error of making one upload of parts.
    pub(crate) fn of_join(mut self) -> Self {
        self.0.asked = Asked::Join;
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

    /// Whether the server's certificate is not trusted, or the server wants another one of the client. It
    /// is not tried again.
    #[must_use]
    pub fn is_certificate(&self) -> bool {
        self.0.kind == Kind::Certificate
    }

    /// Whether no connection could be made, also because of a [certificate](Self::is_certificate).
    #[must_use]
    pub fn is_connect(&self) -> bool {
        matches!(self.0.kind, Kind::Connect | Kind::Certificate)
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

    /// Whether the URL store failed.
    #[must_use]
    pub fn is_store(&self) -> bool {
        self.0.kind == Kind::Store
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

    /// Whether the source could not be read, is not what it was said to be, or was changed on the way.
    #[must_use]
    pub fn is_source(&self) -> bool {
        matches!(self.0.kind, Kind::Source(_) | Kind::Changed(_))
    }

    /// Whether there are more bytes than the server takes: it said so before (`Tus-Max-Size`) and nothing
    /// was sent, or it answered 413.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(self.0.kind, Kind::TooLarge { .. })
            || self.status() == Some(StatusCode::PAYLOAD_TOO_LARGE)
    }

    /// Whether a download has more bytes than [`Download::bytes`](super::Download::bytes) was to take.
    #[must_use]
    pub fn is_over_limit(&self) -> bool {
        matches!(self.0.kind, Kind::OverLimit(_))
    }

    /// Whether a setting or an argument cannot be used. Nothing was sent.
    #[must_use]
    pub fn is_setting(&self) -> bool {
        matches!(self.0.kind, Kind::Setting(_))
    }

    /// Whether the server lacks an extension, or a checksum algorithm, that was asked for.
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

    /// What the server said about it: the first line of its answer, if that is text, or the message in its
    /// JSON. At most 200 bytes, without control characters.
    #[must_use]
    pub fn server_text(&self) -> Option<&str> {
        match &self.0.kind {
            Kind::Status(refusal) => Some(refusal.text.as_str()).filter(|text| !text.is_empty()),
            _ => None,
        }
    }

    /// Where the upload is, if it was created: what it needs to go on later. `None` if a part of it
    /// failed, see [`part_url`](Self::part_url).
    #[must_use]
    pub fn upload_url(&self) -> Option<&Uri> {
        self.0.url.as_ref()
    }

    /// Where the part of a parallel upload is that failed, if it was created. It is not the upload, and
    /// nothing can be resumed at it: with a URL store the same upload goes on with its parts.
    #[must_use]
    pub fn part_url(&self) -> Option<&Uri> {
        self.0.part_url.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.kind {
            Kind::Connect => {
                f.write_str("no connection to the server: check the URL, the network and the proxy")
            }
            Kind::Certificate => f.write_str(
                "no connection to the server: its certificate is not trusted, or it wants another \
                 one of the client: see Tls::root_pem and Tls::identity_pem, or the command's \
                 --cacert and --cert",
            ),
            Kind::Interrupted => f.write_str("the connection ended before the answer came"),
            Kind::Stalled(limit) => write!(f, "nothing was sent or received for {limit:?}"),
            Kind::Status(refusal) => refusal.explain(self.0.asked, f),
            Kind::Protocol(what) => write!(f, "the server {what}"),
            Kind::Source(what) => write!(f, "the content {what}"),
            Kind::Changed(what) => write!(
                f,
                "{what} was changed while it was uploaded: upload it again when nobody writes to it"
            ),
            Kind::TooLarge { length, most } => write!(
                f,
                "the content has {length} bytes, and the server takes {most} at most"
            ),
            Kind::OverLimit(most) => write!(f, "there are more than {most} bytes"),
            Kind::Setting(what) => f.write_str(what),
            Kind::NotOffered(what) => write!(f, "the server does not offer {what}"),
            Kind::Canceled => f.write_str("the upload was canceled"),
            Kind::Claimed => f.write_str(
                "another upload of the same content to this server is at work: wait for it, or \
                 upload without a URL store",
            ),
            Kind::Store => f.write_str("the store of upload URLs failed"),
            Kind::Headers => f.write_str("the source of the request's headers failed"),
            Kind::Target => f.write_str("the file could not be written"),
        }?;
        match (&self.0.url, &self.0.part_url) {
            (Some(url), _) => write!(f, " (upload {})", Shown(url)),
            (None, Some(url)) => write!(f, " (part {})", Shown(url)),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("url", &self.0.url.as_ref().map(Shown))
            .field("part_url", &self.0.part_url.as_ref().map(Shown))
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

impl Refusal {
    fn explain(&self, asked: Asked, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered {}", self.status)?;
        if !self.text.is_empty() {
            write!(f, " ({})", self.text)?;
        }
        f.write_str(match (self.status.as_u16(), asked) {
            (400 | 404 | 409 | 410 | 422 | 423, Asked::Join) => {
                " and did not join the parts: they may be gone, unfinished, or joined already by a \
                 request whose answer was lost"
            }
            (401 | 407, _) => ": send credentials that are valid",
            (403, _) => ": these credentials may not do this",
            (404, _) => ": check the URL; the upload may have been removed",
            (405, _) => ": this URL takes no uploads",
            (409, _) => ": another client writes to the upload",
            (410, _) => ": the upload has expired",
            (412, _) => ": it speaks another version of tus",
            (413, _) => ": it takes no upload or no request that large",
            (423, _) => ": another client holds the upload",
            (429, _) => ": it asks for fewer requests",
            (460, _) => ": the bytes changed on their way",
            (501, _) => ": it lacks an extension",
            (507, _) => ": it has no space left",
            (500..600, _) => ": its log says why",
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
    fn the_servers_words_can_be_had() {
        let mut error = status(403);
        assert_eq!(error.server_text(), None);
        if let Kind::Status(refusal) = &mut error.0.kind {
            refusal.text = "not on Sundays".to_owned();
        }
        assert_eq!(error.server_text(), Some("not on Sundays"));
        assert!(error.to_string().contains("(not on Sundays)"), "{error}");
    }

    #[test]
    fn no_secret_of_the_url_is_shown() {
        let url = Uri::from_static("https://me:word@example.org/files/1?token=hidden");
        let error = status(404).of_upload(Some(&url));
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(text.contains("https://example.org/files/1"), "{text}");
            assert!(!text.contains("word") && !text.contains("hidden"), "{text}");
        }
        let bare = Uri::from_static("https://example.org/files/1?token=hidden");
        assert_eq!(error.upload_url(), Some(&bare));
        let error = error.of_part();
        assert_eq!((error.upload_url(), error.part_url()), (None, Some(&bare)));
        let text = error.to_string();
        assert!(
            text.contains("(part https://example.org/files/1?"),
            "{text}"
        );
    }

    #[test]
    fn a_server_of_tus_is_not_doubted() {
        let hint = "is this the URL of a tus 1.0.0 server";
        let doubted = Error::no_tus("answers OPTIONS without Tus-Version");
        assert!(doubted.is_protocol() && doubted.to_string().contains(hint));
        let known = Error::protocol("has 5 bytes: another client writes to the upload");
        assert!(known.is_protocol() && !known.to_string().contains(hint));
    }

    #[test]
    fn a_status_is_explained_by_what_was_asked_for() {
        let text = status(410).of_join().to_string();
        assert!(
            text.contains("410") && text.contains("answer was lost"),
            "{text}"
        );
        let text = status(403).of_join().to_string();
        assert!(text.contains("credentials"), "{text}");
    }
}
