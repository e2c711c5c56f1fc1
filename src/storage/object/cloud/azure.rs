use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{CONTENT_LENGTH, ETAG, IF_MATCH, IF_NONE_MATCH},
    response::Parts,
};
use object_store::{
    Attributes, CopyMode, Error, PutMode, PutOptions, PutPayload, Result, UpdateVersion,
    azure::{AzureAuthorizer, AzureCredential, MicrosoftAzure},
    client::{HttpClient, HttpRequestBody},
    path::Path,
    signer::{Signer, Url},
};
use tokio::time::{Instant, sleep};

use super::{
    super::bucket::{Bucket, Completion, Listed, OWNER, Object, Part, Profile, Session, Stat},
    blocks, objects,
    raw::{Names, Raw, condition, not_supported},
};

/// A container of Azure Blob Storage.
///
/// A session is a block blob under its path, and parts are blocks that bear the session's name and
/// their number. Blocks vanish a week after the last one was put unless they are
/// [secured](Bucket::secure): then they are listed in the blob, which can be seen from then on.
///
/// The store should make one attempt per request (`RetryConfig { max_retries: 0, .. }`). Encryption
/// with keys of the customer does not work.
#[derive(Debug, Clone)]
pub struct Azure {
    store: Arc<MicrosoftAzure>,
    account: String,
    container: String,
    /// With the account.
    endpoint: String,
    raw: Raw,
}

impl Azure {
    /// The container of this name in this account, which are those of the store.
    ///
    /// # Errors
    /// Those of making an HTTP client.
    pub fn new(
        store: impl Into<Arc<MicrosoftAzure>>,
        account: impl Into<String>,
        container: impl Into<String>,
    ) -> Result<Self> {
        Ok(Self::with_raw(store, account, container, Raw::new(STORE)?))
    }

