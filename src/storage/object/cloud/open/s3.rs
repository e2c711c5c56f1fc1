use object_store::{
    aws::{AmazonS3Builder, AmazonS3ConfigKey as Key},
    signer::Url,
};

use super::{
    super::s3::{S3, STORE},
    Http, Options, backend, once, unsupported,
};
use crate::storage::Result;

pub(super) fn open(url: &Url, options: &[(String, String)]) -> Result<S3> {
    let mut options = Options::<Key>::new(options);
    refuse(&options)?;
    let bucket = match bucket(url) {
        Some(bucket) => bucket,
        None => options.get(Key::Bucket).unwrap_or_default().to_owned(),
    };
    let endpoint = endpoint(url, &options);
    let http = Http::new(
        &options,
        |key| match key {
            Key::Client(key) => Some(key),
            _ => None,
        },
        false,
    );
    http.check(&endpoint, "AWS_ALLOW_HTTP")?;
    let is_r2 = endpoint.contains(".r2.cloudflarestorage.com");
    if is_r2 {
        options.set_default(
            Key::CopyIfNotExists,
            "header-with-status:cf-copy-destination-if-none-match:*:412",
        );
    } else if !endpoint.starts_with("http://") {
        options.set_default(Key::UnsignedPayload, "true");
        options.set_default(Key::Checksum, "crc64nvme");
    }
    if matches!(options.get(Key::Checksum), Some("" | "none")) {
        options.remove(Key::Checksum);
    }

    let builder = AmazonS3Builder::new()
        .with_client_options(http.options.clone())
        .with_http_connector(http.connector.clone())
        .with_retry(once())
        .with_url(url.as_str());
    let builder = options.0.iter().fold(builder, |builder, (key, value)| {
        builder.with_config(*key, value)
    });
    let store = builder.build().map_err(backend)?;
    let opened = S3::with_raw(store, bucket, http.raw(STORE)?);
    Ok(if is_r2 { opened.r2() } else { opened })
}

/// What would work for some requests only.
fn refuse(options: &Options<Key>) -> Result<()> {
    if options.is_true(Key::S3Express) {
        return Err(unsupported(
            "directory buckets (S3 Express) are not supported",
        ));
    }
    let encryption = options.0.iter().find(|(key, _)| key.as_ref() == ENCRYPTION);
    if encryption.is_some_and(|(_, value)| value == "sse-c") {
        return Err(unsupported(
            "encryption with keys of the customer (SSE-C) is not supported",
        ));
    }
    Ok(())
}

const ENCRYPTION: &str = "aws_server_side_encryption";

/// As object_store finds it in a URL.
fn bucket(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    if url.scheme() != "https" {
        return Some(host.to_owned());
    }
    let is_in_path = host.starts_with("s3.") || host.ends_with(".r2.cloudflarestorage.com");
    let name = if is_in_path {
        url.path_segments()?.next()
    } else {
        host.split('.').next()
    };
    name.filter(|name| !name.is_empty()).map(str::to_owned)
}

/// Where requests will go, as far as that matters here.
fn endpoint(url: &Url, options: &Options<Key>) -> String {
    if url.scheme() == "https" && url.host_str().is_some_and(|host| host.contains(".r2.")) {
        return url.to_string();
    }
    let endpoint = options
        .get(Key::S3Endpoint)
        .or_else(|| options.get(Key::Endpoint));
    endpoint.unwrap_or("https://amazonaws.com").to_owned()
}
