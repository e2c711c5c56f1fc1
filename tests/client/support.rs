use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::{Request, Response, StatusCode, Uri};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tower::{BoxError, ServiceExt};
use tower_tus::{
    TusService,
    client::{Client, Proxy, RetryPolicy},
    storage::MemoryStorage,
};

pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

/// What is done with a request instead of serving it; `None` serves it.
type Intercept = dyn Fn(&Seen, usize) -> Option<Instead> + Send + Sync;

/// What happens to a request.
#[derive(Debug, Clone)]
pub(crate) enum Instead {
    /// It is refused without being served.
    Status(u16),
    /// It is answered so.
    Answer(u16, Vec<(&'static str, String)>),
    /// It is served, and the connection ends instead of an answer.
    LoseAnswer,
    /// So many bytes of its body are served, then the connection ends.
    CutAfter(u64),
    /// It is served, and the answer ends after so many bytes.
    CutAnswer(u64),
    /// It is served, and the answer stands still after so many bytes.
    StallAnswer(u64),
    /// It is served, and answered so much later.
    Late(Duration),
    /// It is served without the trailers of its body.
    DropTrailers,
    /// Nothing, ever.
    Silence,
}

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: http::HeaderMap,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str().unwrap());
        value.unwrap_or("")
    }
}

/// A [`TusService`] in memory on a real socket, whose requests are seen and can be disturbed.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) tus: TusService,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(|tus| tus, |_, _| None).await
    }

    /// `intercept` is asked about each request, with its number from 0.
    pub(crate) async fn disturbed(
        intercept: impl Fn(&Seen, usize) -> Option<Instead> + Send + Sync + 'static,
    ) -> Self {
        Self::with(|tus| tus, intercept).await
    }

    pub(crate) async fn with(
        configure: impl FnOnce(TusService) -> TusService,
        intercept: impl Fn(&Seen, usize) -> Option<Instead> + Send + Sync + 'static,
    ) -> Self {
        let tus = configure(TusService::new(MemoryStorage::new()).base_path("/files"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(accept(
            listener,
            tus.clone(),
            seen.clone(),
            Arc::new(intercept),
        ));
        Self {
            address,
            tus,
            seen,
            task,
        }
    }

    pub(crate) fn endpoint(&self) -> Uri {
        format!("http://{}/files", self.address).parse().unwrap()
    }

    /// A client that is quick to try again.
    pub(crate) fn client(&self) -> Client {
        quick(Client::new(self.endpoint()).proxy(Proxy::none()))
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The methods of all requests so far.
    pub(crate) fn methods(&self) -> String {
        let methods: Vec<_> = self.seen().into_iter().map(|seen| seen.method).collect();
        methods.join(" ")
    }

    /// The content of a finished upload.
    pub(crate) async fn content(&self, url: &Uri) -> Vec<u8> {
        content_of(&self.tus, url).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client that is quick to try again.
pub(crate) fn quick(client: Client) -> Client {
    let policy = RetryPolicy::default()
        .first_pause(Duration::from_millis(1))
        .max_pause(Duration::from_millis(10));
    client.retry(policy)
}

/// The content of a finished upload, from the service itself.
pub(crate) async fn content_of(tus: &TusService, url: &Uri) -> Vec<u8> {
    let request = Request::get(url.path())
        .body(http_body_util::Empty::<Bytes>::new())
        .unwrap();
    let answer = tus.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes()
        .to_vec()
}

/// Bytes without a period that a mistake could hide behind.
pub(crate) fn bytes(length: usize) -> Vec<u8> {
    let mut random = Random::new(length as u64);
    (0..length).map(|_| random.next() as u8).collect()
}

/// Numbers that are the same in each run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        // Seeds that differ little begin alike.
        for _ in 0..8 {
            random.next();
        }
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

async fn accept(
    listener: TcpListener,
    tus: TusService,
    seen: Arc<Mutex<Vec<Seen>>>,
    intercept: Arc<Intercept>,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (tus, seen, intercept) = (tus.clone(), seen.clone(), intercept.clone());
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                serve(tus.clone(), seen.clone(), intercept.clone(), request)
            });
            // An error of the service cuts the connection, which is what it is for.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn serve(
    tus: TusService,
    seen: Arc<Mutex<Vec<Seen>>>,
    intercept: Arc<Intercept>,
    request: Request<Incoming>,
) -> Result<Answer, BoxError> {
    let this = Seen {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        headers: request.headers().clone(),
    };
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(this.clone());
        seen.len() - 1
    };
    match intercept(&this, number) {
        None => Ok(answer(tus.oneshot(request).await)),
        Some(Instead::Status(code)) => Ok(plain(code)),
        Some(Instead::Answer(code, fields)) => {
            let mut answer = plain(code);
            for (name, value) in fields {
                answer.headers_mut().insert(name, value.parse().unwrap());
            }
            Ok(answer)
        }
        Some(Instead::LoseAnswer) => {
            let answer = answer(tus.oneshot(request).await);
            let _ = answer.into_body().collect().await;
            Err("the answer is lost".into())
        }
        Some(Instead::Late(time)) => {
            let answer = answer(tus.oneshot(request).await);
            tokio::time::sleep(time).await;
            Ok(answer)
        }
        Some(Instead::DropTrailers) => {
            let request = request.map(|body| {
                let data = body.into_data_stream();
                StreamBody::new(data.map(|data| data.map(Frame::data)))
            });
            Ok(answer(tus.oneshot(request).await))
        }
        Some(Instead::CutAfter(bytes)) => {
            let request = request.map(|body| StreamBody::new(cut_after(bytes, body)));
            let _ = answer(tus.oneshot(request).await);
            Err("the connection is cut".into())
        }
        Some(Instead::CutAnswer(bytes)) => {
            let answer = answer(tus.oneshot(request).await);
            Ok(answer.map(|body| {
                let body = cut_after(bytes, body);
                BodyExt::boxed_unsync(StreamBody::new(body))
            }))
        }
        Some(Instead::StallAnswer(bytes)) => {
            let answer = answer(tus.oneshot(request).await);
            Ok(answer.map(|body| {
                let cut =
                    cut_after(bytes, body).filter_map(|frame| async move { frame.ok().map(Ok) });
                let body = Box::pin(cut.chain(stream::pending()));
                BodyExt::boxed_unsync(StreamBody::new(body))
            }))
        }
        Some(Instead::Silence) => std::future::pending().await,
    }
}

/// So many bytes of the body, then an error.
fn cut_after<B>(bytes: u64, body: B) -> impl Stream<Item = Result<Frame<Bytes>, BoxError>> + Send
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let state = (body.into_data_stream(), bytes);
    stream::try_unfold(state, |(mut frames, left)| async move {
        if left == 0 {
            return Err(BoxError::from("cut"));
        }
        let Some(frame) = frames.next().await else {
            return Ok(None);
        };
        let mut frame = frame.map_err(Into::into)?;
        frame.truncate(usize::try_from(left)?);
        let left = left - frame.len() as u64;
        Ok(Some((Frame::data(frame), (frames, left))))
    })
}

fn answer(answer: Result<Response<tower_tus::TusBody>, Infallible>) -> Answer {
    answer.unwrap().map(BodyExt::boxed_unsync)
}

fn plain(code: u16) -> Answer {
    let body = http_body_util::Empty::new().map_err(|never| match never {});
    let mut answer = Response::new(body.boxed_unsync());
    *answer.status_mut() = StatusCode::from_u16(code).unwrap();
    answer
}
