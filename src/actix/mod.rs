//! The service in an [actix-web](actix_web) application: [`scope`].
//!
//! ```no_run
//! use actix_web::{App, HttpServer};
//! use tower_tus::{TusService, storage::MemoryStorage};
//!
//! # async fn _f() -> std::io::Result<()> {
//! let tus = TusService::new(MemoryStorage::new());
//! HttpServer::new(move || App::new().service(tower_tus::actix::scope("/files", tus.clone())))
//!     .bind(("127.0.0.1", 3000))?
//!     .run()
//!     .await
//! # }
//! ```
//!
//! Uploads behave as everywhere, over HTTP/1.1 and HTTP/2, with these differences, all of which are
//! actix-web's own:
//!
//! - It gives no trailers to anybody, so `checksum-trailer` is not offered, and a request that
//!   announces such a checksum is refused. `checksum` works.
//! - It says `100 Continue` before it asks: a request that is refused has sent its body.
//! - After an answer that comes before the body has (a refusal, mostly) it closes an HTTP/1.1
//!   connection, and reads on for [`client_disconnect_timeout`] so that the answer arrives.
//! - When a connection ends while the storage is slower than the client, it forgets what it has read
//!   and not yet handed over, 128 KiB at most. The offset is right in any case: the client sends them
//!   again.
//! - It refuses a `POST` of HTTP/1.0 without `Content-Length`.
//!
//! Its workers drop what runs in them when the server stops. [`TusService::shutdown`] before that
//! stores what has arrived; `examples/actix.rs` shows the order. HTTP/2 is a feature of actix-web's; an
//! upload is then as fast as its windows allow (`HttpServer::h2_initial_window_size`).
//!
//! [`client_disconnect_timeout`]: actix_web::HttpServer::client_disconnect_timeout

mod pipe;
mod request;
mod response;

use std::{fmt, sync::Arc};

use actix_web::{
    Error, HttpMessage, HttpRequest, HttpResponse,
    dev::{
        AppService, HttpServiceFactory, Payload, ResourceDef, ServiceRequest, ServiceResponse,
        fn_service,
    },
};
use http::{Extensions, Request};
use tower::Service;

use self::pipe::{Body, Pump};
use crate::{protocol::Extension, service::TusService};

/// Serves `tus` below `path`, for [`App::service`](actix_web::App::service) and
/// [`web::scope`](actix_web::web::scope).
///
/// `Location` is right by itself, also in nested scopes and below a path with parameters; a
/// [`base_path`](TusService::base_path) is not needed. Uploads are shared by all clones of a service:
/// make it once, outside of the closure that each worker calls. Hooks find the address of the connection as
/// [`RemoteAddr`](crate::hooks::RemoteAddr).
///
/// ```
/// use actix_web::{App, middleware::Logger, web};
/// use tower_tus::{TusService, storage::MemoryStorage};
///
/// let tus = TusService::new(MemoryStorage::new());
/// let app = App::new().service(
///     web::scope("/api")
///         .wrap(Logger::default())
///         .service(tower_tus::actix::scope("/files", tus)),
/// );
/// ```
pub fn scope(path: &str, tus: TusService) -> Scope {
    Scope {
        path: path.trim_end_matches('/').to_owned(),
        tus: tus.without(Extension::ChecksumTrailer),
        forwards: Vec::new(),
    }
}

/// What [`scope`] gives: the service, and what is handed to it of each request.
#[derive(Clone)]
#[must_use = "a scope does nothing until it is a service of an application"]
pub struct Scope {
    path: String,
    tus: TusService,
    forwards: Vec<Forward>,
}

type Forward = Arc<dyn Fn(&HttpRequest, &mut Extensions) + Send + Sync>;

impl Scope {
    /// Hands on what a middleware has put into a request's extensions: whoever looks at the extensions
    /// of the [`http::Request`] finds it there. Default: nothing is handed on.
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// #[derive(Clone)]
    /// struct Account(u64);
    ///
    /// let tus = TusService::new(MemoryStorage::new());
    /// let scope = tower_tus::actix::scope("/files", tus).forward::<Account>();
    /// ```
    pub fn forward<T: Clone + Send + Sync + 'static>(self) -> Self {
        self.forward_with(|request, extensions| {
            if let Some(value) = request.extensions().get::<T>() {
                extensions.insert(value.clone());
            }
        })
    }

    /// Hands on what is made of each request: data of the application, a part of what a middleware has
    /// found, another [`RemoteAddr`](crate::hooks::RemoteAddr) than that of the connection. Default:
    /// nothing is handed on.
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// use tower_tus::hooks::RemoteAddr;
    ///
    /// let tus = TusService::new(MemoryStorage::new());
    /// let scope = tower_tus::actix::scope("/files", tus).forward_with(|request, extensions| {
    ///     // Behind a proxy that sets the field itself, as in `x-real-address: 192.0.2.1:59395`.
    ///     let address = request.headers().get("x-real-address");
    ///     if let Some(address) = address.and_then(|address| address.to_str().ok()?.parse().ok()) {
    ///         extensions.insert(RemoteAddr(address));
    ///     }
    /// });
    /// ```
    pub fn forward_with(
        mut self,
        forward: impl Fn(&HttpRequest, &mut Extensions) + Send + Sync + 'static,
    ) -> Self {
        self.forwards.push(Arc::new(forward));
        self
    }

    async fn serve(self: Arc<Self>, request: ServiceRequest) -> Result<ServiceResponse, Error> {
        let (request, payload) = request.into_parts();
        let Ok(mut head) = request::head(&request) else {
            let refused = HttpResponse::BadRequest().finish();
            return Ok(ServiceResponse::new(request, refused));
        };
        for forward in &self.forwards {
            forward(&request, &mut head.extensions);
        }
        let mut tus = self.tus.clone();
        let is_head = head.method == http::Method::HEAD;
        let Ok(answer) = match payload {
            Payload::None => tus.call(Request::from_parts(head, Body::empty())).await,
            payload => {
                let (pump, body) = Pump::new(payload);
                pump.feed(tus.call(Request::from_parts(head, body))).await
            }
        };
        let answer = match is_head {
            true => response::of_head(answer),
            false => response::of(answer),
        };
        Ok(ServiceResponse::new(request, answer))
    }
}

impl HttpServiceFactory for Scope {
    fn register(self, config: &mut AppService) {
        let prefix = ResourceDef::root_prefix(&self.path);
        let scope = Arc::new(self);
        let service = fn_service(move |request| Arc::clone(&scope).serve(request));
        config.register_service(prefix, None, service, None);
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("path", &self.path)
            .field("tus", &self.tus)
            .field("forwards", &self.forwards.len())
            .finish()
    }
}
