//! The application's say in uploads: [`Hooks`], and what it is told: [`Event`].
//!
//! ```
//! use async_trait::async_trait;
//! use tower_tus::{
//!     TusService,
//!     hooks::{Access, Creation, Hooks, Notice, Rejection, Undelivered},
//!     storage::MemoryStorage,
//! };
//!
//! #[derive(Debug)]
//! struct Photos;
//!
//! #[async_trait]
//! impl Hooks for Photos {
//!     async fn authorize(&self, access: &Access<'_>) -> Result<(), Rejection> {
//!         match access.request.headers.get("x-key") {
//!             Some(key) if key == "secret" => Ok(()),
//!             _ => Err(Rejection::unauthorized()),
//!         }
//!     }
//!
//!     async fn pre_create(&self, creation: &mut Creation<'_>) -> Result<(), Rejection> {
//!         match creation.upload().metadata.get_str("filetype") {
//!             Some(kind) if kind.starts_with("image/") => Ok(()),
//!             _ => Err(Rejection::unsupported_media_type()),
//!         }
//!     }
//!
//!     async fn post_finish(&self, notice: &Notice) -> Result<(), Undelivered> {
//!         println!("{} is there", notice.upload.key);
//!         Ok(())
//!     }
//! }
//!
//! let tus = TusService::new(MemoryStorage::new()).hooks(Photos);
//! ```
//!
//! # Order
//! A request goes through [`authorize`](Hooks::authorize), then the `pre_` hook of what it does, then it is
//! done, then the `post_` hook is told. With several [`Hooks`] on a service all are asked in their order, and
//! the first rejection is the answer; all are told.
//!
//! `pre_` hooks are part of the request: the client waits. They are never dropped because a client went away,
//! but have a time limit ([`hook_timeout`](crate::TusService::hook_timeout)); who misses it is answered with
//! 503. A hook that panics is answered with 500 and costs no other request anything. What was received is
//! stored before [`pre_finish`](Hooks::pre_finish) is asked, so no hook can lose a byte.
//!
//! `post_` hooks run in the background, one after the other for each upload, and as many at once as there are
//! uploads up to a bound. [`shutdown`](crate::TusService::shutdown) waits for them.
//!
//! # Delivery
//! [`post_finish`](Hooks::post_finish) is told of each finished upload *at least once*, over crashes and
//! restarts: an upload is created with a mark ([`Announcement::Due`](crate::protocol::Announcement)) if anybody
//! wants to know of its finish, the mark is taken away when everybody was told, and the service looks for
//! marks when it starts and with every sweep. Repetitions have the same [`EventId`]. An upload with a mark does
//! not expire, and is not removed as a part that was joined; if a client removes it, that may be all that is
//! told. Other `post_` hooks are told once at most.

mod access;
mod closures;
mod creation;
mod event;
mod events;
mod finish;
mod notice;
mod pointers;
mod remote_addr;
#[cfg(feature = "webhook")]
pub mod webhook;

use std::fmt::Debug;

use async_trait::async_trait;

pub use self::{
    access::{Access, Termination},
    creation::Creation,
    event::{Event, EventKind},
    events::{Events, Lagged},
    finish::Finish,
    notice::{EventId, Notice, Undelivered},
    remote_addr::RemoteAddr,
};
pub(crate) use self::{
    closures::{Authorize, OnCreate, OnFinish},
    events::Bus,
};
pub use crate::protocol::{Rejection, Reply};

