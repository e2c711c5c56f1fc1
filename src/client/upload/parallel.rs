//! Parts at the same time, joined at the end.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{FutureExt, StreamExt, stream};
use http::Uri;
use tokio::time::sleep;

use super::{
    Leftovers, Uploaded,
    drive::{Ended, Place, known},
    run::Run,
    steps::{Event, Step, Url},
};
use crate::{
    client::{
        Cancel, Error, NewUpload,
        error::Kind,
        handle::{Command, Commands},
        retry::dice,
        source::Opened,
        url_store::StoredPart,
    },
    protocol::Extension,
};

impl Run {
    pub(super) async fn parallel(&self, source: Opened) -> Result<Uploaded, Error> {
        let settings = &self.settings;
        if settings.stop_at.is_some() {
            return Err(Error::setting(
                "a parallel upload cannot stop early: its parts are joined when all are there",
            ));
        }
        let total = source.length();
        let created = Created::of(self.record.parts());
        let (url, parts) = match self.joined(source, &created).await {
            Ok(joined) => joined,
            Err(error) => {
                if self.removes_parts() && !error.is_setting() {
                    self.terminate_all(created.all()).await;
                    self.record.remove().await;
                }
                return Err(error);
            }
        };
        if let Some(tell) = &settings.on_url {
            tell(&url);
        }
        let resumed = parts.iter().map(|part| part.resumed).sum();
        let used: Vec<_> = parts.into_iter().map(|part| part.url).collect();
        self.forsake_parts(&url, &used).await;
        self.wait_until_joined(&url, total).await?;
        self.record.finished().await;
        Ok(Uploaded {
            url,
            size: total.unwrap_or_default(),
            resumed,
        })
    }

    /// The upload made of all parts, and they.
    async fn joined(&self, source: Opened, created: &Created) -> Result<(Uri, Vec<Ended>), Error> {
        let mut commands = self.commands.clone();
        let allowed = self.may(source.length()).boxed();
        commands.unless_canceled(allowed).await??;
        let parts = self.settings.parallel.map_or(1, NonZeroUsize::get);
        let sources = source.split(parts as u64)?;
        let parts = self.parts(sources, parts.min(AT_ONCE), created).await?;
        let urls: Vec<_> = parts.iter().map(|part| part.url.clone()).collect();
        let joining = self.client.concat(&urls, &self.metadata).boxed();
        // Not interrupted at once: an upload whose URL is lost stays behind.
        let joined = commands.soon(joining).await??;
        if self.is_to_go() {
            // It was canceled while the parts became one.
            return Err(Error::new(Kind::Canceled).of_upload(Some(&joined.url)));
        }
        Ok((joined.url, parts))
    }

    /// The answer to the last creation may come before the parts are one upload, and tells nothing of its
    /// size.
    async fn wait_until_joined(&self, url: &Uri, total: Option<u64>) -> Result<(), Error> {
        let mut commands = self.commands.clone();
        let mut engine = self.engine(Url::Given, total);
        let mut plan = engine.start();
        loop {
            let asked = async {
                sleep(plan.pause).await;
                self.client.inspect_once(url).await
            };
            let asked = commands.unless_canceled(asked.boxed()).await;
            let event = match asked.map_err(|error| error.of_upload(Some(url)))? {
                Ok(info) if info.is_complete() => Event::Stands {
                    offset: info.offset.unwrap_or_default(),
                    length: info.length.known(),
                },
                Ok(_) => Event::Joining,
                // Whoever takes finished uploads away has taken this one.
                Err(error) if error.is_not_found() => return Ok(()),
                Err(error) => Event::Failed { error, sent: 0 },
            };
            plan = engine.on(event, dice());
            match plan.step {
                Step::Done(_) => return Ok(()),
                Step::Fail(error) => return Err(error.of_upload(Some(url))),
                // There is nothing to send.
                Step::Inspect | Step::Create { .. } | Step::Send { .. } => {}
            }
        }
    }

    /// Whether the server takes such an upload.
    async fn may(&self, total: Option<u64>) -> Result<(), Error> {
        let info = self.client.known_options().await?;
        info.require(Extension::Concatenation)?;
        self.check(total).await?;
        self.check_algorithm().await
    }

