use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED},
};

use crate::client::{Error, error::Kind};

/// What says that content is still the same (RFC 9110, section 8.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Validator {
    None,
    /// A strong `ETag`.
    Tag(HeaderValue),
    /// `Last-Modified`, to the second.
    Date(HeaderValue),
}

impl Validator {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        match (headers.get(ETAG), headers.get(LAST_MODIFIED)) {
            (Some(tag), _) if !tag.as_bytes().starts_with(b"W/") => Self::Tag(tag.clone()),
            (_, Some(date)) => Self::Date(date.clone()),
            _ => Self::None,
        }
    }

    pub(super) fn if_range(&self) -> Option<HeaderValue> {
        match self {
            Self::None => None,
            Self::Tag(value) | Self::Date(value) => Some(value.clone()),
        }
    }

    /// Whether equal ones mean equal bytes.
    pub(super) fn is_strong(&self) -> bool {
        matches!(self, Self::Tag(_))
    }

    /// Whether both are of the same content, as far as they tell.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        self == other || *other == Self::None
    }
}

/// Which bytes an answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) start: u64,
    /// Size of the whole, where it is told.
    pub(super) length: Option<u64>,
}

impl Piece {
    pub(super) fn parse(status: StatusCode, headers: &HeaderMap) -> Result<Self, Error> {
        if status != StatusCode::PARTIAL_CONTENT {
            let length = headers.get(CONTENT_LENGTH).and_then(number);
            return Ok(Self { start: 0, length });
        }
        let range = headers
            .get(CONTENT_RANGE)
            .and_then(|value| value.to_str().ok());
        range
            .and_then(content_range)
            .ok_or_else(|| Error::protocol("sends a part without telling which"))
    }

    /// Whether it is of content of another length.
    pub(super) fn differs(&self, length: Option<u64>) -> bool {
        self.length.is_some() && length.is_some() && self.length != length
    }
}

/// The content is another one than that of which there is a part already.
pub(super) fn changed() -> Error {
    Error::new(Kind::Source(
        "on the server was changed during the download: begin anew".to_owned(),
    ))
}

/// RFC 9110, section 14.4: `bytes FIRST-LAST/LENGTH` or `bytes FIRST-LAST/*`.
fn content_range(value: &str) -> Option<Piece> {
    let (range, length) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let first: u64 = first.trim().parse().ok()?;
    let last: u64 = last.trim().parse().ok()?;
    let length = match length.trim() {
        "*" => None,
        length => Some(length.parse().ok()?),
    };
    // A server that sends less than the rest is asked again for what is missing: not here.
    let whole = length.is_none_or(|length: u64| last.checked_add(1) == Some(length));
    (first <= last && whole).then_some(Piece {
        start: first,
        length,
    })
}

fn number(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_strictly() {
        for (value, expected) in [
            ("bytes 5-9/10", Some((5, Some(10)))),
            ("bytes 5-9/*", Some((5, None))),
            ("bytes 5-8/10", None),
            ("bytes 9-5/10", None),
            ("bytes */10", None),
            ("items 5-9/10", None),
            ("bytes 5-18446744073709551615/10", None),
        ] {
            let piece = content_range(value).map(|piece| (piece.start, piece.length));
            assert_eq!(piece, expected, "{value}");
        }
    }
}
