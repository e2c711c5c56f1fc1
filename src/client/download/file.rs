use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

use super::{
    Came, Download, Given, Running,
    part::{self, Out, Target},
};
use crate::client::{Error, error::Kind};

/// Writes everything to `path`: by way of a file beside it, unless it is a pipe or a device.
pub(super) async fn write(download: Download, path: &Path) -> Result<u64, Error> {
    let path = path.to_owned();
    match blocking(move || Target::of(&path)).await? {
        Target::File(path) => replace(download, &path).await,
        Target::Straight(file) => straight(download, file).await,
    }
}

async fn replace(download: Download, path: &Path) -> Result<u64, Error> {
    let mut running = download.running(Given::Kept);
    // The head of the answer says which content it is, and so whether some of it is here already.
    while running.body.is_none() {
        if let Err(error) = running.open().await {
            running.again(error).await?;
        }
    }
    let (out, there) = open(path, named(path, &running), running.content.length).await?;
    let mut gathered = Gathered::new(out, there);
    if there > 0 {
        running.body = None;
        running.offset = there;
        running.most = there;
        running.share.stands(there);
    }
    // All of it is there if the last download ended before it gave the file its name.
    if there == 0 || running.content.length != Some(there) {
        gathered = fill(&mut running, gathered, path).await?;
    }
    let (size, path) = (running.offset, path.to_owned());
    blocking(move || gathered.out.finish(&path, size)).await?;
    Ok(size)
}

async fn fill(
    running: &mut Running,
    mut gathered: Gathered,
    path: &Path,
) -> Result<Gathered, Error> {
    loop {
        match running.next().await {
            Ok(Came::Data(piece)) => gathered = gathered.take(&piece).await?,
            Ok(Came::Anew) => {
                // Its name is that of the content that is void.
                blocking(move || gathered.out.remove()).await?;
                let (out, _) = open(path, named(path, running), None).await?;
                gathered = Gathered::new(out, 0);
            }
            Ok(Came::Nothing) => {}
            Ok(Came::End) => return gathered.flush().await,
            Err(error) => {
                // The next download goes on after it.
                let _ = gathered.flush().await;
                return Err(error);
            }
        }
    }
}

async fn straight(download: Download, file: File) -> Result<u64, Error> {
    let mut running = download.running(Given::Away);
    let mut gathered = Gathered::new(Out::straight(file), 0);
    loop {
        match running.next().await? {
            Came::Data(piece) => gathered = gathered.take(&piece).await?,
            Came::Nothing | Came::Anew => {}
            Came::End => break,
        }
    }
    gathered.flush().await?;
    Ok(running.offset)
}

/// The name of a part of this content, if it has one.
fn named(path: &Path, running: &Running) -> Option<PathBuf> {
    let tag = running.content.strong_tag()?;
    Some(part::beside(path, &running.download.url, tag.as_bytes()))
}

/// The file beside `path`, and what is there already of content of this length.
async fn open(
    path: &Path,
    part: Option<PathBuf>,
    length: Option<u64>,
) -> Result<(Out, u64), Error> {
    let path = path.to_owned();
    let Some(part) = part else {
        return Ok((blocking(move || Out::fresh(&path)).await?, 0));
    };
    let end = Instant::now() + PATIENCE;
    loop {
        let (path, part) = (path.clone(), part.clone());
        match blocking(move || Out::part(&path, part, length)).await? {
            Some(opened) => return Ok(opened),
            None if Instant::now() < end => sleep(PATIENCE / 20).await,
            None => {
                let busy = "another download of the same content to the same file is at work";
                return Err(failed(io::Error::new(io::ErrorKind::ResourceBusy, busy)));
            }
        }
    }
}

/// A file, and bytes that are yet to be written to it: each write is a way to another thread.
struct Gathered {
    out: Out,
    /// Where they belong.
    at: u64,
    bytes: BytesMut,
    since: Instant,
}

impl Gathered {
    fn new(out: Out, at: u64) -> Self {
        Self {
            out,
            at,
            bytes: BytesMut::new(),
            since: Instant::now(),
        }
    }

    async fn take(mut self, piece: &[u8]) -> Result<Self, Error> {
        self.bytes.extend_from_slice(piece);
        match self.bytes.len() >= ENOUGH || self.since.elapsed() >= LONG {
            true => self.flush().await,
            false => Ok(self),
        }
    }

    async fn flush(mut self) -> Result<Self, Error> {
        // Whoever is dropped meanwhile has the file locked until this is written.
        blocking(move || {
            self.out.write(self.at, &self.bytes)?;
            self.at += self.bytes.len() as u64;
            self.bytes.clear();
            self.since = Instant::now();
            Ok(self)
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let done = spawn_blocking(work).await;
    done.map_err(io::Error::other).flatten().map_err(failed)
}

fn failed(error: io::Error) -> Error {
    Error::new(Kind::Target).because(error)
}

/// So many bytes are written at once.
const ENOUGH: usize = 256 << 10;

/// Fewer are written if they came slowly: what is in memory only is lost with the process.
const LONG: Duration = Duration::from_secs(1);

/// How long to wait for the last write of a download that was dropped.
const PATIENCE: Duration = Duration::from_secs(1);
