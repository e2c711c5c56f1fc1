use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use tower_tus::hooks::{
    Access, Creation, Finish, Hooks, Notice, Rejection, Termination, Undelivered,
};

/// Hooks that write down what they are called for. Clones write into one list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder(Arc<Mutex<Vec<Call>>>);

/// One call of a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) hook: &'static str,
    /// The upload; empty if there is none.
    pub(crate) id: String,
    pub(crate) offset: u64,
    /// The event; empty for hooks that are asked.
    pub(crate) event: String,
}

/// A `pre_finish` that does what the test says at the time. Clones do the same.
#[derive(Clone, Default)]
pub(crate) struct Judge {
    verdict: Arc<Mutex<Verdict>>,
    waiting: Arc<AtomicBool>,
}

#[derive(Clone, Debug, Default)]
pub(crate) enum Verdict {
    #[default]
    Pass,
    Veto(Rejection),
    Panic,
    /// Until it is cancelled.
    Wait(CancellationToken),
}

impl Recorder {
    /// The names of the hooks that were called for one upload, in their order.
    pub(crate) fn of(&self, url: &str) -> Vec<&'static str> {
        let id = super::key_of(url);
        let calls = self.calls();
        calls
            .iter()
            .filter(|call| call.id == id)
            .map(|call| call.hook)
            .collect()
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.0.lock().unwrap().clone()
    }

    fn asked(&self, hook: &'static str, upload: Option<&tower_tus::protocol::Upload>) {
        self.0.lock().unwrap().push(Call {
            hook,
            id: upload
                .map(|upload| upload.id.to_string())
                .unwrap_or_default(),
            offset: upload.map(|upload| upload.offset).unwrap_or_default(),
            event: String::new(),
        });
    }

    fn told(&self, hook: &'static str, notice: &Notice) {
        self.0.lock().unwrap().push(Call {
            hook,
            id: notice.upload.id.to_string(),
            offset: notice.upload.offset,
            event: notice.id.to_string(),
        });
    }
}

#[async_trait]
impl Hooks for Recorder {
    async fn authorize(&self, access: &Access<'_>) -> Result<(), Rejection> {
        self.asked("authorize", access.upload);
        Ok(())
    }

    async fn pre_create(&self, creation: &mut Creation<'_>) -> Result<(), Rejection> {
        self.asked("pre-create", Some(creation.upload()));
        Ok(())
    }

    async fn post_create(&self, notice: &Notice) {
        self.told("post-create", notice);
    }

    async fn post_receive(&self, notice: &Notice) -> Result<(), Rejection> {
        self.told("post-receive", notice);
        Ok(())
    }

    async fn pre_finish(&self, finish: &mut Finish<'_>) -> Result<(), Rejection> {
        self.asked("pre-finish", Some(finish.upload()));
        Ok(())
    }

    async fn post_finish(&self, notice: &Notice) -> Result<(), Undelivered> {
        self.told("post-finish", notice);
        Ok(())
    }

    async fn pre_terminate(&self, termination: &mut Termination<'_>) -> Result<(), Rejection> {
        self.asked("pre-terminate", Some(termination.upload()));
        Ok(())
    }

    async fn post_terminate(&self, notice: &Notice) {
        self.told("post-terminate", notice);
    }
}

impl Judge {
    pub(crate) fn says(&self, verdict: Verdict) {
        *self.verdict.lock().unwrap() = verdict;
    }

    /// Whether an upload waits, or has waited, for it.
    pub(crate) fn is_asked(&self) -> bool {
        self.waiting.load(SeqCst)
    }
}

#[async_trait]
impl Hooks for Judge {
    fn wants(&self, hook: tower_tus::hooks::Hook) -> bool {
        hook == tower_tus::hooks::Hook::PreFinish
    }

    async fn pre_finish(&self, _: &mut Finish<'_>) -> Result<(), Rejection> {
        let verdict = self.verdict.lock().unwrap().clone();
        match verdict {
            Verdict::Pass => Ok(()),
            Verdict::Veto(rejection) => Err(rejection),
            Verdict::Panic => panic!("this hook panics"),
            Verdict::Wait(end) => {
                self.waiting.store(true, SeqCst);
                end.cancelled().await;
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Judge")
    }
}
