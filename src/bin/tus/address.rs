//! URLs and headers as people type them, which may hold passwords: never printed as they are.

use std::{convert::Infallible, fmt, fs, str::FromStr};

use anyhow::{Context, Result};
use http::{HeaderName, HeaderValue, Uri, uri::Authority};

use crate::exit::Usage;

/// A URL, looked at when it is used: clap would print one that is wrong, with its password.
#[derive(Clone)]
pub(crate) struct Address(String);

impl Address {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The URL: absolute, and http or https.
    pub(crate) fn uri(&self) -> Result<Uri, Usage> {
        let uri = self.0.split('#').next().unwrap_or_default().parse::<Uri>();
        uri.ok()
            .filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")))
            .filter(|uri| uri.host().is_some_and(|host| !host.is_empty()))
            .ok_or_else(|| {
                Usage(format!(
                    "{:?} is no absolute URL, as in https://example.com/files",
                    shown_text(&self.0)
                ))
            })
    }
}

impl FromStr for Address {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown_text(&self.0))
    }
}

/// Headers on the command line: one, or a file of them.
#[derive(Clone)]
pub(crate) struct Headers(String);

impl Headers {
    /// Names and values. `@FILE` has one in each line.
    pub(crate) fn read(&self) -> Result<Vec<(HeaderName, HeaderValue)>> {
        let Some(path) = self.0.strip_prefix('@') else {
            return Ok(vec![header(&self.0).ok_or_else(|| self.wrong())?]);
        };
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        lines
            .map(|line| header(line).ok_or_else(|| self.wrong().into()))
            .collect()
    }

    fn wrong(&self) -> Usage {
        // A value whose name was forgotten may be a secret.
        let name = match self.0.split_once(':') {
            _ if self.0.starts_with('@') => format!("{:?} ", self.0),
            Some((name, _)) if name.trim().parse::<HeaderName>().is_ok() => format!("{name:?} "),
            _ => String::new(),
        };
        Usage(format!(
            "--header {name}is no header, as in 'Name: value', or @FILE with one in each line"
        ))
    }
}

impl FromStr for Headers {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Headers")
    }
}

/// The URL without user and password.
pub(crate) fn without_userinfo(uri: &Uri) -> Uri {
    let bare = |authority: &Authority| {
        let (_, host) = authority.as_str().rsplit_once('@')?;
        host.parse().ok()
    };
    let mut parts = uri.clone().into_parts();
    if let Some(authority) = parts.authority.as_ref().and_then(bare) {
        parts.authority = Some(authority);
    }
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

/// Whether scheme, host and port are the same (RFC 6454, section 4).
pub(crate) fn is_same_origin(one: &Uri, other: &Uri) -> bool {
    let origin = |uri: &Uri| {
        let default = match uri.scheme_str() {
            Some("https") => 443,
            _ => 80,
        };
        let host = uri.host().map(str::to_ascii_lowercase);
        (
            uri.scheme().cloned(),
            host,
            uri.port_u16().unwrap_or(default),
        )
    };
    origin(one) == origin(other)
}

/// A URL for messages: without user, password and the text of its query.
pub(crate) fn shown(uri: &Uri) -> String {
    shown_text(&uri.to_string())
}

pub(crate) fn shown_text(text: &str) -> String {
    let (text, query) = match text.split_once(['?', '#']) {
        Some((text, _)) => (text, "?…"),
        None => (text, ""),
    };
    // A password may have a slash in it that nobody escaped, or stand where the scheme should.
    let public = |text: &str| text.rsplit('@').next().unwrap_or_default().to_owned();
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{}://", public(scheme)), public(rest)),
        None => (String::new(), public(text)),
    };
    printable(&format!("{scheme}{rest}{query}"))
}

/// A stranger's text on a terminal: one line without what a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if is_obeyed(c) { '\u{fffd}' } else { c })
        .collect()
}

/// Control characters, and those that turn the direction of what follows.
pub(crate) fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_absolute() {
        for good in ["http://h/files", "https://u:p@h:1/x?y", "https://h/x#part"] {
            assert!(Address(good.into()).uri().is_ok(), "{good}");
        }
        for bad in [
            "",
            "files",
            "/files",
            "ftp://h/",
            "h/files",
            "http://",
            "http://a b/",
        ] {
            assert!(Address(bad.into()).uri().is_err(), "{bad}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        for text in [
            "https://u:hidden@h/x",
            "htp://u:hidden@h/x",
            "https://u:hid/hidden@h /x",
            "https://h/x?token=hidden",
            "u:hidden@h",
            "u:hidden@https://h",
        ] {
            let address = Address(text.into());
            let seen = format!("{address:?} {:?}", address.uri().map(|uri| shown(&uri)));
            assert!(!seen.contains("hidden"), "{seen}");
        }
        let header = Headers("Authorization: hid\nden".into());
        let error = header.read().unwrap_err().to_string();
        assert!(error.contains("Authorization"), "{error}");
        assert!(!error.contains("den"), "{error}");
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for (one, other, same) in [
            ("https://h/a", "https://u:p@H:443/b", true),
            ("http://h/a", "http://h:80/b", true),
            ("http://h/", "https://h/", false),
            ("https://h/", "https://h:444/", false),
            ("https://h/", "https://i.h/", false),
        ] {
            let (one, other) = (Uri::from_static(one), Uri::from_static(other));
            assert_eq!(is_same_origin(&one, &other), same, "{one} {other}");
        }
        let bare = without_userinfo(&Uri::from_static("https://u:p@h:1/a?b"));
        assert_eq!(bare, Uri::from_static("https://h:1/a?b"));
    }

    #[test]
    fn headers_are_split_at_the_first_colon() {
        let (name, value) = header("X-Time:  12:30 ").unwrap();
        assert_eq!(
            (name.as_str(), value.to_str().unwrap()),
            ("x-time", "12:30")
        );
        for bad in ["", "x", ": y", "a b: c", "a: \u{7}"] {
            assert!(header(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn what_a_stranger_sends_cannot_move_the_cursor() {
        assert_eq!(printable("a\x1b[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
        assert_eq!(printable("a\u{202e}b\u{61c}"), "a\u{fffd}b\u{fffd}");
    }
}
