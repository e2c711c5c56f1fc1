use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderName, Method, Uri};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::{Client, Error, exchange::Call, inspect::malformed};
use crate::protocol::{
    Algorithm, Extension, Extensions,
    header::{self, TUS_CHECKSUM_ALGORITHM, TUS_EXTENSION, TUS_MAX_SIZE, TUS_VERSION},
};

/// What a server says it can do: its answer to OPTIONS.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// Versions of tus, most preferred first.
    pub versions: Vec<String>,
    /// Extensions of tus 1.0.0.
    pub extensions: Extensions,
    /// All names of extensions as the server wrote them, unknown ones too.
    pub extension_names: Vec<String>,
    /// Largest upload in bytes, where there is a limit.
    pub max_size: Option<u64>,
    /// Checksum algorithms that this client knows as well, in the server's order.
    pub checksums: Vec<Algorithm>,
    /// All names of algorithms as the server wrote them.
    pub checksum_names: Vec<String>,
}

impl ServerInfo {
    /// Whether the server offers an extension.
    #[must_use]
    pub fn offers(&self, extension: Extension) -> bool {
        self.extensions.contains(extension)
    }

    pub(crate) fn require(&self, extension: Extension) -> Result<(), Error> {
        match self.offers(extension) {
            true => Ok(()),
            false => Err(Error::not_offered(extension)),
        }
    }

    fn parse(headers: &HeaderMap) -> Result<Self, Error> {
        let versions = names(headers, &TUS_VERSION);
        if versions.is_empty() {
            return Err(Error::no_tus("answers OPTIONS without Tus-Version"));
        }
        let extension_names = names(headers, &TUS_EXTENSION);
        let checksum_names = names(headers, &TUS_CHECKSUM_ALGORITHM);
        Ok(Self {
            versions,
            extensions: extension_names
                .iter()
                .filter_map(|name| name.parse().ok())
                .fold(Extensions::none(), Extensions::with),
            max_size: header::integer(headers, &TUS_MAX_SIZE).map_err(malformed)?,
            checksums: checksum_names
                .iter()
                .filter_map(|name| name.to_ascii_lowercase().parse().ok())
                .collect(),
            extension_names,
            checksum_names,
        })
    }
}

impl Client {
    /// What the server can do: versions, extensions, limits.
    ///
    /// # Errors
    /// Whatever goes wrong on the way; [`Error::is_protocol`] if it is no tus server.
    pub async fn options(&self) -> Result<ServerInfo, Error> {
        let mut retries = self.retries();
        loop {
            match self.options_once().await {
                Ok(info) => return Ok(info),
                Err(error) => retries.after(error).await?,
            }
        }
    }

    async fn options_once(&self) -> Result<ServerInfo, Error> {
        let call = Call::new(Method::OPTIONS, &self.config().endpoint);
        ServerInfo::parse(&self.ask(call).await?.headers)
    }

    /// What was found out before.
    pub(crate) fn remembered_options(&self) -> Option<&ServerInfo> {
        self.server.info.get()
    }

    /// What was found out before, or now.
    pub(crate) async fn known_options(&self) -> Result<&ServerInfo, Error> {
        if let Some(info) = self.server.info.get() {
            return Ok(info);
        }
        let info = self.options().await?;
        // Somebody may have been faster.
        Ok(self.server.info.get_or_init(|| info))
    }

    /// As [`known_options`](Self::known_options), of a server that may not answer OPTIONS at all: nothing
    /// depends on it.
    pub(crate) async fn perhaps_options(&self) -> Option<&ServerInfo> {
        if let Some(info) = self.server.info.get() {
            return Some(info);
        }
        if self.server.is_silent.load(Ordering::Relaxed) {
            return None;
        }
        match timeout(PATIENCE, self.options_once()).await {
            Ok(Ok(info)) => return Some(self.server.info.get_or_init(|| info)),
            Ok(Err(error)) if error.is_retryable() && !error.is_timeout() => {}
            // It will say the same the next time, or nothing again.
            Ok(Err(_)) | Err(_) => self.server.is_silent.store(true, Ordering::Relaxed),
        }
        None
    }
}

/// What a client found out about its server.
#[derive(Debug, Default)]
pub(crate) struct Known {
    info: OnceLock<ServerInfo>,
    /// It does not tell what it offers, as far as that is known.
    is_silent: AtomicBool,
    /// Trailers do not reach it.
    is_without_trailers: AtomicBool,
}

impl Known {
    /// Something on the way drops trailers.
    pub(crate) fn without_trailers(&self) {
        self.is_without_trailers.store(true, Ordering::Relaxed);
    }

    /// Whether trailers reach it, as far as that is known.
    pub(crate) fn gets_trailers(&self) -> bool {
        !self.is_without_trailers.load(Ordering::Relaxed)
    }
}

/// The endpoint's spelling in stores: without userinfo, and of its query, which may hold a token, what
/// tells it from others.
pub(crate) fn filed(uri: &Uri) -> String {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = uri.path().parse().ok();
    let bare = Uri::from_parts(parts);
    let bare = bare.map_or_else(|_| uri.path().to_owned(), |uri| uri.to_string());
    match uri.query() {
        Some(query) => {
            let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(query));
            format!("{bare}?#{a:02x}{b:02x}{c:02x}{d:02x}")
        }
        None => bare,
    }
}

fn names(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|item| item.trim().to_owned())
        .filter(|item| !item.is_empty())
        .collect()
}

/// How long an upload waits for what it can do without.
const PATIENCE: Duration = Duration::from_secs(10);
