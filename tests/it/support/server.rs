use std::{
    fmt, fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;
use tokio::time::timeout;
use tower_tus::{
    TusService,
    storage::{FileStorage, MemoryStorage},
};

use super::{
    Client,
    listen::{Listening, bind},
    wait::DEADLINE,
};

/// Which storage a server stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Memory,
}

/// A [`TusService`] on `/files` of a free port. Stops when it is dropped.
pub(crate) struct Server {
    // Declared before the directory: the server has to end before its files go.
    running: Option<Listening>,
    tus: TusService,
    configure: Arc<dyn Fn(TusService) -> TusService + Send + Sync>,
    listener: TcpListener,
    address: SocketAddr,
    directory: Option<TempDir>,
}

impl Server {
    /// A server with defaults, on files.
    pub(crate) fn file() -> Self {
        Self::start(Kind::File, |tus| tus)
    }

    /// A server with defaults, in memory.
    pub(crate) fn memory() -> Self {
        Self::start(Kind::Memory, |tus| tus)
    }

    /// A server on files, configured.
    pub(crate) fn with(
        configure: impl Fn(TusService) -> TusService + Send + Sync + 'static,
    ) -> Self {
        Self::start(Kind::File, configure)
    }

    /// A server on this storage, configured.
    pub(crate) fn start(
        kind: Kind,
        configure: impl Fn(TusService) -> TusService + Send + Sync + 'static,
    ) -> Self {
        let directory = match kind {
            Kind::File => Some(TempDir::new().expect("a temporary directory")),
            Kind::Memory => None,
        };
        let configure = Arc::new(configure);
        let tus = service(directory.as_ref().map(TempDir::path), &*configure);
        let (listener, address) = bind();
        let running = Some(Listening::start(&listener, tus.clone()));
        Self {
            running,
            tus,
            configure,
            listener,
            address,
            directory,
        }
    }

    /// Sends requests to this server; stays valid over a restart.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// The port of this machine on which it listens.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The service itself, for `sweep`, `recover` and `shutdown`.
    pub(crate) fn tus(&self) -> &TusService {
        &self.tus
    }

    /// Shuts down as a well-behaved process does, and starts a new service on the same files.
    pub(crate) async fn restart(&mut self) {
        timeout(DEADLINE, self.tus.shutdown())
            .await
            .expect("the shutdown ends");
        self.crash();
    }

    /// Drops all work where it stands, and starts a new service on the same files.
    pub(crate) fn crash(&mut self) {
        let root = self.root().to_owned();
        drop(self.running.take());
        self.tus = service(Some(&root), &*self.configure);
        self.running = Some(Listening::start(&self.listener, self.tus.clone()));
    }

    /// The storage's directory; only a server on files has one.
    pub(crate) fn root(&self) -> &Path {
        self.directory.as_ref().expect("a server on files").path()
    }

    /// Every file below the storage's directory, sorted, relative to it; none for one in memory.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        if let Some(directory) = &self.directory {
            collect(directory.path(), directory.path(), &mut files);
        }
        files.sort();
        files
    }

    /// Where a finished upload lies, with the default key.
    pub(crate) fn path_of(&self, url: &str) -> PathBuf {
        self.root()
            .join(url.rsplit('/').next().expect("rsplit gives one piece"))
    }

    /// Fails the test unless the finished upload holds exactly these bytes: as a download, and
    /// on disk.
    pub(crate) async fn assert_stored(&self, url: &str, expected: &[u8]) {
        let response = self.client().get(url).await.expect(200);
        assert_same(&response.body, expected, "downloaded");
        if self.directory.is_some() {
            assert_same(
                &fs::read(self.path_of(url)).expect("a finished file"),
                expected,
                "on disk",
            );
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Runs a test on a server with defaults, once on files and once in memory.
pub(crate) async fn on_each_storage(test: impl AsyncFn(Server, Client)) {
    on_each_storage_with(|tus| tus, test).await;
}

/// Runs a test on a configured server, once on files and once in memory.
pub(crate) async fn on_each_storage_with(
    configure: impl Fn(TusService) -> TusService + Clone + Send + Sync + 'static,
    test: impl AsyncFn(Server, Client),
) {
    for kind in [Kind::File, Kind::Memory] {
        // Shown only if the test fails.
        println!("storage: {kind:?}");
        let server = Server::start(kind, configure.clone());
        let client = server.client();
        test(server, client).await;
    }
}

fn service(root: Option<&Path>, configure: &dyn Fn(TusService) -> TusService) -> TusService {
    let tus = match root {
        Some(root) => TusService::new(FileStorage::open(root).expect("open the storage")),
        None => TusService::new(MemoryStorage::new()),
    };
    configure(tus.base_path("/files"))
}

fn collect(root: &Path, directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a readable directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            files.push(path.strip_prefix(root).expect("below the root").to_owned());
        }
    }
}

/// Like `assert_eq!`, but names the first difference instead of printing megabytes.
#[track_caller]
fn assert_same(actual: &[u8], expected: &[u8], what: &str) {
    if actual != expected {
        let at = actual.iter().zip(expected).position(|(a, b)| a != b);
        let at = at.unwrap_or_else(|| actual.len().min(expected.len()));
        panic!(
            "{what}: {} bytes instead of {}, differing at {at}",
            actual.len(),
            expected.len()
        );
    }
}