    /// The parts, in their order, with everything stored.
    async fn parts(
        &self,
        sources: Vec<Opened>,
        at_once: usize,
        created: &Created,
    ) -> Result<Vec<Ended>, Error> {
        let mut start = 0;
        let mut own = self.commands.clone();
        let (steering, commands) = own.relay();
        let mut stored = self.record.parts();
        let mut parts = Vec::with_capacity(sources.len());
        for (number, source) in sources.into_iter().enumerate() {
            let length = source.length().unwrap_or_default();
            // Each is taken once: sources without content are at the same place.
            let same = |part: &StoredPart| part.start == start && part.length == length;
            let begun = stored.iter().position(same);
            let part = Part {
                number,
                start,
                length,
                url: begun.map(|found| stored.swap_remove(found).url),
            };
            // Boxed, for the compiler does not see that the futures of a closure are `Send`.
            parts.push(self.part(part, source, created, commands.clone()).boxed());
            start += length;
        }
        let count = parts.len();
        let mut running = stream::iter(parts).buffer_unordered(at_once);
        let mut ended: Vec<_> = (0..count).map(|_| None).collect();
        let mut failed = None;
        loop {
            tokio::select! {
                part = running.next() => match part {
                    None => break,
                    Some(Ok((number, part))) => ended[number] = Some(part),
                    Some(Err(error)) => {
                        // Ends the others, none of them in the middle of a creation: what it creates
                        // would stay. What they sent is stored.
                        steering.tell(Command::Cancel(Cancel::Keep));
                        failed.get_or_insert(error);
                    }
                },
                command = own.next() => steering.tell(command),
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(ended.into_iter().flatten().collect()),
        }
    }

    async fn part(
        &self,
        part: Part,
        source: Opened,
        created: &Created,
        commands: Commands,
    ) -> Result<(usize, Ended), Error> {
        let Part {
            number,
            start,
            length,
            url,
        } = part;
        let engine = self.engine(known(url.as_ref(), Url::Stored), Some(length));
        let new = NewUpload::new(length)
            .partial()
            .metadata(self.settings.parts_metadata.clone());
        let mut job = self.job(source, new, Place::Part { start, length });
        job.url = url;
        job.commands = commands;
        let created = created.clone();
        job.on_url = Some(Arc::new(move |url| created.add(url)));
        let ended = job.run(engine).await;
        Ok((number, ended.map_err(Error::of_part)?))
    }

    /// The upload at `url` is whole. Parts that were begun for it and not `used` are of another division of
    /// its content: nobody goes on with them.
    pub(super) async fn forsake_parts(&self, url: &Uri, used: &[Uri]) {
        let parts = self.record.parts();
        if parts.is_empty() && used.is_empty() {
            return;
        }
        self.record.joined(url).await;
        let unused = parts.into_iter().map(|part| part.url);
        let unused = unused.filter(|url| !used.contains(url)).collect();
        self.terminate_all(unused).await;
    }

    fn removes_parts(&self) -> bool {
        self.settings.leftovers == Leftovers::Remove || self.is_to_go()
    }
}

/// Each part that runs has some memory.
const AT_ONCE: usize = 64;

/// A part that is to be uploaded.
struct Part {
    number: usize,
    /// The first of its bytes in the whole, and how many they are.
    start: u64,
    length: u64,
    /// Where it is, if it was begun before.
    url: Option<Uri>,
}

/// The URLs of all parts that exist, also of those whose upload was dropped or not begun again.
#[derive(Debug, Clone)]
struct Created(Arc<Mutex<Vec<Uri>>>);

impl Created {
    fn of(stored: Vec<StoredPart>) -> Self {
        let urls = stored.into_iter().map(|part| part.url).collect();
        Self(Arc::new(Mutex::new(urls)))
    }

    fn add(&self, url: &Uri) {
        let mut urls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !urls.contains(url) {
            urls.push(url.clone());
        }
    }

    fn all(&self) -> Vec<Uri> {
        let urls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        urls.clone()
    }
}
