use base64::{Engine, prelude::BASE64_STANDARD};

use super::{Error, header::UPLOAD_METADATA};

/// What the client attached to an upload: the value of `Upload-Metadata`, kept byte for byte.
///
/// The grammar is checked when an upload is created; values are decoded only when they are asked
/// for, and may be any bytes. See "Upload-Metadata" of the tus 1.0.0 creation extension.
///
/// ```
/// use tower_tus::protocol::Metadata;
///
/// let metadata: Metadata = "filename aGVsbG8udHh0,is_confidential".parse()?;
/// assert_eq!(metadata.get_str("filename").as_deref(), Some("hello.txt"));
/// assert_eq!(metadata.get("is_confidential"), Some(Vec::new()));
/// assert_eq!(metadata.as_str(), "filename aGVsbG8udHh0,is_confidential");
/// # Ok::<_, tower_tus::protocol::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata(String);

impl Metadata {
    /// Metadata of the pairs, in their order.
    ///
    /// # Errors
    /// [`Error::InvalidHeader`] if a key is empty, repeated, not ASCII, or has a blank or a comma.
    pub fn from_pairs<K, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<Self, Error>
    where
        K: AsRef<str>,
        V: AsRef<[u8]>,
    {
        let mut text = String::new();
        for (key, value) in pairs {
            if !is_key(key.as_ref()) {
                return Err(Error::invalid(&UPLOAD_METADATA, "has a malformed key"));
            }
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(key.as_ref());
            if !value.as_ref().is_empty() {
                text.push(' ');
                BASE64_STANDARD.encode_string(value, &mut text);
            }
        }
        text.parse()
    }

    /// The header's value, as it came. Empty if there is none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the client attached nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of `key`: empty for a key without a value, `None` for an unknown key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.encoded()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| decode(value))
    }

    /// The value of `key` as text; `None` for an unknown key, and for a value that is not UTF-8.
    #[must_use]
    pub fn get_str(&self, key: &str) -> Option<String> {
        self.get(key)
            .and_then(|value| String::from_utf8(value).ok())
    }

    /// All keys and values, in the client's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Vec<u8>)> {
        self.encoded().map(|(key, value)| (key, decode(value)))
    }

    fn encoded(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .split(',')
            .filter(|element| !element.trim().is_empty())
            .map(split)
    }
}

impl std::str::FromStr for Metadata {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let malformed = |reason| Error::invalid(&UPLOAD_METADATA, reason);
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let mut keys = std::collections::HashSet::new();
        for element in text.split(',') {
            let (key, value) = split(element);
            if !is_key(key) {
                return Err(malformed("has a missing or malformed key"));
            }
            if BASE64_STANDARD.decode(value).is_err() {
                return Err(malformed("has a value that is not base64"));
            }
            if !keys.insert(key) {
                return Err(malformed("repeats a key"));
            }
        }
        Ok(Self(text.to_owned()))
    }
}

/// Key and encoded value of one element; optional blanks around it are none of its own.
fn split(element: &str) -> (&str, &str) {
    let element = element.trim_matches([' ', '\t']);
    element.split_once(' ').unwrap_or((element, ""))
}

fn is_key(key: &str) -> bool {
    !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b',')
}

fn decode(value: &str) -> Vec<u8> {
    BASE64_STANDARD
        .decode(value)
        .expect("values were checked when the metadata was parsed")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepts_the_grammar_and_keeps_it_verbatim() {
        for text in [
            "filename d29ybGQ=",
            "a",
            "a ",
            "a ,b",
            "z YQ==,y,x eQ==",
            "a YQ==, b Yg==",
            "bin //79",
            "k!#$%&'*+-.^_`|~/:;<=>?@[]{}\" YQ==",
        ] {
            assert_eq!(text.parse::<Metadata>().unwrap().as_str(), text);
        }
        assert!("".parse::<Metadata>().unwrap().is_empty());
        assert!("  ".parse::<Metadata>().unwrap().is_empty());
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            ",",
            "a,,b",
            "a YQ==,",
            "a YQ",
            "a Y",
            "a _-8=",
            "a b c",
            "a  YQ==",
            "a YQ==,a Yg==",
            "ä YQ==",
            "a Y!==",
            "a YR==",
        ] {
            assert!(text.parse::<Metadata>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn parse_inverts_encode(
            pairs in prop::collection::btree_map("[!-+\\--~]{1,12}", prop::collection::vec(any::<u8>(), 0..40), 0..8)
        ) {
            let metadata = Metadata::from_pairs(&pairs).unwrap();
            let again: Metadata = metadata.as_str().parse().unwrap();
            let decoded: Vec<_> = again.iter().map(|(k, v)| (k.to_owned(), v)).collect();
            let expected: Vec<_> = pairs.into_iter().collect();
            prop_assert_eq!(decoded, expected);
        }

        #[test]
        fn parsing_and_reading_never_panics(text in "\\PC{0,60}|[a-c ,=]{0,40}") {
            if let Ok(metadata) = text.parse::<Metadata>() {
                prop_assert!(metadata.iter().all(|(key, _)| !key.is_empty()));
            }
        }
    }
}
