//! `tus doctor`: finds what breaks uploads on the way to a server, by small uploads of its own.

mod body;
mod cors;
mod creation;
mod offer;
mod offsets;
mod probe;
mod report;

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use tokio::time::timeout;

use self::{probe::Probe, report::Report};
use crate::{
    address::Address,
    connection::Connection,
    exit::{Exit, Stopped},
    screen::Output,
    session, value,
};

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Doctor {
    // No doc comment: rustdoc would want the URL to be a link.
    #[arg(
        help = "Where uploads are created, as in https://example.com/files",
        value_name = "URL"
    )]
    url: Address,

    /// The web page whose right to upload is checked
    #[arg(long, value_name = "ORIGIN", default_value = "https://doctor.example")]
    #[arg(value_parser = value::origin)]
    origin: String,

    /// The largest request that has to pass; few of its bytes are sent
    #[arg(long, value_name = "SIZE", default_value = "5GiB")]
    #[arg(value_parser = value::size::<u64>)]
    size: u64,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(args: &Doctor) -> Result<Exit> {
    session::run(&args.output, |screen, mut signals| async move {
        let client = tokio::select! {
            client = args.connection.impatient_client(&args.url, PATIENCE) => client?,
            signal = signals.next() => return Err(Stopped(signal).into()),
        };
        let probe = Probe::new(client);
        let mut report = Report::new(screen);
        let examined = tokio::select! {
            examined = examine(args, &probe, &mut report) => examined,
            signal = signals.next() => Err(Stopped(signal).into()),
        };
        // Whatever happened.
        tokio::select! {
            _ = timeout(PATIENCE, probe.remove_all()) => {}
            signal = signals.next() => return Err(Stopped(signal).into()),
        }
        examined?;
        report.conclude()
    })
}

/// From the first request to the last; what cannot be checked without what failed is left out.
async fn examine(args: &Doctor, probe: &Probe, report: &mut Report) -> Result<()> {
    offer::scheme(probe, report)?;
    let Some(offer) = offer::ask(probe, report).await? else {
        return Ok(());
    };
    cors::preflight(probe, &args.origin, report).await?;
    let Some(url) = creation::create(probe, report).await? else {
        return Ok(());
    };
    let works = offsets::check(probe, &url, report).await?;
    cors::exposed(probe, &url, &args.origin, report).await?;
    creation::remove(probe, &offer, &url, report).await?;
    if works {
        let most = offer.max_size.unwrap_or(u64::MAX);
        body::check(probe, args.size.min(most), report).await?;
    }
    Ok(())
}

/// What takes longer is broken, too.
const PATIENCE: Duration = Duration::from_secs(20);

const AFTER_HELP: &str = "\
Each line is a check: ok, warn (uploads work, but not for all or not at their best) or FAIL.
The exit code is 1 if one fails. What doctor uploads it removes, if the server lets it.";
