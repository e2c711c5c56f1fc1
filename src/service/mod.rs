//! The tower service: [`TusService`].

mod access;
mod announce;
mod append;
mod body;
mod chain;
mod concat;
mod config;
mod cors;
mod create;
mod detached;
mod download;
mod engine;
mod finish;
mod finished;
mod handle;
mod hooks;
mod inspect;
mod joined;
mod ledger;
mod linger;
mod maintain;
mod observe;
mod owner_limits;
mod pump;
mod quota;
mod receive;
mod route;
mod session;
mod stalls;
mod tell;
mod terminate;
#[cfg(test)]
mod tests;
mod turn;

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Buf;
use http::{Request, Response, Uri, request};
use http_body::Body;
use tower::{BoxError, Service};

pub use self::{
    body::TusBody,
    config::{ConcatParts, Downloads, Forwarded},
    cors::Cors,
    finished::FinishedUpload,
    maintain::Swept,
    owner_limits::OwnerLimits,
    route::OriginalUri,
};
use self::{config::Config, engine::Engine};
#[cfg(feature = "actix")]
use crate::protocol::Extension;
use crate::{
    protocol::{Algorithm, Expiration, Extensions, KeyTemplate, Limits},
    storage::Storage,
};

/// Resumable uploads over HTTP, by tus 1.0.0 with every extension.
///
/// A [`tower::Service`] for any request body. Clones are cheap and are one service: mount as many as
/// you like. All settings have defaults; set them before the first request.
///
/// Bytes are written in tasks of their own: whatever happens to a connection or to the future of a
/// request, what was received is stored. Requests therefore have to be served within a tokio runtime.
///
/// ```
/// use tower_tus::{TusService, storage::MemoryStorage};
///
/// let tus = TusService::new(MemoryStorage::new()).max_size(8 << 30);
/// let app: axum::Router = axum::Router::new().nest_service("/files", tus);
/// ```
#[derive(Debug, Clone)]
#[must_use = "a service does nothing until requests reach it"]
pub struct TusService {
    engine: Arc<Engine>,
    config: Arc<Config>,
    /// The request that this clone serves, where anybody wants to see it.
    request: Option<Arc<request::Parts>>,
}

impl TusService {
    /// A service over `storage`, with the defaults.
    pub fn new(storage: impl Storage) -> Self {
        Self {
            engine: Arc::new(Engine::new(storage)),
            config: Arc::default(),
            request: None,
        }
    }

    /// Where the service is mounted, if nothing strips the prefix before it: the path that stands
    /// before `/ID` in the URLs of uploads. It is also the path of `Location`.
    ///
    /// Default: what axum's `nest_service` (feature `axum`) or the scope in actix-web (feature `actix`)
    /// has stripped; else the path of a POST, and of other requests what stands before the last
    /// segment.
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// let tus = TusService::new(MemoryStorage::new()).base_path("/api/files");
    /// ```
    pub fn base_path(self, path: impl Into<String>) -> Self {
        let path = path.into();
        self.configure(|config| config.base_path = Some(path.trim_end_matches('/').to_owned()))
    }

    /// The absolute URL under which clients find the uploads, e.g. `https://example.org/files`.
    /// `Location` becomes absolute.
    ///
    /// Default: none, `Location` is a path without a host, which is right behind every proxy that
    /// keeps the path.
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// use http::Uri;
    ///
    /// let url = Uri::from_static("https://example.org/files");
    /// let tus = TusService::new(MemoryStorage::new()).base_url(url);
    /// ```
    pub fn base_url(self, url: Uri) -> Self {
        self.configure(|config| config.base_url = Some(url))
    }

    /// Whether `Forwarded`, `X-Forwarded-Proto`, `-Host` and `-Prefix` make an absolute `Location`.
    ///
    /// Default: [`Forwarded::Ignore`]. Trust them only behind a proxy that sets them itself.
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// use tower_tus::service::Forwarded;
    ///
    /// let tus = TusService::new(MemoryStorage::new()).forwarded(Forwarded::Trust);
    /// ```
    pub fn forwarded(self, forwarded: Forwarded) -> Self {
        self.configure(|config| config.forwarded = forwarded)
    }

    /// Largest upload, in bytes. Announced as `Tus-Max-Size`; more is 413. Default: no limit.
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// let tus = TusService::new(MemoryStorage::new()).max_size(8 << 30);
    /// ```
    pub fn max_size(self, bytes: u64) -> Self {
        self.configure(|config| {
            config.offer.limits = std::mem::take(&mut config.offer.limits).max_size(bytes);
        })
    }

    /// All limits. Default: [`Limits::default`].
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// use tower_tus::protocol::Limits;
    ///
    /// let limits = Limits::default().max_size(8 << 30).max_writers(500);
    /// let tus = TusService::new(MemoryStorage::new()).limits(limits);
    /// ```
    pub fn limits(self, limits: Limits) -> Self {
        self.configure(|config| config.offer.limits = limits)
    }

