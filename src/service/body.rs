use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, header::EXPECT, request};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tower::BoxError;

use crate::{protocol::lists, storage::ByteStream};

/// The body of an answer: nothing, a line of text, or the bytes of a finished upload.
#[derive(Default)]
pub struct TusBody(Inner);

#[derive(Default)]
enum Inner {
    #[default]
    Empty,
    Text(Bytes),
    Stream {
        pieces: ByteStream,
        left: u64,
    },
}

impl TusBody {
    pub(super) fn text(text: Bytes) -> Self {
        Self(Inner::Text(text))
    }

    /// The pieces, which are `length` bytes.
    pub(super) fn stream(pieces: ByteStream, length: u64) -> Self {
        match length {
            0 => Self::default(),
            left => Self(Inner::Stream { pieces, left }),
        }
    }
}

impl Body for TusBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Inner::Empty => Poll::Ready(None),
            Inner::Text(text) => {
                let text = std::mem::take(text);
                self.0 = Inner::Empty;
                Poll::Ready(Some(Ok(Frame::data(text))))
            }
            Inner::Stream { pieces, left } => {
                let piece = ready!(pieces.as_mut().poll_next(context)).transpose()?;
                if let Some(piece) = &piece {
                    *left = left.saturating_sub(piece.len() as u64);
                }
                Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Empty => true,
            Inner::Text(_) => false,
            Inner::Stream { left, .. } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.0 {
            Inner::Empty => 0,
            Inner::Text(text) => text.len() as u64,
            Inner::Stream { left, .. } => *left,
        })
    }
}

impl std::fmt::Debug for TusBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TusBody")
            .field("size", &self.size_hint().exact())
            .finish()
    }
}

/// The body of a request, of whatever type it was.
pub(super) struct RequestBody {
    frames: Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>,
    expectation: Expectation,
}

/// Whether the client sends at all before it is told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expectation {
    None,
    /// `Expect: 100-continue`; hyper says 100 when the body is first asked for.
    Continue,
}

/// The next thing of a body.
pub(super) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl RequestBody {
    pub(super) fn new<B>(head: &request::Parts, body: B) -> Self
    where
        B: Body + Send + 'static,
        B::Data: Buf + Send,
        B::Error: Into<BoxError>,
    {
        let expectation = match lists(&head.headers, &EXPECT, "100-continue") {
            true => Expectation::Continue,
            false => Expectation::None,
        };
        let frames = body
            .map_frame(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining())))
            .map_err(Into::into);
        Self {
            frames: Box::pin(frames),
            expectation,
        }
    }

    /// The next piece; `None` at the end. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Result<Piece, BoxError>> {
        // From here on the client has been told to send.
        self.expectation = Expectation::None;
        loop {
            let frame = match self.frames.frame().await? {
                Ok(frame) => frame,
                Err(error) => return Some(Err(error)),
            };
            return Some(Ok(match frame.into_data() {
                Ok(data) => Piece::Data(data),
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => Piece::Trailers(trailers),
                    Err(_) => continue,
                },
            }));
        }
    }

    /// Whether something may come that nobody has asked for yet.
    pub(super) fn is_unread(&self) -> bool {
        self.expectation == Expectation::None && !self.frames.is_end_stream()
    }
}

impl std::fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestBody")
            .field("expectation", &self.expectation)
            .finish_non_exhaustive()
    }
}
