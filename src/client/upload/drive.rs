//! Does what the engine decides.

use std::sync::Arc;

use futures::FutureExt;
use http::Uri;
use tokio::time::sleep;

use super::{
    OnUrl,
    content::{Content, checksum},
    engine::Engine,
    record::SharedRecord,
    steps::{Event, Step, Url},
};
use crate::{
    client::{
        Client, Error, NewUpload, RateLimit, Role,
        append::{Patch, Sum},
        error::Kind,
        handle::{Commands, Interrupted, Passed},
        progress::Share,
        retry::dice,
        source::Opened,
        url_store::StoredPart,
    },
    protocol::{Algorithm, Extension},
};

/// One upload on the server: a whole one, or a part.
pub(super) struct Job {
    pub(super) client: Client,
    pub(super) source: Opened,
    pub(super) new: NewUpload,
    pub(super) url: Option<Uri>,
    pub(super) checksum: Option<Algorithm>,
    pub(super) rate: Option<RateLimit>,
    pub(super) commands: Commands,
    pub(super) share: Share,
    pub(super) place: Place,
    pub(super) record: SharedRecord,
    pub(super) on_url: Option<Arc<OnUrl>>,
    /// The URL that `on_url` was told last.
    pub(super) told: Option<Uri>,
}

/// Where an upload's content stands in the user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Whole,
    Part { start: u64, length: u64 },
}

/// An upload to which everything was sent that was to be.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) url: Uri,
    pub(super) offset: u64,
    pub(super) reached: Reached,
    /// What the server had at the beginning.
    pub(super) resumed: u64,
}

/// How far an upload was to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    /// Everything is stored.
    End,
    /// It stopped where the user wants it to.
    Stop,
}

impl Job {
    /// Runs until everything is stored, or it cannot go on. Dropped, it leaves an upload that can.
    pub(super) async fn run(&mut self, mut engine: Engine) -> Result<Ended, Error> {
        let ended = self.steps(&mut engine).await;
        ended.map_err(|error| error.of_upload(self.url.as_ref()))
    }

    async fn steps(&mut self, engine: &mut Engine) -> Result<Ended, Error> {
        let mut plan = engine.start();
        let mut resumed = None;
        loop {
            if self.commands.go().await? == Passed::AfterPause {
                plan = engine.on(Event::Resumed, 0.0);
            }
            if !plan.pause.is_zero() {
                let slept = self.commands.unless_told(sleep(plan.pause)).await;
                if slept.is_err() {
                    continue;
                }
            }
            let event = match plan.step {
                Step::Create { first } => Ok(self.create(first).await?),
                Step::Inspect => self.inspect().await,
                Step::Send {
                    offset,
                    limit,
                    declare,
                } => {
                    self.source.unchanged().await?;
                    self.send(offset, limit, declare, engine.length()).await?
                }
                Step::Done(offset) => {
                    self.source.unchanged().await?;
                    let url = self.url.clone();
                    self.share.meter().tell();
                    return Ok(Ended {
                        url: url.ok_or_else(|| Error::setting("nothing was uploaded"))?,
                        offset,
                        reached: match engine.is_whole(offset) {
                            true => Reached::End,
                            false => Reached::Stop,
                        },
                        resumed: resumed.unwrap_or(0),
                    });
                }
                Step::Fail(error) => return Err(error),
            };
            let event = match event {
                Ok(event) => event,
                // The next round waits, or ends.
                Err(Interrupted) => Event::Resumed,
            };
            if let Event::Stands { offset, .. } = event {
                resumed = resumed.or(Some(offset));
            }
            if let Event::Created { .. } = event {
                resumed = resumed.or(Some(0));
            }
            if let Some(end) = self.share.reach() {
                engine.handed(end);
            }
            let failed = matches!(event, Event::Failed { .. });
            plan = engine.on(event, dice());
            if failed && !matches!(plan.step, Step::Fail(_)) {
                self.share.meter().retry();
            }
        }
    }

    /// Not interrupted at once: an upload whose URL is lost can neither go on nor be removed.
    async fn create(&mut self, first: u64) -> Result<Event, Error> {
        let mut content = Content {
            source: &mut self.source,
            offset: 0,
            length: first,
            trailer: None,
            rate: self.rate.as_ref(),
            share: &mut self.share,
        };
        let creating = self.client.create_once(&self.new, &mut content).boxed();
        let created = match self.commands.soon(creating).await? {
            Ok(created) => created,
            Err(error) => {
                self.share.stands(0);
                return source_or_event(error, first);
            }
        };
        let gone = self.url.replace(created.url.clone());
        match self.place {
            Place::Whole => self.record.created(&created.url).await,
            Place::Part { start, length } => {
                let part = StoredPart {
                    url: created.url,
                    start,
                    length,
                };
                self.record.part_created(part, gone.as_ref()).await;
            }
        }
        self.tell_url();
        let offset = match created.offset {
            Some(offset) if offset > first => {
                return Err(Error::protocol(format!(
                    "was sent {first} bytes and says that {offset} are stored"
                )));
            }
            Some(offset) => Some(offset),
            None => None,
        };
        self.share.stands(offset.unwrap_or(0));
        Ok(Event::Created { offset })
    }

