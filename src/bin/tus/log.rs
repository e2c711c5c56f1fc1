use std::io::{self, IsTerminal};

use anyhow::{Context, Result};
use tracing_subscriber::{EnvFilter, fmt};

use crate::screen::{Output, Screen};

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people: time, level, message, `name=value`.
    Text,
    /// One flat JSON object a line.
    Json,
}

/// Sends everything `filter` lets through to stderr.
pub(crate) fn init(filter: &str, format: Format) -> Result<()> {
    let lines = fmt()
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_writer(io::stderr)
        // A reader of stderr that went away must not end a request.
        .log_internal_errors(false);
    match format {
        Format::Text => lines.with_ansi(io::stderr().is_terminal()).try_init(),
        Format::Json => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .try_init(),
    }
    .map_err(anyhow::Error::from_boxed)
    .context("cannot start logging")
}

/// What the client tells while a command runs, without breaking a bar: warnings, and everything if asked.
pub(crate) fn beside_bars(output: &Output, screen: &Screen) -> Result<()> {
    let filter = match output {
        Output { verbose: true, .. } => "tower_tus=debug",
        Output { quiet: true, .. } => "off",
        _ => "tower_tus=warn",
    };
    let screen = screen.clone();
    let lines = fmt()
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_writer(move || screen.clone())
        .with_ansi(false)
        .with_target(false)
        .log_internal_errors(false);
    let started = match output.verbose {
        true => lines.try_init(),
        false => lines.without_time().try_init(),
    };
    started
        .map_err(anyhow::Error::from_boxed)
        .context("cannot start logging")
}
