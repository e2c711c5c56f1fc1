//! Requests that object_store lacks.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header::CONTENT_LENGTH,
    response::Parts,
};
use object_store::{
    Attribute, Attributes, ClientOptions, Error, PutMode, Result,
    client::{HttpClient, HttpConnector, HttpRequest, HttpRequestBody},
    path::Path,
};

use super::connector::Connector;

/// Sends requests that are already signed.
#[derive(Debug, Clone)]
pub(super) struct Raw {
    /// For errors.
    store: &'static str,
    client: HttpClient,
    /// For what a store works on for minutes without a word.
    patient: HttpClient,
}

/// How long a store may be silent while it puts parts together, or copies.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

impl Raw {
    pub(super) fn new(store: &'static str) -> Result<Self> {
        Self::connect(store, &Connector::default(), &client_options())
    }

    pub(super) fn connect(
        store: &'static str,
        connector: &Connector,
        options: &ClientOptions,
    ) -> Result<Self> {
        let patient = options.clone().with_timeout_disabled();
        Ok(Self {
            store,
            client: connector.connect(options)?,
            patient: connector.connect(&patient.with_read_timeout(PATIENCE))?,
        })
    }

    pub(super) fn with_client(self, client: HttpClient) -> Self {
        Self {
            patient: client.clone(),
            client,
            ..self
        }
    }

    /// Sends `request`, which is about `path`, and collects the answer.
    pub(super) async fn send(&self, path: &Path, request: HttpRequest) -> Result<(Parts, Bytes)> {
        self.send_by(&self.client, path, request).await
    }

    /// [`send`](Self::send) for what may take minutes.
    pub(super) async fn send_patiently(
        &self,
        path: &Path,
        request: HttpRequest,
    ) -> Result<(Parts, Bytes)> {
        self.send_by(&self.patient, path, request).await
    }

    async fn send_by(
        &self,
        client: &HttpClient,
        path: &Path,
        request: HttpRequest,
    ) -> Result<(Parts, Bytes)> {
        let method = request.method().clone();
        let answer = client.execute(request).await;
        let (parts, body) = answer.map_err(|error| self.error(error))?.into_parts();
        let body = body.bytes().await.map_err(|error| self.error(error))?;
        let refused = || Refused {
            method,
            path: path.to_string(),
            status: parts.status,
            text: text(&parts.headers, &body),
        };
        if !parts.status.is_success() {
            return Err(refused().into_error(self.store));
        }
        // Stores that answer before they know how it ends.
        if body.windows(ERROR.len()).any(|window| window == ERROR) {
            return Err(refused().into_error(self.store));
        }
        Ok((parts, body))
    }

    pub(super) fn error(
        &self,
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        Error::Generic {
            store: self.store,
            source: error.into(),
        }
    }

    /// Attributes as header fields: the standard ones behind `prefix`, and those of the store.
    pub(super) fn headers(&self, attributes: &Attributes, names: &Names) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        for (attribute, value) in attributes {
            let standard = match attribute {
                Attribute::CacheControl => "cache-control",
                Attribute::ContentDisposition => "content-disposition",
                Attribute::ContentEncoding => "content-encoding",
                Attribute::ContentLanguage => "content-language",
                Attribute::ContentType => "content-type",
                _ => "",
            };
            let name = match attribute {
                Attribute::StorageClass => names.class.to_owned(),
                Attribute::Metadata(name) => format!("{}{name}", names.metadata),
                _ if standard.is_empty() => return Err(not_supported("an unknown attribute")),
                _ => format!("{}{standard}", names.standard),
            };
            let name = HeaderName::try_from(name).map_err(|error| self.error(error))?;
            let value = HeaderValue::try_from(value.as_ref());
            headers.insert(name, value.map_err(|error| self.error(error))?);
        }
        Ok(headers)
    }

    /// A request that only has to be signed.
    pub(super) fn request(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: impl Into<HttpRequestBody>,
    ) -> Result<HttpRequest> {
        let body = body.into();
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header(CONTENT_LENGTH, body.content_length());
        let mut request = request.body(body).map_err(|error| self.error(error))?;
        request.headers_mut().extend(headers);
        Ok(request)
    }
}

/// What attributes are called: two prefixes, and a name.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) standard: &'static str,
    pub(super) metadata: &'static str,
    pub(super) class: &'static str,
}

/// How patient this crate is: a request may take as long as it moves.
pub(super) fn client_options() -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(true)
        .with_connect_timeout(Duration::from_secs(5))
        .with_read_timeout(Duration::from_secs(60))
        .with_timeout_disabled()
}

/// What object_store says of a condition that did not hold: `AlreadyExists` for a creation.
pub(super) fn condition<T>(mode: &PutMode, answer: Result<T>) -> Result<T> {
    match (mode, answer) {
        (PutMode::Create, Err(Error::Precondition { path, source })) if !is_of_parts(&*source) => {
            Err(Error::AlreadyExists { path, source })
        }
        (_, answer) => answer,
    }
}

