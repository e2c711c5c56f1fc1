//! The requests of a container.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header::ETAG, response::Parts};
use object_store::{
    Result,
    azure::{AzureAuthorizer, AzureCredential},
    client::HttpRequestBody,
    path::Path,
    signer::{Signer, Url},
};
use tokio::time::{Instant, sleep};

use super::{super::super::bucket::Part, Azure, blocks};

impl Azure {
    pub(super) fn url(&self, path: &Path) -> Result<Url> {
        let mut url = Url::parse(&self.endpoint).map_err(|error| self.raw.error(error))?;
        url.path_segments_mut()
            .map_err(|()| self.raw.error("the endpoint is no base of URLs"))?
            .pop_if_empty()
            .push(&self.container)
            .extend(path.parts());
        Ok(url)
    }

    /// Signs and sends a request about a blob.
    pub(super) async fn send(
        &self,
        pace: Pace,
        method: Method,
        path: &Path,
        query: &[(&str, &str)],
        headers: HeaderMap,
        body: impl Into<HttpRequestBody>,
    ) -> Result<(Parts, Bytes)> {
        let mut url = self.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.raw.request(method, url.as_str(), headers, body)?;
        let credential = self.store.credentials().get_credential().await?;
        AzureAuthorizer::new(&credential, &self.account).try_authorize(&mut request)?;
        match pace {
            Pace::Quick => self.raw.send(path, request).await,
            Pace::Patient => self.raw.send_patiently(path, request).await,
        }
    }

    /// Makes the blob that these blocks are, and gives its tag.
    pub(super) async fn put_list(
        &self,
        path: &Path,
        session: &str,
        parts: &[Part],
        headers: HeaderMap,
    ) -> Result<String> {
        let body = blocks::list(session, parts);
        let query = [("comp", "blocklist")];
        let (answer, _) = self
            .send(Pace::Patient, Method::PUT, path, &query, headers, body)
            .await?;
        let tag = text(&answer.headers, &ETAG);
        tag.ok_or_else(|| self.raw.error("a list of blocks was stored without a tag"))
    }

    /// What the blob is when no copy to it is under way any more.
    pub(super) async fn settled(&self, path: &Path) -> Result<Parts> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = SHORT;
        loop {
            let none = HttpRequestBody::empty();
            let (blob, _) = self
                .send(Pace::Quick, Method::HEAD, path, &[], HeaderMap::new(), none)
                .await?;
            if text(&blob.headers, &COPY_STATUS).as_deref() != Some("pending") {
                return Ok(blob);
            }
            if Instant::now() >= deadline {
                return Err(self.raw.error(format!("the copy to {path} does not end")));
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONG);
        }
    }

    /// The shared access signature that every request bears, if that is how the store is signed in.
    pub(super) async fn token(&self) -> Result<Option<Vec<(String, String)>>> {
        let credential = self.store.credentials().get_credential().await?;
        Ok(match &*credential {
            AzureCredential::SASToken(pairs) => Some(pairs.clone()),
            _ => None,
        })
    }

    /// A URL under which the service itself may read a blob.
    pub(super) async fn readable(&self, path: &Path) -> Result<Url> {
        let Some(pairs) = self.token().await? else {
            return self.store.signed_url(Method::GET, path, VALIDITY).await;
        };
        let mut url = self.url(path)?;
        url.query_pairs_mut().extend_pairs(pairs);
        Ok(url)
    }

    pub(super) fn secret(&self, url: Url) -> Result<HeaderValue> {
        let value = HeaderValue::try_from(url.as_str());
        let mut value = value.map_err(|error| self.raw.error(error))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// How long an answer may take.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pace {
    Quick,
    Patient,
}

pub(super) fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

pub(super) const COPY_STATUS: HeaderName = HeaderName::from_static("x-ms-copy-status");

/// How long a copy may take.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// Between two looks at a copy, at first and later.
const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(5);

/// How long the service may take to read a source.
const VALIDITY: Duration = Duration::from_secs(60 * 60);
