//! What is where: uploads below the base path, and pages about the server.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{ACCESS_CONTROL_REQUEST_METHOD, HOST, VARY, WWW_AUTHENTICATE},
};
use http_body::Body;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use tower::{BoxError, ServiceExt};
use tower_tus::TusService;

use super::{
    access::Exchange,
    admin::{Page, Pages, text},
    metrics,
    token::{METHOD_OVERRIDE, Tokens, Unauthorized},
};

/// Answers requests.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    uploads: Option<Uploads>,
    pages: Pages,
    tokens: Option<Tokens>,
}

#[derive(Debug, Clone)]
struct Uploads {
    tus: TusService,
    base_path: Arc<str>,
}

impl Site {
    /// Only pages about the server.
    pub(crate) fn new(pages: Pages) -> Self {
        Self {
            uploads: None,
            pages,
            tokens: None,
        }
    }

    /// Uploads below `base_path`, which has no slash at its end.
    pub(crate) fn uploads(mut self, tus: TusService, base_path: &str) -> Self {
        let base_path = base_path.into();
        self.uploads = Some(Uploads { tus, base_path });
        self
    }

    /// Uploads and numbers are for those who have one of the tokens.
    pub(crate) fn tokens(mut self, tokens: Option<Tokens>) -> Self {
        self.tokens = tokens;
        self
    }

    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<impl Body<Data = Bytes, Error: Into<BoxError>> + use<>>, Infallible> {
        // They are asked for again and again, and would fill the log.
        if let Some(page) = self.pages.at(request.uri().path())
            && !lacks_host(&request)
        {
            return Ok(self.page(page, &request).map(Either::Right));
        }
        let (exchange, request) = Exchange::begin(request);
        let response = self.answer_logged(request).await;
        Ok(exchange.answer(response).map(Either::Left))
    }

    fn page<B>(&self, page: Page, request: &Request<B>) -> Response<Full<Bytes>> {
        let admitted = match page {
            Page::Health | Page::Ready => Ok(()),
            Page::Metrics => self.check(request),
        };
        match admitted {
            Ok(()) => self.pages.render(page).map(Full::from),
            Err(refused) => challenge(refused, HeaderMap::new()).map(Full::from),
        }
    }

    async fn answer_logged<B>(
        &self,
        request: Request<B>,
    ) -> Response<Either<tower_tus::TusBody, Full<Bytes>>>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let line = match (request.uri().path(), &self.uploads) {
            _ if lacks_host(&request) => text(StatusCode::BAD_REQUEST, "Host is missing\n"),
            (path, Some(uploads)) if uploads.has(path) => match self.check(&request) {
                Ok(()) => return uploads.call(request).await.map(Either::Left),
                Err(refused) => uploads.refuse(request, refused).await,
            },
            ("/", _) => text(StatusCode::OK, self.index()),
            _ => text(StatusCode::NOT_FOUND, "not found\n"),
        };
        line.map(|line| Either::Right(Full::from(line)))
    }

    fn check<B>(&self, request: &Request<B>) -> Result<(), Unauthorized> {
        self.tokens
            .as_ref()
            .map_or(Ok(()), |tokens| tokens.check(request))
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

    async fn call<B>(&self, request: Request<B>) -> Response<tower_tus::TusBody>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        match self.tus.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// Asks the service what it offers instead: it reads the body away, so that the refusal arrives, and
    /// marks the answer for web pages, so that theirs may read it.
    async fn refuse<B>(&self, mut request: Request<B>, refused: Unauthorized) -> Response<String>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        *request.method_mut() = Method::OPTIONS;
        for name in [METHOD_OVERRIDE, ACCESS_CONTROL_REQUEST_METHOD] {
            request.headers_mut().remove(name);
        }
        let mut headers = self.call(request).await.into_parts().0.headers;
        let is_mark = |name: &str| name.starts_with("access-control-") || name == VARY.as_str();
        let others: Vec<_> = headers
            .keys()
            .filter(|name| !is_mark(name.as_str()))
            .cloned()
            .collect();
        for name in others {
            headers.remove(name);
        }
        challenge(refused, headers)
    }
}

fn challenge(refused: Unauthorized, headers: HeaderMap) -> Response<String> {
    metrics::unauthorized();
    let mut response = text(StatusCode::UNAUTHORIZED, "a bearer token is needed\n");
    response.headers_mut().extend(headers);
    response
        .headers_mut()
        .insert(WWW_AUTHENTICATE, refused.challenge());
    response
}

/// HTTP/1.1 demands the field, and leaves it to the server to refuse a request without (RFC 9112,
/// 3.2). hyper does not.
fn lacks_host<B>(request: &Request<B>) -> bool {
    request.version() == http::Version::HTTP_11 && !request.headers().contains_key(HOST)
}
