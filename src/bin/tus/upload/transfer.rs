//! One upload from its first request to its last, and what is said about it.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Result;
use http::Uri;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower_tus::{
    client::{
        AfterSuccess, Cancel, Client, Error, Fingerprint, Leftovers, RetryPolicy, Source, Uploaded,
        UrlStore, Verdict, WhenClaimed,
    },
    protocol::{Algorithm, Metadata},
};

use super::items::{Content, Item};
use crate::{
    address::{printable, shown},
    bars::{Watch, bytes},
    exit::{Exit, Stopped, Usage, explain},
    screen::Screen,
    value::Pair,
};

/// What all uploads of a command have in common.
pub(super) struct Plan {
    pub(super) client: Client,
    pub(super) retry: RetryPolicy,
    pub(super) retries: u32,
    pub(super) pairs: Vec<Pair>,
    pub(super) name: Option<String>,
    pub(super) checksum: Option<Algorithm>,
    pub(super) parallel: usize,
    pub(super) chunk_size: Option<u64>,
    pub(super) keeping: Keeping,
    pub(super) resume_at: Option<Uri>,
    pub(super) fingerprint: Fingerprint,
    pub(super) after: AfterSuccess,
    pub(super) claimed: WhenClaimed,
    pub(super) queries: bool,
}

/// Where the URLs of uploads are kept, so that the same command goes on.
#[derive(Debug, Clone)]
pub(super) enum Keeping {
    Nothing,
    /// Asked for: if it fails, so does the upload.
    Named(Arc<dyn UrlStore>),
    /// If it fails, uploads do without.
    Usual(Arc<dyn UrlStore>),
}

impl Keeping {
    fn store(&self) -> Option<&Arc<dyn UrlStore>> {
        match self {
            Self::Nothing => None,
            Self::Named(store) | Self::Usual(store) => Some(store),
        }
    }

    /// Parts that nobody finds again are of no use.
    fn leftovers(&self) -> Leftovers {
        match self {
            Self::Nothing => Leftovers::Remove,
            Self::Named(_) | Self::Usual(_) => Leftovers::Keep,
        }
    }
}

/// How an upload ended.
pub(super) struct Ended {
    item: Item,
    result: Result<Uploaded, anyhow::Error>,
    url: Option<Uri>,
    elapsed: Duration,
    retries: u32,
    /// Whether the same command goes on with it.
    can_go_on: bool,
    /// Its content has changed, or the server has it no more.
    is_over: bool,
    stopped: Option<Stopped>,
}

/// Tells all uploads to stop, and why.
#[derive(Default)]
pub(super) struct Stop {
    token: CancellationToken,
    signal: OnceLock<Stopped>,
}

impl Stop {
    pub(super) fn by(&self, signal: Stopped) {
        let _ = self.signal.set(signal);
        self.token.cancel();
    }
}

impl Plan {
    /// What is attached to this item: what was asked for, and what is known of it anyway.
    pub(super) fn metadata(&self, item: &Item) -> Result<Vec<(String, Vec<u8>)>> {
        let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
        for Pair { key, value } in &self.pairs {
            pairs.push((key.clone(), value.clone().into_bytes()));
        }
        let given = |key: &str| self.pairs.iter().any(|pair| pair.key == key);
        let filename = self.name.as_ref().or(item.filename.as_ref());
        let kind = filename.and_then(|name| mime_guess::from_path(name).first_raw());
        let known = [
            ("filename", filename.map(String::as_str)),
            ("filetype", kind),
            ("relativePath", item.relative_path.as_deref()),
        ];
        for (key, value) in known {
            if let Some(value) = value.filter(|_| !given(key)) {
                pairs.push((key.into(), value.into()));
            }
        }
        Metadata::from_pairs(pairs.iter().map(|(key, value)| (key, value))).map_err(|_| {
            Usage("--metadata: keys have to be different, and visible ASCII without commas".into())
        })?;
        Ok(pairs)
    }

