//! The child process: a `TusService` on a port of the system's choice, and other ways into the same store on request.
//!
//! It reads a command per line and answers with a line of figures, until its parent is gone.

use std::{
    io::{self, BufRead},
    net::Ipv4Addr,
    sync::Arc,
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart, path::Path};
use tokio::{net::TcpListener, runtime::Runtime, task::JoinSet};
use tower_tus::{
    TusService,
    protocol::{Length, Upload, UploadId},
    storage::{AppendMode, ObjectStorage, Storage},
};

use crate::{
    latency::Latencies,
    options::{IN_FLIGHT, PART, Settings},
    store::Client,
};

pub(crate) fn serve(settings: &Settings) -> io::Result<()> {
    let runtime = Runtime::new()?;
    let client = Client::from_env()?;
    let prefix = format!("bench-{}", std::process::id());
    let storage = ObjectStorage::new(client.bucket.clone())
        .prefix(&prefix)
        .part_size(PART)
        .parts_in_flight(IN_FLIGHT)
        .memory(settings.memory);
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    println!("{}", listener.local_addr()?.port());
    runtime.spawn(tower_tus(listener, storage.clone()));

    let worker = Arc::new(Worker {
        client,
        storage,
        prefix: Path::from(prefix),
        block: block(),
    });
    for line in io::stdin().lock().lines() {
        let worker = Arc::clone(&worker);
        // On a thread of the runtime, where a service runs as well.
        let done = runtime.spawn(async move { worker.run(&line?).await });
        match runtime.block_on(done).map_err(io::Error::other)? {
            Ok(figures) => {
                let figures: Vec<_> = figures.iter().map(f64::to_string).collect();
                println!("{}", figures.join(" "));
            }
            Err(error) => println!("failed: {error:?}"),
        }
    }
    Ok(())
}

async fn tower_tus(listener: TcpListener, storage: ObjectStorage) -> io::Result<()> {
    let service = TowerToHyperService::new(TusService::new(storage).base_path("/files"));
    let server = auto::Builder::new(TokioExecutor::new());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (server, service) = (server.clone(), service.clone());
        tokio::spawn(async move {
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

struct Worker {
    client: Client,
    storage: ObjectStorage,
    prefix: Path,
    block: Bytes,
}

/// How a body reaches `WriteMultipart`.
enum Feed {
    /// By reference: it copies.
    Write,
    /// By value: it does not.
    Put,
}

impl Worker {
    async fn run(&self, command: &str) -> io::Result<Vec<f64>> {
        let words: Vec<_> = command.split(' ').collect();
        let number = |at: usize| {
            let word: Option<u64> = words.get(at).and_then(|word| word.parse().ok());
            word.ok_or_else(|| io::Error::other(format!("{command}: no number")))
        };
        let began = Instant::now();
        match words[0] {
            "requests" => return Ok(vec![self.client.counts.value() as f64]),
            "write" => self.multipart(number(1)?, Feed::Write).await?,
            "put" => self.multipart(number(1)?, Feed::Put).await?,
            "storage" => self.append(number(1)?).await?,
            "puts" => return self.puts(number(1)?, number(2)?, number(3)?).await,
            "clean" => self.clean().await?,
            _ => return Err(io::Error::other(format!("{command}: unknown"))),
        }
        Ok(vec![began.elapsed().as_secs_f64()])
    }

    /// One object, by `WriteMultipart`.
    async fn multipart(&self, size: u64, feed: Feed) -> io::Result<()> {
        let path = self.prefix.clone().join("multipart");
        let upload = self.client.store.put_multipart(&path).await?;
        let part = usize::try_from(PART).map_err(io::Error::other)?;
        let mut write = WriteMultipart::new_with_chunk_size(upload, part);
        for piece in self.pieces(size) {
            write.wait_for_capacity(IN_FLIGHT).await?;
            match feed {
                Feed::Write => write.write(&piece),
                Feed::Put => write.put(piece),
            }
        }
        write.finish().await?;
        Ok(())
    }

    /// One upload, past HTTP.
    async fn append(&self, size: u64) -> io::Result<()> {
        let id = UploadId::from_random(u128::from(getrandom::u64()?));
        let mut upload = Upload::new(id, Length::Known(size), SystemTime::now());
        upload.version = self
            .storage
            .create(&upload)
            .await
            .map_err(io::Error::other)?;
        let appender = self.storage.append(&upload, AppendMode::Streaming).await;
        let mut appender = appender.map_err(io::Error::other)?;
        for piece in self.pieces(size) {
            appender.write(piece).await.map_err(io::Error::other)?;
        }
        let stored = appender.commit_and_finish(&upload).await;
        let (offset, _) = stored.map_err(io::Error::other)?;
        match offset == size {
            true => Ok(()),
            false => Err(io::Error::other(format!("{offset} of {size} bytes"))),
        }
    }

    /// Small objects, each connection one after the other. Milliseconds.
    async fn puts(&self, count: u64, connections: u64, size: u64) -> io::Result<Vec<f64>> {
        let size = usize::try_from(size).map_err(io::Error::other)?;
        let mut tasks = JoinSet::new();
        for connection in 0..connections {
            let store = Arc::clone(&self.client.store);
            let payload = PutPayload::from(self.block.slice(..size));
            let path = self.prefix.clone().join(format!("put-{connection}"));
            tasks.spawn(async move {
                let mut latencies = Latencies::default();
                for _ in 0..count {
                    let began = Instant::now();
                    store.put(&path, payload.clone()).await?;
                    latencies.add(began.elapsed());
                }
                Ok::<_, io::Error>(latencies)
            });
        }
        let mut all = Latencies::default();
        while let Some(latencies) = tasks.join_next().await {
            all.extend(latencies.map_err(io::Error::other)??);
        }
        Ok(all.figures())
    }

    /// Removes everything.
    async fn clean(&self) -> io::Result<()> {
        let store = &self.client.store;
        let objects: Vec<_> = store.list(Some(&self.prefix)).try_collect().await?;
        let removed = futures::stream::iter(objects)
            .map(|object| async move { store.delete(&object.location).await })
            .buffer_unordered(IN_FLIGHT);
        removed.try_collect::<Vec<_>>().await?;
        Ok(())
    }

    /// A body as it arrives from a connection that is fast.
    fn pieces(&self, size: u64) -> impl Iterator<Item = Bytes> + use<> {
        let block = self.block.clone();
        let length = block.len() as u64;
        (0..size.div_ceil(length)).map(move |number| {
            let left = size - number * length;
            let end = usize::try_from(left.min(length)).expect("no longer than the block");
            block.slice(..end)
        })
    }
}

/// The same bytes again and again.
fn block() -> Bytes {
    const SIZE: usize = 256 << 10;
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(SIZE / 8).flatten().collect()
}
