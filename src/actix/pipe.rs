//! The body of a request, out of the thread of its connection.
//!
//! actix-web's payload belongs to one thread; the service may go on with a body in any task. So the
//! request pumps the one into the other, while it waits for its answer.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use actix_web::{dev::Payload, error::PayloadError};
use bytes::Bytes;
use futures::Stream;
use http_body::Frame;
use tower::BoxError;

/// How much may wait between both, besides the piece that goes beyond it. actix-web gives pieces of
/// 128 KiB at most.
const ROOM: usize = 64 << 10;

/// The end into which the payload goes.
pub(super) struct Pump {
    payload: Payload,
    queue: Arc<Mutex<Queue>>,
}

/// The end that the service reads.
pub(super) struct Body(Option<Arc<Mutex<Queue>>>);

#[derive(Default)]
struct Queue {
    pieces: VecDeque<Bytes>,
    waiting: usize,
    end: Option<End>,
    /// Whoever waits for a piece.
    reader: Option<Waker>,
    /// Whoever waits for room.
    writer: Option<Waker>,
    reading: Reading,
}

enum End {
    Complete,
    Failed(BoxError),
    /// The error was told.
    Told,
}

#[derive(Default, PartialEq, Eq)]
enum Reading {
    #[default]
    On,
    /// The body was dropped.
    Over,
}

/// Nobody waits for the answer of a request any more.
#[derive(Debug, thiserror::Error)]
#[error("the request was given up")]
struct GivenUp;

impl Pump {
    pub(super) fn new(payload: Payload) -> (Self, Body) {
        let queue = Arc::<Mutex<Queue>>::default();
        let body = Body(Some(Arc::clone(&queue)));
        (Self { payload, queue }, body)
    }

    /// Pumps until the answer is there.
    ///
    /// An answer that comes before the end of the body waits for what the connection has read already:
    /// after a body that was read to its end the connection can be used again.
    pub(super) async fn feed<T>(mut self, answer: impl Future<Output = T>) -> T {
        let mut answer = pin!(answer);
        let answer = poll_fn(|context| {
            self.pump(context);
            answer.as_mut().poll(context)
        })
        .await;
        if self.queue().end.is_none() {
            tokio::task::yield_now().await;
        }
        answer
    }

    /// Moves what is there, as far as there is room.
    fn pump(&mut self, context: &mut Context<'_>) {
        while self.queue().has_room(context) {
            match Pin::new(&mut self.payload).poll_next(context) {
                Poll::Ready(piece) => self.queue().push(piece, context),
                Poll::Pending => return,
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }
}

impl Drop for Pump {
    /// A connection that breaks takes its request along. What it has brought counts all the same.
    fn drop(&mut self) {
        let context = &mut Context::from_waker(Waker::noop());
        while !self.queue().is_over() {
            let piece = match Pin::new(&mut self.payload).poll_next(context) {
                Poll::Ready(piece) => piece,
                Poll::Pending => break,
            };
            self.queue().push(piece, context);
        }
        self.queue().finish(End::Failed(GivenUp.into()));
    }
}

impl Queue {
    /// Whether nothing more is to be pushed.
    fn is_over(&self) -> bool {
        self.end.is_some() || self.reading == Reading::Over
    }

    /// Whether something may be pushed; if it may later, the task is woken then.
    fn has_room(&mut self, context: &mut Context<'_>) -> bool {
        if self.is_over() {
            return false;
        }
        if self.waiting >= ROOM {
            self.writer = Some(context.waker().clone());
            return false;
        }
        true
    }

    fn push(&mut self, piece: Option<Result<Bytes, PayloadError>>, context: &mut Context<'_>) {
        match piece {
            Some(Ok(piece)) => {
                self.waiting += piece.len();
                self.pieces.push_back(piece);
                // The task that pushes polls its answer next: if it reads itself, it need not be woken.
                let is_other = |reader: &mut Waker| !reader.will_wake(context.waker());
                if let Some(reader) = self.reader.take_if(is_other) {
                    reader.wake();
                }
            }
            Some(Err(error)) => self.finish(End::Failed(error.into())),
            None => self.finish(End::Complete),
        }
    }

    fn finish(&mut self, end: End) {
        self.end.get_or_insert(end);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        if let Some(piece) = self.pieces.pop_front() {
            self.waiting -= piece.len();
            if let Some(writer) = self.writer.take() {
                writer.wake();
            }
            return Poll::Ready(Some(Ok(piece)));
        }
        let end = self.end.as_mut();
        match end.map(|end| std::mem::replace(end, End::Told)) {
            Some(End::Failed(error)) => Poll::Ready(Some(Err(error))),
            Some(End::Complete | End::Told) => Poll::Ready(None),
            None => {
                self.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Body {
    pub(super) fn empty() -> Self {
        Self(None)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &self.0 {
            Some(queue) => {
                let piece = lock(queue).poll_piece(context);
                piece.map_ok(Frame::data)
            }
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|queue| {
            let queue = lock(queue);
            let ended = matches!(queue.end, Some(End::Complete | End::Told));
            ended && queue.pieces.is_empty()
        })
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(queue) = &self.0 {
            let mut queue = lock(queue);
            queue.reading = Reading::Over;
            queue.pieces.clear();
        }
    }
}

/// No code runs under this lock that could panic half way.
fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use actix_web::{dev::Payload, error::PayloadError};
    use bytes::Bytes;
    use futures::{FutureExt, StreamExt, stream, stream::LocalBoxStream};
    use http_body_util::BodyExt;

    use super::{Body, Pump, ROOM};

    type Piece = Result<Bytes, PayloadError>;

    /// A payload of these pieces, after which nothing comes.
    fn pump(pieces: Vec<Piece>) -> (Pump, Body) {
        let pieces: LocalBoxStream<'static, Piece> =
            stream::iter(pieces).chain(stream::pending()).boxed_local();
        Pump::new(Payload::from(pieces))
    }

    fn block(size: usize) -> Piece {
        Ok(Bytes::from(vec![b'x'; size]))
    }

    #[tokio::test]
    async fn what_came_before_a_request_was_dropped_is_read_and_then_an_error() {
        let (pump, mut body) = pump((0..10).map(|_| block(ROOM)).collect());
        let mut request = Box::pin(pump.feed(pending::<()>()));
        assert!((&mut request).now_or_never().is_none());
        drop(request);
        for _ in 0..10 {
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap().len(), ROOM);
        }
        let end = body.frame().await.unwrap().unwrap_err();
        assert_eq!(end.to_string(), "the request was given up");
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn no_more_waits_than_there_is_room_for() {
        let (pump, body) = pump((0..10).map(|_| block(ROOM / 2 + 1)).collect());
        let queue = std::sync::Arc::clone(body.0.as_ref().unwrap());
        let mut request = Box::pin(pump.feed(pending::<()>()));
        assert!((&mut request).now_or_never().is_none());
        assert_eq!(super::lock(&queue).pieces.len(), 2);
        // One that is read makes room for another.
        let mut body = body;
        body.frame().await.unwrap().unwrap();
        assert!((&mut request).now_or_never().is_none());
        assert_eq!(super::lock(&queue).pieces.len(), 2);
    }

    #[tokio::test]
    async fn an_error_comes_behind_what_came_before_it() {
        let (pump, mut body) = pump(vec![block(3), Err(PayloadError::Incomplete(None))]);
        let read = async {
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap().len(), 3);
            body.frame().await.unwrap().unwrap_err();
        };
        pump.feed(read).await;
    }
}
