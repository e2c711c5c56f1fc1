use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Buf;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use tokio::task::spawn_blocking;
use tower::{BoxError, Service};

use super::{
    Answer, Body, Error, HeaderSource, HttpVersion, Proxy, RateLimit, RetryPolicy, Tls,
    config::{Config, Login, Methods, RequestIds},
    options::Known,
    transport::{Hyper, InProcess, Transport},
    uri::Origin,
};

/// A client of one tus server.
///
/// Cheap to clone; clones share their connections until the connections' settings are changed. All
/// settings have defaults. Requests have to be made within a tokio runtime.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_tus::client::{Client, Source};
///
/// let client = Client::new("https://example.org/files".parse()?);
/// let done = client.upload(Source::path("video.mp4")).await?;
/// println!("{}", done.url());
/// # Ok(())
/// # }
/// ```
///
/// Some settings, none of which anybody needs at once:
///
/// ```
/// # fn example(pem: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use http::{HeaderMap, HeaderName, HeaderValue};
/// use tower_tus::client::{Client, HttpVersion, Proxy, RetryPolicy, Tls};
///
/// let client = Client::new("https://example.org/files".parse()?)
///     .headers(HeaderMap::from_iter([(
///         HeaderName::from_static("x-api-key"),
///         HeaderValue::from_static("KEY"),
///     )]))
///     .trust(&"https://uploads.example.org".parse()?)
///     .tls(Tls::new().root_pem(pem)?)
///     .version(HttpVersion::Auto)
///     .proxy(Proxy::none())
///     .connect_timeout(Duration::from_secs(10))
///     .idle_timeout(Duration::from_secs(30))
///     .stall_timeout(Duration::from_secs(20))
///     .answer_timeout(Duration::from_secs(300))
///     .retry(RetryPolicy::default().attempts(20))
///     .method_override()
///     .request_ids()
///     .on_request(|request| println!("{} {}", request.method(), request.uri().path()))
///     .on_response(|answer| println!("{} after {:?}", answer.status, answer.elapsed));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a client does nothing by itself"]
pub struct Client {
    config: Arc<Config>,
    transport: Arc<OnceLock<Arc<dyn Transport>>>,
    reach: Reach,
    pub(crate) server: Arc<Known>,
}

/// Where the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Network,
    Process,
}

impl Client {
    /// A client of the server whose uploads are created at `endpoint`: an absolute http or https URL.
    ///
    /// User and password in the URL are sent as Basic authorization, where [headers](Self::header) go: to its
    /// origin, and to those that [`trust`](Self::trust) names. Those in the URL of an upload that is named to
    /// a method go to that URL's origin alone. A header that is set is above both.
    pub fn new(endpoint: Uri) -> Self {
        Self {
            config: Arc::new(Config::new(&endpoint)),
            transport: Arc::default(),
            reach: Reach::Network,
            server: Arc::default(),
        }
    }

    /// A client of a tower service in this process: no socket, no TLS, no proxy.
    ///
    /// The service sees requests as a server does: a path, and the endpoint's host in `Host`.
    ///
    /// ```
    /// use tower_tus::{TusService, client::{Client, Source}, storage::MemoryStorage};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let tus = TusService::new(MemoryStorage::new());
    /// let client = Client::with_service("http://localhost/files".parse()?, tus);
    /// let done = client.upload(Source::bytes("hello")).await?;
    /// assert_eq!(done.size(), 5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_service<S, B>(endpoint: Uri, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body + Send + 'static,
        B::Data: Buf + Send,
        B::Error: Into<BoxError>,
    {
        let transport: Arc<dyn Transport> = Arc::new(InProcess(service));
        Self {
            transport: Arc::new(OnceLock::from(transport)),
            reach: Reach::Process,
            ..Self::new(endpoint)
        }
    }

    /// Where uploads are created, without userinfo.
    #[must_use]
    pub fn endpoint(&self) -> &Uri {
        &self.config.endpoint
    }

    /// A header of each request. It replaces one of the same name. Default: none but `User-Agent` and
    /// the protocol's.
    ///
    /// Headers go to the endpoint's origin and to those that [`trust`](Self::trust) names, and nowhere
    /// else: not behind a redirect, and not to an upload that the server created elsewhere.
    ///
    /// ```
    /// # use tower_tus::client::Client;
    /// use http::{HeaderValue, Uri, header::AUTHORIZATION};
    ///
    /// let client = Client::new(Uri::from_static("https://example.org/files"))
    ///     .header(AUTHORIZATION, HeaderValue::from_static("Bearer TOKEN"));
    /// ```
    pub fn header(self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers(HeaderMap::from_iter([(name, value)]))
    }

    /// Several headers, see [`header`](Self::header).
    pub fn headers(self, headers: HeaderMap) -> Self {
        self.configure(|config| config.add_headers(headers))
    }

    /// Asked for headers before each request; they replace those of the same name. Default: none.
    ///
    /// ```
    /// # use tower_tus::client::Client;
    /// use http::{HeaderMap, HeaderValue, Uri, header::AUTHORIZATION};
    ///
    /// let client = Client::new(Uri::from_static("https://example.org/files"))
    ///     .header_source(|| async {
    ///         let token = "TOKEN"; // from a cache, or from another server
    ///         let value = HeaderValue::try_from(format!("Bearer {token}"))?;
    ///         Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
    ///     });
    /// ```
    pub fn header_source(self, source: impl HeaderSource) -> Self {
        self.configure(|config| config.header_source = Some(Arc::new(source)))
    }

