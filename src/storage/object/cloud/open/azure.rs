use object_store::{
    ClientConfigKey,
    azure::{AzureConfigKey as Key, MicrosoftAzureBuilder},
    signer::Url,
};

use super::{
    super::azure::{Azure, STORE},
    Http, Options, backend, once, unsupported,
};
use crate::storage::Result;

pub(super) fn open(url: &Url, options: &[(String, String)]) -> Result<Azure> {
    let mut known = Options::<Key>::new(options);
    if known.get(Key::EncryptionKey).is_some() {
        return Err(unsupported(
            "encryption with keys of the customer is not supported",
        ));
    }
    if known.is_true(Key::UseFabricEndpoint) || url.as_str().contains("fabric.microsoft.com") {
        return Err(unsupported("OneLake is not supported"));
    }
    if known.is_true(Key::UseEmulator) {
        let place = options.iter().rev().find(|(name, _)| name == EMULATOR);
        emulate(
            &mut known,
            place.map_or(EMULATOR_DEFAULT, |(_, value)| value),
        );
    }
    let (account, container) = names(url);
    let account = match account {
        Some(account) => account,
        None => known
            .get(Key::AccountName)
            .map(str::to_owned)
            .ok_or_else(|| {
                unsupported(format!(
                    "{url} needs an account, as AZURE_STORAGE_ACCOUNT_NAME"
                ))
            })?,
    };
    let container = match container {
        Some(container) => container,
        None => known.get(Key::ContainerName).unwrap_or_default().to_owned(),
    };
    let http = Http::new(
        &known,
        |key| match key {
            Key::Client(key) => Some(key),
            _ => None,
        },
        false,
    );
    let endpoint = known.get(Key::Endpoint).map(str::to_owned);
    http.check(endpoint.as_deref().unwrap_or_default(), "AZURE_ALLOW_HTTP")?;

    let builder = MicrosoftAzureBuilder::new()
        .with_client_options(http.options.clone())
        .with_http_connector(http.connector.clone())
        .with_retry(once())
        .with_url(url.as_str());
    let builder = known.0.iter().fold(builder, |builder, (key, value)| {
        builder.with_config(*key, value)
    });
    let store = builder.build().map_err(backend)?;
    let bucket = Azure::with_raw(store, account, container, http.raw(STORE)?);
    Ok(match endpoint {
        Some(endpoint) => bucket.endpoint(endpoint),
        None => bucket,
    })
}

/// Says in other words what object_store would make of the flag for the emulator, whose address it
/// takes from the environment only.
fn emulate(options: &mut Options<Key>, place: &str) {
    options.remove(Key::UseEmulator);
    options.set_default(Key::AccountName, EMULATOR_ACCOUNT);
    let keys = [Key::AccessKey, Key::Token, Key::SasKey];
    if keys.iter().all(|key| options.get(*key).is_none()) {
        options.set(Key::AccessKey, EMULATOR_KEY);
    }
    let account = options.get(Key::AccountName).unwrap_or_default();
    let endpoint = format!("{}/{account}", place.trim_end_matches('/'));
    options.set(Key::Endpoint, endpoint);
    options.set(Key::Client(ClientConfigKey::AllowHttp), "true");
}

const EMULATOR: &str = "azurite_blob_storage_url";
const EMULATOR_DEFAULT: &str = "http://127.0.0.1:10000";
const EMULATOR_ACCOUNT: &str = "devstoreaccount1";

/// The one that everybody knows.
const EMULATOR_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Account and container, as object_store finds them in a URL.
fn names(url: &Url) -> (Option<String>, Option<String>) {
    let host = url.host_str().unwrap_or_default();
    let account = host.split('.').next().unwrap_or_default().to_owned();
    if url.scheme() == "https" {
        let container = url.path_segments().and_then(|mut names| names.next());
        let container = container.filter(|container| !container.is_empty());
        return (Some(account), container.map(str::to_owned));
    }
    if url.username().is_empty() {
        return (None, Some(host.to_owned()));
    }
    (Some(account), Some(url.username().to_owned()))
}
