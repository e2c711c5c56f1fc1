use std::{
    error::Error,
    io,
    net::{SocketAddr, TcpListener},
    thread,
    time::Duration,
};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{runtime, sync::oneshot};
use tower::Service;
use tower_tus::TusService;

use super::Front;

/// A service on a real socket: HTTP/1.1 and HTTP/2 with prior knowledge, on a runtime and threads
/// of its own. Stops when it is dropped, without asking anybody.
#[derive(Debug)]
pub(crate) struct Listening {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Listening {
    /// Serves on a copy of `listener`, so that the next server can have the same address.
    pub(crate) fn start<S, B>(listener: &TcpListener, service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        B: http_body::Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        Self::run(listener, |listener, stopped| {
            on_tokio(stopped, accept(listener, service));
        })
    }

    /// Serves uploads on `/files`, by the server that this run is about.
    pub(crate) fn tus(listener: &TcpListener, tus: TusService) -> Self {
        match Front::current() {
            Front::Hyper => Self::start(listener, tus),
            Front::Axum => Self::run(listener, |listener, stopped| {
                on_tokio(stopped, async {
                    axum(listener, tus).await.expect("axum serves");
                });
            }),
            #[cfg(feature = "actix")]
            Front::Actix => Self::actix(listener, move |app| {
                app.service(tower_tus::actix::scope("/files", tus.clone()));
            }),
        }
    }

    /// Serves an application of actix-web: HTTP/1.1 and HTTP/2 with prior knowledge.
    #[cfg(feature = "actix")]
    pub(crate) fn actix(
        listener: &TcpListener,
        configure: impl Fn(&mut actix_web::web::ServiceConfig) + Clone + Send + 'static,
    ) -> Self {
        Self::run(listener, |listener, stopped| {
            actix(listener, configure, stopped).expect("actix-web serves");
        })
    }

    fn run(
        listener: &TcpListener,
        serve: impl FnOnce(TcpListener, oneshot::Receiver<()>) + Send + 'static,
    ) -> Self {
        let listener = listener.try_clone().expect("copy the listener");
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(|| serve(listener, stopped));
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        drop(self.stop.take());
        let thread = self.thread.take().expect("only drop takes the thread");
        if thread.join().is_err() && !thread::panicking() {
            panic!("the server panicked");
        }
    }
}

/// A listener on a free port of this machine.
pub(crate) fn bind() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener
        .set_nonblocking(true)
        .expect("a listener for tokio");
    let address = listener
        .local_addr()
        .expect("a bound listener has an address");
    (listener, address)
}

fn on_tokio(stopped: oneshot::Receiver<()>, serve: impl Future<Output = ()>) {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        tokio::select! {
            () = serve => {}
            _ = stopped => {}
        }
    });
    // Drops every task where it stands, then lets blocking work (a write) end.
    runtime.shutdown_timeout(LET_END);
}

async fn accept<S, B>(listener: TcpListener, service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: http_body::Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener for tokio");
    loop {
        let (stream, _) = listener.accept().await.expect("accept");
        stream.set_nodelay(true).expect("set TCP_NODELAY");
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            // An error here is the peer's doing (a reset, a malformed request): tests look at answers.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn axum(listener: TcpListener, tus: TusService) -> io::Result<()> {
    use axum::serve::ListenerExt;

    let listener = tokio::net::TcpListener::from_std(listener)?
        .tap_io(|stream| stream.set_nodelay(true).expect("set TCP_NODELAY"));
    let app: axum::Router = axum::Router::new().nest_service("/files", tus);
    axum::serve(listener, app).await
}

#[cfg(feature = "actix")]
fn actix(
    listener: TcpListener,
    configure: impl Fn(&mut actix_web::web::ServiceConfig) + Clone + Send + 'static,
    stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    use std::{convert::Infallible, sync::mpsc};

    use actix_web::{App, HttpServer, rt::System};

    // Gone when all connections are, and all tasks of the workers with them.
    let (alive, gone) = mpsc::channel::<Infallible>();
    let app = move || {
        App::new()
            .app_data(alive.clone())
            .configure(configure.clone())
    };
    System::new().block_on(async {
        let server = HttpServer::new(app)
            .workers(2)
            .disable_signals()
            .listen_auto_h2c(listener)?
            .run();
        let handle = server.handle();
        tokio::select! {
            ended = server => ended,
            _ = stopped => {
                drop(handle.stop(false));
                Ok(())
            }
        }
    })?;
    let still = gone.recv_timeout(LET_END);
    assert_eq!(still, Err(mpsc::RecvTimeoutError::Disconnected));
    Ok(())
}

/// How long a server may take to let go.
const LET_END: Duration = Duration::from_secs(10);
