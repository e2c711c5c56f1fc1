//! How a server is watched, logs, and ends.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{admin::Page, listen::Listen};
use crate::{
    log::Format,
    value::{self, choice},
};

/// Flags of `tus serve` for those who run it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Operation")]
pub(crate) struct Operation {
    /// Where /healthz, /readyz and /metrics are, without a token [default: nowhere]
    #[arg(
        long,
        env = "TUS_ADMIN_LISTEN",
        value_name = "WHERE,…",
        value_delimiter = ','
    )]
    pub(crate) admin_listen: Vec<Listen>,

    /// Those of them that are beside the uploads too, or none
    #[arg(
        long,
        env = "TUS_EXPOSE",
        value_name = "PAGE,…",
        default_value = "healthz,readyz",
        value_delimiter = ','
    )]
    #[arg(value_parser = choice([
        ("healthz", Some(Page::Health)),
        ("readyz", Some(Page::Ready)),
        ("metrics", Some(Page::Metrics)),
        ("none", None),
    ]))]
    #[arg(hide_possible_values = true)]
    pub(crate) expose: Vec<Option<Page>>,

    /// Time after SIGTERM or Ctrl-C with /readyz at 503 and all else as before
    #[arg(
        long,
        env = "TUS_DRAIN_DELAY",
        value_name = "TIME",
        default_value = "0s"
    )]
    #[arg(value_parser = humantime::parse_duration)]
    pub(crate) drain_delay: Duration,

    /// Time for connections to end after that
    #[arg(
        long,
        visible_alias = "grace",
        env = "TUS_SHUTDOWN_TIMEOUT",
        value_name = "TIME",
        default_value = "10s"
    )]
    #[arg(value_parser = humantime::parse_duration)]
    pub(crate) shutdown_timeout: Duration,

    /// Level, or directives as in info,tower_tus=debug
    #[arg(long, env = "TUS_LOG", value_name = "LEVEL", default_value = "info")]
    #[arg(alias = "log-level", value_parser = value::log_filter)]
    pub(crate) log: String,

    /// Log lines on stderr: text or json
    #[arg(
        long,
        env = "TUS_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    #[arg(value_parser = choice([("text", Format::Text), ("json", Format::Json)]))]
    #[arg(hide_possible_values = true)]
    pub(crate) log_format: Format,

    /// Settings that are none on the command line or in the environment, in TOML
    #[arg(long, env = "TUS_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Print the settings that apply, as such a file, and end
    #[arg(long)]
    pub(crate) print_config: bool,
}
