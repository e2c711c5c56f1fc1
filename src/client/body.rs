use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;
use tower::BoxError;

/// The body of a request of the client.
///
/// It is public for those who serve requests themselves, see
/// [`Client::with_service`](super::Client::with_service).
#[derive(Default)]
pub struct Body(Inner);

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
        let sender = BodySender {
            pieces: sender,
            pulse: Pulse::default(),
        };
        let inner = match length {
            Some(0) => Inner::Empty,
            left => Inner::Stream { pieces, left },
        };
        (sender, Self(inner))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Inner::Stream { pieces, left } = &mut self.0 else {
            return Poll::Ready(None);
        };
        let piece = ready!(pieces.poll_recv(context));
        Poll::Ready(match piece {
            Some(Piece::Data(data)) => {
                if let Some(left) = left {
                    *left = left.saturating_sub(data.len() as u64);
                    if *left == 0 {
                        self.0 = Inner::Ended;
                    }
                }
                Some(Ok(Frame::data(data)))
            }
            Some(Piece::Trailers(trailers)) => {
                self.0 = Inner::Ended;
                Some(Ok(Frame::trailers(trailers)))
            }
            // The end of the sender is not the end of the body, which must not look whole.
            None => {
                self.0 = Inner::Ended;
                Some(Err("the upload was stopped".into()))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        !matches!(self.0, Inner::Stream { .. })
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
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

    /// What beats with each piece that is taken.
    pub(crate) fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    async fn send(&self, piece: Piece) -> Result<(), Unread> {
        self.pieces.send(piece).await.map_err(|_| Unread)?;
        self.pulse.beat();
        Ok(())
    }
}

/// Tells a request that moves from one that stands still.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    pub(crate) fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Pieces that wait: enough not to wake somebody for each, and few enough not to be memory.
const WAITING: usize = 4;

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
    async fn a_body_of_known_length_ends_by_itself() {
        let (sender, body) = Body::channel(Some(2));
        sender.data(Bytes::from_static(b"ab")).await.unwrap();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "ab");
        let (_sender, body) = Body::channel(Some(0));
        assert!(body.collect().await.unwrap().to_bytes().is_empty());
    }
}
