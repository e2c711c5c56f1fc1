use std::time::Duration;

use http::Uri;

use super::{Cors, OwnerLimits, chain::Chain, hooks::OwnerOf};
use crate::protocol::{Availability, KeyTemplate, Offer};

/// Everything the builder sets.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) offer: Offer,
    pub(super) base_path: Option<String>,
    pub(super) base_url: Option<Uri>,
    pub(super) forwarded: Forwarded,
    pub(super) cors: Cors,
    /// Its availability is in the offer too.
    pub(super) downloads: Downloads,
    pub(super) key: KeyTemplate,
    pub(super) concat_parts: ConcatParts,
    pub(super) lifetime: Option<Duration>,
    pub(super) sweep_every: Duration,
    pub(super) hooks: Chain,
    pub(super) progress_interval: Duration,
    pub(super) owner: Option<OwnerOf>,
    pub(super) owner_limits: Option<OwnerLimits>,
}

impl Config {
    /// Whether anybody wants to see requests.
    pub(super) fn wants_requests(&self) -> bool {
        !self.hooks.is_empty() || self.owner.is_some()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            offer: Offer::default(),
            base_path: None,
            base_url: None,
            forwarded: Forwarded::Ignore,
            cors: Cors::any(),
            downloads: Downloads::attachment(),
            key: KeyTemplate::default(),
            concat_parts: ConcatParts::Keep,
            lifetime: None,
            sweep_every: Duration::from_secs(10 * 60),
            hooks: Chain::default(),
            progress_interval: Duration::from_secs(1),
            owner: None,
            owner_limits: None,
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
    /// They are removed; a part whose finish is still to be told
    /// ([`post_finish`](crate::hooks::Hooks::post_finish)), once it was told. If the process that joined it has
    /// ended by then, it stays until it expires ([`expires_after`](crate::TusService::expires_after)).
    Remove,
}

/// Whether and how finished uploads can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloads(Way);

/// How bytes reach whoever reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Nowhere,
    Through,
    Beside(Duration),
}

impl Downloads {
    /// With GET and ranges. Types that browsers show without running anything (images without SVG,
    /// audio, video, plain text, PDF) are shown inline; everything else is an attachment of type
    /// `application/octet-stream`. The default.
    #[must_use]
    pub fn attachment() -> Self {
        Self(Way::Through)
    }

    /// With GET, from the storage itself: the answer is 307 and a signed URL, under which anybody may
    /// read the upload for the next `lifetime`. Where the storage has no such URL, as files and memory
    /// have none, this is [`attachment`](Self::attachment).
    ///
    /// Type and disposition are those that the storage keeps, at an origin of its own; web pages need
    /// its permission (CORS) to read from there. HEAD is answered here.
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// use std::time::Duration;
    /// use tower_tus::service::Downloads;
    ///
    /// let minutes = Duration::from_secs(5 * 60);
    /// let tus = TusService::new(MemoryStorage::new()).downloads(Downloads::redirect(minutes));
    /// ```
    #[must_use]
    pub fn redirect(lifetime: Duration) -> Self {
        Self(Way::Beside(lifetime))
    }

    /// Not at all: 405.
    #[must_use]
    pub fn off() -> Self {
        Self(Way::Nowhere)
    }

    pub(super) fn availability(&self) -> Availability {
        match self.0 {
            Way::Nowhere => Availability::Off,
            Way::Through | Way::Beside(_) => Availability::On,
        }
    }

    /// How long a URL of the storage is to be good, if readers are sent there.
    pub(super) fn beside(&self) -> Option<Duration> {
        match self.0 {
            Way::Nowhere | Way::Through => None,
            Way::Beside(lifetime) => Some(lifetime),
        }
    }
}
