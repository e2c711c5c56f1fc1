use std::{fmt, time::SystemTime};

use http::{HeaderMap, Method, Uri};

use super::{Client, Error, exchange::Call, uri::ShownText};
use crate::protocol::{
    self, Length, Metadata,
    header::{
        self, UPLOAD_CONCAT, UPLOAD_DEFER_LENGTH, UPLOAD_EXPIRES, UPLOAD_LENGTH, UPLOAD_METADATA,
        UPLOAD_OFFSET,
    },
};

/// Where an upload stands: a server's answer to HEAD.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadInfo {
    /// Bytes that are stored. `None` of a final upload whose parts are not all there.
    pub offset: Option<u64>,
    /// Size of the whole.
    pub length: Length,
    /// What was attached. Empty if the server's spelling cannot be read, see `metadata_text`.
    pub metadata: Metadata,
    /// `Upload-Metadata` as it came.
    pub metadata_text: String,
    /// What the upload is to others.
    pub role: Role,
    /// When an unfinished upload will be gone.
    pub expires: Option<SystemTime>,
}

/// What an upload is to other uploads.
///
/// `Debug` shows no query: there may be a token in it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// Nothing: it stands alone.
    Regular,
    /// A part, to be joined with others.
    Partial,
    /// Joined from the parts with these URLs, as the server spells them.
    Final(Vec<String>),
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Regular => f.write_str("Regular"),
            Self::Partial => f.write_str("Partial"),
            Self::Final(parts) => {
                let parts: Vec<_> = parts.iter().map(|part| ShownText(part)).collect();
                f.debug_tuple("Final").field(&parts).finish()
            }
        }
    }
}

impl UploadInfo {
    /// Whether all bytes are stored.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.offset.is_some() && self.offset == self.length.known()
    }

    fn parse(headers: &HeaderMap) -> Result<Self, Error> {
        let role = match header::text(headers, &UPLOAD_CONCAT).map_err(malformed)? {
            None => Role::Regular,
            Some("partial") => Role::Partial,
            Some(value) => match value.strip_prefix("final;") {
                Some(urls) => Role::Final(urls.split_whitespace().map(str::to_owned).collect()),
                None => return Err(Error::protocol("sends an Upload-Concat that means nothing")),
            },
        };
        let offset = match role {
            Role::Final(_) => header::integer(headers, &UPLOAD_OFFSET).map_err(malformed)?,
            Role::Regular | Role::Partial => Some(offset(headers)?),
        };
        let length = header::integer(headers, &UPLOAD_LENGTH).map_err(malformed)?;
        if let (Some(offset), Some(length)) = (offset, length)
            && offset > length
        {
            return Err(Error::protocol(format!(
                "says that {offset} of {length} bytes are stored"
            )));
        }
        if length.is_some() && headers.contains_key(UPLOAD_DEFER_LENGTH) {
            return Err(Error::protocol(
                "sends Upload-Length together with Upload-Defer-Length",
            ));
        }
        let metadata_text = headers
            .get(UPLOAD_METADATA)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .unwrap_or_default();
        Ok(Self {
            offset,
            length: length.map_or(Length::Deferred, Length::Known),
            metadata: metadata_text.parse().unwrap_or_default(),
            metadata_text,
            role,
            expires: expires(headers),
        })
    }
}

impl Client {
    /// Where an upload stands.
    ///
    /// # Errors
    /// [`Error::is_not_found`] of an upload that does not exist (any more), and whatever goes wrong on
    /// the way.
    pub async fn inspect(&self, url: &Uri) -> Result<UploadInfo, Error> {
        let mut retries = self.retries();
        loop {
            match self.inspect_once(url).await {
                Ok(info) => return Ok(info),
                Err(error) => retries.after(error).await?,
            }
        }
    }

    pub(crate) async fn inspect_once(&self, url: &Uri) -> Result<UploadInfo, Error> {
        let asked = async {
            let head = self.ask(Call::new(Method::HEAD, url)).await?;
            UploadInfo::parse(&head.headers)
        };
        asked.await.map_err(|error| error.of_upload(Some(url)))
    }
}

/// tus 1.0.0, "Upload-Offset": it has to be there.
pub(crate) fn offset(headers: &HeaderMap) -> Result<u64, Error> {
    header::integer(headers, &UPLOAD_OFFSET)
        .map_err(malformed)?
        .ok_or_else(|| Error::no_tus("does not tell the Upload-Offset"))
}

/// A date that cannot be read is none: nothing depends on it.
pub(crate) fn expires(headers: &HeaderMap) -> Option<SystemTime> {
    let value = headers.get(UPLOAD_EXPIRES)?.to_str().ok()?;
    httpdate::parse_http_date(value).ok()
}

/// A field of an answer that cannot be read.
pub(crate) fn malformed(error: protocol::Error) -> Error {
    Error::protocol(format!("sends a malformed header: {error}"))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn parse(fields: &[(&'static str, &'static str)]) -> Result<UploadInfo, Error> {
        let fields = fields.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        UploadInfo::parse(&fields.collect())
    }

    #[test]
    fn mad_answers_are_errors() {
        for fields in [
            &[][..],
            &[("upload-offset", "")],
            &[("upload-offset", "-1")],
            &[("upload-offset", "1.0")],
            &[("upload-offset", "7"), ("upload-length", "6")],
            &[("upload-offset", "7"), ("upload-length", "x")],
            &[
                ("upload-offset", "1"),
                ("upload-length", "6"),
                ("upload-defer-length", "1"),
            ],
            &[("upload-offset", "1"), ("upload-concat", "whole")],
        ] {
            assert!(parse(fields).unwrap_err().is_protocol(), "{fields:?}");
        }
    }

    #[test]
    fn a_pending_final_has_no_offset() {
        let info = parse(&[("upload-concat", "final;/a /b")]).unwrap();
        assert_eq!(info.offset, None);
        assert_eq!(info.role, Role::Final(vec!["/a".into(), "/b".into()]));
        assert!(!info.is_complete());
    }
}
