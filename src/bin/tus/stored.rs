//! `tus list` and `tus forget`: the uploads that can go on.

use std::time::{Duration, SystemTime};

use anyhow::{Result, anyhow};
use clap::Args;
use http::Uri;
use serde_json::{Value, json};
use tower_tus::client::url_store::StoredUpload;

use crate::{
    address::{Address, printable},
    bars::bytes,
    exit::{Exit, NotFound, Usage},
    info::time,
    screen::Output,
    session,
    state::State,
    value,
};

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    state: State,

    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Forget {
    /// Uploads to forget, by their URLs; the server keeps them
    #[arg(value_name = "URL", required_unless_present_any = ["all", "older_than"])]
    urls: Vec<Address>,

    /// Forget all
    #[arg(long, conflicts_with_all = ["urls", "older_than"])]
    all: bool,

    /// Forget those that were created before this time, as in 30d
    #[arg(long, value_name = "TIME", value_parser = value::period, conflicts_with = "urls")]
    older_than: Option<Duration>,

    #[command(flatten)]
    state: State,

    #[command(flatten)]
    output: Output,
}

/// Oldest first.
pub(crate) fn list(args: &List) -> Result<Exit> {
    session::run_until_signal(&args.output, |screen| async move {
        for upload in entries(&args.state).await? {
            screen.result(|| text(&upload), || json(&upload))?;
        }
        Ok(Exit::Success)
    })
}

pub(crate) fn forget(args: &Forget) -> Result<Exit> {
    session::run_until_signal(&args.output, |screen| async move {
        let time = args
            .older_than
            .map(|age| SystemTime::now().checked_sub(age));
        let urls = args.urls.iter().map(Address::uri);
        let urls = urls.collect::<Result<Vec<_>, Usage>>()?;
        let entries = entries(&args.state).await?;
        let chosen = entries.into_iter().filter(|upload| match time {
            _ if args.all => true,
            Some(time) => time.is_some_and(|time| upload.created < time),
            None => urls.iter().any(|url| has(upload, url)),
        });
        let chosen: Vec<_> = chosen.collect();
        for upload in &chosen {
            remove(&args.state, upload).await?;
            screen.result(|| text(upload), || json(upload))?;
        }
        if let Some(missing) = urls
            .iter()
            .find(|url| !chosen.iter().any(|one| has(one, url)))
        {
            let shown = crate::address::shown(missing);
            return Err(NotFound(format!("{shown} is not stored, see `tus list`")).into());
        }
        screen.note(&format!("{} forgotten", chosen.len()));
        Ok(Exit::Success)
    })
}

/// Removes the entry of this URL, if there is one.
pub(crate) async fn forget_url(state: &State, url: &Uri) -> Result<()> {
    for upload in entries(state).await? {
        if has(&upload, url) {
            remove(state, &upload).await?;
        }
    }
    Ok(())
}

/// Looking makes no file.
async fn entries(state: &State) -> Result<Vec<StoredUpload>> {
    match state.path() {
        Ok(path) if !tokio::fs::try_exists(&path).await.unwrap_or(false) => Ok(Vec::new()),
        Err(_) => Ok(Vec::new()),
        Ok(_) => state.open().await?.list().await.map_err(|error| anyhow!(error)),
    }
}

async fn remove(state: &State, upload: &StoredUpload) -> Result<()> {
    let store = state.open().await?;
    store
        .remove(&upload.key)
        .await
        .map_err(|error| anyhow!(error))
}

fn has(upload: &StoredUpload, url: &Uri) -> bool {
    let parts = upload.parts.iter().map(|part| &part.url);
    upload.url.iter().chain(parts).any(|one| one == url)
}

/// When, how large, where, and what.
fn text(upload: &StoredUpload) -> String {
    let size = upload.size.map_or_else(|| "?".into(), bytes);
    let url = match (&upload.url, upload.parts.len()) {
        (Some(url), _) => url.to_string(),
        (None, parts) => format!("{} ({parts} parts)", upload.key.endpoint),
    };
    let name = match upload.metadata.get_str("filename") {
        Some(name) => printable(&name),
        None => String::new(),
    };
    format!("{}  {size:>10}  {url}  {name}", time(upload.created))
        .trim_end()
        .to_owned()
}

fn json(upload: &StoredUpload) -> Value {
    let parts = upload.parts.iter().map(
        |part| json!({ "url": part.url.to_string(), "start": part.start, "length": part.length }),
    );
    json!({
        "url": upload.url.as_ref().map(Uri::to_string),
        "endpoint": upload.key.endpoint,
        "fingerprint": upload.key.fingerprint,
        "filename": upload.metadata.get_str("filename"),
        "size": upload.size,
        "created": time(upload.created),
        "parts": parts.collect::<Vec<_>>(),
    })
}
