//! [`Upload`]: what is uploaded and how, until it is started.

mod content;
mod drive;
mod engine;
mod limit;
mod parallel;
mod record;
mod run;
mod steps;

use std::{fmt, future::IntoFuture, num::NonZeroUsize, sync::Arc};

use futures::future::BoxFuture;
use http::Uri;
use tokio::sync::watch;

use super::{
    Client, Error, Fingerprint, Handle, Progress, RateLimit, RetryPolicy, Source, UrlStore,
    handle::{Command, Commands},
    progress::{Callback, Meter},
    uri::Shown,
};
use crate::protocol::{Algorithm, Metadata};

/// An upload that is yet to be started: await it, or [`start`](Self::start) it in a task of its own.
///
/// Content is streamed in one request unless something limits it. What fails is tried again by the
/// client's [`RetryPolicy`], each time from where the server stands. Dropping the future stops the
/// upload; with a [URL store](Self::store) the same upload goes on the next time.
///
/// ```
/// # use tower_tus::{TusService, client::{Client, Source}, storage::MemoryStorage};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tus = TusService::new(MemoryStorage::new());
/// # let client = Client::with_service("http://localhost/files".parse()?, tus);
/// use tower_tus::{client::MemoryUrlStore, protocol::Algorithm};
///
/// let done = client
///     .upload(Source::bytes(vec![7; 1_000_000]))
///     .metadata("filename", "sevens.bin")
///     .checksum(Algorithm::Sha256)
///     .chunk_size(400_000)
///     .store(MemoryUrlStore::new())
///     .on_progress(|progress| println!("{:.0} %", 100.0 * progress.fraction()))
///     .await?;
/// let info = client.inspect(done.url()).await?;
/// assert!(info.is_complete());
/// # Ok(())
/// # }
/// ```
///
/// More settings:
///
/// ```
/// # use tower_tus::{TusService, client::{Client, Source}, storage::MemoryStorage};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tus = TusService::new(MemoryStorage::new());
/// # let client = Client::with_service("http://localhost/files".parse()?, tus);
/// use std::sync::Arc;
/// use tower_tus::{
///     client::{AfterSuccess, MemoryUrlStore, RateLimit, RetryPolicy, UrlStore, WhenClaimed},
///     protocol::Metadata,
/// };
///
/// let store: Arc<dyn UrlStore> = Arc::new(MemoryUrlStore::new());
/// let part = client
///     .upload(Source::bytes("0123456789"))
///     .create_first()
///     .parts_metadata(Metadata::from_pairs([("part", "of something")])?)
///     .retry(RetryPolicy::never())
///     .rate_limit(RateLimit::per_second(10 << 20))
///     .on_url(|url| println!("{url}"))
///     .shared_store(store)
///     .store_queries()
///     .when_claimed(WhenClaimed::Wait)
///     .after_success(AfterSuccess::Keep)
///     .stop_at(5)
///     .await?;
/// let rest = client.upload(Source::bytes("0123456789"));
/// let done = rest.resume_at(part.url().clone()).await?;
/// assert_eq!((part.size(), done.size()), (5, 10));
/// # Ok(())
/// # }
/// ```
#[must_use = "an upload does nothing until it is awaited or started"]
pub struct Upload {
    client: Client,
    source: Source,
    settings: Settings,
}

/// The settings of an upload.
#[derive(Clone, Default)]
struct Settings {
    metadata: Vec<(String, Vec<u8>)>,
    parts_metadata: Metadata,
    chunk_size: Option<u64>,
    checksum: Option<Algorithm>,
    stop_at: Option<u64>,
    first_bytes: FirstBytes,
    parallel: Option<NonZeroUsize>,
    leftovers: Leftovers,
    retry: Option<RetryPolicy>,
    rate: Option<RateLimit>,
    resume: Resume,
    resume_at: Option<Uri>,
    on_url: Option<Arc<OnUrl>>,
    on_progress: Option<Arc<Callback>>,
}

type OnUrl = dyn Fn(&Uri) + Send + Sync;

/// How an upload is found again.
#[derive(Clone, Default)]
struct Resume {
    store: Option<Arc<dyn UrlStore>>,
    fingerprint: Fingerprint,
    after: AfterSuccess,
    claimed: WhenClaimed,
    queries: QueryUrls,
}

/// Whether the first bytes may go with the creation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum FirstBytes {
    #[default]
    WithCreation,
    Apart,
}

