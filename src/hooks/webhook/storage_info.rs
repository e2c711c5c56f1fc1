use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::protocol::Key;

/// Where finished uploads are: what a hook server reads as `Storage`, in tusd's words for its own storages.
///
/// ```
/// use tower_tus::hooks::webhook::{StorageInfo, Webhook};
///
/// let hooks = Webhook::new("http://127.0.0.1:8000/hooks".parse()?)?
///     .storage(StorageInfo::directory("/srv/uploads"));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageInfo(Place);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Unknown,
    Directory(PathBuf),
    Bucket {
        kind: &'static str,
        /// What a bucket is called there.
        word: &'static str,
        bucket: String,
        prefix: String,
    },
}

impl StorageInfo {
    /// Files below `root`, which is best absolute: `{"Type": "filestore", "Path": …}`.
    #[must_use]
    pub fn directory(root: impl Into<PathBuf>) -> Self {
        Self(Place::Directory(root.into()))
    }

    /// Objects of Amazon S3 or what speaks like it: `{"Type": "s3store", "Bucket": …, "Key": …}`.
    #[must_use]
    pub fn s3(bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self::bucket("s3store", "Bucket", bucket.into(), prefix.into())
    }

    /// Objects of Google Cloud Storage: `{"Type": "gcsstore", "Bucket": …, "Key": …}`.
    #[must_use]
    pub fn gcs(bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self::bucket("gcsstore", "Bucket", bucket.into(), prefix.into())
    }

    /// Blobs of Azure Blob Storage: `{"Type": "azurestore", "Container": …, "Key": …}`.
    #[must_use]
    pub fn azure(container: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self::bucket("azurestore", "Container", container.into(), prefix.into())
    }

    fn bucket(kind: &'static str, word: &'static str, bucket: String, prefix: String) -> Self {
        let prefix = prefix.trim_matches('/').to_owned();
        Self(Place::Bucket {
            kind,
            word,
            bucket,
            prefix,
        })
    }

    /// What is said of an upload with this key.
    pub(super) fn of(&self, key: &Key) -> BTreeMap<&'static str, String> {
        match &self.0 {
            Place::Unknown => BTreeMap::from([("Key", key.to_string())]),
            Place::Directory(root) => {
                let path = root.join(key.as_str());
                let path = path.to_string_lossy().into_owned();
                BTreeMap::from([("Type", "filestore".to_owned()), ("Path", path)])
            }
            Place::Bucket {
                kind,
                word,
                bucket,
                prefix,
            } => {
                let key = match prefix.is_empty() {
                    true => key.to_string(),
                    false => format!("{prefix}/{key}"),
                };
                BTreeMap::from([
                    ("Type", (*kind).to_owned()),
                    (*word, bucket.clone()),
                    ("Key", key),
                ])
            }
        }
    }

    /// The key of an upload for which a hook server has chosen this path: relative to the root, or below it.
    pub(super) fn key(&self, path: &str) -> Option<Key> {
        let path = match &self.0 {
            Place::Directory(root) => match Path::new(path).strip_prefix(root) {
                Ok(below) => below.to_str()?,
                Err(_) => path,
            },
            Place::Unknown | Place::Bucket { .. } => path,
        };
        path.trim_start_matches("./").parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storages_are_told_in_the_words_of_tusd() {
        let key: Key = "a/b.txt".parse().unwrap();
        let table = [
            (StorageInfo::default(), r#"{"Key":"a/b.txt"}"#),
            (
                StorageInfo::directory("/srv/up"),
                r#"{"Path":"/srv/up/a/b.txt","Type":"filestore"}"#,
            ),
            (
                StorageInfo::s3("bucket", "pre/"),
                r#"{"Bucket":"bucket","Key":"pre/a/b.txt","Type":"s3store"}"#,
            ),
            (
                StorageInfo::gcs("bucket", ""),
                r#"{"Bucket":"bucket","Key":"a/b.txt","Type":"gcsstore"}"#,
            ),
            (
                StorageInfo::azure("box", ""),
                r#"{"Container":"box","Key":"a/b.txt","Type":"azurestore"}"#,
            ),
        ];
        for (storage, told) in table {
            assert_eq!(serde_json::to_string(&storage.of(&key)).unwrap(), told);
        }
    }

    #[test]
    fn a_path_that_is_chosen_stays_below_the_root() {
        let storage = StorageInfo::directory("/srv/up");
        for path in ["a/b", "./a/b", "/srv/up/a/b"] {
            assert_eq!(storage.key(path).unwrap().as_str(), "a/b", "{path}");
        }
        for path in [
            "/srv/up",
            "/srv/other",
            "../a",
            "/srv/up/../x",
            "a/../../b",
            "",
        ] {
            assert_eq!(storage.key(path), None, "{path}");
        }
    }
}
