use std::{
    fmt,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::task::spawn_blocking;
use tower::BoxError;

use super::{
    Claim, Key, StoredPart, StoredUpload, UrlStore,
    disk::{Place, beside, from_millis, named, private, to_millis},
};

/// Upload URLs in a JSON file that any number of processes may use at the same time.
///
/// ```
/// # use tower_tus::{TusService, client::Client, storage::MemoryStorage};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tus = TusService::new(MemoryStorage::new());
/// # let client = Client::with_service("http://localhost/files".parse()?, tus);
/// # let directory = tempfile::tempdir()?;
/// # let state = directory.path().join("uploads.json");
/// # let backup = directory.path().join("backup.tar");
/// # std::fs::write(&backup, vec![7; 3_000_000])?;
/// use tower_tus::client::{FileUrlStore, Source};
///
/// let upload = client.upload(Source::path(&backup)).store(FileUrlStore::open(&state)?);
/// upload.stop_at(1_000_000).await?;
/// // Later, perhaps in another process:
/// let upload = client.upload(Source::path(&backup)).store(FileUrlStore::open(&state)?);
/// assert_eq!(upload.await?.resumed_from(), 1_000_000);
/// # Ok(())
/// # }
/// ```
///
/// A change is made under a lock on `NAME.lock` beside the file, replaces the file at once, and is on the
/// device when it returns. Claims are locks on files below `NAME.claims/`, so they end with their process
/// however it ends. On a file system of a network that works as far as its locks do.
///
/// On Unix nobody but the owner can read what the store creates: whoever knows an upload's URL may change
/// the upload. A file that is no JSON is renamed to `NAME.damaged`, with a warning, and an empty one takes
/// its place. Fields and entries that this version does not know stay in the file.
///
/// Each change writes all entries: for very many of them a database is the better place.
#[derive(Clone)]
pub struct FileUrlStore {
    place: Arc<Place>,
}

impl FileUrlStore {
    /// The store in the file `path`. The file is created when there is something to keep, its directory
    /// at once. Blocks, for a moment.
    ///
    /// # Errors
    /// If there is no such directory and it cannot be created.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let place = Arc::new(Place::of(path.as_ref())?);
        Ok(Self { place })
    }

    /// The file, by its absolute path without links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.place.path
    }

    /// Does the work on a thread that may block. It goes on to its end if the future is dropped.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Place>) -> io::Result<T> + Send + 'static,
    ) -> Result<T, BoxError> {
        let place = Arc::clone(&self.place);
        Ok(spawn_blocking(move || work(&place)).await??)
    }
}

impl fmt::Debug for FileUrlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FileUrlStore").field(&self.path()).finish()
    }
}

#[async_trait]
impl UrlStore for FileUrlStore {
    async fn find(&self, key: &Key) -> Result<Option<StoredUpload>, BoxError> {
        let key = key.clone();
        self.on_disk(move |place| {
            let document = read(place)?;
            let found = document.entries().iter().find(|entry| is_of(entry, &key));
            Ok(found.and_then(upload))
        })
        .await
    }

    async fn save(&self, upload: &StoredUpload) -> Result<(), BoxError> {
        let entry = entry(upload);
        let key = upload.key.clone();
        self.on_disk(move |place| change(place, |document| document.save(&key, entry)))
            .await
    }

    async fn remove(&self, key: &Key) -> Result<(), BoxError> {
        let key = key.clone();
        self.on_disk(move |place| change(place, |document| document.remove(&key)))
            .await
    }

    async fn list(&self) -> Result<Vec<StoredUpload>, BoxError> {
        self.on_disk(|place| {
            let document = read(place)?;
            let mut uploads: Vec<_> = document.entries().iter().filter_map(upload).collect();
            uploads.sort_by_key(|upload| upload.created);
            Ok(uploads)
        })
        .await
    }

    async fn claim(&self, key: &Key) -> Result<Option<Claim>, BoxError> {
        let key = key.clone();
        self.on_disk(move |place| place.claim(&key)).await
    }
}

/// What is in the file: an object, with the entries in its field `uploads`.
#[derive(Default, PartialEq)]
struct Document(Map<String, Value>);

impl Document {
    /// `None` if that is no such object.
    fn parse(text: &[u8]) -> Option<Self> {
        if text.trim_ascii().is_empty() {
            return Some(Self::default());
        }
        let object: Map<String, Value> = serde_json::from_slice(text).ok()?;
        let entries = object.get(UPLOADS);
        entries.is_none_or(Value::is_array).then_some(Self(object))
    }

    fn entries(&self) -> &[Value] {
        let entries = self.0.get(UPLOADS).and_then(Value::as_array);
        entries.map_or(&[], Vec::as_slice)
    }

    fn save(&mut self, key: &Key, entry: Value) {
        let (same, mut entries): (Vec<_>, Vec<_>) = self
            .entries()
            .iter()
            .cloned()
            .partition(|entry| is_of(entry, key));
        entries.push(match same.into_iter().next() {
            Some(old) => merged(old, entry),
            None => entry,
        });
        self.0.insert(UPLOADS.to_owned(), Value::Array(entries));
    }

    fn remove(&mut self, key: &Key) {
        if let Some(Value::Array(entries)) = self.0.get_mut(UPLOADS) {
            entries.retain(|entry| !is_of(entry, key));
        }
    }

