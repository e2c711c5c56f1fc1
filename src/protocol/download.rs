use std::{
    ops::Range,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::{Error, Upload, UploadId, header::single};

/// Reads a finished upload: GET, or HEAD without tus.
///
/// One range per request (RFC 9110, 14); a list of several is answered with the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// The upload.
    pub id: UploadId,
    /// Whether the bytes are wanted, or only what would be said of them.
    pub want: Want,
    range: Option<HeaderValue>,
    if_range: Option<HeaderValue>,
    if_none_match: Option<HeaderValue>,
    if_modified_since: Option<HeaderValue>,
}

/// What a download asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Head and bytes (GET).
    Bytes,
    /// The head only (HEAD).
    Head,
}

/// What of an upload is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Selection {
    /// All of it: 200.
    Whole,
    /// These bytes: 206.
    Part(Range<u64>),
    /// Nothing, the client has it: 304.
    NotModified,
}

impl Download {
    /// Reads the conditions of the head. One that cannot be read is ignored, as RFC 9110 wants it.
    pub(crate) fn parse(id: UploadId, want: Want, headers: &HeaderMap) -> Self {
        let value = |name| single(headers, &name).ok().flatten().cloned();
        Self {
            id,
            want,
            range: value(header::RANGE).filter(|_| want == Want::Bytes),
            if_range: value(header::IF_RANGE),
            if_none_match: value(header::IF_NONE_MATCH),
            if_modified_since: value(header::IF_MODIFIED_SINCE),
        }
    }

    /// What to send of a finished upload.
    ///
    /// # Errors
    /// [`Error::NotFound`] while it is unfinished, [`Error::Range`] if no byte of the range exists.
    pub fn decide(&self, upload: &Upload) -> Result<Selection, Error> {
        if !upload.is_finished() {
            return Err(Error::NotFound);
        }
        if self.is_not_modified(upload) {
            return Ok(Selection::NotModified);
        }
        let Some(range) = self.range.as_ref().filter(|_| self.range_holds(upload)) else {
            return Ok(Selection::Whole);
        };
        match parse_range(range, upload.offset) {
            Ranges::Part(range) => Ok(Selection::Part(range)),
            Ranges::Ignored => Ok(Selection::Whole),
            Ranges::Unsatisfiable => Err(Error::Range(upload.offset)),
        }
    }

    fn is_not_modified(&self, upload: &Upload) -> bool {
        match (&self.if_none_match, &self.if_modified_since) {
            (Some(tags), _) => tags.to_str().is_ok_and(|tags| {
                let own = etag(upload);
                tags.split(',')
                    .map(str::trim)
                    .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == own)
            }),
            (None, Some(date)) => parse_date(date).is_some_and(|date| modified(upload) <= date),
            (None, None) => false,
        }
    }

    /// Whether the range may be served: `If-Range` is absent, or names what we have.
    fn range_holds(&self, upload: &Upload) -> bool {
        self.if_range.as_ref().is_none_or(|value| {
            value.as_bytes() == etag(upload).as_bytes()
                || parse_date(value).is_some_and(|date| date == modified(upload))
        })
    }
}

/// The head of the answer.
///
/// Nothing a client uploaded is ever shown by a browser as a page of this origin: types outside a
/// short list are sent as `application/octet-stream` and as an attachment.
pub(crate) fn render(upload: &Upload, selection: &Selection) -> Response<()> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    let length = match selection {
        Selection::Whole => Some(upload.offset),
        Selection::Part(range) => {
            let content_range =
                format!("bytes {}-{}/{}", range.start, range.end - 1, upload.offset);
            headers.insert(header::CONTENT_RANGE, visible(&content_range));
            Some(range.end - range.start)
        }
        Selection::NotModified => None,
    };
    if let Some(length) = length {
        let declared = content_type(upload);
        let inline = declared.as_deref().is_some_and(is_inline);
        let kind = declared
            .filter(|_| inline)
            .unwrap_or_else(|| "application/octet-stream".into());
        headers.insert(header::CONTENT_LENGTH, length.into());
        headers.insert(header::CONTENT_TYPE, visible(&kind));
        headers.insert(
            header::CONTENT_DISPOSITION,
            visible(&disposition(upload, inline)),
        );
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; sandbox"),
        );
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
    }
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::ETAG, visible(&etag(upload)));
    headers.insert(
        header::LAST_MODIFIED,
        visible(&httpdate::fmt_http_date(modified(upload))),
    );
    *response.status_mut() = match selection {
        Selection::Whole => StatusCode::OK,
        Selection::Part(_) => StatusCode::PARTIAL_CONTENT,
        Selection::NotModified => StatusCode::NOT_MODIFIED,
    };
    response
}

