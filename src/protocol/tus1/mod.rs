//! The dialect tus 1.0.0 (<https://tus.io/protocols/resumable-upload>).
//!
//! One file per operation: how its request is read, and how its outcome is said.

mod append;
mod create;
mod discover;
mod inspect;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use super::{
    Availability, Checksum, Content, Dialect, Download, Error, Extension, Head, Offer, Operation,
    Outcome, Refusal, Upload, UploadId, Verify, Want, download,
    header::{
        self, TUS_RESUMABLE, TUS_VERSION, UPLOAD_CHECKSUM, UPLOAD_EXPIRES, UPLOAD_OFFSET,
        X_HTTP_METHOD_OVERRIDE,
    },
    reply,
};

/// The one version there is.
const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");

/// The media type of bytes of an upload.
const OCTET_STREAM: &str = "application/offset+octet-stream";

pub(super) fn parse(head: &Head<'_>, offer: &Offer) -> Result<Operation, Error> {
    let method = effective_method(head.method, head.headers)?;
    if method == Method::OPTIONS {
        return Ok(Operation::Discover);
    }
    let version = header::single(head.headers, &TUS_RESUMABLE)?;
    if version.is_some_and(|version| version != VERSION) {
        return Err(Error::Version);
    }
    let speaks_tus = version.is_some();
    match Target::parse(head.path)? {
        Target::Collection => match method {
            Method::POST if !speaks_tus => Err(Error::Version),
            Method::POST => create::parse(head, offer).map(Operation::Create),
            _ => Err(Error::MethodNotAllowed("OPTIONS, POST")),
        },
        Target::Upload(id) => match method {
            Method::HEAD if speaks_tus => Ok(Operation::Inspect(id)),
            // A HEAD of somebody who does not speak tus asks for what GET would say.
            Method::HEAD => Ok(Operation::Download(Download::parse(
                id,
                Want::Head,
                head.headers,
            ))),
            Method::GET if offer.downloads == Availability::On => Ok(Operation::Download(
                Download::parse(id, Want::Bytes, head.headers),
            )),
            Method::PATCH | Method::DELETE if !speaks_tus => Err(Error::Version),
            Method::PATCH => append::parse(id, head.headers, offer).map(Operation::Append),
            Method::DELETE if offer.offers(Extension::Termination) => Ok(Operation::Terminate(id)),
            Method::DELETE => Err(Error::NotOffered(Extension::Termination)),
            _ => Err(Error::MethodNotAllowed("OPTIONS, HEAD, GET, PATCH, DELETE")),
        },
    }
}

pub(super) fn render(answer: &Result<Outcome, Refusal>, offer: &Offer) -> Response<Bytes> {
    let mut response = match answer {
        Ok(outcome) => render_outcome(outcome, offer),
        Err(refusal) => render_refusal(refusal),
    };
    response.headers_mut().insert(TUS_RESUMABLE, VERSION);
    response
}

fn render_outcome(outcome: &Outcome, offer: &Offer) -> Response<Bytes> {
    let response = match outcome {
        Outcome::Replied(outcome, reply) => {
            let mut response = render_outcome(outcome, offer);
            reply.apply(&mut response);
            return response;
        }
        Outcome::Discovered => discover::render(offer),
        Outcome::Created {
            upload,
            location,
            offset,
        } => create::render(upload, location, *offset),
        Outcome::Inspected(upload) => inspect::render(upload),
        Outcome::Appended(upload) => append::render(upload),
        Outcome::Terminated => status(StatusCode::NO_CONTENT),
        Outcome::Downloaded(upload, selection) => download::render(upload, selection),
        Outcome::Redirected(url) => download::render_redirect(url),
    };
    response.map(|()| Bytes::new())
}

