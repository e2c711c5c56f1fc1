//! The client: uploads that go on where they were interrupted.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use tower_tus::client::{Client, Source};
//!
//! let client = Client::new("https://example.org/files".parse()?);
//! let done = client
//!     .upload(Source::path("video.mp4"))
//!     .metadata("filename", "video.mp4")
//!     .await?;
//! println!("{}", done.url());
//! # Ok(())
//! # }
//! ```
//!
//! # What happens to an upload
//!
//! The content is streamed in one request, whatever its size. When a connection breaks, stands still, or
//! the server is in trouble, the client asks where the upload stands and goes on from there: nothing that
//! the server has is sent again. That ends after ten failures in a row without a new byte stored, see
//! [`RetryPolicy`]. A proxy that refuses large requests (413) gets smaller ones.
//!
//! Memory is a few pieces of 256 KiB, and for a [stream](Source::stream) what can be sent again.
//!
//! # Going on after a restart
//!
//! With a [`UrlStore`] the upload's URL is kept under a [`Fingerprint`] of the content. The same upload,
//! started again by whatever process has the store, goes on.
//!
//! ```
//! # use tower_tus::{TusService, storage::MemoryStorage};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let tus = TusService::new(MemoryStorage::new());
//! # let client = tower_tus::client::Client::with_service("http://localhost/files".parse()?, tus);
//! use tower_tus::client::{Fingerprint, MemoryUrlStore, Source};
//!
//! let store = MemoryUrlStore::new();
//! let upload = |content: Vec<u8>| {
//!     client
//!         .upload(Source::bytes(content))
//!         .store(store.clone())
//!         .fingerprint(Fingerprint::sha256())
//! };
//! let content = vec![7; 3_000_000];
//! upload(content.clone()).stop_at(1_000_000).await?;
//! let done = upload(content).await?;
//! assert_eq!(done.resumed_from(), 1_000_000);
//! # Ok(())
//! # }
//! ```
//!
//! # More than one connection
//!
//! ```
//! # use tower_tus::{TusService, storage::MemoryStorage};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let tus = TusService::new(MemoryStorage::new());
//! # let client = tower_tus::client::Client::with_service("http://localhost/files".parse()?, tus);
//! use tower_tus::client::{Leftovers, Source};
//!
//! let done = client
//!     .upload(Source::bytes(vec![7; 3_000_000]))
//!     .parallel(3)
//!     .leftovers(Leftovers::Remove)
//!     .await?;
//! let joined = client
//!     .upload(Source::concat([Source::bytes("a"), Source::bytes("b")]))
//!     .parallel(2)
//!     .await?;
//! assert_eq!((done.size(), joined.size()), (3_000_000, 2));
//! # Ok(())
//! # }
//! ```
//!
//! # By hand
//!
//! Each operation of the protocol is a method of [`Client`]: [`options`](Client::options),
//! [`create`](Client::create), [`append`](Client::append), [`inspect`](Client::inspect),
//! [`concat`](Client::concat), [`terminate`](Client::terminate); and [`download`](Client::download).
//!
//! ```
//! # use tower_tus::{TusService, storage::MemoryStorage};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let tus = TusService::new(MemoryStorage::new());
//! # let client = tower_tus::client::Client::with_service("http://localhost/files".parse()?, tus);
//! use tower_tus::{client::{Chunk, NewUpload}, protocol::{Extension, Metadata}};
//!
//! assert!(client.options().await?.offers(Extension::Concatenation));
//! let part = client.create(NewUpload::new(5).partial()).await?.url;
//! let stands = client.append(&part, Chunk::new(0, "hello")).await?;
//! assert_eq!(stands.offset, Some(5));
//! let metadata = Metadata::from_pairs([("filename", "twice.txt")])?;
//! let whole = client.concat(&[part.clone(), part], &metadata).await?.url;
//! assert_eq!(client.inspect(&whole).await?.offset, Some(10));
//! client.terminate(&whole).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Secrets
//!
//! Headers that are set on a client, user and password of its URL, and what a [`HeaderSource`] gives go to
//! the endpoint's origin and to those that [`Client::trust`] names: not behind a redirect to another host,
//! and not to an upload that the server created there. They are in no message, no `Debug`, no log and no
//! URL store. Neither are the queries of URLs, which may hold tokens, unless
//! [`Upload::store_queries`] asks for it. Nothing that was begun with https goes on with http.

mod append;
mod body;
mod concat;
mod config;
mod create;
mod download;
mod error;
mod exchange;
mod fingerprint;
mod handle;
mod inspect;
mod options;
mod previous;
mod progress;
mod rate;
mod reason;
mod retry;
mod settings;
mod source;
mod terminate;
mod transport;
mod upload;
mod uri;
pub mod url_store;

#[cfg(feature = "client-sqlite")]
pub use self::url_store::SqliteUrlStore;
pub use self::{
    append::{Appended, Chunk},
    body::Body,
    config::{Answer, HeaderSource, HttpVersion},
    create::{Created, NewUpload},
    download::Download,
    error::Error,
    fingerprint::{Described, Fingerprint},
    handle::{Cancel, Controller, Handle},
    inspect::{Role, UploadInfo},
    options::ServerInfo,
    progress::Progress,
    rate::RateLimit,
    retry::{RetryPolicy, Verdict},
    settings::Client,
    source::Source,
    transport::{Proxy, Tls},
    upload::{AfterSuccess, Leftovers, Upload, Uploaded, WhenClaimed},
    url_store::{FileUrlStore, MemoryUrlStore, StoredPart, StoredUpload, UrlStore},
};

/// So that the examples in there compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/coming-from.md")]
mod coming_from {}
