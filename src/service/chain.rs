use std::{error::Error as _, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use http::StatusCode;
use tokio::time::timeout;

use super::observe;
use crate::{
    hooks::{Access, Creation, Finish, Hook, Hooks, Notice, Rejection, Termination},
    protocol::Error,
};

/// The hooks of a service, in their order. Whatever one of them does, this comes to an end.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    links: Vec<Link>,
    timeout: Duration,
}

#[derive(Debug, Clone)]
struct Link {
    hooks: Arc<dyn Hooks>,
    wanted: Vec<Hook>,
}

/// What came of telling everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    All,
    /// Somebody has to be told again.
    NotAll,
    /// Somebody wants no more of the upload.
    Stop(Rejection),
}

impl Told {
    /// What came of telling those, and one more. The first who wants no more has the say.
    fn and(self, next: Self) -> Self {
        match (self, next) {
            (Self::All, next) | (Self::NotAll, next @ Self::Stop(_)) => next,
            (told, _) => told,
        }
    }
}

impl Chain {
    pub(super) fn push(&mut self, hooks: impl Hooks) {
        let is_wanted = |hook: &Hook| hooks.wants(*hook);
        let wanted = Hook::ALL.into_iter().filter(is_wanted).collect();
        let hooks = Arc::new(hooks);
        self.links.push(Link { hooks, wanted });
    }

    pub(super) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    pub(super) fn wants(&self, hook: Hook) -> bool {
        self.wanting(hook).next().is_some()
    }

    pub(super) async fn authorize(&self, access: &Access<'_>) -> Result<(), Error> {
        for hooks in self.wanting(Hook::Authorize) {
            self.ask(Hook::Authorize, hooks.authorize(access)).await?;
        }
        Ok(())
    }

    pub(super) async fn pre_create(&self, creation: &mut Creation<'_>) -> Result<(), Error> {
        for hooks in self.wanting(Hook::PreCreate) {
            self.ask(Hook::PreCreate, hooks.pre_create(creation))
                .await?;
        }
        Ok(())
    }

    pub(super) async fn pre_finish(&self, finish: &mut Finish<'_>) -> Result<(), Error> {
        for hooks in self.wanting(Hook::PreFinish) {
            self.ask(Hook::PreFinish, hooks.pre_finish(finish)).await?;
        }
        Ok(())
    }

    pub(super) async fn pre_terminate(
        &self,
        termination: &mut Termination<'_>,
    ) -> Result<(), Error> {
        for hooks in self.wanting(Hook::PreTerminate) {
            self.ask(Hook::PreTerminate, hooks.pre_terminate(termination))
                .await?;
        }
        Ok(())
    }

    /// Tells all that want to know; one that fails is logged and keeps nobody else from it.
    pub(super) async fn tell(&self, hook: Hook, notice: &Notice) -> Told {
        let mut told = Told::All;
        for hooks in self.wanting(hook) {
            told = told.and(self.tell_one(hook, hooks, notice).await);
        }
        told
    }

    async fn tell_one(&self, hook: Hook, hooks: &dyn Hooks, notice: &Notice) -> Told {
        let telling = async {
            match hook {
                Hook::PostCreate => hooks.post_create(notice).await,
                Hook::PostTerminate => hooks.post_terminate(notice).await,
                Hook::PostReceive => {
                    if let Err(rejection) = hooks.post_receive(notice).await {
                        return Told::Stop(rejection);
                    }
                }
                Hook::PostFinish => {
                    if let Err(undelivered) = hooks.post_finish(notice).await {
                        observe::hook_failed(hook);
                        let source = undelivered.source().map(tracing::field::display);
                        tracing::warn!(event = %notice.id, source, "{undelivered}");
                        return Told::NotAll;
                    }
                }
                Hook::Authorize | Hook::PreCreate | Hook::PreFinish | Hook::PreTerminate => {}
            }
            Told::All
        };
        self.bounded(hook, telling).await.unwrap_or(Told::NotAll)
    }

    async fn ask(
        &self,
        hook: Hook,
        asked: impl Future<Output = Result<(), Rejection>>,
    ) -> Result<(), Error> {
        self.bounded(hook, asked).await?.map_err(|rejection| {
            if rejection.status.is_server_error() {
                observe::hook_failed(hook);
            }
            rejection.into()
        })
    }

    fn wanting(&self, hook: Hook) -> impl Iterator<Item = &dyn Hooks> {
        let wanting = move |link: &&Link| link.wanted.contains(&hook);
        self.links
            .iter()
            .filter(wanting)
            .map(|link| link.hooks.as_ref())
    }

    /// What a hook says, unless it takes too long or panics.
    async fn bounded<T>(&self, hook: Hook, said: impl Future<Output = T>) -> Result<T, Error> {
        let name = hook.name();
        observe::hook(hook);
        match timeout(self.timeout, AssertUnwindSafe(said).catch_unwind()).await {
            Ok(Ok(said)) => Ok(said),
            Ok(Err(_)) => {
                observe::hook_failed(hook);
                tracing::error!(hook = name, "a hook panicked");
                let failed = Rejection::new(StatusCode::INTERNAL_SERVER_ERROR);
                Err(failed.body("the application failed\n").into())
            }
            Err(_) => {
                observe::hook_failed(hook);
                tracing::error!(hook = name, limit = ?self.timeout, "a hook took too long");
                let late = "the application did not answer in time\n";
                Err(Rejection::unavailable(1).body(late).into())
            }
        }
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            links: Vec::new(),
            timeout: Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use async_trait::async_trait;
    use http::StatusCode;

    use super::*;
    use crate::{
        hooks::EventKind,
        protocol::{Length, Upload},
    };

    /// What a hook does with progress.
    #[derive(Debug, Clone, Copy)]
    enum Does {
        Nothing,
        Stop(StatusCode),
        Panic,
    }

    #[async_trait]
    impl Hooks for Does {
        async fn post_receive(&self, _: &Notice) -> Result<(), Rejection> {
            match self {
                Self::Nothing => Ok(()),
                Self::Stop(status) => Err(Rejection::new(*status)),
                Self::Panic => panic!("this hook panics"),
            }
        }
    }

    async fn told(hooks: &[Does]) -> Told {
        let mut chain = Chain::default();
        for hook in hooks {
            chain.push(*hook);
        }
        let upload = Upload::new("a".parse().unwrap(), Length::Known(7), UNIX_EPOCH);
        let notice = Notice::new(EventKind::Progress, &upload, None);
        chain.tell(Hook::PostReceive, &notice).await
    }

    #[tokio::test]
    async fn the_first_who_wants_no_more_has_the_say_whatever_others_do() {
        let stop = |status| Told::Stop(Rejection::new(status));
        let [first, second] = [StatusCode::GONE, StatusCode::CONFLICT];
        for (hooks, expected) in [
            (vec![Does::Nothing, Does::Nothing], Told::All),
            (vec![Does::Panic, Does::Nothing], Told::NotAll),
            (vec![Does::Stop(first), Does::Nothing], stop(first)),
            (vec![Does::Stop(first), Does::Panic], stop(first)),
            (vec![Does::Stop(first), Does::Stop(second)], stop(first)),
            (vec![Does::Panic, Does::Stop(second)], stop(second)),
        ] {
            assert_eq!(told(&hooks).await, expected, "{hooks:?}");
        }
    }
}
