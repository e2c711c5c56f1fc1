//! Bodies that are watched: a store that falls silent is not waited for.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use object_store::client::{HttpError, HttpErrorKind, HttpRequestBody};
use tokio::time::{Sleep, sleep, timeout};

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Until the head of the answer is there.
    pub(super) whole: Option<Duration>,
    /// While nothing is sent or received.
    pub(super) silence: Option<Duration>,
}

impl Limits {
    /// Waits for `answer` within the limits, of which silence is measured by `progress`.
    pub(super) async fn wait<T>(
        self,
        progress: &Progress,
        answer: impl Future<Output = T>,
    ) -> Result<T, HttpError> {
        let heard = async {
            let Some(limit) = self.silence else {
                return Ok(answer.await);
            };
            let mut answer = std::pin::pin!(answer);
            loop {
                let before = progress.value();
                if let Ok(answer) = timeout(limit, &mut answer).await {
                    return Ok(answer);
                }
                if progress.value() == before {
                    return Err(late(limit));
                }
            }
        };
        match self.whole {
            Some(limit) => timeout(limit, heard)
                .await
                .unwrap_or_else(|_| Err(late(limit))),
            None => heard.await,
        }
    }
}

/// Counts the steps of a body that is sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<AtomicU64>);

impl Progress {
    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn step(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A body on its way to the store, in pieces small enough to see it move.
#[derive(Debug)]
pub(super) struct Sent {
    body: HttpRequestBody,
    /// Of the frame that is being sent.
    rest: Bytes,
    progress: Progress,
}

/// Large enough not to cost anything, and sent within any sensible limit.
const PIECE: usize = 256 << 10;

impl Sent {
    pub(super) fn new(body: HttpRequestBody, progress: Progress) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            progress,
        }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        self.progress.step();
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                end => return Poll::Ready(end),
            }
        }
        let length = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.body.size_hint().lower();
        SizeHint::with_exact(body + self.rest.len() as u64)
    }
}

/// A body that comes from the store.
#[derive(Debug)]
pub(super) struct Received<B> {
    body: B,
    limit: Option<Duration>,
    silence: Option<Pin<Box<Sleep>>>,
}

impl<B> Received<B> {
    /// `limit` is how long to wait for the next bytes. The time in which nobody asks does not count.
    pub(super) fn new(body: B, limit: Option<Duration>) -> Self {
        Self {
            body,
            limit,
            silence: None,
        }
    }
}

impl<B> Body for Received<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.silence = None;
            let interrupted = |error| HttpError::new(HttpErrorKind::Interrupted, error);
            return Poll::Ready(frame.map(|frame| frame.map_err(interrupted)));
        }
        let Some(limit) = self.limit else {
            return Poll::Pending;
        };
        let silence = self.silence.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(silence.as_mut().poll(context));
        Poll::Ready(Some(Err(late(limit))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the store was silent for {0:?}")]
struct Late(Duration);

fn late(limit: Duration) -> HttpError {
    HttpError::new(HttpErrorKind::Timeout, Late(limit))
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures::{StreamExt, stream};
    use http_body_util::{BodyExt, StreamBody};
    use object_store::PutPayload;

    use super::*;

    fn limits(whole: Option<u64>, silence: Option<u64>) -> Limits {
        Limits {
            whole: whole.map(Duration::from_secs),
            silence: silence.map(Duration::from_secs),
        }
    }

    #[tokio::test]
    async fn a_payload_is_sent_in_pieces_and_not_copied() {
        let chunks = [
            Bytes::from(vec![1; 3 * PIECE / 2]),
            Bytes::new(),
            Bytes::from_static(b"end"),
        ];
        let address = chunks[0].as_ptr();
        let progress = Progress::default();
        let payload: PutPayload = chunks.into_iter().collect();
        let mut body = Sent::new(payload.into(), progress.clone());
        let size = 3 * PIECE / 2 + 3;
        assert_eq!(body.size_hint().exact(), Some(size as u64));
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!((first.len(), first.as_ptr()), (PIECE, address));
        let left = (size - PIECE) as u64;
        assert_eq!(body.size_hint().exact(), Some(left));
        assert_eq!(body.collect().await.unwrap().to_bytes().len() as u64, left);
        assert!(progress.value() >= 4);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_request_and_progress_does_not() {
        let progress = Progress::default();
        let late = limits(None, Some(10))
            .wait(&progress, pending::<()>())
            .await;
        assert_eq!(late.unwrap_err().kind(), HttpErrorKind::Timeout);

        let slow = async {
            for _ in 0..10 {
                sleep(Duration::from_secs(9)).await;
                progress.step();
            }
        };
        limits(None, Some(10)).wait(&progress, slow).await.unwrap();

        let late = limits(Some(10), None)
            .wait(&progress, pending::<()>())
            .await;
        assert_eq!(late.unwrap_err().kind(), HttpErrorKind::Timeout);
    }

    #[tokio::test(start_paused = true)]
    async fn a_download_waits_for_its_reader_and_not_for_a_silent_store() {
        let frame = |bytes| Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(bytes)));
        let frames = stream::iter([frame(b"a"), frame(b"b")]).chain(stream::pending());
        let mut body = Received::new(StreamBody::new(frames), Some(Duration::from_secs(10)));
        body.frame().await.unwrap().unwrap();
        sleep(Duration::from_secs(3600)).await;
        body.frame().await.unwrap().unwrap();
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), HttpErrorKind::Timeout);
        ready(()).await;
    }
}