    /// Uploads it. Told to stop, the upload stays on the server.
    pub(super) async fn transfer(
        &self,
        item: Item,
        watch: Watch,
        screen: &Screen,
        stop: &Stop,
    ) -> Ended {
        let mut keeping = self.keeping.clone();
        let result = self.start(&item, &watch, screen, stop, &mut keeping).await;
        watch.clear();
        let progress = watch.last();
        let url = match &result {
            Ok(done) => Some(done.url().clone()),
            Err(error) => client_error(error).and_then(|error| error.upload_url().cloned()),
        };
        let begun = match &url {
            Some(url) => url.query().is_none() || self.queries,
            // Parts may be there.
            None => self.parallel > 1,
        };
        let stored = keeping.store().is_some() && matches!(item.content, Content::File(_)) && begun;
        let is_over = result.as_ref().is_err_and(|error| {
            client_error(error).is_some_and(|error| error.is_source() || error.is_not_found())
        });
        Ended {
            item,
            url,
            elapsed: progress.elapsed,
            retries: progress.retries,
            stopped: match &result {
                Err(error) if is_stopped(error) => stop.signal.get().copied(),
                _ => None,
            },
            can_go_on: result.is_err() && !is_over && (stored || self.resume_at.is_some()),
            is_over,
            result,
        }
    }

    async fn start(
        &self,
        item: &Item,
        watch: &Watch,
        screen: &Screen,
        stop: &Stop,
        keeping: &mut Keeping,
    ) -> Result<Uploaded> {
        let mut claimed = WhenClaimed::Fail;
        loop {
            let result = self
                .attempt(item, watch, stop, screen, (claimed, keeping))
                .await;
            let error = result.as_ref().err().and_then(client_error);
            let name = || printable(&item.shown);
            if error.is_some_and(Error::is_claimed) && claimed != self.claimed {
                claimed = self.claimed;
                screen.note(&format!(
                    "{}: the same content is being uploaded already: waiting for its end",
                    name()
                ));
            } else if let Some(error) = error.filter(|error| error.is_store())
                && let Keeping::Usual(_) = keeping
            {
                // Nothing was sent so far.
                screen.note(&format!("{}: {}: {NOT_KEPT}", name(), explain(error)));
                *keeping = Keeping::Nothing;
            } else {
                return result;
            }
        }
    }

    async fn attempt(
        &self,
        item: &Item,
        watch: &Watch,
        stop: &Stop,
        screen: &Screen,
        (claimed, keeping): (WhenClaimed, &Keeping),
    ) -> Result<Uploaded> {
        let source = match &item.content {
            Content::File(path) => Source::path(path),
            // A pipe opens when somebody writes to it.
            Content::Pipe(path) => tokio::select! {
                file = tokio::fs::File::open(path) => Source::read_once(file?),
                () = stop.token.cancelled() => return Err(Stopped("a signal").into()),
            },
            Content::Stdin => Source::read_once(tokio::io::stdin()),
        };
        let seen = watch.clone();
        let mut upload = self
            .client
            .upload(source)
            .retry(self.told_retries(item, screen))
            .fingerprint(self.fingerprint.clone())
            .after_success(self.after)
            .when_claimed(claimed)
            .leftovers(keeping.leftovers())
            .on_progress(move |progress| seen.update(progress));
        for (key, value) in self.metadata(item)? {
            upload = upload.metadata(key, value);
        }
        if let Some(bytes) = self.chunk_size {
            upload = upload.chunk_size(bytes);
        }
        if let Some(algorithm) = self.checksum {
            upload = upload.checksum(algorithm);
        }
        if self.parallel > 1 {
            upload = upload.parallel(self.parallel);
        }
        if let Some(store) = keeping.store() {
            upload = upload.shared_store(store.clone());
        }
        if self.queries {
            upload = upload.store_queries();
        }
        if let Some(url) = &self.resume_at {
            upload = upload.resume_at(url.clone());
        }
        let mut handle = upload.start();
        tokio::select! {
            done = &mut handle => return Ok(done?),
            () = stop.token.cancelled() => handle.cancel(Cancel::Keep),
        }
        Ok(handle.await?)
    }

