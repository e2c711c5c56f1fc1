//! The clouds: each store of object_store as a [`Bucket`](super::Bucket).
//!
//! What they have in common goes through `ObjectStore` (`objects.rs`). What it lacks are requests of our
//! own (`raw.rs`), signed with what object_store makes public. This is the only part of the storages
//! that sees HTTP.

// What only one of them needs is not cut out one by one.
#![cfg_attr(
    not(all(feature = "aws", feature = "azure", feature = "gcp")),
    allow(dead_code)
)]

#[cfg(feature = "azure")]
mod azure;
mod body;
mod connector;
#[cfg(feature = "gcp")]
mod gcs;
mod objects;
mod observe;
mod open;
mod raw;
#[cfg(feature = "aws")]
mod s3;
mod tag;
mod xml;

#[cfg(feature = "azure")]
pub use self::azure::Azure;
#[cfg(feature = "gcp")]
pub use self::gcs::Gcs;
#[cfg(feature = "aws")]
pub use self::s3::S3;
pub use self::{connector::Connector, open::open_bucket};
