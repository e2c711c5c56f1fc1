use std::{
    collections::HashMap,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, header::USER_AGENT};
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use object_store::{
    ClientConfigKey, ClientOptions, Error, Result,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
        HttpResponseBody, HttpService,
    },
};
use rustls::RootCertStore;

use super::{
    body::{Limits, Progress, Received, Sent},
    observe::observed,
};
use crate::transport::{self, Schemes};

/// The HTTP client of this crate for stores of object_store: hyper and rustls.
///
/// For those who build a store themselves without object_store's own client, as
/// `AmazonS3Builder::with_http_connector(Connector::default())`. Clones share their connections.
///
/// Trusted are the certificates that the operating system trusts, or those of the file in
/// `SSL_CERT_FILE`: that is the way to add one's own authority. It speaks HTTP/1.1 only.
///
/// Of the [`ClientOptions`] it takes `allow_http`, `connect_timeout`, `pool_idle_timeout`,
/// `pool_max_idle_per_host`, `user_agent`, default headers, `timeout` and `read_timeout`. The timeout
/// ends with the head of the answer, for a download may take as long as its reader. The read timeout
/// is for silence in both directions, also while a body is sent. Refused are a proxy, HTTP/2, invalid
/// certificates, and a resolver.
#[derive(Debug, Clone, Default)]
pub struct Connector {
    clients: Arc<Mutex<HashMap<Pool, Client>>>,
}

type Client = legacy::Client<transport::Connector, Sent>;

/// What connections have to have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Pool {
    allow_http: bool,
    connect_timeout: Option<Duration>,
    idle_timeout: Option<Duration>,
    max_idle: Option<usize>,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        refuse(options)?;
        let pool = Pool {
            allow_http: flag(options, ClientConfigKey::AllowHttp),
            connect_timeout: duration(options, ClientConfigKey::ConnectTimeout)?,
            idle_timeout: duration(options, ClientConfigKey::PoolIdleTimeout)?,
            max_idle: parsed(options, ClientConfigKey::PoolMaxIdlePerHost)?,
        };
        let agent = parsed(options, ClientConfigKey::UserAgent)?;
        let mut headers = options.get_default_headers().cloned().unwrap_or_default();
        headers.insert(USER_AGENT, agent.unwrap_or(AGENT));
        Ok(HttpClient::new(Service {
            client: self.client(pool)?,
            headers,
            limits: Limits {
                whole: duration(options, ClientConfigKey::Timeout)?,
                silence: duration(options, ClientConfigKey::ReadTimeout)?,
            },
        }))
    }
}

impl Connector {
    fn client(&self, pool: Pool) -> Result<Client> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&pool) {
            return Ok(client.clone());
        }
        let client = pool.client()?;
        clients.insert(pool, client.clone());
        Ok(client)
    }
}

impl Pool {
    fn client(&self) -> Result<Client> {
        let schemes = match self.allow_http {
            true => Schemes::HttpAndHttps,
            false => Schemes::Https,
        };
        let connector = transport::connector(self.roots()?, schemes, self.connect_timeout);
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new());
        if let Some(timeout) = self.idle_timeout {
            builder.pool_idle_timeout(timeout);
        }
        if let Some(max) = self.max_idle {
            builder.pool_max_idle_per_host(max);
        }
        Ok(builder.build(connector))
    }

    fn roots(&self) -> Result<RootCertStore> {
        let roots = transport::system_roots();
        if roots.is_empty() {
            if !self.allow_http {
                return Err(generic("the operating system trusts no certificate"));
            }
            // A container without certificates, and perhaps a store without TLS.
            tracing::warn!("no certificate is trusted: TLS to a store will fail");
        }
        Ok(roots)
    }
}

#[derive(Debug)]
struct Service {
    client: Client,
    headers: HeaderMap,
    limits: Limits,
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        observed(request.method().clone(), self.exchange(request)).await
    }
}

impl Service {
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let progress = Progress::default();
        let mut request = request.map(|body| Sent::new(body, progress.clone()));
        for (name, value) in &self.headers {
            if !request.headers().contains_key(name) {
                request.headers_mut().append(name, value.clone());
            }
        }
        let answer = self.limits.wait(&progress, self.client.request(request));
        let answer = answer.await?.map_err(|error| {
            let kind = if error.is_connect() {
                HttpErrorKind::Connect
            } else {
                // Perhaps carried out.
                HttpErrorKind::Interrupted
            };
            HttpError::new(kind, error)
        })?;
        let silence = self.limits.silence.or(self.limits.whole);
        Ok(answer.map(|body| HttpResponseBody::new(Received::new(body, silence))))
    }
}

const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("tower-tus/", env!("CARGO_PKG_VERSION")));

/// Refuses what would be silently different from what was asked for.
fn refuse(options: &ClientOptions) -> Result<()> {
    let flags = [
        (
            ClientConfigKey::AllowInvalidCertificates,
            "invalid certificates: name the authority in SSL_CERT_FILE instead",
        ),
        (
            ClientConfigKey::NoSystemCertificates,
            "no system certificates: name others in SSL_CERT_FILE instead",
        ),
        (ClientConfigKey::Http2Only, "HTTP/2"),
    ];
    let flag = flags.into_iter().find(|(key, _)| flag(options, *key));
    let what = match flag {
        Some((_, what)) => what,
        None if options
            .get_config_value(&ClientConfigKey::ProxyUrl)
            .is_some() =>
        {
            "a proxy"
        }
        None if options.dns_resolver().is_some() => "a resolver",
        None => return Ok(()),
    };
    Err(Error::NotSupported {
        source: format!("the HTTP client of tower-tus does not support {what}").into(),
    })
}

fn flag(options: &ClientOptions, key: ClientConfigKey) -> bool {
    let value = options.get_config_value(&key).unwrap_or_default();
    matches!(
        value.to_ascii_lowercase().as_str(),
        "1" | "true" | "on" | "yes" | "y"
    )
}

fn duration(options: &ClientOptions, key: ClientConfigKey) -> Result<Option<Duration>> {
    let value = options.get_config_value(&key);
    value
        .map(|value| humantime::parse_duration(&value).map_err(generic))
        .transpose()
}

fn parsed<T>(options: &ClientOptions, key: ClientConfigKey) -> Result<Option<T>>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let value = options.get_config_value(&key);
    value
        .map(|value| value.parse().map_err(generic))
        .transpose()
}

fn generic(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic {
        store: "HTTP client",
        source: error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_cannot_be_honoured_are_refused() {
        let connector = Connector::default();
        let good = ClientOptions::new().with_allow_http(true);
        connector.connect(&good).unwrap();
        for bad in [
            good.clone().with_proxy_url("http://proxy"),
            good.clone().with_http2_only(),
            good.clone().with_allow_invalid_certificates(true),
        ] {
            let error = connector.connect(&bad).unwrap_err();
            assert!(matches!(error, Error::NotSupported { .. }), "{error}");
        }
    }

    #[test]
    fn clients_of_the_same_kind_share_their_connections() {
        let connector = Connector::default();
        let options = ClientOptions::new().with_allow_http(true);
        for timeout in [1, 2, 3] {
            let options = options.clone().with_timeout(Duration::from_secs(timeout));
            connector.connect(&options).unwrap();
        }
        assert_eq!(connector.clients.lock().unwrap().len(), 1);
    }
}
