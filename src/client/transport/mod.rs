//! How a request gets to a server: erased, so that nothing above knows whether there is a socket.

mod hyper;
mod io;
mod line;
mod proxy;
mod service;
mod tls;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use tower::BoxError;

pub(crate) use self::{
    hyper::{Connections, Hyper},
    service::InProcess,
};
pub use self::{proxy::Proxy, tls::Tls};
use super::{Body, Error};

/// Sends a request whose URI is absolute.
pub(crate) trait Transport: Send + Sync {
    fn send(&self, request: Request<Body>) -> BoxFuture<'static, Result<Answered, Error>>;
}

pub(crate) type Answered = Response<UnsyncBoxBody<Bytes, BoxError>>;