    /// The base URL of the account, as `http://127.0.0.1:10000/devstoreaccount1`. Default:
    /// `https://<account>.blob.core.windows.net`.
    #[must_use]
    pub fn endpoint(self, endpoint: impl Into<String>) -> Self {
        let endpoint: String = endpoint.into();
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            ..self
        }
    }

    /// What sends the requests that object_store lacks. Default: a [`Connector`](super::Connector).
    #[must_use]
    pub fn http(mut self, client: HttpClient) -> Self {
        self.raw = self.raw.with_client(client);
        self
    }

    pub(super) fn with_raw(
        store: impl Into<Arc<MicrosoftAzure>>,
        account: impl Into<String>,
        container: impl Into<String>,
        raw: Raw,
    ) -> Self {
        let account = account.into();
        Self {
            store: store.into(),
            endpoint: format!("https://{account}.blob.core.windows.net"),
            account,
            container: container.into(),
            raw,
        }
    }

    fn url(&self, path: &Path) -> Result<Url> {
        let mut url = Url::parse(&self.endpoint).map_err(|error| self.raw.error(error))?;
        url.path_segments_mut()
            .map_err(|()| self.raw.error("the endpoint is no base of URLs"))?
            .pop_if_empty()
            .push(&self.container)
            .extend(path.parts());
        Ok(url)
    }

    /// Signs and sends a request about a blob.
    async fn send(
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
    async fn put_list(
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
    async fn settled(&self, path: &Path) -> Result<Parts> {
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
}

/// How long an answer may take.
#[derive(Debug, Clone, Copy)]
enum Pace {
    Quick,
    Patient,
}

#[async_trait]
impl Bucket for Azure {
    fn profile(&self) -> Profile {
        Profile {
            min_part: 1,
            max_part: 4_000 << 20,
            max_parts: 50_000,
            equal_parts: false,
            completion: Completion::Staged,
            lasting_parts: false,
            max_sources: 0,
        }
    }

    async fn get(&self, path: &Path, limit: Option<u64>) -> Result<Object> {
        objects::get(&*self.store, path, limit).await
    }

    async fn put(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<UpdateVersion> {
        objects::put(&*self.store, path, payload, options).await
    }

    async fn stat(&self, path: &Path) -> Result<Stat> {
        let blob = self.settled(path).await?.headers;
        let size = text(&blob, &CONTENT_LENGTH).and_then(|size| size.parse().ok());
        let size = size.ok_or_else(|| self.raw.error("a blob has no size"))?;
        let owner = blob.get(format!("{}{OWNER}", NAMES.metadata));
        let owner = owner.and_then(|owner| owner.to_str().ok());
        let version = UpdateVersion {
            e_tag: text(&blob, &ETAG),
            version: None,
        };
        Ok(Stat::new(size, owner.map(str::to_owned), version))
    }

    async fn read(
        &self,
        path: &Path,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        objects::read(&*self.store, path, range).await
    }

    /// Not by object_store, which makes a batch of it.
    async fn delete(&self, path: &Path) -> Result<()> {
        let none = HttpRequestBody::empty();
        let headers = HeaderMap::new();
        let answer = self.send(Pace::Quick, Method::DELETE, path, &[], headers, none);
        objects::removed(answer.await.map(drop))
    }

    fn list(&self, prefix: &Path) -> BoxStream<'static, Result<Listed>> {
        objects::list(&*self.store, prefix)
    }

    async fn copy(&self, from: &Path, to: &Path, mode: CopyMode) -> Result<()> {
        let mut source = self.url(from)?;
        if let Some(pairs) = self.token().await? {
            source.query_pairs_mut().extend_pairs(pairs);
        }
        let mut headers = HeaderMap::new();
        headers.insert(COPY_SOURCE, self.secret(source)?);
        let put = match mode {
            CopyMode::Overwrite => PutMode::Overwrite,
            CopyMode::Create => {
                headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
                PutMode::Create
            }
        };
        let none = HttpRequestBody::empty();
        let answer = self
            .send(Pace::Patient, Method::PUT, to, &[], headers, none)
            .await;
        let (answer, _) = condition(&put, answer)?;
        if text(&answer.headers, &COPY_STATUS).as_deref() == Some("success") {
            return Ok(());
        }
        let blob = self.settled(to).await?.headers;
        let same = text(&blob, &COPY_ID) == text(&answer.headers, &COPY_ID);
        match text(&blob, &COPY_STATUS).as_deref() {
            Some("success") if same => Ok(()),
            status => Err(self.raw.error(format!(
                "the copy to {to} ended as {status:?}{}",
                if same { "" } else { ", replaced by another" }
            ))),
        }
    }

    async fn compose(&self, _: &[Path], _: &Path, _: PutOptions) -> Result<()> {
        Err(not_supported("objects are not composed"))
    }

    /// Only a name: the blob comes into being with its blocks.
    async fn begin(&self, _: &Path, _: Attributes) -> Result<String> {
        blocks::session().map_err(|error| self.raw.error(error))
    }

    async fn put_part(
        &self,
        path: &Path,
        session: &str,
        number: u32,
        payload: PutPayload,
    ) -> Result<String> {
        let id = blocks::id(session, number);
        let query = [("comp", "block"), ("blockid", id.as_str())];
        let headers = HeaderMap::new();
        self.send(Pace::Quick, Method::PUT, path, &query, headers, payload)
            .await?;
        Ok(id)
    }

    async fn copy_part(
        &self,
        path: &Path,
        session: &str,
        number: u32,
        source: &Path,
        range: Range<u64>,
    ) -> Result<String> {
        let id = blocks::id(session, number);
        let query = [("comp", "block"), ("blockid", id.as_str())];
        let last = range.end.saturating_sub(1);
        let range = HeaderValue::try_from(format!("bytes={}-{last}", range.start));
        let mut headers = HeaderMap::new();
        headers.insert(COPY_SOURCE, self.secret(self.readable(source).await?)?);
        headers.insert(SOURCE_RANGE, range.map_err(|error| self.raw.error(error))?);
        let none = HttpRequestBody::empty();
        let answer = self.send(Pace::Patient, Method::PUT, path, &query, headers, none);
        match answer.await {
            Ok(_) => Ok(id),
            // It may not read the source, though we may.
            Err(Error::PermissionDenied { source, .. } | Error::Unauthenticated { source, .. }) => {
                Err(Error::NotSupported { source })
            }
            Err(error) => Err(error),
        }
    }

    async fn secure(
        &self,
        path: &Path,
        session: &str,
        parts: &[Part],
        expected: Option<&str>,
    ) -> Result<String> {
        let (name, value) = match expected {
            Some(expected) => (IF_MATCH, HeaderValue::try_from(expected)),
            // A late first list must not take the place of a newer one.
            None => (IF_NONE_MATCH, Ok(HeaderValue::from_static("*"))),
        };
        let mut headers = HeaderMap::new();
        headers.insert(name, value.map_err(|error| self.raw.error(error))?);
        self.put_list(path, session, parts, headers).await
    }

    async fn complete(
        &self,
        path: &Path,
        session: &str,
        parts: &[Part],
        options: PutOptions,
    ) -> Result<()> {
        let mut headers = self.raw.headers(&options.attributes, &NAMES)?;
        match options.mode {
            PutMode::Overwrite => {}
            PutMode::Create => {
                headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
            }
            PutMode::Update(_) => return Err(not_supported("only puts can be updates")),
        }
        let answer = self.put_list(path, session, parts, headers).await;
        condition(&options.mode, answer)?;
        Ok(())
    }

    /// Leaves the blob alone if blocks of another session are in it, for sessions under one path share
    /// one blob.
    async fn abort(&self, path: &Path, session: &str) -> Result<()> {
        let none = HttpRequestBody::empty();
        let query = [("comp", "blocklist"), ("blocklisttype", "all")];
        let headers = HeaderMap::new();
        let answer = self.send(Pace::Quick, Method::GET, path, &query, headers, none);
        let (blob, body) = match answer.await {
            Err(Error::NotFound { .. }) => return Ok(()),
            answer => answer?,
        };
        let found = blocks::Found::parse(&body).map_err(|error| self.raw.error(error))?;
        if !found.belongs_to(session) {
            return Ok(());
        }
        let mut headers = HeaderMap::new();
        if let Some(tag) = blob.headers.get(ETAG).filter(|_| found.is_listed()) {
            headers.insert(IF_MATCH, tag.clone());
        } else {
            // What is only blocks cannot be removed. An empty list takes their place.
            let mut create = HeaderMap::new();
            create.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
            let empty = self.put_list(path, session, &[], create).await;
            let tag = match condition(&PutMode::Create, empty) {
                Err(Error::AlreadyExists { .. }) => return Ok(()),
                empty => HeaderValue::try_from(empty?),
            };
            headers.insert(IF_MATCH, tag.map_err(|error| self.raw.error(error))?);
        }
        let none = HttpRequestBody::empty();
        let answer = self.send(Pace::Quick, Method::DELETE, path, &[], headers, none);
        match answer.await {
            // Another session was faster, and the blob is its own now.
            Err(Error::Precondition { .. }) => Ok(()),
            answer => objects::removed(answer.map(drop)),
        }
    }

    /// None: they vanish by themselves.
    fn sessions(&self, _: &Path) -> BoxStream<'static, Result<Session>> {
        stream::empty().boxed()
    }

    /// With the key of an account, or of a role that may ask for one.
    async fn signed_url(&self, path: &Path, lifetime: Duration) -> Result<Option<String>> {
        if self.token().await?.is_some() {
            return Ok(None);
        }
        let lifetime = objects::lifetime(lifetime);
        let url = self.store.signed_url(Method::GET, path, lifetime);
        match url.await {
            Err(Error::NotSupported { .. }) => Ok(None),
            url => url.map(|url| Some(url.into())),
        }
    }
}

impl Azure {
    /// The shared access signature that every request bears, if that is how the store is signed in.
    async fn token(&self) -> Result<Option<Vec<(String, String)>>> {
        let credential = self.store.credentials().get_credential().await?;
        Ok(match &*credential {
            AzureCredential::SASToken(pairs) => Some(pairs.clone()),
            _ => None,
        })
    }

    /// A URL under which the service itself may read a blob.
    async fn readable(&self, path: &Path) -> Result<Url> {
        let Some(pairs) = self.token().await? else {
            return self.store.signed_url(Method::GET, path, VALIDITY).await;
        };
        let mut url = self.url(path)?;
        url.query_pairs_mut().extend_pairs(pairs);
        Ok(url)
    }

    fn secret(&self, url: Url) -> Result<HeaderValue> {
        let value = HeaderValue::try_from(url.as_str());
        let mut value = value.map_err(|error| self.raw.error(error))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

pub(super) const STORE: &str = "Azure";
const NAMES: Names = Names {
    standard: "x-ms-blob-",
    metadata: "x-ms-meta-",
    class: "x-ms-access-tier",
};
const COPY_ID: HeaderName = HeaderName::from_static("x-ms-copy-id");
const COPY_SOURCE: HeaderName = HeaderName::from_static("x-ms-copy-source");
const COPY_STATUS: HeaderName = HeaderName::from_static("x-ms-copy-status");
const SOURCE_RANGE: HeaderName = HeaderName::from_static("x-ms-source-range");

/// How long a copy may take.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// Between two looks at a copy, at first and later.
const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(5);

/// How long the service may take to read a source.
const VALIDITY: Duration = Duration::from_secs(60 * 60);