/// The head of an answer whose bytes are to be had at `url`. Whoever has the URL may read them, for a
/// while: it is kept by nobody on the way.
pub(crate) fn render_redirect(url: &HeaderValue) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, url.clone());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Types that browsers show without running anything.
const INLINE: [&str; 22] = [
    "application/pdf",
    "audio/aac",
    "audio/flac",
    "audio/mp4",
    "audio/mpeg",
    "audio/ogg",
    "audio/wav",
    "audio/wave",
    "audio/webm",
    "audio/x-wav",
    "image/avif",
    "image/bmp",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/x-icon",
    "text/plain",
    "video/mp4",
    "video/mpeg",
    "video/ogg",
    "video/webm",
];

pub(crate) fn is_inline(kind: &str) -> bool {
    INLINE.contains(&kind)
}

/// The type the client declared, without parameters, in lower case.
pub(crate) fn content_type(upload: &Upload) -> Option<String> {
    ["filetype", "type", "content-type", "contentType"]
        .into_iter()
        .find_map(|key| {
            let value = upload.metadata.get_str(key)?;
            let essence = value.split(';').next().unwrap_or_default().trim();
            (!essence.is_empty()).then(|| essence.to_ascii_lowercase())
        })
}

/// `Content-Disposition` by RFC 6266: a name for everybody, and the exact one by RFC 8187.
pub(crate) fn disposition(upload: &Upload, inline: bool) -> String {
    let kind = if inline { "inline" } else { "attachment" };
    let name = upload
        .metadata
        .get_str("filename")
        .or_else(|| upload.metadata.get_str("name"));
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return kind.to_owned();
    };
    let plain: String = name
        .chars()
        .map(|c| match c {
            '"' | '\\' | '%' | '/' => '_',
            ' '..='~' => c,
            _ => '_',
        })
        .collect();
    let mut text = format!("{kind}; filename=\"{plain}\"");
    if plain != name {
        text.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    text.push(char::from(byte));
                }
                _ => text.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    text
}

/// A finished upload never changes, so its id is a strong validator.
fn etag(upload: &Upload) -> String {
    format!("\"{}\"", upload.id)
}

/// When the last bytes came, in whole seconds as HTTP has them.
fn modified(upload: &Upload) -> SystemTime {
    let since = upload
        .touched
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    // An HTTP date has four digits for the year.
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs().min(253_402_300_799))
}

