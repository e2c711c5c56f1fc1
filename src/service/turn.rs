use std::time::Duration;

use tokio::{sync::Mutex, time::Instant};

use crate::storage;

/// Lets one look at what is stored at a time, and none for a while afterwards.
#[derive(Debug, Default)]
pub(super) struct Turn(Mutex<Option<Look>>);

/// A look that is over.
#[derive(Debug)]
struct Look {
    ended: Instant,
    took: Duration,
}

/// What took long is done the less often: this many times as long passes before the next time.
const REST: u32 = 20;

impl Turn {
    /// Looks, unless somebody has lately. Waits for whoever does just now.
    pub(super) async fn take(
        &self,
        every: Duration,
        look: impl Future<Output = storage::Result<()>>,
    ) {
        let mut last = self.0.lock().await;
        if last.as_ref().is_some_and(|last| !last.is_old(every)) {
            return;
        }
        let began = Instant::now();
        let looked = look.await;
        let ended = Instant::now();
        let took = match looked {
            Ok(()) => ended - began,
            Err(error) => {
                tracing::error!(%error, "the uploads of owners cannot be counted");
                Duration::ZERO
            }
        };
        *last = Some(Look { ended, took });
    }

    /// Whether nobody looks, nor has lately.
    pub(super) fn is_due(&self, every: Duration) -> bool {
        let last = self.0.try_lock();
        last.is_ok_and(|last| last.as_ref().is_none_or(|last| last.is_old(every)))
    }
}

impl Look {
    fn is_old(&self, every: Duration) -> bool {
        self.ended.elapsed() >= every.max(self.took * REST)
    }
}
