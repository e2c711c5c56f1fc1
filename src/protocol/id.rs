use std::{fmt, str::FromStr, sync::Arc};

/// Names one upload: the last segment of its URL.
///
/// Between 1 and 128 characters of `A–Z a–z 0–9 - _`. Nothing else is ever a name, so an id can
/// stand in a path, a URL or a header as it is. Whoever knows an id may write to the upload:
/// [`UploadId::from_random`] makes ids that cannot be guessed.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadId(Arc<str>);

impl UploadId {
    /// The longest id, in bytes.
    pub const MAX_LEN: usize = 128;

    /// An id of 128 random bits, as 32 hexadecimal digits.
    #[must_use]
    pub fn from_random(bits: u128) -> Self {
        Self(format!("{bits:032x}").into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UploadId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if text.is_empty() || text.len() > Self::MAX_LEN || !text.bytes().all(known) {
            return Err(InvalidId);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UploadId({})", self.0)
    }
}

/// The text is no [`UploadId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an upload id has 1 to 128 characters of A-Z a-z 0-9 - _")]
pub struct InvalidId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_is_strict() {
        for good in ["a", "A-z_9", &"x".repeat(128)] {
            assert_eq!(good.parse::<UploadId>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a.info",
            "a b",
            "ä",
            "a\0",
            "%61",
            &"x".repeat(129),
        ] {
            assert_eq!(bad.parse::<UploadId>(), Err(InvalidId), "{bad:?}");
        }
    }

    #[test]
    fn random_ids_have_fixed_width() {
        assert_eq!(UploadId::from_random(1).as_str().len(), 32);
        assert!(
            UploadId::from_random(u128::MAX)
                .as_str()
                .parse::<UploadId>()
                .is_ok()
        );
    }
}
