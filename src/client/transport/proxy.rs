use std::{
    env, fmt,
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use http::{HeaderValue, Uri, uri::Scheme};
use hyper_util::client::{
    legacy::connect::{
        HttpConnector,
        proxy::{SocksV5, Tunnel},
    },
    proxy::matcher::{Intercept, Matcher},
};
use tower::{BoxError, Service};

use super::{io::Route, line::Line};
use crate::client::uri::Shown;

/// Through which proxy requests go.
///
/// `http` proxies forward requests to `http` servers and tunnel (CONNECT) to `https` servers; `socks5`
/// and `socks5h` proxies do both, and resolve the server's name. User and password may stand in the
/// proxy's URL.
///
/// ```
/// use tower_tus::client::Proxy;
///
/// let none = Proxy::none();
/// let fixed = Proxy::url("http://user:password@proxy.example.org:3128".parse()?);
/// # Ok::<_, http::uri::InvalidUri>(())
/// ```
#[derive(Clone, Default)]
pub struct Proxy(Inner);

#[derive(Clone, Default)]
enum Inner {
    #[default]
    Environment,
    None,
    Url(Uri),
}

impl Proxy {
    /// What `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say, in curl's way. The default.
    #[must_use]
    pub fn environment() -> Self {
        Self(Inner::Environment)
    }

    /// No proxy, whatever the environment says.
    #[must_use]
    pub fn none() -> Self {
        Self(Inner::None)
    }

    /// This proxy for all requests.
    #[must_use]
    pub fn url(url: Uri) -> Self {
        Self(Inner::Url(url))
    }

    fn matcher(&self) -> Option<Matcher> {
        let matcher = Matcher::builder();
        match &self.0 {
            // As for curl, a CGI script's HTTP_PROXY is its client's header `Proxy`.
            Inner::Environment if env::var_os("REQUEST_METHOD").is_some() => None,
            Inner::Environment => Some(
                matcher
                    .all(understood(variable("ALL_PROXY")))
                    .http(understood(variable("HTTP_PROXY")))
                    .https(understood(variable("HTTPS_PROXY")))
                    .no(variable("NO_PROXY"))
                    .build(),
            ),
            Inner::None => None,
            Inner::Url(url) => Some(matcher.all(understood(url.to_string())).build()),
        }
    }
}

/// What a variable of the environment says, in capitals or not.
fn variable(name: &str) -> String {
    let said = env::var(name).or_else(|_| env::var(name.to_lowercase()));
    said.unwrap_or_default()
}

/// The proxy, unless it is none that can be used: the matcher would go without it, past a wall that may be
/// there for a reason.
fn understood(proxy: String) -> String {
    let is_usable = |uri: Uri| {
        let scheme = uri.scheme_str().unwrap_or("http");
        uri.authority().is_some() && SCHEMES.contains(&scheme)
    };
    match proxy.is_empty() || proxy.parse().is_ok_and(is_usable) {
        true => proxy,
        false => UNUSABLE.to_owned(),
    }
}

/// A proxy that no request can go through, as it is set.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unusable(&'static str);

impl Unusable {
    /// What a tunnel failed with, or this if it is to be mended by a setting.
    fn or(error: impl Into<BoxError>) -> BoxError {
        let error = error.into();
        // Its type is nobody's to name.
        match error.to_string().ends_with("proxy authorization required") {
            true => Self("the proxy wants another user and password: they stand in its URL").into(),
            false => error,
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Environment => f.write_str("Environment"),
            Inner::None => f.write_str("None"),
            Inner::Url(url) => f.debug_tuple("Url").field(&Shown(url)).finish(),
        }
    }
}

/// Makes connections, through a proxy where there is one.
#[derive(Clone)]
pub(super) struct Routes {
    tcp: HttpConnector,
    matcher: Option<Arc<Matcher>>,
}

impl Routes {
    pub(super) fn new(tcp: HttpConnector, proxy: &Proxy) -> Self {
        Self {
            tcp,
            matcher: proxy.matcher().map(Arc::new),
        }
    }

    pub(super) fn route(&self, destination: &Uri) -> Route {
        match self.forwarder(destination) {
            Some(_) => Route::Forwarded,
            None => Route::Direct,
        }
    }

    /// What a proxy that forwards wants with each request. A tunnel is told once.
    pub(super) fn authorization(&self, destination: &Uri) -> Option<HeaderValue> {
        self.forwarder(destination)?.basic_auth().cloned()
    }

    fn intercept(&self, destination: &Uri) -> Option<Intercept> {
        self.matcher.as_ref()?.intercept(destination)
    }

    fn forwarder(&self, destination: &Uri) -> Option<Intercept> {
        self.intercept(destination).filter(|proxy| {
            destination.scheme() == Some(&Scheme::HTTP) && proxy.uri().scheme_str() == Some("http")
        })
    }
}

impl Service<Uri> for Routes {
    type Response = Line;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Line, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let mut tcp = self.tcp.clone();
        let forwarded = self.route(&destination) == Route::Forwarded;
        let Some(proxy) = self.intercept(&destination) else {
            return Box::pin(async move { Ok(Line::new(tcp.call(destination).await?)) });
        };
        let url = proxy.uri().clone();
        match url.scheme_str() {
            Some("http") if forwarded => {
                Box::pin(async move { Ok(Line::new(tcp.call(url).await?)) })
            }
            Some("http") => {
                let mut tunnel = Tunnel::new(url, tcp);
                if let Some(authorization) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(authorization.clone());
                }
                Box::pin(async move {
                    let stream = tunnel.call(destination).await;
                    Ok(Line::new(stream.map_err(Unusable::or)?))
                })
            }
            Some("socks5" | "socks5h") => {
                let mut socks = SocksV5::new(url, tcp);
                if let Some((user, password)) = proxy.raw_auth() {
                    socks = socks.with_auth(user.to_owned(), password.to_owned());
                }
                Box::pin(async move { Ok(Line::new(socks.call(destination).await?)) })
            }
            _ => Box::pin(async move {
                let error = Unusable("a proxy's URL starts with http, socks5 or socks5h");
                Err(error.into())
            }),
        }
    }
}

const SCHEMES: [&str; 3] = ["http", "socks5", "socks5h"];

/// Stands for a proxy that is set and cannot be used: the matcher takes it, and no connection does.
const UNUSABLE: &str = "socks4://unusable";
