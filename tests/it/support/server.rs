use std::{
    fmt,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::time::timeout;
use tower_tus::TusService;

use super::{
    Client, Kind, Place, Site,
    listen::{Listening, bind},
    place::key_of,
    wait::DEADLINE,
};

/// A [`TusService`] on `/files` of a free port. Stops when it is dropped.
pub(crate) struct Server {
    // Declared before the place: the server has to end before its files go.
    running: Option<Listening>,
    tus: TusService,
    configure: Arc<dyn Fn(TusService) -> TusService + Send + Sync>,
    listener: TcpListener,
    address: SocketAddr,
    place: Place,
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
        let place = Place::new(kind);
        let configure = Arc::new(configure);
        let tus = configure(place.service());
        let (listener, address) = bind();
        let running = Some(Listening::tus(&listener, tus.clone()));
        Self {
            running,
            tus,
            configure,
            listener,
            address,
            place,
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

    /// Shuts down as a well-behaved process does, and starts a new service in the same place.
    pub(crate) async fn restart(&mut self) {
        timeout(DEADLINE, self.tus.shutdown())
            .await
            .expect("the shutdown ends");
        self.crash();
    }

    /// Drops all work where it stands, and starts a new service in the same place.
    pub(crate) fn crash(&mut self) {
        drop(self.running.take());
        self.tus = (self.configure)(self.place.service());
        self.running = Some(Listening::tus(&self.listener, self.tus.clone()));
    }

    /// The storage's directory; only a server on files has one.
    pub(crate) fn root(&self) -> &Path {
        self.place.root()
    }

    /// Another service at work in the same place.
    pub(crate) fn another_node(&self) -> Site {
        Site::tus((self.configure)(self.place.service()))
    }

    /// Everything that is stored, sorted, relative to the root; nothing for one in memory.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.place.files()
    }

    /// Where a finished upload lies on disk, with the default key.
    pub(crate) fn path_of(&self, url: &str) -> PathBuf {
        self.root().join(key_of(url))
    }

    /// Fails the test unless the finished upload holds exactly these bytes: as a download, and
    /// where it is stored.
    pub(crate) async fn assert_stored(&self, url: &str, expected: &[u8]) {
        let response = self.client().get(url).await.expect(200);
        assert_same(&response.body, expected, "downloaded");
        if let Some(stored) = self.place.stored(url) {
            assert_same(&stored, expected, "stored");
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

/// Runs a test on a server with defaults, once on each storage.
pub(crate) async fn on_each_storage(test: impl AsyncFn(Server, Client)) {
    on_each_storage_with(|tus| tus, test).await;
}

/// Runs a test on a configured server, once on each storage.
pub(crate) async fn on_each_storage_with(
    configure: impl Fn(TusService) -> TusService + Clone + Send + Sync + 'static,
    test: impl AsyncFn(Server, Client),
) {
    for kind in Kind::ALL {
        // Shown only if the test fails.
        println!("storage: {kind:?}");
        let server = Server::start(kind, configure.clone());
        let client = server.client();
        test(server, client).await;
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