/// What becomes of an upload's entry in the URL store when it is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AfterSuccess {
    /// It is removed. The default: the same content is uploaded again when it is asked for.
    #[default]
    Remove,
    /// It stays: the same content gives the finished upload's URL, as long as the server has it.
    Keep,
}

/// What to do while another upload of the same content to the same endpoint is at work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhenClaimed {
    /// End with an error, see [`Error::is_claimed`]. The default.
    #[default]
    Fail,
    /// Wait for its end.
    Wait,
}

/// What becomes of the parts of a parallel upload that fails or is canceled, those of earlier attempts in
/// the URL store included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Leftovers {
    /// They stay: with a URL store the upload goes on with them. The default.
    #[default]
    Keep,
    /// They are terminated.
    Remove,
}

/// Whether URLs with a query are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum QueryUrls {
    #[default]
    Forgotten,
    Stored,
}

impl Client {
    /// An upload of `source`, to be started.
    pub fn upload(&self, source: impl Into<Source>) -> Upload {
        Upload {
            client: self.clone(),
            source: source.into(),
            settings: Settings::default(),
        }
    }
}

impl Upload {
    /// Attaches a value. Keys have to be visible ASCII without commas, and different; otherwise the
    /// upload fails before anything is sent. Default: nothing is attached.
    pub fn metadata(self, key: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.set(|settings| {
            let pair = (key.into(), value.as_ref().to_vec());
            settings.metadata.push(pair);
        })
    }

    /// Sends at most so many bytes with one request. Default: no limit, 16 MiB with a checksum, and for a
    /// stream what it can [replay](Source::replay). Whatever it is, a 413 makes it smaller; memory does
    /// not depend on it.
    pub fn chunk_size(self, bytes: u64) -> Self {
        self.set(|settings| settings.chunk_size = Some(bytes.max(1)))
    }

    /// Has the server verify each request's bytes. It has to offer the algorithm. Default: none.
    pub fn checksum(self, algorithm: Algorithm) -> Self {
        self.set(|settings| settings.checksum = Some(algorithm))
    }

    /// Stops when so many bytes are stored; the rest can be uploaded later. Not for parallel uploads.
    /// Default: everything is uploaded.
    pub fn stop_at(self, bytes: u64) -> Self {
        self.set(|settings| settings.stop_at = Some(bytes))
    }

    /// Never sends content with the creation. Default: content of up to 1 MiB goes with it where the
    /// server offers creation-with-upload.
    pub fn create_first(self) -> Self {
        self.set(|settings| settings.first_bytes = FirstBytes::Apart)
    }

    /// Uploads so many parts at the same time, which the server joins (concatenation). Ranges of a file
    /// or of bytes; of [`Source::concat`] its sources. Default: one upload.
    ///
    /// With a URL store it goes on with the parts there are, if it is divided as before. With another
    /// number of parts, or none, it begins anew, and when it is done the old parts are terminated.
    ///
    /// It is done when the server says that the whole is there. 64 parts are sent at the same time at
    /// most, the others after them.
    ///
    /// If the answer to the last request, which joins the parts, is lost, they are joined once more, and
    /// the upload it told of stays on the server: nobody knows its URL. A server that joins parts only
    /// once tells of the same upload again, as this crate's does until it is restarted, or refuses that,
    /// and the error says so.
    pub fn parallel(self, parts: usize) -> Self {
        self.set(|settings| settings.parallel = NonZeroUsize::new(parts))
    }

    /// Attaches this to each part of a parallel upload. Default: nothing.
    pub fn parts_metadata(self, metadata: Metadata) -> Self {
        self.set(|settings| settings.parts_metadata = metadata)
    }

    /// What becomes of the parts if a parallel upload fails. Default: [`Leftovers::Keep`].
    pub fn leftovers(self, leftovers: Leftovers) -> Self {
        self.set(|settings| settings.leftovers = leftovers)
    }

