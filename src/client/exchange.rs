//! One request and its answer, redirects included.

use std::{
    pin::pin,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri,
    header::{CONTENT_LENGTH, LOCATION, RETRY_AFTER, USER_AGENT},
};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use tokio::time::{Instant, sleep, timeout};
use tower::BoxError;

use super::{
    Answer, Body, Client, Error,
    body::{BodySender, Pulse},
    config::{Config, Login, Methods, RequestIds},
    error::{Kind, Refusal},
    reason::reason,
    transport::Answered,
    uri::{Shown, is_downgrade, is_web, resolve},
};
use crate::protocol::header::{TUS_RESUMABLE, X_HTTP_METHOD_OVERRIDE};

/// What is asked of a server.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Without userinfo.
    pub(crate) uri: Uri,
    /// The operation's own; they are above the user's.
    pub(crate) headers: HeaderMap,
    /// What the URL had.
    login: Option<Login>,
}

impl Call {
    pub(crate) fn new(method: Method, uri: &Uri) -> Self {
        let (login, uri) = Login::split(uri);
        Self {
            method,
            uri,
            headers: HeaderMap::new(),
            login,
        }
    }

    pub(crate) fn with(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.insert(name, value.into());
        self
    }
}

/// The content of a request, which can be sent again: a redirect asks for it.
#[async_trait]
pub(crate) trait Outgoing: Send {
    /// How many bytes; `None` if a trailer follows them.
    fn length(&self) -> Option<u64>;

    /// Sends everything from the beginning. Ends early without an error if nobody reads any more.
    async fn send(&mut self, to: &BodySender) -> Result<(), Error>;
}

/// A request without content.
pub(crate) struct Nothing;

#[async_trait]
impl Outgoing for Nothing {
    fn length(&self) -> Option<u64> {
        Some(0)
    }

    async fn send(&mut self, _: &BodySender) -> Result<(), Error> {
        Ok(())
    }
}

/// A successful answer without its content, and the URL that gave it.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) uri: Uri,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}

impl Client {
    /// Asks without content.
    pub(crate) async fn ask(&self, call: Call) -> Result<Head, Error> {
        self.exchange(call, &mut Nothing).await
    }

    /// Asks with `content`. An answer that is no success is an error.
    ///
    /// Dropping the future ends the request: the server keeps what it got.
    pub(crate) async fn exchange(
        &self,
        call: Call,
        content: &mut dyn Outgoing,
    ) -> Result<Head, Error> {
        let (uri, answer) = self.open(call, content).await?;
        let (head, body) = answer.into_parts();
        // So that the connection can be used again.
        rest(body).await;
        Ok(Head {
            uri,
            status: head.status,
            headers: head.headers,
        })
    }

    /// As [`exchange`](Self::exchange), with the answer's body still to be read.
    pub(crate) async fn open(
        &self,
        mut call: Call,
        content: &mut dyn Outgoing,
    ) -> Result<(Uri, Answered), Error> {
        if !is_web(&call.uri) {
            return Err(Error::setting(
                "the URL has to be absolute, and start with http:// or https://",
            ));
        }
        for _ in 0..=REDIRECTS {
            let answer = self.once(&call, content).await?;
            match redirect(&call, &answer)? {
                None => return Ok((call.uri, answer)),
                Some(next) => {
                    tracing::debug!(from = %Shown(&call.uri), to = %Shown(&next), "redirected");
                    call.uri = next;
                }
            }
        }
        Err(Error::protocol(format!(
            "redirects more than {REDIRECTS} times"
        )))
    }

    /// One request. The answer is a success or a redirect.
    async fn once(&self, call: &Call, content: &mut dyn Outgoing) -> Result<Answered, Error> {
        let config = self.config();
        let transport = self.transport().await?;
        let head = head(config, call, content.length()).await?;
        let (sender, body) = Body::channel(content.length());
        let started = Instant::now();
        let answer = transport.send(head.map(|()| body));
        let waiting = wait(config, sender.pulse(), content.send(&sender), answer);
        let answer = waiting.await?;
        let status = answer.status();
        tracing::debug!(
            method = %call.method,
            url = %Shown(&call.uri),
            status = status.as_u16(),
            "answered"
        );
        if let Some(observe) = &config.on_response {
            observe(&Answer {
                method: &call.method,
                uri: &call.uri,
                status,
                headers: answer.headers(),
                elapsed: started.elapsed(),
            });
        }
        match status.is_success() || status.is_redirection() {
            true => Ok(answer),
            // The sender lives until the answer is read: its end cuts the connection.
            false => Err(refusal(answer).await),
        }
    }
}

