use std::{fmt, time::SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Uri,
    header::{CONTENT_TYPE, TRAILER},
};

use super::{
    Client, Error,
    body::BodySender,
    exchange::{Call, Outgoing},
    inspect::{expires, malformed},
    source::PIECE,
};
use crate::protocol::{
    Algorithm, Checksum,
    header::{self, UPLOAD_CHECKSUM, UPLOAD_LENGTH, UPLOAD_OFFSET},
};

/// Bytes for an upload, sent in one request.
///
/// ```
/// use tower_tus::{client::Chunk, protocol::Algorithm};
///
/// let chunk = Chunk::new(0, "hello").checksum(Algorithm::Sha1);
/// let last = Chunk::new(5, "").length(5);
/// ```
///
/// `Debug` shows no content, but how long it is.
#[derive(Clone)]
#[must_use = "a chunk is not sent until a client is asked to"]
pub struct Chunk {
    offset: u64,
    data: Bytes,
    length: Option<u64>,
    checksum: Option<Algorithm>,
}

impl Chunk {
    /// Bytes from `offset` on, which has to be where the upload stands.
    pub fn new(offset: u64, data: impl Into<Bytes>) -> Self {
        Self {
            offset,
            data: data.into(),
            length: None,
            checksum: None,
        }
    }

    /// Tells the length of an upload that was created without. Default: not told.
    pub fn length(mut self, length: u64) -> Self {
        self.length = Some(length);
        self
    }

    /// Has the server verify the bytes. Default: it does not.
    pub fn checksum(mut self, algorithm: Algorithm) -> Self {
        self.checksum = Some(algorithm);
        self
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk")
            .field("offset", &self.offset)
            .field("data", &format_args!("{} bytes", self.data.len()))
            .field("length", &self.length)
            .field("checksum", &self.checksum)
            .finish()
    }
}

/// Where an upload stands after bytes were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Appended {
    /// Bytes that are stored. `None` if the server does not say; ask it.
    pub offset: Option<u64>,
    /// When the upload will be gone if it is not finished.
    pub expires: Option<SystemTime>,
}

impl Client {
    /// Sends bytes, once: after a failure, ask where the upload stands before more is sent.
    ///
    /// # Errors
    /// Status 409 if the upload stands elsewhere, 460 if the bytes changed on their way, and whatever
    /// goes wrong on the way.
    pub async fn append(&self, url: &Uri, chunk: Chunk) -> Result<Appended, Error> {
        let patch = Patch {
            url,
            offset: chunk.offset,
            length: chunk.length,
            sum: match chunk.checksum {
                Some(algorithm) => Sum::Known(Checksum::of(algorithm, &chunk.data)),
                None => Sum::None,
            },
        };
        self.patch(patch, &mut Loaded::new(chunk.data)).await
    }

    pub(crate) async fn patch(
        &self,
        patch: Patch<'_>,
        content: &mut dyn Outgoing,
    ) -> Result<Appended, Error> {
        let url = patch.url;
        let sent = async {
            let head = self.exchange(patch.call(), content).await?;
            Ok(Appended {
                offset: header::integer(&head.headers, &UPLOAD_OFFSET).map_err(malformed)?,
                expires: expires(&head.headers),
            })
        };
        sent.await
            .map_err(|error: Error| error.of_upload(Some(url)))
    }
}

/// The head of a PATCH.
pub(crate) struct Patch<'u> {
    pub(crate) url: &'u Uri,
    pub(crate) offset: u64,
    /// Told for the first time.
    pub(crate) length: Option<u64>,
    pub(crate) sum: Sum,
}

/// Where the checksum of a body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sum {
    None,
    Known(Checksum),
    Trailer,
}

impl Patch<'_> {
    fn call(self) -> Call {
        let mut call = Call::new(Method::PATCH, self.url)
            .with(CONTENT_TYPE, OCTETS)
            .with(UPLOAD_OFFSET, self.offset);
        if let Some(length) = self.length {
            call = call.with(UPLOAD_LENGTH, length);
        }
        match self.sum {
            Sum::None => call,
            Sum::Known(checksum) => call.with(UPLOAD_CHECKSUM, value(&checksum)),
            Sum::Trailer => call.with(TRAILER, HeaderValue::from_static("Upload-Checksum")),
        }
    }
}

/// The trailer behind a body.
pub(crate) fn trailer(checksum: &Checksum) -> HeaderMap {
    HeaderMap::from_iter([(UPLOAD_CHECKSUM, value(checksum))])
}

fn value(checksum: &Checksum) -> HeaderValue {
    HeaderValue::try_from(checksum.to_string()).expect("a name and base64 are visible ASCII")
}

/// Content that is in memory.
pub(crate) struct Loaded(Bytes);

impl Loaded {
    pub(crate) fn new(data: Bytes) -> Self {
        Self(data)
    }
}

#[async_trait]
impl Outgoing for Loaded {
    fn length(&self) -> Option<u64> {
        Some(self.0.len() as u64)
    }

    async fn send(&mut self, to: &BodySender) -> Result<(), Error> {
        let mut rest = self.0.clone();
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(PIECE));
            if to.data(piece).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// The type of every body with bytes of an upload.
pub(crate) const OCTETS: HeaderValue = HeaderValue::from_static("application/offset+octet-stream");
