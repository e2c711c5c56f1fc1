use super::UploadId;

/// Where the uploads are mounted, as clients see it.
///
/// ```
/// use tower_tus::protocol::Mount;
///
/// let mount = Mount::new("/files").with_authority("example.org");
/// let id = "24e5".parse()?;
/// assert_eq!(mount.location(&id), "/files/24e5");
/// assert_eq!(mount.resolve("https://example.org/files/24e5"), Some(id));
/// assert_eq!(mount.resolve("https://elsewhere.org/files/24e5"), None);
/// # Ok::<_, tower_tus::protocol::InvalidId>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    path: String,
    origin: Option<String>,
    authority: Option<String>,
}

impl Mount {
    /// Mounted at `path`; relative URLs are given out.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self {
            path: match path.trim_matches('/') {
                "" => String::new(),
                // One slash: two would name another host.
                path => format!("/{path}"),
            },
            origin: None,
            authority: None,
        }
    }

    /// Absolute URLs under `origin`, e.g. `https://example.org`, are given out.
    #[must_use]
    pub fn with_origin(mut self, origin: impl Into<String>) -> Self {
        let origin = origin.into();
        self.authority = origin
            .split_once("://")
            .map(|(_, authority)| authority.to_owned());
        self.origin = Some(origin);
        self
    }

    /// Absolute URLs of clients are ours if they name this host (and port).
    #[must_use]
    pub fn with_authority(mut self, authority: impl Into<String>) -> Self {
        self.authority = Some(authority.into());
        self
    }

    /// The URL of an upload.
    #[must_use]
    pub fn location(&self, id: &UploadId) -> String {
        format!(
            "{}{}/{id}",
            self.origin.as_deref().unwrap_or_default(),
            self.path
        )
    }

    /// The upload that a URL of a client means; `None` if it is none of ours.
    ///
    /// Nothing is ever fetched: a URL of another host is not ours, whatever its path.
    #[must_use]
    pub fn resolve(&self, url: &str) -> Option<UploadId> {
        let path = match url.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => {
                let (authority, _) = rest.split_once('/')?;
                if !same_authority(scheme, authority, self.authority.as_deref()?) {
                    return None;
                }
                &rest[authority.len()..]
            }
            Some(_) => return None,
            None => url,
        };
        path.strip_prefix(self.path.as_str())?
            .strip_prefix('/')?
            .parse()
            .ok()
    }
}

/// Compares hosts in any case, with the scheme's port being no port.
fn same_authority(scheme: &str, a: &str, b: &str) -> bool {
    let default = if scheme == "https" { ":443" } else { ":80" };
    let bare = |authority: &str| {
        authority
            .strip_suffix(default)
            .unwrap_or(authority)
            .to_ascii_lowercase()
    };
    bare(a) == bare(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conc_11_16_only_our_own_urls_resolve() {
        let mount = Mount::new("/files/").with_authority("Example.org:8080");
        for ours in [
            "/files/a",
            "http://example.org:8080/files/a",
            "https://EXAMPLE.ORG:8080/files/a",
        ] {
            assert_eq!(mount.resolve(ours), Some("a".parse().unwrap()), "{ours}");
        }
        for other in [
            "a",
            "/a",
            "/files",
            "/files/",
            "/files/a/",
            "/files/../a",
            "/files/a?b",
            "/filesa",
            "//example.org:8080/files/a",
            "file:///files/a",
            "ftp://example.org:8080/files/a",
            "http://example.org/files/a",
            "http://example.org:8080",
            "http://u@example.org:8080/files/a",
            "http://elsewhere.org/files/a",
            "",
        ] {
            assert_eq!(mount.resolve(other), None, "{other}");
        }
        assert_eq!(
            Mount::new("/files").resolve("http://example.org/files/a"),
            None
        );
    }

    #[test]
    fn locations_follow_the_mount() {
        let id: UploadId = "a".parse().unwrap();
        assert_eq!(Mount::new("").location(&id), "/a");
        assert_eq!(Mount::new("/x/y/").location(&id), "/x/y/a");
        let absolute = Mount::new("/files").with_origin("https://h:1");
        assert_eq!(absolute.location(&id), "https://h:1/files/a");
        assert_eq!(absolute.resolve("https://h:1/files/a"), Some(id));
    }
}
