use std::{
    env,
    io::{self, Write},
    sync::Once,
    time::Duration,
};

use http::Uri;
use tempfile::NamedTempFile;
use tower_tus::{
    client::{Client, Proxy, RetryPolicy, Uploaded},
    protocol::Extension,
};

/// A foreign server that `run` has started: `TUS_TEST_<NAME>` in the environment is its endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) endpoint: Uri,
}

/// Has each function as a test of each server.
macro_rules! on_each_server {
    ($($case:ident),* $(,)?) => {
        on_each_server!(@ tusd "TUSD": $($case),*);
        on_each_server!(@ node "NODE": $($case),*);
        on_each_server!(@ python "PYTHON": $($case),*);
    };
    (@ $server:ident $name:literal: $($case:ident),*) => {
        mod $server {
            $(
                #[tokio::test]
                async fn $case() {
                    if let Some(server) = crate::server::Server::find($name) {
                        super::$case(server).await;
                    }
                }
            )*
        }
    };
}
pub(crate) use on_each_server;

impl Server {
    /// `None` if it is not there, which was said loudly.
    pub(crate) fn find(name: &'static str) -> Option<Self> {
        static NONE: Once = Once::new();
        if env::var_os(SERVERS).is_none() {
            NONE.call_once(|| {
                // Past the capture of the test harness.
                let _ = writeln!(
                    io::stderr(),
                    "\nSKIPPED: the client's tests on foreign servers because none is here: \
                     `bash tests/client_interop/run` starts them"
                );
            });
            return None;
        }
        let endpoint = env::var(format!("TUS_TEST_{name}")).ok()?;
        Some(Self {
            name,
            endpoint: endpoint.parse().unwrap(),
        })
    }

    pub(crate) fn client(&self) -> Client {
        client(self.endpoint.clone())
    }

    /// Whether the server says that it can do this; where not, the test has nothing to find out.
    pub(crate) async fn offers(&self, extension: Extension) -> bool {
        self.client().options().await.unwrap().offers(extension)
    }

    /// What was uploaded is what the server has.
    pub(crate) async fn has(&self, uploaded: &Uploaded, content: &[u8]) {
        assert_eq!(uploaded.size(), content.len() as u64);
        self.has_at(uploaded.url(), content).await;
    }

    pub(crate) async fn has_at(&self, url: &Uri, content: &[u8]) {
        let info = self.client().inspect(url).await.unwrap();
        assert!(info.is_complete(), "{info:?}");
        let found = self.client().download(url).bytes(1 << 30).await.unwrap();
        assert!(found == content, "{} bytes of something else", found.len());
    }
}

/// Quick to try again.
pub(crate) fn client(endpoint: Uri) -> Client {
    let policy = RetryPolicy::default()
        .first_pause(Duration::from_millis(5))
        .max_pause(Duration::from_millis(100));
    Client::new(endpoint).proxy(Proxy::none()).retry(policy)
}

/// Bytes without a period that a mistake could hide behind.
pub(crate) fn content(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

pub(crate) fn file(content: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    file
}

pub(crate) const MIB: usize = 1 << 20;

/// Set by `run`, which tells itself what is missing.
const SERVERS: &str = "TUS_TEST_SERVERS";
