use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use tokio::time::timeout;

use super::{Access, Creation, Finish, Hook, Hooks, Notice, Rejection, Termination};
use crate::protocol::Error;

/// The hooks of a service, in their order. Whatever one of them does, this comes to an end.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    links: Vec<Link>,
    timeout: Duration,
}

#[derive(Debug, Clone)]
struct Link {
    hooks: Arc<dyn Hooks>,
    wanted: Vec<Hook>,
}

/// Whether everybody was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    All,
    /// Somebody has to be told again.
    NotAll,
}

impl Chain {
    pub(crate) fn push(&mut self, hooks: impl Hooks) {
        let is_wanted = |hook: &Hook| hooks.wants(*hook);
        let wanted = Hook::ALL.into_iter().filter(is_wanted).collect();
        let hooks = Arc::new(hooks);
        self.links.push(Link { hooks, wanted });
    }

    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    pub(crate) fn wants(&self, hook: Hook) -> bool {
        self.wanting(hook).next().is_some()
    }

    pub(crate) async fn authorize(&self, access: &Access<'_>) -> Result<(), Error> {
        for hooks in self.wanting(Hook::Authorize) {
            let asked = self.bounded(Hook::Authorize, hooks.authorize(access));
            asked.await??;
        }
        Ok(())
    }

    pub(crate) async fn pre_create(&self, creation: &mut Creation<'_>) -> Result<(), Error> {
        for hooks in self.wanting(Hook::PreCreate) {
            let asked = self.bounded(Hook::PreCreate, hooks.pre_create(creation));
            asked.await??;
        }
        Ok(())
    }

    pub(crate) async fn pre_finish(&self, finish: &mut Finish<'_>) -> Result<(), Error> {
        for hooks in self.wanting(Hook::PreFinish) {
            let asked = self.bounded(Hook::PreFinish, hooks.pre_finish(finish));
            asked.await??;
        }
        Ok(())
    }

    pub(crate) async fn pre_terminate(&self, termination: &Termination<'_>) -> Result<(), Error> {
        for hooks in self.wanting(Hook::PreTerminate) {
            let asked = self.bounded(Hook::PreTerminate, hooks.pre_terminate(termination));
            asked.await??;
        }
        Ok(())
    }

    /// Tells all that want to know; one that fails is logged and keeps nobody else from it.
    pub(crate) async fn tell(&self, hook: Hook, notice: &Notice) -> Told {
        let mut told = Told::All;
        for hooks in self.wanting(hook) {
            let telling = async {
                match hook {
                    Hook::PostCreate => hooks.post_create(notice).await,
                    Hook::PostReceive => hooks.post_receive(notice).await,
                    Hook::PostTerminate => hooks.post_terminate(notice).await,
                    Hook::PostFinish => return hooks.post_finish(notice).await,
                    Hook::Authorize | Hook::PreCreate | Hook::PreFinish | Hook::PreTerminate => {}
                }
                Ok(())
            };
            match self.bounded(hook, telling).await {
                Ok(Ok(())) => {}
                Ok(Err(undelivered)) => {
                    let source =
                        std::error::Error::source(&undelivered).map(tracing::field::display);
                    tracing::warn!(event = %notice.id, source, "{undelivered}");
                    told = Told::NotAll;
                }
                Err(_) => told = Told::NotAll,
            }
        }
        told
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
        match timeout(self.timeout, AssertUnwindSafe(said).catch_unwind()).await {
            Ok(Ok(said)) => Ok(said),
            Ok(Err(_)) => {
                tracing::error!(hook = name, "a hook panicked");
                Err(Error::Internal)
            }
            Err(_) => {
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
