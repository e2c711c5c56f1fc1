//! The client: uploads that go on where they were interrupted.

mod append;
mod body;
mod client;
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
mod progress;
mod rate;
mod retry;
mod source;
mod terminate;
mod transport;
mod upload;
mod uri;
pub mod url_store;

pub use self::{
    append::{Appended, Chunk},
    body::Body,
    client::Client,
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
    source::Source,
    transport::{Proxy, Tls},
    upload::{AfterSuccess, Leftovers, Upload, Uploaded, WhenClaimed},
    url_store::{MemoryUrlStore, UrlStore},
};
