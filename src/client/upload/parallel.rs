//! Parts at the same time, joined at the end.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{FutureExt, StreamExt, stream};
use http::Uri;

use super::{
    Leftovers, Uploaded,
    drive::{Ended, Place, known},
    run::Run,
    steps::Url,
};
use crate::{
    client::{Error, NewUpload, error::Kind, source::Opened, url_store::StoredPart},
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
        let at_once = self.settings.parallel.map_or(1, NonZeroUsize::get);
        let sources = source.split(at_once as u64)?;
        let parts = self.parts(sources, at_once, created).await?;
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
            parts.push(self.part(part, source, created).boxed());
            start += length;
        }
        let count = parts.len();
        let mut running = stream::iter(parts).buffer_unordered(at_once);
        let mut ended: Vec<_> = (0..count).map(|_| None).collect();
        // The first failure ends the others: what they sent is stored.
        while let Some(part) = running.next().await {
            let (number, part) = part?;
            ended[number] = Some(part);
        }
        Ok(ended.into_iter().flatten().collect())
    }

    async fn part(
        &self,
        part: Part,
        source: Opened,
        created: &Created,
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
