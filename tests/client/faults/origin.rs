use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Empty;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tower::ServiceExt;
use tower_tus::{
    TusService,
    storage::{FileStorage, MemoryStorage},
};

use super::proxy::DOUBLE;

/// This crate's server on a socket.
pub(super) struct Origin {
    pub(super) address: SocketAddr,
    pub(super) tus: TusService,
    created: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
    _directory: Option<TempDir>,
}

/// Where the server keeps uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Storage {
    Memory,
    Files,
}

impl Origin {
    pub(super) async fn start(storage: Storage) -> Self {
        let (tus, directory) = match storage {
            Storage::Memory => (TusService::new(MemoryStorage::new()), None),
            Storage::Files => {
                let directory = TempDir::new().unwrap();
                let files = FileStorage::open(directory.path()).unwrap();
                (TusService::new(files), Some(directory))
            }
        };
        let tus = tus.base_path("/files");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let created = Arc::default();
        let task = tokio::spawn(accept(listener, tus.clone(), Arc::clone(&created)));
        Self {
            address,
            tus,
            created,
            task,
            _directory: directory,
        }
    }
}

impl Origin {
    /// The bytes of all uploads that the client created, whether it knows of them or not.
    pub(super) async fn stored(&self) -> u64 {
        let created = self.created.lock().unwrap().clone();
        let mut sum = 0;
        for path in created {
            sum += stored(&self.tus, &path).await.unwrap_or(0);
        }
        sum
    }
}

/// Where an upload stands.
pub(super) async fn stored(tus: &TusService, path: &str) -> Option<u64> {
    let asked = Request::head(path).header("tus-resumable", "1.0.0");
    let asked = asked.body(Empty::<Bytes>::new()).unwrap();
    let answer = tus.clone().oneshot(asked).await.unwrap();
    let offset = answer.headers().get("upload-offset")?;
    offset.to_str().unwrap().parse().ok()
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, tus: TusService, created: Arc<Mutex<Vec<String>>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (tus, created) = (tus.clone(), Arc::clone(&created));
        let service = service_fn(move |request: Request<Incoming>| {
            let (tus, created) = (tus.clone(), Arc::clone(&created));
            async move {
                let headers = request.headers();
                let joins = headers
                    .get("upload-concat")
                    .is_some_and(|value| value.as_bytes().starts_with(b"final"));
                let counts = !joins && !headers.contains_key(DOUBLE);
                let answer = tus.oneshot(request).await?;
                if let Some(location) = answer.headers().get("location").filter(|_| counts) {
                    let url: Uri = location.to_str().unwrap().parse().unwrap();
                    created.lock().unwrap().push(url.path().to_owned());
                }
                Ok::<_, Infallible>(answer)
            }
        });
        tokio::spawn(async move {
            // Connections that break are what this is about.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