fn parse_date(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

fn visible(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("only visible ASCII was put together")
}

#[derive(Debug, PartialEq, Eq)]
enum Ranges {
    Part(Range<u64>),
    Ignored,
    Unsatisfiable,
}

fn parse_range(value: &HeaderValue, length: u64) -> Ranges {
    let Some(spec) = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once('='))
        .filter(|(unit, _)| unit.eq_ignore_ascii_case("bytes"))
        .map(|(_, spec)| spec.trim())
    else {
        return Ranges::Ignored;
    };
    let number = |text: &str| -> Option<u64> {
        text.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| text.parse().unwrap_or(u64::MAX))
    };
    let range = match spec.split_once('-') {
        Some(("", "")) | None => return Ranges::Ignored,
        Some(("", suffix)) => number(suffix).map(|suffix| length.saturating_sub(suffix)..length),
        Some((first, "")) => number(first).map(|first| first..length),
        Some((first, last)) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => {
                Some(first..last.saturating_add(1).min(length))
            }
            _ => None,
        },
    };
    match range {
        None => Ranges::Ignored,
        Some(range) if range.start >= range.end => Ranges::Unsatisfiable,
        Some(range) => Ranges::Part(range),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Length, Metadata, Stage};

    fn finished(pairs: &[(&str, &str)]) -> Upload {
        let created = SystemTime::UNIX_EPOCH + Duration::from_millis(1_500);
        let mut upload = Upload::new("a".parse().unwrap(), Length::Known(100), created);
        upload.offset = 100;
        upload.stage = Stage::Finished;
        upload.metadata = Metadata::from_pairs(pairs.iter().copied()).unwrap();
        upload
    }

    fn decide(headers: &[(http::HeaderName, &str)]) -> Result<Selection, Error> {
        let headers = headers
            .iter()
            .map(|(k, v)| (k.clone(), v.parse().unwrap()))
            .collect();
        Download::parse("a".parse().unwrap(), Want::Bytes, &headers).decide(&finished(&[]))
    }

    #[test]
    fn ranges() {
        let table = [
            ("bytes=0-9", Ok(Selection::Part(0..10))),
            ("bytes=90-", Ok(Selection::Part(90..100))),
            ("bytes=-10", Ok(Selection::Part(90..100))),
            ("bytes=-1000", Ok(Selection::Part(0..100))),
            ("bytes=99-1000", Ok(Selection::Part(99..100))),
            ("Bytes=1-1", Ok(Selection::Part(1..2))),
            ("bytes=100-", Err(Error::Range(100))),
            ("bytes=-0", Err(Error::Range(100))),
            ("bytes=99999999999999999999-", Err(Error::Range(100))),
            ("bytes=2-1", Ok(Selection::Whole)),
            ("bytes=0-1,5-6", Ok(Selection::Whole)),
            ("bytes=-", Ok(Selection::Whole)),
            ("bytes=a-b", Ok(Selection::Whole)),
            ("lines=0-1", Ok(Selection::Whole)),
        ];
        for (range, expected) in table {
            assert_eq!(decide(&[(header::RANGE, range)]), expected, "{range}");
        }
    }

    #[test]
    fn conditions() {
        let part = Ok(Selection::Part(0..1));
        let range = (header::RANGE, "bytes=0-0");
        let date = "Thu, 01 Jan 1970 00:00:01 GMT";
        let other_date = "Thu, 01 Jan 1970 00:00:02 GMT";
        let earlier = "Thu, 01 Jan 1970 00:00:00 GMT";
        assert_eq!(decide(&[range.clone(), (header::IF_RANGE, "\"a\"")]), part);
        assert_eq!(decide(&[range.clone(), (header::IF_RANGE, date)]), part);
        for stale in ["\"b\"", "W/\"a\"", other_date, "x"] {
            assert_eq!(
                decide(&[range.clone(), (header::IF_RANGE, stale)]),
                Ok(Selection::Whole),
                "{stale}"
            );
        }
        for same in ["\"a\"", "\"x\", W/\"a\"", "*"] {
            assert_eq!(
                decide(&[(header::IF_NONE_MATCH, same)]),
                Ok(Selection::NotModified)
            );
        }
        assert_eq!(
            decide(&[(header::IF_NONE_MATCH, "\"b\"")]),
            Ok(Selection::Whole)
        );
        assert_eq!(
            decide(&[(header::IF_MODIFIED_SINCE, date)]),
            Ok(Selection::NotModified)
        );
        assert_eq!(
            decide(&[(header::IF_MODIFIED_SINCE, earlier)]),
            Ok(Selection::Whole)
        );
    }

    #[test]
    fn rob_26_only_harmless_types_are_shown_inline() {
        for (kind, expected, disposition) in [
            ("image/png", "image/png", "inline"),
            ("Text/Plain; charset=utf-8", "text/plain", "inline"),
            ("text/html", "application/octet-stream", "attachment"),
            ("image/svg+xml", "application/octet-stream", "attachment"),
            ("text/javascript", "application/octet-stream", "attachment"),
            ("", "application/octet-stream", "attachment"),
            ("x\r\ny: z", "application/octet-stream", "attachment"),
        ] {
            let response = render(&finished(&[("filetype", kind)]), &Selection::Whole);
            assert_eq!(response.headers()[header::CONTENT_TYPE], expected);
            assert_eq!(response.headers()[header::CONTENT_DISPOSITION], disposition);
            assert_eq!(
                response.headers()[header::X_CONTENT_TYPE_OPTIONS],
                "nosniff"
            );
        }
    }

    #[test]
    fn rob_32_any_file_name_can_be_downloaded() {
        for (name, expected) in [
            ("a.txt", "attachment; filename=\"a.txt\""),
            (
                "a\"b\\c",
                "attachment; filename=\"a_b_c\"; filename*=UTF-8''a%22b%5Cc",
            ),
            (
                "naïve",
                "attachment; filename=\"na_ve\"; filename*=UTF-8''na%C3%AFve",
            ),
            (
                "x\r\nSet-Cookie: a",
                "attachment; filename=\"x__Set-Cookie: a\"; filename*=UTF-8''x%0D%0ASet-Cookie%3A%20a",
            ),
        ] {
            assert_eq!(
                disposition(&finished(&[("filename", name)]), false),
                expected
            );
        }
    }
}
