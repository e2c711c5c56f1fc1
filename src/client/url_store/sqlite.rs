use std::{
    fmt, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use tokio::task::spawn_blocking;
use tower::BoxError;

use super::{
    Claim, Key, StoredUpload, UrlStore,
    disk::{Place, from_millis, named, private, to_millis},
    file::Part,
};

/// Upload URLs in a SQLite database that any number of processes may use at the same time. Needs the
/// feature `client-sqlite`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower::BoxError> {
/// use std::time::{Duration, SystemTime};
/// use tower_tus::client::{UrlStore, url_store::SqliteUrlStore};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("uploads.db");
/// let store = SqliteUrlStore::open(path)?;
/// let month = Duration::from_secs(30 * 86_400);
/// let removed = store.prune(SystemTime::now() - month).await?;
/// assert_eq!(removed, 0);
/// # Ok(())
/// # }
/// ```
///
/// The table is `uploads`; columns and tables that this version does not know stay as they are. Claims are
/// locks on files below `NAME.claims/` beside the database, so they end with their process however it
/// ends. On Unix nobody but the owner can read what the store creates. A damaged database is an error.
#[derive(Clone)]
pub struct SqliteUrlStore {
    place: Arc<Place>,
    connection: Arc<Mutex<Connection>>,
}

impl SqliteUrlStore {
    /// The store in the database `path`, which is created with its directory if there is none. Blocks,
    /// for a moment.
    ///
    /// # Errors
    /// If the database cannot be opened, or is none.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let place = Place::of(path.as_ref())?;
        let connection = connect(&place).map_err(|error| named(&place.path, &error))?;
        Ok(Self {
            place: Arc::new(place),
            connection: Arc::new(Mutex::new(connection)),
        })
    }

    /// The database, by its absolute path without links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.place.path
    }

    /// Does the work on a thread that may block. It goes on to its end if the future is dropped.
    async fn query<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, BoxError> {
        let connection = Arc::clone(&self.connection);
        let done = spawn_blocking(move || {
            work(&connection.lock().unwrap_or_else(PoisonError::into_inner))
        });
        Ok(done.await??)
    }
}

impl fmt::Debug for SqliteUrlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqliteUrlStore").field(&self.path()).finish()
    }
}

#[async_trait]
impl UrlStore for SqliteUrlStore {
    async fn find(&self, key: &Key) -> Result<Option<StoredUpload>, BoxError> {
        let key = key.clone();
        self.query(move |connection| {
            let sql = format!("{SELECT} WHERE fingerprint = ?1 AND endpoint = ?2");
            let mut query = connection.prepare_cached(&sql)?;
            let found = query.query_row([&key.fingerprint, &key.endpoint], upload);
            Ok(found.optional()?.flatten())
        })
        .await
    }

    async fn save(&self, upload: &StoredUpload) -> Result<(), BoxError> {
        let upload = upload.clone();
        let parts: Vec<_> = upload.parts.iter().map(Part::of).collect();
        let parts = serde_json::to_string(&parts)?;
        let size = upload.size.map(i64::try_from).transpose()?;
        self.query(move |connection| {
            connection.prepare_cached(SAVE)?.execute(params![
                upload.key.fingerprint,
                upload.key.endpoint,
                upload.url.map(|url| url.to_string()),
                size,
                upload.metadata.as_str(),
                to_millis(upload.created),
                parts,
            ])?;
            Ok(())
        })
        .await
    }

    async fn remove(&self, key: &Key) -> Result<(), BoxError> {
        let key = key.clone();
        self.query(move |connection| {
            let mut remove = connection.prepare_cached(REMOVE)?;
            remove.execute([&key.fingerprint, &key.endpoint])?;
            Ok(())
        })
        .await
    }

    async fn list(&self) -> Result<Vec<StoredUpload>, BoxError> {
        self.query(|connection| {
            let mut query = connection.prepare_cached(&format!("{SELECT} ORDER BY created"))?;
            let uploads: rusqlite::Result<Vec<_>> = query.query_map([], upload)?.collect();
            Ok(uploads?.into_iter().flatten().collect())
        })
        .await
    }

    async fn claim(&self, key: &Key) -> Result<Option<Claim>, BoxError> {
        let (place, key) = (Arc::clone(&self.place), key.clone());
        Ok(spawn_blocking(move || place.claim(&key)).await??)
    }
}

fn connect(place: &Place) -> io::Result<Connection> {
    // SQLite gives its other files the permissions of this one.
    let mut options = private();
    options.create(true).truncate(false).write(true);
    drop(options.open(&place.path)?);
    // Two processes that create the table at once would each find the other in their way.
    let _locked = place.lock()?;
    let connect = || {
        let connection = Connection::open(&place.path)?;
        connection.busy_timeout(PATIENCE)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(CREATE)?;
        Ok(connection)
    };
    connect().map_err(|error: rusqlite::Error| io::Error::other(error))
}

/// The upload of a row, if it is one that this version understands.
fn upload(row: &Row<'_>) -> rusqlite::Result<Option<StoredUpload>> {
    let url: Option<String> = row.get("url")?;
    let size: Option<i64> = row.get("size")?;
    let metadata: String = row.get("metadata")?;
    let parts: String = row.get("parts")?;
    let key = Key::new(
        row.get::<_, String>("fingerprint")?,
        row.get::<_, String>("endpoint")?,
    );
    let created = from_millis(row.get("created")?);
    let understood = || {
        let parts: Vec<Part> = serde_json::from_str(&parts).ok()?;
        Some(StoredUpload {
            key,
            url: url.map(|url| url.parse()).transpose().ok()?,
            size: size.map(u64::try_from).transpose().ok()?,
            metadata: metadata.parse().ok()?,
            created,
            parts: parts.iter().map(Part::stored).collect::<Option<_>>()?,
        })
    };
    Ok(understood())
}

/// `created` is in milliseconds since 1970, `metadata` as in `Upload-Metadata`, `parts` JSON.
const CREATE: &str = "
    CREATE TABLE IF NOT EXISTS uploads (
        fingerprint TEXT NOT NULL,
        endpoint TEXT NOT NULL,
        url TEXT,
        size INTEGER,
        metadata TEXT NOT NULL,
        created INTEGER NOT NULL,
        parts TEXT NOT NULL,
        PRIMARY KEY (fingerprint, endpoint)
    )";

const SELECT: &str =
    "SELECT fingerprint, endpoint, url, size, metadata, created, parts FROM uploads";

/// No `REPLACE`: that would forget the columns which are not named here.
const SAVE: &str = "
    INSERT INTO uploads (fingerprint, endpoint, url, size, metadata, created, parts)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (fingerprint, endpoint) DO UPDATE SET
        url = ?3, size = ?4, metadata = ?5, created = ?6, parts = ?7";

const REMOVE: &str = "DELETE FROM uploads WHERE fingerprint = ?1 AND endpoint = ?2";

/// How long others may write before that is an error.
const PATIENCE: Duration = Duration::from_secs(30);
