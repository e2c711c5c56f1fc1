use std::{
    fmt::{self, Write},
    io,
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use md5::{Digest, Md5};
use sha2::Sha256;
use tokio::task::spawn_blocking;

use super::source::Opened;

/// How content is recognised when it comes again: its key in a [`UrlStore`](super::UrlStore).
///
/// Default: [`path`](Self::path) for files that were named by a path, [`sha256`](Self::sha256) for
/// everything else that can be read twice. A stream that can be read only once has no fingerprint and is
/// not stored, unless [`with`](Self::with) names it.
///
/// ```
/// use tower_tus::client::Fingerprint;
///
/// // The keys of tuspy: with entries of its file that were taken over, its uploads go on.
/// let as_in_python = Fingerprint::md5_start();
/// // The same file, whatever it is called and wherever it lies.
/// let by_content = Fingerprint::sha256();
/// // One upload for each name.
/// let by_name = Fingerprint::with(|described| {
///     let name = described.path?.file_name()?.to_str()?;
///     Some(format!("name:{name}"))
/// });
/// # assert_eq!(format!("{as_in_python:?} {by_content:?} {by_name:?}"), "Md5Start Sha256 Custom");
/// ```
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
    /// Its absolute path, if it is all of a file that was named by one.
    pub path: Option<&'s Path>,
    /// Its size in bytes, where it is known.
    pub length: Option<u64>,
    /// When the file was last changed.
    pub modified: Option<SystemTime>,
}

impl Fingerprint {
    /// A file's absolute path, size and time of its last change. Nothing is read. The default for files.
    ///
    /// Content without a path has no such fingerprint and is not stored.
    #[must_use]
    pub fn path() -> Self {
        Self(Inner::Path)
    }

