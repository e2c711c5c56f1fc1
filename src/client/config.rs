use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use tokio::time::timeout;
use tower::BoxError;

use super::{
    RateLimit, RetryPolicy,
    transport::Connections,
    uri::{Origin, Shown, split_userinfo},
};

/// Which HTTP a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpVersion {
    /// HTTP/1.1. The default: parts of a parallel upload have connections of their own, and no window
    /// of HTTP/2 limits an upload.
    Http1,
    /// HTTP/2, without TLS too ("prior knowledge").
    Http2,
    /// What a server with TLS prefers; HTTP/1.1 without TLS.
    Auto,
}

/// Headers that are asked for at each request, such as a token that expires.
///
/// Closures that return a future are one, see [`Client::header_source`](super::Client::header_source).
#[async_trait]
pub trait HeaderSource: Send + Sync + 'static {
    /// The headers of the next request. An error ends the operation; it is not tried again. Nor is one
    /// that takes longer than [`Client::answer_timeout`](super::Client::answer_timeout).
    async fn headers(&self) -> Result<HeaderMap, BoxError>;
}

#[async_trait]
impl<F, R> HeaderSource for F
where
    F: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = Result<HeaderMap, BoxError>> + Send,
{
    async fn headers(&self) -> Result<HeaderMap, BoxError> {
        self().await
    }
}

/// An answer, as an observer sees it.
///
/// `Debug` shows no values of fields and no query: there may be cookies and tokens.
#[non_exhaustive]
pub struct Answer<'a> {
    /// The request's method, the one that was meant.
    pub method: &'a Method,
    /// Where the request went.
    pub uri: &'a Uri,
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub headers: &'a HeaderMap,
    /// From the start of the request to the head of the answer.
    pub elapsed: Duration,
}

impl fmt::Debug for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.keys().collect();
        f.debug_struct("Answer")
            .field("method", self.method)
            .field("uri", &Shown(self.uri))
            .field("status", &self.status)
            .field("headers", &headers)
            .field("elapsed", &self.elapsed)
            .finish()
    }
}

type OnRequest = dyn Fn(&mut Request<()>) + Send + Sync;
type OnResponse = dyn Fn(&Answer<'_>) + Send + Sync;

/// The settings of a client.
#[derive(Clone)]
pub(crate) struct Config {
    /// Without userinfo.
    pub(crate) endpoint: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) header_source: Option<Arc<dyn HeaderSource>>,
    /// From URLs of uploads.
    pub(crate) logins: Vec<Login>,
    /// Besides the endpoint's.
    pub(crate) trusted: Vec<Origin>,
    pub(crate) connections: Connections,
    pub(crate) stall_timeout: Duration,
    pub(crate) answer_timeout: Duration,
    pub(crate) retry: RetryPolicy,
    pub(crate) rate: Option<RateLimit>,
    pub(crate) methods: Methods,
    pub(crate) request_ids: RequestIds,
    pub(crate) on_request: Option<Arc<OnRequest>>,
    pub(crate) on_response: Option<Arc<OnResponse>>,
}

/// How PATCH and DELETE are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Methods {
    Plain,
    /// As POST with `X-HTTP-Method-Override`.
    Overridden,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestIds {
    None,
    Random,
}

impl Config {
    pub(crate) fn new(endpoint: &Uri) -> Self {
        let (login, endpoint) = Login::split(endpoint);
        let mut headers = HeaderMap::new();
        if let Some(login) = login {
            headers.insert(header::AUTHORIZATION, login.basic);
        }
        Self {
            endpoint,
            headers,
            header_source: None,
            logins: Vec::new(),
            trusted: Vec::new(),
            connections: Connections::default(),
            stall_timeout: Duration::from_secs(60),
            answer_timeout: Duration::from_secs(120),
            retry: RetryPolicy::default(),
            rate: None,
            methods: Methods::Plain,
            request_ids: RequestIds::None,
            on_request: None,
            on_response: None,
        }
    }