    async fn inspect(&mut self) -> Result<Event, Interrupted> {
        let Some(url) = &self.url else {
            return Ok(Event::Resumed);
        };
        let asked = self.client.inspect_once(url).boxed();
        let event = match self.commands.unless_told(asked).await? {
            // Nothing can be sent to it.
            Ok(info) if matches!(info.role, Role::Final(_)) && !info.is_complete() => {
                Event::Joining
            }
            Ok(info) => Event::Stands {
                offset: info.offset.unwrap_or(0),
                length: info.length.known(),
            },
            Err(error) => Event::Failed { error, sent: 0 },
        };
        if let Event::Stands { offset, .. } = event {
            self.share.stands(offset);
            self.tell_url();
        }
        Ok(event)
    }

    /// The outer error ends the upload.
    async fn send(
        &mut self,
        offset: u64,
        limit: u64,
        declare: bool,
        size: Option<u64>,
    ) -> Result<Result<Event, Interrupted>, Error> {
        let Some(url) = self.url.clone() else {
            return Ok(Ok(Event::Resumed));
        };
        let prepared = self.source.prepare(offset, limit);
        let whole = match self.commands.unless_told(prepared).await {
            Ok(whole) => whole?,
            Err(interrupted) => return Ok(Err(interrupted)),
        };
        let length = whole.available;
        if let (Some(here), Some(there)) = (whole.length, size)
            && here != there
        {
            return Err(Error::other_content(here, there));
        }
        if length == 0 && whole.length.is_none_or(|length| length != offset) {
            return Err(Error::new(Kind::Source(format!(
                "ends before byte {offset}, where the upload stands: it is another one"
            ))));
        }
        if self.place == Place::Whole {
            self.share.meter().total(whole.length);
        }
        let declared = whole.length.filter(|_| declare);
        let mut commands = self.commands.clone();
        let sum = match commands.unless_told(self.sum(offset, length).boxed()).await {
            Ok(sum) => sum?,
            Err(interrupted) => return Ok(Err(interrupted)),
        };
        let trailer = self.checksum.filter(|_| sum == Sum::Trailer);
        let mut content = Content {
            source: &mut self.source,
            offset,
            length,
            trailer,
            rate: self.rate.as_ref(),
            share: &mut self.share,
        };
        let patch = Patch {
            url: &url,
            offset,
            length: declared,
            sum,
        };
        // Boxed, for the compiler cannot prove the nested future `Send` otherwise.
        let sent = self.client.patch(patch, &mut content).boxed();
        let event = match self.commands.unless_told(sent).await {
            Err(interrupted) => return Ok(Err(interrupted)),
            Ok(Err(error)) if trailer.is_some() && may_be_the_trailer(&error) => {
                tracing::info!(%error, "checksums go before the bytes from now on");
                self.client.server.without_trailers();
                Event::Resumed
            }
            Ok(Err(error)) => source_or_event(error, length)?,
            Ok(Ok(appended)) => {
                self.share.meter().chunk();
                if let Some(stored) = appended.offset {
                    self.share.stands(stored);
                }
                Event::Stored {
                    offset: appended.offset,
                    sent: length,
                    length: declared,
                }
            }
        };
        Ok(Ok(event))
    }

    /// Where the checksum of the next body goes.
    async fn sum(&mut self, offset: u64, length: u64) -> Result<Sum, Error> {
        let Some(algorithm) = self.checksum.filter(|_| length > 0) else {
            return Ok(Sum::None);
        };
        let info = self.client.known_options().await?;
        let offered = info.offers(Extension::ChecksumTrailer);
        if offered && self.client.server.gets_trailers() && self.source.is_seekable() {
            return Ok(Sum::Trailer);
        }
        checksum(&mut self.source, offset, length, algorithm).await
    }

    fn tell_url(&mut self) {
        if self.told == self.url {
            return;
        }
        if let (Some(tell), Some(url)) = (&self.on_url, &self.url) {
            tell(url);
        }
        self.told = self.url.clone();
    }
}

/// How an engine begins that knows this much.
pub(super) fn known(url: Option<&Uri>, how: Url) -> Url {
    match url {
        Some(_) => how,
        None => Url::None,
    }
}

/// What a proxy that drops trailers, or does not take a body of unknown length, makes of one.
fn may_be_the_trailer(error: &Error) -> bool {
    let status = error.status().map(|status| status.as_u16());
    matches!(status, Some(400 | 411 | 501))
}

/// A source that fails ends the upload: asking again gives the same.
fn source_or_event(error: Error, sent: u64) -> Result<Event, Error> {
    match error.kind() {
        Kind::Source(_)
        | Kind::Changed(_)
        | Kind::Setting(_)
        | Kind::Headers
        | Kind::NotOffered(_) => Err(error),
        _ => Ok(Event::Failed { error, sent }),
    }
}