    /// Size and MD5 of the first 64 KiB, in tuspy's spelling: `size:N--md5:HEX`.
    ///
    /// No store reads tuspy's own file; the manual for those who come from there (`docs/coming-from.md`) has
    /// ten lines that take its entries over.
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
    /// Cancel-safe.
    pub(crate) async fn of(&self, source: &mut Opened) -> io::Result<Option<String>> {
        let described = Described {
            path: source.path(),
            length: source.length(),
            modified: source.modified(),
        };
        match &self.0 {
            Inner::Custom(name) => Ok(name(&described)),
            _ if !source.is_seekable() => Ok(None),
            Inner::Path => Ok(by_path(&described)),
            Inner::Auto if described.path.is_some() => Ok(by_path(&described)),
            Inner::Md5Start => {
                let (size, digest) = digest::<Md5>(source, START).await?;
                Ok(Some(format!("size:{size}--md5:{digest}")))
            }
            Inner::Auto | Inner::Sha256 => {
                let (size, digest) = digest::<Sha256>(source, u64::MAX).await?;
                Ok(Some(format!("size:{size}--sha256:{digest}")))
            }
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

fn by_path(described: &Described<'_>) -> Option<String> {
    let path = match described.path?.to_str() {
        Some(path) => path.to_owned(),
        // In quotes, where no absolute path begins with one, and with the odd bytes escaped.
        None => format!("{:?}", described.path?),
    };
    let (size, modified) = (described.length?, described.modified?);
    let (sign, since) = match modified.duration_since(UNIX_EPOCH) {
        Ok(since) => ("", since),
        Err(before) => ("-", before.duration()),
    };
    let (seconds, nanos) = (since.as_secs(), since.subsec_nanos());
    // The path comes last: it may hold what looks like the rest.
    Some(format!(
        "size:{size}--mtime:{sign}{seconds}.{nanos:09}--path:{path}"
    ))
}

/// The size of the content, and the digest of its first bytes in hexadecimal.
async fn digest<D>(source: &mut Opened, count: u64) -> io::Result<(u64, String)>
where
    D: Digest + Send + 'static,
{
    let size = source.length().unwrap_or_default();
    let end = size.min(count);
    let (mut hasher, mut offset) = (D::new(), 0);
    while offset < end {
        let piece = source.read(offset, end - offset).await?;
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        offset += piece.len() as u64;
        hasher = update(hasher, piece).await?;
    }
    let mut digest = String::new();
    for byte in hasher.finalize() {
        write!(digest, "{byte:02x}").expect("a string takes everything");
    }
    Ok((size, digest))
}

/// Hashes on a thread that may be busy: bytes in memory would never let anybody else run.
async fn update<D>(mut hasher: D, piece: Bytes) -> io::Result<D>
where
    D: Digest + Send + 'static,
{
    let hashing = spawn_blocking(move || {
        hasher.update(&piece);
        hasher
    });
    hashing.await.map_err(io::Error::other)
}

/// How much of the content tuspy looks at.
const START: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::client::Source;

    async fn of(fingerprint: &Fingerprint, source: Source) -> Option<String> {
        let mut source = source.open().await.unwrap();
        fingerprint.of(&mut source).await.unwrap()
    }

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at % 251) as u8).collect()
    }

    /// Expected are the words of tuspy 1.1.0 and of resumable-upload 0.3.0 for the same bytes.
    #[tokio::test]
    async fn contents_are_named_as_in_python() {
        for (length, md5, sha256) in PYTHON {
            let bytes = content(length);
            let found = of(&Fingerprint::md5_start(), Source::bytes(bytes.clone())).await;
            assert_eq!(found.unwrap(), format!("size:{length}--md5:{md5}"));
            let reader = io::Cursor::new(bytes.clone());
            let found = of(&Fingerprint::sha256(), Source::reader(reader)).await;
            assert_eq!(found.unwrap(), format!("size:{length}--sha256:{sha256}"));
            let found = of(&Fingerprint::default(), Source::bytes(bytes)).await;
            assert_eq!(found.unwrap(), format!("size:{length}--sha256:{sha256}"));
        }
    }

    #[tokio::test]
    async fn a_file_is_its_path_size_and_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a--path:b");
        std::fs::write(&path, "hello").unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        let auto = Fingerprint::default();
        for (time, text) in [
            (
                UNIX_EPOCH + Duration::new(1_700_000_000, 5),
                "1700000000.000000005",
            ),
            (UNIX_EPOCH - Duration::from_millis(1500), "-1.500000000"),
        ] {
            file.set_modified(time).unwrap();
            let expected = format!("size:5--mtime:{text}--path:{}", path.display());
            assert_eq!(of(&auto, Source::path(&path)).await, Some(expected.clone()));
            assert_eq!(
                of(&Fingerprint::path(), Source::path(&path)).await,
                Some(expected)
            );
        }
        assert_eq!(of(&Fingerprint::path(), Source::bytes("hello")).await, None);
    }

    #[cfg(unix)]
    #[test]
    fn paths_that_are_no_text_differ() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

        let named = |path: &[u8]| {
            by_path(&Described {
                path: Some(Path::new(OsStr::from_bytes(path))),
                length: Some(1),
                modified: Some(UNIX_EPOCH),
            })
        };
        assert!(named(b"/\xff").is_some());
        assert_ne!(named(b"/\xff"), named(b"/\xfe"));
        assert_ne!(named(b"/\xff"), named(br"/\xff"));
    }

    #[tokio::test]
    async fn a_stream_has_the_name_that_it_is_given_or_none() {
        let stream = || Source::read_once(tokio::io::empty());
        for none in [
            Fingerprint::default(),
            Fingerprint::path(),
            Fingerprint::md5_start(),
            Fingerprint::sha256(),
            Fingerprint::with(|_| None),
        ] {
            assert_eq!(of(&none, stream()).await, None, "{none:?}");
        }
        let named = Fingerprint::with(|described| {
            assert_eq!((described.path, described.modified), (None, None));
            Some("backup".to_owned())
        });
        assert_eq!(of(&named, stream()).await.as_deref(), Some("backup"));
    }

    #[tokio::test]
    async fn a_file_that_shrinks_has_no_fingerprint() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content(70_000)).unwrap();
        let mut source = Source::path(file.path()).open().await.unwrap();
        std::fs::write(file.path(), "short").unwrap();
        let error = Fingerprint::sha256().of(&mut source).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    /// Length, MD5 of the first 64 KiB, SHA-256 of everything.
    const PYTHON: [(usize, &str, &str); 4] = [
        (
            0,
            "d41d8cd98f00b204e9800998ecf8427e",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            5,
            "d05374dc381d9b52806446a71c8e79b1",
            "08bb5e5d6eaac1049ede0893d30ed022b1a4d9b5b48db414871f51c9cb35283d",
        ),
        (
            65_536,
            "9cc60713923528a1dd94e1c1ab0ebc9e",
            "4b640d85ab3ba30fd02c9fc9db4a8928f416322ad27022ea58a65aaee68a4df2",
        ),
        (
            600_001,
            "9cc60713923528a1dd94e1c1ab0ebc9e",
            "ff8bf25a6b19ba643508241052e10c8c5011de3cb769b4cb19da634d61001e00",
        ),
    ];
}
