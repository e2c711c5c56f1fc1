mod blocks;
mod requests;

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{CONTENT_LENGTH, ETAG, IF_MATCH, IF_NONE_MATCH},
};
use object_store::{
    Attributes, CopyMode, Error, PutMode, PutOptions, PutPayload, Result, UpdateVersion,
    azure::MicrosoftAzure,
    client::{HttpClient, HttpRequestBody},
    path::Path,
    signer::Signer,
};

use self::requests::{COPY_STATUS, Pace, text};
use super::{
    super::{
        bucket::{Bucket, Listed, OWNER, Object, Part, Stat},
        profile::Profile,
        scope::{Scope, Session},
    },
    objects,
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
}

#[async_trait]
impl Bucket for Azure {
    fn profile(&self) -> Profile {
        Profile::azure()
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

    async fn parts(&self, _: &Path, _: &str) -> Result<Vec<Part>> {
        Err(not_supported("blocks are known by their names alone"))
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
    fn sessions(&self, _: &Scope) -> BoxStream<'static, Result<Session>> {
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

pub(super) const STORE: &str = "Azure";
const NAMES: Names = Names {
    standard: "x-ms-blob-",
    metadata: "x-ms-meta-",
    class: "x-ms-access-tier",
};
const COPY_ID: HeaderName = HeaderName::from_static("x-ms-copy-id");
const COPY_SOURCE: HeaderName = HeaderName::from_static("x-ms-copy-source");
const SOURCE_RANGE: HeaderName = HeaderName::from_static("x-ms-source-range");
