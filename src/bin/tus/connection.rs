//! Flags of every command that speaks to a server, and the client they make.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Args;
use http::{HeaderName, HeaderValue, Uri};
use tokio::task::spawn_blocking;
use tower_tus::client::{Client, HttpVersion, RetryPolicy, Tls};

use crate::{
    address::{Address, Headers},
    exit::Usage,
    value,
};

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// Send this header; @FILE has one in each line
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE|@FILE")]
    headers: Vec<Headers>,

    /// Try again so often in a row what fails without progress
    #[arg(long, value_name = "N", default_value_t = 9)]
    pub(crate) retries: u32,

    /// Longest pause before the first of them; it doubles each time [default: 500ms]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    retry_delay: Option<Duration>,

    /// Give up on a request when nothing moves for this time [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = value::period)]
    timeout: Option<Duration>,

    /// Take any certificate: anybody in between can read and change everything
    #[arg(long)]
    insecure: bool,

    /// Trust these authorities too
    #[arg(long, value_name = "PEM")]
    cacert: Option<PathBuf>,

    /// Certificate to show
    #[arg(long, value_name = "PEM")]
    cert: Option<PathBuf>,

    /// Its key, unless that is in the same file
    #[arg(long, value_name = "PEM", requires = "cert")]
    key: Option<PathBuf>,

    /// Speak HTTP/2
    #[arg(long)]
    http2: bool,

    /// Write PATCH and DELETE as POST, for networks that know no others
    #[arg(long)]
    method_override: bool,

    /// Send a random X-Request-ID with each request
    #[arg(long)]
    request_id: bool,
}

impl Connection {
    /// As [`client`](Self::client), one that gives up after this time unless the flag says another.
    pub(crate) async fn impatient_client(&self, url: &Address, limit: Duration) -> Result<Client> {
        let limit = self.timeout.unwrap_or(limit);
        Ok(limited(self.client(url).await?, limit))
    }

    /// A client of the server at this URL.
    pub(crate) async fn client(&self, url: &Address) -> Result<Client> {
        let url = url.uri()?;
        Ok(self.read().await?.client(url))
    }

    /// Reads the files that the flags name: once, for one may be a pipe, and on a thread that may wait
    /// for whoever writes to it.
    pub(crate) async fn read(&self) -> Result<Setup> {
        let flags = self.clone();
        spawn_blocking(move || {
            let mut headers = Vec::new();
            for one in &flags.headers {
                headers.extend(one.read()?);
            }
            let tls = flags.tls()?;
            Ok(Setup {
                flags,
                headers,
                tls,
            })
        })
        .await?
    }

    pub(crate) fn retry(&self) -> RetryPolicy {
        let policy = RetryPolicy::default().attempts(self.retries.saturating_add(1));
        match self.retry_delay {
            Some(delay) => policy
                .first_pause(delay)
                .max_pause(delay.max(LONGEST_PAUSE)),
            None => policy,
        }
    }

    fn tls(&self) -> Result<Tls> {
        let mut tls = Tls::new();
        if self.insecure {
            tls = tls.accept_any_certificate();
        }
        if let Some(path) = &self.cacert {
            let roots = tls.root_pem(&pem(path)?);
            tls = roots.map_err(|error| unusable("--cacert", path, &error))?;
        }
        if let Some(path) = &self.cert {
            let mut both = pem(path)?;
            if let Some(key) = &self.key {
                both.push(b'\n');
                both.extend(pem(key)?);
            }
            let identity = tls.identity_pem(&both);
            tls = identity.map_err(|error| unusable("--cert", path, &error))?;
        }
        Ok(tls)
    }
}

/// What clients are made of.
pub(crate) struct Setup {
    flags: Connection,
    headers: Vec<(HeaderName, HeaderValue)>,
    tls: Tls,
}

impl Setup {
    /// A client of the server at this URL.
    pub(crate) fn client(&self, url: Uri) -> Client {
        let flags = &self.flags;
        let mut client = Client::new(url).retry(flags.retry()).tls(self.tls.clone());
        for (name, value) in &self.headers {
            client = client.header(name.clone(), value.clone());
        }
        if let Some(limit) = flags.timeout {
            client = limited(client, limit);
        }
        if flags.http2 {
            client = client.version(HttpVersion::Http2);
        }
        if flags.method_override {
            client = client.method_override();
        }
        if flags.request_id {
            client = client.request_ids();
        }
        client
    }
}

fn limited(client: Client, limit: Duration) -> Client {
    client
        .connect_timeout(limit)
        .stall_timeout(limit)
        .answer_timeout(limit)
}

fn pem(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn unusable(flag: &str, path: &Path, error: &tower_tus::client::Error) -> Usage {
    Usage(format!("{flag} {}: {error}", path.display()))
}

/// The policy's own, which a longer first pause is not cut to.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn the_first_pause_can_be_chosen() {
        #[derive(Debug, Parser)]
        struct Command {
            #[command(flatten)]
            connection: Connection,
        }
        for (flags, first, longest) in [
            (&["--retries=3"][..], "first: 500ms", "cap: 60s"),
            (&["--retry-delay=2s"], "first: 2s", "cap: 60s"),
            (&["--retry-delay=0s"], "first: 0ns", "cap: 60s"),
            (&["--retry-delay=5m"], "first: 300s", "cap: 300s"),
        ] {
            let command = Command::parse_from([&["tus"], flags].concat());
            let policy = format!("{:?}", command.connection.retry());
            assert!(
                policy.contains(first) && policy.contains(longest),
                "{policy}"
            );
        }
    }
}
