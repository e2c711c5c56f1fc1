use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};
use tracing::Instrument;

use super::TusService;
use crate::protocol::{Content, Error, Refusal};

/// Work that is never cut: when nobody waits for it any more, it goes on in a task of its own.
///
/// hyper drops the future of a request when its client goes away, and timeouts do. A task of its own
/// from the start would be as safe, but costs each small request two switches between threads.
pub(super) struct Detached<T: Send + 'static> {
    work: Option<Work<T>>,
    tasks: TaskTracker,
    runtime: Handle,
    /// Holds up the end of the service.
    _token: TaskTrackerToken,
}

type Work<T> = Pin<Box<dyn Future<Output = Result<T, Refusal>> + Send>>;

/// From this size on a body is worth a task of its own: its connection reads while it is written.
const APART: u64 = 256 << 10;

impl TusService {
    /// Does `work`, whether or not somebody waits for it to the end.
    pub(super) fn detached<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
    ) -> Detached<T> {
        Detached {
            work: Some(Box::pin(work.in_current_span())),
            tasks: self.engine.tasks.clone(),
            runtime: Handle::current(),
            _token: self.engine.tasks.token(),
        }
    }

    /// As [`detached`](Self::detached), in a task of its own from the start if the body is a long one and
    /// there is more than one thread to work on it.
    pub(super) async fn detached_with<T: Send + 'static>(
        &self,
        content: Option<&Content>,
        work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
    ) -> Result<T, Refusal> {
        let short =
            content.is_none_or(|content| content.length.is_some_and(|length| length < APART));
        let alone = Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread;
        if short || alone {
            return self.detached(work).await;
        }
        match self.engine.tasks.spawn(work.in_current_span()).await {
            Ok(result) => result,
            Err(_) => panicked(),
        }
    }
}

impl<T: Send + 'static> Future for Detached<T> {
    type Output = Result<T, Refusal>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let work = self.work.as_mut().expect("it is not polled after its end");
        // What a task of its own would do: a panic ends the request, not the connection.
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        let done = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(done)) => done,
            Err(_) => panicked(),
        };
        self.work = None;
        Poll::Ready(done)
    }
}

impl<T: Send + 'static> Drop for Detached<T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.tasks.spawn_on(work, &self.runtime);
        }
    }
}

fn panicked<T>() -> Result<T, Refusal> {
    tracing::error!("the work of a request panicked");
    Err(Error::Internal.into())
}
