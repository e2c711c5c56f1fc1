use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED},
};

use crate::client::{Error, error::Kind};

/// What an answer tells of the content, for a comparison with the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Content {
    tag: Option<HeaderValue>,
    /// `Last-Modified`, to the second.
    date: Option<HeaderValue>,
    /// Size of the whole.
    pub(super) length: Option<u64>,
}

/// Whether two answers are about the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Same {
    /// By a strong `ETag` (RFC 9110, section 8.8).
    Surely,
    /// The length is the same, and nothing says otherwise.
    Likely,
    Unknown,
    No,
}

impl Content {
    pub(super) fn of(headers: &HeaderMap, piece: &Piece) -> Self {
        Self {
            tag: headers.get(ETAG).cloned(),
            date: headers.get(LAST_MODIFIED).cloned(),
            length: piece.length,
        }
    }

    /// What names exactly these bytes.
    pub(super) fn strong_tag(&self) -> Option<&HeaderValue> {
        let tag = self.tag.as_ref();
        tag.filter(|tag| !tag.as_bytes().starts_with(b"W/"))
    }

    pub(super) fn if_range(&self) -> Option<&HeaderValue> {
        self.strong_tag().or(self.date.as_ref())
    }

    /// Compares it with what a later answer tells.
    pub(super) fn compare(&self, later: &Self) -> Same {
        let lengths = both(self.length.as_ref(), later.length.as_ref());
        if lengths == Some(false) {
            return Same::No;
        }
        match (
            both(self.tag.as_ref(), later.tag.as_ref()),
            both(self.date.as_ref(), later.date.as_ref()),
        ) {
            (Some(false), _) => Same::No,
            (Some(true), _) if self.strong_tag().is_some() => Same::Surely,
            (_, Some(false)) => Same::No,
            _ if lengths == Some(true) => Same::Likely,
            _ => Same::Unknown,
        }
    }
}

/// Whether they are equal, if both are there.
fn both<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> Option<bool> {
    Some(one? == other?)
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
}

/// Whether the bytes are not the content, but something that was made of it.
pub(super) fn is_coded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

pub(super) fn coded() -> Error {
    Error::new(Kind::Source(
        "was sent with a Content-Encoding, and it was asked for as it is: is there a proxy that \
         compresses?"
            .to_owned(),
    ))
}

/// The content is another one than that of which there is a part already.
pub(super) fn changed() -> Error {
    Error::new(Kind::Source(
        "on the server was changed during the download: begin anew".to_owned(),
    ))
}

/// Nobody knows whether that is so.
pub(super) fn perhaps_changed() -> Error {
    Error::new(Kind::Source(
        "cannot be continued: the server sends no ETag and no length that say that it is still the same: \
         begin anew"
            .to_owned(),
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
    fn contents_are_the_same_as_far_as_they_tell() {
        let content = |tag: &'static str, date: &'static str, length| {
            let some = |text| Some(HeaderValue::from_static(text)).filter(|text| !text.is_empty());
            Content {
                tag: some(tag),
                date: some(date),
                length,
            }
        };
        let five = Some(5);
        for (tags, dates, lengths, expected) in [
            (["\"a\"", "\"a\""], ["1", "2"], [five, five], Same::Surely),
            (["\"a\"", "\"a\""], ["", ""], [None, five], Same::Surely),
            (["\"a\"", "\"a\""], ["", ""], [Some(4), five], Same::No),
            (["\"a\"", "\"b\""], ["1", "1"], [five, five], Same::No),
            (["W/\"a\"", "W/\"b\""], ["", ""], [five, five], Same::No),
            (["W/\"a\"", "W/\"a\""], ["1", "2"], [five, five], Same::No),
            (
                ["W/\"a\"", "W/\"a\""],
                ["1", "1"],
                [five, five],
                Same::Likely,
            ),
            (["\"a\"", ""], ["", ""], [five, five], Same::Likely),
            (["", ""], ["1", "2"], [five, five], Same::No),
            (["", ""], ["", ""], [five, five], Same::Likely),
            (["", ""], ["1", "1"], [None, five], Same::Unknown),
        ] {
            let before = content(tags[0], dates[0], lengths[0]);
            let later = content(tags[1], dates[1], lengths[1]);
            assert_eq!(before.compare(&later), expected, "{before:?} {later:?}");
        }
    }

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
