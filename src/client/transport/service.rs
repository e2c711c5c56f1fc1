use bytes::Buf;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Uri, header::HOST};
use http_body_util::BodyExt;
use tower::{BoxError, Service, ServiceExt};

use super::{Answered, Transport};
use crate::client::{Body, Error, error::Kind};

/// A tower service in this process instead of a server.
pub(crate) struct InProcess<S>(pub(crate) S);

impl<S, B> Transport for InProcess<S>
where
    S: Service<Request<Body>, Response = http::Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    fn send(&self, mut request: Request<Body>) -> BoxFuture<'static, Result<Answered, Error>> {
        to_origin_form(&mut request);
        let service = self.0.clone();
        Box::pin(async move {
            let answer = service.oneshot(request).await;
            let answer = answer.map_err(|error| Error::new(Kind::Interrupted).because(error))?;
            Ok(answer.map(|body| {
                body.map_frame(|frame| {
                    frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))
                })
                .map_err(Into::into)
                .boxed_unsync()
            }))
        })
    }
}

/// What a server sees of a request: the path in the request line, the host in a field.
fn to_origin_form(request: &mut Request<Body>) {
    if let Some(authority) = request.uri().authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().entry(HOST).or_insert(host);
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
}
