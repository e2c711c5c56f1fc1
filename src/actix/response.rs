use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_web::{
    HttpResponse,
    body::{BodySize, MessageBody},
    http::{
        StatusCode,
        header::{HeaderName, HeaderValue},
    },
};
use bytes::Bytes;
use futures::Stream;
use http::{Response, header::CONTENT_LENGTH};
use http_body::Body;
use http_body_util::BodyDataStream;

use crate::service::{FinishedUpload, TusBody};

/// An answer in the types of actix-web.
pub(super) fn of(answer: Response<TusBody>) -> HttpResponse {
    let size = match answer.body().size_hint().exact() {
        Some(bytes) => BodySize::Sized(bytes),
        None => BodySize::Stream,
    };
    sized(answer, size)
}

/// An answer to HEAD: it has no body, and tells the length of the one that GET would get.
pub(super) fn of_head(answer: Response<TusBody>) -> HttpResponse {
    let length = answer.headers().get(CONTENT_LENGTH);
    let size = match length.and_then(|length| length.to_str().ok()?.parse().ok()) {
        Some(bytes) => BodySize::Sized(bytes),
        None => BodySize::None,
    };
    sized(answer, size)
}

fn sized(answer: Response<TusBody>, size: BodySize) -> HttpResponse {
    let (mut head, body) = answer.into_parts();
    let answer = Answer {
        body: BodyDataStream::new(body),
        size,
    };
    let status = StatusCode::from_u16(head.status.as_u16())
        .expect("a status has three digits in every version of `http`");
    let mut response = HttpResponse::with_body(status, answer);
    for (name, value) in &head.headers {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        let value = HeaderValue::from_bytes(value.as_bytes());
        let (Ok(name), Ok(value)) = (name, value) else {
            unreachable!("fields are the same in every version of `http`");
        };
        response.headers_mut().append(name, value);
    }
    if let Some(finished) = head.extensions.remove::<FinishedUpload>() {
        response.extensions_mut().insert(finished);
    }
    response.map_into_boxed_body()
}

/// The body of an answer, under the size that its head tells.
struct Answer {
    body: BodyDataStream<TusBody>,
    size: BodySize,
}

impl MessageBody for Answer {
    type Error = Box<dyn Error>;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Box<dyn Error>>>> {
        let piece = ready!(Pin::new(&mut self.body).poll_next(context));
        Poll::Ready(piece.map(|piece| piece.map_err(|error| error as _)))
    }
}
