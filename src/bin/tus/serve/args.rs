use std::{num::NonZeroUsize, path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, builder::BoolishValueParser};
use http::Uri;
use tower_tus::{
    protocol::{Algorithm, Extension, KeyTemplate},
    service::{ConcatParts, Cors, Downloads},
    storage::{Collision, Durability},
};

use super::{connections::Connections, hooks::Hooks, listen::Listen, operation::Operation};
use crate::value::{self, Location, choice, discreet};

/// Flags of `tus serve`. Each is also read from the environment: `--max-size` is `TUS_MAX_SIZE`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Serve {
    /// HOST:PORT (port 0 takes a free one), unix:PATH, systemd or systemd:NAME
    #[arg(
        long,
        env = "TUS_LISTEN",
        value_name = "WHERE,…",
        default_value = "127.0.0.1:1080",
        value_delimiter = ','
    )]
    #[arg(help_heading = ADDRESS)]
    pub(crate) listen: Vec<Listen>,

    /// Who may connect to sockets in the file system
    #[arg(
        long,
        env = "TUS_SOCKET_MODE",
        value_name = "MODE",
        default_value = "660"
    )]
    #[arg(help_heading = ADDRESS)]
    pub(crate) socket_mode: Mode,

    /// Certificates for HTTPS, in PEM; read anew on SIGHUP [default: HTTP]
    #[arg(long, env = "TUS_TLS_CERT", value_name = "FILE", help_heading = ADDRESS)]
    pub(crate) tls_cert: Option<PathBuf>,

    /// Their key, in PEM
    #[arg(long, env = "TUS_TLS_KEY", value_name = "FILE", help_heading = ADDRESS)]
    pub(crate) tls_key: Option<PathBuf>,

    /// Path below which uploads live
    #[arg(
        long,
        env = "TUS_BASE_PATH",
        value_name = "PATH",
        default_value = "/files"
    )]
    #[arg(value_parser = value::base_path, help_heading = ADDRESS)]
    pub(crate) base_path: String,

    // No doc comment: rustdoc would want the URL to be a link.
    #[arg(
        help = "What clients see, as in https://example.com/files [default: relative]",
        long,
        env = "TUS_BASE_URL",
        value_name = "URL"
    )]
    #[arg(value_parser = discreet(value::base_url), help_heading = ADDRESS)]
    pub(crate) base_url: Option<Uri>,

    /// Believe a proxy's Forwarded and X-Forwarded-* fields
    #[arg(long, env = "TUS_TRUST_FORWARDED")]
    #[arg(value_parser = BoolishValueParser::new(), help_heading = ADDRESS)]
    pub(crate) trust_forwarded: bool,

    /// Web pages that may upload: any, off, or their origins
    #[arg(long, env = "TUS_CORS", value_name = "ORIGIN,…", default_value = "any")]
    #[arg(value_parser = value::cors, help_heading = ADDRESS)]
    pub(crate) cors: Cors,

    /// Tokens that uploads need, one a line; read anew on SIGHUP [default: none]
    #[arg(
        long,
        env = "TUS_BEARER_TOKEN_FILE",
        value_name = "FILE",
        help_heading = ADDRESS
    )]
    pub(crate) bearer_token_file: Option<PathBuf>,

    /// Directory, memory://, or s3://, gs:// or az://BUCKET/PREFIX
    #[arg(
        long,
        env = "TUS_STORAGE",
        value_name = "DIR|URL",
        default_value = "./uploads"
    )]
    #[arg(value_parser = discreet(Location::from_str), help_heading = FILES)]
    pub(crate) storage: Location,

    /// Name of a finished file
    #[arg(long, env = "TUS_KEY", value_name = "TEMPLATE", default_value = "{id}")]
    #[arg(value_parser = value::key, help_heading = FILES)]
    pub(crate) key: KeyTemplate,

    /// When that name is taken: refuse or replace
    #[arg(
        long,
        env = "TUS_COLLISION",
        value_name = "WHAT",
        default_value = "refuse"
    )]
    #[arg(value_parser = choice([("refuse", Collision::Refuse), ("replace", Collision::Replace)]))]
    #[arg(hide_possible_values = true, help_heading = FILES)]
    pub(crate) collision: Collision,

    /// When data is synced to disk: none, finish or always [default: finish]
    #[arg(long, env = "TUS_DURABILITY", value_name = "WHEN")]
    #[arg(value_parser = choice([
        ("none", Durability::None),
        ("finish", Durability::Finish),
        ("always", Durability::Always),
    ]))]
    #[arg(hide_possible_values = true, help_heading = FILES)]
    pub(crate) durability: Option<Durability>,

    /// Parts after a concatenation: keep or remove
    #[arg(
        long,
        env = "TUS_CONCAT_PARTS",
        value_name = "WHAT",
        default_value = "keep"
    )]
    #[arg(value_parser = choice([("keep", ConcatParts::Keep), ("remove", ConcatParts::Remove)]))]
    #[arg(hide_possible_values = true, help_heading = FILES)]
    pub(crate) concat_parts: ConcatParts,

    /// Remove unfinished uploads idle for this time [default: never]
    #[arg(long, env = "TUS_EXPIRES_AFTER", value_name = "TIME")]
    #[arg(value_parser = value::period, help_heading = FILES)]
    pub(crate) expires_after: Option<Duration>,

    /// How often to look for them
    #[arg(
        long,
        env = "TUS_SWEEP_EVERY",
        value_name = "TIME",
        default_value = "10m"
    )]
    #[arg(value_parser = value::period, help_heading = FILES)]
    pub(crate) sweep_every: Duration,

    /// Size of a part; larger for uploads of many [default: 8MiB]
    #[arg(long, env = "TUS_PART_SIZE", value_name = "SIZE")]
    #[arg(value_parser = value::size::<u64>, help_heading = BUCKET)]
    pub(crate) part_size: Option<u64>,

    /// Bytes of all uploads that are held at a time [default: 512MiB]
    #[arg(long, env = "TUS_STORAGE_MEMORY", value_name = "SIZE")]
    #[arg(value_parser = value::size::<u64>, help_heading = BUCKET)]
    pub(crate) storage_memory: Option<u64>,

    /// Only this server writes there: for stores without conditional writes
    #[arg(long, env = "TUS_SINGLE_NODE")]
    #[arg(value_parser = BoolishValueParser::new(), help_heading = BUCKET)]
    pub(crate) single_node: bool,

    /// Largest upload [default: no limit]
    #[arg(long, env = "TUS_MAX_SIZE", value_name = "SIZE")]
    #[arg(value_parser = value::size::<u64>, help_heading = LIMITS)]
    pub(crate) max_size: Option<u64>,

    /// Longest body of one request [default: no limit]
    #[arg(long, env = "TUS_MAX_BODY", value_name = "SIZE")]
    #[arg(value_parser = value::size::<u64>, help_heading = LIMITS)]
    pub(crate) max_body: Option<u64>,

    /// Longest Upload-Metadata
    #[arg(
        long,
        env = "TUS_MAX_METADATA",
        value_name = "SIZE",
        default_value = "16KiB"
    )]
    #[arg(value_parser = value::size::<usize>, help_heading = LIMITS)]
    pub(crate) max_metadata: usize,

    /// Most parts of one concatenation
    #[arg(long, env = "TUS_MAX_PARTS", value_name = "N", default_value = "1000")]
    #[arg(help_heading = LIMITS)]
    pub(crate) max_parts: usize,

    /// Most requests that write at the same time
    #[arg(
        long,
        env = "TUS_MAX_WRITERS",
        value_name = "N",
        default_value = "10000"
    )]
    #[arg(help_heading = LIMITS)]
    pub(crate) max_writers: NonZeroUsize,

    /// End a body without progress for this time; 0s is never
    #[arg(
        long,
        env = "TUS_IDLE_TIMEOUT",
        value_name = "TIME",
        default_value = "60s"
    )]
    #[arg(value_parser = humantime::parse_duration, help_heading = LIMITS)]
    pub(crate) idle_timeout: Duration,

    /// What counts as progress in that time
    #[arg(
        long,
        env = "TUS_IDLE_MIN_BYTES",
        value_name = "SIZE",
        default_value = "1"
    )]
    #[arg(value_parser = value::size::<u64>, help_heading = LIMITS)]
    pub(crate) idle_min_bytes: u64,

    #[command(flatten)]
    pub(crate) connections: Connections,

    #[command(flatten)]
    pub(crate) hooks: Hooks,

    /// Checksums to verify: sha1, sha256, sha512, md5, crc32c [default: all]
    #[arg(
        long,
        env = "TUS_CHECKSUMS",
        value_name = "NAME,…",
        value_delimiter = ','
    )]
    #[arg(value_parser = choice(Algorithm::ALL.map(|algorithm| (algorithm.name(), algorithm))))]
    #[arg(hide_possible_values = true, help_heading = PROTOCOL)]
    pub(crate) checksums: Vec<Algorithm>,

    /// Extensions to switch off, as in termination [default: none]
    #[arg(
        long,
        env = "TUS_DISABLE",
        value_name = "NAME,…",
        value_delimiter = ','
    )]
    #[arg(value_parser = choice(Extension::ALL.map(|extension| (extension.name(), extension))))]
    #[arg(hide_possible_values = true, help_heading = PROTOCOL)]
    pub(crate) disable: Vec<Extension>,

    /// GET of a finished upload: attachment or off
    #[arg(
        long,
        env = "TUS_DOWNLOADS",
        value_name = "HOW",
        default_value = "attachment"
    )]
    #[arg(value_parser = choice([
        ("attachment", Downloads::attachment()),
        ("off", Downloads::off()),
    ]))]
    #[arg(hide_possible_values = true, help_heading = PROTOCOL)]
    pub(crate) downloads: Downloads,

    /// Send GET to the bucket, with URLs signed for this time [default: no]
    #[arg(long, env = "TUS_DOWNLOAD_REDIRECT", value_name = "TIME")]
    #[arg(value_parser = value::period, help_heading = PROTOCOL)]
    pub(crate) download_redirect: Option<Duration>,

    #[command(flatten)]
    pub(crate) operation: Operation,
}

