use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header::IF_NONE_MATCH};
use object_store::{
    Attributes, CopyMode, Error, PutMode, PutMultipartOptions, PutOptions, PutPayload, Result,
    UpdateVersion,
    aws::AmazonS3,
    client::{HttpClient, HttpRequest, HttpRequestBody},
    multipart::MultipartStore,
    path::Path,
    signer::{SignedUrlOptions, Signer},
};

use super::{
    super::{
        bucket::{Bucket, Listed, Object, Part, Stat},
        profile::Profile,
        scope::{Scope, Session},
    },
    objects,
    raw::{Raw, condition, encode, is_bad_request, not_supported},
    tag::{self, Tag},
    xml::{self, Element},
};

/// A bucket of Amazon S3, or of a store that speaks like it.
///
/// The store should make one attempt per request (`RetryConfig { max_retries: 0, .. }`), and sign no
/// payloads where TLS keeps them whole: that is four times less work. Encryption with keys of the
/// customer (SSE-C) does not work.
///
/// ```no_run
/// use object_store::{RetryConfig, aws::AmazonS3Builder};
/// use tower_tus::storage::object::{Connector, S3};
///
/// let store = AmazonS3Builder::from_env()
///     .with_bucket_name("uploads")
///     .with_unsigned_payload(true)
///     .with_http_connector(Connector::default())
///     .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
///     .build()?;
/// let bucket = S3::new(store, "uploads")?;
/// # Ok::<_, object_store::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct S3 {
    store: Arc<AmazonS3>,
    bucket: String,
    profile: Profile,
    raw: Raw,
}

impl S3 {
    /// The bucket of this name, which is that of the store.
    ///
    /// # Errors
    /// Those of making an HTTP client.
    pub fn new(store: impl Into<Arc<AmazonS3>>, bucket: impl Into<String>) -> Result<Self> {
        Ok(Self::with_raw(store, bucket, Raw::new(STORE)?))
    }

    /// Keeps to the rules of Cloudflare R2: all parts of one size, and no conditions on putting them
    /// together.
    #[must_use]
    pub fn r2(mut self) -> Self {
        self.profile = Profile::r2();
        self
    }

    /// What sends the requests that object_store lacks. Default: a [`Connector`](super::Connector).
    #[must_use]
    pub fn http(mut self, client: HttpClient) -> Self {
        self.raw = self.raw.with_client(client);
        self
    }

    pub(super) fn with_raw(
        store: impl Into<Arc<AmazonS3>>,
        bucket: impl Into<String>,
        raw: Raw,
    ) -> Self {
        Self {
            store: store.into(),
            bucket: bucket.into(),
            profile: Profile::s3(),
            raw,
        }
    }

    /// A request about `path` whose signature is in its URL.
    async fn request(
        &self,
        method: Method,
        path: &Path,
        query: Vec<(String, String)>,
        signed: HeaderMap,
        body: impl Into<HttpRequestBody>,
    ) -> Result<HttpRequest> {
        let mut options = SignedUrlOptions::new().with_query(query);
        options.signed_headers = signed.clone();
        let url = self
            .store
            .signed_url_opts(method.clone(), path, VALIDITY, &options)
            .await?;
        self.raw.request(method, url.as_str(), signed, body)
    }
}

#[async_trait]
impl Bucket for S3 {
    fn profile(&self) -> Profile {
        self.profile.clone()
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
        match objects::put(&*self.store, path, payload, options).await {
            // 409 is a conflict with another request at the same time, and not a condition that did
            // not hold: that is 412, which is below.
            Err(Error::AlreadyExists { source, .. }) if !source.is::<Error>() => {
                Err(self.raw.error(source))
            }
            answer => answer,
        }
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

    /// Not by object_store, whose request for many objects is dearer, and unknown to some stores.
    async fn delete(&self, path: &Path) -> Result<()> {
        let none = HttpRequestBody::empty();
        let request = self.request(Method::DELETE, path, Vec::new(), HeaderMap::new(), none);
        let answer = self.raw.send(path, request.await?).await;
        objects::removed(answer.map(drop))
    }

    fn list(&self, prefix: &Path) -> BoxStream<'static, Result<Listed>> {
        objects::list(&*self.store, prefix)
    }

