use std::sync::Arc;

use futures::FutureExt;

use super::{
    FirstBytes, Settings, Upload, Uploaded,
    drive::{Job, Place, Reached, known},
    engine::{Engine, Url},
    record::{Record, SharedRecord},
};
use crate::{
    client::{
        Cancel, Client, Error, NewUpload,
        config::Login,
        error::Kind,
        handle::{Command, Commands},
        options::filed,
        progress::{Meter, Share},
        source::Opened,
    },
    protocol::{Extension, Length, Metadata},
};

impl Upload {
    /// Everything from the first look at the source to the last byte.
    pub(super) async fn run(
        self,
        mut commands: Commands,
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
        let mut source = commands.unless_canceled(source.open()).await??;
        let endpoint = filed(client.endpoint());
        let resume = settings.resume.clone();
        let opening = Record::open(endpoint, resume, &mut source, metadata.clone());
        let record = commands.unless_canceled(opening).await??;
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
        let run = Run {
            client,
            settings,
            metadata,
            record: Arc::new(record),
            commands,
            meter,
        };
        run.whole(source).await
    }
}

/// An upload whose source is open.
pub(super) struct Run {
    pub(super) client: Client,
    pub(super) settings: Settings,
    pub(super) metadata: Metadata,
    pub(super) record: SharedRecord,
    pub(super) commands: Commands,
    pub(super) meter: Arc<Meter>,
}

impl Run {
    async fn whole(self, source: Opened) -> Result<Uploaded, Error> {
        self.meter.total(source.length());
        let in_parts = self.settings.parallel.is_some_and(|parts| parts.get() > 1)
            && source.length() != Some(0)
            && self.settings.resume_at.is_none()
            && self.record.url().is_none();
        let done = match in_parts {
            true => self.parallel(source).await,
            false => self.single(source).await,
        };
        if let Err(error) = &done {
            self.clean_up(error).await;
        }
        done
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
            self.forsake_parts(&ended.url, &[]).await?;
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
        if !error.is_canceled() || self.commands.current() != Command::Cancel(Cancel::Terminate) {
            return;
        }
        if let Some(url) = error.upload_url()
            && let Err(error) = self.client.terminate(url).await
            && !error.is_not_found()
        {
            tracing::warn!(%error, "a canceled upload stays on the server");
        }
        self.record.remove().await;
    }
}

/// The most that goes with a creation: if its answer is lost, it is sent again.
const SMALL: u64 = 1 << 20;

/// The most that goes with a checksum unless the user says otherwise.
const CHECKED: u64 = 16 << 20;