/// Permissions of a file, in octal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mode(pub(crate) u32);

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= 0o777 && !text.starts_with('+') => Ok(Self(mode)),
            _ => Err("not a mode in octal, as in 660"),
        }
    }
}

impl Serve {
    /// Refuses flags that have no use together.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.listen.is_empty() {
            return Err("--listen names no address".into());
        }
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => return Err("--tls-cert has no use without --tls-key".into()),
            (None, Some(_)) => return Err("--tls-key has no use without --tls-cert".into()),
            _ => {}
        }
        let storage = &self.storage;
        if storage.has_credentials() {
            return Err(format!(
                "the URL of {storage} has credentials: they belong in the environment"
            ));
        }
        let of_files = [("--durability", self.durability.is_some())];
        let of_buckets = [
            ("--part-size", self.part_size.is_some()),
            ("--storage-memory", self.storage_memory.is_some()),
            ("--single-node", self.single_node),
            ("--download-redirect", self.download_redirect.is_some()),
        ];
        let given = |flags: &[(&'static str, bool)]| {
            let given = flags.iter().find(|(_, is_given)| *is_given);
            given.map(|(flag, _)| *flag)
        };
        if !matches!(storage, Location::Directory(_))
            && let Some(flag) = given(&of_files)
        {
            return Err(format!("{flag} is for a directory, and {storage} is none"));
        }
        if !matches!(storage, Location::Bucket(_))
            && let Some(flag) = given(&of_buckets)
        {
            return Err(format!("{flag} is for a bucket, and {storage} is none"));
        }
        if self.download_redirect.is_some() && self.downloads == Downloads::off() {
            return Err("--download-redirect has no use with --downloads off".into());
        }
        Ok(())
    }
}