/// What the application wants to decide, and to know.
///
/// Every method has a default that lets pass and does nothing. See the [module](self) for their order.
///
/// `Box` and `Arc` of hooks are hooks, so that they can be chosen at run time; `()` wants nothing.
///
/// ```
/// use tower_tus::{TusService, hooks::Hooks, storage::MemoryStorage};
///
/// # let chosen = || -> Box<dyn Hooks> { Box::new(()) };
/// let hooks: Box<dyn Hooks> = chosen();
/// let tus = TusService::new(MemoryStorage::new()).hooks(hooks);
/// ```
#[async_trait]
pub trait Hooks: Debug + Send + Sync + 'static {
    /// Whether this hook is to be called at all; the default is always. Asked once, when the hooks are
    /// given to the service. Some hooks have a price, which is saved without them: `Authorize` and
    /// `PreTerminate` load the upload, `PreFinish` and `PostFinish` write its state once more.
    fn wants(&self, hook: Hook) -> bool {
        let _ = hook;
        true
    }

    /// Whether a request may do what it asks for. Runs for every method, before anything is done; not for
    /// CORS preflights, which carry no credentials.
    ///
    /// Of a concatenation it is asked first without an upload, and then once for each part.
    ///
    /// # Errors
    /// The answer to the client.
    async fn authorize(&self, access: &Access<'_>) -> Result<(), Rejection> {
        let _ = access;
        Ok(())
    }

    /// Whether an upload may be made, and how. It may change the upload's id, key, metadata, largest size,
    /// lifetime and owner.
    ///
    /// # Errors
    /// The answer to the client. Nothing is stored.
    async fn pre_create(&self, creation: &mut Creation<'_>) -> Result<(), Rejection> {
        let _ = creation;
        Ok(())
    }

    /// An upload was made.
    async fn post_create(&self, notice: &Notice) {
        let _ = notice;
    }

    /// Bytes have come, since the last time: once in each
    /// [`progress_interval`](crate::TusService::progress_interval) while a body is received. The offset is
    /// that of what was received, be it stored already or not.
    ///
    /// # Errors
    /// The upload is stopped: it is removed, and this is the answer to the request that is sending it. If all
    /// of its bytes have come meanwhile it is too late, and the upload goes its way.
    async fn post_receive(&self, notice: &Notice) -> Result<(), Rejection> {
        let _ = notice;
        Ok(())
    }

    /// All bytes of an upload are stored. It may shape the answer to the last request; or object, and the
    /// upload does not appear under its key.
    ///
    /// The upload then stays with all of its bytes, until it expires or is terminated. Clients see it as
    /// unfinished: every request for it, be it `HEAD` or the last `PATCH` once more, asks this hook again,
    /// and is answered with its rejection. So a status of 4xx ends what a client can do, and a 5xx lets it
    /// try again. An upload that was made by the same request is removed, for the client knows no URL.
    ///
    /// It may run several times for one upload, and without a request after a crash.
    ///
    /// # Errors
    /// The answer to the client.
    async fn pre_finish(&self, finish: &mut Finish<'_>) -> Result<(), Rejection> {
        let _ = finish;
        Ok(())
    }

    /// An upload is finished: its bytes are under its key.
    ///
    /// # Errors
    /// If it has to be told again, with the next sweep.
    async fn post_finish(&self, notice: &Notice) -> Result<(), Undelivered> {
        let _ = notice;
        Ok(())
    }

    /// Whether a client may remove an upload, and what it is told then. Expiry asks nobody.
    ///
    /// # Errors
    /// The answer to the client.
    async fn pre_terminate(&self, termination: &mut Termination<'_>) -> Result<(), Rejection> {
        let _ = termination;
        Ok(())
    }

    /// An upload was removed, which was as the notice says: by a client; by [`post_receive`](Self::post_receive);
    /// or by the service, because the request that made it was refused after all, or it was a part that was
    /// joined ([`ConcatParts::Remove`](crate::service::ConcatParts)). Not if it has expired: see [`Event`].
    async fn post_terminate(&self, notice: &Notice) {
        let _ = notice;
    }
}

/// One of the [`Hooks`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hook {
    /// [`Hooks::authorize`]
    Authorize,
    /// [`Hooks::pre_create`]
    PreCreate,
    /// [`Hooks::post_create`]
    PostCreate,
    /// [`Hooks::post_receive`]
    PostReceive,
    /// [`Hooks::pre_finish`]
    PreFinish,
    /// [`Hooks::post_finish`]
    PostFinish,
    /// [`Hooks::pre_terminate`]
    PreTerminate,
    /// [`Hooks::post_terminate`]
    PostTerminate,
}

impl Hook {
    /// All of them, in the order of an upload's life.
    pub const ALL: [Self; 8] = [
        Self::Authorize,
        Self::PreCreate,
        Self::PostCreate,
        Self::PostReceive,
        Self::PreFinish,
        Self::PostFinish,
        Self::PreTerminate,
        Self::PostTerminate,
    ];

    /// Its name as tusd spells it, e.g. `pre-create`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::PreCreate => "pre-create",
            Self::PostCreate => "post-create",
            Self::PostReceive => "post-receive",
            Self::PreFinish => "pre-finish",
            Self::PostFinish => "post-finish",
            Self::PreTerminate => "pre-terminate",
            Self::PostTerminate => "post-terminate",
        }
    }
}
