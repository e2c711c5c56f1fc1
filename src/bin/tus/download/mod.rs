//! `tus download`: a finished upload into a file, going on where an earlier download ended.

mod name;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use futures::StreamExt;
use http::{HeaderMap, Method, Uri, header::CONTENT_DISPOSITION};
use serde_json::json;
use sha2::{Digest, Sha256};
use tower_tus::client::Client;

use crate::{
    address::{Address, printable},
    bars::{Watch, bytes},
    connection::Connection,
    exit::{Exit, Stopped},
    screen::{Output, Screen},
    session,
};

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Download {
    /// What to download
    #[arg(value_name = "URL")]
    url: Address,

    /// File or directory to write to; - is standard output [default: the name the server gives]
    #[arg(short, long = "output", value_name = "OUT")]
    output_file: Option<PathBuf>,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    output: Output,
}

/// The head of the latest answer to GET.
#[derive(Debug, Clone, Default)]
struct Head(Arc<Mutex<HeaderMap>>);

pub(crate) fn run(args: &Download) -> Result<Exit> {
    session::run(&args.output, |screen, mut signals| async move {
        tokio::select! {
            done = args.download(&screen) => done?,
            signal = signals.next() => {
                screen.clear();
                screen.error("stopped. What came is kept: run the same command again to go on.");
                return Ok(Stopped(signal).exit());
            }
        }
        Ok(Exit::Success)
    })
}

impl Download {
    async fn download(&self, screen: &Screen) -> Result<()> {
        let head = Head::default();
        let client = head.watch(self.connection.client(&self.url).await?);
        let url = client.endpoint();
        match &self.output_file {
            Some(path) if is_stdout(path) => to_stdout(&client, url, screen).await,
            Some(path) if !is_directory(path).await => {
                let size = to_file(&client, url, path, screen).await?;
                told(screen, url, path, size)
            }
            directory => {
                let directory = directory.clone().unwrap_or_default();
                let staged = directory.join(staged(url));
                let size = to_file(&client, url, &staged, screen).await?;
                let path = place(&staged, &directory, &head.name(url))?;
                told(screen, url, &path, size)
            }
        }
    }
}

impl Head {
    fn watch(&self, client: Client) -> Client {
        let Self(head) = self.clone();
        client.on_response(move |answer| {
            if *answer.method == Method::GET && answer.status.is_success() {
                *head.lock().unwrap_or_else(PoisonError::into_inner) = answer.headers.clone();
            }
        })
    }

    /// What the server calls it, else what its URL does.
    fn name(&self, url: &Uri) -> String {
        let head = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        head.get(CONTENT_DISPOSITION)
            .and_then(|value| name::of(value.as_bytes()))
            .or_else(|| name::safe(url.path().rsplit('/').next().unwrap_or_default()))
            .unwrap_or_else(|| "download".into())
    }
}

async fn is_directory(path: &Path) -> bool {
    let about = tokio::fs::metadata(path).await;
    about.is_ok_and(|about| about.is_dir())
}

/// The line with the file's name would be amid its content.
fn is_stdout(path: &Path) -> bool {
    ["-", "/dev/stdout"]
        .iter()
        .any(|name| path.as_os_str() == *name)
}

async fn to_file(client: &Client, url: &Uri, path: &Path, screen: &Screen) -> Result<u64> {
    let name = url.path().rsplit('/').next().unwrap_or_default();
    let watch = Watch::new(screen, &printable(name), None);
    let seen = watch.clone();
    let download = client.download(url);
    let result = download
        .on_progress(move |progress| seen.update(progress))
        .to_path(path)
        .await;
    watch.clear();
    screen.clear();
    Ok(result?)
}

async fn to_stdout(client: &Client, url: &Uri, screen: &Screen) -> Result<()> {
    let watch = Watch::new(screen, "standard output", None);
    let seen = watch.clone();
    let download = client.download(url);
    let pieces = download
        .on_progress(move |progress| seen.update(progress))
        .stream();
    let mut pieces = std::pin::pin!(pieces);
    let mut result = Ok(());
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(anyhow::Error::from);
        result = piece.and_then(|piece| Ok(io::stdout().lock().write_all(&piece)?));
        if result.is_err() {
            break;
        }
    }
    watch.clear();
    screen.clear();
    match result.and_then(|()| Ok(io::stdout().flush()?)) {
        // Whoever read it has enough.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        result => result,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// A name until the server's is known: the same the next time, so that the download goes on.
fn staged(url: &Uri) -> String {
    let digest = Sha256::digest(url.to_string());
    let digest: String = digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!(".tus-download-{digest}")
}

/// Gives the file its name, or that with a number: nothing is replaced that nobody named.
fn place(staged: &Path, directory: &Path, name: &str) -> Result<PathBuf> {
    for number in 0..1000 {
        let path = directory.join(match number {
            0 => name.to_owned(),
            number => format!("{name}.{number}"),
        });
        match fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
        {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot write {}", path.display()));
            }
        }
        if let Err(error) = fs::rename(staged, &path) {
            let _ = fs::remove_file(&path);
            return Err(error)
                .with_context(|| format!("the download stays in {}", staged.display()));
        }
        return Ok(path);
    }
    bail!(
        "there are a thousand files called {name}: the download stays in {}",
        staged.display()
    );
}

fn told(screen: &Screen, url: &Uri, path: &Path, size: u64) -> Result<()> {
    screen.note(&format!("{}: {}", path.display(), bytes(size)));
    let file = path.to_string_lossy();
    screen.result(
        || file.clone().into_owned(),
        || json!({ "url": url.to_string(), "file": file, "size": size }),
    )?;
    Ok(())
}

const AFTER_HELP: &str = "\
The name of the file is a line on standard output; everything else goes to standard error.
Run the same command again after an interruption: it goes on where it was.";

#[cfg(test)]
mod tests {
    use tempfile::tempdir;

    use super::*;

    #[test]
    fn a_file_that_is_there_is_not_replaced() {
        let dir = tempdir().unwrap();
        let staged = dir.path().join("staged");
        for (content, expected) in [("1", "a.txt"), ("2", "a.txt.1"), ("3", "a.txt.2")] {
            fs::write(&staged, content).unwrap();
            let path = place(&staged, dir.path(), "a.txt").unwrap();
            assert_eq!(path, dir.path().join(expected));
            assert_eq!(fs::read_to_string(path).unwrap(), content);
        }
    }

    #[test]
    fn nothing_is_left_where_it_could_not_go() {
        let dir = tempdir().unwrap();
        place(&dir.path().join("gone"), dir.path(), "a.txt").unwrap_err();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
