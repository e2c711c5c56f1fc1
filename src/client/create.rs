use std::{fmt, time::SystemTime};

use bytes::Bytes;
use http::{
    HeaderValue, Method, StatusCode, Uri,
    header::{CONTENT_TYPE, LOCATION},
};

use super::{
    Client, Error,
    append::{Loaded, OCTETS},
    exchange::{Call, Head, Outgoing},
    inspect::{expires, offset},
    uri::{Shown, is_downgrade, resolve},
};
use crate::protocol::{
    Length, Metadata,
    header::{UPLOAD_CONCAT, UPLOAD_DEFER_LENGTH, UPLOAD_LENGTH, UPLOAD_METADATA, UPLOAD_OFFSET},
};

/// An upload to be created.
///
/// ```
/// use tower_tus::{client::NewUpload, protocol::Metadata};
///
/// let upload = NewUpload::new(1_000_000).metadata(Metadata::from_pairs([("filename", "a.bin")])?);
/// let part = NewUpload::new(500_000).partial();
/// let live = NewUpload::deferred();
/// let small = NewUpload::new(5).content("hello");
/// # Ok::<_, tower_tus::protocol::Error>(())
/// ```
///
/// `Debug` shows no content, but how long it is.
#[derive(Clone)]
#[must_use = "nothing is created until a client is asked to"]
pub struct NewUpload {
    pub(crate) length: Length,
    pub(crate) metadata: Metadata,
    part: Part,
    content: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    No,
    Yes,
}

impl NewUpload {
    /// An upload of so many bytes.
    pub fn new(length: u64) -> Self {
        Self::of(Length::Known(length))
    }

    /// An upload whose length is told later (creation-defer-length).
    pub fn deferred() -> Self {
        Self::of(Length::Deferred)
    }

    pub(crate) fn of(length: Length) -> Self {
        Self {
            length,
            metadata: Metadata::default(),
            part: Part::No,
            content: Bytes::new(),
        }
    }

    /// What to attach. Default: nothing.
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Makes it a part, to be joined with others (concatenation). Default: it stands alone.
    pub fn partial(mut self) -> Self {
        self.part = Part::Yes;
        self
    }

    /// Its first bytes, sent with the same request (creation-with-upload). Default: none.
    pub fn content(mut self, content: impl Into<Bytes>) -> Self {
        self.content = content.into();
        self
    }
}

impl fmt::Debug for NewUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewUpload")
            .field("length", &self.length)
            .field("metadata", &self.metadata)
            .field("part", &self.part)
            .field("content", &format_args!("{} bytes", self.content.len()))
            .finish()
    }
}

/// An upload that was created.
///
/// `Debug` shows no query: there may be a token in it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Created {
    /// Where it is: absolute.
    pub url: Uri,
    /// Bytes that are stored already. `None` if the server does not say.
    pub offset: Option<u64>,
    /// When it will be gone if it is not finished.
    pub expires: Option<SystemTime>,
}

impl fmt::Debug for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Created")
            .field("url", &Shown(&self.url))
            .field("offset", &self.offset)
            .field("expires", &self.expires)
            .finish()
    }
}

impl Client {
    /// Creates an upload. If an answer is lost, the upload it told of stays behind, and another one is
    /// created.
    ///
    /// # Errors
    /// Whatever goes wrong on the way, or a server that names no usable URL.
    pub async fn create(&self, upload: NewUpload) -> Result<Created, Error> {
        let mut retries = self.retries();
        let mut content = Loaded::new(upload.content.clone());
        loop {
            match self.create_once(&upload, &mut content).await {
                Ok(created) => return Ok(created),
                Err(error) => retries.after(error).await?,
            }
        }
    }

    pub(crate) async fn create_once(
        &self,
        upload: &NewUpload,
        content: &mut dyn Outgoing,
    ) -> Result<Created, Error> {
        let mut call = Call::new(Method::POST, &self.config().endpoint);
        call = match upload.length {
            Length::Known(length) => call.with(UPLOAD_LENGTH, length),
            Length::Deferred => call.with(UPLOAD_DEFER_LENGTH, HeaderValue::from_static("1")),
        };
        if upload.part == Part::Yes {
            call = call.with(UPLOAD_CONCAT, HeaderValue::from_static("partial"));
        }
        if content.length() != Some(0) {
            call = call.with(CONTENT_TYPE, OCTETS);
        }
        call = attach(call, &upload.metadata)?;
        let head = self.exchange(call, content).await?;
        created(&head)
    }
}

/// The call with `Upload-Metadata`, if there is any.
pub(super) fn attach(call: Call, metadata: &Metadata) -> Result<Call, Error> {
    if metadata.is_empty() {
        return Ok(call);
    }
    let value = HeaderValue::try_from(metadata.as_str())
        .map_err(|error| Error::setting("the metadata cannot be a header").because(error))?;
    Ok(call.with(UPLOAD_METADATA, value))
}

/// tus 1.0.0, creation extension, "POST".
pub(super) fn created(head: &Head) -> Result<Created, Error> {
    if head.status != StatusCode::CREATED && head.status != StatusCode::OK {
        return Err(Error::no_tus(format_args!(
            "answers {} where 201 Created was expected",
            head.status
        )));
    }
    let location = head
        .headers
        .get(LOCATION)
        .ok_or_else(|| Error::no_tus("created an upload without telling its Location"))?;
    let url = location
        .to_str()
        .ok()
        .and_then(|location| resolve(&head.uri, location))
        .ok_or_else(|| Error::protocol("created an upload whose Location is no URL"))?;
    if is_downgrade(&head.uri, &url) {
        return Err(Error::protocol(
            "was asked by https and created an upload at an http URL (behind a proxy it has to know \
             its public URL, or trust X-Forwarded-Proto)",
        ));
    }
    let offset = match head.headers.contains_key(UPLOAD_OFFSET) {
        true => Some(offset(&head.headers)?),
        false => None,
    };
    Ok(Created {
        url,
        offset,
        expires: expires(&head.headers),
    })
}
