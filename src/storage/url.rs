use std::sync::Arc;

#[cfg(feature = "file")]
use super::FileStorage;
#[cfg(feature = "object")]
use super::ObjectStorage;
use super::{Error, MemoryStorage, Result, Storage};

/// The storage that `url` names, with the defaults of its kind.
///
/// | URL | storage | feature |
/// |---|---|---|
/// | `file:///path`, `path` | `FileStorage` | `file` |
/// | `memory://` | [`MemoryStorage`] | |
/// | `s3://bucket/path` | `ObjectStorage` | `aws` |
/// | `gs://bucket/path` | `ObjectStorage` | `gcp` |
/// | `az://container/path` | `ObjectStorage` | `azure` |
///
/// Options of a bucket are those of the environment, by the names of object_store: `AWS_REGION`,
/// `GOOGLE_SERVICE_ACCOUNT`, `AZURE_STORAGE_ACCOUNT_NAME` and so on. It is tried out before it is
/// given; `ObjectStorage::from_url` does not, and takes settings.
///
/// ```
/// # async fn example() -> tower_tus::storage::Result<()> {
/// let storage = tower_tus::storage::open("memory://").await?;
/// let service = tower_tus::TusService::new(storage);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Unsupported`] for a URL that names no storage, or one whose feature is switched off, and
/// those of opening it.
pub async fn open(url: &str) -> Result<Arc<dyn Storage>> {
    match url.split_once("://") {
        None => file(url),
        Some(("file", path)) => {
            file(&local(path).ok_or_else(|| {
                Error::Unsupported(format!("{url} names no file of this machine"))
            })?)
        }
        Some(("memory", _)) => Ok(Arc::new(MemoryStorage::new())),
        Some(_) => bucket(url).await,
    }
}

#[cfg(feature = "file")]
fn file(path: &str) -> Result<Arc<dyn Storage>> {
    Ok(Arc::new(FileStorage::open(path)?))
}

#[cfg(not(feature = "file"))]
fn file(path: &str) -> Result<Arc<dyn Storage>> {
    Err(missing(path, "file"))
}

#[cfg(feature = "object")]
async fn bucket(url: &str) -> Result<Arc<dyn Storage>> {
    let storage = ObjectStorage::from_url(url)?;
    storage.check().await?;
    Ok(Arc::new(storage))
}

#[cfg(not(feature = "object"))]
async fn bucket(url: &str) -> Result<Arc<dyn Storage>> {
    Err(unknown(url))
}

#[cfg(feature = "object")]
impl ObjectStorage {
    /// Uploads in the bucket that a URL as `s3://bucket/path` names, with the options of the environment,
    /// as [`open`] takes them. Nothing is sent yet: see [`check`](Self::check).
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a URL that names no bucket, or one whose feature is switched off;
    /// [`Error::Backend`] for options that object_store does not take.
    #[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
    pub fn from_url(url: &str) -> Result<Self> {
        let (bucket, prefix) = super::object::open_bucket(url, environment())?;
        Ok(Self::new(bucket).prefix(prefix))
    }

    /// Needs one of the features `aws`, `gcp` and `azure`.
    ///
    /// # Errors
    /// [`Error::Unsupported`], without them.
    #[cfg(not(any(feature = "aws", feature = "azure", feature = "gcp")))]
    pub fn from_url(url: &str) -> Result<Self> {
        Err(unknown(url))
    }
}

/// What object_store would take from the environment.
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
fn environment() -> impl Iterator<Item = (String, String)> {
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) else {
            return None;
        };
        Some((name, value))
    });
    variables.filter(|(name, _)| {
        let prefixed = ["AWS_", "AZURE_", "GOOGLE_"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        let others = [
            "AZURITE_BLOB_STORAGE_URL",
            "IDENTITY_ENDPOINT",
            "SERVICE_ACCOUNT",
        ];
        prefixed || others.contains(&name.as_str())
    })
}

/// A URL that nothing here can open.
#[cfg(not(any(feature = "aws", feature = "azure", feature = "gcp")))]
fn unknown(url: &str) -> Error {
    let scheme = url.split_once("://").map_or(url, |(scheme, _)| scheme);
    match scheme {
        "s3" | "s3a" => missing(url, "aws"),
        "gs" => missing(url, "gcp"),
        "az" | "adl" | "azure" | "abfs" | "abfss" => missing(url, "azure"),
        "https" => missing(url, "aws` or `azure"),
        _ => Error::Unsupported(format!("{url} names no storage")),
    }
}

#[cfg(not(all(
    feature = "file",
    any(feature = "aws", feature = "azure", feature = "gcp")
)))]
fn missing(url: &str, feature: &str) -> Error {
    Error::Unsupported(format!("{url} needs the feature `{feature}` of tower-tus"))
}

/// The path of a `file` URL, decoded.
fn local(rest: &str) -> Option<String> {
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') {
        return None;
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let high = char::from(bytes.next()?).to_digit(16)?;
        let low = char::from(bytes.next()?).to_digit(16)?;
        decoded.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_is_opened_and_what_is_unknown_is_refused() {
        open("memory://").await.unwrap();
        for url in ["ftp://host/path", "file://host/path", "file://relative"] {
            let error = open(url).await.unwrap_err();
            assert!(matches!(error, Error::Unsupported(_)), "{url}: {error}");
        }
    }

    #[cfg(feature = "file")]
    #[tokio::test]
    async fn a_directory_is_opened_by_path_and_url() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        open(&format!("{path}/a")).await.unwrap();
        open(&format!("file://{path}/b%20c")).await.unwrap();
        assert!(directory.path().join("a").is_dir());
        assert!(directory.path().join("b c").is_dir());
    }

    #[cfg(not(feature = "aws"))]
    #[tokio::test]
    async fn a_feature_that_is_switched_off_is_named() {
        let error = open("s3://bucket").await.unwrap_err();
        assert!(error.to_string().contains("`aws`"), "{error}");
    }
}
