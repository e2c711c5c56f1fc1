//! What an [axum] application has besides `nest_service`: the answer to a finished upload can
//! be made by a handler.
//!
//! ```
//! use axum::{Json, Router, extract::State, handler::Handler};
//! use serde_json::{Value, json};
//! use tower::Layer;
//! use tower_tus::{
//!     TusService,
//!     axum::{FinishedLayer, FinishedUpload},
//!     storage::MemoryStorage,
//! };
//!
//! #[derive(Clone)]
//! struct Gallery {
//!     name: &'static str,
//! }
//!
//! async fn finished(
//!     State(gallery): State<Gallery>,
//!     FinishedUpload(upload): FinishedUpload,
//! ) -> Json<Value> {
//!     Json(json!({ "gallery": gallery.name, "id": upload.id.to_string() }))
//! }
//!
//! let tus = TusService::new(MemoryStorage::new());
//! let gallery = Gallery { name: "holiday" };
//! let uploads = FinishedLayer::new(finished.with_state(gallery)).layer(tus);
//! let app: Router = Router::new().nest_service("/files", uploads);
//! ```

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use ::axum::{
    body::{Body, Bytes},
    extract::{FromRequestParts, Request},
    response::{IntoResponse, Response},
};
use http::{
    StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
    request,
};
use http_body::Body as _;
use tower::{BoxError, Layer, Service, ServiceExt};

pub use crate::service::FinishedUpload;

/// Lets a handler of axum make the answer to a request that has finished an upload.
///
/// The handler gets the head of that request, so that extractors find what layers have put there, and
/// the upload by the extractor [`FinishedUpload`]. What it answers is sent, with every field of the
/// protocol as it has to be: fields of the service replace those of the same name. A status of 200 means
/// nothing special, and becomes the protocol's own: 201 after a `POST`; 204 after a `PATCH`, or 200 if
/// there is something to say. A 200 without a body leaves what the service says, which may be the
/// [`Reply`](crate::hooks::Reply) of a hook. Clients of tus take any status of 2xx, and what else is said
/// is for those that look at it.
///
/// Layers around this one find the [`FinishedUpload`] with the answer, too.
///
/// The upload is stored and in place by then: a refusal at this point tells the client that something
/// is wrong, and takes nothing back. The handler is not the place for work that must be done for every
/// upload, as a crash right before it loses the call; see [`FinishedUpload`].
#[derive(Debug, Clone)]
#[must_use = "a layer does nothing until it is around a service"]
pub struct FinishedLayer<H> {
    handler: H,
}

/// The service around a [`TusService`](crate::TusService), or around layers of it, that
/// [`FinishedLayer`] makes.
#[derive(Debug, Clone)]
pub struct Finished<I, H> {
    inner: I,
    handler: H,
}

impl<H> FinishedLayer<H> {
    /// A layer with this handler, [with its state] or [without one]; or with any service that answers
    /// requests, such as a method router.
    ///
    /// [with its state]: ::axum::handler::Handler::with_state
    /// [without one]: ::axum::handler::HandlerWithoutStateExt::into_service
    pub fn new(handler: H) -> Self {
        Self { handler }
    }
}

impl<I, H: Clone> Layer<I> for FinishedLayer<H> {
    type Service = Finished<I, H>;

    fn layer(&self, inner: I) -> Finished<I, H> {
        Finished {
            inner,
            handler: self.handler.clone(),
        }
    }
}

impl<I, B, H> Service<Request> for Finished<I, H>
where
    I: Service<Request, Response = http::Response<B>, Error = Infallible, Future: Send + 'static>,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    H: Service<Request, Error = Infallible, Response: IntoResponse, Future: Send>
        + Clone
        + Send
        + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (head, body) = request.into_parts();
        let again = head.clone();
        let answer = self.inner.call(Request::from_parts(head, body));
        let handler = self.handler.clone();
        Box::pin(async move {
            let Ok(answer) = answer.await;
            let answer = answer.map(Body::new);
            let Some(finished) = answer.extensions().get::<FinishedUpload>().cloned() else {
                return Ok(answer);
            };
            let mut request = Request::from_parts(again, Body::empty());
            request.extensions_mut().insert(finished);
            let Ok(handled) = handler.oneshot(request).await;
            Ok(combine(handled.into_response(), answer))
        })
    }
}

/// What the handler says, with the fields of the protocol; and what the service says, if the handler has
/// nothing to say.
fn combine(handled: Response, answer: Response) -> Response {
    let (mut head, body) = handled.into_parts();
    let (protocol, own) = answer.into_parts();
    let is_silent = head.status == StatusCode::OK && body.size_hint().exact() == Some(0);
    if is_silent || (head.status == StatusCode::OK && protocol.status != StatusCode::NO_CONTENT) {
        head.status = protocol.status;
    }
    let of_bodies = [CONTENT_TYPE, CONTENT_LENGTH];
    if is_silent || head.status == StatusCode::NO_CONTENT {
        for name in &of_bodies {
            head.headers.remove(name);
        }
    }
    for name in protocol.headers.keys() {
        if !is_silent && of_bodies.contains(name) {
            continue;
        }
        head.headers.remove(name);
        for value in protocol.headers.get_all(name) {
            head.headers.append(name, value.clone());
        }
    }
    head.extensions.extend(protocol.extensions);
    Response::from_parts(head, if is_silent { own } else { body })
}

impl<S: Sync> FromRequestParts<S> for FinishedUpload {
    type Rejection = NotFinished;

    async fn from_request_parts(head: &mut request::Parts, _: &S) -> Result<Self, NotFinished> {
        head.extensions.get().cloned().ok_or(NotFinished)
    }
}

/// The handler is not called by a [`FinishedLayer`], so there is no [`FinishedUpload`]: 500.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no upload was finished: this handler belongs into a `FinishedLayer`")]
pub struct NotFinished;

impl IntoResponse for NotFinished {
    fn into_response(self) -> Response {
        tracing::error!("{self}");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}