    /// Sends the headers to the origin of this URL too. Default: the endpoint's alone.
    pub fn trust(self, origin: &Uri) -> Self {
        self.configure(|config| config.trusted.extend(Origin::of(origin)))
    }

    /// Whom to trust, and who the client is. Default: [`Tls::new`].
    pub fn tls(self, tls: Tls) -> Self {
        self.connect_anew(|config| config.connections.tls = tls)
    }

    /// Which HTTP is spoken. Default: [`HttpVersion::Http1`].
    pub fn version(self, version: HttpVersion) -> Self {
        self.connect_anew(|config| config.connections.version = version)
    }

    /// Through which proxy requests go. Default: [`Proxy::environment`].
    pub fn proxy(self, proxy: Proxy) -> Self {
        self.connect_anew(|config| config.connections.proxy = proxy)
    }

    /// How long to wait for a connection with all it needs: name, TCP, proxy, TLS. Default: 30 s.
    pub fn connect_timeout(self, limit: Duration) -> Self {
        self.connect_anew(|config| config.connections.connect_timeout = limit)
    }

    /// How long an unused connection is kept. Default: 60 s.
    pub fn idle_timeout(self, limit: Duration) -> Self {
        self.connect_anew(|config| config.connections.idle_timeout = limit)
    }

    /// How long a body may stand still, in either direction, until its request has failed. A line that
    /// takes a few bytes is slow and does not stand still; over HTTP/2 it has to take 64 KiB. The time a
    /// rate limit takes does not count. Default: 60 s.
    pub fn stall_timeout(self, limit: Duration) -> Self {
        self.configure(|config| config.stall_timeout = limit)
    }

    /// How long to wait for the head of an answer once the operating system has taken the request. What
    /// waits in its buffers has to get through in that time too.
    /// Default: 120 s.
    pub fn answer_timeout(self, limit: Duration) -> Self {
        self.configure(|config| config.answer_timeout = limit)
    }

    /// How what fails is tried again: by uploads, and by [`options`](Self::options),
    /// [`create`](Self::create), [`inspect`](Self::inspect), [`concat`](Self::concat),
    /// [`terminate`](Self::terminate) and downloads. Default: [`RetryPolicy::default`].
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.configure(|config| config.retry = policy)
    }

    /// The most that all uploads of this client send together. Default: no limit.
    ///
    /// ```
    /// # use tower_tus::client::Client;
    /// use http::Uri;
    /// use tower_tus::client::RateLimit;
    ///
    /// let client = Client::new(Uri::from_static("https://example.org/files"))
    ///     .rate_limit(RateLimit::per_second(10 << 20));
    /// ```
    pub fn rate_limit(self, limit: RateLimit) -> Self {
        self.configure(|config| config.rate = Some(limit))
    }

    /// Writes PATCH and DELETE as POST with `X-HTTP-Method-Override`, for networks that know no other
    /// methods. Default: they are written as they are.
    pub fn method_override(self) -> Self {
        self.configure(|config| config.methods = Methods::Overridden)
    }

    /// Sends a random `X-Request-ID` with each request, unless a header says another. Default: none.
    pub fn request_ids(self) -> Self {
        self.configure(|config| config.request_ids = RequestIds::Random)
    }

    /// Called with the head of each request right before it is sent; it may change it. It sees
    /// credentials. Default: none.
    ///
    /// It is called for every origin, behind redirects too, and nobody takes out what it adds:
    /// credentials belong into [`header`](Self::header) or [`header_source`](Self::header_source).
    pub fn on_request(self, observe: impl Fn(&mut Request<()>) + Send + Sync + 'static) -> Self {
        self.configure(|config| config.on_request = Some(Arc::new(observe)))
    }

    /// Called with the head of each answer, also of those that refuse. Default: none.
    pub fn on_response(self, observe: impl Fn(&Answer<'_>) + Send + Sync + 'static) -> Self {
        self.configure(|config| config.on_response = Some(Arc::new(observe)))
    }

    /// The same client, of the same server, with another policy.
    pub(crate) fn with_policy(self, policy: RetryPolicy) -> Self {
        let server = Arc::clone(&self.server);
        Self {
            server,
            ..self.retry(policy)
        }
    }

    /// The same client, of the same server, which knows who asks there.
    pub(crate) fn with_login(self, login: Login) -> Self {
        let server = Arc::clone(&self.server);
        Self {
            server,
            ..self.configure(|config| config.logins.push(login))
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) async fn transport(&self) -> Result<&Arc<dyn Transport>, Error> {
        if let Some(transport) = self.transport.get() {
            return Ok(transport);
        }
        let connections = self.config.connections.clone();
        let hyper = spawn_blocking(move || Hyper::new(&connections)).await;
        let hyper = hyper.map_err(|error| Error::setting("TLS failed").because(error))??;
        // Somebody may have been faster: one pool is enough.
        Ok(self.transport.get_or_init(|| Arc::new(hyper)))
    }

    fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        // Other headers may see another server.
        self.server = Arc::default();
        self
    }

    fn connect_anew(mut self, change: impl FnOnce(&mut Config)) -> Self {
        // A service in this process stays what it is.
        if self.reach == Reach::Network {
            self.transport = Arc::default();
        }
        self.configure(change)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.config).finish()
    }
}
