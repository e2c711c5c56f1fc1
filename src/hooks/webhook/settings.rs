use std::{fmt, time::Duration};

use http::{HeaderName, HeaderValue, Uri};
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use rustls::RootCertStore;

use super::{Secret, StorageInfo, Webhook, delivery::Client};
use crate::{
    hooks::Hook,
    transport::{self, Schemes},
};

impl Webhook {
    /// Hooks that ask the server at this URL, as tusd does by default.
    ///
    /// For `https` those are trusted whom the operating system trusts, or the file in `SSL_CERT_FILE`: files
    /// are read here.
    ///
    /// # Errors
    /// [`InvalidUrl`] unless it begins with `http://` or `https://` and a host, without a user.
    pub fn new(url: Uri) -> Result<Self, InvalidUrl> {
        let authority = url.authority().ok_or(InvalidUrl)?.as_str();
        let roots = match url.scheme_str() {
            _ if authority.contains('@') => return Err(InvalidUrl),
            Some("https") => transport::system_roots(),
            Some("http") => RootCertStore::empty(),
            _ => return Err(InvalidUrl),
        };
        Ok(Self {
            client: client(roots),
            url,
            events: DEFAULT_EVENTS.to_vec(),
            forwarded: Vec::new(),
            headers: http::HeaderMap::new(),
            secrets: Vec::new(),
            attempts: 3,
            backoff: Duration::from_secs(1),
            timeout: Duration::from_secs(15),
            max_answer: 5 << 10,
            storage: StorageInfo::default(),
        })
    }

    /// What the server is asked about and told of. Default: tusd's, which are [`PreCreate`](Hook::PreCreate),
    /// [`PostCreate`](Hook::PostCreate), [`PostReceive`](Hook::PostReceive), [`PostFinish`](Hook::PostFinish)
    /// and [`PostTerminate`](Hook::PostTerminate). [`Authorize`](Hook::Authorize) is none of tusd's and never
    /// sent.
    ///
    /// ```
    /// # use tower_tus::hooks::webhook::Webhook;
    /// use tower_tus::hooks::Hook;
    ///
    /// let hooks = Webhook::new("http://127.0.0.1:8000/hooks".parse()?)?
    ///     .events([Hook::PreCreate, Hook::PreFinish, Hook::PostFinish]);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn events(mut self, events: impl IntoIterator<Item = Hook>) -> Self {
        self.events = events.into_iter().collect();
        self
    }

    /// Fields of the client's requests that the server gets as fields of its own. Default: none.
    ///
    /// All fields are in the message anyway, except `Authorization`, `Cookie`, `Proxy-Authorization` and what
    /// a layer has marked [sensitive](HeaderValue::is_sensitive): those are nowhere unless they are named here.
    ///
    /// ```
    /// # use tower_tus::hooks::webhook::Webhook;
    /// use http::header::COOKIE;
    ///
    /// let hooks = Webhook::new("http://127.0.0.1:8000/hooks".parse()?)?.forward_headers([COOKIE]);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn forward_headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.forwarded = names.into_iter().collect();
        self
    }

    /// A field of each request to the server, as a token for it; before a forwarded one of the same name.
    /// Default: none.
    ///
    /// ```
    /// # use tower_tus::hooks::webhook::Webhook;
    /// use http::{HeaderValue, header::AUTHORIZATION};
    ///
    /// let token = HeaderValue::from_static("Bearer rosebud");
    /// let hooks = Webhook::new("https://example.org/hooks".parse()?)?.header(AUTHORIZATION, token);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.headers.append(name, value);
        self
    }

    /// Signs what is sent; see [the module](super#signatures). Called again, one more signature is
    /// sent, for the time in which a secret is replaced by another. Default: nothing is signed.
    ///
    /// ```
    /// # use tower_tus::hooks::webhook::Webhook;
    /// let hooks = Webhook::new("https://example.org/hooks".parse()?)?
    ///     .secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse()?);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secrets.push(secret);
        self
    }

    /// How often a request is sent before the event has failed: after errors of the network, 429 and 5xx.
    /// Default: 3. 0 counts as 1.
    ///
    /// ```
    /// # use tower_tus::hooks::webhook::Webhook;
    /// let hooks = Webhook::new("https://example.org/hooks".parse()?)?.attempts(1);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// The longest pause after the first failure. It is doubled after each further one, up to a minute; how long
    /// it is then is random, from nothing to that. Default: 1 second.
    ///
    /// ```
    /// # use tower_tus::hooks::webhook::Webhook;
    /// use std::time::Duration;
    ///
    /// let hooks = Webhook::new("https://example.org/hooks".parse()?)?.backoff(Duration::from_millis(200));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn backoff(mut self, backoff: Duration) -> Self {
        self.backoff = backoff;
        self
    }

    /// How long each request may take, answer included. One that takes longer is not sent again: who waits for
    /// it has waited long enough. Default: 15 seconds, of which connecting takes 5 at most.
    ///
    /// ```
    /// # use tower_tus::hooks::webhook::Webhook;
    /// use std::time::Duration;
    ///
    /// let hooks = Webhook::new("https://example.org/hooks".parse()?)?.timeout(Duration::from_secs(5));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The longest body of an answer, in bytes. Default: 5 KiB.
    ///
    /// ```
    /// # use tower_tus::hooks::webhook::Webhook;
    /// let hooks = Webhook::new("https://example.org/hooks".parse()?)?.max_answer(64 << 10);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_answer(mut self, bytes: usize) -> Self {
        self.max_answer = bytes;
        self
    }

    /// Where finished uploads are. Default: [`StorageInfo::default`], which tells their keys alone.
    ///
    /// ```
    /// # use tower_tus::hooks::webhook::Webhook;
    /// use tower_tus::hooks::webhook::StorageInfo;
    ///
    /// let hooks = Webhook::new("https://example.org/hooks".parse()?)?
    ///     .storage(StorageInfo::s3("my-bucket", "uploads"));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn storage(mut self, storage: StorageInfo) -> Self {
        self.storage = storage;
        self
    }

    /// Trusts these authorities, certificates in PEM, instead of the operating system's.
    ///
    /// ```no_run
    /// # use tower_tus::hooks::webhook::Webhook;
    /// let hooks = Webhook::new("https://hooks.internal/".parse()?)?
    ///     .only_roots_pem(&std::fs::read("authority.pem")?)?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidRoots`] if there is none, or one that cannot be read.
    pub fn only_roots_pem(mut self, pem: &[u8]) -> Result<Self, InvalidRoots> {
        let mut roots = RootCertStore::empty();
        for certificate in transport::certificates(pem).map_err(|_| InvalidRoots)? {
            roots.add(certificate).map_err(|_| InvalidRoots)?;
        }
        self.client = client(roots);
        Ok(self)
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The query may have a token in it.
        let url = format_args!(
            "{}://{}{}",
            self.url.scheme_str().unwrap_or_default(),
            self.url
                .authority()
                .map_or("", |authority| authority.as_str()),
            self.url.path()
        );
        f.debug_struct("Webhook")
            .field("url", &url)
            .field("events", &self.events)
            .field("forwarded", &self.forwarded)
            .field("headers", &self.headers)
            .field("secrets", &self.secrets)
            .field("attempts", &self.attempts)
            .field("backoff", &self.backoff)
            .field("timeout", &self.timeout)
            .field("max_answer", &self.max_answer)
            .field("storage", &self.storage)
            .finish_non_exhaustive()
    }
}