    fn text(&self) -> Vec<u8> {
        let mut text = format!("{:#}", Value::Object(self.0.clone()));
        text.push('\n');
        text.into_bytes()
    }
}

/// An entry of the file.
#[derive(Serialize, Deserialize)]
struct Entry {
    fingerprint: String,
    endpoint: String,
    url: Option<String>,
    size: Option<u64>,
    /// As in `Upload-Metadata`.
    #[serde(default)]
    metadata: String,
    /// In milliseconds since 1970.
    created: i64,
    #[serde(default)]
    parts: Vec<Part>,
}

/// A part, in a file or a column.
#[derive(Serialize, Deserialize)]
pub(super) struct Part {
    url: String,
    start: u64,
    length: u64,
}

impl Part {
    pub(super) fn of(part: &StoredPart) -> Self {
        Self {
            url: part.url.to_string(),
            start: part.start,
            length: part.length,
        }
    }

    /// `None` if its URL is none.
    pub(super) fn stored(&self) -> Option<StoredPart> {
        Some(StoredPart {
            url: self.url.parse().ok()?,
            start: self.start,
            length: self.length,
        })
    }
}

fn entry(upload: &StoredUpload) -> Value {
    json!(Entry {
        fingerprint: upload.key.fingerprint.clone(),
        endpoint: upload.key.endpoint.clone(),
        url: upload.url.as_ref().map(ToString::to_string),
        size: upload.size,
        metadata: upload.metadata.as_str().to_owned(),
        created: to_millis(upload.created),
        parts: upload.parts.iter().map(Part::of).collect(),
    })
}

/// The upload of an entry, if it is one that this version understands.
fn upload(entry: &Value) -> Option<StoredUpload> {
    let entry = Entry::deserialize(entry).ok()?;
    Some(StoredUpload {
        key: Key::new(entry.fingerprint, entry.endpoint),
        url: entry.url.map(|url| url.parse()).transpose().ok()?,
        size: entry.size,
        metadata: entry.metadata.parse().ok()?,
        created: from_millis(entry.created),
        parts: entry
            .parts
            .iter()
            .map(Part::stored)
            .collect::<Option<_>>()?,
    })
}

fn is_of(entry: &Value, key: &Key) -> bool {
    let is = |field: &str, text: &str| entry.get(field).and_then(Value::as_str) == Some(text);
    is("fingerprint", &key.fingerprint) && is("endpoint", &key.endpoint)
}

/// The new entry, with what only the old one has. Parts are the same if their URLs are.
fn merged(old: Value, new: Value) -> Value {
    let (Value::Object(mut old), Value::Object(mut new)) = (old, new) else {
        unreachable!("entries with a fingerprint are objects");
    };
    if let (Some(Value::Array(were)), Some(Value::Array(are))) =
        (old.remove("parts"), new.get_mut("parts"))
    {
        for part in are {
            let same = were.iter().find(|was| was.get("url") == part.get("url"));
            if let (Some(Value::Object(was)), Value::Object(part)) = (same, part) {
                let mut both = was.clone();
                both.append(part);
                *part = both;
            }
        }
    }
    old.append(&mut new);
    Value::Object(old)
}

/// What is in the file. Needs no lock, for the file is replaced at once; a damaged one is set aside.
fn read(place: &Place) -> io::Result<Document> {
    let document = match fs::read(&place.path) {
        Ok(text) => Document::parse(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Document::default()),
        Err(error) => return Err(named(&place.path, &error)),
    };
    match document {
        Some(document) => Ok(document),
        None => {
            let _locked = place.lock()?;
            read_locked(place)
        }
    }
}

/// Changes the file, if there is anything to change, while nobody else does.
fn change(place: &Place, change: impl FnOnce(&mut Document)) -> io::Result<()> {
    let _locked = place.lock()?;
    let mut document = read_locked(place)?;
    let before = Document(document.0.clone());
    change(&mut document);
    if document == before {
        return Ok(());
    }
    replace(&place.path, &document.text()).map_err(|error| named(&place.path, &error))
}

fn read_locked(place: &Place) -> io::Result<Document> {
    let text = match fs::read(&place.path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Document::default()),
        Err(error) => return Err(named(&place.path, &error)),
    };
    if let Some(document) = Document::parse(&text) {
        return Ok(document);
    }
    let aside = set_aside(&place.path).map_err(|error| named(&place.path, &error))?;
    tracing::warn!(
        path = %place.path.display(), aside = %aside.display(),
        "the file of upload URLs is damaged: it was set aside, and interrupted uploads in it start anew"
    );
    Ok(Document::default())
}

/// Renames the file to the first name that is free.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let mut aside = beside(path, ".damaged");
    let mut number = 1;
    while fs::symlink_metadata(&aside).is_ok() {
        number += 1;
        aside = beside(path, &format!(".damaged.{number}"));
    }
    fs::rename(path, &aside)?;
    Ok(aside)
}

/// Whoever reads sees the old or the new text, also after a crash.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let temporary = beside(path, ".tmp");
    // What a crash left, or somebody else put there to be written through.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private().write(true).create_new(true).open(&temporary)?;
    let written = file.write_all(text).and_then(|()| file.sync_all());
    drop(file);
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, path)) {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_directory(path)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        // Elsewhere directories cannot be opened, and need not be synced.
        Some(directory) if cfg!(unix) => File::open(directory)?.sync_all(),
        _ => Ok(()),
    }
}

const UPLOADS: &str = "uploads";
