//! Names of the header fields, and the few ways a field may be read.
//!
//! *Missing*, *malformed* and *repeated* are three outcomes: a function here never turns one into
//! another.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Error;

/// Version of tus that the sender speaks.
pub const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
/// Versions of tus that the server speaks.
pub const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
/// Extensions of tus that the server speaks.
pub const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
/// Largest upload the server takes, in bytes.
pub const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
/// Checksum algorithms the server verifies.
pub const TUS_CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
/// Number of bytes the server holds.
pub const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
/// Size of the whole upload, in bytes.
pub const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
/// `1` while the size is not known yet.
pub const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
/// Keys and base64 values the client attached.
pub const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
/// Algorithm and digest of one request's body.
pub const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
/// `partial`, or `final;` and the parts.
pub const UPLOAD_CONCAT: HeaderName = HeaderName::from_static("upload-concat");
/// When an unfinished upload will be gone.
pub const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
/// The method that is meant, for environments that only know GET and POST.
pub const X_HTTP_METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

/// The field's only value; `None` where it is missing.
pub(crate) fn single<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h HeaderValue>, Error> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match values.next() {
        None => Ok(first),
        Some(_) => Err(Error::RepeatedHeader(name.clone())),
    }
}

/// The field's only value as text; `None` where it is missing.
pub(crate) fn text<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h str>, Error> {
    let Some(value) = single(headers, name)? else {
        return Ok(None);
    };
    value
        .to_str()
        .map(Some)
        .map_err(|_| Error::invalid(name, "has bytes that are not ASCII"))
}

/// The field's only value as a non-negative integer of at most 64 bits; `None` where it is missing.
pub(crate) fn integer(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, Error> {
    let Some(value) = single(headers, name)? else {
        return Ok(None);
    };
    match parse_integer(value.as_bytes()) {
        Some(number) => Ok(Some(number)),
        None => Err(Error::invalid(name, "is not a non-negative integer")),
    }
}

/// Digits and nothing else: no sign, no blank, no exponent, no overflow.
fn parse_integer(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Whether a comma-separated field names `token`, in any case.
pub(crate) fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// The length of the body that the head promises; `None` for a body of unknown length.
pub(crate) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Error> {
    if headers.contains_key(http::header::TRANSFER_ENCODING) {
        return Ok(None);
    }
    integer(headers, &http::header::CONTENT_LENGTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_digits_and_nothing_else() {
        let table: &[(&str, Option<u64>)] = &[
            ("0", Some(0)),
            ("007", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            (" 1", None),
            ("1.0", None),
            ("1e3", None),
            ("0x10", None),
            ("1_000", None),
            ("5,6", None),
            ("NaN", None),
            ("٣", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_integer(text.as_bytes()), *expected, "{text:?}");
        }
    }

    #[test]
    fn missing_malformed_and_repeated_differ() {
        let mut headers = HeaderMap::new();
        assert_eq!(integer(&headers, &UPLOAD_LENGTH), Ok(None));
        headers.append(UPLOAD_LENGTH, HeaderValue::from_static("x"));
        assert!(matches!(
            integer(&headers, &UPLOAD_LENGTH),
            Err(Error::InvalidHeader(..))
        ));
        headers.append(UPLOAD_LENGTH, HeaderValue::from_static("x"));
        assert!(matches!(
            integer(&headers, &UPLOAD_LENGTH),
            Err(Error::RepeatedHeader(_))
        ));
    }
}
