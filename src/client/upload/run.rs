use std::{sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, stream};
use http::Uri;
use tokio::time::timeout;

use super::{
    FirstBytes, Settings, Upload, Uploaded,
    drive::{Job, Place, Reached, known},
    engine::Engine,
    record::{Record, SharedRecord},
    steps::Url,
};
use crate::{
    client::{
        Cancel, Client, Error, NewUpload,
        config::Login,
        error::Kind,
        handle::{Command, Commands},
        options::filed,
        progress::{Meter, Share},
        retry::RetryPolicy,
        source::{Opened, Source},
    },
    protocol::{Extension, Length, Metadata},
};

impl Upload {
    /// Everything from the first look at the source to the last byte.
    pub(super) async fn run(
        self,
        commands: Commands,
        meter: Arc<Meter>,
    ) -> Result<Uploaded, Error> {
        let Self {
            client,
            source,
            mut settings,
        } = self;
        let metadata = Metadata::from_pairs(settings.metadata.iter().map(|(k, v)| (k, v)))
            .map_err(|error| {
                Error::setting(
                    "keys of metadata have to be different, and visible ASCII without commas",
                )
                .because(error)
            })?;
        let client = match settings.retry.clone() {
            Some(policy) => client.with_policy(policy),
            None => client,
        };
        let (login, resume_at) = settings.resume_at.as_ref().map(Login::split).unzip();
        settings.resume_at = resume_at;
        let client = match login.flatten() {
            Some(login) => client.with_login(login),
            None => client,
        };
        let mut run = Run {
            client,
            settings,
            metadata,
            record: Arc::new(Record::none()),
            commands,
            meter,
        };
        let done = run.whole(source).await;
        if let Err(error) = &done {
            run.clean_up(error).await;
        }
        done
    }
}

/// An upload that runs.
pub(super) struct Run {
    pub(super) client: Client,
    pub(super) settings: Settings,
    pub(super) metadata: Metadata,
    pub(super) record: SharedRecord,
    pub(super) commands: Commands,
    pub(super) meter: Arc<Meter>,
}

impl Run {
    async fn whole(&mut self, source: Source) -> Result<Uploaded, Error> {
        let mut commands = self.commands.clone();
        let mut source = commands.unless_kept(source.open()).await??;
        // The user knows better than a store where it goes on.
        if self.settings.resume_at.is_none() {
            let endpoint = filed(self.client.endpoint());
            let resume = self.settings.resume.clone();
            let opening = Record::open(endpoint, resume, &mut source, self.metadata.clone());
            self.record = Arc::new(commands.unless_kept(opening).await??);
        }
        self.meter.total(source.length());
        let in_parts = self.settings.parallel.is_some_and(|parts| parts.get() > 1)
            && source.length() != Some(0)
            && self.settings.resume_at.is_none()
            && self.record.url().is_none();
        match in_parts {
            true => self.parallel(source).await,
            false => self.single(source).await,
        }
    }

    async fn single(&self, source: Opened) -> Result<Uploaded, Error> {
        let settings = &self.settings;
        let mut commands = self.commands.clone();
        let (url, how) = match &settings.resume_at {
            Some(url) => (Some(url.clone()), Url::Given),
            None => (self.record.url(), Url::Stored),
        };
        let preparing = self.prepare(source, url.is_none()).boxed();
        let (source, first) = commands.unless_canceled(preparing).await??;
        let length = source.length();
        let engine = self
            .engine(known(url.as_ref(), how), length)
            .stop_at(settings.stop_at)
            .first(first);
        let new = NewUpload::of(length.map_or(Length::Deferred, Length::Known))
            .metadata(self.metadata.clone());
        let mut job = Job {
            url,
            ..self.job(source, new, Place::Whole)
        };
        job.on_url.clone_from(&settings.on_url);
        let ended = job.run(engine).await?;
        if ended.reached == Reached::End {
            self.forsake_parts(&ended.url, &[]).await;
            self.record.finished().await;
        }
        Ok(Uploaded {
            url: ended.url,
            size: ended.offset,
            resumed: ended.resumed,
        })
    }

    /// Finds out what can be known before anything is created: the source, and how many of its bytes go
    /// with the creation.
    async fn prepare(&self, mut source: Opened, is_new: bool) -> Result<(Opened, u64), Error> {
        if !source.is_seekable() {
            // A short stream has a length before anything is sent.
            source.prepare(0, u64::MAX).await?;
            self.meter.total(source.length());
        }
        let length = source.length();
        if is_new {
            self.check(length).await?;
        }
        self.check_algorithm().await?;
        let first = match is_new {
            true => self.first_bytes(length).await,
            false => 0,
        };
        Ok((source, first))
    }

