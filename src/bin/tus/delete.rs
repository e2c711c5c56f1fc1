//! `tus delete`: ends uploads and removes what the server has of them.

use anyhow::Result;
use clap::Args;
use http::Uri;
use serde_json::json;
use tower_tus::client::Client;

use crate::{
    address::{Address, is_same_origin, shown, without_userinfo},
    connection::{Connection, Setup},
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
    let urls = args.urls.iter().map(Address::uri);
    let urls = urls.collect::<Result<Vec<_>, _>>()?;
    session::run_until_signal(&args.output, |screen| async move {
        let mut servers = Servers::new(args.connection.read().await?);
        let mut exit = Exit::Success;
        for url in &urls {
            // With its own password, which is no other upload's.
            let deleted = servers.at(url).terminate(url).await;
            let deleted = deleted.map_err(anyhow::Error::from);
            let url = without_userinfo(url);
            let one = deleted.as_ref().map_or_else(Exit::of, |()| Exit::Success);
            exit = exit.and(one);
            let error = deleted.err().map(|error| explain(error.as_ref()));
            match &error {
                None => screen.note(&format!("deleted {}", shown(&url))),
                Some(error) => screen.error(&format!("error: {}: {error}", shown(&url))),
            }
            // Whoever uploads the same file again must not go on with nothing.
            if [Exit::Success, Exit::NotFound].contains(&one)
                && let Err(error) = stored::forget_url(&args.state, &url).await
            {
                let reason = explain(error.as_ref());
                screen.note(&format!("{} stays in the list: {reason}", shown(&url)));
            }
            if args.output.json {
                let line = json!({
                    "url": url.to_string(),
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

/// A client for each origin.
struct Servers {
    setup: Setup,
    clients: Vec<Client>,
}

impl Servers {
    fn new(setup: Setup) -> Self {
        let clients = Vec::new();
        Self { setup, clients }
    }

    fn at(&mut self, url: &Uri) -> Client {
        let known = self.clients.iter();
        let mut known = known.filter(|client| is_same_origin(client.endpoint(), url));
        if let Some(client) = known.next() {
            return client.clone();
        }
        let client = self.setup.client(without_userinfo(url));
        self.clients.push(client.clone());
        client
    }
}
