//! Values of flags: text in, something that cannot be wrong out.

use std::{ffi::OsStr, fmt, path::PathBuf, str::FromStr, time::Duration};

use clap::{
    Arg, Command,
    builder::{PossibleValuesParser, TypedValueParser},
    error::ErrorKind,
};
use http::Uri;
use tower_tus::{protocol::KeyTemplate, service::Cors};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::address::shown_text;

/// Where uploads are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    /// Files below a directory.
    Directory(PathBuf),
    /// Gone when the process ends.
    Memory,
    /// Objects of a bucket, by its URL.
    Bucket(String),
}

/// Schemes of buckets.
const CLOUDS: [&str; 3] = ["s3", "gs", "az"];

impl Location {
    /// Whether a user or a password stand in the URL.
    pub(crate) fn has_credentials(&self) -> bool {
        matches!(self, Self::Bucket(url) if public(url) != *url)
    }
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return match text {
                "" => Err("names no directory".into()),
                directory => Ok(Self::Directory(directory.into())),
            };
        };
        match (scheme, rest) {
            ("memory", "") => Ok(Self::Memory),
            ("memory", _) => Err("memory:// takes no path".into()),
            ("file", path) if !path.starts_with('/') => {
                Err("file:// takes an absolute path, as in file:///srv/uploads".into())
            }
            ("file", path) if path.contains('%') => Err(
                "file:// takes no %-escapes; give the directory as it is, without file://".into(),
            ),
            ("file", path) => Ok(Self::Directory(path.into())),
            (cloud, path) if CLOUDS.contains(&cloud) => match path.split('/').next() {
                None | Some("") => Err(format!("names no bucket, as in {cloud}://BUCKET/PREFIX")),
                Some(_) => Ok(Self::Bucket(text.into())),
            },
            _ => {
                let is_word = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
                let scheme = if is_word { scheme } else { "…" };
                Err(format!(
                    "{scheme}:// is not known; what is: a plain directory, file:///DIR, memory://, \
                     s3://BUCKET, gs://BUCKET and az://CONTAINER"
                ))
            }
        }
    }
}

/// Without what must not be seen.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Memory => f.write_str("memory://"),
            Self::Bucket(url) => f.write_str(&public(url)),
        }
    }
}

/// A bucket's URL without user, password and query.
fn public(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let bucket = rest.split('/').next().unwrap_or_default();
    // A password may have any character in it.
    let rest = match bucket.contains(['@', ':']) {
        true => rest.rsplit('@').next().unwrap_or_default(),
        false => rest,
    };
    format!("{scheme}://{rest}")
}

/// One of a few words.
pub(crate) fn choice<T, const N: usize>(
    choices: [(&'static str, T); N],
) -> impl TypedValueParser<Value = T>
where
    T: Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(choices.each_ref().map(|(word, _)| *word)).map(move |word| {
        choices
            .iter()
            .find_map(|(known, value)| (*known == word).then(|| value.clone()))
            .expect("the parser only lets these words through")
    })
}

/// Text that may have a password in it, as URLs have: what is wrong with it is said without.
///
/// clap itself shows the whole value beside the reason.
pub(crate) fn discreet<T>(parse: fn(&str) -> Result<T, String>) -> impl TypedValueParser<Value = T>
where
    T: Clone + Send + Sync + 'static,
{
    Discreet(parse)
}

#[derive(Clone)]
struct Discreet<T>(fn(&str) -> Result<T, String>);

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Discreet<T> {
    type Value = T;

    fn parse_ref(
        &self,
        command: &Command,
        flag: Option<&Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        let text = value.to_string_lossy();
        (self.0)(&text).map_err(|reason| {
            let flag = flag.map(ToString::to_string).unwrap_or_default();
            let message = format!(
                "invalid value '{}' for '{flag}': {reason}\n",
                shown_text(&text)
            );
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        })
    }
}

/// Something to attach to an upload: `key=value`, or a key alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) value: String,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        let is_key = |byte: u8| byte.is_ascii_graphic() && byte != b',';
        if key.is_empty() || !key.bytes().all(is_key) {
            return Err("a key has to be visible ASCII without commas, as in album=2026".into());
        }
        Ok(Self {
            key: key.into(),
            value: value.into(),
        })
    }
}

/// A number of bytes as people write it: `8GiB`, `500MB`, `10k`.
pub(crate) fn size<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let bytes = parse_size::parse_size(text)
        .map_err(|_| "not a size, as in 8GiB, 500MB or 10k".to_owned())?;
    T::try_from(bytes).map_err(|_| "too large for this machine".to_owned())
}

/// A time that is not zero: `24h`, `90s`, `1h30m`.
pub(crate) fn period(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("has to be longer than nothing".into()),
        Ok(period) => Ok(period),
        Err(error) => Err(error.to_string()),
    }
}

/// An absolute path without a slash at its end: the empty one stands for the root.
pub(crate) fn base_path(text: &str) -> Result<String, String> {
    let path = text.trim_end_matches('/');
    let is_path = text.parse::<Uri>().is_ok_and(|uri| uri.path() == text);
    if !text.starts_with('/') || !is_path || path.contains("//") {
        return Err("not an absolute path, as in /files".into());
    }
    Ok(path.into())
}

/// An `http` or `https` URL with a host and without a query.
pub(crate) fn base_url(text: &str) -> Result<Uri, String> {
    http_url(text)
        .ok()
        .filter(|url| url.query().is_none())
        .ok_or_else(|| "not an absolute URL, as in https://example.com/files".into())
}

/// An `http` or `https` URL with a host.
pub(crate) fn http_url(text: &str) -> Result<Uri, String> {
    text.parse::<Uri>()
        .ok()
        .filter(|url| matches!(url.scheme_str(), Some("http" | "https")))
        .ok_or_else(|| "not an absolute URL, as in https://example.com/hooks".into())
}

