use http::{
    HeaderMap, Uri,
    header::{FORWARDED, HOST},
    request,
    uri::Authority,
};

use super::config::{Config, Forwarded};
use crate::protocol::{Dialect, Mount};

/// The target as the client sent it, in the extensions of a request whose path has lost that of the
/// mount.
///
/// [`actix::scope`](crate::actix::scope) puts it there. With a router that strips paths and is neither
/// axum nor actix-web, do so yourself, and `Location` is right without a
/// [`base_path`](super::TusService::base_path).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalUri(pub Uri);

/// Where a request goes: the mount as its client sees it, and the path below it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) mount: Mount,
    pub(super) path: String,
}

impl Route {
    pub(super) fn of(head: &request::Parts, config: &Config) -> Self {
        let (base, path) = split(head, config.base_path.as_deref());
        Self {
            mount: public(head, config, base),
            path: path.to_owned(),
        }
    }
}

/// The path of the mount, and the rest: as configured, else as a router stripped it, else by the last
/// segment being an upload's unless something is created.
fn split<'r>(head: &'r request::Parts, base_path: Option<&'r str>) -> (&'r str, &'r str) {
    let path = head.uri.path();
    if let Some(base) = base_path {
        let below = path
            .strip_prefix(base)
            .filter(|rest| rest.is_empty() || rest.starts_with('/'));
        return (base, below.unwrap_or(path));
    }
    if let Some(original) = original(head).map(Uri::path) {
        // `/files` arrives as `/`.
        return (original.strip_suffix(path).unwrap_or(original), path);
    }
    let creates = Dialect::creates(&head.method, &head.headers);
    match path.trim_end_matches('/').rsplit_once('/') {
        Some((base, _)) if !creates => (base, &path[base.len()..]),
        _ => (path, ""),
    }
}

/// The request with the URI that its client sent.
pub(super) fn as_sent(mut head: request::Parts) -> request::Parts {
    if let Some(original) = original(&head) {
        head.uri = original.clone();
    }
    head
}

fn original(head: &request::Parts) -> Option<&Uri> {
    let original = head.extensions.get().map(|OriginalUri(uri)| uri);
    #[cfg(feature = "axum")]
    let original = original.or_else(|| {
        let original = head.extensions.get::<axum::extract::OriginalUri>()?;
        Some(&original.0)
    });
    original
}

/// The mount as the client sees it.
fn public(head: &request::Parts, config: &Config, base: &str) -> Mount {
    if let Some(url) = &config.base_url {
        let mount = Mount::new(url.path());
        return match (url.scheme_str(), url.authority()) {
            (Some(scheme), Some(authority)) => mount.with_origin(format!("{scheme}://{authority}")),
            _ => mount,
        };
    }
    let forwarded = match config.forwarded {
        Forwarded::Trust => Proxied::of(&head.headers),
        Forwarded::Ignore => Proxied::default(),
    };
    let mount = match forwarded.prefix {
        Some(prefix) => Mount::new(&format!("{}{base}", prefix.trim_end_matches('/'))),
        None => Mount::new(base),
    };
    let own = || {
        let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
        head.uri
            .authority()
            .map(Authority::as_str)
            .or(host)
            .map(str::to_owned)
    };
    match (forwarded.scheme, forwarded.authority) {
        (Some(scheme), authority) => match authority.or_else(own) {
            Some(authority) => mount.with_origin(format!("{scheme}://{authority}")),
            None => mount,
        },
        (None, Some(authority)) => mount.with_origin(format!("http://{authority}")),
        (None, None) => match own() {
            Some(authority) => mount.with_authority(authority),
            None => mount,
        },
    }
}

/// What proxies say about the client's request.
#[derive(Debug, Default)]
struct Proxied {
    scheme: Option<&'static str>,
    authority: Option<String>,
    prefix: Option<String>,
}

