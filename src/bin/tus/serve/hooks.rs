//! From flags to hooks over HTTP.

use std::{
    fs,
    path::{self, Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Args;
use http::{HeaderName, HeaderValue, Uri, header::AUTHORIZATION};
use tower_tus::{
    TusService,
    hooks::{
        Hook,
        webhook::{StorageInfo, Webhook},
    },
};

use crate::{
    exit::Usage,
    value::{self, Location, choice, discreet},
};

/// Flags of `tus serve` for those who are asked about uploads. Names and defaults are tusd's.
#[derive(Debug, Args)]
#[command(next_help_heading = "Hooks")]
pub(crate) struct Hooks {
    /// Where a server is asked and told about uploads, in tusd's format [default: nowhere]
    #[arg(long, env = "TUS_HOOKS_HTTP", value_name = "URL")]
    #[arg(value_parser = discreet(value::http_url))]
    hooks_http: Option<Uri>,

    /// About what: also pre-finish, pre-terminate
    #[arg(
        long,
        env = "TUS_HOOKS_ENABLED_EVENTS",
        value_name = "EVENT,…",
        default_value = "pre-create,post-create,post-receive,post-terminate,post-finish",
        value_delimiter = ','
    )]
    #[arg(value_parser = choice(EVENTS.map(|hook| (hook.name(), hook))))]
    #[arg(hide_possible_values = true)]
    hooks_enabled_events: Vec<Hook>,

    /// Fields of the client's requests that it gets too; Authorization and Cookie only so [default: none]
    #[arg(
        long,
        env = "TUS_HOOKS_HTTP_FORWARD_HEADERS",
        value_name = "NAME,…",
        value_delimiter = ','
    )]
    hooks_http_forward_headers: Vec<HeaderName>,

    /// How often it is asked while it fails
    #[arg(
        long,
        env = "TUS_HOOKS_HTTP_RETRY",
        value_name = "N",
        default_value = "3"
    )]
    hooks_http_retry: u32,

    /// Longest pause after the first failure, doubled after each further one
    #[arg(
        long,
        env = "TUS_HOOKS_HTTP_BACKOFF",
        value_name = "TIME",
        default_value = "1s"
    )]
    #[arg(value_parser = humantime::parse_duration)]
    hooks_http_backoff: Duration,

    /// How long each request to it may take
    #[arg(
        long,
        env = "TUS_HOOKS_HTTP_TIMEOUT",
        value_name = "TIME",
        default_value = "15s"
    )]
    #[arg(value_parser = value::period)]
    hooks_http_timeout: Duration,

    /// Longest answer
    #[arg(
        long,
        env = "TUS_HOOKS_HTTP_SIZE_LIMIT",
        value_name = "SIZE",
        default_value = "5KiB"
    )]
    #[arg(value_parser = value::size::<usize>)]
    hooks_http_size_limit: usize,

    /// Secrets for signatures (HMAC-SHA256), one a line [default: unsigned]
    #[arg(long, env = "TUS_HOOKS_HTTP_SECRET_FILE", value_name = "FILE")]
    hooks_http_secret_file: Option<PathBuf>,

    /// Bearer token that it wants [default: none]
    #[arg(long, env = "TUS_HOOKS_HTTP_TOKEN_FILE", value_name = "FILE")]
    hooks_http_token_file: Option<PathBuf>,

    /// Authorities that it is known by, in PEM [default: the system's]
    #[arg(long, env = "TUS_HOOKS_HTTP_CA_CERT", value_name = "FILE")]
    hooks_http_ca_cert: Option<PathBuf>,

    /// How often post-receive is told while an upload is received
    #[arg(
        long,
        env = "TUS_PROGRESS_HOOKS_INTERVAL",
        value_name = "TIME",
        default_value = "1s"
    )]
    #[arg(value_parser = value::period)]
    progress_hooks_interval: Duration,
}

const EVENTS: [Hook; 7] = [
    Hook::PreCreate,
    Hook::PostCreate,
    Hook::PostReceive,
    Hook::PreFinish,
    Hook::PostFinish,
    Hook::PreTerminate,
    Hook::PostTerminate,
];