    /// How what fails is tried again. Default: the client's.
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.set(|settings| settings.retry = Some(policy))
    }

    /// The most that is sent in a second. Default: the client's.
    pub fn rate_limit(self, limit: RateLimit) -> Self {
        self.set(|settings| settings.rate = Some(limit))
    }

    /// Keeps the upload's URL, so that the same content goes on where it was. An upload does not begin if
    /// the store fails; one that has begun goes on, and may not be found again. Not used by
    /// [`resume_at`](Self::resume_at). Default: none.
    ///
    /// An entry belongs to an endpoint and its query, not to a user: credentials are no part of it. Users
    /// of one endpoint who must not see each other's uploads need a store each.
    pub fn store(self, store: impl UrlStore) -> Self {
        self.shared_store(Arc::new(store))
    }

    /// As [`store`](Self::store), with one that others use too.
    pub fn shared_store(self, store: Arc<dyn UrlStore>) -> Self {
        self.set(|settings| settings.resume.store = Some(store))
    }

    /// How the same content is recognised. Default: a file by its path, size and time of change, other
    /// content by its SHA-256.
    pub fn fingerprint(self, fingerprint: Fingerprint) -> Self {
        self.set(|settings| settings.resume.fingerprint = fingerprint)
    }

    /// What becomes of the entry in the store. Default: [`AfterSuccess::Remove`].
    pub fn after_success(self, after: AfterSuccess) -> Self {
        self.set(|settings| settings.resume.after = after)
    }

    /// What to do while the same content is uploaded by somebody else. Default: [`WhenClaimed::Fail`].
    pub fn when_claimed(self, claimed: WhenClaimed) -> Self {
        self.set(|settings| settings.resume.claimed = claimed)
    }

    /// Stores URLs with a query too, which may hold a token. Default: they are not stored, and such an
    /// upload is not found again.
    pub fn store_queries(self) -> Self {
        self.set(|settings| settings.resume.queries = QueryUrls::Stored)
    }

    /// Goes on with the upload at this URL, which has to exist and to be of the same content: bytes that an
    /// earlier process has sent may still come in. User and password in it are sent to its
    /// origin. It is neither looked for nor kept in a [URL store](Self::store), whose entry of the same
    /// content stays as it is. Default: what the store has, else a new one.
    pub fn resume_at(self, url: Uri) -> Self {
        self.set(|settings| settings.resume_at = Some(url))
    }

    /// Called with the upload's URL as soon as it is known. Default: nobody is told.
    pub fn on_url(self, tell: impl Fn(&Uri) + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.on_url = Some(Arc::new(tell)))
    }

    /// Called at most ten times per second, and at the end. Default: nobody is told.
    pub fn on_progress(self, tell: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.on_progress = Some(Arc::new(tell)))
    }

    /// Uploads in a task of its own, to be watched and steered by the handle.
    ///
    /// ```
    /// # use tower_tus::{TusService, client::{Client, Source}, storage::MemoryStorage};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let tus = TusService::new(MemoryStorage::new());
    /// # let client = Client::with_service("http://localhost/files".parse()?, tus);
    /// use futures::StreamExt;
    ///
    /// let upload = client.upload(Source::bytes("hello")).start();
    /// let mut progress = upload.progress();
    /// tokio::spawn(async move {
    ///     while let Some(progress) = progress.next().await {
    ///         println!("{} bytes", progress.sent);
    ///     }
    /// });
    /// upload.pause();
    /// upload.resume();
    /// println!("{}", upload.await?.url());
    /// # Ok(())
    /// # }
    /// ```
    pub fn start(self) -> Handle {
        let (sender, receiver) = watch::channel(Command::Run);
        let meter = Meter::new(self.settings.on_progress.clone());
        let progress = meter.subscribe();
        let task = tokio::spawn(self.run(Commands::new(receiver), meter));
        Handle::new(task, sender, progress)
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }
}

impl IntoFuture for Upload {
    type Output = Result<Uploaded, Error>;
    type IntoFuture = BoxFuture<'static, Result<Uploaded, Error>>;

    fn into_future(self) -> Self::IntoFuture {
        let (_, receiver) = watch::channel(Command::Run);
        let meter = Meter::new(self.settings.on_progress.clone());
        Box::pin(self.run(Commands::new(receiver), meter))
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("client", &self.client)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// What was uploaded.
///
/// `Debug` shows no query: there may be a token in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Uploaded {
    url: Uri,
    size: u64,
    resumed: u64,
}

impl Uploaded {
    /// Where the upload is.
    #[must_use]
    pub fn url(&self) -> &Uri {
        &self.url
    }

    /// How many bytes the server has: all, or [as many as were wanted](Upload::stop_at).
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many of them it had before.
    #[must_use]
    pub fn resumed_from(&self) -> u64 {
        self.resumed
    }
}

impl fmt::Debug for Uploaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uploaded")
            .field("url", &Shown(&self.url))
            .field("size", &self.size)
            .field("resumed", &self.resumed)
            .finish()
    }
}
