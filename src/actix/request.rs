use actix_web::HttpRequest;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Uri, Version, request,
    uri::{self, PathAndQuery},
};

use crate::{hooks::RemoteAddr, service::OriginalUri};

/// The head of a request in the types of today's `http`, its path without that of the scope.
pub(super) fn head(request: &HttpRequest) -> http::Result<request::Parts> {
    let original: Uri = request.uri().to_string().try_into()?;
    let below = below(&original, request.match_info().unprocessed())?;
    let (mut head, ()) = Request::builder()
        .method(request.method().as_str())
        .uri(below)
        .version(version(request))
        .extension(OriginalUri(original))
        .body(())?
        .into_parts();
    head.headers = headers(request)?;
    if let Some(peer) = request.peer_addr() {
        head.extensions.insert(RemoteAddr(peer));
    }
    Ok(head)
}

fn headers(request: &HttpRequest) -> http::Result<HeaderMap> {
    let fields = request.headers();
    let mut headers = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_str().as_bytes())?;
        headers.append(name, HeaderValue::from_bytes(value.as_bytes())?);
    }
    Ok(headers)
}

/// The URI without what scopes have matched. `rest` is what they have not, with some of its characters
/// decoded, but never a slash: so many segments are left.
fn below(uri: &Uri, rest: &str) -> http::Result<Uri> {
    let path = uri.path();
    let segments = rest.matches('/').count();
    let at = path.rmatch_indices('/').take(segments).last();
    let rest = match at {
        Some((at, _)) => &path[at..],
        None => "/",
    };
    let target = match uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{rest}?{query}"))?,
        None => PathAndQuery::try_from(rest)?,
    };
    let mut parts = uri::Parts::from(uri.clone());
    parts.path_and_query = Some(target);
    Ok(Uri::from_parts(parts)?)
}

fn version(request: &HttpRequest) -> Version {
    use actix_web::http::Version as Old;

    match request.version() {
        Old::HTTP_09 => Version::HTTP_09,
        Old::HTTP_10 => Version::HTTP_10,
        Old::HTTP_2 => Version::HTTP_2,
        Old::HTTP_3 => Version::HTTP_3,
        _ => Version::HTTP_11,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_scopes_have_matched_is_taken_away_as_it_came() {
        for (uri, rest, expected) in [
            ("/files", "", "/"),
            ("/files/", "/", "/"),
            ("/files/ID", "/ID", "/ID"),
            ("/files/ID?a=/b", "/ID", "/ID?a=/b"),
            ("/a/b/files/ID/x", "/ID/x", "/ID/x"),
            ("/a%62c/files/%49D", "/ID", "/%49D"),
            ("/files//", "//", "//"),
            ("http://host/files/ID", "/ID", "http://host/ID"),
        ] {
            let below = below(&uri.parse().unwrap(), rest).unwrap();
            assert_eq!(below.to_string(), expected.to_owned(), "{uri}");
        }
    }
}
