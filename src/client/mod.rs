//! The client: uploads that go on where they were interrupted.

mod error;
mod fingerprint;
mod source;
mod uri;
pub mod url_store;

pub use self::{
    error::Error,
    fingerprint::{Described, Fingerprint},
    source::Source,
    url_store::UrlStore,
};
