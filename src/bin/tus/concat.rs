//! `tus concat`: joins finished parts into one upload.

use anyhow::Result;
use clap::Args;
use serde_json::json;
use tower_tus::protocol::Metadata;

use crate::{
    address::Address,
    connection::Connection,
    exit::{Exit, Usage},
    screen::Output,
    session,
    value::Pair,
};

#[derive(Debug, Args)]
pub(crate) struct Concat {
    // No doc comment: rustdoc would want the URL to be a link.
    #[arg(
        help = "Where uploads are created, as in https://example.com/files",
        value_name = "URL"
    )]
    url: Address,

    /// The parts' URLs, in their order
    #[arg(value_name = "PART", required = true)]
    parts: Vec<Address>,

    /// Attach a value to the whole
    #[arg(short, long, value_name = "KEY=VALUE")]
    metadata: Vec<Pair>,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(args: &Concat) -> Result<Exit> {
    session::run_until_signal(&args.output, |screen| async move {
        let parts = args.parts.iter().map(Address::uri);
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let pairs = args.metadata.iter().map(|pair| (&pair.key, &pair.value));
        let metadata =
            Metadata::from_pairs(pairs).map_err(|error| Usage(format!("--metadata: {error}")))?;
        let client = args.connection.client(&args.url).await?;
        let joined = client.concat(&parts, &metadata).await?;
        let url = joined.url.to_string();
        screen.result(
            || url.clone(),
            || json!({ "url": url, "parts": parts.len() }),
        )?;
        Ok(Exit::Success)
    })
}
