//! `tus list` and `tus forget`: the uploads that can go on.

use std::time::{Duration, SystemTime};

use anyhow::{Result, anyhow};
use clap::Args;
use http::Uri;
use serde_json::{Value, json};
use tower_tus::client::url_store::StoredUpload;

use crate::{
    address::{Address, printable, shown, without_userinfo},
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
        let mut chosen = Vec::new();
        for upload in entries(&args.state).await? {
            let is_chosen = match time {
                _ if args.all => true,
                Some(time) => time.is_some_and(|time| upload.created < time),
                None => false,
            };
            match is_chosen {
                true => chosen.push(Forgotten::all(upload)),
                false => chosen.extend(Forgotten::some(upload, &urls)),
            }
        }
        for forgotten in &chosen {
            forgotten.save(&args.state).await?;
            let upload = &forgotten.upload;
            screen.result(|| text(upload), || json(upload))?;
        }
        if let Some(missing) = urls
            .iter()
            .find(|url| !chosen.iter().any(|one| one.has(url)))
        {
            let missing = shown(missing);
            return Err(NotFound(format!("{missing} is not stored, see `tus list`")).into());
        }
        screen.note(&format!("{} forgotten", chosen.len()));
        Ok(Exit::Success)
    })
}

/// Removes what is stored of this URL: an entry, or a part of one.
pub(crate) async fn forget_url(state: &State, url: &Uri) -> Result<()> {
    let url = std::slice::from_ref(url);
    for upload in entries(state).await? {
        if let Some(forgotten) = Forgotten::some(upload, url) {
            forgotten.save(state).await?;
        }
    }
    Ok(())
}

/// Looking makes no file.
async fn entries(state: &State) -> Result<Vec<StoredUpload>> {
    match state.path() {
        Ok(path) if !tokio::fs::try_exists(&path).await.unwrap_or(false) => Ok(Vec::new()),
        Err(_) => Ok(Vec::new()),
        Ok(_) => state
            .open()
            .await?
            .list()
            .await
            .map_err(|error| anyhow!(error)),
    }
}

/// What goes of an entry, and what stays.
struct Forgotten {
    /// The entry, or with nothing but its parts that go.
    upload: StoredUpload,
    rest: Option<StoredUpload>,
}

impl Forgotten {
    fn all(upload: StoredUpload) -> Self {
        let rest = None;
        Self { upload, rest }
    }

    /// What has one of these URLs: the upload with its parts, or some of the parts.
    fn some(upload: StoredUpload, urls: &[Uri]) -> Option<Self> {
        let is_named = |url: &Uri| urls.iter().any(|named| is_same(named, url));
        if upload.url.as_ref().is_some_and(is_named) {
            return Some(Self::all(upload));
        }
        let parts = upload.parts.iter().cloned();
        let (gone, kept): (Vec<_>, Vec<_>) = parts.partition(|part| is_named(&part.url));
        if gone.is_empty() {
            return None;
        }
        if kept.is_empty() && upload.url.is_none() {
            return Some(Self::all(upload));
        }
        let (mut goes, mut rest) = (upload.clone(), upload);
        goes.url = None;
        goes.parts = gone;
        rest.parts = kept;
        Some(Self {
            upload: goes,
            rest: Some(rest),
        })
    }

    async fn save(&self, state: &State) -> Result<()> {
        let store = state.open().await?;
        let saved = match &self.rest {
            Some(rest) => store.save(rest).await,
            None => store.remove(&self.upload.key).await,
        };
        saved.map_err(|error| anyhow!(error))
    }

    fn has(&self, url: &Uri) -> bool {
        let parts = self.upload.parts.iter().map(|part| &part.url);
        let mut all = self.upload.url.iter().chain(parts);
        all.any(|one| is_same(one, url))
    }
}

/// Stored URLs have no password.
fn is_same(one: &Uri, other: &Uri) -> bool {
    without_userinfo(one) == without_userinfo(other)
}

/// When, how large, where, and what.
fn text(upload: &StoredUpload) -> String {
    let size = upload.size.map_or_else(|| "?".into(), bytes);
    let url = match (&upload.url, upload.parts.len()) {
        (Some(url), _) => url.to_string(),
        (None, 1) => format!("{} (1 part)", upload.key.endpoint),
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
