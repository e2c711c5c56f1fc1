//! A storage of one's own: files as ever, and beside them the number of bytes that were stored.
//!
//! `cargo run --example custom_storage --features axum,conformance`, and then
//!
//! ```sh
//! curl -i http://127.0.0.1:3000/files -H 'Tus-Resumable: 1.0.0' -H 'Upload-Length: 5' \
//!     -H 'Content-Type: application/offset+octet-stream' --data-binary hello
//! curl http://127.0.0.1:3000/
//! ```
//!
//! With `-- --check` it puts the storage to the test that every storage has to pass. One that keeps bytes by itself is
//! in the guide `guide::storage`.

use std::{
    env,
    error::Error,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use axum::{Router, routing::get};
use bytes::Bytes;
use futures::stream::BoxStream;
use tokio::{net::TcpListener, signal};
use tower_tus::{
    TusService,
    protocol::{Stage, Upload, UploadId, Version},
    storage::{
        AppendMode, Appender, ByteStream, FileStorage, MemoryStorage, Result, Storage, conformance,
    },
};

/// Counts what goes into another storage.
#[derive(Debug)]
struct Counting<S> {
    inner: S,
    stored: Arc<AtomicU64>,
}

/// Whatever has a default is handed on too: the other one may do it better.
#[async_trait]
impl<S: Storage> Storage for Counting<S> {
    async fn append(&self, upload: &Upload, mode: AppendMode) -> Result<Box<dyn Appender>> {
        Ok(Box::new(CountingAppender {
            inner: self.inner.append(upload, mode).await?,
            from: upload.offset,
            stored: Arc::clone(&self.stored),
        }))
    }

    async fn create(&self, upload: &Upload) -> Result<Version> {
        self.inner.create(upload).await
    }

    async fn load(&self, id: &UploadId) -> Result<Upload> {
        self.inner.load(id).await
    }

    async fn update(&self, upload: &Upload) -> Result<Version> {
        self.inner.update(upload).await
    }

    fn recall(&self, id: &UploadId) -> Option<Upload> {
        self.inner.recall(id)
    }

    async fn finish(&self, upload: &Upload) -> Result<()> {
        self.inner.finish(upload).await
    }

    async fn concat(&self, target: &Upload, parts: &[Upload]) -> Result<()> {
        self.inner.concat(target, parts).await
    }

    async fn read(&self, upload: &Upload, range: Range<u64>) -> Result<ByteStream> {
        self.inner.read(upload, range).await
    }

    async fn read_unfinished(&self, upload: &Upload, range: Range<u64>) -> Result<ByteStream> {
        self.inner.read_unfinished(upload, range).await
    }

    async fn signed_url(&self, upload: &Upload, lifetime: Duration) -> Result<Option<String>> {
        self.inner.signed_url(upload, lifetime).await
    }

    async fn delete(&self, id: &UploadId) -> Result<()> {
        self.inner.delete(id).await
    }

    fn list(&self) -> BoxStream<'_, Result<Upload>> {
        self.inner.list()
    }

    fn pending(&self) -> BoxStream<'_, Result<Upload>> {
        self.inner.pending()
    }

    async fn reclaim(&self, before: SystemTime) -> Result<u64> {
        self.inner.reclaim(before).await
    }
}

#[derive(Debug)]
struct CountingAppender {
    inner: Box<dyn Appender>,
    from: u64,
    stored: Arc<AtomicU64>,
}

#[async_trait]
impl Appender for CountingAppender {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.inner.write(data).await
    }

    async fn flush(&mut self) -> Result<()> {
        self.inner.flush().await
    }

    fn visible(&self) -> u64 {
        self.inner.visible()
    }

    async fn commit(self: Box<Self>) -> Result<u64> {
        let offset = self.inner.commit().await?;
        self.stored.fetch_add(offset - self.from, Relaxed);
        Ok(offset)
    }

    async fn commit_and_finish(self: Box<Self>, upload: &Upload) -> Result<(u64, Stage)> {
        let (offset, stage) = self.inner.commit_and_finish(upload).await?;
        self.stored.fetch_add(offset - self.from, Relaxed);
        Ok((offset, stage))
    }

    async fn discard(self: Box<Self>) -> Result<()> {
        self.inner.discard().await
    }
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn Error>> {
    let stored = Arc::<AtomicU64>::default();
    if env::args().any(|argument| argument == "--check") {
        let inner = MemoryStorage::new();
        conformance::all(&Counting { inner, stored }).await;
        println!("it is a storage");
        return Ok(());
    }
    let uploads = env::var("UPLOADS").unwrap_or_else(|_| "./uploads".into());
    let port = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;

    let tus = TusService::new(Counting {
        inner: FileStorage::open(uploads)?,
        stored: Arc::clone(&stored),
    })
    .max_size(8 << 30)
    .expires_after(Duration::from_secs(7 * 24 * 3600));
    let count = move || async move { format!("{} bytes were stored\n", stored.load(Relaxed)) };
    let app = Router::new()
        .route("/", get(count))
        .nest_service("/files", tus.clone());

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let stop = async move {
        asked_to_end().await.expect("signals can be waited for");
        tus.shutdown().await;
    };
    axum::serve(listener, app)
        .with_graceful_shutdown(stop)
        .await?;
    Ok(())
}

/// Waits for Ctrl-C, or for SIGTERM, by which services and containers are stopped.
async fn asked_to_end() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = signal::unix::signal(signal::unix::SignalKind::terminate())?;
        tokio::select! {
            interrupted = signal::ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    signal::ctrl_c().await
}
