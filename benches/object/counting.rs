//! A connector that counts requests.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use async_trait::async_trait;
use object_store::{
    ClientOptions, Result,
    client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService},
};
use tower_tus::storage::object::Connector;

/// Requests that were sent.
#[derive(Debug, Default)]
pub(crate) struct Counts(AtomicU64);

impl Counts {
    /// All so far.
    pub(crate) fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The connector of this crate, seen through.
#[derive(Debug)]
pub(crate) struct Counting {
    connector: Connector,
    counts: Arc<Counts>,
}

impl Counting {
    pub(crate) fn new(connector: Connector) -> Self {
        Self {
            connector,
            counts: Arc::default(),
        }
    }

    pub(crate) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }
}

impl HttpConnector for Counting {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        Ok(HttpClient::new(Counted {
            client: self.connector.connect(options)?,
            counts: self.counts(),
        }))
    }
}

#[derive(Debug)]
struct Counted {
    client: HttpClient,
    counts: Arc<Counts>,
}

#[async_trait]
impl HttpService for Counted {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.counts.0.fetch_add(1, Relaxed);
        self.client.execute(request).await
    }
}
