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
    engine::Url,
    run::Run,
};
use crate::{
    client::{Cancel, Error, NewUpload, handle::Command, source::Opened},
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
        let mut commands = self.commands.clone();
        commands.unless_canceled(self.may(total).boxed()).await??;
        let at_once = settings.parallel.map_or(1, NonZeroUsize::get);
        let sources = source.split(at_once as u64)?;

        let created = Created::default();
        let uploaded = self.parts(sources, at_once, &created).await;
        let joined = match uploaded {
            Ok(parts) => self.join(parts, total).await,
            Err(error) => Err(error),
        };
        if joined.is_err() && self.removes_parts() {
            self.remove_parts(created.all()).await;
        }
        joined
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
        let mut parts = Vec::with_capacity(sources.len());
        for (number, source) in sources.into_iter().enumerate() {
            let length = source.length().unwrap_or_default();
            // Boxed, for the compiler does not see that the futures of a closure are `Send`.
            parts.push(self.part(number, start, source, created).boxed());
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
        number: usize,
        start: u64,
        source: Opened,
        created: &Created,
    ) -> Result<(usize, Ended), Error> {
        let length = source.length().unwrap_or_default();
        let url = self.record.part(start, length);
        let engine = self.engine(known(url.as_ref(), Url::Stored), Some(length));
        let new = NewUpload::new(length)
            .partial()
            .metadata(self.settings.parts_metadata.clone());
        let mut job = self.job(source, new, Place::Part { start, length });
        job.url = url;
        let created = created.clone();
        job.on_url = Some(Arc::new(move |url| created.add(url)));
        Ok((number, job.run(engine).await?))
    }

    async fn join(&self, parts: Vec<Ended>, total: Option<u64>) -> Result<Uploaded, Error> {
        let resumed = parts.iter().map(|part| part.resumed).sum();
        let urls: Vec<_> = parts.into_iter().map(|part| part.url).collect();
        let joining = self.client.concat(&urls, &self.metadata).boxed();
        let joined = self.commands.clone().unless_canceled(joining).await??;
        self.record.joined(&joined.url).await?;
        if let Some(tell) = &self.settings.on_url {
            tell(&joined.url);
        }
        Ok(Uploaded {
            url: joined.url,
            size: total.unwrap_or_default(),
            resumed,
        })
    }

    fn removes_parts(&self) -> bool {
        self.settings.leftovers == Leftovers::Remove
            || self.commands.current() == Command::Cancel(Cancel::Terminate)
    }

    async fn remove_parts(&self, parts: Vec<Uri>) {
        for url in parts {
            if let Err(error) = self.client.terminate(&url).await
                && !error.is_not_found()
            {
                tracing::warn!(%error, "a part of a failed upload stays on the server");
            }
        }
    }
}

/// The URLs of all parts that exist, also of those whose upload was dropped.
#[derive(Debug, Clone, Default)]
struct Created(Arc<Mutex<Vec<Uri>>>);

impl Created {
    fn add(&self, url: &Uri) {
        let mut urls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        urls.push(url.clone());
    }

    fn all(&self) -> Vec<Uri> {
        let urls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        urls.clone()
    }
}
