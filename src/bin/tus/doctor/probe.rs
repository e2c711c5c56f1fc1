//! A client that asks once, and remembers every answer as it came.

use std::{
    io::{self, SeekFrom},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use http::{HeaderMap, Method, StatusCode, Uri, header::CONTENT_LENGTH};
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tower_tus::client::{Client, RetryPolicy};

use crate::exit::explain;

pub(super) struct Probe {
    pub(super) client: Client,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// Lengths of the requests with content, in their order.
    bodies: Vec<u64>,
    /// What a browser would add. As client's headers they would not go to other origins.
    browser: HeaderMap,
    answers: Vec<Answered>,
    /// Uploads that were created and not removed.
    uploads: Vec<Uri>,
}

/// An answer, redirects and refusals included.
#[derive(Debug, Clone)]
pub(super) struct Answered {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
}

impl Probe {
    pub(super) fn new(client: Client) -> Self {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let (requests, answers) = (seen.clone(), seen.clone());
        let client = client
            .retry(RetryPolicy::never())
            .on_request(move |request| {
                let mut seen = lock(&requests);
                request.headers_mut().extend(seen.browser.clone());
                let length = request.headers().get(CONTENT_LENGTH);
                let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
                seen.bodies.extend(length.filter(|length| *length > 0));
            })
            .on_response(move |answer| {
                let mut seen = lock(&answers);
                if *answer.method == Method::DELETE && answer.status.is_success() {
                    seen.uploads.retain(|url| url != answer.uri);
                }
                seen.answers.push(Answered {
                    method: answer.method.clone(),
                    uri: answer.uri.clone(),
                    status: answer.status,
                    headers: answer.headers.clone(),
                });
            });
        Self { client, seen }
    }

    /// All answers since the last time.
    pub(super) fn answers(&self) -> Vec<Answered> {
        std::mem::take(&mut lock(&self.seen).answers)
    }

    /// From here on each request has these headers, too.
    pub(super) fn as_browser(&self, headers: HeaderMap) {
        lock(&self.seen).browser = headers;
    }

    /// The latest answer since then.
    pub(super) fn last(&self) -> Option<Answered> {
        self.answers().pop()
    }

    /// Notes where an upload is that was created.
    pub(super) fn on_created(&self) -> impl Fn(&Uri) + Send + Sync + 'static + use<> {
        let seen = self.seen.clone();
        move |url| lock(&seen).uploads.push(url.clone())
    }

    /// Where the latest upload is.
    pub(super) fn upload(&self) -> Option<Uri> {
        lock(&self.seen).uploads.last().cloned()
    }

    /// Removes what is left.
    pub(super) async fn remove_all(&self) {
        let uploads = std::mem::take(&mut lock(&self.seen).uploads);
        for url in uploads {
            // The server may not let us.
            let _ = self.client.terminate(&url).await;
        }
    }

    /// How long the bodies of the requests were to be, since the last time.
    pub(super) fn bodies(&self) -> Vec<u64> {
        std::mem::take(&mut lock(&self.seen).bodies)
    }

    /// How many requests with content there were since then.
    pub(super) fn bodies_so_far(&self) -> usize {
        lock(&self.seen).bodies.len()
    }
}

impl Answered {
    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// Whether all of these stand in a list of names, or `*` does; those that do not.
    pub(super) fn lacks<'n>(&self, list: &str, names: &[&'n str]) -> Vec<&'n str> {
        let values = self.headers.get_all(list);
        let values = values.iter().filter_map(|value| value.to_str().ok());
        let there: Vec<_> = values
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .collect();
        let has = |name: &str| {
            there
                .iter()
                .any(|one| *one == "*" || one.eq_ignore_ascii_case(name))
        };
        names.iter().copied().filter(|name| !has(name)).collect()
    }
}

/// An error of the client, in one line.
pub(super) fn reason(error: tower_tus::client::Error) -> String {
    explain(&error)
}

/// Content that claims to be long, begins, and never goes on.
pub(super) struct Held {
    length: u64,
    /// Bytes that are there to be read.
    given: u64,
    at: u64,
}

impl Held {
    pub(super) fn new(length: u64, given: u64) -> Self {
        Self {
            length,
            given,
            at: 0,
        }
    }
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.given.saturating_sub(self.at);
        if left == 0 {
            return Poll::Pending;
        }
        let count = left.min(buffer.remaining() as u64);
        buffer.initialize_unfilled_to(count as usize).fill(b'.');
        buffer.advance(count as usize);
        self.at += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncSeek for Held {
    fn start_seek(mut self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        let at = match position {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(Ok(self.at))
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
