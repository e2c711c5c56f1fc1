//! Buckets by their URLs.

#[cfg(feature = "azure")]
mod azure;
#[cfg(feature = "gcp")]
mod gcs;
#[cfg(feature = "aws")]
mod s3;

use std::{str::FromStr, sync::Arc};

use object_store::{
    ClientConfigKey, ClientOptions, ObjectStoreScheme, RetryConfig, path::Path, signer::Url,
};

use super::{connector::Connector, raw, raw::Raw};
use crate::storage::{Error, Result, object::Bucket};

/// The bucket that `url` names, and the path in it.
///
/// URLs are those of object_store: `s3://bucket/path`, `gs://bucket/path`, `az://container/path`, and
/// `https://` URLs of Amazon, Azure and Cloudflare R2. Options have the names of object_store, as
/// `aws_access_key_id`, in lower or upper case; unknown ones are passed over.
///
/// Nothing is sent yet. Requests are made once, and last as long as they move; options for timeouts
/// change that. For S3 over TLS, payloads are not signed (`aws_unsigned_payload`) but have a checksum
/// (`aws_checksum_algorithm`, where `none` is none): so it is four times less work. Without TLS, and
/// for R2, they are signed.
///
/// # Errors
/// [`Error::Unsupported`] for URLs and options that cannot be used, or not with these features;
/// [`Error::Backend`] for what object_store does not take.
pub fn open_bucket(
    url: &str,
    options: impl IntoIterator<Item = (String, String)>,
) -> Result<(Arc<dyn Bucket>, Path)> {
    let parsed = Url::parse(url).map_err(|error| unsupported(format!("{url}: {error}")))?;
    let (scheme, path) =
        ObjectStoreScheme::parse(&parsed).map_err(|error| unsupported(error.to_string()))?;
    let options = options
        .into_iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value));
    let options: Vec<_> = options.collect();
    let bucket: Arc<dyn Bucket> = match scheme {
        #[cfg(feature = "aws")]
        ObjectStoreScheme::AmazonS3 => Arc::new(s3::open(&parsed, &options)?),
        #[cfg(not(feature = "aws"))]
        ObjectStoreScheme::AmazonS3 => return Err(missing(url, "aws")),
        #[cfg(feature = "gcp")]
        ObjectStoreScheme::GoogleCloudStorage => Arc::new(gcs::open(&parsed, &options)?),
        #[cfg(not(feature = "gcp"))]
        ObjectStoreScheme::GoogleCloudStorage => return Err(missing(url, "gcp")),
        #[cfg(feature = "azure")]
        ObjectStoreScheme::MicrosoftAzure => Arc::new(azure::open(&parsed, &options)?),
        #[cfg(not(feature = "azure"))]
        ObjectStoreScheme::MicrosoftAzure => return Err(missing(url, "azure")),
        _ => {
            return Err(unsupported(format!(
                "{url} names no bucket of S3, Google Cloud Storage or Azure"
            )));
        }
    };
    Ok((bucket, path))
}

/// The options that one kind of store has, later ones over earlier ones.
#[derive(Debug)]
struct Options<K>(Vec<(K, String)>);

impl<K: FromStr + PartialEq + Copy> Options<K> {
    fn new(options: &[(String, String)]) -> Self {
        let known = options
            .iter()
            .filter_map(|(name, value)| Some((name.parse().ok()?, value.clone())));
        Self(known.collect())
    }

    fn get(&self, key: K) -> Option<&str> {
        let mut found = self.0.iter().rev();
        let (_, value) = found.find(|(found, _)| *found == key)?;
        Some(value)
    }

    fn is_true(&self, key: K) -> bool {
        self.get(key).is_some_and(is_true)
    }

    fn remove(&mut self, key: K) {
        self.0.retain(|(found, _)| *found != key);
    }

    fn set(&mut self, key: K, value: impl Into<String>) {
        self.remove(key);
        self.0.push((key, value.into()));
    }

    fn set_default(&mut self, key: K, value: impl Into<String>) {
        if self.get(key).is_none() {
            self.set(key, value);
        }
    }
}

/// How object_store reads a flag.
fn is_true(value: &str) -> bool {
    matches!(
        value.to_ascii_lowercase().as_str(),
        "1" | "true" | "on" | "yes" | "y"
    )
}

/// What a store and the requests it lacks are sent with.
#[derive(Debug)]
struct Http {
    connector: Connector,
    options: ClientOptions,
}

impl Http {
    fn new<K: Copy>(
        options: &Options<K>,
        client_key: impl Fn(K) -> Option<ClientConfigKey>,
        allowed: bool,
    ) -> Self {
        let start = raw::client_options().with_allow_http(allowed);
        let options = options
            .0
            .iter()
            .fold(start, |client, (key, value)| match client_key(*key) {
                Some(key) => client.with_config(key, value),
                None => client,
            });
        Self {
            connector: Connector::default(),
            options,
        }
    }

    /// Refuses an endpoint that would only fail later, and does not say why.
    fn check(&self, endpoint: &str, variable: &str) -> Result<()> {
        let allowed = self.options.get_config_value(&ClientConfigKey::AllowHttp);
        if endpoint.starts_with("http://") && !allowed.is_some_and(|allowed| is_true(&allowed)) {
            return Err(unsupported(format!(
                "{endpoint} is without TLS, which {variable}=true would allow"
            )));
        }
        Ok(())
    }

    fn raw(&self, store: &'static str) -> Result<Raw> {
        Raw::connect(store, &self.connector, &self.options).map_err(backend)
    }
}

/// Who repeats a request knows what it was about.
fn once() -> RetryConfig {
    RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    }
}

#[cfg(not(all(feature = "aws", feature = "azure", feature = "gcp")))]
fn missing(url: &str, feature: &str) -> Error {
    unsupported(format!("{url} needs the feature `{feature}` of tower-tus"))
}

fn unsupported(why: impl Into<String>) -> Error {
    Error::Unsupported(why.into())
}

fn backend(error: object_store::Error) -> Error {
    Error::Backend(Box::new(error))
}

#[cfg(test)]
mod tests;
