use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{
        CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, TE, TRAILER, TRANSFER_ENCODING,
        UPGRADE,
    },
};

use super::header::{TUS_RESUMABLE, UPLOAD_OFFSET};

/// The application's own no: what the client gets instead of what it asked for.
///
/// A rejection has a status from 300 to 599; any other is answered as 500. Its fields go out beside those
/// of the protocol and of CORS. A text without `Content-Type` is `text/plain; charset=utf-8`.
///
/// ```
/// use http::header::WWW_AUTHENTICATE;
/// use tower_tus::hooks::Rejection;
///
/// let rejection = Rejection::unauthorized()
///     .header(WWW_AUTHENTICATE, "Bearer")
///     .body("sign in first\n");
/// assert_eq!(rejection.status, 401);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    /// The status.
    pub status: StatusCode,
    /// Fields of the application's own; boxed, for this is an error of closures.
    pub headers: Box<HeaderMap>,
    /// What the client is told.
    pub body: Bytes,
}

impl Rejection {
    /// A rejection with this status, whose text is the status in words.
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        let reason = status.canonical_reason().unwrap_or("rejected");
        Self {
            status,
            headers: Box::default(),
            body: Bytes::from(format!("{}\n", reason.to_lowercase())),
        }
    }

    /// 400: the request makes no sense to the application.
    #[must_use]
    pub fn bad_request() -> Self {
        Self::new(StatusCode::BAD_REQUEST)
    }

    /// 401: nobody knows who asks.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED)
    }

    /// 403: whoever asks may not do that.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN)
    }

    /// 404: to whoever asks, there is no such upload.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND)
    }

    /// 409: it contradicts what is there.
    #[must_use]
    pub fn conflict() -> Self {
        Self::new(StatusCode::CONFLICT)
    }

    /// 413: the upload is larger than the application wants it.
    #[must_use]
    pub fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE)
    }

    /// 415: the application does not take files of this type.
    #[must_use]
    pub fn unsupported_media_type() -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE)
    }

    /// 422: the content is not what it has to be.
    #[must_use]
    pub fn unprocessable() -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY)
    }

    /// 429: too much at once; clients try again after `seconds`.
    #[must_use]
    pub fn too_many_requests(seconds: u32) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS).header(RETRY_AFTER, seconds)
    }

    /// 503: not now; clients try again after `seconds`.
    #[must_use]
    pub fn unavailable(seconds: u32) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE).header(RETRY_AFTER, seconds)
    }

    /// With one more field. A value that cannot be sent is left out.
    #[must_use]
    pub fn header<V>(mut self, name: HeaderName, value: V) -> Self
    where
        V: TryInto<HeaderValue>,
    {
        if let Ok(value) = value.try_into() {
            self.headers.append(name, value);
        }
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The status that is sent.
    pub(crate) fn effective_status(&self) -> StatusCode {
        let status = self.status.as_u16();
        match (300..600).contains(&status) {
            true => self.status,
            false => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "rejected by the application: {}", self.status)
    }
}

impl std::error::Error for Rejection {}

/// What the application adds to the answer to a request that succeeds.
///
/// `Upload-Offset`, `Tus-Resumable` and what frames the message stay those of the service; any other field
/// replaces the one there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// A status from 200 to 299 instead of the protocol's; any other is ignored, for clients would take
    /// the upload for failed.
    pub status: Option<StatusCode>,
    /// Fields of the application's own.
    pub headers: HeaderMap,
    /// A body. Without a status of one's own, a 204 becomes a 200.
    pub body: Bytes,
}

impl Reply {
    /// Whether the answer stays as it is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Both; where they contradict one another, `later` counts.
    pub(crate) fn and(mut self, later: Self) -> Self {
        self.status = later.status.or(self.status);
        for name in later.headers.keys() {
            self.headers.remove(name);
        }
        for (name, value) in &later.headers {
            self.headers.append(name, value.clone());
        }
        if !later.body.is_empty() {
            self.body = later.body;
        }
        self
    }

    /// Makes the protocol's answer the application's.
    pub(crate) fn apply(&self, response: &mut Response<Bytes>) {
        if let Some(status) = self.status.filter(StatusCode::is_success) {
            *response.status_mut() = status;
        } else if !self.body.is_empty() && response.status() == StatusCode::NO_CONTENT {
            *response.status_mut() = StatusCode::OK;
        }
        extend(response.headers_mut(), &self.headers, &self.body);
        let bodiless = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT];
        if !bodiless.contains(&response.status()) {
            *response.body_mut() = self.body.clone();
        }
    }
}

/// Puts the application's fields in the place of those there are.
pub(crate) fn extend(headers: &mut HeaderMap, own: &HeaderMap, body: &Bytes) {
    let reserved = [
        &CONNECTION,
        &CONTENT_LENGTH,
        &TE,
        &TRAILER,
        &TRANSFER_ENCODING,
        &UPGRADE,
        &UPLOAD_OFFSET,
        &TUS_RESUMABLE,
    ];
    if !body.is_empty() && !own.contains_key(CONTENT_TYPE) {
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(CONTENT_TYPE, text);
    }
    for name in own.keys().filter(|name| !reserved.contains(name)) {
        headers.remove(name);
        for value in own.get_all(name) {
            headers.append(name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: StatusCode, reply: &Reply) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = status;
        response.headers_mut().insert(UPLOAD_OFFSET, 3.into());
        reply.apply(&mut response);
        response
    }

    #[test]
    fn a_rejection_is_never_a_success() {
        for (status, sent) in [(200, 500), (204, 500), (302, 302), (403, 403), (599, 599)] {
            let rejection = Rejection::new(StatusCode::from_u16(status).unwrap());
            assert_eq!(rejection.effective_status(), sent);
        }
    }

    #[test]
    fn a_body_needs_a_status_that_has_one() {
        let reply = Reply {
            body: Bytes::from_static(b"{}"),
            ..Reply::default()
        };
        assert_eq!(answered(StatusCode::NO_CONTENT, &reply).status(), 200);
        assert_eq!(answered(StatusCode::CREATED, &reply).status(), 201);
        let silent = Reply {
            status: Some(StatusCode::NO_CONTENT),
            ..reply
        };
        assert!(answered(StatusCode::OK, &silent).body().is_empty());
    }

    #[test]
    fn an_application_cannot_make_up_an_offset_nor_a_failure() {
        let mut reply = Reply {
            status: Some(StatusCode::IM_A_TEAPOT),
            ..Reply::default()
        };
        reply.headers.insert(UPLOAD_OFFSET, 7.into());
        reply.headers.insert(CONTENT_LENGTH, 7.into());
        reply.headers.insert("x-mine", 7.into());
        let response = answered(StatusCode::NO_CONTENT, &reply);
        assert_eq!(response.status(), 204);
        assert_eq!(response.headers()[UPLOAD_OFFSET], "3");
        assert_eq!(response.headers()["x-mine"], "7");
        assert!(!response.headers().contains_key(CONTENT_LENGTH));
    }
}
