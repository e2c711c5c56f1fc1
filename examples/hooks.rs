//! Hooks: a file is looked at before it counts as uploaded, and moved to where it belongs after that.
//!
//! `cargo run --example hooks --features axum` takes pictures:
//!
//! ```sh
//! curl -i http://127.0.0.1:3000/files -H 'Tus-Resumable: 1.0.0' -H "Upload-Length: $(wc -c < cat.png)" \
//!     -H 'Content-Type: application/offset+octet-stream' --data-binary @cat.png
//! ```
//!
//! is answered with JSON, and the file is in `./library`. Anything else is answered with 415.

use std::{env, error::Error, io::ErrorKind, path::PathBuf, time::Duration};

use async_trait::async_trait;
use axum::{
    Router,
    http::{HeaderValue, header::CONTENT_TYPE},
};
use futures::{StreamExt, TryStreamExt};
use serde_json::json;
use tokio::{
    fs::{self, File},
    io::AsyncReadExt,
    net::TcpListener,
    signal,
};
use tower_tus::{
    TusService,
    hooks::{Finish, Hooks, Notice, Rejection, Undelivered},
    service::Downloads,
    storage::{self, FileStorage},
};

/// Takes pictures, whatever clients say of them.
#[derive(Debug)]
struct Pictures {
    uploads: PathBuf,
    library: PathBuf,
}

#[async_trait]
impl Hooks for Pictures {
    /// An upload that is refused stays as it is, without ever being seen, until it expires. On a disk its bytes can
    /// be read here; in a bucket only once they are under a key, which has to be one that nobody else looks at then.
    async fn pre_finish(&self, finish: &mut Finish<'_>) -> Result<(), Rejection> {
        let first = async {
            let pieces: Vec<_> = finish.read(0..12).await?.try_collect().await?;
            Ok::<_, storage::Error>(pieces.concat())
        };
        let first = first.await.map_err(|_| Rejection::unavailable(5))?;
        let kind = kind(&first).ok_or_else(Rejection::unsupported_media_type)?;
        let upload = finish.upload();
        let body = json!({ "id": upload.id.as_str(), "bytes": upload.offset, "kind": kind });
        let json = HeaderValue::from_static("application/json");
        finish.reply().headers.insert(CONTENT_TYPE, json);
        finish.reply().body = body.to_string().into();
        Ok(())
    }

    /// Told once more if it fails, or if the program crashes meanwhile.
    async fn post_finish(&self, notice: &Notice) -> Result<(), Undelivered> {
        let from = self.uploads.join(notice.upload.key.as_str());
        let moved = async {
            let mut first = Vec::new();
            let file = File::open(&from).await?;
            file.take(12).read_to_end(&mut first).await?;
            let kind = kind(&first).unwrap_or("bin");
            let to = self.library.join(format!("{}.{kind}", notice.upload.id));
            // Both are on one file system: the file is in one place or the other, never half in both.
            fs::rename(&from, to).await
        };
        match moved.await {
            // It was told before.
            Err(error) if error.kind() == ErrorKind::NotFound && !from.exists() => Ok(()),
            moved => moved.map_err(Undelivered::new),
        }
    }
}

/// What the first bytes of a file are those of.
fn kind(first: &[u8]) -> Option<&'static str> {
    match first {
        [0x89, b'P', b'N', b'G', ..] => Some("png"),
        [0xff, 0xd8, 0xff, ..] => Some("jpg"),
        [b'G', b'I', b'F', b'8', ..] => Some("gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P'] => Some("webp"),
        _ => None,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let uploads = PathBuf::from(env::var("UPLOADS").unwrap_or_else(|_| "./uploads".into()));
    let library = PathBuf::from(env::var("LIBRARY").unwrap_or_else(|_| "./library".into()));
    let port = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    fs::create_dir_all(&library).await?;

    let tus = TusService::new(FileStorage::open(&uploads)?)
        .max_size(64 << 20)
        // What was begun, or refused, and is left alone is removed.
        .expires_after(Duration::from_secs(24 * 3600))
        .downloads(Downloads::off())
        .hooks(Pictures { uploads, library });
    let mut events = tus.events();
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => println!("{} {}", event.kind.name(), event.upload.id),
                Err(lagged) => eprintln!("{lagged}"),
            }
        }
    });
    let app = Router::new().nest_service("/files", tus.clone());

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