    pub(super) fn engine(&self, url: Url, length: Option<u64>) -> Engine {
        let settings = &self.settings;
        let policy = self.client.config().retry.clone();
        let limit = match (settings.chunk_size, settings.checksum) {
            (Some(bytes), _) => bytes,
            // A request that is cut stores nothing of a chunk with a checksum.
            (None, Some(_)) => CHECKED,
            (None, None) => u64::MAX,
        };
        Engine::new(policy, url, length).limit(limit)
    }

    pub(super) fn job(&self, source: Opened, new: NewUpload, place: Place) -> Job {
        let rate = self.settings.rate.clone();
        Job {
            client: self.client.clone(),
            source,
            new,
            url: None,
            checksum: self.settings.checksum,
            rate: rate.or_else(|| self.client.config().rate.clone()),
            commands: self.commands.clone(),
            share: Share::new(Arc::clone(&self.meter)),
            place,
            record: Arc::clone(&self.record),
            on_url: None,
            told: None,
        }
    }

    /// What can be known to fail without sending anything.
    pub(super) async fn check(&self, length: Option<u64>) -> Result<(), Error> {
        let info = match length {
            None => {
                let info = self.client.known_options().await?;
                info.require(Extension::CreationDeferLength)?;
                Some(info)
            }
            Some(_) => self.client.remembered_options(),
        };
        let most = info.and_then(|info| info.max_size);
        match (length, most) {
            (Some(length), Some(most)) if length > most => {
                Err(Error::new(Kind::TooLarge { length, most }))
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn check_algorithm(&self) -> Result<(), Error> {
        let Some(algorithm) = self.settings.checksum else {
            return Ok(());
        };
        let info = self.client.known_options().await?;
        info.require(Extension::Checksum)?;
        match info.checksums.contains(&algorithm) {
            true => Ok(()),
            false => Err(Error::not_verified(algorithm, &info.checksum_names)),
        }
    }

    /// How many bytes go with the creation.
    async fn first_bytes(&self, length: Option<u64>) -> u64 {
        let settings = &self.settings;
        let length = length.unwrap_or(0);
        let most = SMALL.min(settings.chunk_size.unwrap_or(SMALL));
        // The creation carries all or nothing, and no checksum.
        let fits = length > 0 && length <= most && settings.stop_at.is_none();
        if !fits || settings.checksum.is_some() || settings.first_bytes == FirstBytes::Apart {
            return 0;
        }
        match self.client.perhaps_options().await {
            Some(info) if info.offers(Extension::CreationWithUpload) => length,
            _ => 0,
        }
    }

    /// After the end of an upload that failed. Of one that was not canceled only parts are leftovers, which
    /// is not done here: the upload can go on.
    async fn clean_up(&self, error: &Error) {
        if let Kind::Changed(_) = error.kind() {
            // What is stored is of no use, whatever the content is called the next time.
            self.record.remove().await;
        }
        if !error.is_canceled() || !self.is_to_go() {
            return;
        }
        let url = error.upload_url().cloned().or_else(|| self.record.url());
        let url = url.or_else(|| self.settings.resume_at.clone());
        self.terminate_all(url.into_iter().collect()).await;
        self.record.remove().await;
    }

    /// Whether the user canceled it so that nothing of it stays.
    pub(super) fn is_to_go(&self) -> bool {
        self.commands.current() == Command::Cancel(Cancel::Terminate)
    }

    /// Removes what nobody needs from the server, as far as that succeeds soon: whoever waits for the
    /// upload's end waits for it.
    pub(super) async fn terminate_all(&self, urls: Vec<Uri>) {
        let client = self.client.clone();
        let client = client.with_policy(RetryPolicy::default().attempts(2));
        let client = &client;
        // Boxed, for the compiler does not see that the futures of a closure are `Send`.
        let ending: Vec<_> = urls
            .iter()
            .map(|url| async move { client.terminate(url).await }.boxed())
            .collect();
        let ended = stream::iter(ending)
            .buffer_unordered(AT_ONCE)
            .for_each(|ended| async move {
                if let Err(error) = ended
                    && !error.is_not_found()
                {
                    tracing::warn!(%error, "what nobody needs stays on the server");
                }
            });
        if timeout(CLEANING, ended.boxed()).await.is_err() {
            tracing::warn!("the server is slow to remove what nobody needs: it may stay");
        }
    }
}

/// How many are removed at the same time.
const AT_ONCE: usize = 16;

/// How long an end may be late for what is removed.
const CLEANING: Duration = Duration::from_secs(10);

/// The most that goes with a creation: if its answer is lost, it is sent again.
const SMALL: u64 = 1 << 20;

/// The most that goes with a checksum unless the user says otherwise.
const CHECKED: u64 = 16 << 20;
