use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Request,
    header::{
        CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING,
        UPGRADE, USER_AGENT,
    },
};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy;
use tokio::time::{sleep, timeout};

use super::{Webhook, answer::Answer, failure::Failure, message::Message};
use crate::{hooks::Hook, transport};

pub(super) type Client = legacy::Client<transport::Connector, Full<Bytes>>;

impl Webhook {
    /// Sends a message, again if need be, and gives what the hook server says.
    pub(super) async fn send(&self, message: &Message) -> Result<Answer, Failure> {
        let mut failures = 0;
        loop {
            let answer = match timeout(self.timeout, self.attempt(message)).await {
                Ok(answer) => answer,
                Err(_) => Err(Failure::Timeout(self.timeout)),
            };
            let failure = match answer {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            failures += 1;
            if failures >= self.attempts || !failure.is_transient() {
                return Err(failure);
            }
            let hook = message.hook.name();
            tracing::debug!(hook, id = message.id, failures, %failure, "asking once more");
            sleep(pause(self.backoff, failures, dice())).await;
        }
    }

    async fn attempt(&self, message: &Message) -> Result<Answer, Failure> {
        let asked = self.client.request(self.request(message)).await;
        let (head, body) = asked.map_err(Failure::Connection)?.into_parts();
        if !head.status.is_success() {
            return Err(Failure::Status(head.status));
        }
        let body = Limited::new(body, self.max_answer).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => Failure::TooLong(self.max_answer),
            false => Failure::Interrupted(error),
        });
        let answer = body.and_then(|body| Answer::parse(&head.headers, &body.to_bytes()));
        match message.hook {
            // The status says that they were heard.
            Hook::PostCreate | Hook::PostReceive | Hook::PostFinish | Hook::PostTerminate => {
                Ok(answer.unwrap_or_default())
            }
            _ => answer,
        }
    }

    fn request(&self, message: &Message) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(message.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        for (name, value) in &message.forwarded {
            if !FRAMING.contains(name) {
                headers.append(name, value.clone());
            }
        }
        headers.insert(USER_AGENT, AGENT);
        // One's own in the place of the client's.
        for name in self.headers.keys() {
            headers.remove(name);
        }
        headers.extend(self.headers.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));

        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        let signatures = self.secrets.iter();
        let signatures: Vec<_> = signatures
            .map(|secret| secret.sign(&message.id, now, &message.body))
            .collect();
        headers.insert(TIMESTAMP, now.into());
        for (name, value) in [(ID, message.id.clone()), (SIGNATURE, signatures.join(" "))] {
            headers.remove(&name);
            if let (false, Ok(value)) = (value.is_empty(), HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        }
        request
    }

    /// The longest a call can take: give it to [`hook_timeout`](crate::TusService::hook_timeout), so that the
    /// last attempt is not cut.
    ///
    /// ```
    /// use tower_tus::{TusService, hooks::webhook::Webhook, storage::MemoryStorage};
    ///
    /// let hooks = Webhook::new("http://127.0.0.1:8000/hooks".parse()?)?;
    /// # assert_eq!(hooks.longest().as_secs(), 48);
    /// let tus = TusService::new(MemoryStorage::new())
    ///     .hook_timeout(hooks.longest())
    ///     .hooks(hooks);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn longest(&self) -> Duration {
        let pauses = (1..self.attempts).map(|failures| pause(self.backoff, failures, u32::MAX));
        let working = self.timeout.saturating_mul(self.attempts);
        pauses.fold(working, Duration::saturating_add)
    }
}

/// How long to wait after so many failures: at random between nothing and `backoff`, doubled each time. Many
/// uploads do not come back at the same moment.
fn pause(backoff: Duration, failures: u32, dice: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
    let longest = backoff.saturating_mul(doubled).min(LONGEST_PAUSE);
    longest.mul_f64(f64::from(dice) / f64::from(u32::MAX))
}

fn dice() -> u32 {
    // Without randomness all wait the longest pause, which is no harm.
    getrandom::u32().unwrap_or(u32::MAX)
}

const LONGEST_PAUSE: Duration = Duration::from_secs(60);

const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("tower-tus/", env!("CARGO_PKG_VERSION")));

// Names of Standard Webhooks.
const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// What belongs to the client's connection or message, and not to this one.
const FRAMING: [HeaderName; 8] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn pauses_double_and_are_random() {
        let second = Duration::from_secs(1);
        let longest: Vec<_> = (1..9)
            .map(|failures| pause(second, failures, u32::MAX).as_secs())
            .collect();
        assert_eq!(longest, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause(second, 40, u32::MAX).as_secs(), 60);
        assert_eq!(pause(second, 3, 0), Duration::ZERO);
        assert_eq!(pause(Duration::MAX, 3, u32::MAX).as_secs(), 60);
    }

    #[test]
    fn only_what_may_be_otherwise_the_next_time_is_tried_again() {
        let table = [
            (Failure::Status(StatusCode::INTERNAL_SERVER_ERROR), true),
            (Failure::Status(StatusCode::BAD_GATEWAY), true),
            (Failure::Status(StatusCode::TOO_MANY_REQUESTS), true),
            (Failure::Status(StatusCode::FOUND), false),
            (Failure::Status(StatusCode::FORBIDDEN), false),
            (Failure::Timeout(Duration::ZERO), false),
            (Failure::NotJson, false),
            (Failure::TooLong(1), false),
        ];
        for (failure, transient) in table {
            assert_eq!(failure.is_transient(), transient, "{failure}");
        }
    }
}
