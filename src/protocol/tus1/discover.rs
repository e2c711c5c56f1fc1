use http::{HeaderValue, Response, StatusCode};

use super::status;
use crate::protocol::{
    Algorithm, Dialect, Extension, Offer,
    header::{TUS_CHECKSUM_ALGORITHM, TUS_EXTENSION, TUS_MAX_SIZE, TUS_VERSION},
};

/// tus 1.0.0, "OPTIONS".
pub(super) fn render(offer: &Offer) -> Response<()> {
    let mut response = status(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(TUS_VERSION, Dialect::TUS_VERSIONS);
    let extensions = Extension::ALL
        .into_iter()
        .filter(|extension| offer.offers(*extension));
    if let Some(list) = list(extensions.map(Extension::name)) {
        headers.insert(TUS_EXTENSION, list);
    }
    if let Some(max) = offer.limits.max_size {
        headers.insert(TUS_MAX_SIZE, max.into());
    }
    if offer.offers(Extension::Checksum)
        && let Some(list) = list(offer.checksums.iter().copied().map(Algorithm::name))
    {
        headers.insert(TUS_CHECKSUM_ALGORITHM, list);
    }
    response
}

/// A comma-separated list; `None` of nothing.
fn list<'n>(names: impl Iterator<Item = &'n str>) -> Option<HeaderValue> {
    let names: Vec<_> = names.collect();
    let value = HeaderValue::try_from(names.join(",")).expect("names are visible ASCII");
    (!names.is_empty()).then_some(value)
}
