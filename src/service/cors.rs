use std::sync::Arc;

use http::{
    HeaderMap, HeaderValue, Method,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
        ORIGIN, VARY,
    },
    request,
};

/// Which web pages of other origins may use the uploads.
///
/// Every answer is marked, errors too, and preflights are answered; other OPTIONS requests are not
/// touched. Credentials are never allowed: tokens go into `Authorization`, cookies do not. Behind
/// tower-http's `CorsLayer` switch this one off.
#[derive(Debug, Clone)]
pub struct Cors(Inner);

#[derive(Debug, Clone)]
enum Inner {
    Off,
    Any,
    Origins(Arc<[String]>),
}

const METHODS: HeaderValue = HeaderValue::from_static("OPTIONS, HEAD, GET, POST, PATCH, DELETE");
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, tus-resumable, upload-checksum, upload-concat, \
     upload-defer-length, upload-length, upload-metadata, upload-offset, x-http-method-override, \
     x-requested-with, x-request-id",
);
const RESPONSE_HEADERS: HeaderValue = HeaderValue::from_static(
    "location, retry-after, tus-checksum-algorithm, tus-extension, tus-max-size, tus-resumable, \
     tus-version, upload-concat, upload-defer-length, upload-expires, upload-length, \
     upload-metadata, upload-offset, accept-ranges, content-disposition, content-range, etag",
);
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");
const ANY: HeaderValue = HeaderValue::from_static("*");

impl Cors {
    /// All pages. The default.
    #[must_use]
    pub fn any() -> Self {
        Self(Inner::Any)
    }

    /// Pages of these origins, e.g. `https://app.example.org`.
    #[must_use]
    pub fn origins<O: Into<String>>(origins: impl IntoIterator<Item = O>) -> Self {
        Self(Inner::Origins(
            origins.into_iter().map(Into::into).collect(),
        ))
    }

    /// No mark on any answer.
    #[must_use]
    pub fn off() -> Self {
        Self(Inner::Off)
    }

    /// What an answer to this request is to be marked with.
    pub(super) fn mark(&self, head: &request::Parts) -> Mark {
        let allowed = match (&self.0, head.headers.get(ORIGIN)) {
            (Inner::Off, _) => return Mark::default(),
            (Inner::Any, _) => Some(ANY),
            (Inner::Origins(origins), Some(origin)) => origins
                .iter()
                .any(|known| origin == known)
                .then(|| origin.clone()),
            (Inner::Origins(_), None) => None,
        };
        Mark {
            varies: matches!(self.0, Inner::Origins(_)),
            preflight: head.method == Method::OPTIONS
                && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD),
            asked: head.headers.contains_key(ORIGIN),
            allowed,
        }
    }
}

/// The fields that one answer gets.
#[derive(Debug, Default)]
pub(super) struct Mark {
    allowed: Option<HeaderValue>,
    varies: bool,
    /// A page asks, and not some other client.
    asked: bool,
    preflight: bool,
}

impl Mark {
    pub(super) fn apply(self, headers: &mut HeaderMap) {
        if self.varies {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        let Some(origin) = self.allowed else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.preflight {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        } else if self.asked {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS);
        }
    }
}
