use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::Value;
use tower::Service;

use super::{Site, wait};

/// A server that is asked for hooks, and keeps what it was sent.
#[derive(Debug)]
pub(crate) struct HookServer {
    site: Site,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// One request that came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What a hook server does with a message.
#[derive(Debug, Clone)]
pub(crate) enum Saying {
    /// This, as `application/json`.
    Json(Value),
    /// This status, with these fields and this body.
    Plain(u16, &'static [(&'static str, &'static str)], String),
    /// Never anything.
    Nothing,
}

impl Saying {
    pub(crate) fn status(status: u16) -> Self {
        Self::Plain(status, &[], String::new())
    }
}

impl HookServer {
    /// Says what `say` makes of each message; its number says which it is, from 1 on.
    pub(crate) fn start(say: impl Fn(usize, &Value) -> Saying + Send + Sync + 'static) -> Self {
        let asked = Arc::default();
        let site = Site::serve(Answering {
            say: Arc::new(say),
            asked: Arc::clone(&asked),
        });
        Self { site, asked }
    }

    /// Says always the same.
    pub(crate) fn saying(saying: Saying) -> Self {
        Self::start(move |_, _| saying.clone())
    }

    pub(crate) fn url(&self) -> http::Uri {
        self.site.client().uri("/hooks?a=b")
    }

    /// What came so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The names of the events so far.
    pub(crate) fn events(&self) -> Vec<String> {
        let asked = self.asked();
        asked.iter().map(|asked| asked.event().to_owned()).collect()
    }

    /// The first message of this event, once it is there.
    pub(crate) async fn first(&self, event: &str) -> Asked {
        wait::until(event, async || {
            self.asked()
                .into_iter()
                .find(|asked| asked.event() == event)
        })
        .await
    }
}

impl Asked {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn event(&self) -> String {
        self.json()["Type"].as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let values: Vec<_> = self.headers.get_all(name).iter().collect();
        assert!(values.len() < 2, "{name}: {values:?}");
        values.first().map(|value| value.to_str().unwrap())
    }
}

type Say = Arc<dyn Fn(usize, &Value) -> Saying + Send + Sync>;

#[derive(Clone)]
struct Answering {
    say: Say,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Service<Request<Incoming>> for Answering {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { Ok(this.answer(request).await) })
    }
}

impl Answering {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        assert_eq!(request.method(), "POST");
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let asked = Asked {
            headers: head.headers,
            body,
        };
        let message = asked.json();
        let number = {
            let mut all = self.asked.lock().unwrap();
            all.push(asked);
            all.len()
        };
        let mut response = Response::builder();
        match (self.say)(number, &message) {
            Saying::Nothing => std::future::pending().await,
            Saying::Json(value) => response
                .header("Content-Type", "application/json")
                .body(value.to_string().into()),
            Saying::Plain(status, headers, body) => {
                for (name, value) in headers {
                    response = response.header(*name, *value);
                }
                response.status(status).body(body.into())
            }
        }
        .unwrap()
    }
}