/// Whether it is not the object that is another than expected, but a part.
fn is_of_parts(source: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    source
        .downcast_ref::<Refused>()
        .is_some_and(|refused| refused.text.contains(INVALID_PART))
}

/// Whether the store found fault with a request of this module, and will the next time.
pub(super) fn is_bad_request(error: &Error) -> bool {
    match error {
        Error::Generic { source, .. } => source
            .downcast_ref::<Refused>()
            .is_some_and(|refused| refused.status == StatusCode::BAD_REQUEST),
        _ => false,
    }
}

/// All but what needs no encoding in a path or a query.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

pub(super) fn not_supported(what: &'static str) -> Error {
    Error::NotSupported {
        source: what.into(),
    }
}

const ERROR: &[u8] = b"<Error>";

/// The code of a part that is not there, or has another tag.
const INVALID_PART: &str = "<Code>InvalidPart<";

/// The answer of a store that did not do it.
#[derive(Debug, thiserror::Error)]
#[error("{method} {path}: {status}: {text}")]
struct Refused {
    method: Method,
    path: String,
    status: StatusCode,
    text: String,
}

impl Refused {
    fn into_error(self, store: &'static str) -> Error {
        let path = self.path.clone();
        let has = |code| self.text.contains(code);
        let status = match self.status {
            // The code decides where the status was sent too early.
            StatusCode::OK if has("PreconditionFailed") => StatusCode::PRECONDITION_FAILED,
            StatusCode::OK if has("NoSuchUpload") => StatusCode::NOT_FOUND,
            StatusCode::OK | StatusCode::BAD_REQUEST if has(INVALID_PART) => {
                StatusCode::PRECONDITION_FAILED
            }
            _ if has("<Code>NotImplemented<") => StatusCode::NOT_IMPLEMENTED,
            status => status,
        };
        let source = Box::new(self);
        match status {
            StatusCode::NOT_FOUND => Error::NotFound { path, source },
            StatusCode::PRECONDITION_FAILED => Error::Precondition { path, source },
            // Azure, of a creation.
            StatusCode::CONFLICT if source.text.contains("BlobAlreadyExists") => {
                Error::AlreadyExists { path, source }
            }
            StatusCode::UNAUTHORIZED => Error::Unauthenticated { path, source },
            StatusCode::FORBIDDEN => Error::PermissionDenied { path, source },
            StatusCode::NOT_IMPLEMENTED | StatusCode::METHOD_NOT_ALLOWED => {
                Error::NotSupported { source }
            }
            _ => Error::Generic { store, source },
        }
    }
}

/// What a store says to a refusal: some of the body, or the code of Azure where there is none.
fn text(headers: &HeaderMap, body: &[u8]) -> String {
    if body.is_empty() {
        let code = headers.get("x-ms-error-code");
        return String::from_utf8_lossy(code.map_or(&[][..], |code| code.as_bytes())).into_owned();
    }
    let end = body.len().min(ENOUGH);
    String::from_utf8_lossy(&body[..end]).into_owned()
}

const ENOUGH: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, text: &str) -> Error {
        let refused = Refused {
            method: Method::POST,
            path: "key".to_owned(),
            status: StatusCode::from_u16(status).unwrap(),
            text: text.to_owned(),
        };
        refused.into_error("S3")
    }

    #[test]
    fn refusals_are_told_apart() {
        assert!(matches!(refused(404, ""), Error::NotFound { .. }));
        assert!(matches!(refused(412, ""), Error::Precondition { .. }));
        assert!(matches!(refused(501, ""), Error::NotSupported { .. }));
        assert!(matches!(refused(409, ""), Error::Generic { .. }));
        assert!(matches!(refused(503, ""), Error::Generic { .. }));
        let body = "<Error><Code>NotImplemented</Code></Error>";
        assert!(matches!(refused(400, body), Error::NotSupported { .. }));
        let body = "<Error><Code>PreconditionFailed</Code></Error>";
        assert!(matches!(refused(200, body), Error::Precondition { .. }));
        let body = "<Error><Code>InvalidPart</Code></Error>";
        for status in [200, 400] {
            let other_tag = Err::<(), _>(refused(status, body));
            let other_tag = condition(&PutMode::Create, other_tag).unwrap_err();
            assert!(matches!(other_tag, Error::Precondition { .. }));
        }
        let body = "<Error><Code>InternalError</Code></Error>";
        assert!(matches!(refused(200, body), Error::Generic { .. }));
    }

    #[test]
    fn a_path_is_encoded_byte_by_byte() {
        assert_eq!(encode("a/b c+ü~%"), "a/b%20c%2B%C3%BC~%25");
    }
}