/// `any`, `off`, or origins.
pub(crate) fn cors(text: &str) -> Result<Cors, String> {
    match text {
        "any" => Ok(Cors::any()),
        "off" => Ok(Cors::off()),
        origins => origins
            .split(',')
            .map(|origin| self::origin(origin.trim()))
            .collect::<Result<Vec<_>, _>>()
            .map(Cors::origins),
    }
}

/// The name of a finished file.
pub(crate) fn key(text: &str) -> Result<KeyTemplate, String> {
    KeyTemplate::parse(text).map_err(|error| error.to_string())
}

/// What `EnvFilter` reads, but a misspelt level is an error instead of a module's name.
pub(crate) fn log_filter(text: &str) -> Result<String, String> {
    let is_level = |item: &str| !item.is_empty() && item.parse::<LevelFilter>().is_ok();
    let is_directive = |item: &str| item.contains(['=', '[']) || is_level(item);
    if !text.split(',').map(str::trim).all(is_directive) {
        return Err("not a level: error, warn, info, debug, trace or off".into());
    }
    EnvFilter::try_new(text).map_err(|error| error.to_string())?;
    Ok(text.into())
}

/// What a browser sends as `Origin`: a scheme and a host, and nothing behind them.
pub(crate) fn origin(text: &str) -> Result<String, String> {
    let has_host = text
        .split_once("://")
        .is_some_and(|(_, host)| !host.is_empty());
    match text.parse::<Uri>() {
        Ok(url)
            if has_host && url.scheme().is_some() && !text.ends_with('/') && url.path() == "/" =>
        {
            Ok(text.to_ascii_lowercase())
        }
        _ => Err(format!(
            "{text:?} is not an origin, as in https://example.com; or any, or off"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations() {
        let directory = |path: &str| Ok(Location::Directory(path.into()));
        assert_eq!("./uploads".parse::<Location>(), directory("./uploads"));
        assert_eq!("file:///srv/up".parse::<Location>(), directory("/srv/up"));
        assert_eq!("memory://".parse::<Location>(), Ok(Location::Memory));
        for bucket in ["s3://bucket", "gs://bucket/", "az://container/a/b"] {
            let location = bucket.parse::<Location>().unwrap();
            assert_eq!(location, Location::Bucket(bucket.into()));
            assert_eq!(location.to_string(), bucket);
            assert!(!location.has_credentials());
        }
        for bad in [
            "",
            "memory://x",
            "file://srv/up",
            "file:///a%20b",
            "s3://",
            "s3:///prefix",
            "ftp://host",
            "://",
        ] {
            assert!(bad.parse::<Location>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn secrets_in_a_location_are_not_shown() {
        for (url, shown) in [
            ("s3://key:secret@bucket/a", "s3://bucket/a"),
            ("s3://key:s@cr/et@bucket/a", "s3://bucket/a"),
            ("s3://key:s/@:ecret@bucket", "s3://bucket"),
            ("az://container?sig=secret", "az://container"),
            ("gs://bucket/a#secret", "gs://bucket/a"),
        ] {
            let location = url.parse::<Location>().unwrap();
            assert_eq!(location.to_string(), shown);
            assert!(location.has_credentials());
        }
    }

    #[test]
    fn pairs() {
        let pair = |key: &str, value: &str| {
            Ok(Pair {
                key: key.into(),
                value: value.into(),
            })
        };
        assert_eq!("a=b=c".parse::<Pair>(), pair("a", "b=c"));
        assert_eq!("a".parse::<Pair>(), pair("a", ""));
        assert_eq!("a= ü".parse::<Pair>(), pair("a", " ü"));
        for bad in ["", "=b", "a b=c", "a,b=c", "ü=c"] {
            assert!(bad.parse::<Pair>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes_and_times() {
        assert_eq!(size::<u64>("8GiB"), Ok(8 << 30));
        assert_eq!(size::<u64>("500MB"), Ok(500_000_000));
        assert_eq!(size::<usize>("10k"), Ok(10_000));
        for bad in ["", "x", "-1", "8 gigs"] {
            assert!(size::<u64>(bad).is_err(), "{bad:?}");
        }
        assert!(size::<u8>("256").is_err());
        assert_eq!(period("1h30m"), Ok(Duration::from_secs(5400)));
        for bad in ["", "0s", "5", "-5s"] {
            assert!(period(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses() {
        assert_eq!(base_path("/files/").as_deref(), Ok("/files"));
        assert_eq!(base_path("/").as_deref(), Ok(""));
        for bad in ["", "files", "/a b", "/a?b", "/a#b", "/a//b", "http://a/b"] {
            assert!(base_path(bad).is_err(), "{bad:?}");
        }
        assert!(base_url("https://example.com/x").is_ok());
        for bad in [
            "",
            "example.com",
            "/files",
            "ftp://a",
            "https://a/?b",
            "https://",
        ] {
            assert!(base_url(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn origins() {
        assert_eq!(
            origin("https://Example.com:8443").as_deref(),
            Ok("https://example.com:8443")
        );
        for bad in [
            "",
            "*",
            "example.com",
            "https://a/",
            "https://a/b",
            "https://",
            "https://a b",
        ] {
            assert!(origin(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_misspelt_level_is_no_module() {
        for good in ["info", "WARN", "off", "info,tower_tus=debug", "tus=trace"] {
            assert!(log_filter(good).is_ok(), "{good:?}");
        }
        for bad in ["", "verbose", "info,verbose", "tus=loud"] {
            assert!(log_filter(bad).is_err(), "{bad:?}");
        }
    }
}
