//! `tus delete`: ends uploads and removes what the server has of them.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::{
    address::{Address, shown},
    connection::Connection,
    exit::{Exit, explain},
    screen::Output,
    session,
    state::State,
    stored,
};

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// What to remove
    #[arg(value_name = "URL", required = true)]
    urls: Vec<Address>,

    #[command(flatten)]
    state: State,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(args: &Delete) -> Result<Exit> {
    for url in &args.urls {
        url.uri()?;
    }
    session::run_until_signal(&args.output, |screen| async move {
        let mut exit = Exit::Success;
        for url in &args.urls {
            let client = args.connection.client(url)?;
            let uri = client.endpoint();
            let deleted = client.terminate(uri).await.map_err(anyhow::Error::from);
            let one = deleted.as_ref().map_or_else(Exit::of, |()| Exit::Success);
            exit = exit.and(one);
            // Whoever asks for it again must not go on with nothing.
            if [Exit::Success, Exit::NotFound].contains(&one) {
                stored::forget_url(&args.state, uri).await?;
            }
            let error = deleted.err().map(|error| explain(&error));
            match &error {
                None => screen.note(&format!("deleted {}", shown(uri))),
                Some(error) => screen.error(&format!("error: {}: {error}", shown(uri))),
            }
            if args.output.json {
                let line = json!({
                    "url": uri.to_string(),
                    "deleted": error.is_none(),
                    "error": error,
                    "exit": one.code(),
                });
                screen.print(&line.to_string())?;
            }
        }
        Ok(exit)
    })
}