impl Proxied {
    /// The outermost proxy stands first in each list. What cannot be read is not there.
    fn of(headers: &HeaderMap) -> Self {
        let first = |name: &str| {
            let value = headers.get(name)?.to_str().ok()?;
            Some(value.split(',').next().unwrap_or_default().trim())
        };
        let parameter = |name: &str| {
            first(FORWARDED.as_str())?.split(';').find_map(|pair| {
                let (key, value) = pair.trim().split_once('=')?;
                key.eq_ignore_ascii_case(name)
                    .then(|| value.trim_matches('"'))
            })
        };
        let scheme = first("x-forwarded-proto").or_else(|| parameter("proto"));
        let authority = first("x-forwarded-host").or_else(|| parameter("host"));
        let is_path = |prefix: &&str| {
            prefix.starts_with('/') && prefix.bytes().all(|byte| byte.is_ascii_graphic())
        };
        Self {
            scheme: scheme.and_then(|scheme| {
                ["https", "http"]
                    .into_iter()
                    .find(|known| scheme.eq_ignore_ascii_case(known))
            }),
            authority: authority
                .filter(|authority| authority.parse::<Authority>().is_ok())
                .map(str::to_owned),
            prefix: first("x-forwarded-prefix")
                .filter(is_path)
                .map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Uri};

    use super::*;
    use crate::protocol::UploadId;

    fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> request::Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn location(head: &request::Parts, config: &Config) -> (String, String) {
        let route = Route::of(head, config);
        let id: UploadId = "ID".parse().unwrap();
        (route.mount.location(&id), route.path)
    }

    #[test]
    fn without_configuration_the_request_tells_the_mount() {
        let config = Config::default();
        for (method, uri, expected) in [
            ("POST", "/files", ("/files/ID", "")),
            ("POST", "/files/", ("/files/ID", "")),
            ("HEAD", "/files/ID", ("/files/ID", "/ID")),
            ("HEAD", "/files/ID/?x=y", ("/files/ID", "/ID/")),
            ("PATCH", "/ID", ("/ID", "/ID")),
            ("POST", "/", ("/ID", "")),
        ] {
            let (location, path) = location(&head(method, uri, &[]), &config);
            assert_eq!(
                (location.as_str(), path.as_str()),
                expected,
                "{method} {uri}"
            );
        }
        let overridden = head("POST", "/files/ID", &[("x-http-method-override", "PATCH")]);
        assert_eq!(
            location(&overridden, &config),
            ("/files/ID".into(), "/ID".into())
        );
    }

    #[test]
    fn a_base_path_is_stripped_if_it_is_there() {
        let config = Config {
            base_path: Some("/files".into()),
            ..Config::default()
        };
        for (uri, path) in [
            ("/files", ""),
            ("/files/", "/"),
            ("/files/ID", "/ID"),
            ("/ID", "/ID"),
            ("/filesx", "/filesx"),
        ] {
            assert_eq!(
                location(&head("HEAD", uri, &[]), &config),
                ("/files/ID".into(), path.into())
            );
        }
    }

    #[cfg(feature = "axum")]
    #[test]
    fn what_axum_stripped_is_the_mount() {
        for (original, stripped, path) in [
            ("/a/files", "/", "/"),
            ("/a/files/", "/", "/"),
            ("/a/files/ID", "/ID", "/ID"),
        ] {
            let mut head = head("HEAD", stripped, &[]);
            let original = Uri::from_static(original);
            head.extensions.insert(axum::extract::OriginalUri(original));
            assert_eq!(
                location(&head, &Config::default()),
                ("/a/files/ID".into(), path.into())
            );
        }
    }

    #[test]
    fn absolute_locations_come_from_configuration_or_trusted_proxies() {
        let proxied = head(
            "POST",
            "/files",
            &[
                ("host", "inner:1"),
                ("x-forwarded-proto", "https, http"),
                ("x-forwarded-host", "example.org"),
                ("x-forwarded-prefix", "/api/"),
            ],
        );
        let standard = head(
            "POST",
            "/files",
            &[("forwarded", "for=_x;proto=https;host=\"h.org:1\"")],
        );
        let trusting = Config {
            forwarded: Forwarded::Trust,
            ..Config::default()
        };
        assert_eq!(
            location(&proxied, &trusting).0,
            "https://example.org/api/files/ID"
        );
        assert_eq!(location(&standard, &trusting).0, "https://h.org:1/files/ID");
        assert_eq!(location(&proxied, &Config::default()).0, "/files/ID");

        let url = Uri::from_static("https://cdn.example.org/up/");
        let configured = Config {
            base_url: Some(url),
            ..trusting
        };
        assert_eq!(
            location(&proxied, &configured).0,
            "https://cdn.example.org/up/ID"
        );

        let hostile = head(
            "POST",
            "/files",
            &[("x-forwarded-host", "a b"), ("x-forwarded-proto", "gopher")],
        );
        assert_eq!(
            location(
                &hostile,
                &Config {
                    forwarded: Forwarded::Trust,
                    ..Config::default()
                }
            )
            .0,
            "/files/ID"
        );
    }
}
