//! One log line per finished request.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header::LOCATION};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tracing::info;

/// What is known of a request. Writes its line when dropped: after the answer's last byte, or when
/// the client left before there was an answer.
///
/// Takes the path without its query, and of the headers only what is named here: a log is no place
/// for credentials.
#[derive(Debug)]
pub(crate) struct Exchange {
    started: Instant,
    method: Method,
    path: String,
    request_id: Option<String>,
    status: Option<StatusCode>,
    location: Option<String>,
    received: Arc<AtomicU64>,
    sent: u64,
}

impl Exchange {
    /// Starts the clock, and counts the bytes that come in.
    pub(crate) fn begin<B: Body<Data = Bytes>>(
        request: Request<B>,
    ) -> (Self, Request<impl Body<Data = Bytes, Error = B::Error>>) {
        let received = Arc::<AtomicU64>::default();
        let exchange = Self {
            started: Instant::now(),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            request_id: request_id(request.headers()),
            status: None,
            location: None,
            received: Arc::clone(&received),
            sent: 0,
        };
        let request = request.map(|body| {
            body.inspect_frame(move |frame| {
                received.fetch_add(len(frame), Relaxed);
            })
        });
        (exchange, request)
    }

    /// Notes the answer, and counts the bytes that go out.
    pub(crate) fn answer<B: Body<Data = Bytes> + Unpin>(
        mut self,
        response: Response<B>,
    ) -> Response<impl Body<Data = Bytes, Error = B::Error> + Unpin> {
        self.note(&response);
        response.map(|body| body.inspect_frame(move |frame| self.send(frame)))
    }

    fn note<B>(&mut self, response: &Response<B>) {
        self.status = Some(response.status());
        // A URL to be redirected to may be signed, and is a credential then.
        if response.status() == StatusCode::CREATED {
            self.location = location(response.headers());
        }
    }

    fn send(&mut self, frame: &Frame<Bytes>) {
        self.sent += len(frame);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        info!(
            method = self.method.as_str(),
            path = self.path,
            request_id = self.request_id,
            status = self.status.map(|status| status.as_u16()),
            location = self.location,
            received = self.received.load(Relaxed),
            sent = self.sent,
            ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "{}",
            if self.status.is_some() {
                "request"
            } else {
                "request without an answer"
            },
        );
    }
}

/// What a proxy, or the client, calls the request; as much of it as the service puts into its spans.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    (id.len() <= LONGEST_REQUEST_ID).then(|| id.to_owned())
}

fn location(headers: &HeaderMap) -> Option<String> {
    headers.get(LOCATION)?.to_str().ok().map(str::to_owned)
}

fn len(frame: &Frame<Bytes>) -> u64 {
    frame.data_ref().map_or(0, |data| data.len() as u64)
}

const LONGEST_REQUEST_ID: usize = 128;

#[cfg(test)]
mod tests {
    use http_body_util::Empty;

    use super::*;

    #[test]
    fn only_the_url_of_an_upload_is_noted() {
        for (status, noted) in [(201, Some("/a?b")), (307, None)] {
            let (mut exchange, _) = Exchange::begin(Request::new(Empty::<Bytes>::new()));
            let response = Response::builder().status(status).header(LOCATION, "/a?b");
            exchange.note(&response.body(()).unwrap());
            assert_eq!(exchange.location.as_deref(), noted);
        }
    }
}
