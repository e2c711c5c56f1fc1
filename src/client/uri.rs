//! URLs: relative ones resolved, origins compared, secrets left out.

use std::fmt;

use http::{Uri, uri::Scheme};

/// A URL without its userinfo and the text of its query, for messages.
pub(crate) struct Shown<'u>(pub(crate) &'u Uri);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(uri) = self;
        if let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) {
            write!(f, "{scheme}://{}", without_userinfo(authority.as_str()))?;
        }
        f.write_str(uri.path())?;
        f.write_str(if uri.query().is_some() { "?…" } else { "" })
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As [`Shown`], of a server's spelling of a URL.
pub(crate) struct ShownText<'t>(pub(crate) &'t str);

impl fmt::Debug for ShownText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.parse() {
            Ok(uri) => write!(f, "{}", Shown(&uri)),
            Err(_) => {
                let path = self.0.split(['?', '#']).next().unwrap_or_default();
                f.write_str(without_userinfo(path))?;
                f.write_str(if path == self.0 { "" } else { "?…" })
            }
        }
    }
}

/// Scheme, host and port, in the spelling by which origins are compared (RFC 6454, section 4).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// `None` for a URL that is not absolute.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme()?;
        let port = match uri.port_u16() {
            Some(port) => port,
            None if *scheme == Scheme::HTTPS => 443,
            None => 80,
        };
        Some(Self {
            scheme: scheme.as_str().to_ascii_lowercase(),
            host: uri.host()?.to_ascii_lowercase(),
            port,
        })
    }
}

/// Whether going from one URL to the other gives up TLS.
pub(crate) fn is_downgrade(from: &Uri, to: &Uri) -> bool {
    from.scheme() == Some(&Scheme::HTTPS) && to.scheme() == Some(&Scheme::HTTP)
}

/// Whether the URL is `http` or `https` and names a host.
pub(crate) fn is_web(uri: &Uri) -> bool {
    let scheme = uri.scheme();
    (scheme == Some(&Scheme::HTTP) || scheme == Some(&Scheme::HTTPS))
        && uri.host().is_some_and(|host| !host.is_empty())
}

/// User and password that stand in a URL, and the URL without them.
pub(crate) fn split_userinfo(uri: &Uri) -> (Option<&str>, Uri) {
    let Some(authority) = uri.authority() else {
        return (None, uri.clone());
    };
    let Some((userinfo, host)) = authority.as_str().rsplit_once('@') else {
        return (None, uri.clone());
    };
    let mut parts = uri.clone().into_parts();
    parts.authority = host.parse().ok();
    let bare = Uri::from_parts(parts).unwrap_or_else(|_| uri.clone());
    (Some(userinfo), bare)
}

/// The reference as seen from an absolute `base` (RFC 3986, section 5.2): absolute, without a scheme,
/// without a host, or relative. `None` if the result is no URL. A fragment is dropped, and userinfo: it
/// is not for a server to say who asks.
pub(crate) fn resolve(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.trim().split('#').next().unwrap_or_default();
    let scheme = base.scheme_str()?;
    let absolute = match reference.strip_prefix("//") {
        Some(rest) => Some(format!("{scheme}://{rest}")),
        None => has_scheme(reference).then(|| reference.to_owned()),
    };
    if let Some(absolute) = absolute {
        let uri = absolute.parse().ok().filter(is_web)?;
        return Some(split_userinfo(&uri).1);
    }
    let authority = base.authority()?;
    let (path, query) = match reference.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (reference, None),
    };
    let (path, query) = if path.is_empty() {
        (base.path().to_owned(), query.or_else(|| base.query()))
    } else if path.starts_with('/') {
        (without_dots(path), query)
    } else {
        let directory = base.path().rsplit_once('/').map_or("", |(head, _)| head);
        (without_dots(&format!("{directory}/{path}")), query)
    };
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    format!("{scheme}://{authority}{path}{query}").parse().ok()
}

/// RFC 3986, section 3.1: a scheme ends with a colon before any slash.
fn has_scheme(reference: &str) -> bool {
    let end = reference.find([':', '/', '?']);
    let Some((scheme, true)) = end.map(|at| (&reference[..at], reference[at..].starts_with(':')))
    else {
        return false;
    };
    let mut letters = scheme.chars();
    letters.next().is_some_and(|c| c.is_ascii_alphabetic())
        && letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// RFC 3986, section 5.2.4, of a path that starts with a slash.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (at, segment) in segments.iter().enumerate() {
        let last = at + 1 == segments.len();
        match *segment {
            "." | ".." => {
                if *segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

fn without_userinfo(authority: &str) -> &str {
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 3986, section 5.4, that are http URLs.
    #[test]
    fn references_are_resolved_as_the_rfc_says() {
        let base = Uri::from_static("http://a/b/c/d?q");
        for (reference, expected) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("g#s", "http://a/b/c/g"),
            ("", "http://a/b/c/d?q"),
            (".", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            ("..g", "http://a/b/c/..g"),
            ("./../g", "http://a/b/g"),
            ("g/./h", "http://a/b/c/g/h"),
            ("g/../h", "http://a/b/c/h"),
            ("https://h:1/x", "https://h:1/x"),
            ("https://u:p@h:1/x", "https://h:1/x"),
            ("//u@h/x?y", "http://h/x?y"),
            ("a:b/c", ""),
            ("ftp://h/x", ""),
            ("http:///x", ""),
            ("/a b", ""),
        ] {
            let resolved = resolve(&base, reference);
            let text = resolved.map_or_else(String::new, |uri| uri.to_string());
            assert_eq!(text, expected, "{reference:?}");
        }
    }

    #[test]
    fn origins_are_compared_as_browsers_do() {
        let same = |a, b| Origin::of(&Uri::from_static(a)) == Origin::of(&Uri::from_static(b));
        assert!(same("http://h/a", "http://H:80/b"));
        assert!(same("https://u:p@h/a", "https://h:443/b"));
        assert!(!same("http://h/", "https://h/"));
        assert!(!same("http://h/", "http://h:81/"));
        assert!(!same("http://h/", "http://i.h/"));
    }

    #[test]
    fn spellings_are_shown_without_secrets() {
        for (text, shown) in [
            ("/files/a?sig=hidden", "/files/a?…"),
            ("files/a?sig=hidden", "files/a?…"),
            ("https://me:hidden@h/a", "https://h/a"),
            ("//me:hidden@h/a b", "h/a b"),
        ] {
            assert_eq!(format!("{:?}", ShownText(text)), shown);
        }
    }

    #[test]
    fn userinfo_is_taken_out() {
        let uri = Uri::from_static("https://me:p@h:1/x?y");
        let (userinfo, bare) = split_userinfo(&uri);
        assert_eq!(userinfo, Some("me:p"));
        assert_eq!(bare, Uri::from_static("https://h:1/x?y"));
    }
}
