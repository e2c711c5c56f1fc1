use std::time::Duration;

use http::Uri;

use super::Cors;
use crate::protocol::{Availability, KeyTemplate, Offer};

/// Everything the builder sets.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) offer: Offer,
    pub(super) base_path: Option<String>,
    pub(super) base_url: Option<Uri>,
    pub(super) forwarded: Forwarded,
    pub(super) cors: Cors,
    pub(super) key: KeyTemplate,
    pub(super) concat_parts: ConcatParts,
    pub(super) lifetime: Option<Duration>,
    pub(super) sweep_every: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            offer: Offer::default(),
            base_path: None,
            base_url: None,
            forwarded: Forwarded::Ignore,
            cors: Cors::any(),
            key: KeyTemplate::default(),
            concat_parts: ConcatParts::Keep,
            lifetime: None,
            sweep_every: Duration::from_secs(10 * 60),
        }
    }
}

/// What to make of the fields in which proxies tell the client's view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Forwarded {
    /// Nothing: any client could have written them.
    Ignore,
    /// They are a proxy's own.
    Trust,
}

/// What happens to partial uploads when they have been joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConcatParts {
    /// They stay until they expire or are terminated, and may be used again.
    Keep,
    /// They are removed.
    Remove,
}

/// Whether and how finished uploads can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloads(Availability);

impl Downloads {
    /// With GET and ranges. Types that browsers show without running anything (images without SVG,
    /// audio, video, plain text, PDF) are shown inline; everything else is an attachment of type
    /// `application/octet-stream`. The default.
    #[must_use]
    pub fn attachment() -> Self {
        Self(Availability::On)
    }

    /// Not at all: 405.
    #[must_use]
    pub fn off() -> Self {
        Self(Availability::Off)
    }

    pub(super) fn availability(&self) -> Availability {
        self.0
    }
}