    async fn copy(&self, from: &Path, to: &Path, mode: CopyMode) -> Result<()> {
        objects::copy(&*self.store, from, to, mode).await
    }

    async fn compose(&self, _: &[Path], _: &Path, _: PutOptions) -> Result<()> {
        Err(not_supported("objects are not composed"))
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
        let index = index(number)?;
        let session = session.to_owned();
        let part = self.store.put_part(path, &session, index, payload).await?;
        Ok(Tag::parse(&part.content_id).join())
    }

    async fn copy_part(
        &self,
        path: &Path,
        session: &str,
        number: u32,
        source: &Path,
        range: Range<u64>,
    ) -> Result<String> {
        let query = vec![
            ("partNumber".to_owned(), number.to_string()),
            ("uploadId".to_owned(), session.to_owned()),
        ];
        let last = range.end.saturating_sub(1);
        let values = [
            (
                SOURCE,
                format!("{}/{}", self.bucket, encode(source.as_ref())),
            ),
            (SOURCE_RANGE, format!("bytes={}-{last}", range.start)),
        ];
        let mut signed = HeaderMap::new();
        for (name, value) in values {
            let value = HeaderValue::try_from(value).map_err(|error| self.raw.error(error))?;
            signed.insert(name, value);
        }
        let none = HttpRequestBody::empty();
        let request = self.request(Method::PUT, path, query, signed, none).await?;
        let answer = self.raw.send_patiently(path, request).await;
        let (_, body) = answer.map_err(|error| {
            // MinIO, of parts that ought to have a checksum; and whatever others do not copy.
            if is_bad_request(&error) {
                Error::NotSupported {
                    source: error.into(),
                }
            } else {
                error
            }
        })?;
        let copied: Tag =
            quick_xml::de::from_reader(&body[..]).map_err(|error| self.raw.error(error))?;
        Ok(copied.join())
    }

    async fn parts(&self, path: &Path, session: &str) -> Result<Vec<Part>> {
        let at = (self.clone(), path.clone());
        let fetch = move |query: Vec<(String, String)>| {
            let (bucket, path) = at.clone();
            async move {
                let none = HttpRequestBody::empty();
                let request = bucket.request(Method::GET, &path, query, HeaderMap::new(), none);
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
        let elements = parts.iter().map(|part| Element {
            number: part.number,
            content: tag::content(&part.tag),
        });
        let body = xml::completion(elements);
        let query = vec![("uploadId".to_owned(), session.to_owned())];
        let signed = HeaderMap::new();
        let mut request = self
            .request(Method::POST, path, query, signed, body)
            .await?;
        match options.mode {
            PutMode::Overwrite => {}
            PutMode::Create => {
                let any = HeaderValue::from_static("*");
                request.headers_mut().insert(IF_NONE_MATCH, any);
            }
            PutMode::Update(_) => return Err(not_supported("only puts can be updates")),
        }
        let answer = self.raw.send_patiently(path, request).await;
        condition(&options.mode, answer)?;
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
                let request = bucket.request(Method::GET, &path, query, HeaderMap::new(), none);
                let (_, body) = bucket.raw.send(&path, request.await?).await?;
                Ok(body)
            }
        })
    }

    async fn signed_url(&self, path: &Path, lifetime: Duration) -> Result<Option<String>> {
        let lifetime = objects::lifetime(lifetime);
        let url = self.store.signed_url(Method::GET, path, lifetime).await?;
        Ok(Some(url.into()))
    }
}

pub(super) fn index(number: u32) -> Result<usize> {
    let index = usize::try_from(number)
        .ok()
        .and_then(|number| number.checked_sub(1));
    index.ok_or_else(|| not_supported("parts are numbered from 1 on"))
}

const SOURCE: HeaderName = HeaderName::from_static("x-amz-copy-source");
const SOURCE_RANGE: HeaderName = HeaderName::from_static("x-amz-copy-source-range");

/// How long the signature of a request may be on its way.
const VALIDITY: Duration = Duration::from_secs(15 * 60);

pub(super) const STORE: &str = "S3";
