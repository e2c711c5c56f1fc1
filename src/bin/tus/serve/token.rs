//! Bearer tokens (RFC 6750): who may upload.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use anyhow::{Context, Result, bail, ensure};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request,
    header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, ORIGIN},
};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The tokens of a file, as hashes: no secret stays in memory, and all are of one length.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    file: PathBuf,
    hashes: Arc<RwLock<Vec<Hash>>>,
}

type Hash = [u8; 32];

/// Why a request is refused: what goes into `WWW-Authenticate`.
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

    /// Lets requests with a token pass, and the question whether a web page may send one.
    pub(crate) fn check<B>(&self, request: &Request<B>) -> Result<(), Unauthorized> {
        if is_preflight(request) {
            return Ok(());
        }
        let token = bearer(request.headers()).ok_or(Unauthorized::Missing)?;
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

/// Browsers ask without credentials whether they may send some. Whatever else names a method in such a
/// request asks for something else.
fn is_preflight<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    request.method() == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        && !headers.contains_key(METHOD_OVERRIDE)
}

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

pub(crate) const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    fn tokens(text: &str) -> Result<Tokens> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        Tokens::open(file.path())
    }

    #[test]
    fn who_has_a_token_passes() {
        use Unauthorized::{Missing, Wrong};
        let tokens = tokens("# of the app\none\n\n  two  \n").unwrap();
        let preflight = [
            ("Origin", "https://a"),
            ("Access-Control-Request-Method", "PATCH"),
        ];
        for (method, headers, expected) in [
            ("PATCH", &[("Authorization", "Bearer one")][..], Ok(())),
            ("PATCH", &[("Authorization", "bearer  two")], Ok(())),
            ("PATCH", &[("Authorization", "Bearer onE")], Err(Wrong)),
            ("PATCH", &[("Authorization", "Bearer on")], Err(Wrong)),
            (
                "PATCH",
                &[("Authorization", "Bearer # of the app")],
                Err(Wrong),
            ),
            ("PATCH", &[("Authorization", "Bearer ")], Err(Missing)),
            ("PATCH", &[("Authorization", "Basic one")], Err(Missing)),
            ("PATCH", &[("Authorization", "Bear")], Err(Missing)),
            ("PATCH", &[], Err(Missing)),
            ("OPTIONS", &[], Err(Missing)),
            ("OPTIONS", &preflight, Ok(())),
            ("PATCH", &preflight, Err(Missing)),
            (
                "PATCH",
                &[
                    ("Authorization", "Bearer one"),
                    ("Authorization", "Bearer x"),
                ],
                Err(Missing),
            ),
            (
                "OPTIONS",
                &[
                    preflight[0],
                    preflight[1],
                    ("X-HTTP-Method-Override", "DELETE"),
                ],
                Err(Missing),
            ),
        ] {
            let request = request(method, headers);
            assert_eq!(tokens.check(&request), expected, "{method} {headers:?}");
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
