use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use super::{Came, Download, Given, Running};
use crate::client::{Error, error::Kind};

/// Writes everything to `path` by way of a file beside it.
pub(super) async fn write(download: Download, path: &Path) -> Result<u64, Error> {
    let mut running = download.running(Given::Kept);
    // The head of the answer says which content it is, and so whether some of it is here already.
    while running.body.is_none() {
        if let Err(error) = running.open().await {
            running.again(error).await?;
        }
    }
    let mut part = beside(path, &running);
    let (mut file, there) = open(part.clone(), running.content.length).await?;
    if there > 0 {
        running.body = None;
        running.offset = there;
        running.most = there;
        running.share.stands(there);
    }
    loop {
        match running.next().await? {
            Came::Data(piece) => file = append(file, piece).await?,
            Came::Anew => {
                // Its name is that of the content that is void.
                remove(file, part).await?;
                part = beside(path, &running);
                (file, _) = open(part.clone(), None).await?;
            }
            Came::Nothing => {}
            Came::End => break,
        }
    }
    let (size, path) = (running.offset, path.to_owned());
    let done = spawn_blocking(move || {
        file.sync_all()?;
        fs::rename(&part, &path)
    });
    blocking(done.await)?;
    Ok(size)
}

/// The name until the file is whole: of this content, so that no other is ever continued.
fn beside(path: &Path, running: &Running) -> PathBuf {
    let mut hash = Sha256::new();
    hash.update(running.download.url.path());
    let tag = running.content.strong_tag();
    if let Some(tag) = tag {
        hash.update(tag);
    }
    let digest = hash.finalize();
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    for byte in &digest[..8] {
        name.push(format!("{byte:02x}"));
    }
    name.push(if tag.is_some() { ".part" } else { ".new" });
    path.with_file_name(name)
}

/// The file with what is there already of a content of this length.
async fn open(part: PathBuf, length: Option<u64>) -> Result<(File, u64), Error> {
    let opened = spawn_blocking(move || {
        let named = part
            .extension()
            .is_some_and(|extension| extension == "part");
        let file = OpenOptions::new().create(true).append(true).open(&part)?;
        let there = file.metadata()?.len();
        let usable = named && length.is_some_and(|length| there < length);
        if there > 0 && !usable {
            file.set_len(0)?;
            return Ok((file, 0));
        }
        Ok((file, there))
    });
    blocking(opened.await)
}

async fn remove(file: File, part: PathBuf) -> Result<(), Error> {
    drop(file);
    blocking(spawn_blocking(move || fs::remove_file(part)).await)
}

async fn append(mut file: File, piece: Bytes) -> Result<File, Error> {
    let written = spawn_blocking(move || {
        file.write_all(&piece)?;
        Ok(file)
    });
    blocking(written.await)
}

fn blocking<T>(done: Result<io::Result<T>, tokio::task::JoinError>) -> Result<T, Error> {
    done.map_err(io::Error::other)
        .flatten()
        .map_err(|error| Error::new(Kind::Target).because(error))
}
