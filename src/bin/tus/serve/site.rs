//! What is where: uploads below the base path, and pages about the server.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, AUTHORIZATION, HOST, WWW_AUTHENTICATE},
};
use http_body::Body;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use tower::{BoxError, ServiceExt};
use tower_tus::{TusBody, TusService};

use super::{
    access::Exchange,
    admin::{Page, Pages, text},
    metrics,
    token::{Tokens, WANTED},
};

/// Answers requests.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    uploads: Option<Uploads>,
    pages: Pages,
    guard: Option<Guard>,
}

#[derive(Debug, Clone)]
struct Uploads {
    tus: TusService,
    base_path: Arc<str>,
}

/// Who may upload, and what all others meet.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    pub(crate) tokens: Tokens,
    /// A service that refuses everything but preflights, which carry no token. It has no uploads: whatever
    /// becomes of a request in it, it reaches none.
    pub(crate) refusing: TusService,
}

impl Site {
    /// Only pages about the server.
    pub(crate) fn new(pages: Pages) -> Self {
        Self {
            uploads: None,
            pages,
            guard: None,
        }
    }

    /// Uploads below `base_path`, which has no slash at its end.
    pub(crate) fn uploads(mut self, tus: TusService, base_path: &str) -> Self {
        let base_path = base_path.into();
        self.uploads = Some(Uploads { tus, base_path });
        self
    }

    /// Uploads and numbers are for those who have a token.
    pub(crate) fn guard(mut self, guard: Option<Guard>) -> Self {
        self.guard = guard;
        self
    }

    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<impl Body<Data = Bytes, Error: Into<BoxError>> + Unpin + use<>>, Infallible>
    {
        // They are asked for again and again, and would fill the log.
        if let Some(page) = self.pages.at(request.uri().path())
            && !lacks_host(&request)
        {
            let response = self.page(page, &request);
            return Ok(response.map(Full::from).map(Either::Right));
        }
        let (exchange, request) = Exchange::begin(request);
        let response = self.answer_logged(request).await;
        Ok(exchange.answer(response).map(Either::Left))
    }

    fn page<B>(&self, page: Page, request: &Request<B>) -> Response<Bytes> {
        if !reads(request.method()) {
            return not_allowed();
        }
        if page == Page::Metrics
            && let Some(Guard { tokens, .. }) = &self.guard
            && let Err(unauthorized) = tokens.check(request.headers())
        {
            metrics::unauthorized();
            let refused = text(StatusCode::UNAUTHORIZED, WANTED);
            return with(refused, WWW_AUTHENTICATE, unauthorized.challenge());
        }
        self.pages.render(page)
    }

    async fn answer_logged<B>(&self, request: Request<B>) -> Response<Either<TusBody, Full<Bytes>>>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let line = match (request.uri().path(), &self.uploads) {
            _ if lacks_host(&request) => text(StatusCode::BAD_REQUEST, "Host is missing\n"),
            (path, Some(uploads)) if uploads.has(path) => {
                return self.upload(&uploads.tus, request).await.map(Either::Left);
            }
            ("/", _) if !reads(request.method()) => not_allowed(),
            ("/", _) => text(StatusCode::OK, self.index()),
            _ => text(StatusCode::NOT_FOUND, "not found\n"),
        };
        line.map(|line| Either::Right(Full::from(line)))
    }

    async fn upload<B>(&self, tus: &TusService, mut request: Request<B>) -> Response<TusBody>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let tus = match &self.guard {
            None => tus,
            Some(Guard { tokens, refusing }) => {
                let checked = tokens.check(request.headers());
                // It has served its purpose: hook servers get fields of requests, if they are to.
                request.headers_mut().remove(AUTHORIZATION);
                match checked {
                    Ok(()) => tus,
                    Err(unauthorized) => {
                        request.extensions_mut().insert(unauthorized);
                        refusing
                    }
                }
            }
        };
        match tus.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    fn index(&self) -> String {
        match &self.uploads {
            Some(Uploads { base_path, .. }) => {
                format!("Resumable uploads (tus 1.0.0) go to {base_path}\n")
            }
            None => self.pages.paths().map(|path| format!("{path}\n")).collect(),
        }
    }
}

impl Uploads {
    fn has(&self, path: &str) -> bool {
        path.strip_prefix(&*self.base_path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// Whether a method asks for a page, and for nothing else.
fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn not_allowed() -> Response<Bytes> {
    let refused = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
    with(refused, ALLOW, HeaderValue::from_static("GET, HEAD"))
}

fn with<B>(mut response: Response<B>, name: HeaderName, value: HeaderValue) -> Response<B> {
    response.headers_mut().insert(name, value);
    response
}

/// HTTP/1.1 demands the field, and leaves it to the server to refuse a request without (RFC 9112,
/// 3.2). hyper does not.
fn lacks_host<B>(request: &Request<B>) -> bool {
    request.version() == http::Version::HTTP_11 && !request.headers().contains_key(HOST)
}
