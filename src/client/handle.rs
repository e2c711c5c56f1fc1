use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::Stream;
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use super::{Error, Progress, Uploaded, error::Kind};

/// An upload that runs in a task of its own: see [`Upload::start`](super::Upload::start).
///
/// Awaiting it gives the upload's end. Dropping it stops the upload; what the server has stays there,
/// and the upload can go on later.
#[must_use = "dropping a handle stops its upload"]
pub struct Handle {
    task: JoinHandle<Result<Uploaded, Error>>,
    controller: Controller,
    progress: watch::Receiver<Progress>,
}

/// Steers an upload from anywhere. Cheap to clone; dropping it changes nothing.
#[derive(Debug, Clone)]
pub struct Controller {
    command: watch::Sender<Command>,
}

/// What becomes of an upload that is canceled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cancel {
    /// It stays on the server, and in the URL store: it can go on later.
    Keep,
    /// It is removed from the server (termination) and from the URL store.
    Terminate,
}

/// What an upload is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Run,
    Pause,
    Cancel(Cancel),
}

impl Handle {
    pub(crate) fn new(
        task: JoinHandle<Result<Uploaded, Error>>,
        command: watch::Sender<Command>,
        progress: watch::Receiver<Progress>,
    ) -> Self {
        Self {
            task,
            controller: Controller { command },
            progress,
        }
    }

    /// Cuts the request that sends content, and sends no more of it until [`resume`](Self::resume). The
    /// server keeps what it got of it, but nothing of a request with a [checksum](super::Upload::checksum).
    ///
    /// What is done before and after goes on: looking into the URL store, asking what the server offers, a
    /// creation that was begun, and joining parts.
    pub fn pause(&self) {
        self.controller.pause();
    }

    /// Goes on after a pause.
    pub fn resume(&self) {
        self.controller.resume();
    }

    /// Ends the upload: awaiting it gives an error with [`Error::is_canceled`]. For good: an upload that
    /// was canceled is not resumed by [`resume`](Self::resume).
    pub fn cancel(&self, cancel: Cancel) {
        self.controller.cancel(cancel);
    }

    /// Pauses, resumes and cancels from elsewhere.
    #[must_use]
    pub fn controller(&self) -> Controller {
        self.controller.clone()
    }

    /// How far the upload is: now, then at most ten times per second, until it ends. Whoever reads
    /// slowly misses some.
    pub fn progress(&self) -> impl Stream<Item = Progress> + Send + Unpin + use<> {
        let receiver = self.progress.clone();
        Box::pin(futures::stream::unfold(
            (receiver, Seen::Nothing),
            |(mut receiver, seen)| async move {
                if seen == Seen::Something {
                    receiver.changed().await.ok()?;
                }
                let progress = *receiver.borrow_and_update();
                Some((progress, (receiver, Seen::Something)))
            },
        ))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Something,
}

impl Controller {
    /// See [`Handle::pause`].
    pub fn pause(&self) {
        self.set(Command::Pause);
    }

    /// See [`Handle::resume`].
    pub fn resume(&self) {
        self.set(Command::Run);
    }

    /// See [`Handle::cancel`].
    pub fn cancel(&self, cancel: Cancel) {
        self.set(Command::Cancel(cancel));
    }

    fn set(&self, command: Command) {
        self.command.send_if_modified(|current| {
            let settled = matches!(current, Command::Cancel(_)) || *current == command;
            if !settled {
                *current = command;
            }
            !settled
        });
    }
}

impl Future for Handle {
    type Output = Result<Uploaded, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = ready!(Pin::new(&mut self.task).poll(context));
        Poll::Ready(ended.unwrap_or_else(|lost| match lost.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down.
            Err(canceled) => Err(Error::new(Kind::Canceled).because(canceled)),
        }))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.controller.cancel(Cancel::Keep);
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("command", &*self.controller.command.borrow())
            .field("progress", &*self.progress.borrow())
            .finish_non_exhaustive()
    }
}

/// The other end of a [`Controller`].
#[derive(Debug, Clone)]
pub(crate) struct Commands(watch::Receiver<Command>);

/// Why something was not done to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interrupted;

impl Commands {
    pub(crate) fn new(receiver: watch::Receiver<Command>) -> Self {
        Self(receiver)
    }

    /// What was told last.
    pub(crate) fn current(&self) -> Command {
        *self.0.borrow()
    }

    /// Waits as long as the upload is paused; an error once it is canceled.
    pub(crate) async fn go(&mut self) -> Result<Passed, Error> {
        let mut passed = Passed::AtOnce;
        loop {
            match *self.0.borrow_and_update() {
                Command::Run => return Ok(passed),
                Command::Cancel(_) => return Err(Error::new(Kind::Canceled)),
                Command::Pause => passed = Passed::AfterPause,
            }
            self.changed().await;
        }
    }

    /// Does it until it is done, or the upload is paused or canceled.
    pub(crate) async fn unless_told<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, Interrupted> {
        if *self.0.borrow_and_update() != Command::Run {
            return Err(Interrupted);
        }
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.changed() => Err(Interrupted),
        }
    }

    /// Does it until it is done, or the upload is canceled. It goes on during a pause.
    pub(crate) async fn unless_canceled<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, Error> {
        let mut work = std::pin::pin!(work);
        loop {
            if let Command::Cancel(_) = *self.0.borrow_and_update() {
                return Err(Error::new(Kind::Canceled));
            }
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = self.changed() => {}
            }
        }
    }

    /// Does it until it is done, or the upload was canceled a while ago. It goes on during a pause.
    pub(crate) async fn soon<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Error> {
        let mut work = std::pin::pin!(work);
        match self.unless_canceled(&mut work).await {
            Ok(done) => Ok(done),
            Err(canceled) => timeout(GRACE, work).await.map_err(|_| canceled),
        }
    }

    /// Does it until it is done or the upload is canceled; if it is to be removed, a while longer, for
    /// what is removed has to be found first. It goes on during a pause.
    pub(crate) async fn unless_kept<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, Error> {
        let mut work = std::pin::pin!(work);
        match self.unless_canceled(&mut work).await {
            Ok(done) => Ok(done),
            Err(canceled) if self.current() == Command::Cancel(Cancel::Keep) => Err(canceled),
            Err(canceled) => timeout(GRACE, work).await.map_err(|_| canceled),
        }
    }

    async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody is left to tell anything.
            std::future::pending::<()>().await;
        }
    }
}

/// Whether there was a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passed {
    AtOnce,
    AfterPause,
}

/// How long a user who cancels waits for what should not be cut.
const GRACE: Duration = Duration::from_secs(2);
