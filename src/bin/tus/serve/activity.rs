//! When a connection is idle: the server has done its part, and the client does nothing.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{self, Instant},
};

/// What happens on a connection: it is either the server's turn, or the client's.
///
/// It is the server's while a request is worked on (how long its body may be silent is the service's
/// business), and while the next piece of an answer is fetched. It is the client's while a request is
/// awaited, and while it does not take what it is sent: over HTTP/1.1 the socket is full then, over HTTP/2
/// there also is no window, and hyper does not ask for the next piece.
#[derive(Debug, Clone)]
pub(crate) struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// What the server is at.
    busy: usize,
    /// When the client's turn began, unless it is the server's.
    since: Instant,
}

impl Activity {
    /// Of a connection that is new: the client's turn.
    pub(crate) fn start() -> Self {
        Self(Arc::new(Mutex::new(State {
            busy: 0,
            since: Instant::now(),
        })))
    }

    /// The server's turn, until the guard is dropped.
    pub(crate) fn busy(&self) -> Busy {
        self.state().busy += 1;
        Busy(self.clone())
    }

    /// Ends when the client has let its turn pass for this time. `None` is never.
    pub(crate) async fn idle_for(&self, patience: Option<Duration>) {
        let Some(patience) = patience else {
            return std::future::pending().await;
        };
        loop {
            // Whatever happens meanwhile puts the moment off, so there is nothing to be woken for.
            let waited = self.waited().unwrap_or_default();
            match patience.saturating_sub(waited) {
                Duration::ZERO => return,
                left => time::sleep(left).await,
            }
        }
    }

    /// How long it has been the client's turn, if it is.
    fn waited(&self) -> Option<Duration> {
        let state = self.state();
        (state.busy == 0).then(|| state.since.elapsed())
    }

    /// The client has done something, and its turn begins anew.
    fn moved(&self) {
        self.state().since = Instant::now();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something that the server is at.
#[derive(Debug)]
#[must_use]
pub(crate) struct Busy(Activity);

impl Busy {
    /// From now on it is the client's turn, which is to take the answer.
    pub(crate) fn answer<B>(self, body: B) -> Answer<B> {
        Answer {
            body,
            activity: self.0.clone(),
            busy: None,
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.busy -= 1;
        state.since = Instant::now();
    }
}

/// The body of an answer, of which a client is to take one piece after the other.
#[derive(Debug)]
pub(crate) struct Answer<B> {
    body: B,
    activity: Activity,
    /// While the next piece is fetched.
    busy: Option<Busy>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Self {
            body,
            activity,
            busy,
        } = self.get_mut();
        // That it is asked for says that the one before was taken.
        let busy_now = busy.take().unwrap_or_else(|| activity.busy());
        let polled = Pin::new(body).poll_frame(cx);
        if polled.is_pending() {
            *busy = Some(busy_now);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection's bytes. Where a client was slow to take them, each time it takes some counts.
///
/// What goes through at once does not: it may be an answer to a PING, which an idle client can ask for.
#[derive(Debug)]
pub(crate) struct Line<S> {
    stream: S,
    activity: Activity,
    is_full: bool,
}

impl<S> Line<S> {
    pub(crate) fn new(stream: S, activity: &Activity) -> Self {
        Self {
            stream,
            activity: activity.clone(),
            is_full: false,
        }
    }

    fn note(&mut self, written: &Poll<io::Result<usize>>) {
        if written.is_pending() {
            self.is_full = true;
        } else if self.is_full {
            self.is_full = false;
            self.activity.moved();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, data);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, data);
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, task::Waker};

    use http_body_util::{BodyExt, StreamBody};
    use tokio::io::AsyncWriteExt;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(75);
    const ALMOST: Duration = Duration::from_secs(74);

    fn is_idle(activity: &Activity) -> bool {
        let mut idle = std::pin::pin!(activity.idle_for(Some(PATIENCE)));
        let polled = idle.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        polled.is_ready()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_when_the_client_lets_its_turn_pass() {
        let activity = Activity::start();
        time::advance(ALMOST).await;
        assert!(!is_idle(&activity));
        let (one, other) = (activity.busy(), activity.busy());
        drop(one);
        time::advance(PATIENCE * 2).await;
        assert!(!is_idle(&activity), "a request is worked on");
        drop(other);
        time::advance(ALMOST).await;
        assert!(!is_idle(&activity));
        time::advance(PATIENCE - ALMOST).await;
        assert!(is_idle(&activity));
        activity.idle_for(Some(PATIENCE)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_is_idle_and_one_that_is_fetched_is_not() {
        let activity = Activity::start();
        let (pieces, body) = futures::channel::mpsc::unbounded::<Result<_, Infallible>>();
        let send = || {
            pieces
                .unbounded_send(Ok(Frame::data("piece".into())))
                .unwrap();
        };
        let mut answer = activity.busy().answer(StreamBody::new(body));
        send();
        time::advance(ALMOST).await;
        answer.frame().await.unwrap().unwrap();
        time::advance(ALMOST).await;
        assert!(!is_idle(&activity), "a piece was taken");

        let mut fetching = Box::pin(answer.frame());
        let polled = fetching
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        time::advance(PATIENCE * 2).await;
        assert!(!is_idle(&activity), "the next piece is fetched");
        send();
        fetching.await.unwrap().unwrap();
        time::advance(PATIENCE).await;
        assert!(is_idle(&activity));
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_a_slow_client_takes_counts() {
        let activity = Activity::start();
        let (near, mut far) = tokio::io::duplex(8);
        let mut line = Line::new(near, &activity);
        time::advance(ALMOST).await;
        line.write_all(b"12345678").await.unwrap();
        time::advance(PATIENCE - ALMOST).await;
        assert!(is_idle(&activity), "it went through at once");

        let mut writing = Box::pin(line.write_all(b"9"));
        let polled = writing
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        tokio::io::AsyncReadExt::read_u8(&mut far).await.unwrap();
        writing.await.unwrap();
        time::advance(ALMOST).await;
        assert!(!is_idle(&activity));
    }
}
