//! The protocol itself: what a request means, whether it may be served, and how the answer reads.
//!
//! Nothing here does I/O, knows the time, or makes random numbers. A request's head becomes an
//! [`Operation`] ([`Dialect::parse`]); the `decide` of an operation holds every rule that refuses it;
//! what was done, the [`Outcome`], becomes the head of a response ([`Dialect::render`]).
//!
//! The [`Dialect`] is tus 1.0.0 for now. Operations and outcomes belong to no dialect.

mod append;
mod checksum;
mod concat;
mod create;
mod download;
mod error;
mod extension;
pub mod header;
mod id;
mod key;
mod limits;
mod metadata;
mod mount;
mod owner;
mod reply;
mod tus1;
mod upload;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response};

#[cfg(feature = "object")]
pub(crate) use self::download::{content_type, disposition, is_inline};
pub use self::{
    append::{Append, Content, Plan, Room, Verify},
    checksum::{Algorithm, Checksum},
    concat::Concat,
    create::{Create, check_size},
    download::{Download, Selection, Want},
    error::{Error, Oversized, PartError},
    extension::{Extension, Extensions, UnknownExtension},
    id::{InvalidId, UploadId},
    key::{InvalidKey, InvalidTemplate, Key, KeyTemplate},
    limits::Limits,
    metadata::Metadata,
    mount::Mount,
    owner::Owner,
    reply::{Rejection, Reply},
    upload::{Announcement, Kind, Length, Stage, Upload, Version},
};
pub(crate) use self::{checksum::Hasher, header::lists};

/// What a server offers its clients.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Offer {
    /// The extensions of tus that are switched on.
    pub extensions: Extensions,
    /// The checksum algorithms that are taken, in the order in which they are announced.
    pub checksums: Vec<Algorithm>,
    /// What a request may ask for.
    pub limits: Limits,
    /// Whether unfinished uploads expire at all.
    pub expiration: Expiration,
    /// Whether finished uploads can be read.
    pub downloads: Availability,
}

impl Offer {
    /// Whether an extension is switched on and has all it needs.
    #[must_use]
    pub fn offers(&self, extension: Extension) -> bool {
        let has_what_it_needs = match extension {
            Extension::Expiration => self.expiration == Expiration::Expires,
            Extension::Checksum | Extension::ChecksumTrailer => !self.checksums.is_empty(),
            _ => true,
        };
        has_what_it_needs && self.extensions.contains(extension)
    }
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            extensions: Extensions::all(),
            checksums: Algorithm::ALL.to_vec(),
            limits: Limits::default(),
            expiration: Expiration::Never,
            downloads: Availability::On,
        }
    }
}

/// Whether unfinished uploads end by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiration {
    /// They stay.
    Never,
    /// They expire.
    Expires,
}

/// Whether something is to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// The head of a request, with its path split from the mount's.
#[derive(Debug, Clone, Copy)]
pub struct Head<'r> {
    /// The method on the request line.
    pub method: &'r Method,
    /// The path below the mount: empty or `/` for the collection, `/ID` for an upload.
    pub path: &'r str,
    /// The fields.
    pub headers: &'r HeaderMap,
    /// Where the uploads are mounted.
    pub mount: &'r Mount,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// What does this server offer? (OPTIONS)
    Discover,
    /// Make an upload (POST).
    Create(Create),
    /// Where does this upload stand? (HEAD)
    Inspect(UploadId),
    /// Take these bytes (PATCH).
    Append(Append),
    /// Remove this upload (DELETE).
    Terminate(UploadId),
    /// Give me the bytes (GET, and HEAD outside of tus).
    Download(Download),
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// [`Operation::Discover`]
    Discovered,
    /// [`Operation::Create`]
    Created {
        /// The new upload.
        upload: Upload,
        /// Its URL.
        location: String,
        /// Where it stands, if the request carried bytes of it.
        offset: Option<u64>,
    },
    /// [`Operation::Inspect`]
    Inspected(Upload),
    /// [`Operation::Append`]
    Appended(Upload),
    /// [`Operation::Terminate`]
    Terminated,
    /// [`Operation::Download`]
    Downloaded(Upload, Selection),
    /// [`Operation::Download`]: the bytes are to be had elsewhere, at this URL.
    Redirected(HeaderValue),
    /// Any of the others, with the application's own words.
    Replied(Box<Self>, Reply),
}

impl Outcome {
    /// The outcome with the application's own words, if it has any.
    #[must_use]
    pub fn with(self, reply: Reply) -> Self {
        match reply.is_empty() {
            true => self,
            false => Self::Replied(Box::new(self), reply),
        }
    }
}

/// Why nothing, or not all, was done; and where the upload stands now, if that helps the client.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The reason.
    pub error: Error,
    /// The upload's state after the request.
    pub upload: Option<Box<Upload>>,
}

impl Refusal {
    /// A refusal that tells where the upload stands.
    #[must_use]
    pub fn at(error: Error, upload: Upload) -> Self {
        Self {
            error,
            upload: Some(Box::new(upload)),
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self {
            error,
            upload: None,
        }
    }
}

/// The language of a request, in which its answer is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dialect {
    /// tus 1.0.0.
    Tus1,
}

impl Dialect {
    /// The language a request is written in.
    #[must_use]
    pub fn of(_head: &Head<'_>) -> Self {
        Self::Tus1
    }

    /// Whether a request is to create something: its path is then that of the collection. Asked before
    /// it is known where the uploads are mounted.
    pub(crate) fn creates(method: &Method, headers: &HeaderMap) -> bool {
        tus1::effective_method(method, headers) == Ok(Method::POST)
    }

    /// What the request asks for.
    ///
    /// # Errors
    /// What of the head is missing or cannot be read.
    pub fn parse(self, head: &Head<'_>, offer: &Offer) -> Result<Operation, Error> {
        match self {
            Self::Tus1 => tus1::parse(head, offer),
        }
    }

    /// The answer; its body is a line about a refusal, or the application's own words. The bytes of a
    /// download are not in it.
    #[must_use]
    pub fn render(self, answer: &Result<Outcome, Refusal>, offer: &Offer) -> Response<Bytes> {
        match self {
            Self::Tus1 => tus1::render(answer, offer),
        }
    }
}
