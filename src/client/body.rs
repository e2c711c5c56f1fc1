use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc::{self, error::TrySendError};
use tower::BoxError;

/// The body of a request of the client.
///
/// It is public for those who serve requests themselves, see
/// [`Client::with_service`](super::Client::with_service).
#[derive(Default)]
pub struct Body {
    inner: Inner,
    pulse: Pulse,
    /// The most of a piece that is given at once.
    frame: Option<usize>,
    /// What is left of a piece.
    rest: Bytes,
}

#[derive(Default)]
enum Inner {
    #[default]
    Empty,
    Stream {
        pieces: mpsc::Receiver<Piece>,
        /// What is still to come; `None` for a body that ends with trailers.
        left: Option<u64>,
    },
    Ended,
}

enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Body {
    /// A body of `length` bytes, or one of unknown length that ends with trailers, and the way into it.
    pub(crate) fn channel(length: Option<u64>) -> (BodySender, Self) {
        let (sender, pieces) = mpsc::channel(WAITING);
        let pulse = Pulse::default();
        let sender = BodySender {
            pieces: sender,
            pulse: pulse.clone(),
        };
        let inner = match length {
            Some(0) => Inner::Empty,
            left => Inner::Stream { pieces, left },
        };
        let body = Self {
            inner,
            pulse,
            ..Self::default()
        };
        (sender, body)
    }

    /// What beats with each frame that is taken.
    pub(crate) fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Gives at most so many bytes at once.
    pub(crate) fn frames_of(&mut self, bytes: usize) {
        self.frame = Some(bytes.max(1));
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        match (&mut self.inner, self.rest.is_empty()) {
            (_, false) => Poll::Ready(Some(Piece::Data(std::mem::take(&mut self.rest)))),
            (Inner::Stream { pieces, .. }, true) => pieces.poll_recv(context),
            (Inner::Empty | Inner::Ended, true) => Poll::Ready(None),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let piece = ready!(this.poll_piece(context));
        let Inner::Stream { left, .. } = &mut this.inner else {
            return Poll::Ready(None);
        };
        this.pulse.beat();
        Poll::Ready(match piece {
            Some(Piece::Data(mut data)) => {
                if let Some(frame) = this.frame.filter(|frame| *frame < data.len()) {
                    this.rest = data.split_off(frame);
                }
                if let Some(left) = left {
                    *left = left.saturating_sub(data.len() as u64);
                    if *left == 0 {
                        this.inner = Inner::Ended;
                    }
                }
                Some(Ok(Frame::data(data)))
            }
            Some(Piece::Trailers(trailers)) => {
                this.inner = Inner::Ended;
                Some(Ok(Frame::trailers(trailers)))
            }
            // The end of the sender is not the end of the body, which must not look whole.
            None => {
                this.inner = Inner::Ended;
                Some(Err("the upload was stopped".into()))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        !matches!(self.inner, Inner::Stream { .. })
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Empty | Inner::Ended => SizeHint::with_exact(0),
            Inner::Stream { left, .. } => left.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = http_body::Body::size_hint(self).exact();
        f.debug_struct("Body").field("size", &size).finish()
    }
}

/// Fills a [`Body`]. Dropped before the end it makes the body fail.
pub(crate) struct BodySender {
    pieces: mpsc::Sender<Piece>,
    pulse: Pulse,
}

/// Nobody reads the body any more: the answer says why.
#[derive(Debug)]
pub(crate) struct Unread;

impl BodySender {
    /// Waits until the connection has room.
    pub(crate) async fn data(&self, data: Bytes) -> Result<(), Unread> {
        self.send(Piece::Data(data)).await
    }

    /// Ends a body of unknown length.
    pub(crate) async fn trailers(&self, trailers: HeaderMap) -> Result<(), Unread> {
        self.send(Piece::Trailers(trailers)).await
    }

    /// What beats with each frame that is taken.
    pub(crate) fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Who had to wait is woken when there is room for several: each time costs as much as a piece does.
    async fn send(&self, piece: Piece) -> Result<(), Unread> {
        let piece = match self.pieces.try_send(piece) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(Unread),
            Err(TrySendError::Full(piece)) => piece,
        };
        let mut room = self.pieces.reserve_many(ROOM).await.map_err(|_| Unread)?;
        if let Some(permit) = room.next() {
            permit.send(piece);
        }
        Ok(())
    }
}

/// Tells a request that moves from one that stands still.
#[derive(Clone, Default)]
pub(crate) struct Pulse(Arc<Beats>);

#[derive(Default)]
struct Beats {
    own: AtomicU64,
    /// Below the request: a piece that waits for a slow line does not beat, its bytes do.
    connection: OnceLock<Box<dyn Fn() -> u64 + Send + Sync>>,
}

impl Pulse {
    pub(crate) fn beat(&self) {
        self.0.own.fetch_add(1, Ordering::Relaxed);
    }

    /// Beats with the connection too, whose count this is. Once only.
    pub(crate) fn follow(&self, connection: impl Fn() -> u64 + Send + Sync + 'static) {
        let _ = self.0.connection.set(Box::new(connection));
    }

    pub(crate) fn count(&self) -> u64 {
        let connection = self.0.connection.get().map_or(0, |count| count());
        self.0.own.load(Ordering::Relaxed).wrapping_add(connection)
    }
}

impl fmt::Debug for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pulse").field(&self.count()).finish()
    }
}

/// Pieces that wait: enough not to wake somebody for each, and few enough not to be memory.
const WAITING: usize = 4;

/// For so many pieces there is room before anybody is woken.
const ROOM: usize = 2;

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_body_that_lost_its_sender_fails() {
        let (sender, mut body) = Body::channel(Some(3));
        sender.data(Bytes::from_static(b"ab")).await.unwrap();
        drop(sender);
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(3));
        assert!(body.frame().await.unwrap().is_ok());
        assert!(body.frame().await.unwrap().is_err());
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn frames_are_as_small_as_they_have_to_be() {
        let (sender, mut body) = Body::channel(Some(5));
        body.frames_of(2);
        sender.data(Bytes::from_static(b"abcde")).await.unwrap();
        for frame in ["ab", "cd", "e"] {
            assert!(!http_body::Body::is_end_stream(&body));
            let next = body.frame().await.unwrap().unwrap();
            assert_eq!(next.into_data().unwrap(), frame);
        }
        assert!(http_body::Body::is_end_stream(&body));
        assert_eq!(sender.pulse().count(), 3);
        sender.pulse().follow(|| 4);
        assert_eq!(sender.pulse().count(), 7);
    }

    #[tokio::test]
    async fn a_body_of_known_length_ends_by_itself() {
        let (sender, body) = Body::channel(Some(2));
        sender.data(Bytes::from_static(b"ab")).await.unwrap();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "ab");
        let (_sender, body) = Body::channel(Some(0));
        assert!(body.collect().await.unwrap().to_bytes().is_empty());
    }
}
