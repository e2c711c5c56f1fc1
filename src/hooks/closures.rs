//! Single hooks as closures.

use std::fmt;

use async_trait::async_trait;

use super::{Access, Creation, Hook, Hooks, Notice, Rejection, Undelivered};

/// [`Hooks::authorize`], and nothing else.
pub(crate) struct Authorize<F>(pub(crate) F);

/// [`Hooks::pre_create`], and nothing else.
pub(crate) struct OnCreate<F>(pub(crate) F);

/// [`Hooks::post_finish`], and nothing else.
pub(crate) struct OnFinish<F>(pub(crate) F);

#[async_trait]
impl<F> Hooks for Authorize<F>
where
    F: Fn(&Access<'_>) -> Result<(), Rejection> + Send + Sync + 'static,
{
    fn wants(&self, hook: Hook) -> bool {
        hook == Hook::Authorize
    }

    async fn authorize(&self, access: &Access<'_>) -> Result<(), Rejection> {
        (self.0)(access)
    }
}

#[async_trait]
impl<F> Hooks for OnCreate<F>
where
    F: Fn(&mut Creation<'_>) -> Result<(), Rejection> + Send + Sync + 'static,
{
    fn wants(&self, hook: Hook) -> bool {
        hook == Hook::PreCreate
    }

    async fn pre_create(&self, creation: &mut Creation<'_>) -> Result<(), Rejection> {
        (self.0)(creation)
    }
}

#[async_trait]
impl<F, T> Hooks for OnFinish<F>
where
    F: Fn(Notice) -> T + Send + Sync + 'static,
    T: Future<Output = Result<(), Undelivered>> + Send + 'static,
{
    fn wants(&self, hook: Hook) -> bool {
        hook == Hook::PostFinish
    }

    async fn post_finish(&self, notice: &Notice) -> Result<(), Undelivered> {
        (self.0)(notice.clone()).await
    }
}

impl<F> fmt::Debug for Authorize<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorize")
    }
}

impl<F> fmt::Debug for OnCreate<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnCreate")
    }
}

impl<F> fmt::Debug for OnFinish<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnFinish")
    }
}
