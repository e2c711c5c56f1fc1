use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header::AUTHORIZATION};
use object_store::{
    Attributes, CopyMode, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    Result, UpdateVersion,
    client::{HttpClient, HttpRequest, HttpRequestBody},
    gcp::GoogleCloudStorage,
    multipart::MultipartStore,
    path::Path,
    signer::Signer,
};

use super::{
    super::{
        bucket::{Bucket, Listed, Object, Part, Stat},
        profile::Profile,
        scope::{Scope, Session},
    },
    objects,
    raw::{Names, Raw, condition, encode, not_supported},
    xml::{self, Element},
};

/// A bucket of Google Cloud Storage.
///
/// The store should make one attempt per request (`RetryConfig { max_retries: 0, .. }`).
#[derive(Debug, Clone)]
pub struct Gcs {
    store: Arc<GoogleCloudStorage>,
    bucket: String,
    endpoint: String,
    raw: Raw,
}

impl Gcs {
    /// The bucket of this name, which is that of the store.
    ///
    /// # Errors
    /// Those of making an HTTP client.
    pub fn new(
        store: impl Into<Arc<GoogleCloudStorage>>,
        bucket: impl Into<String>,
    ) -> Result<Self> {
        Ok(Self::with_raw(store, bucket, Raw::new(STORE)?))
    }

    /// The base URL of the service. Default: `https://storage.googleapis.com`.
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
        store: impl Into<Arc<GoogleCloudStorage>>,
        bucket: impl Into<String>,
        raw: Raw,
    ) -> Self {
        Self {
            store: store.into(),
            bucket: bucket.into(),
            endpoint: ENDPOINT.to_owned(),
            raw,
        }
    }

    /// A request about `path`, or about the bucket.
    async fn request(
        &self,
        method: Method,
        path: &Path,
        query: &[(String, String)],
        body: impl Into<HttpRequestBody>,
    ) -> Result<HttpRequest> {
        let credential = self.store.credentials().get_credential().await?;
        let mut headers = HeaderMap::new();
        if !credential.bearer.is_empty() {
            let bearer = format!("Bearer {}", credential.bearer);
            let mut bearer =
                HeaderValue::try_from(bearer).map_err(|error| self.raw.error(error))?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        let query: Vec<_> = query
            .iter()
            .map(|(name, value)| format!("{name}={}", encode(value)))
            .collect();
        let url = format!(
            "{}/{}/{}?{}",
            self.endpoint,
            encode(&self.bucket),
            encode(path.as_ref()),
            query.join("&")
        );
        self.raw.request(method, &url, headers, body)
    }
}

#[async_trait]
impl Bucket for Gcs {
    /// As S3, but nothing about parts takes a condition.
    fn profile(&self) -> Profile {
        Profile::gcs()
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
        objects::stat(&*self.store, path).await
    }

    async fn read(
        &self,
        path: &Path,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        objects::read(&*self.store, path, range).await
    }

    async fn delete(&self, path: &Path) -> Result<()> {
        objects::removed(self.store.delete(path).await)
    }

    fn list(&self, prefix: &Path) -> BoxStream<'static, Result<Listed>> {
        objects::list(&*self.store, prefix)
    }

    async fn copy(&self, from: &Path, to: &Path, mode: CopyMode) -> Result<()> {
        objects::copy(&*self.store, from, to, mode).await
    }

    async fn compose(&self, sources: &[Path], to: &Path, options: PutOptions) -> Result<()> {
        let mut headers = self.raw.headers(&options.attributes, &NAMES)?;
        if options.mode == PutMode::Create {
            headers.insert(GENERATION_MATCH, HeaderValue::from_static("0"));
        }
        let body = xml::composition(sources.iter().map(AsRef::as_ref));
        let query = [("compose".to_owned(), String::new())];
        let mut request = self.request(Method::PUT, to, &query, body).await?;
        request.headers_mut().extend(headers);
        let composed = self.raw.send_patiently(to, request).await;
        condition(&options.mode, composed.map(drop))
    }

    async fn begin(&self, path: &Path, attributes: Attributes) -> Result<String> {
        let options = PutMultipartOptions::from(attributes);
        self.store.create_multipart_opts(path, options).await
    }

    async fn put_part(
        &self,
        path: &Path,
        session: &str,
        number: u32,
        payload: PutPayload,
    ) -> Result<String> {
        let Some(index) = usize::try_from(number).ok().and_then(|n| n.checked_sub(1)) else {
            return Err(not_supported("parts are numbered from 1 on"));
        };
        let session = session.to_owned();
        let part = self.store.put_part(path, &session, index, payload).await?;
        Ok(part.content_id.trim_matches('"').to_owned())
    }

    async fn copy_part(
        &self,
        _: &Path,
        _: &str,
        _: u32,
        _: &Path,
        _: Range<u64>,
    ) -> Result<String> {
        Err(not_supported("a part is no copy"))
    }

    async fn parts(&self, path: &Path, session: &str) -> Result<Vec<Part>> {
        let at = (self.clone(), path.clone());
        let fetch = move |query: Vec<(String, String)>| {
            let (bucket, path) = at.clone();
            async move {
                let none = HttpRequestBody::empty();
                let request = bucket.request(Method::GET, &path, &query, none);
                let (_, body) = bucket.raw.send(&path, request.await?).await?;
                Ok(body)
            }
        };
        xml::parts(STORE, session, fetch).await
    }

    async fn secure(&self, _: &Path, _: &str, _: &[Part], _: Option<&str>) -> Result<String> {
        Err(not_supported("parts last as long as their session"))
    }

    async fn complete(
        &self,
        path: &Path,
        session: &str,
        parts: &[Part],
        options: PutOptions,
    ) -> Result<()> {
        if options.mode != PutMode::Overwrite {
            return Err(not_supported("parts are put together without conditions"));
        }
        let elements = parts.iter().map(|part| Element {
            number: part.number,
            content: vec![("ETag", xml::quoted(&part.tag))],
        });
        let body = xml::completion(elements);
        let query = [("uploadId".to_owned(), session.to_owned())];
        let request = self.request(Method::POST, path, &query, body).await?;
        self.raw.send_patiently(path, request).await?;
        Ok(())
    }

    async fn abort(&self, path: &Path, session: &str) -> Result<()> {
        let answer = self.store.abort_multipart(path, &session.to_owned()).await;
        objects::removed(answer)
    }

    fn sessions(&self, scope: &Scope) -> BoxStream<'static, Result<Session>> {
        let bucket = self.clone();
        xml::sessions(STORE, scope, move |query| {
            let bucket = bucket.clone();
            async move {
                let path = Path::default();
                let none = HttpRequestBody::empty();
                let request = bucket.request(Method::GET, &path, &query, none).await?;
                let (_, body) = bucket.raw.send(&path, request).await?;
                Ok(body)
            }
        })
    }

    /// By the key of a service account, or by asking Google to sign.
    async fn signed_url(&self, path: &Path, lifetime: Duration) -> Result<Option<String>> {
        let lifetime = objects::lifetime(lifetime);
        let url = self.store.signed_url(Method::GET, path, lifetime).await?;
        Ok(Some(url.into()))
    }
}

const NAMES: Names = Names {
    standard: "",
    metadata: "x-goog-meta-",
    class: "x-goog-storage-class",
};
const GENERATION_MATCH: HeaderName = HeaderName::from_static("x-goog-if-generation-match");
const ENDPOINT: &str = "https://storage.googleapis.com";
pub(super) const STORE: &str = "GCS";