const ADDRESS: &str = "Address";
const FILES: &str = "Files";
const BUCKET: &str = "Object storage";
const LIMITS: &str = "Limits";
const PROTOCOL: &str = "Protocol";

const AFTER_HELP: &str = "\
A SIZE is 8GiB, 500MB or 10k; a TIME is 24h, 90s or 1h30m.
A TEMPLATE has fields: {id} {filename} {ext} {year} {month} {day} {metadata:NAME}
Every flag can be set by the environment: --max-size 8GiB is TUS_MAX_SIZE=8GiB.
And by a file: max-size = \"8GiB\". A flag goes before the environment, the environment before the file.

Examples:
  tus serve
      Keep uploads in ./uploads, for programs on this machine
  tus serve --listen 0.0.0.0:1080 --storage /srv/uploads --max-size 8GiB --expires-after 24h
      For a network: bounded, and without leftovers
  tus serve --config /etc/tus.toml --listen systemd --admin-listen 127.0.0.1:9180
      As a service of systemd, with numbers for Prometheus
  tus serve --key '{year}/{month}/{id}-{filename}' --base-url https://example.com/files
      Behind a proxy, with files by month and under their own names
  tus serve --storage s3://bucket/prefix --download-redirect 5m
      On any number of machines, with AWS_ACCESS_KEY_ID and its like in the environment";
