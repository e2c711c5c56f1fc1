//! `tus serve`: from flags to a running server, and back down without losing a byte.

mod access;
mod activity;
mod admin;
mod args;
pub(crate) mod config;
mod connections;
mod drain;
mod hooks;
mod listen;
mod metrics;
mod operation;
mod reload;
mod server;
mod site;
#[cfg(unix)]
mod socket;
mod storage;
mod systemd;
mod tls;
mod token;

use std::{
    env,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use anyhow::{Context, Result, bail};
use clap::{Args, Command};
use tokio::runtime;
use tokio_util::sync::CancellationToken;
use tower_tus::{
    TusService,
    protocol::{Extension, Extensions, Limits},
    service::{Downloads, Forwarded},
    storage::MemoryStorage,
};
use tracing::{info, warn};

pub(crate) use self::args::Serve;
use self::{
    admin::{About, Page, Pages},
    config::Given,
    listen::{Address, Listener},
    reload::Reloads,
    server::Server,
    site::{Guard, Site},
    systemd::Passed,
};
use crate::{
    exit::Usage,
    log::{self, Format},
    signals::{Hangups, Signals},
    value::Location,
};

/// Serves until a signal comes.
pub(crate) fn run(args: &Serve, given: &Given) -> Result<()> {
    args.check().map_err(Usage)?;
    if args.operation.print_config {
        // Who closes the pipe has read enough.
        let _ = io::stdout().write_all(given.print().as_bytes());
        return Ok(());
    }
    let passed = Passed::take();
    log::init(&args.operation.log, args.operation.log_format)?;
    let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(serve(args, passed));
    // A disk that hangs would hold the process for as long as it hangs.
    runtime.shutdown_background();
    result
}

async fn serve(args: &Serve, passed: Passed) -> Result<()> {
    let mut signals = Signals::new().context("cannot listen for signals")?;
    // At once, for it would end the process; it is acted on as soon as there is something to read anew.
    let hangups = Hangups::new().context("cannot listen for SIGHUP")?;
    let reloads = Reloads::new(args)?;
    let about = about(args)?;
    let tus = tokio::select! {
        tus = storage::open(args) => tus,
        signal = signals.next() => bail!("{signal} before the storage was open"),
    };
    let tus = tus.with_context(|| format!("cannot use {} as storage", args.storage))?;
    let tus = args.hooks.install(configure(tus, args), &args.storage)?;
    let open = listeners(args, passed).await?;
    announce(args, &open);
    tus.start();

    let guard = guard(args, &reloads).await;
    let servers = start(args, &tus, guard, &about, &reloads, open);
    reloads.start(hangups);
    systemd::ready();
    let signal = signals.next().await;
    drain::drain(signal, signals, args, &tus, servers, &about).await
}

/// What there is to tell about the server. Numbers are collected if somebody may see them.
fn about(args: &Serve) -> Result<About> {
    let measured = args.operation.expose.contains(&Some(Page::Metrics))
        || !args.operation.admin_listen.is_empty();
    Ok(About {
        draining: CancellationToken::new(),
        metrics: measured.then(metrics::collect).transpose()?,
    })
}

/// Sockets, before anything is served on them.
struct Open {
    uploads: Vec<Listener>,
    admin: Vec<Listener>,
}

async fn listeners(args: &Serve, passed: Passed) -> Result<Open> {
    let mut inherited = passed.open(args.listen.iter().chain(&args.operation.admin_listen))?;
    let mode = args.socket_mode;
    let open = Open {
        uploads: Listener::open(&args.listen, mode, &mut inherited).await?,
        admin: Listener::open(&args.operation.admin_listen, mode, &mut inherited).await?,
    };
    match inherited.left() {
        0 => {}
        sockets => warn!(
            sockets,
            "nobody listens on what systemd has opened (--listen systemd)"
        ),
    }
    Ok(open)
}

/// What asks for a token, if there are any.
async fn guard(args: &Serve, reloads: &Reloads) -> Option<Guard> {
    let tokens = reloads.tokens.clone()?;
    let refusing = configure(TusService::new(MemoryStorage::new()), args).authorize(token::refuse);
    // It has nothing to sweep, and nothing will ever be written to it.
    refusing.shutdown().await;
    Some(Guard { tokens, refusing })
}

/// What serves uploads, and what tells about it to the last moment.
struct Servers {
    uploads: Server,
    admin: Server,
}

fn start(
    args: &Serve,
    tus: &TusService,
    guard: Option<Guard>,
    about: &About,
    reloads: &Reloads,
    open: Open,
) -> Servers {
    let exposed: Vec<_> = args.operation.expose.iter().copied().flatten().collect();
    let site = Site::new(Pages::new(&exposed, about))
        .uploads(tus.clone(), &args.base_path)
        .guard(guard);
    let patience = args.connections.patience();
    let mut uploads = Server::new(patience).max_connections(args.connections.most());
    for listener in open.uploads {
        uploads.listen(listener, site.clone(), reloads.tls.clone());
    }
    let mut admin = Server::new(patience);
    for listener in open.admin {
        admin.listen(listener, Site::new(Pages::new(&Page::ALL, about)), None);
    }
    Servers { uploads, admin }
}

fn configure(tus: TusService, args: &Serve) -> TusService {
    let mut limits = Limits::default()
        .max_metadata(args.max_metadata)
        .max_parts(args.max_parts)
        .max_writers(args.max_writers.get())
        .idle(args.idle_timeout, args.idle_min_bytes);
    if let Some(bytes) = args.max_size {
        limits = limits.max_size(bytes);
    }
    if let Some(bytes) = args.max_body {
        limits = limits.max_body(bytes);
    }
    let mut tus = tus
        .base_path(&args.base_path)
        .limits(limits)
        .extensions(extensions(args))
        .sweep_every(args.sweep_every)
        .cors(args.cors.clone())
        .downloads(downloads(args))
        .key(args.key.clone())
        .concat_parts(args.concat_parts);
    if let Some(url) = &args.base_url {
        tus = tus.base_url(url.clone());
    }
    if args.trust_forwarded {
        tus = tus.forwarded(Forwarded::Trust);
    }
    if let Some(period) = args.expires_after {
        tus = tus.expires_after(period);
    }
    if !args.checksums.is_empty() {
        tus = tus.checksums(args.checksums.iter().copied());
    }
    tus
}

fn downloads(args: &Serve) -> Downloads {
    match args.download_redirect {
        Some(lifetime) => Downloads::redirect(lifetime),
        None => args.downloads.clone(),
    }
}

fn extensions(args: &Serve) -> Extensions {
    args.disable
        .iter()
        .copied()
        .fold(Extensions::all(), Extensions::without)
}

/// Tells people where uploads go, and machines the same in one line for each listener.
fn announce(args: &Serve, open: &Open) {
    let urls: Vec<_> = open
        .uploads
        .iter()
        .map(|listener| url(args, &listener.address()))
        .collect();
    if args.operation.log_format == Format::Text {
        // Nobody reading is no reason not to serve.
        let _ = io::stderr().write_all(greeting(args, &urls).as_bytes());
    }
    for (listener, url) in open.uploads.iter().zip(&urls) {
        let address = listener.address();
        let version = env!("CARGO_PKG_VERSION");
        info!(%address, url, storage = %args.storage, version, "listening");
    }
    for listener in &open.admin {
        let address = listener.address();
        info!(%address, "listening for /healthz, /readyz and /metrics");
    }
    for name in unknown_variables() {
        warn!(name, "this environment variable is no flag of tus serve");
    }
}

/// Where uploads go: a URL, or a socket and the path there.
fn url(args: &Serve, address: &Address) -> String {
    let path = &args.base_path;
    match address {
        Address::Tcp(address) => {
            let scheme = match args.tls_cert {
                Some(_) => "https",
                None => "http",
            };
            format!("{scheme}://{}{path}", reachable(*address))
        }
        socket => format!("{path} on {socket}"),
    }
}

fn greeting(args: &Serve, urls: &[String]) -> String {
    let files = match &args.storage {
        Location::Directory(root) => {
            format!(
                "Finished files appear as {}",
                root.join(args.key.to_string()).display()
            )
        }
        Location::Memory => "Uploads are kept in memory and end with this process".to_owned(),
        bucket @ Location::Bucket(_) => {
            let prefix = bucket.to_string();
            let prefix = prefix.trim_end_matches('/');
            format!("Finished files appear as {prefix}/{}", args.key)
        }
    };
    let mut text = format!(
        "\nUploads go to {}\n{files}\n",
        urls.join("\n       and to ")
    );
    let plain = urls.iter().find(|url| url.starts_with("http://"));
    if extensions(args).contains(Extension::CreationWithUpload)
        && args.bearer_token_file.is_none()
        && let Some(url) = plain
    {
        text += &format!(
            "\nTry it:\n  FILE=/etc/hosts; curl -i '{url}' -H 'Tus-Resumable: 1.0.0' \
             -H \"Upload-Length: $(wc -c <\"$FILE\")\" \
             -H 'Content-Type: application/offset+octet-stream' --data-binary \"@$FILE\"\n"
        );
    }
    text + "\n"
}

/// An address to type: a server on all interfaces is reached on this machine's own.
fn reachable(address: SocketAddr) -> SocketAddr {
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(host, address.port())
}

/// Variables that look like ours and are none: `TUS_MAXSIZE`, say.
fn unknown_variables() -> impl Iterator<Item = String> {
    let flags = Serve::augment_args(Command::new("serve"));
    env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with("TUS_"))
        .filter(move |name| {
            !flags
                .get_arguments()
                .any(|flag| flag.get_env() == Some(name.as_ref()))
        })
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;

    fn parse(args: &str) -> Serve {
        let command = Serve::augment_args(Command::new("serve").no_binary_name(true));
        let matches = command.get_matches_from(args.split(' '));
        Serve::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn the_greeting_tells_where_files_go() {
        for (args, expected) in [
            ("--storage /srv/up", "appear as /srv/up/{id}\n"),
            (
                "--storage s3://bucket --key {filename}",
                "appear as s3://bucket/{filename}\n",
            ),
            (
                "--storage az://container/a/",
                "appear as az://container/a/{id}\n",
            ),
            ("--storage memory://", "in memory"),
        ] {
            let greeting = greeting(&parse(args), &["http://127.0.0.1:1080/files".into()]);
            assert!(greeting.contains(expected), "{greeting}");
        }
    }

    #[test]
    fn the_manual_has_every_flag() {
        let manual = include_str!("../../../../docs/serve.md");
        let flags = Serve::augment_args(Command::new("serve"));
        for long in flags.get_arguments().filter_map(clap::Arg::get_long) {
            assert!(manual.contains(&format!("`--{long}")), "--{long}");
        }
    }

    #[test]
    fn the_environment_has_every_flag() {
        let flags = Serve::augment_args(Command::new("serve"));
        flags.clone().debug_assert();
        let is_setting = |flag: &&clap::Arg| flag.get_id() != "print_config";
        for flag in flags.get_arguments().filter(is_setting) {
            let long = flag.get_long().unwrap();
            let env = format!("TUS_{}", long.to_uppercase().replace('-', "_"));
            assert_eq!(flag.get_env(), Some(env.as_ref()), "--{long}");
        }
    }
}
