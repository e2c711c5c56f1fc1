use std::sync::Arc;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
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
pub struct Cors {
    origins: Inner,
    request_headers: HeaderValue,
}

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
        Self::new(Inner::Any)
    }

    /// Pages of these origins, e.g. `https://app.example.org`.
    #[must_use]
    pub fn origins<O: Into<String>>(origins: impl IntoIterator<Item = O>) -> Self {
        Self::new(Inner::Origins(
            origins.into_iter().map(Into::into).collect(),
        ))
    }

    /// No mark on any answer.
    #[must_use]
    pub fn off() -> Self {
        Self::new(Inner::Off)
    }

    /// Request headers of the application's own that pages may send, besides `Authorization` and those
    /// of tus. Default: none.
    ///
    /// ```
    /// use http::HeaderName;
    /// use tower_tus::service::Cors;
    ///
    /// let cors = Cors::any().allow_headers([HeaderName::from_static("x-tenant")]);
    /// ```
    #[must_use]
    pub fn allow_headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        let mut list = self.request_headers.as_bytes().to_vec();
        for name in names {
            list.extend_from_slice(b", ");
            list.extend_from_slice(name.as_str().as_bytes());
        }
        self.request_headers =
            HeaderValue::from_bytes(&list).expect("names of headers are visible ASCII");
        self
    }

    fn new(origins: Inner) -> Self {
        Self {
            origins,
            request_headers: REQUEST_HEADERS,
        }
    }

    /// What an answer to this request is to be marked with.
    pub(super) fn mark(&self, head: &request::Parts) -> Mark {
        let allowed = match (&self.origins, head.headers.get(ORIGIN)) {
            (Inner::Off, _) => return Mark::default(),
            (Inner::Any, _) => Some(ANY),
            (Inner::Origins(origins), Some(origin)) => origins
                .iter()
                .any(|known| origin == known)
                .then(|| origin.clone()),
            (Inner::Origins(_), None) => None,
        };
        Mark {
            varies: matches!(self.origins, Inner::Origins(_)),
            preflight: (head.method == Method::OPTIONS
                && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD))
            .then(|| self.request_headers.clone()),
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
    /// The request headers that are allowed, if that is what is asked.
    preflight: Option<HeaderValue>,
}

impl Mark {
    pub(super) fn apply(self, headers: &mut HeaderMap) {
        if self.varies {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        let Some(origin) = self.allowed else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if let Some(request_headers) = self.preflight {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, request_headers);
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        } else if self.asked {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS);
        }
    }
}