fn client(roots: RootCertStore) -> Client {
    let connector = transport::connector(roots, Schemes::HttpAndHttps, Some(CONNECT));
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(connector)
}

/// The URL cannot be that of a hook server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the URL of a hook server begins with http:// or https:// and a host, and has no user in it"
)]
pub struct InvalidUrl;

/// The text has no certificates that can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no certificate in the PEM, or one that cannot be read")]
pub struct InvalidRoots;

/// What tusd sends without being told to.
const DEFAULT_EVENTS: [Hook; 5] = [
    Hook::PreCreate,
    Hook::PostCreate,
    Hook::PostReceive,
    Hook::PostFinish,
    Hook::PostTerminate,
];

const CONNECT: Duration = Duration::from_secs(5);

/// Shorter than what servers and proxies keep.
const IDLE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;

    use super::*;

    #[test]
    fn a_webhook_has_an_absolute_url() {
        for url in ["http://a/", "https://a:1/b?c"] {
            let _webhook = Webhook::new(url.parse().unwrap()).unwrap();
        }
        for url in ["/hooks", "ftp://a/", "http://u:p@a/", "a:80"] {
            let webhook = Webhook::new(url.parse().unwrap());
            assert_eq!(webhook.unwrap_err(), InvalidUrl, "{url}");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let webhook = Webhook::new("http://a/b?token=rosebud".parse().unwrap())
            .unwrap()
            .secret("0123456789rosebud".parse().unwrap())
            .header(AUTHORIZATION, HeaderValue::from_static("rosebud"));
        let shown = format!("{webhook:?}");
        assert!(
            shown.contains("http://a/b") && !shown.contains("rosebud"),
            "{shown}"
        );
    }

    #[test]
    fn roots_have_to_be_there() {
        let webhook = || Webhook::new("https://a/".parse().unwrap()).unwrap();
        assert_eq!(webhook().only_roots_pem(b"").unwrap_err(), InvalidRoots);
    }
}