    /// The extensions of tus that are offered. Default: all.
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// use tower_tus::protocol::{Extension, Extensions};
    ///
    /// let extensions = Extensions::all().without(Extension::Termination);
    /// let tus = TusService::new(MemoryStorage::new()).extensions(extensions);
    /// ```
    pub fn extensions(self, extensions: Extensions) -> Self {
        self.configure(|config| config.offer.extensions = extensions)
    }

    /// The checksum algorithms that are taken, most preferred first. Default: all.
    ///
    /// A checksum that follows its body is computed by all of them while the body comes.
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// use tower_tus::protocol::Algorithm;
    ///
    /// let tus = TusService::new(MemoryStorage::new())
    ///     .checksums([Algorithm::Sha1, Algorithm::Crc32c]);
    /// ```
    pub fn checksums(self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.configure(|config| {
            config.offer.checksums.clear();
            for algorithm in algorithms {
                if !config.offer.checksums.contains(&algorithm) {
                    config.offer.checksums.push(algorithm);
                }
            }
        })
    }

    /// How long an unfinished upload stays without progress. Finished ones stay. Default: forever.
    ///
    /// Expired uploads are answered with 410, and with 404 once the sweeper has removed them. An upload
    /// keeps the time that was set when it was created.
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// use std::time::Duration;
    ///
    /// let day = Duration::from_secs(24 * 60 * 60);
    /// let tus = TusService::new(MemoryStorage::new()).expires_after(day);
    /// ```
    pub fn expires_after(self, lifetime: Duration) -> Self {
        self.configure(|config| {
            config.lifetime = Some(lifetime);
            config.offer.expiration = Expiration::Expires;
        })
    }

    /// How often expired uploads are removed. The sweeper starts by itself with the first request.
    /// Default: every 10 minutes.
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// use std::time::Duration;
    ///
    /// let tus = TusService::new(MemoryStorage::new()).sweep_every(Duration::from_secs(60));
    /// ```
    pub fn sweep_every(self, interval: Duration) -> Self {
        self.configure(|config| config.sweep_every = interval)
    }

    /// Which web pages of other origins may upload. Default: [`Cors::any`], without credentials.
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// use tower_tus::service::Cors;
    ///
    /// let tus = TusService::new(MemoryStorage::new())
    ///     .cors(Cors::origins(["https://app.example.org"]));
    /// ```
    pub fn cors(self, cors: Cors) -> Self {
        self.configure(|config| config.cors = cors)
    }

    /// Whether and how finished uploads can be read with GET. Default: [`Downloads::attachment`].
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// use tower_tus::service::Downloads;
    ///
    /// let tus = TusService::new(MemoryStorage::new()).downloads(Downloads::off());
    /// ```
    pub fn downloads(self, downloads: Downloads) -> Self {
        self.configure(|config| {
            config.offer.downloads = downloads.availability();
            config.downloads = downloads;
        })
    }

    /// Where finished uploads appear in the storage. Default: `{id}`.
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// use tower_tus::protocol::KeyTemplate;
    ///
    /// let template = KeyTemplate::parse("{year}/{month}/{id}-{filename}")?;
    /// let tus = TusService::new(MemoryStorage::new()).key(template);
    /// # Ok::<_, tower_tus::protocol::InvalidTemplate>(())
    /// ```
    pub fn key(self, template: KeyTemplate) -> Self {
        self.configure(|config| config.key = template)
    }

    /// What happens to partial uploads when they have been joined. Default: [`ConcatParts::Keep`].
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// use tower_tus::service::ConcatParts;
    ///
    /// let tus = TusService::new(MemoryStorage::new()).concat_parts(ConcatParts::Remove);
    /// ```
    pub fn concat_parts(self, parts: ConcatParts) -> Self {
        self.configure(|config| config.concat_parts = parts)
    }

    /// The service without an extension that whoever mounts it cannot carry.
    #[cfg(feature = "actix")]
    pub(crate) fn without(self, extension: Extension) -> Self {
        self.configure(|config| {
            config.offer.extensions = config.offer.extensions.without(extension);
        })
    }

    fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }
}

impl<B> Service<Request<B>> for TusService
where
    B: Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<TusBody>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        let tus = self.clone();
        let (head, body) = request.into_parts();
        let body = body::RequestBody::new(&head, body);
        ResponseFuture(Box::pin(async move { Ok(tus.handle(head, body).await) }))
    }
}

/// The answer of a [`TusService`]. Dropping it loses no byte that was received.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture(
    Pin<Box<dyn Future<Output = Result<Response<TusBody>, Infallible>> + Send>>,
);

impl Future for ResponseFuture {
    type Output = Result<Response<TusBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

impl std::fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ResponseFuture")
    }
}
