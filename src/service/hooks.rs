//! Settings of the application's say in uploads.

use std::{fmt, sync::Arc, time::Duration};

use http::request;

use super::{OwnerLimits, TusService};
use crate::{
    hooks::{
        Access, Authorize, Creation, Events, Hooks, Notice, OnCreate, OnFinish, Rejection,
        Undelivered,
    },
    protocol::Owner,
};

/// Tells whose a request is.
#[derive(Clone)]
pub(super) struct OwnerOf(Arc<Function>);

type Function = dyn Fn(&request::Parts) -> Option<Owner> + Send + Sync;

impl TusService {
    /// Lets the application decide and know, by a [`Hooks`] of its own. Several are asked in the order in which
    /// they were given. Default: none, which costs nothing.
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// use tower_tus::hooks::{Creation, Hooks, Rejection};
    ///
    /// #[derive(Debug)]
    /// struct NoNames;
    ///
    /// #[async_trait::async_trait]
    /// impl Hooks for NoNames {
    ///     async fn pre_create(&self, creation: &mut Creation<'_>) -> Result<(), Rejection> {
    ///         creation.set_metadata(Default::default());
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let tus = TusService::new(MemoryStorage::new()).hooks(NoNames);
    /// ```
    pub fn hooks(self, hooks: impl Hooks) -> Self {
        self.configure(|config| config.hooks.push(hooks))
    }

    /// [`Hooks::authorize`] as a closure. What has to wait for something implements the trait.
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// use tower_tus::hooks::Rejection;
    ///
    /// #[derive(Clone)]
    /// struct User;
    ///
    /// let tus = TusService::new(MemoryStorage::new()).authorize(|access| {
    ///     match access.request.extensions.get::<User>() {
    ///         Some(_) => Ok(()),
    ///         None => Err(Rejection::unauthorized()),
    ///     }
    /// });
    /// ```
    pub fn authorize<F>(self, hook: F) -> Self
    where
        F: Fn(&Access<'_>) -> Result<(), Rejection> + Send + Sync + 'static,
    {
        self.hooks(Authorize(hook))
    }

    /// [`Hooks::pre_create`] as a closure. What has to wait for something implements the trait.
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// use tower_tus::hooks::Rejection;
    ///
    /// let tus = TusService::new(MemoryStorage::new()).on_create(|creation| {
    ///     match creation.upload().metadata.get_str("filename") {
    ///         Some(name) if name.ends_with(".exe") => Err(Rejection::forbidden()),
    ///         _ => Ok(()),
    ///     }
    /// });
    /// ```
    pub fn on_create<F>(self, hook: F) -> Self
    where
        F: Fn(&mut Creation<'_>) -> Result<(), Rejection> + Send + Sync + 'static,
    {
        self.hooks(OnCreate(hook))
    }

    /// [`Hooks::post_finish`] as a closure: told of each finished upload at least once.
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// let tus = TusService::new(MemoryStorage::new()).on_finish(async |notice| {
    ///     println!("{} is finished", notice.upload.id);
    ///     Ok(())
    /// });
    /// ```
    pub fn on_finish<F, T>(self, hook: F) -> Self
    where
        F: Fn(Notice) -> T + Send + Sync + 'static,
        T: Future<Output = Result<(), Undelivered>> + Send + 'static,
    {
        self.hooks(OnFinish(hook))
    }

    /// How long each call of a hook may take. Default: 30 seconds.
    ///
    /// A `pre_` hook that takes longer is answered with 503, a `post_` hook is dropped.
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// use std::time::Duration;
    ///
    /// let tus = TusService::new(MemoryStorage::new()).hook_timeout(Duration::from_secs(5));
    /// ```
    pub fn hook_timeout(self, timeout: Duration) -> Self {
        self.configure(|config| config.hooks.set_timeout(timeout))
    }

    /// How often at most [`Hooks::post_receive`] and the events tell of the progress of an upload.
    /// Default: every second.
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// use std::time::Duration;
    ///
    /// let tus = TusService::new(MemoryStorage::new()).progress_interval(Duration::from_secs(5));
    /// ```
    pub fn progress_interval(self, interval: Duration) -> Self {
        self.configure(|config| config.progress_interval = interval)
    }

    /// Whose a request is. Its uploads belong to that owner, and to everybody else they do not exist: 404 for
    /// each method, and as parts of a concatenation they are as unknown as others. Default: uploads belong to
    /// nobody, and whoever knows the URL may use them.
    ///
    /// Requests without an owner see the uploads without one.
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// use tower_tus::protocol::Owner;
    ///
    /// #[derive(Clone)]
    /// struct User {
    ///     name: String,
    /// }
    ///
    /// let tus = TusService::new(MemoryStorage::new()).owner(|request| {
    ///     let user = request.extensions.get::<User>()?;
    ///     Some(Owner::new(user.name.as_str()))
    /// });
    /// ```
    pub fn owner<F>(self, owner: F) -> Self
    where
        F: Fn(&request::Parts) -> Option<Owner> + Send + Sync + 'static,
    {
        self.configure(|config| config.owner = Some(OwnerOf(Arc::new(owner))))
    }

    /// What each owner may have. Default: as much as it likes.
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// use tower_tus::service::OwnerLimits;
    ///
    /// let limits = OwnerLimits::default().max_uploads(10).max_stored_bytes(100 << 30);
    /// let tus = TusService::new(MemoryStorage::new()).owner_limits(limits);
    /// ```
    pub fn owner_limits(self, limits: OwnerLimits) -> Self {
        self.configure(|config| config.owner_limits = Some(limits))
    }

    /// What happens to the uploads of this service in this process, from now on.
    ///
    /// Subscribe before the first request: finishes that a crash kept from being told are told when the service
    /// starts. See [`Event`](crate::hooks::Event) for when they count as told.
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// use futures::StreamExt;
    ///
    /// let tus = TusService::new(MemoryStorage::new());
    /// let mut events = tus.events();
    /// let watching = async move {
    ///     while let Some(event) = events.next().await {
    ///         match event {
    ///             Ok(event) => println!("{} {}", event.upload.id, event.kind.name()),
    ///             Err(lagged) => eprintln!("{lagged}"),
    ///         }
    ///     }
    /// };
    /// # drop(watching);
    /// ```
    #[must_use]
    pub fn events(&self) -> Events {
        self.engine.bus.subscribe()
    }
}

impl OwnerOf {
    pub(super) fn owner(&self, request: &request::Parts) -> Option<Owner> {
        (self.0)(request)
    }
}

impl fmt::Debug for OwnerOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnerOf")
    }
}