fn render_refusal(refusal: &Refusal) -> Response<Bytes> {
    let mut response = status(refusal.error.status());
    let headers = response.headers_mut();
    match &refusal.error {
        Error::Version => {
            headers.insert(TUS_VERSION, VERSION);
        }
        Error::MethodNotAllowed(methods) => {
            headers.insert(http::header::ALLOW, HeaderValue::from_static(methods));
        }
        Error::Range(length) => {
            let value = HeaderValue::try_from(format!("bytes */{length}"));
            headers.insert(
                http::header::CONTENT_RANGE,
                value.expect("digits are visible"),
            );
        }
        Error::Locked
        | Error::Overloaded
        | Error::ShuttingDown
        | Error::Finishing
        | Error::Uncounted => {
            headers.insert(http::header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        Error::TooManyUploads => {
            headers.insert(http::header::RETRY_AFTER, HeaderValue::from_static("60"));
        }
        _ => {}
    }
    if let Some(upload) = &refusal.upload
        && !upload.is_pending_final()
    {
        headers.insert(UPLOAD_OFFSET, upload.offset.into());
        insert_expires(headers, upload);
    }
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(http::header::CONTENT_TYPE, text);
    headers.insert(
        http::header::CACHE_CONTROL,
        HeaderValue::from_static("no-store"),
    );
    let body = match &refusal.error {
        Error::Rejected(rejection) => {
            reply::extend(headers, &rejection.headers, &rejection.body);
            rejection.body.clone()
        }
        error => Bytes::from(format!("{error}\n")),
    };
    response.map(|()| body)
}

/// The method that is meant: `X-HTTP-Method-Override` counts on any method but `OPTIONS`, which layers before
/// this one have to let through without credentials.
pub(super) fn effective_method(method: &Method, headers: &HeaderMap) -> Result<Method, Error> {
    match header::single(headers, &X_HTTP_METHOD_OVERRIDE)? {
        None => Ok(method.clone()),
        Some(_) if method == Method::OPTIONS => Err(Error::invalid(
            &X_HTTP_METHOD_OVERRIDE,
            "does not count on OPTIONS",
        )),
        Some(value) => Method::from_bytes(value.as_bytes())
            .map_err(|_| Error::invalid(&X_HTTP_METHOD_OVERRIDE, "is no method")),
    }
}

/// What a path below the mount names.
enum Target {
    Collection,
    Upload(UploadId),
}

impl Target {
    /// A trailing slash means nothing. A path that cannot be an upload's names none.
    fn parse(path: &str) -> Result<Self, Error> {
        let path = path.strip_prefix('/').unwrap_or(path);
        match path.strip_suffix('/').unwrap_or(path) {
            "" => Ok(Self::Collection),
            id => id.parse().map(Self::Upload).map_err(|_| Error::NotFound),
        }
    }
}

/// Reads what is said about the bytes that follow.
fn content(headers: &HeaderMap, offer: &Offer) -> Result<Content, Error> {
    let length = header::content_length(headers)?;
    let verify = match header::text(headers, &UPLOAD_CHECKSUM)? {
        Some(value) => {
            let offered = offer.offers(Extension::Checksum);
            let algorithms = if offered {
                offer.checksums.as_slice()
            } else {
                &[]
            };
            Verify::Header(Checksum::parse(value, algorithms)?)
        }
        None if header::lists(headers, &http::header::TRAILER, UPLOAD_CHECKSUM.as_str()) => {
            if !offer.offers(Extension::ChecksumTrailer) {
                return Err(Error::NotOffered(Extension::ChecksumTrailer));
            }
            Verify::Trailer(offer.checksums.clone())
        }
        None => Verify::Nothing,
    };
    Ok(Content { length, verify })
}

/// Whether the body is declared as bytes of an upload; `None` if nothing is declared. Media types
/// have no case, and parameters do not matter (RFC 9110, 8.3.1).
fn is_octet_stream(headers: &HeaderMap) -> Result<Option<bool>, Error> {
    let Some(value) = header::single(headers, &http::header::CONTENT_TYPE)? else {
        return Ok(None);
    };
    let essence = value
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    Ok(Some(essence.trim().eq_ignore_ascii_case(OCTET_STREAM)))
}

fn status(status: StatusCode) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    response
}

fn insert_expires(headers: &mut HeaderMap, upload: &Upload) {
    // An HTTP date has four digits for the year.
    const YEAR_10000: std::time::Duration = std::time::Duration::from_secs(253_402_300_800);
    if let Some(expires) = upload.expires()
        && expires < std::time::SystemTime::UNIX_EPOCH + YEAR_10000
    {
        insert_text(headers, UPLOAD_EXPIRES, &httpdate::fmt_http_date(expires));
    }
}

/// Text that was checked to be visible ASCII when it came in.
fn insert_text(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

impl Dialect {
    /// All versions of tus that are spoken, most preferred first.
    pub(crate) const TUS_VERSIONS: HeaderValue = VERSION;
}

#[cfg(test)]
mod tests;