impl Hooks {
    /// A service that asks whom the flags name.
    pub(crate) fn install(&self, tus: TusService, storage: &Location) -> Result<TusService> {
        let Some(url) = &self.hooks_http else {
            return match self.names_none() {
                Some(flag) => Err(Usage(format!("{flag} needs --hooks-http")).into()),
                None => Ok(tus),
            };
        };
        let hooks = self.webhook(url, storage).context("--hooks-http")?;
        Ok(tus
            .hook_timeout(hooks.longest())
            .progress_interval(self.progress_hooks_interval)
            .hooks(hooks))
    }

    /// A flag that is of no use without the server. Not clap's `requires`: that is satisfied by flags, and
    /// not by the file of settings.
    fn names_none(&self) -> Option<&'static str> {
        let set = [
            (
                "--hooks-http-forward-headers",
                !self.hooks_http_forward_headers.is_empty(),
            ),
            (
                "--hooks-http-secret-file",
                self.hooks_http_secret_file.is_some(),
            ),
            (
                "--hooks-http-token-file",
                self.hooks_http_token_file.is_some(),
            ),
            ("--hooks-http-ca-cert", self.hooks_http_ca_cert.is_some()),
        ];
        let used = set.into_iter().find(|(_, is_set)| *is_set);
        used.map(|(flag, _)| flag)
    }

    fn webhook(&self, url: &Uri, storage: &Location) -> Result<Webhook> {
        let mut hooks = Webhook::new(url.clone())?
            .events(self.hooks_enabled_events.iter().copied())
            .forward_headers(self.hooks_http_forward_headers.iter().cloned())
            .attempts(self.hooks_http_retry)
            .backoff(self.hooks_http_backoff)
            .timeout(self.hooks_http_timeout)
            .max_answer(self.hooks_http_size_limit)
            .storage(storage_info(storage)?);
        if let Some(file) = &self.hooks_http_ca_cert {
            let named = || file.display().to_string();
            let pem = fs::read(file).with_context(named)?;
            hooks = hooks.only_roots_pem(&pem).with_context(named)?;
        }
        if let Some(file) = &self.hooks_http_secret_file {
            for secret in read(file)?.lines().filter(|line| !line.is_empty()) {
                let secret = secret.parse();
                hooks = hooks.secret(secret.with_context(|| file.display().to_string())?);
            }
        }
        if let Some(file) = &self.hooks_http_token_file {
            let token = format!("Bearer {}", read(file)?.trim());
            let token = HeaderValue::try_from(token);
            let named = || format!("{}: not a token", file.display());
            hooks = hooks.header(AUTHORIZATION, token.with_context(named)?);
        }
        Ok(hooks)
    }
}

/// Where a hook server finds finished uploads.
fn storage_info(storage: &Location) -> Result<StorageInfo> {
    let url = match storage {
        Location::Directory(root) => return Ok(StorageInfo::directory(path::absolute(root)?)),
        Location::Memory => return Ok(StorageInfo::default()),
        Location::Bucket(_) => storage.to_string(),
    };
    let (scheme, place) = url.split_once("://").unwrap_or_default();
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    Ok(match scheme {
        "gs" => StorageInfo::gcs(bucket, prefix),
        "az" => StorageInfo::azure(bucket, prefix),
        _ => StorageInfo::s3(bucket, prefix),
    })
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| file.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_server_is_told_where_files_are() {
        let told = |location: &str| storage_info(&location.parse().unwrap()).unwrap();
        assert_eq!(told("/srv/up"), StorageInfo::directory("/srv/up"));
        assert_eq!(told("memory://"), StorageInfo::default());
        assert_eq!(told("s3://b/p/q/"), StorageInfo::s3("b", "p/q"));
        assert_eq!(told("gs://b"), StorageInfo::gcs("b", ""));
        assert_eq!(told("az://b/p"), StorageInfo::azure("b", "p"));
    }
}