    /// The policy, which says why it waits.
    fn told_retries(&self, item: &Item, screen: &Screen) -> RetryPolicy {
        let (screen, name, retries) = (screen.clone(), printable(&item.shown), self.retries);
        self.retry.clone().judge(move |error, failures| {
            if error.is_retryable() && failures <= retries {
                let error = explain(error);
                screen.note(&format!(
                    "{name}: {error}; trying again ({failures} of {retries})"
                ));
            }
            Verdict::AsUsual
        })
    }
}

/// What it means that URLs cannot be kept.
pub(super) const NOT_KEPT: &str = "what is interrupted can only be gone on with by --resume-at";

impl Ended {
    pub(super) fn exit(&self) -> Exit {
        match (&self.result, self.stopped) {
            (Ok(_), _) => Exit::Success,
            (Err(_), Some(stopped)) => stopped.exit(),
            (Err(error), None) => Exit::of(error),
        }
    }

    /// The URL of an upload that is whole.
    pub(super) fn text(&self) -> Option<String> {
        self.result.as_ref().ok().map(|done| done.url().to_string())
    }

    /// The same for programs, and why there is none.
    pub(super) fn json(&self) -> Value {
        let url = self.url.as_ref().map(Uri::to_string);
        match &self.result {
            Ok(done) => json!({
                "file": self.item.shown,
                "url": url,
                "size": done.size(),
                "resumed": done.resumed_from(),
                "seconds": self.elapsed.as_secs_f64(),
                "retries": self.retries,
            }),
            Err(error) => json!({
                "file": self.item.shown,
                "url": url,
                "error": explain(error.as_ref()),
                "status": client_error(error)
                    .and_then(Error::status)
                    .map(|status| status.as_u16()),
                "exit": self.exit().code(),
                "resumable": self.can_go_on,
            }),
        }
    }

    /// What people want to know.
    pub(super) fn tell(&self, screen: &Screen) {
        let name = printable(&self.item.shown);
        match &self.result {
            Ok(done) => screen.note(&format!("{name}: {}", self.figures(done))),
            Err(_) if self.stopped.is_some() => {
                screen.error(&format!("{name}: stopped. {}", self.how_to_go_on()));
            }
            Err(error) => {
                screen.error(&format!("error: {name}: {}", explain(error.as_ref())));
                if client_error(error).is_some_and(Error::is_claimed) {
                    screen.note(&format!("{name}: --no-resume uploads it once more."));
                }
                if client_error(error).is_some_and(Error::is_store) {
                    screen.note(&format!("{name}: --no-resume uploads it without a store."));
                }
                let part = client_error(error).and_then(Error::part_url);
                if (self.url.is_some() || part.is_some()) && !self.is_over {
                    screen.note(&format!("{name}: {}", self.how_to_go_on()));
                }
            }
        }
    }

    fn figures(&self, done: &Uploaded) -> String {
        let sent = done.size().saturating_sub(done.resumed_from());
        let seconds = self.elapsed.as_secs_f64();
        let mut text = format!("{} in {seconds:.1}s", bytes(done.size()));
        if seconds > 0.1 && sent > 0 {
            text += &format!(", {}/s", bytes((sent as f64 / seconds) as u64));
        }
        if done.resumed_from() > 0 {
            text += &format!(", {} were there already", bytes(done.resumed_from()));
        }
        text
    }

    fn how_to_go_on(&self) -> String {
        match &self.url {
            _ if self.can_go_on => {
                "The server keeps what it has: run the same command again to go on.".into()
            }
            None => "Nothing was uploaded.".into(),
            // Its query is what it takes to use it, and it is this user's.
            Some(url) if matches!(self.item.content, Content::File(_)) => {
                format!("The server keeps what it has: add --resume-at '{url}' to go on.")
            }
            Some(url) => format!(
                "What was read once cannot be read again; `tus delete {}` removes what the \
                 server has.",
                shown(url)
            ),
        }
    }
}

fn is_stopped(error: &anyhow::Error) -> bool {
    error.is::<Stopped>() || client_error(error).is_some_and(Error::is_canceled)
}

fn client_error(error: &anyhow::Error) -> Option<&Error> {
    error.downcast_ref()
}
