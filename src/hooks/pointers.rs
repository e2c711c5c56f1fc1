//! Hooks that are chosen at run time, or are none.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Access, Creation, Finish, Hook, Hooks, Notice, Rejection, Termination, Undelivered};

macro_rules! hooks_behind {
    ($pointer:ident) => {
        #[async_trait]
        impl<H: Hooks + ?Sized> Hooks for $pointer<H> {
            fn wants(&self, hook: Hook) -> bool {
                (**self).wants(hook)
            }

            async fn authorize(&self, access: &Access<'_>) -> Result<(), Rejection> {
                (**self).authorize(access).await
            }

            async fn pre_create(&self, creation: &mut Creation<'_>) -> Result<(), Rejection> {
                (**self).pre_create(creation).await
            }

            async fn post_create(&self, notice: &Notice) {
                (**self).post_create(notice).await;
            }

            async fn post_receive(&self, notice: &Notice) -> Result<(), Rejection> {
                (**self).post_receive(notice).await
            }

            async fn pre_finish(&self, finish: &mut Finish<'_>) -> Result<(), Rejection> {
                (**self).pre_finish(finish).await
            }

            async fn post_finish(&self, notice: &Notice) -> Result<(), Undelivered> {
                (**self).post_finish(notice).await
            }

            async fn pre_terminate(
                &self,
                termination: &mut Termination<'_>,
            ) -> Result<(), Rejection> {
                (**self).pre_terminate(termination).await
            }

            async fn post_terminate(&self, notice: &Notice) {
                (**self).post_terminate(notice).await;
            }
        }
    };
}

hooks_behind!(Arc);
hooks_behind!(Box);

impl Hooks for () {
    fn wants(&self, _: Hook) -> bool {
        false
    }
}
