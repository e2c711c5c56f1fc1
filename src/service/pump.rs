//! The only loop that reads bodies.

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use http::HeaderMap;
use http_body_util::LengthLimitError;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tower::BoxError;

use super::{
    body::{Piece, RequestBody},
    engine::refusal,
    observe,
    receive::Opened,
    session::{Ask, Claim},
    stalls::Stalls,
    tell::Progress,
};
use crate::{
    protocol::{Content, Error, Hasher, Limits, Oversized, Room, Stage, Upload, Verify},
    storage::{self, AppendMode, Appender},
};

/// Moves a body into a storage: limits, checksum, progress, stalls, takeover and shutdown.
///
/// Whatever ends the body, what came of it is committed; or, where a checksum had to hold and does
/// not, discarded.
#[derive(Debug)]
pub(super) struct Pump<'p> {
    upload: &'p Upload,
    appender: Option<Box<dyn Appender>>,
    room: Room,
    content: &'p Content,
    claim: &'p mut Claim,
    signals: Signals,
    taken: u64,
    received: observe::Received,
    hashers: Vec<Hasher>,
    trailers: Option<HeaderMap>,
    stalls: Stalls,
    finishing: Finishing,
    progress: Option<Progress<'p>>,
}

/// Whether an upload that is complete is finished at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finishing {
    /// If that is less work for the storage.
    WithCommit,
    /// Something has to happen before.
    Apart,
}

/// What a pump leaves behind.
#[derive(Debug)]
pub(super) struct Stored {
    /// The new offset.
    pub(super) offset: u64,
    /// How far the upload is; `Finishing` is left to be finished.
    pub(super) stage: Stage,
}

/// What ends a body from outside.
#[derive(Debug, Clone)]
pub(super) struct Signals {
    /// The server is shutting down.
    pub(super) stop: CancellationToken,
    /// Nobody waits for the answer any more.
    pub(super) abandoned: CancellationToken,
}

/// Why no more is read.
#[derive(Debug)]
enum End {
    Complete,
    Refused(Error),
    Failed(storage::Error),
}

/// What happens next.
enum Event {
    Piece(Option<Result<Piece, BoxError>>),
    Asked(Ask),
    Signalled(Error),
    Stalled,
}

/// How quiet a body has to be before a writer that is to end does so, and how long it goes on
/// otherwise if it is told to: what the connection has read already is to be kept.
const QUIET: Duration = Duration::from_millis(50);
const LAST_CALL: Duration = Duration::from_secs(1);

/// How the bytes of a request are to be stored.
pub(super) fn mode(content: &Content) -> AppendMode {
    match content.verify {
        Verify::Nothing => AppendMode::Streaming,
        Verify::Header(_) | Verify::Trailer(_) => AppendMode::Atomic,
    }
}

impl<'p> Pump<'p> {
    /// A pump for the body that `content` describes, into an upload that was opened as `upload` is.
    pub(super) fn new(
        upload: &'p Upload,
        opened: Opened,
        content: &'p Content,
        claim: &'p mut Claim,
        signals: Signals,
        limits: &Limits,
    ) -> Self {
        let algorithms = content.verify.algorithms();
        Self {
            upload,
            appender: opened.appender,
            room: opened.room,
            content,
            claim,
            signals,
            taken: 0,
            received: observe::Received::new(),
            hashers: algorithms.into_iter().map(Hasher::new).collect(),
            trailers: None,
            stalls: Stalls::new(limits),
            finishing: Finishing::WithCommit,
            progress: None,
        }
    }

    /// When the upload is finished, if it is complete then. Default: with the commit.
    pub(super) fn finish(mut self, finishing: Finishing) -> Self {
        self.finishing = finishing;
        self
    }

    /// Who is told how much has come. Default: nobody.
    pub(super) fn tell(mut self, progress: Option<Progress<'p>>) -> Self {
        self.progress = progress;
        self
    }

    /// Runs until the body ends. An error says why not all of it was taken; where the upload stands
    /// then, the storage knows.
    pub(super) async fn run(mut self, body: &mut RequestBody) -> Result<Stored, Error> {
        let outcome = match self.receive(body).await {
            End::Complete
                if self
                    .content
                    .length
                    .is_some_and(|length| length != self.taken) =>
            {
                Err(Error::Interrupted)
            }
            End::Complete => self.verify(),
            End::Refused(error) => Err(error),
            End::Failed(error) => Err(refusal(error)),
        };
        self.conclude(outcome).await.inspect_err(observe::ended)
    }