/// The head of a request: defaults, above them the user's, above them the operation's.
async fn head(config: &Config, call: &Call, length: Option<u64>) -> Result<Request<()>, Error> {
    let mut request = Request::new(());
    *request.uri_mut() = call.uri.clone();
    *request.method_mut() = call.method.clone();
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, AGENT);
    // tus 1.0.0, "Tus-Resumable": in every request but OPTIONS. GET is none of the protocol's.
    if call.method != Method::OPTIONS && call.method != Method::GET {
        headers.insert(TUS_RESUMABLE, HeaderValue::from_static("1.0.0"));
    }
    if config.request_ids == RequestIds::Random {
        headers.insert(X_REQUEST_ID, random_id());
    }
    let own = config.user_headers(&call.uri).await;
    let own = own.map_err(|error| Error::new(Kind::Headers).because(error))?;
    headers.extend(own);
    for login in call.login.iter().chain(&config.logins) {
        login.add(&call.uri, headers);
    }
    headers.extend(call.headers.clone());
    if let Some(length) = length
        && [Method::POST, Method::PATCH].contains(&call.method)
    {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    if config.methods == Methods::Overridden
        && let Ok(method) = HeaderValue::from_str(call.method.as_str())
        && [Method::PATCH, Method::DELETE].contains(&call.method)
    {
        headers.insert(X_HTTP_METHOD_OVERRIDE, method);
        *request.method_mut() = Method::POST;
    }
    if let Some(observe) = &config.on_request {
        observe(&mut request);
    }
    Ok(request)
}

/// Sends and waits for the answer, whichever comes first; in time.
async fn wait(
    config: &Config,
    pulse: &Pulse,
    sending: impl Future<Output = Result<(), Error>>,
    answer: impl Future<Output = Result<Answered, Error>>,
) -> Result<Answered, Error> {
    let mut sending = pin!(sending);
    let mut answer = pin!(answer);
    let mut limit = config.stall_timeout;
    let mut all_sent = false;
    loop {
        let before = pulse.count();
        let silence = sleep(limit);
        tokio::select! {
            // An answer is worth more than a body that can no longer be sent.
            biased;
            answer = &mut answer => return answer,
            sent = &mut sending, if !all_sent => {
                sent?;
                all_sent = true;
                limit = config.answer_timeout;
            }
            () = silence => {
                if pulse.count() == before {
                    return Err(Error::new(Kind::Stalled(limit)));
                }
            }
        }
    }
}

/// Where to ask instead.
fn redirect(call: &Call, answer: &Answered) -> Result<Option<Uri>, Error> {
    let status = answer.status();
    let keeps_method = match status.as_u16() {
        307 | 308 => true,
        301 | 302 => false,
        303 => false,
        300..400 => return Err(refused(status, answer.headers(), String::new())),
        _ => return Ok(None),
    };
    let reads = [Method::HEAD, Method::GET, Method::OPTIONS].contains(&call.method);
    if !keeps_method && !reads {
        // Everybody else makes a GET of it.
        return Err(Error::protocol(format!(
            "redirects a {} with {status}, which would lose its content: use the URL it names",
            call.method
        )));
    }
    let location = answer.headers().get(LOCATION);
    let next = location
        .and_then(|location| location.to_str().ok())
        .and_then(|location| resolve(&call.uri, location))
        .ok_or_else(|| Error::protocol("redirects to no URL"))?;
    if is_downgrade(&call.uri, &next) {
        return Err(Error::protocol("redirects from https to http"));
    }
    Ok(Some(next))
}

/// The error of an answer that is no success, with what it says.
async fn refusal(answer: Answered) -> Error {
    let (head, body) = answer.into_parts();
    let text = reason(&head.headers, &rest(body).await);
    refused(head.status, &head.headers, text)
}

/// What comes of an answer's body, within limits of size and time.
async fn rest(mut body: UnsyncBoxBody<Bytes, BoxError>) -> BytesMut {
    let mut text = BytesMut::new();
    let read = async {
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(data) = frame.into_data() {
                text.extend_from_slice(&data);
            }
            if text.len() > DRAINED {
                break;
            }
        }
    };
    let _ = timeout(DRAIN_TIME, read).await;
    text
}

fn refused(status: StatusCode, headers: &HeaderMap, text: String) -> Error {
    Error::new(Kind::Status(Refusal {
        status,
        retry_after: retry_after(headers, SystemTime::now()),
        text,
    }))
}

/// RFC 9110, section 10.2.3: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// 128 random bits as a UUID of version 4; without randomness the nil one.
fn random_id() -> HeaderValue {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_ok() {
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
    }
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    HeaderValue::try_from(text).expect("hex digits are visible ASCII")
}

const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("tower-tus/", env!("CARGO_PKG_VERSION")));
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// As browsers, and far more than any server needs.
const REDIRECTS: usize = 10;

/// What is read of an answer that nobody asked for, and how long.
const DRAINED: usize = 64 << 10;
const DRAIN_TIME: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, expected) in [
            ("120", Some(120)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
            let waited = retry_after(&headers, now);
            assert_eq!(waited, expected.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn ids_are_random_and_of_version_4() {
        let (a, b) = (random_id(), random_id());
        assert_ne!(a, b);
        assert_eq!((a.len(), a.as_bytes()[14]), (36, b'4'));
    }
}
