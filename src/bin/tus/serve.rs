//! `tus serve`: from flags to a running server, and back down without losing a byte.

use std::{
    env,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use anyhow::{Context, Result, bail};
use clap::{Args, Command};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::{net::TcpListener, runtime, time};
use tower_tus::{
    TusService,
    protocol::{Extension, Extensions, Limits},
    service::{Downloads, Forwarded},
};
use tracing::{info, warn};

use crate::{
    args::Serve,
    log::{self, Format},
    server::{self, Site},
    signals::Signals,
    storage,
    value::Location,
};

/// Serves until a signal comes.
pub(crate) fn run(args: &Serve) -> Result<()> {
    log::init(&args.log, args.log_format)?;
    let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(serve(args));
    // A disk that hangs would hold the process for as long as it hangs.
    runtime.shutdown_background();
    result
}

async fn serve(args: &Serve) -> Result<()> {
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let tus = tokio::select! {
        tus = storage::open(args) => tus,
        signal = signals.next() => bail!("{signal} before the storage was open"),
    };
    let tus = tus.with_context(|| format!("cannot use {} as storage", args.storage))?;
    let tus = args.hooks.install(configure(tus, args), &args.storage)?;
    let listener = TcpListener::bind(&args.listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    announce(args, listener.local_addr()?);
    tus.start();

    let connections = GracefulShutdown::new();
    let site = Site::new(tus.clone(), &args.base_path);
    let signal = tokio::select! {
        never = server::accept(listener, site, &connections) => match never {},
        signal = signals.next() => signal,
    };

    info!(signal, "shutting down");
    let end = async {
        tus.shutdown().await;
        connections.shutdown().await;
    };
    tokio::select! {
        end = time::timeout(args.shutdown_timeout, end) => match end {
            Ok(()) => info!("all connections ended"),
            Err(_) => warn!("connections are still open after the time for shutdown: closing them"),
        },
        signal = signals.next() => bail!("{signal} during shutdown: closed all connections"),
    }
    Ok(())
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

/// Tells people where uploads go, and machines the same in one line.
fn announce(args: &Serve, address: SocketAddr) {
    let url = format!("http://{}{}", reachable(address), args.base_path);
    if args.log_format == Format::Text {
        // Nobody reading is no reason not to serve.
        let _ = io::stderr().write_all(greeting(args, &url).as_bytes());
    }
    info!(%address, url, storage = %args.storage, version = env!("CARGO_PKG_VERSION"), "listening");
    for name in unknown_variables() {
        warn!(name, "this environment variable is no flag of tus serve");
    }
}

fn greeting(args: &Serve, url: &str) -> String {
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
    let mut text = format!("\nUploads go to {url}\n{files}\n");
    if extensions(args).contains(Extension::CreationWithUpload) {
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
            let greeting = greeting(&parse(args), "http://127.0.0.1:1080/files");
            assert!(greeting.contains(expected), "{greeting}");
        }
    }

    #[test]
    fn the_environment_has_every_flag() {
        let flags = Serve::augment_args(Command::new("serve"));
        flags.clone().debug_assert();
        for flag in flags.get_arguments() {
            let long = flag.get_long().unwrap();
            let env = format!("TUS_{}", long.to_uppercase().replace('-', "_"));
            assert_eq!(flag.get_env(), Some(env.as_ref()), "--{long}");
        }
    }
}