    async fn receive(&mut self, body: &mut RequestBody) -> End {
        loop {
            let step = match self.event(body).await {
                Ok(Event::Piece(piece)) => self.take(piece).await,
                Ok(Event::Asked(ask)) => self.answer(ask, body).await,
                Ok(Event::Signalled(reason)) => return self.last_call(body, reason).await,
                Ok(Event::Stalled) => Err(End::Refused(Error::Stalled)),
                Err(error) => Err(End::Failed(error)),
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn event(&mut self, body: &mut RequestBody) -> Result<Event, storage::Error> {
        if let Some(ask) = self.claim.try_asked() {
            return Ok(Event::Asked(ask));
        }
        if let Some(reason) = self.signals.raised() {
            return Ok(Event::Signalled(reason));
        }
        if let Some(piece) = body.next().now_or_never() {
            return Ok(Event::Piece(piece));
        }
        // Nothing to read for now: what was held back for a larger write becomes visible.
        self.flush().await?;
        Ok(tokio::select! {
            biased;
            piece = body.next() => Event::Piece(piece),
            ask = self.claim.asked() => Event::Asked(ask),
            reason = self.signals.wait() => Event::Signalled(reason),
            () = self.stalls.wait(self.taken) => Event::Stalled,
        })
    }

    /// Takes what the connection has read already, and ends then.
    async fn last_call(&mut self, body: &mut RequestBody, reason: Error) -> End {
        let until = Instant::now() + LAST_CALL;
        while Instant::now() < until
            && let Ok(piece) = timeout(QUIET, body.next()).await
        {
            if let Err(end) = self.take(piece).await {
                return end;
            }
        }
        End::Refused(reason)
    }

    async fn take(&mut self, piece: Option<Result<Piece, BoxError>>) -> Result<(), End> {
        match piece {
            None => Err(End::Complete),
            Some(Err(error)) => Err(End::Refused(cut(&error))),
            Some(Ok(Piece::Trailers(trailers))) => {
                self.trailers = Some(trailers);
                Ok(())
            }
            Some(Ok(Piece::Data(data))) => self.store(data).await,
        }
    }

    async fn store(&mut self, mut data: Bytes) -> Result<(), End> {
        let left = self.room.bytes - self.taken;
        if data.len() as u64 > left {
            // Up to the limit of a request the bytes are good. Beyond the length of the upload
            // something is wrong with all of them.
            if self.room.beyond == Oversized::Request {
                data.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                self.write(data).await?;
            }
            return Err(End::Refused(Error::TooLarge(self.room.beyond)));
        }
        self.write(data).await
    }

    async fn write(&mut self, data: Bytes) -> Result<(), End> {
        let Some(appender) = self.appender.as_mut().filter(|_| !data.is_empty()) else {
            return Ok(());
        };
        for hasher in &mut self.hashers {
            hasher.update(&data);
        }
        self.taken += data.len() as u64;
        self.received.add(data.len());
        appender.write(data).await.map_err(End::Failed)?;
        if let Some(progress) = &mut self.progress {
            progress.received(self.upload, self.upload.offset + self.taken);
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), storage::Error> {
        match &mut self.appender {
            Some(appender) => appender.flush().await,
            None => Ok(()),
        }
    }

    /// A newcomer that wants to go on right here takes over.
    ///
    /// So does one that wants to go on from less, as far as readers are shown the upload, if the body is
    /// silent: it has been given up, and its client cannot know of the bytes that are not visible yet.
    /// They are committed, and the newcomer is told of them.
    async fn answer(&mut self, ask: Ask, body: &mut RequestBody) -> Result<(), End> {
        if ask.takes_over(self.reach()..=self.reach()) {
            return Err(match ask.reason() {
                // Too late: only the end of the body is still to come.
                Error::Rejected(_) if self.upload.length.known() == Some(self.reach()) => {
                    End::Complete
                }
                reason => End::Refused(reason),
            });
        }
        if ask.takes_over(self.visible()..=self.reach()) {
            if let Ok(piece) = timeout(QUIET, body.next()).await {
                ask.refuse();
                return self.take(piece).await;
            }
            // What is visible after this is all that a reader can have seen.
            self.flush().await.map_err(End::Failed)?;
            if ask.takes_over(self.visible()..=self.reach()) {
                return Err(End::Refused(ask.reason()));
            }
        }
        ask.refuse();
        Ok(())
    }

    /// Up to where the upload will go if the body ends here.
    fn reach(&self) -> u64 {
        match mode(self.content) {
            AppendMode::Streaming => self.upload.offset + self.taken,
            AppendMode::Atomic => self.upload.offset,
        }
    }

    /// Up to where readers are shown the upload.
    fn visible(&self) -> u64 {
        match &self.appender {
            Some(appender) => appender.visible(),
            None => self.reach(),
        }
    }

    fn verify(&mut self) -> Result<(), Error> {
        let Some(expected) = self.content.verify.expected(self.trailers.as_ref())? else {
            return Ok(());
        };
        let made = self.hashers.drain(..).map(Hasher::finish);
        match made.into_iter().any(|checksum| checksum == expected) {
            true => Ok(()),
            false => Err(Error::ChecksumMismatch),
        }
    }

    async fn conclude(self, outcome: Result<(), Error>) -> Result<Stored, Error> {
        let Some(appender) = self.appender else {
            return outcome.map(|()| Stored {
                offset: self.upload.offset,
                stage: self.upload.stage,
            });
        };
        match (outcome, mode(self.content)) {
            (Ok(()), _) => {
                let stored = match self.finishing {
                    Finishing::WithCommit => appender.commit_and_finish(self.upload).await,
                    Finishing::Apart => appender.commit().await.map(|offset| {
                        let complete = self.upload.length.known() == Some(offset);
                        let stage = match complete {
                            true => Stage::Finishing,
                            false => Stage::Receiving,
                        };
                        (offset, stage)
                    }),
                };
                let (offset, stage) = stored.map_err(refusal)?;
                Ok(Stored { offset, stage })
            }
            (Err(error), AppendMode::Streaming) => {
                // What the storage says is logged; what the client is told is why it ended.
                let _ = appender.commit().await.map_err(refusal);
                Err(error)
            }
            (Err(error), AppendMode::Atomic) => {
                let _ = appender.discard().await.map_err(refusal);
                Err(error)
            }
        }
    }
}

impl Signals {
    fn raised(&self) -> Option<Error> {
        let raised = self.stop.is_cancelled() || self.abandoned.is_cancelled();
        raised.then_some(self.reason())
    }

    async fn wait(&self) -> Error {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.abandoned.cancelled() => {}
        }
        self.reason()
    }

    fn reason(&self) -> Error {
        if self.stop.is_cancelled() {
            Error::ShuttingDown
        } else {
            Error::Interrupted
        }
    }
}

/// Why a body broke off.
fn cut(error: &BoxError) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return Error::TooLarge(Oversized::Request);
        }
        cause = error.source();
    }
    Error::Interrupted
}
