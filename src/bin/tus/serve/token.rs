//! Bearer tokens (RFC 6750): who may upload.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use anyhow::{Context, Result, bail, ensure};
use http::{
    HeaderMap, HeaderValue,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use tower_tus::hooks::{Access, Rejection};

/// The tokens of a file, as hashes: no secret stays in memory, and all are of one length.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    file: PathBuf,
    hashes: Arc<RwLock<Vec<Hash>>>,
}

type Hash = [u8; 32];

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unauthorized {
    Missing,
    Wrong,
}

impl Tokens {
    /// One token a line; empty lines and those that begin with `#` are none.
    pub(crate) fn open(file: &Path) -> Result<Self> {
        Ok(Self {
            hashes: Arc::new(RwLock::new(read(file)?)),
            file: file.into(),
        })
    }

    /// Reads the file anew. What cannot be used changes nothing.
    pub(crate) fn reload(&self) -> Result<()> {
        let hashes = read(&self.file)?;
        *self.hashes.write().unwrap_or_else(PoisonError::into_inner) = hashes;
        Ok(())
    }

    /// Lets requests with a token pass.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Unauthorized> {
        let token = bearer(headers).ok_or(Unauthorized::Missing)?;
        match self.knows(token) {
            true => Ok(()),
            false => Err(Unauthorized::Wrong),
        }
    }

    /// Takes as long for a token that is almost right as for any other.
    fn knows(&self, token: &[u8]) -> bool {
        let hash = hash(token);
        let hashes = self.hashes.read().unwrap_or_else(PoisonError::into_inner);
        let none = Choice::from(0);
        let known = hashes
            .iter()
            .fold(none, |known, one| known | one.ct_eq(&hash));
        known.into()
    }
}

impl Unauthorized {
    /// The value of `WWW-Authenticate`.
    pub(crate) fn challenge(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Missing => "Bearer realm=\"tus\"",
            Self::Wrong => "Bearer realm=\"tus\", error=\"invalid_token\"",
        })
    }
}

/// Refuses every request, for the reason among its extensions.
pub(crate) fn refuse(access: &Access<'_>) -> Result<(), Rejection> {
    let reason = access.request.extensions.get::<Unauthorized>();
    let challenge = reason.unwrap_or(&Unauthorized::Missing).challenge();
    Err(Rejection::unauthorized()
        .header(WWW_AUTHENTICATE, challenge)
        .body(WANTED))
}

/// What whoever is refused is told.
pub(crate) const WANTED: &str = "a bearer token is needed\n";

/// The token, if there is exactly one.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, token) = value.as_bytes().split_at_checked(SCHEME.len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(SCHEME) && !token.is_empty()).then_some(token)
}

fn read(file: &Path) -> Result<Vec<Hash>> {
    let shown = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
    let mut hashes = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let token = line.trim();
        if token.is_empty() || token.starts_with('#') {
            continue;
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            bail!(
                "line {} of {shown} is no token: it has a character that cannot be sent",
                at + 1
            );
        }
        hashes.push(hash(token.as_bytes()));
    }
    ensure!(!hashes.is_empty(), "there is no token in {shown}");
    Ok(hashes)
}

fn hash(token: &[u8]) -> Hash {
    Sha256::digest(token).into()
}

/// With the space behind it.
const SCHEME: &[u8] = b"Bearer ";

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Result<Tokens> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        Tokens::open(file.path())
    }

    #[test]
    fn who_has_a_token_passes() {
        use Unauthorized::{Missing, Wrong};
        let tokens = tokens("# of the app\none\n\n  two  \n").unwrap();
        for (authorization, expected) in [
            (&["Bearer one"][..], Ok(())),
            (&["bearer  two"], Ok(())),
            (&["Bearer onE"], Err(Wrong)),
            (&["Bearer on"], Err(Wrong)),
            (&["Bearer # of the app"], Err(Wrong)),
            (&["Bearer "], Err(Missing)),
            (&["Basic one"], Err(Missing)),
            (&["Bear"], Err(Missing)),
            (&[], Err(Missing)),
            (&["Bearer one", "Bearer x"], Err(Missing)),
        ] {
            let values = authorization
                .iter()
                .map(|value| HeaderValue::from_static(value));
            let headers = values.map(|value| (AUTHORIZATION, value)).collect();
            assert_eq!(tokens.check(&headers), expected, "{authorization:?}");
        }
    }

    #[test]
    fn a_file_without_tokens_is_an_error_and_shows_none() {
        assert!(tokens("# none\n\n").is_err());
        let error = tokens("good\nsecret word\n").unwrap_err().to_string();
        assert!(error.starts_with("line 2 of "), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
