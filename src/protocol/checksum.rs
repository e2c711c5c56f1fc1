use std::{fmt, str::FromStr};

use base64::{Engine, prelude::BASE64_STANDARD};
use md5::Md5;
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha512};

use super::{Error, header::UPLOAD_CHECKSUM};

/// A checksum algorithm, by the name that stands in `Upload-Checksum`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// `sha1`, the one every tus server with checksums has to know.
    Sha1,
    /// `sha256`.
    Sha256,
    /// `sha512`.
    Sha512,
    /// `md5`.
    Md5,
    /// `crc32c` (Castagnoli), four bytes, most significant first.
    Crc32c,
}

impl Algorithm {
    /// All algorithms, in the order in which they are announced.
    pub const ALL: [Self; 5] = [
        Self::Sha1,
        Self::Sha256,
        Self::Sha512,
        Self::Md5,
        Self::Crc32c,
    ];

    /// The name in header fields: ASCII without capitals.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Md5 => "md5",
            Self::Crc32c => "crc32c",
        }
    }

    /// Size of a digest, in bytes.
    #[must_use]
    pub fn digest_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
            Self::Md5 => 16,
            Self::Crc32c => 4,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or(Error::UnsupportedAlgorithm)
    }
}

/// A digest that a request's body has to have: the value of `Upload-Checksum`.
///
/// See "Upload-Checksum" of the tus 1.0.0 checksum extension.
#[derive(Clone, PartialEq, Eq)]
pub struct Checksum {
    algorithm: Algorithm,
    digest: Vec<u8>,
}

impl Checksum {
    /// The digest of `data`.
    #[must_use]
    pub fn of(algorithm: Algorithm, data: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(data);
        hasher.finish()
    }

    /// How the digest was made.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Reads a header's value and takes only `supported` algorithms.
    pub(crate) fn parse(value: &str, supported: &[Algorithm]) -> Result<Self, Error> {
        let checksum: Self = value.parse()?;
        if !supported.contains(&checksum.algorithm) {
            return Err(Error::UnsupportedAlgorithm);
        }
        Ok(checksum)
    }
}

impl FromStr for Checksum {
    type Err = Error;

    fn from_str(value: &str) -> Result<Self, Error> {
        let malformed = |reason| Error::invalid(&UPLOAD_CHECKSUM, reason);
        let (name, digest) = value
            .split_once(' ')
            .ok_or_else(|| malformed("has to be an algorithm, a blank and a base64 digest"))?;
        if name.is_empty() {
            return Err(malformed("names no algorithm"));
        }
        let algorithm: Algorithm = name.parse()?;
        let digest = BASE64_STANDARD
            .decode(digest)
            .map_err(|_| malformed("has a digest that is not base64"))?;
        if digest.len() != algorithm.digest_len() {
            return Err(malformed("has a digest of the wrong size"));
        }
        Ok(Self { algorithm, digest })
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}",
            self.algorithm,
            BASE64_STANDARD.encode(&self.digest)
        )
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checksum({self})")
    }
}

/// A digest in the making.
#[derive(Clone)]
pub(crate) enum Hasher {
    Sha1(Sha1),
    Sha256(Sha256),
    Sha512(Sha512),
    Md5(Md5),
    Crc32c(crc_fast::Digest),
}

impl Hasher {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha1 => Self::Sha1(Sha1::new()),
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Sha512::new()),
            Algorithm::Md5 => Self::Md5(Md5::new()),
            Algorithm::Crc32c => {
                Self::Crc32c(crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi))
            }
        }
    }

    pub(crate) fn update(&mut self, data: &[u8]) {
        match self {
            Self::Sha1(hasher) => hasher.update(data),
            Self::Sha256(hasher) => hasher.update(data),
            Self::Sha512(hasher) => hasher.update(data),
            Self::Md5(hasher) => hasher.update(data),
            Self::Crc32c(hasher) => hasher.update(data),
        }
    }

    pub(crate) fn finish(self) -> Checksum {
        let (algorithm, digest) = match self {
            Self::Sha1(hasher) => (Algorithm::Sha1, hasher.finalize().to_vec()),
            Self::Sha256(hasher) => (Algorithm::Sha256, hasher.finalize().to_vec()),
            Self::Sha512(hasher) => (Algorithm::Sha512, hasher.finalize().to_vec()),
            Self::Md5(hasher) => (Algorithm::Md5, hasher.finalize().to_vec()),
            Self::Crc32c(hasher) => {
                let sum = hasher.finalize().to_be_bytes();
                (Algorithm::Crc32c, sum[4..].to_vec())
            }
        };
        Checksum { algorithm, digest }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Digests of "hello world", made with coreutils' *sum and, for crc32c, RFC 3720's polynomial.
    #[test]
    fn digests_are_those_of_other_programs() {
        for value in [
            "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
            "sha256 uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=",
            "md5 XrY7u+Ae7tCTyyK7j1rNww==",
            "crc32c yZRlqg==",
        ] {
            let checksum: Checksum = value.parse().unwrap();
            assert_eq!(Checksum::of(checksum.algorithm(), b"hello world"), checksum);
            assert_eq!(checksum.to_string(), value);
        }
    }

    #[test]
    fn malformed_and_unsupported_differ() {
        for value in [
            "",
            "sha1",
            "sha1 ",
            " Kq5s",
            "sha1 Kq5s",
            "sha1 !",
            "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0= x",
        ] {
            assert!(
                matches!(value.parse::<Checksum>(), Err(Error::InvalidHeader(..))),
                "{value:?}"
            );
        }
        for value in ["crc64 AAAA", "SHA1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="] {
            assert_eq!(
                value.parse::<Checksum>(),
                Err(Error::UnsupportedAlgorithm),
                "{value:?}"
            );
        }
        let sha1 = Checksum::of(Algorithm::Sha1, b"x").to_string();
        assert_eq!(
            Checksum::parse(&sha1, &[Algorithm::Md5]),
            Err(Error::UnsupportedAlgorithm)
        );
    }

    proptest! {
        #[test]
        fn parse_inverts_display(data in prop::collection::vec(any::<u8>(), 0..100), cut in any::<prop::sample::Index>()) {
            for algorithm in Algorithm::ALL {
                let whole = Checksum::of(algorithm, &data);
                prop_assert_eq!(whole.to_string().parse::<Checksum>(), Ok(whole.clone()));
                let (a, b) = data.split_at(cut.index(data.len() + 1));
                let mut hasher = Hasher::new(algorithm);
                hasher.update(a);
                hasher.update(b);
                prop_assert_eq!(hasher.finish(), whole);
            }
        }

        #[test]
        fn parsing_never_panics(text in "\\PC{0,60}") {
            let _ = text.parse::<Checksum>();
        }
    }
}