    /// The headers of a request to `uri` that are the user's: none for an origin that is not trusted.
    pub(crate) async fn user_headers(&self, uri: &Uri) -> Result<HeaderMap, BoxError> {
        let origin = Origin::of(uri);
        let endpoints = origin == Origin::of(&self.endpoint);
        if !endpoints && !origin.is_some_and(|origin| self.trusted.contains(&origin)) {
            return Ok(HeaderMap::new());
        }
        let mut headers = self.headers.clone();
        if let Some(source) = &self.header_source {
            let asked = timeout(self.answer_timeout, source.headers()).await;
            let late = |_| format!("no headers within {:?}", self.answer_timeout);
            replace(&mut headers, asked.map_err(late)??);
        }
        Ok(headers)
    }

    pub(crate) fn add_headers(&mut self, headers: HeaderMap) {
        replace(&mut self.headers, headers);
    }
}

/// User and password that came with a URL, for its origin alone.
#[derive(Clone)]
pub(crate) struct Login {
    origin: Option<Origin>,
    basic: HeaderValue,
}

impl Login {
    /// What stands in the URL, and the URL without it.
    pub(crate) fn split(uri: &Uri) -> (Option<Self>, Uri) {
        let (userinfo, bare) = split_userinfo(uri);
        let login = userinfo.map(|userinfo| Self {
            origin: Origin::of(&bare),
            basic: basic(userinfo),
        });
        (login, bare)
    }

    /// Adds it to a request to `uri`, unless that has a header of the user's, or goes elsewhere.
    pub(crate) fn add(&self, uri: &Uri, headers: &mut HeaderMap) {
        if self.origin == Origin::of(uri) {
            let entry = headers.entry(header::AUTHORIZATION);
            entry.or_insert_with(|| self.basic.clone());
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Login").field(&self.origin).finish()
    }
}

/// Puts `new` in the place of those of the same names.
fn replace(headers: &mut HeaderMap, new: HeaderMap) {
    let secrets = new.into_iter();
    headers.extend(secrets.map(|(name, value)| (name, secret(value))));
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.keys().collect();
        f.debug_struct("Config")
            .field("endpoint", &Shown(&self.endpoint))
            .field("headers", &headers)
            .field("header_source", &self.header_source.is_some())
            .field("trusted", &self.trusted)
            .field("connections", &self.connections)
            .field("stall_timeout", &self.stall_timeout)
            .field("answer_timeout", &self.answer_timeout)
            .field("retry", &self.retry)
            .field("rate", &self.rate)
            .field("methods", &self.methods)
            .field("request_ids", &self.request_ids)
            .finish_non_exhaustive()
    }
}

/// Whatever a user adds may be a credential: nobody prints it.
fn secret(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// RFC 7617; the userinfo of a URL is percent-encoded.
fn basic(userinfo: &str) -> HeaderValue {
    use base64::{Engine, prelude::BASE64_STANDARD};

    let decoded = percent_decoded(userinfo);
    let text = match decoded.contains(&b':') {
        true => decoded,
        false => [decoded.as_slice(), b":"].concat(),
    };
    let value = format!("Basic {}", BASE64_STANDARD.encode(text));
    secret(HeaderValue::try_from(value).expect("base64 is visible ASCII"))
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn userinfo_becomes_basic_authorization() {
        for (userinfo, expected) in [
            (
                "Aladdin:open%20sesame",
                "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            ),
            ("a", "Basic YTo="),
            ("%zz:%4", "Basic JXp6OiU0"),
        ] {
            assert_eq!(basic(userinfo), expected, "{userinfo}");
        }
    }

    #[tokio::test]
    async fn user_headers_go_to_trusted_origins_only() {
        let mut config = Config::new(&Uri::from_static("https://u:p@a.org/files"));
        config.add_headers(HeaderMap::from_iter([(
            HeaderName::from_static("x-key"),
            HeaderValue::from_static("hidden"),
        )]));
        config.trusted = Origin::of(&Uri::from_static("https://b.org"))
            .into_iter()
            .collect();
        for (uri, count) in [
            ("https://a.org/files/1", 2),
            ("https://b.org/1", 2),
            ("http://a.org/files/1", 0),
            ("https://a.org:444/files/1", 0),
            ("https://c.org/", 0),
        ] {
            let headers = config.user_headers(&Uri::from_static(uri)).await.unwrap();
            assert_eq!(headers.len(), count, "{uri}");
        }
        assert!(!format!("{config:?}").contains("hidden"));
    }
}
