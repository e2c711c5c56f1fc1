use std::fs;

use object_store::{
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey as Key},
    signer::Url,
};
use serde::Deserialize;

use super::{
    super::gcs::{Gcs, STORE},
    Http, Options, backend, once,
};
use crate::storage::Result;

pub(super) fn open(url: &Url, options: &[(String, String)]) -> Result<Gcs> {
    let options = Options::<Key>::new(options);
    let http = Http::new(
        &options,
        |key| match key {
            Key::Client(key) => Some(key),
            _ => None,
        },
        // As object_store does, for tokens come from a server without TLS.
        true,
    );
    let builder = GoogleCloudStorageBuilder::new()
        .with_client_options(http.options.clone())
        .with_http_connector(http.connector.clone())
        .with_retry(once())
        .with_url(url.as_str());
    let builder = options.0.iter().fold(builder, |builder, (key, value)| {
        builder.with_config(*key, value)
    });
    let store = builder.build().map_err(backend)?;
    let bucket = Gcs::with_raw(store, url.host_str().unwrap_or_default(), http.raw(STORE)?);
    Ok(match endpoint(&options) {
        Some(endpoint) => bucket.endpoint(endpoint),
        None => bucket,
    })
}

/// The base URL, which may also stand in the account.
fn endpoint(options: &Options<Key>) -> Option<String> {
    if let Some(endpoint) = options.get(Key::BaseUrl) {
        return Some(endpoint.to_owned());
    }
    let account = match options.get(Key::ServiceAccountKey) {
        Some(account) => account.to_owned(),
        None => fs::read_to_string(options.get(Key::ServiceAccount)?).ok()?,
    };
    serde_json::from_str::<Account>(&account).ok()?.gcs_base_url
}

#[derive(Deserialize)]
struct Account {
    gcs_base_url: Option<String>,
}
